use mp4_atom::{Moof, Sidx};
use proptest::prelude::*;

use super::*;
use crate::cmaf::{Coding, Medium, Sample, init_segment, segment};
use crate::track::TrackKind;

/// A track as a file: its bytes, and their description.
pub(crate) fn sound(packets_of_each: &[usize]) -> (Vec<u8>, TrackInfo) {
    let coding = Coding::Opus { pre_skip: 312 };
    let medium = Medium { timescale: 48_000, sample_ticks: 2880, duration_ticks: 0, coding };
    file(TrackKind::Audio, &medium, packets_of_each)
}

fn file(kind: TrackKind, medium: &Medium, samples_of_each: &[usize]) -> (Vec<u8>, TrackInfo) {
    let mut bytes = init_segment(medium);
    let mut info = crate::track::tests::track(kind, &[]);
    info.timescale = medium.timescale;
    info.init_bytes = bytes.len() as u32;
    let mut start = 0;
    for (n, &count) in (1..).zip(samples_of_each) {
        let ticks = medium.sample_ticks;
        let sample =
            |at: usize| Sample { bytes: vec![n as u8; at % 7 + 1], is_sync: at == 0, ticks };
        let samples: Vec<_> = (0..count).map(sample).collect();
        let segment = segment(n, start, &samples);
        let duration_ticks = ticks * count as u32;
        start += u64::from(duration_ticks);
        info.segments.push(SegmentInfo { duration_ticks, bytes: segment.len() as u32 });
        bytes.extend(segment);
    }
    info.measure_bandwidth();
    (bytes, info)
}

/// A picture track; its samples are not AV1, which nothing here looks at.
fn picture(samples_of_each: &[usize]) -> (Vec<u8>, TrackInfo) {
    let config = mp4_atom::Av1c { seq_level_idx_0: 1, ..mp4_atom::Av1c::default() };
    let coding = Coding::Av1 { width: 640, height: 360, config };
    let medium = Medium { timescale: 12_800, sample_ticks: 1024, duration_ticks: 0, coding };
    file(TrackKind::Video360, &medium, samples_of_each)
}

/// Makes the whole file, as a hub does piece by piece.
fn whole(layout: &Layout, files: &[&[u8]]) -> Vec<u8> {
    let mut out = layout.head().to_vec();
    for part in layout.parts() {
        let range = part.source.start as usize..part.source.end as usize;
        let mut bytes = files[part.input][range].to_vec();
        part.renumber(&mut bytes).unwrap();
        assert_eq!(part.start, out.len() as u64);
        out.extend(bytes);
    }
    assert_eq!(out.len() as u64, layout.total_bytes());
    out
}

#[test]
fn two_tracks_become_one_file_in_the_order_of_time() {
    let (video, video_info) = picture(&[50, 50, 20]);
    let (audio, audio_info) = sound(&[67, 66, 67]);
    let inputs = [
        Input { info: &video_info, init: &video[..video_info.init_bytes as usize] },
        Input { info: &audio_info, init: &audio[..audio_info.init_bytes as usize] },
    ];
    let layout = Layout::new(&inputs).unwrap();
    let made = whole(&layout, &[&video, &audio]);
    let order: Vec<_> = layout.parts().iter().map(|part| part.input).collect();
    // The third sound begins at 7.98 s.
    assert_eq!(order, [0, 1, 0, 1, 1, 0], "what begins within a picture's segment follows it");

    let tracks = scan::init(layout.head()).unwrap();
    assert_eq!(
        tracks.iter().map(|t| (t.id, t.is_picture)).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
    assert!(movie(layout.head()).unwrap().trak[1].edts.is_some(), "the pre-skip is kept");
    let mut fragments = Vec::new();
    for (kind, bytes) in scan::boxes(&made).unwrap() {
        if &kind == b"moof" {
            let moof = Moof::decode(&mut &*bytes).unwrap();
            fragments.push((moof.mfhd.sequence_number, moof.traf[0].tfhd.track_id));
        }
    }
    assert_eq!(fragments, [(1, 1), (2, 2), (3, 1), (4, 2), (5, 2), (6, 1)]);
    let (_, index) = scan::boxes(layout.head()).unwrap().into_iter().last().unwrap();
    let index = Sidx::decode(&mut &*index).unwrap();
    let pictures = layout.parts().iter().filter(|part| part.input == 0);
    let starts: Vec<u64> = pictures.map(|part| part.start).collect();
    let mut at = layout.head().len() as u64;
    for (reference, start) in index.references.iter().zip(starts) {
        assert_eq!(at, start);
        at += u64::from(reference.referenced_size);
    }
    assert_eq!(at, layout.total_bytes());
}

#[test]
fn every_byte_is_found_in_its_part() {
    let (audio, info) = sound(&[3, 2]);
    let layout = Layout::new(&[Input { info: &info, init: &audio[..info.init_bytes as usize] }]);
    let layout = layout.unwrap();
    let head = layout.head().len() as u64;
    assert_eq!(layout.part_at(head - 1), None);
    assert_eq!(layout.part_at(layout.total_bytes()), None);
    for offset in head..layout.total_bytes() {
        let part = layout.part_at(offset).unwrap();
        assert!((part.start..part.start + part.bytes()).contains(&offset));
    }
}

#[test]
fn what_is_no_track_of_ours_is_refused() {
    let (audio, info) = sound(&[2]);
    let init = &audio[..info.init_bytes as usize];
    let input = Input { info: &info, init };
    assert_eq!(Layout::new(&[]), Err(MuxError::Tracks(0)));
    assert_eq!(Layout::new(&[input; 5]), Err(MuxError::Tracks(5)));
    let two = Layout::new(&[input, input]).unwrap();
    let again = Input { info: &info, init: two.head() };
    assert_eq!(Layout::new(&[again]), Err(ScanError::Missing("trak").into()));

    let segment = &audio[info.init_bytes as usize..];
    let spoil = |at: usize, byte: u8| {
        let mut bytes = segment.to_vec();
        bytes[at] = byte;
        renumber(&mut bytes, segment.len() as u64, 2, 9)
    };
    assert_eq!(spoil(0, 0), Ok(()), "the head as it is");
    assert_eq!(spoil(4, b'f'), Err(ScanError::Damaged("moof")));
    assert!(spoil(2, 0xff).is_err(), "a box longer than the bytes");
    // The flags of `tfhd`: an absolute offset.
    assert_eq!(spoil(43, 1 | segment[43]), Err(ScanError::Damaged("tfhd")));
    let mut short = segment.to_vec();
    let error = renumber(&mut short, segment.len() as u64 + 1, 2, 9);
    assert_eq!(error, Err(ScanError::Damaged("moof")));
}

proptest! {
    #[test]
    fn damage_never_panics_and_changes_eight_bytes_at_most(
        at in 0usize..300,
        noise in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let (audio, info) = sound(&[40]);
        let mut bytes = audio[info.init_bytes as usize..].to_vec();
        let at = at % (bytes.len() - noise.len());
        bytes[at..at + noise.len()].copy_from_slice(&noise);
        let before = bytes.clone();
        let total = bytes.len() as u64;
        let _ = renumber(&mut bytes, total, 2, 9);
        let changed = before.iter().zip(&bytes).filter(|(a, b)| a != b).count();
        prop_assert!(changed <= 8);
    }

    #[test]
    fn arbitrary_init_segments_never_panic(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = join(&[&noise]);
    }
}
