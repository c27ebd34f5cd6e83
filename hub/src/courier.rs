//! Couriers: lessons and comments go by stick where no wire goes, and come back the same way.
//!
//! An export writes what the schools that it is for lack, as their receipts say; an import hands
//! what it finds to the node, which judges it as it judges what a contact sends. Both are rows
//! that outlive a restart, and both may be cut off at any byte and begun again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use yingxue_sync_io::courier::{Parcel, StickError};

use crate::app::App;

mod contents;
mod drives;
mod export;
mod files;
mod import;
mod joining;
mod needs;
mod packer;
pub(crate) mod receipts;
mod report;
mod routes;
pub mod runner;
mod shown;
pub(crate) mod table;
mod taker;
pub(crate) mod worth;

pub use report::{CarriedLesson, Report};
pub use routes::routes;

/// Bytes of a segment: what a stick that is pulled out costs, three seconds of writing.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What is written to sticks and read from them now.
pub struct Courier {
    wake: Notify,
    live: Mutex<BTreeMap<i64, Arc<Live>>>,
    segment_bytes: AtomicU64,
}

/// How far a job is that runs.
#[derive(Default)]
struct Live {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    is_cancelled: AtomicBool,
    /// Looks until a test stops it in the middle; 0 never does.
    #[cfg(test)]
    looks_left: AtomicU64,
    /// The segment that a test's stick cannot read, counted from 1; 0 for none.
    #[cfg(test)]
    bad_segment: AtomicU64,
}

impl Default for Courier {
    fn default() -> Self {
        let segment_bytes = AtomicU64::new(SEGMENT_BYTES);
        Self { wake: Notify::new(), live: Mutex::default(), segment_bytes }
    }
}

impl Courier {
    /// Tells the runner that a job waits.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    fn begin(&self, id: i64) -> Arc<Live> {
        let mut live = self.live.lock().expect("never held over a panic");
        Arc::clone(live.entry(id).or_default())
    }

    fn end(&self, id: i64) {
        self.live.lock().expect("never held over a panic").remove(&id);
    }

    /// Asks a job that runs to stop.
    fn cancel(&self, id: i64) {
        let live = self.live.lock().expect("never held over a panic");
        if let Some(live) = live.get(&id) {
            live.is_cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Gives the bytes done and the bytes in all of a job, as they are now.
    fn progress(&self, row: &table::Row) -> (u64, u64) {
        let live = self.live.lock().expect("never held over a panic");
        live.get(&row.id).map_or((row.done_bytes, row.total_bytes), |live| {
            let done = live.done_bytes.load(Ordering::Relaxed);
            (done, live.total_bytes.load(Ordering::Relaxed).max(done))
        })
    }
}

impl Live {
    fn add(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn expect(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Looks whether a segment is what its manifest says.
    fn check(&self, app: &App, parcel: &Parcel, number: usize) -> Result<(), StickError> {
        #[cfg(test)]
        if self.bad_segment.load(Ordering::Relaxed) == number as u64 + 1 {
            return Err(StickError::Io(rustix::io::Errno::IO.into()));
        }
        parcel.check(number, &|| self.stops(app))
    }

    /// Says whether to stop: somebody has cancelled, or the hub stops.
    fn stops(&self, app: &App) -> bool {
        #[cfg(test)]
        if self.looks_left.load(Ordering::Relaxed) > 0
            && self.looks_left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
        self.is_cancelled.load(Ordering::Relaxed) || app.shutdown.is_on()
    }
}

#[cfg(test)]
pub(crate) mod tests;
