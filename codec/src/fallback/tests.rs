use super::*;
use crate::track::TrackKind;
use crate::track::tests::track;

fn sound() -> TrackInfo {
    let mut info = track(TrackKind::Audio, &[(192_960, 9), (191_520, 9), (95_520, 9)]);
    info.timescale = SAMPLE_RATE;
    info
}

#[test]
fn the_picture_sets_the_borders_and_no_frame_is_missing_or_twice() {
    let mut picture = track(TrackKind::Video360, &[(51_200, 9), (51_200, 9), (25_600, 9)]);
    picture.timescale = 12_800;
    let sound = sound();
    let plan = Plan { picture: Some(&picture), sound: Some(&sound) };
    assert_eq!(plan.seconds(), [4.0, 4.0, 2.0]);
    let spans: Vec<_> = (0..3).map(|n| frames(&plan.span(n).unwrap())).collect();
    assert_eq!(spans, [0..188, 188..375, 375..469]);
    assert_eq!(plan.needs(1), Some(Needs { picture: Some(1), sound: 0..3 }));
    assert_eq!(plan.needs(3), None);
    assert_eq!(Plan { picture: None, sound: None }.needs(0), None);
    let alone = Plan { picture: None, sound: Some(&sound) };
    assert_eq!(alone.needs(0), Some(Needs { picture: None, sound: 0..2 }));
}

#[test]
fn foreign_tracks_and_damaged_bytes_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::find().unwrap();
    let limits = Limits::default();
    let workshop = Workshop { ffmpeg: &ffmpeg, limits: &limits, folder: folder.path() };
    let mut other = sound();
    other.timescale = 1000;
    let plan = Plan { picture: None, sound: Some(&other) };
    let made = plan.make(0, &Material::default(), &workshop, &|| false);
    assert!(matches!(made, Err(FallbackError::Unsupported)), "{made:?}");
    let sound = sound();
    let plan = Plan { picture: None, sound: Some(&sound) };
    let material = Material { sound_init: vec![0; 40], ..Material::default() };
    let made = plan.make(0, &material, &workshop, &|| false);
    assert!(matches!(made, Err(FallbackError::Boxes(_))), "{made:?}");
    assert!(matches!(
        plan.make(9, &material, &workshop, &|| false),
        Err(FallbackError::Unsupported)
    ));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
