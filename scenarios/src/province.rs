//! A province of school nights: dozens of alliances, each a [`World`](crate::world::World) of
//! real nodes with lines that come and go, hubs that are switched off, rotting bits and wrong
//! clocks; a timetable; and a look at 07:00 at what can be taught.
//!
//! Alliances do not depend on one another, so they run on as many threads as asked. A school in
//! two alliances is a hub in each, with half of its line and half of its lessons.
//!
//! Lessons are scaled: one byte of a piece stands for [`Preset::bytes_scale`] and takes as long on
//! every line as those would. Lines, times and all other messages are as they are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

mod draw;
mod nights;
pub mod plots;
mod policy;
mod preset;
mod report;

pub use preset::{Courier, Link, Preset, PresetError, Published, Stage, Tier, Tracks};
pub use report::{HourOfReadiness, LessonCount, Report, SchoolNight, SentBytes, Unhealed};

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Alliances that are done, and all of them.
    pub alliances: [usize; 2],
    /// Simulated hours of hubs that are done, and all of them.
    pub hub_hours: [u64; 2],
}

/// Runs a province for some school nights, and tells of each simulated hour that is done.
pub fn run(
    preset: &Preset,
    nights: u64,
    threads: usize,
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    let mut alliances: Vec<_> = draw::alliances(preset).into_iter().enumerate().collect();
    // The largest first, so that no thread is left with it at the end.
    alliances.sort_by_key(|(_, alliance)| std::cmp::Reverse(alliance.receivers.len()));
    let next = AtomicUsize::new(0);
    let hubs = |alliance: &draw::Alliance| 1 + alliance.receivers.len() as u64;
    let all: u64 = alliances.iter().map(|(_, alliance)| hubs(alliance)).sum();
    let done = Mutex::new(Progress {
        alliances: [0, alliances.len()],
        hub_hours: [0, all * nights::hours(preset, nights)],
    });
    let note = |more: [u64; 2]| {
        let mut done = done.lock().unwrap_or_else(|broken| broken.into_inner());
        done.alliances[0] += more[0] as usize;
        done.hub_hours[0] += more[1];
        progress(*done);
    };
    let report = Mutex::new(Report::new(preset, nights));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, alliances.len()) {
            scope.spawn(|| {
                while let Some((lead, alliance)) =
                    alliances.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let part =
                        nights::run(preset, *lead, alliance, nights, || note([0, hubs(alliance)]));
                    report.lock().unwrap_or_else(|broken| broken.into_inner()).add(part);
                    note([1, 0]);
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(|broken| broken.into_inner())
}
