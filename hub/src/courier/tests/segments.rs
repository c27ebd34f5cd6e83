//! What lies in which segment, wherever one ends.

use yingxue_sync_io::courier::Stick;

use super::*;

/// Reads what the village can read of a stick: the frames of each segment.
fn read(schools: &Schools, stick: &Path) -> Vec<Vec<Frame>> {
    let parcels = Stick::open(stick).unwrap().parcels().unwrap();
    let parcels = parcels.into_iter().map(|(_, parcel)| parcel.unwrap());
    let keys = schools.village.app.sync.keys();
    let segments = |parcel: yingxue_sync_io::courier::Parcel| {
        let count = parcel.manifest().segments.len();
        let frames = |n| parcel.frames(n, keys).unwrap().collect::<Result<_, _>>().unwrap();
        (0..count).map(frames).collect::<Vec<Vec<Frame>>>()
    };
    parcels.flat_map(segments).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_segment_ends_each_piece_comes_after_its_manifest_in_the_same_one() {
    let schools = schools().await;
    // At 1 byte every frame fills a segment, a manifest too.
    for (n, segment_bytes) in [1, 7_000, 20_000, 1 << 20].into_iter().enumerate() {
        let n = n as u64;
        schools.lead.app.courier.segment_bytes.store(segment_bytes, Ordering::Relaxed);
        let (_, blobs) = add_lesson(&schools.lead, n).await;
        let stick = schools.stick(n);
        schools.export(&stick, n as u32).await;
        for (at, frames) in read(&schools, &stick).into_iter().enumerate() {
            let mut newest = None;
            for frame in frames {
                match frame {
                    Frame::Blob { blob, .. } => newest = Some(blob),
                    Frame::Piece { blob, piece, .. } => {
                        let words = format!("{segment_bytes}: piece {piece} of segment {at}");
                        assert_eq!(newest, Some(blob), "{words}");
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(schools.import(&stick).await.refused, []);
        assert!(are_whole(&schools.village, &blobs), "{segment_bytes}");
    }
}

/// Gives the manifest and the pieces of a blob that the lead school has.
fn frames_of(hub: &TrialHub, blob: BlobId) -> (Frame, Vec<Frame>) {
    let stored = hub.app.db.read_blocking(|db| blobs::load(db, &blob)).unwrap();
    let encoded = stored.manifest.unwrap();
    let manifest = Manifest::decode(&encoded).unwrap();
    let piece = |(piece, info): (u32, &yingxue_sync_core::blob::PieceInfo)| {
        let (offset, bytes) = (manifest.offset_of(piece), info.bytes as usize);
        let bytes = hub.app.sync.files().read_at(blob, offset, bytes).unwrap();
        Frame::Piece { blob, piece, bytes }
    };
    let pieces = (0..).zip(&manifest.pieces).map(piece).collect();
    (Frame::Blob { blob, manifest: encoded }, pieces)
}

/// Gives a village that knows of a lesson of which it has nothing.
async fn with_a_lesson_that_did_not_fit() -> (Schools, [BlobId; 2]) {
    let schools = schools().await;
    let (_, blobs) = add_lesson(&schools.lead, 1).await;
    let (stick, to) = (schools.stick(0), schools.village.app.sync.hub_id());
    let small = NewJob { bytes_max: Some(9_000), ..export_to(&stick, to, 1) };
    let (report, outcome) = run(&schools.lead, small, 0).await;
    outcome.unwrap();
    assert_eq!((report.envelopes, report.blobs), (1, 0), "{report:?}");
    schools.import(&stick).await;
    (schools, blobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_at_the_end_of_a_segment_counts_for_the_next_one() {
    let (schools, [audio, source]) = with_a_lesson_that_did_not_fit().await;
    let (manifest, pieces) = frames_of(&schools.lead, audio);
    let (other, rest) = frames_of(&schools.lead, source);
    let stick = schools.stick(1);
    let second = [&pieces[..1], std::slice::from_ref(&manifest), &pieces[1..]].concat();
    let parts = [vec![manifest.clone()], second, [vec![other], rest].concat()];
    write_by_hand(&schools, &stick, schools.lead.app.sync.keys(), 1, &parts);
    let imported = schools.import(&stick).await;
    assert_eq!((&imported.refused[..], imported.blobs), (&[][..], 2));
    assert!(are_whole(&schools.village, &[audio, source]));
    assert_eq!(schools.import(&stick).await.refused, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_without_a_manifest_is_refused_with_words_each_time_until_it_is_here() {
    let (schools, blobs) = with_a_lesson_that_did_not_fit().await;
    let (_, pieces) = frames_of(&schools.lead, blobs[0]);
    let stick = schools.stick(1);
    write_by_hand(&schools, &stick, schools.lead.app.sync.keys(), 1, &[pieces]);
    for _ in 0..2 {
        let imported = schools.import(&stick).await;
        assert_eq!(imported.payload_bytes, 0);
        let words = "a part of a lesson came without the list of the lesson's parts";
        assert_eq!(imported.refused[0].why, words);
    }
    // What was not taken is not said to be held: the next stick brings it.
    let next = schools.stick(2);
    schools.export(&next, 2).await;
    schools.import(&next).await;
    assert!(are_whole(&schools.village, &blobs));
    assert_eq!(schools.import(&stick).await.refused, []);
}
