use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use yingxue_sync_core::courier::{
    BlobWant, Frame, Keys, Manifest, ParcelId, Receipt, SignedManifest, VERSION,
};
use yingxue_sync_core::id::{AllianceId, BlobId};

use super::*;

fn lead() -> Keys {
    Keys::of(&[1; 32])
}

fn village() -> Keys {
    Keys::of(&[2; 32])
}

fn empty(parcel: u32) -> Manifest {
    Manifest {
        version: VERSION,
        alliance: AllianceId([3; 32]),
        author: lead().hub(),
        epoch: 0,
        parcel: ParcelId(parcel),
        written_at_wall_ms: 0,
        is_finished: false,
        groups: vec![vec![village().hub()]],
        segments: vec![],
    }
}

fn piece(n: u32) -> Frame {
    let bytes = (0..20_000_u32).map(|i| (i * 7 + n) as u8).collect();
    Frame::Piece { blob: BlobId([4; 32]), piece: n, bytes }
}

/// Writes a parcel of segments with two frames each.
fn write(folder: &Path, parcel: u32, segments: u32) -> SignedManifest {
    let stick = Stick::open_or_make(folder).unwrap();
    let mut writer = stick.write_parcel(&lead(), empty(parcel), 0).unwrap();
    for n in 0..segments {
        add(&mut writer, n);
    }
    writer.finish(true).unwrap()
}

fn add(writer: &mut ParcelWriter, n: u32) {
    let mut segment = writer.begin(0, &[village().x25519_public()]).unwrap();
    segment.write(&piece(2 * n)).unwrap();
    segment.write(&piece(2 * n + 1)).unwrap();
    writer.end(segment).unwrap();
}

fn read(parcel: &Parcel, number: usize, keys: &Keys) -> Result<Vec<Frame>, StickError> {
    parcel.check(number, &|| false)?;
    parcel.frames(number, keys)?.collect()
}

fn only(folder: &Path) -> Result<Parcel, StickError> {
    Stick::open(folder)?.parcels()?.pop().expect("there is one").1
}

fn segment_of(folder: &Path, parcel: &str, number: u32) -> std::path::PathBuf {
    folder.join(FOLDER).join("outbox").join(parcel).join(format!("{number:04}.seg"))
}

#[test]
fn what_is_written_is_read_by_whom_it_is_for_and_nobody_else() {
    let stick = tempfile::tempdir().unwrap();
    write(stick.path(), 0xa5, 2);
    let parcel = only(stick.path()).unwrap();
    assert!(parcel.manifest().is_finished);
    assert_eq!(read(&parcel, 1, &village()).unwrap(), [piece(2), piece(3)]);
    let stranger = read(&parcel, 1, &Keys::of(&[9; 32]));
    assert!(matches!(stranger, Err(StickError::NotForUs)), "{stranger:?}");
    assert!(matches!(read(&parcel, 2, &village()), Err(StickError::Frames(_))));
    let bytes = fs::read(segment_of(stick.path(), "000000a5", 0)).unwrap();
    let Frame::Piece { bytes: plain, .. } = piece(0) else { unreachable!() };
    assert!(!bytes.windows(32).any(|window| window == &plain[..32]), "nothing is in the clear");
}

#[test]
fn a_file_for_a_browser_holds_the_same() {
    let stick = tempfile::tempdir().unwrap();
    let signed = write(stick.path(), 0xa5, 2);
    let file = stick.path().join("school.yxc");
    let mut bytes = yxc_head(&signed);
    (0..2).for_each(|n| bytes.extend(fs::read(segment_of(stick.path(), "000000a5", n)).unwrap()));
    fs::write(&file, &bytes).unwrap();
    let parcel = Parcel::of_file(&file).unwrap();
    assert_eq!(read(&parcel, 1, &village()).unwrap(), [piece(2), piece(3)]);
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let parcel = Parcel::of_file(&file).unwrap();
    assert!(read(&parcel, 0, &village()).is_ok());
    assert!(matches!(read(&parcel, 1, &village()), Err(StickError::Length { .. })));
    fs::write(&file, [0; 4_096]).unwrap();
    assert!(matches!(Parcel::of_file(&file), Err(StickError::Frames(_))));
}

#[test]
fn any_edit_of_a_segment_is_noticed_before_anything_of_it_is_read() {
    let stick = tempfile::tempdir().unwrap();
    write(stick.path(), 0xa5, 1);
    let file = segment_of(stick.path(), "000000a5", 0);
    let bytes = fs::read(&file).unwrap();
    for at in (0..bytes.len()).step_by(997) {
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        fs::write(&file, edited).unwrap();
        let read = read(&only(stick.path()).unwrap(), 0, &village());
        assert!(matches!(read, Err(StickError::Hash)), "byte {at}");
    }
    fs::write(&file, &bytes[..100]).unwrap();
    let short = read(&only(stick.path()).unwrap(), 0, &village());
    assert!(matches!(short, Err(StickError::Length { found: 100, .. })), "{short:?}");
    fs::remove_file(&file).unwrap();
    let gone = read(&only(stick.path()).unwrap(), 0, &village());
    assert!(matches!(gone, Err(StickError::Length { found: 0, .. })), "{gone:?}");
}

#[test]
fn a_file_of_zeros_as_long_as_fat_allows_costs_nothing() {
    let stick = tempfile::tempdir().unwrap();
    write(stick.path(), 0xa5, 1);
    for name in ["0000.seg", "manifest"] {
        let file = stick.path().join(FOLDER).join("outbox/000000a5").join(name);
        let bytes = fs::read(&file).unwrap();
        fs::File::create(&file).unwrap().set_len((4 << 30) - 1).unwrap();
        let read = only(stick.path()).and_then(|parcel| read(&parcel, 0, &village()));
        assert!(read.is_err(), "{name}");
        fs::write(&file, bytes).unwrap();
    }
    let have = stick.path().join(FOLDER).join("have");
    fs::create_dir(&have).unwrap();
    fs::File::create(have.join("00000000.000")).unwrap().set_len((4 << 30) - 1).unwrap();
    let receipts = Stick::open(stick.path()).unwrap().receipts(&lead()).unwrap();
    assert!(matches!(receipts.as_slice(), [(_, Err(_))]), "{receipts:?}");
}

#[test]
fn links_pipes_and_names_do_not_lead_out_of_the_folder() {
    let (stick, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(stick.path(), 0xa5, 1);
    write(outside.path(), 0xb6, 1);
    let ours = stick.path().join(FOLDER).join("outbox");
    symlink(outside.path().join(FOLDER).join("outbox/000000b6"), ours.join("000000b6")).unwrap();
    let parcels = Stick::open(stick.path()).unwrap().parcels().unwrap();
    assert!(matches!(&parcels[1], (ParcelId(0xb6), Err(StickError::NotPlain(_)))), "{parcels:?}");

    let segment = segment_of(stick.path(), "000000a5", 0);
    fs::remove_file(&segment).unwrap();
    symlink(segment_of(outside.path(), "000000b6", 0), &segment).unwrap();
    let linked = read(&only_of(stick.path(), 0xa5), 0, &village());
    assert!(matches!(linked, Err(StickError::NotPlain(_))), "{linked:?}");
    fs::remove_file(&segment).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&segment).status().unwrap();
    assert!(made.success());
    let pipe = read(&only_of(stick.path(), 0xa5), 0, &village());
    assert!(matches!(pipe, Err(StickError::NotPlain(_))), "{pipe:?}");

    let other = tempfile::tempdir().unwrap();
    symlink(outside.path().join(FOLDER), other.path().join(FOLDER)).unwrap();
    assert!(matches!(Stick::open(other.path()), Err(StickError::NotPlain(_))));
    assert!(matches!(Stick::open_or_make(other.path()), Err(StickError::NotPlain(_))));
}

fn only_of(folder: &Path, parcel: u32) -> Parcel {
    let parcels = Stick::open(folder).unwrap().parcels().unwrap();
    let found = parcels.into_iter().find(|(id, _)| *id == ParcelId(parcel));
    found.unwrap().1.unwrap()
}

#[test]
fn a_parcel_under_another_name_or_with_the_segment_of_another_is_refused() {
    let stick = tempfile::tempdir().unwrap();
    write(stick.path(), 0xa5, 1);
    write(stick.path(), 0xb6, 1);
    let outbox = stick.path().join(FOLDER).join("outbox");
    fs::rename(outbox.join("000000b6"), outbox.join("000000c7")).unwrap();
    let parcels = Stick::open(stick.path()).unwrap().parcels().unwrap();
    assert!(matches!(&parcels[1], (ParcelId(0xc7), Err(StickError::Frames(_)))), "{parcels:?}");
}

#[test]
fn writing_goes_on_after_the_stick_was_pulled_out_and_leaves_what_is_not_ours() {
    let stick = tempfile::tempdir().unwrap();
    let folder = stick.path().join(FOLDER).join("outbox/000000a5");
    let opened = Stick::open_or_make(stick.path()).unwrap();
    let mut writer = opened.write_parcel(&lead(), empty(0xa5), 0).unwrap();
    add(&mut writer, 0);
    let mut cut = writer.begin(0, &[village().x25519_public()]).unwrap();
    cut.write(&piece(2)).unwrap();
    drop((cut, writer));
    fs::write(folder.join("homework.doc"), "mine").unwrap();
    fs::write(folder.join("0007.seg"), "of a segment that no manifest names").unwrap();
    assert!(folder.join("0001.tmp").exists());

    let parcel = only(stick.path()).unwrap();
    assert_eq!((parcel.manifest().segments.len(), parcel.manifest().is_finished), (1, false));
    let mut writer = opened.write_parcel(&lead(), empty(0xa5), 1).unwrap();
    assert_eq!(writer.manifest().segments.len(), 1);
    assert!(!folder.join("0001.tmp").exists() && !folder.join("0007.seg").exists());
    add(&mut writer, 1);
    writer.finish(true).unwrap();
    let parcel = only(stick.path()).unwrap();
    assert_eq!(read(&parcel, 1, &village()).unwrap(), [piece(2), piece(3)]);

    opened.remove_parcel(ParcelId(0xa5)).unwrap();
    assert_eq!(fs::read_to_string(folder.join("homework.doc")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn receipts_come_back_and_others_cannot_read_them() {
    let stick = tempfile::tempdir().unwrap();
    let opened = Stick::open_or_make(stick.path()).unwrap();
    let receipt = |number| Receipt {
        version: VERSION,
        alliance: AllianceId([3; 32]),
        hub: village().hub(),
        number,
        epoch: 0,
        written_at_wall_ms: 0,
        vectors: vec![],
        wants: vec![BlobWant::of(BlobId([4; 32]), 0..3)],
        are_wants_complete: true,
        parcels: vec![],
    };
    for number in [1, 2] {
        let signed = receipt(number).sign(&village());
        opened.write_receipt(&signed, &[lead().x25519_public()]).unwrap();
    }
    let found = opened.receipts(&lead()).unwrap();
    assert!(matches!(found.as_slice(), [(_, Ok(signed))] if signed.receipt == receipt(2)));
    assert!(opened.receipts(&Keys::of(&[9; 32])).unwrap().is_empty());
    let file = stick.path().join(FOLDER).join("have").join(&found[0].0);
    let bytes = fs::read(&file).unwrap();
    for at in (0..bytes.len()).step_by(13) {
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        fs::write(&file, edited).unwrap();
        let found = opened.receipts(&lead()).unwrap();
        assert!(found.iter().all(|(_, receipt)| receipt.is_err()), "byte {at}");
    }
}

#[test]
fn what_is_missing_is_said_in_words() {
    let stick = tempfile::tempdir().unwrap();
    let said = Stick::open(stick.path()).unwrap_err().to_string();
    assert!(said.contains("export something to it first"), "{said}");
    let said = Stick::open(&stick.path().join("usb")).unwrap_err().to_string();
    assert!(said.contains("is the stick plugged in?"), "{said}");
}

#[test]
fn a_stick_whose_folder_can_be_opened_again_has_a_bad_place_and_is_not_gone() {
    let stick = tempfile::tempdir().unwrap();
    let opened = Stick::open_or_make(stick.path()).unwrap();
    let unreadable = StickError::Io(rustix::io::Errno::IO.into());
    assert!(!opened.is_gone(&unreadable));
    fs::remove_dir_all(stick.path().join(FOLDER)).unwrap();
    assert!(opened.is_gone(&unreadable));
    assert!(!opened.is_gone(&StickError::Hash), "what is damaged is there");
}

#[test]
fn what_a_stick_that_was_pulled_out_kept_of_a_segment_is_found_and_removed() {
    let stick = tempfile::tempdir().unwrap();
    write(stick.path(), 1, 2);
    write(stick.path(), 2, 1);
    let outbox = stick.path().join(FOLDER).join("outbox");
    let folder = |parcel: u32| outbox.join(ParcelId(parcel).folder());
    fs::remove_file(folder(1).join("manifest")).unwrap();
    for part in ["0001.tmp", "manifest.tmp"] {
        fs::write(folder(2).join(part), "half").unwrap();
    }
    fs::write(folder(2).join("homework.tmp"), "mine").unwrap();
    let opened = Stick::open(stick.path()).unwrap();
    assert_eq!(opened.begun_parcels().unwrap(), [ParcelId(1)]);
    opened.remove_parts(ParcelId(2)).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(folder(2)).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["0000.seg", "homework.tmp", "manifest"]);
    opened.remove_parcel(ParcelId(1)).unwrap();
    assert_eq!(opened.begun_parcels().unwrap(), []);
    assert_eq!(opened.parcels().unwrap().len(), 1);
}
