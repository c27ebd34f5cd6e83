//! How long the stages of imports take on this hub: what `seconds_left` goes by.
//!
//! A small file that nothing depends on: without it, or with a damaged one, the next import goes
//! by estimates.

use std::path::{Path, PathBuf};

use yingxue_codec::import::{Rates, VideoRates};

/// How much of what was known is kept when an import has measured anew: lessons differ.
const KEPT_PART: f64 = 0.5;
/// The longest file that is read, in bytes: nine numbers and their names.
const BYTES_MAX: u64 = 4096;

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("import-rates.json")
}

/// Gives what earlier imports have measured.
pub(super) fn known(data_dir: &Path) -> Option<Rates> {
    let path = path(data_dir);
    let is_small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= BYTES_MAX);
    let text = is_small.then(|| std::fs::read(&path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Keeps what an import has measured, together with what was known.
pub(super) fn keep(data_dir: &Path, measured: Rates) {
    let rates = match known(data_dir) {
        Some(known) => between(known, measured),
        None => measured,
    };
    let text = serde_json::to_vec(&rates).expect("nine numbers always encode");
    let (path, part) = (path(data_dir), data_dir.join("import-rates.part"));
    if let Err(error) = std::fs::write(&part, text).and_then(|()| std::fs::rename(part, path)) {
        tracing::debug!(%error, "how long imports take is not kept");
    }
}

fn between(known: Rates, measured: Rates) -> Rates {
    let mix = |known: f64, measured: f64| known * KEPT_PART + measured * (1.0 - KEPT_PART);
    let video = |known: VideoRates, measured: VideoRates| VideoRates {
        video_360: mix(known.video_360, measured.video_360),
        video_480: mix(known.video_480, measured.video_480),
    };
    Rates {
        decode: mix(known.decode, measured.decode),
        source: mix(known.source, measured.source),
        audio: mix(known.audio, measured.audio),
        look: mix(known.look, measured.look),
        page: mix(known.page, measured.page),
        rav1e: video(known.rav1e, measured.rav1e),
        svt_av1: video(known.svt_av1, measured.svt_av1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_kept_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(known(folder.path()), None);
        let first = Rates { look: 0.4, ..Rates::default() };
        keep(folder.path(), first);
        assert_eq!(known(folder.path()), Some(first));
        keep(folder.path(), Rates { look: 0.8, ..first });
        assert!((known(folder.path()).unwrap().look - 0.6).abs() < 1e-9);
        // The second is what an older program kept: its pages were a part of the look.
        let older = r#"{"source":1,"audio":1,"slides":1,"rav1e":{"video_360":1,"video_480":3},
            "svt_av1":{"video_360":1,"video_480":3}}"#;
        for unreadable in ["{", older] {
            std::fs::write(path(folder.path()), unreadable).unwrap();
            assert_eq!(known(folder.path()), None);
        }
    }
}
