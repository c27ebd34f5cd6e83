//! What the schools that an export is for lack, and in which order it is written.
//!
//! Lessons whole quality by quality: what a class cannot do without of every lesson first, mostly
//! sound and slides, then pictures, then the originals. Inside a quality, by what it is worth (see
//! `worth`), then what a receiver asks for first, then the newest. What does not fit is left out as
//! a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use jiff::civil::Date;
use rusqlite::{Connection, params};
use yingxue_codec::track::TrackKind;
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::courier::{CollectionView, Receipt, View};
use yingxue_sync_core::id::{BlobId, CollectionId, DocId, HubId};

use super::contents::{Contents, Stretch};
use super::worth::{When, Worth};
use crate::catalog;
use crate::night::lesson;
use crate::night::needed::{self, Need};
use crate::store::blobs;

pub(crate) const SELECT_TRACKS: &str = "select t.lesson, l.title, t.kind, t.blob, t.bytes, \
    l.school_hub from lesson_tracks t join lessons l on l.lesson = t.lesson \
    where l.is_deleted = 0 and l.is_published = 1 \
    and exists (select 1 from blobs b where b.blob = t.blob and b.held_pieces > 0) \
    order by l.created_at_ms desc, l.lesson, t.class";
pub(crate) const SELECT_NEW_DOCS: &str = "select distinct doc from envelopes \
    where collection = ?1 and author = ?2 and seq > ?3";

/// A hub that an export is for.
pub(super) struct Target {
    pub hub: HubId,
    /// To which it is encrypted.
    pub key: [u8; 32],
    /// What it says to hold and want, if it ever said so.
    pub receipt: Option<Receipt>,
    /// What lies on the stick for it already.
    pub there: Contents,
}

/// What is written for hubs that may read the same.
pub(super) struct Group {
    /// Of [`Target`]s, by place.
    pub targets: Vec<usize>,
    pub journals: Vec<Stretch>,
    pub items: Vec<Item>,
}

/// One quality of a lesson.
pub(super) struct Item {
    pub lesson: DocId,
    pub title: String,
    pub parts: Vec<Part>,
    /// Place in a receipt, and age: of two that are worth the same.
    rank: (usize, usize),
    /// Targets, by their place among the readers, that something of it is for.
    takers: BTreeSet<usize>,
}

/// What is written of one blob.
pub(super) struct Part {
    pub blob: BlobId,
    pub manifest: Manifest,
    pub pieces: Vec<u32>,
}

/// What one hub lacks, roughly, for a list of hubs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lack {
    pub lessons: u64,
    pub bytes: u64,
}

/// A track of a lesson that something is held of.
struct Track {
    lesson: DocId,
    title: String,
    step: usize,
    blob: BlobId,
    bytes: u64,
    made_by: HubId,
}

/// Says of which blobs a hub lacks what.
struct Wishes<'a> {
    hub: HubId,
    receipt: Option<&'a Receipt>,
    places: BTreeMap<BlobId, usize>,
    new_docs: BTreeSet<DocId>,
    /// What it needs in the coming days, as far as that is known.
    needs: BTreeMap<DocId, Need>,
    /// If there are any, nothing but these; what the receipt does not say of them is lacking.
    asked: BTreeSet<DocId>,
}

impl Item {
    /// Gives about how many bytes it takes on a stick.
    pub(super) fn bytes(&self) -> u64 {
        let part = |part: &Part| {
            let manifest = 40 * part.manifest.pieces.len() + part.manifest.info.len();
            let pieces = part.pieces.iter().filter_map(|n| part.manifest.pieces.get(*n as usize));
            manifest as u64 + pieces.map(|piece| u64::from(piece.bytes) + 64).sum::<u64>()
        };
        let bytes: u64 = self.parts.iter().map(part).sum();
        bytes + bytes / 2_000
    }
}

/// Gives where envelopes begin that a target lacks.
fn first_lacking(target: &Target, collection: &CollectionId, author: &HubId) -> u64 {
    let held = target.receipt.as_ref().map_or(0, |r| r.seq_of(collection, author));
    target.there.seq_after(collection, author, held + 1)
}

/// Lists the targets that may read each of the collections, by place, each list once.
pub(super) fn readers(view: &View, targets: &[Target]) -> BTreeSet<Vec<usize>> {
    let collections = view.collections.iter();
    let readers = collections.map(|collection| readers_of(collection, targets));
    readers.filter(|readers| !readers.is_empty()).collect()
}

fn readers_of(collection: &CollectionView, targets: &[Target]) -> Vec<usize> {
    let may_read = |place: &usize| collection.readers.contains(&targets[*place].hub);
    (0..targets.len()).filter(may_read).collect()
}

/// Lists what targets lack, one group for each way in which collections are shared among them;
/// of lessons `only` these, if it names any: somebody knows that they lack those. What they need
/// from `today` on comes first.
pub(super) fn groups(
    db: &Connection,
    view: &View,
    targets: &[Target],
    (only, today): (&[DocId], Date),
) -> rusqlite::Result<Vec<Group>> {
    let mut groups: BTreeMap<Vec<usize>, Group> = BTreeMap::new();
    for collection in &view.collections {
        let readers = readers_of(collection, targets);
        if readers.is_empty() {
            continue;
        }
        let group = groups.entry(readers.clone()).or_insert_with(|| Group {
            targets: readers.clone(),
            journals: Vec::new(),
            items: Vec::new(),
        });
        for (author, to) in &collection.vector {
            let first = |place: &usize| first_lacking(&targets[*place], &collection.id, author);
            let from = readers.iter().map(first).min().unwrap_or(1);
            if from <= *to {
                let (collection, author) = (collection.id.clone(), *author);
                group.journals.push(Stretch { collection, author, from, to: *to });
            }
        }
        if collection.id == catalog::collection() {
            group.items = items(db, view, (targets, &readers), (only, today))?;
        }
    }
    Ok(groups.into_values().collect())
}

fn items(
    db: &Connection,
    view: &View,
    (targets, readers): (&[Target], &[usize]),
    (only, today): (&[DocId], Date),
) -> rusqlite::Result<Vec<Item>> {
    let wish = |place: &usize| {
        let hub = targets[*place].hub;
        let wishes = Wishes::of(db, view, (hub, targets[*place].receipt.as_ref()))?;
        let needs = needed::by(db, &hub, today)?;
        Ok(Wishes { asked: only.iter().copied().collect(), needs, ..wishes })
    };
    let wishes: Vec<Wishes<'_>> = readers.iter().map(wish).collect::<rusqlite::Result<_>>()?;
    let mut items: BTreeMap<(DocId, usize), Item> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (age, track) in tracks(db)?.into_iter().enumerate() {
        if !wishes.iter().any(|wish| wish.is_wanted(&track)) || !seen.insert(track.blob) {
            continue;
        }
        let there: Vec<&Contents> = readers.iter().map(|place| &targets[*place].there).collect();
        let Some((part, takers)) = part(db, &track, &wishes, &there)? else { continue };
        let asked = wishes.iter().filter_map(|wish| wish.places.get(&track.blob)).min();
        let rank = (asked.copied().unwrap_or(usize::MAX), age);
        let (lesson, title) = (track.lesson, track.title);
        let item = items.entry((lesson, track.step)).or_insert_with(|| Item {
            lesson,
            title,
            parts: Vec::new(),
            rank,
            takers: BTreeSet::new(),
        });
        item.rank = item.rank.min(rank);
        item.takers.extend(takers);
        item.parts.push(part);
    }
    let mut ranked = Vec::with_capacity(items.len());
    for ((_, step), item) in items {
        let (class, worth) = worth_of(db, &item, step, &wishes)?;
        ranked.push((class, worth, item));
    }
    ranked.sort_by(|(class, worth, item), (other_class, other_worth, other)| {
        let by_worth = || worth.order(other_worth);
        class.cmp(other_class).then_with(by_worth).then_with(|| item.rank.cmp(&other.rank))
    });
    Ok(ranked.into_iter().map(|(_, _, item)| item).collect())
}

/// Says what it is worth to carry a quality of a lesson: floors, without which a lesson is of no
/// use, are of class 0.
fn worth_of(
    db: &Connection,
    item: &Item,
    step: usize,
    wishes: &[Wishes<'_>],
) -> rusqlite::Result<(usize, Worth)> {
    let held = lesson::load(db, &item.lesson)?;
    let tier = held.as_ref().and_then(|held| Some((held, held.floor()?)));
    let floor: Vec<&lesson::HeldTrack> =
        tier.into_iter().flat_map(|(held, floor)| held.needed(floor)).collect();
    let is_of_floor = |part: &Part| floor.iter().any(|track| track.blob == part.blob);
    let is_floor = item.parts.iter().any(is_of_floor);
    // A part of a floor makes nothing teachable.
    let is_whole = floor.iter().all(|track| track.is_complete);
    let mut worth = Worth { bytes: item.bytes(), ..Worth::NONE };
    for wish in item.takers.iter().filter_map(|place| wishes.get(*place)) {
        let (when, lessons) = match wish.needs.get(&item.lesson) {
            Some(need) => (When::Day(need.first), need.slots),
            None => (wish.asked_when(item), 1),
        };
        worth.add(when, if is_whole { lessons } else { 0 });
    }
    Ok((if is_floor { 0 } else { step.max(1) }, worth))
}

/// Lists the pieces of a track that are held here and that some target lacks, and which do.
fn part(
    db: &Connection,
    track: &Track,
    wishes: &[Wishes<'_>],
    there: &[&Contents],
) -> rusqlite::Result<Option<(Part, BTreeSet<usize>)>> {
    let stored = blobs::load(db, &track.blob)?;
    let manifest = stored.manifest.as_deref().and_then(|bytes| Manifest::decode(bytes).ok());
    let Some(manifest) = manifest else { return Ok(None) };
    let held = Bitmap::from_bytes(&stored.bitmap, manifest.pieces.len());
    let ranges: Vec<_> = there.iter().map(|contents| contents.ranges(&track.blob)).collect();
    let all = 0..u32::try_from(manifest.pieces.len()).unwrap_or(u32::MAX);
    let (mut pieces, mut takers) = (Vec::new(), BTreeSet::new());
    for piece in all.filter(|piece| held.has(*piece)) {
        let lacks = |(wish, ranges): (&Wishes<'_>, &Vec<(u32, u32)>)| {
            let is_there = ranges.iter().any(|(from, to)| (*from..*to).contains(&piece));
            !is_there && wish.lacks(track, piece)
        };
        let lacking = wishes.iter().zip(&ranges).enumerate().filter(|(_, it)| lacks(*it));
        let mut lacking = lacking.map(|(place, _)| place).peekable();
        if lacking.peek().is_some() {
            pieces.push(piece);
            takers.extend(lacking);
        }
    }
    let part = Part { blob: track.blob, manifest, pieces };
    Ok((!part.pieces.is_empty()).then_some((part, takers)))
}

/// Says roughly what a hub lacks; sizes as documents say them.
pub(super) fn lack(
    db: &Connection,
    view: &View,
    target: (HubId, Option<&Receipt>),
) -> rusqlite::Result<Lack> {
    let wish = Wishes::of(db, view, target)?;
    let (mut lessons, mut seen, mut bytes) = (BTreeSet::new(), BTreeSet::new(), 0);
    for track in tracks(db)?.into_iter().filter(|track| wish.is_wanted(track)) {
        lessons.insert(track.lesson);
        bytes += if seen.insert(track.blob) { track.bytes } else { 0 };
    }
    Ok(Lack { lessons: lessons.len() as u64, bytes })
}

impl<'a> Wishes<'a> {
    fn of(
        db: &Connection,
        view: &View,
        (hub, receipt): (HubId, Option<&'a Receipt>),
    ) -> rusqlite::Result<Self> {
        let wants = receipt.map_or(&[][..], |receipt| &receipt.wants);
        let places = (0..).zip(wants).map(|(place, want)| (want.blob, place)).collect();
        let mut new_docs = BTreeSet::new();
        if let Some(receipt) = receipt {
            let mut statement = db.prepare_cached(SELECT_NEW_DOCS)?;
            let collection = catalog::collection();
            let ours = view.collections.iter().filter(|c| c.id == collection);
            for (author, to) in ours.flat_map(|collection| &collection.vector) {
                let seq = receipt.seq_of(&collection, author);
                if seq < *to {
                    let journal = params![collection.0, author.as_bytes(), seq];
                    for doc in statement.query_map(journal, |row| row.get(0).map(DocId))? {
                        new_docs.insert(doc?);
                    }
                }
            }
        }
        let (needs, asked) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { hub, receipt, places, new_docs, needs, asked })
    }

    fn is_wanted(&self, track: &Track) -> bool {
        if !self.asked.is_empty() {
            return self.asked.contains(&track.lesson);
        }
        // Who has never said anything has at least what it made.
        self.receipt.map_or(track.made_by != self.hub, |receipt| {
            self.places.contains_key(&track.blob)
                || !receipt.are_wants_complete
                || self.new_docs.contains(&track.lesson)
        })
    }

    /// Says how soon it asks for something of an item.
    fn asked_when(&self, item: &Item) -> When {
        let place = item.parts.iter().filter_map(|part| self.places.get(&part.blob)).min();
        place.map_or(When::Unknown, |place| When::of_place(*place))
    }

    fn lacks(&self, track: &Track, piece: u32) -> bool {
        let place = self.places.get(&track.blob);
        match (self.receipt, place) {
            (Some(receipt), Some(place)) => receipt.wants[*place].lacks(piece),
            _ => self.is_wanted(track),
        }
    }
}

fn tracks(db: &Connection) -> rusqlite::Result<Vec<Track>> {
    let mut statement = db.prepare_cached(SELECT_TRACKS)?;
    statement
        .query_map([], |row| {
            Ok(Track {
                lesson: DocId(row.get(0)?),
                title: row.get(1)?,
                step: step_of(row.get_ref(2)?.as_str()?),
                blob: BlobId(row.get(3)?),
                bytes: row.get(4)?,
                made_by: HubId(row.get(5)?),
            })
        })?
        .collect()
}

/// Gives the quality of a lesson that a track first belongs to; 0 is the floor.
fn step_of(kind: &str) -> usize {
    match TrackKind::from_str(kind) {
        Ok(TrackKind::Audio | TrackKind::Slides | TrackKind::Captions(_) | TrackKind::Thumbs) => 0,
        Ok(TrackKind::Video360) => 1,
        Ok(TrackKind::Video480) => 2,
        Ok(TrackKind::Source) => 3,
        Err(_) => 4,
    }
}
