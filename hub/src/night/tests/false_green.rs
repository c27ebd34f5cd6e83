//! No false green, ever: random sequences of writing, damage, deletion, full disks, crashes and
//! reading again on real files and a real database, against what really is on the disk.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::params;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::{StoreId, StoreOp, StoreReply, StoreRequest};
use yingxue_sync_core::id::{BlobId, DocId};
use yingxue_sync_io::blob_files::BlobFiles;

use crate::catalog::readiness::{ReadinessState, TierName};
use crate::db::Db;
use crate::night::lesson;
use crate::night::readiness::{self, Around};
use crate::store::{Store, lost};

const PIECES: usize = 4;
const PIECE: usize = 64;
const LESSON: DocId = DocId([5; 16]);
const KINDS: [&str; 2] = ["audio", "slides"];

/// What may happen to a hub; the first number is the track, the second the piece.
#[derive(Debug, Clone)]
enum Step {
    /// A piece arrives and is kept.
    Write(usize, usize),
    /// The power goes when a piece is on the disk and its bit is not.
    WriteAndCrash(usize, usize),
    /// A bit flips.
    Flip(usize, usize),
    /// The file system loses what it had of a page.
    Zero(usize, usize),
    /// Somebody deletes the file.
    Delete(usize),
    /// The disk does not give the file any more.
    Unreadable(usize),
    /// A file system check cuts the file.
    Cut(usize, usize),
    /// The piece is asked for, by a class or by another hub.
    Serve(usize, usize),
    /// Tonight's reading again.
    Scrub,
    /// Reading again is cut off after some pieces, and goes on later.
    ScrubSome(usize, usize),
    /// The hub stops without a word and starts again.
    Crash,
    /// The disk is full when a piece arrives.
    FullDisk(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..KINDS.len(), 0..PIECES);
    prop_oneof![
        8 => place().prop_map(|(t, p)| Step::Write(t, p)),
        1 => place().prop_map(|(t, p)| Step::WriteAndCrash(t, p)),
        1 => place().prop_map(|(t, p)| Step::Flip(t, p)),
        1 => place().prop_map(|(t, p)| Step::Zero(t, p)),
        1 => (0..KINDS.len()).prop_map(Step::Delete),
        1 => (0..KINDS.len()).prop_map(Step::Unreadable),
        1 => place().prop_map(|(t, p)| Step::Cut(t, p)),
        2 => place().prop_map(|(t, p)| Step::Serve(t, p)),
        2 => Just(Step::Scrub),
        2 => place().prop_map(|(t, p)| Step::ScrubSome(t, p)),
        1 => Just(Step::Crash),
        1 => place().prop_map(|(t, p)| Step::FullDisk(t, p)),
    ]
}

/// A track as it should be, and what the reference knows of the disk.
struct Track {
    blob: BlobId,
    manifest: Manifest,
    content: Vec<u8>,
    /// Pieces that were damaged after they were compared last: nobody can know of them.
    unseen: [bool; PIECES],
}

struct Hub {
    path: PathBuf,
    db: Option<Db>,
    files: Arc<BlobFiles>,
    tracks: Vec<Track>,
    _dir: tempfile::TempDir,
}

impl Hub {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.sqlite");
        let db = Db::open(&path).unwrap();
        let files = Arc::new(BlobFiles::open(dir.path().join("blobs"), 0).unwrap());
        let track = |n: usize| {
            let content: Vec<u8> = (0..PIECES * PIECE).map(|i| (i * 31 + n + 1) as u8).collect();
            let manifest = Manifest::of(&[PIECE as u32; PIECES], &content, vec![]).unwrap();
            Track { blob: manifest.blob_id(), manifest, content, unseen: [false; PIECES] }
        };
        let tracks: Vec<Track> = (0..KINDS.len()).map(track).collect();
        let rows: Vec<(&str, BlobId)> =
            KINDS.into_iter().zip(&tracks).map(|(kind, track)| (kind, track.blob)).collect();
        const NAMED: &str = "insert into lessons values \
             (?1, 1, 0, '', '', '', '', '', zeroblob(32), '', 0, 0, 0)";
        const TRACK: &str = "insert into lesson_tracks values (?1, ?2, ?3, '', null, null, 256, 0, 0, 1, zeroblob(32))";
        db.write_blocking(move |tx| -> rusqlite::Result<()> {
            tx.execute(NAMED, [LESSON.as_bytes()])?;
            rows.iter().try_for_each(|(kind, blob)| {
                tx.execute(TRACK, params![LESSON.as_bytes(), kind, blob.as_bytes()]).map(drop)
            })
        })
        .unwrap();
        let mut hub = Self { path, db: Some(db), files, tracks, _dir: dir };
        hub.reserve();
        hub
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn ask(&self, op: StoreOp) -> StoreReply {
        let mut store = Store::new(self.db().clone(), Arc::clone(&self.files));
        let asked = vec![StoreRequest { id: StoreId::default(), op }];
        store.execute(asked, &mut |_| {}).remove(0)
    }

    fn reserve(&mut self) {
        for track in &self.tracks {
            let (blob, manifest) = (track.blob, track.manifest.encode());
            self.ask(StoreOp::ReserveBlob { blob, manifest }).result.unwrap();
        }
    }

    fn piece(&self, track: usize, piece: usize) -> Vec<u8> {
        self.tracks[track].content[piece * PIECE..(piece + 1) * PIECE].to_vec()
    }

    /// What the node does when it fetches a piece: it asks what is here, reserves, writes.
    fn fetch(&mut self, track: usize, piece: usize) {
        let (blob, manifest) = (self.tracks[track].blob, self.tracks[track].manifest.encode());
        self.ask(StoreOp::LoadBlob { blob }).result.unwrap();
        self.ask(StoreOp::ReserveBlob { blob, manifest }).result.unwrap();
        let pieces = vec![(piece as u32, self.piece(track, piece))];
        self.ask(StoreOp::WritePieces { blob, pieces }).result.unwrap();
        self.tracks[track].unseen[piece] = false;
    }

    /// Puts bytes over a piece behind the hub's back.
    fn spoil(&mut self, track: usize, piece: usize, bytes: &[u8]) {
        let path = self.files.path(self.tracks[track].blob);
        if let Ok(file) = OpenOptions::new().write(true).open(path) {
            file.write_all_at(bytes, (piece * PIECE) as u64).unwrap();
            self.tracks[track].unseen[piece] = true;
        }
    }

    fn scrub(&mut self, track: usize, from: usize, pieces: usize) {
        let blob = self.tracks[track].blob;
        let bytes = (pieces * PIECE) as u64;
        let read = lost::read_some(self.db(), &self.files, blob, from as u32, bytes).unwrap();
        let end = read.next_piece.map_or(PIECES, |piece| piece as usize);
        self.tracks[track].unseen[from..end].fill(false);
    }

    fn crash(&mut self) {
        self.db = None;
        self.db = Some(Db::open(&self.path).unwrap());
        lost::check_all(self.db().clone(), Arc::clone(&self.files), |_| {}).unwrap();
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Write(t, p) => self.fetch(t, p),
            Step::WriteAndCrash(t, p) => {
                let blob = self.tracks[t].blob;
                let bytes = self.piece(t, p);
                drop(self.files.write_pieces(blob, &[((p * PIECE) as u64, &bytes)]));
                self.crash();
            }
            Step::Flip(t, p) => {
                let mut bytes = self.piece(t, p);
                bytes[7] ^= 0x10;
                self.spoil(t, p, &bytes);
            }
            Step::Zero(t, p) => self.spoil(t, p, &[0; PIECE]),
            Step::Delete(t) => drop(fs::remove_file(self.files.path(self.tracks[t].blob))),
            Step::Unreadable(t) => {
                let path = self.files.path(self.tracks[t].blob);
                if fs::remove_file(&path).is_ok() {
                    symlink(&path, &path).unwrap();
                }
            }
            Step::Cut(t, p) => {
                let path = self.files.path(self.tracks[t].blob);
                if let Ok(file) = OpenOptions::new().write(true).open(path) {
                    file.set_len((p * PIECE + 1) as u64).unwrap();
                }
            }
            Step::Serve(t, p) => {
                let (blob, piece) = (self.tracks[t].blob, p as u32);
                let served = self.ask(StoreOp::ReadPiece { blob, piece }).result;
                if let Ok(yingxue_sync_core::event::StoreValue::Piece(bytes)) = served {
                    assert_eq!(bytes, self.piece(t, p), "a wrong piece is never sent");
                }
                self.tracks[t].unseen[p] = false;
            }
            Step::Scrub => (0..KINDS.len()).for_each(|t| self.scrub(t, 0, PIECES)),
            Step::ScrubSome(t, p) => self.scrub(t, p, 1),
            Step::Crash => self.crash(),
            Step::FullDisk(t, p) => {
                // More than any disk has is kept free: nothing is written, nothing is held.
                let full = BlobFiles::open(self.path.with_file_name("blobs"), u64::MAX).unwrap();
                let files = std::mem::replace(&mut self.files, Arc::new(full));
                let (blob, manifest) = (self.tracks[t].blob, self.tracks[t].manifest.encode());
                let reserved = self.ask(StoreOp::ReserveBlob { blob, manifest });
                if reserved.result.is_ok() {
                    let pieces = vec![(p as u32, self.piece(t, p))];
                    drop(self.ask(StoreOp::WritePieces { blob, pieces }));
                }
                self.files = files;
            }
        }
    }

    /// The light as the page shows it: what files do not have is taken back first.
    fn is_green(&self) -> bool {
        for track in &self.tracks {
            lost::check(self.db(), &self.files, track.blob).unwrap();
        }
        let held = self.db().read_blocking(|db| lesson::load(db, &LESSON)).unwrap();
        let around = Around { forecast: None, is_stalled: false, has_contact: true };
        readiness::of(held.as_ref(), TierName::T0, &around).state == ReadinessState::Ready
    }

    /// Says which pieces of all tracks are on the disk as they should be, or are damaged in a way
    /// that nobody has had a look at.
    fn is_right_as_far_as_can_be_known(&self) -> bool {
        let right = |track: &Track| {
            let bytes = fs::read(self.files.path(track.blob)).unwrap_or_default();
            (0..PIECES).all(|piece| {
                let range = piece * PIECE..(piece + 1) * PIECE;
                let is_long_enough = bytes.len() >= range.end;
                let is_right = bytes.get(range.clone()) == Some(&track.content[range]);
                is_right || is_long_enough && track.unseen[piece]
            })
        };
        self.tracks.iter().all(right)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_green_light_is_true(steps in prop::collection::vec(step(), 1..60)) {
        let mut hub = Hub::new();
        for step in &steps {
            hub.take(step);
            let is_green = hub.is_green();
            prop_assert!(!is_green || hub.is_right_as_far_as_can_be_known(), "after {step:?}");
        }
        // After everything was read again the light and the disk say the same.
        hub.take(&Step::Scrub);
        prop_assert!(!hub.is_green() || hub.is_right_as_far_as_can_be_known());
        prop_assert!(hub.tracks.iter().all(|track| track.unseen == [false; PIECES]));
        // And it can be mended: what is fetched again makes it green.
        for track in 0..KINDS.len() {
            (0..PIECES).for_each(|piece| hub.fetch(track, piece));
        }
        hub.take(&Step::Scrub);
        prop_assert!(hub.is_green() && hub.is_right_as_far_as_can_be_known());
    }
}

/// A hub that has all of the lesson, and knows it.
fn whole() -> Hub {
    let mut hub = Hub::new();
    for track in 0..KINDS.len() {
        (0..PIECES).for_each(|piece| hub.fetch(track, piece));
    }
    assert!(hub.is_green() && hub.is_right_as_far_as_can_be_known());
    hub
}

/// A hub that lacks the last piece of the lesson.
fn all_but_one() -> Hub {
    let mut hub = Hub::new();
    (0..PIECES).for_each(|piece| hub.fetch(0, piece));
    (0..PIECES - 1).for_each(|piece| hub.fetch(1, piece));
    assert!(!hub.is_green());
    hub
}

#[test]
fn each_kind_of_damage_to_one_track_turns_the_light_off_and_fetching_it_again_turns_it_on() {
    let (track, piece) = (1, PIECES - 1);
    let seen_at_once = [Step::Delete(track), Step::Cut(track, piece)];
    let seen_when_read = [Step::Flip(track, piece), Step::Zero(track, piece)];
    let ways_to_see = [Step::Scrub, Step::ScrubSome(track, piece), Step::Serve(track, piece)];
    let unread = seen_at_once.map(|damage| vec![damage]);
    let read = seen_when_read
        .iter()
        .flat_map(|damage| ways_to_see.iter().map(move |look| vec![damage.clone(), look.clone()]));
    for steps in unread.into_iter().chain(read) {
        let mut hub = whole();
        steps.iter().for_each(|step| hub.take(step));
        assert!(!hub.is_green(), "after {steps:?}");
        hub.take(&Step::Crash);
        assert!(!hub.is_green(), "after {steps:?} and a start");
        (0..PIECES).for_each(|piece| hub.fetch(track, piece));
        assert!(hub.is_green() && hub.is_right_as_far_as_can_be_known(), "mended {steps:?}");
    }
}

#[test]
fn a_piece_whose_bit_the_power_cut_took_is_not_counted_though_its_bytes_are_on_the_disk() {
    let mut hub = all_but_one();
    hub.take(&Step::WriteAndCrash(1, PIECES - 1));
    let on_disk = fs::read(hub.files.path(hub.tracks[1].blob)).unwrap();
    assert_eq!(on_disk, hub.tracks[1].content, "the bytes are there");
    assert!(!hub.is_green(), "and nobody has said so durably");
    hub.take(&Step::Scrub);
    assert!(!hub.is_green(), "reading again adds nothing");
    hub.fetch(1, PIECES - 1);
    assert!(hub.is_green());
}

#[test]
fn a_full_disk_takes_nothing_new_shows_nothing_new_and_what_had_its_room_arrives() {
    let mut hub = whole();
    hub.take(&Step::Delete(1));
    for piece in 0..PIECES {
        hub.take(&Step::FullDisk(1, piece));
        assert!(!hub.is_green(), "there is no room for piece {piece}");
    }
    hub.take(&Step::Crash);
    assert!(!hub.is_green());
    (0..PIECES).for_each(|piece| hub.fetch(1, piece));
    assert!(hub.is_green(), "with room again it arrives");
    // A track whose room was kept before the disk was full.
    let mut hub = all_but_one();
    hub.take(&Step::FullDisk(1, PIECES - 1));
    assert!(hub.is_green() && hub.is_right_as_far_as_can_be_known());
}
