//! One transfer at a time per upload: who comes next ends the one that hangs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};

use crate::problem::ApiError;

/// How long a new transfer waits for the old one to flush; a slow disk needs seconds.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Which uploads take bytes now.
#[derive(Default)]
pub struct Uploads {
    slots: Arc<Mutex<HashMap<String, Arc<Slot>>>>,
}

struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Counts those who came; a holder that sees it move gives way.
    arrivals: watch::Sender<u64>,
}

/// The right to change one upload, until it is dropped.
pub(crate) struct Turn {
    id: String,
    slots: Arc<Mutex<HashMap<String, Arc<Slot>>>>,
    arrivals: watch::Receiver<u64>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Uploads {
    /// Takes the turn; a transfer that holds it is asked to stop, keeps what it has, and gives way.
    pub(crate) async fn take(&self, id: &str) -> Result<Turn, ApiError> {
        let slot = {
            let mut slots = self.slots.lock().expect("never held over a panic");
            let fresh = || {
                let arrivals = watch::channel(0).0;
                Arc::new(Slot { turn: Arc::default(), arrivals })
            };
            Arc::clone(slots.entry(id.to_owned()).or_insert_with(fresh))
        };
        slot.arrivals.send_modify(|count| *count += 1);
        let mut turn = Turn {
            id: id.to_owned(),
            slots: Arc::clone(&self.slots),
            arrivals: slot.arrivals.subscribe(),
            held: None,
        };
        let held = tokio::time::timeout(WAIT_MAX, Arc::clone(&slot.turn).lock_owned()).await;
        let busy = "Another transfer of this file does not end; try again in a minute.";
        turn.held = Some(held.map_err(|_| ApiError::conflict(busy))?);
        turn.arrivals.mark_unchanged();
        Ok(turn)
    }
}

impl Turn {
    /// Waits until somebody else wants the turn.
    pub(super) async fn is_wanted(&mut self) {
        if self.arrivals.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut slots = self.slots.lock().expect("never held over a panic");
        // Whoever waits in `take` holds a reference; without one the map's is the last.
        if slots.get(&self.id).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_next_makes_the_holder_give_way_and_slots_do_not_pile_up() {
        let uploads = Arc::new(Uploads::default());
        let mut first = uploads.take("a").await.unwrap();
        let (begun, holds) = tokio::sync::oneshot::channel();
        let holder = tokio::spawn(async move {
            begun.send(()).unwrap();
            first.is_wanted().await;
        });
        holds.await.unwrap();
        let second = uploads.take("a").await.unwrap();
        holder.await.unwrap();
        drop(second);
        assert!(uploads.slots.lock().unwrap().is_empty());
    }
}
