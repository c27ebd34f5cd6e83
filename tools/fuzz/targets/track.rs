//! Descriptions of tracks in manifests, and the playlists that are written from them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yingxue_codec::playlist::{self, MasterTrack};
use yingxue_codec::track::TrackInfo;
use yingxue_sync_core::blob::Manifest;

fuzz_target!(|bytes: &[u8]| {
    describe(bytes);
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
        describe(&manifest.info);
    }
});

fn describe(bytes: &[u8]) {
    if let Ok(info) = TrackInfo::decode(bytes) {
        assert_eq!(TrackInfo::decode(&info.encode()).as_ref(), Ok(&info));
        info.pieces();
        playlist::media(&info, "blob", |range| range.start % 2 == 0);
        playlist::master(&[MasterTrack { info: &info, uri: "track".into() }]);
    }
}
