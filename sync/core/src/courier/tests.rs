use proptest::prelude::*;

use super::*;
use crate::id::Hash;
use crate::membership::LESSONS;

fn keys() -> Keys {
    Keys::of(&[7; 32])
}

fn manifest() -> Manifest {
    Manifest {
        version: VERSION,
        alliance: AllianceId([1; 32]),
        author: keys().hub(),
        epoch: 3,
        parcel: ParcelId(0xa5),
        written_at_wall_ms: 5,
        is_finished: true,
        groups: vec![vec![HubId([2; 32])]],
        segments: vec![Segment { bytes: 9, hash: Hash([4; 32]), group: 0 }],
    }
}

fn receipt() -> Receipt {
    let lessons = CollectionId(LESSONS.into());
    Receipt {
        version: VERSION,
        alliance: AllianceId([1; 32]),
        hub: keys().hub(),
        number: 2,
        epoch: 3,
        written_at_wall_ms: 5,
        vectors: vec![(lessons, vec![(HubId([2; 32]), 8)])],
        wants: vec![BlobWant::of(BlobId([3; 32]), [0, 1, 4].into_iter())],
        are_wants_complete: true,
        parcels: vec![(HubId([2; 32]), ParcelId(9))],
    }
}

#[test]
fn a_changed_byte_of_a_manifest_or_a_receipt_is_noticed() {
    let signed = manifest().sign(&keys());
    assert_eq!(SignedManifest::decode(&signed.bytes).as_ref(), Ok(&signed));
    let received = receipt().sign(&keys());
    assert_eq!(SignedReceipt::decode(&received.bytes).as_ref(), Ok(&received));
    for i in 0..signed.bytes.len() {
        let mut changed = signed.bytes.clone();
        changed[i] ^= 1;
        assert!(SignedManifest::decode(&changed).is_err(), "byte {i}");
        assert!(SignedManifest::decode(&signed.bytes[..i]).is_err(), "first {i} bytes");
    }
    for i in 0..received.bytes.len() {
        let mut changed = received.bytes.clone();
        changed[i] ^= 1;
        assert!(SignedReceipt::decode(&changed).is_err(), "byte {i}");
    }
}

#[test]
fn a_manifest_is_not_taken_for_a_receipt_and_a_newer_format_is_told() {
    let signed = manifest().sign(&keys());
    assert!(SignedReceipt::decode(&signed.bytes).is_err());
    let newer = Manifest { version: 2, ..manifest() }.sign(&keys());
    assert_eq!(SignedManifest::decode(&newer.bytes), Err(CourierError::Version { found: 2 }));
}

#[test]
fn a_manifest_out_of_bounds_is_refused_though_it_is_signed() {
    let segment = Segment { bytes: 1, hash: Hash([0; 32]), group: 0 };
    let wrong = [
        Manifest { segments: vec![Segment { group: 1, ..segment }], ..manifest() },
        Manifest { segments: vec![Segment { bytes: 0, ..segment }], ..manifest() },
        Manifest { segments: vec![Segment { bytes: (1 << 30) + 1, ..segment }], ..manifest() },
        Manifest { segments: vec![segment; SEGMENTS_MAX + 1], ..manifest() },
        Manifest { groups: vec![vec![]; GROUPS_MAX + 1], ..manifest() },
    ];
    for manifest in wrong {
        let decoded = SignedManifest::decode(&manifest.sign(&keys()).bytes);
        assert!(matches!(decoded, Err(CourierError::Malformed(_))), "{decoded:?}");
    }
}

#[test]
fn a_want_lists_ranges_and_never_leaves_a_missing_piece_out() {
    let want = BlobWant::of(BlobId([0; 32]), [0, 1, 4, 9].into_iter());
    assert_eq!(want.missing, [(0, 2), (4, 5), (9, 10)]);
    assert!(want.lacks(1) && !want.lacks(2) && want.lacks(9));
    let holes = BlobWant::of(BlobId([0; 32]), (0..1_000).step_by(2));
    assert!(holes.missing.len() <= 64 && (0..1_000).step_by(2).all(|piece| holes.lacks(piece)));
}

#[test]
fn names_on_a_stick_are_short_and_in_lower_case() {
    assert_eq!(ParcelId(0xa5).folder(), "000000a5");
    assert_eq!(ParcelId::of_folder("000000a5"), Some(ParcelId(0xa5)));
    for other in ["000000A5", "a5", "+00000a5", "../../..", "000000a5x"] {
        assert_eq!(ParcelId::of_folder(other), None, "{other}");
    }
    assert_eq!(receipt_name(&HubId([0x1f; 32])), "1f1f1f1f.1f1");
}

#[test]
fn frames_read_back() {
    let frames = [
        Frame::Epochs(vec![vec![1], vec![]]),
        Frame::Blob { blob: BlobId([1; 32]), manifest: vec![2; 9] },
        Frame::Piece { blob: BlobId([1; 32]), piece: 77, bytes: vec![3; 100] },
        Frame::End,
    ];
    for frame in frames {
        let bytes = frame.encode();
        let (head, body) = bytes.split_at(FRAME_HEAD_BYTES);
        let head = head.try_into().unwrap();
        assert_eq!(frame_bytes(head), Ok(body.len()));
        assert_eq!(Frame::decode(head, body), Ok(frame));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_something_or_an_error(bytes: Vec<u8>, kind: u8) {
        let _ = SignedManifest::decode(&bytes);
        let _ = SignedReceipt::decode(&bytes);
        let head = [0, 0, 0, 0, kind % 3];
        if let Ok(frame) = Frame::decode(head, &bytes) {
            let encoded = frame.encode();
            let again = Frame::decode([0, 0, 0, 0, encoded[4]], &encoded[FRAME_HEAD_BYTES..]);
            prop_assert_eq!(again, Ok(frame));
        }
    }
}
