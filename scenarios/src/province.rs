//! A province of school nights: dozens of alliances, each a [`World`](crate::world::World) of
//! real nodes with lines that come and go, hubs that are switched off, rotting bits and wrong
//! clocks; a timetable; and a look at 07:00 at what can be taught.
//!
//! Alliances do not depend on one another, so they run on as many threads as asked. A school in
//! two alliances is a hub in each, with half of its line and half of its lessons.
//!
//! What is simulated is scaled: rates and sizes by [`Preset::bytes_scale`], times not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

mod draw;
mod nights;
pub mod plots;
mod policy;
mod preset;
mod report;

pub use preset::{Link, Preset, PresetError, Published, Stage, Tier, Tracks};
pub use report::{HourOfReadiness, LessonCount, Report, SchoolNight};

/// Runs a province for some school nights, and tells of each alliance that is done.
pub fn run(
    preset: &Preset,
    nights: u64,
    threads: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Report {
    let mut alliances: Vec<_> = draw::alliances(preset).into_iter().enumerate().collect();
    // The largest first, so that no thread is left with it at the end.
    alliances.sort_by_key(|(_, alliance)| std::cmp::Reverse(alliance.receivers.len()));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = Mutex::new(Report::new(preset, nights));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, alliances.len()) {
            scope.spawn(|| {
                while let Some((lead, alliance)) =
                    alliances.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let part = nights::run(preset, *lead, alliance, nights);
                    report.lock().unwrap_or_else(|broken| broken.into_inner()).add(part);
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, alliances.len());
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(|broken| broken.into_inner())
}
