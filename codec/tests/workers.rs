//! The threads of an import: their priority, and what becomes of it when one of them panics.

// clippy.toml allows it in test functions only; these are their makers and readers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::thread::ThreadId;

use yingxue_codec::document::{self, DocumentRequest, Programs};
use yingxue_codec::import::{
    EncoderChoice, ImportError, ImportRequest, Imported, Observer, Progress, Tiers, import,
};
use yingxue_codec::{Ffmpeg, Limits};

#[path = "clip/clip.rs"]
mod clip;

use clip::make;

/// Pages that move, and sound.
const LESSON: &str = "-f lavfi -i testsrc2=s=160x96:r=25:d=9 -f lavfi -i sine=300:d=9 \
                      -c:v libx264 -preset ultrafast -c:a aac";

fn import_with(
    source: &Path,
    work: &Path,
    tiers: Tiers,
    observer: &dyn Observer,
) -> Result<Imported, ImportError> {
    let request = ImportRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        source,
        work_dir: work,
        workers: 2,
        limits: Limits::default(),
        encoder: EncoderChoice::Rav1e,
        tiers,
    };
    import(&request, observer)
}

/// How nice each thread of this process is (proc(5): the 19th field).
fn niceness() -> BTreeMap<String, i32> {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let known = threads.filter_map(|thread| {
        // One that has ended meanwhile has none.
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let after_name = stat.rsplit_once(')')?.1;
        let nice = after_name.split_whitespace().nth(16)?.parse().ok()?;
        Some((thread.file_name().into_string().unwrap(), nice))
    });
    known.collect()
}

/// Keeps how nice the threads are whenever it is called.
#[derive(Default)]
struct Nice(Mutex<BTreeMap<String, i32>>);

impl Nice {
    fn look(&self) {
        self.0.lock().unwrap().extend(niceness());
    }
}

impl Observer for Nice {
    fn progress(&self, _: Progress) {
        self.look();
    }

    fn is_cancelled(&self) -> bool {
        self.look();
        false
    }
}

#[test]
fn a_class_comes_before_every_thread_of_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", LESSON);
    let picture = make(&folder, "page.png", "-f lavfi -i testsrc2=s=160x96 -frames:v 1");
    let before = niceness();
    let nice = Nice::default();
    import_with(&source, &folder.path().join("work"), Tiers::FIRST, &nice).unwrap();
    let programs = Programs::find();
    let request = DocumentRequest {
        ffmpeg: &Ffmpeg::find().unwrap(),
        programs: &programs,
        sources: &[&picture],
        sound: None,
        page_starts_ms: None,
        work_dir: &folder.path().join("pages"),
        workers: 2,
        limits: Limits::default(),
    };
    document::import(&request, &nice).unwrap();
    let mut seen = nice.0.into_inner().unwrap();
    seen.retain(|thread, _| !before.contains_key(thread));
    assert!(seen.len() > 8, "{seen:?}");
    assert!(seen.values().all(|nice| *nice == 10), "{seen:?}");
    assert!(niceness().iter().all(|(thread, nice)| before.get(thread).is_none_or(|b| b == nice)));
}

/// Panics in every thread but that of the import itself.
#[derive(Default)]
struct Panics(OnceLock<ThreadId>);

impl Observer for Panics {
    fn progress(&self, _: Progress) {
        self.0.get_or_init(|| std::thread::current().id());
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn is_paused(&self) -> bool {
        assert_eq!(self.0.get(), Some(&std::thread::current().id()), "on purpose");
        false
    }
}

#[test]
fn a_worker_that_panics_ends_the_import_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder, "in.mp4", LESSON);
    let pictures = Tiers { source: false, audio: false, ..Tiers::FIRST };
    let cases = [
        ("stills", Tiers { video_360: false, ..pictures }),
        ("video", Tiers { slides: false, ..pictures }),
        ("both", pictures),
    ];
    for (name, tiers) in cases {
        let work = folder.path().join(name);
        let error = import_with(&source, &work, tiers, &Panics::default()).unwrap_err();
        assert_eq!(error.code(), "internal", "{name}: {error}");
        // It was nothing about the file: the same folder becomes a lesson.
        import_with(&source, &work, tiers, &Nice::default()).unwrap();
    }
}
