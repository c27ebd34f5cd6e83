//! Counts wrong tries per key in a fixed window, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Length of a window: short enough for a child who forgot, long enough to stop guessing.
const WINDOW: Duration = Duration::from_secs(300);
/// Keys remembered; beyond it the oldest is forgotten. About 1 MiB.
const KEYS_MAX: usize = 10_000;

/// Wrong tries by key.
pub struct Throttle<K> {
    tries_max: u32,
    windows: Mutex<HashMap<K, Window>>,
}

struct Window {
    started: Instant,
    tries: u32,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// Allows `tries_max` wrong tries per key and window.
    pub fn new(tries_max: u32) -> Self {
        Self { tries_max, windows: Mutex::new(HashMap::new()) }
    }

    /// Counts a try before its outcome is known, so that many at once do not slip through.
    /// On refusal gives the seconds to wait.
    pub fn begin(&self, key: &K, now: Instant) -> Result<(), u64> {
        let mut windows = self.windows.lock().expect("never held over a panic");
        windows.retain(|_, window| now.duration_since(window.started) < WINDOW);
        if windows.len() >= KEYS_MAX && !windows.contains_key(key) {
            let oldest = windows.iter().min_by_key(|(_, w)| w.started).map(|(k, _)| k.clone());
            oldest.map(|oldest| windows.remove(&oldest));
        }
        let fresh = || Window { started: now, tries: 0 };
        let window = windows.entry(key.clone()).or_insert_with(fresh);
        if window.tries >= self.tries_max {
            return Err((WINDOW - now.duration_since(window.started)).as_secs().max(1));
        }
        window.tries += 1;
        Ok(())
    }

    /// Takes a try back that was right after all.
    pub fn forgive(&self, key: &K) {
        let mut windows = self.windows.lock().expect("never held over a panic");
        if let Some(window) = windows.get_mut(key) {
            window.tries = window.tries.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_beyond_the_limit_wait_for_the_window_and_right_ones_do_not_count() {
        let (throttle, now) = (Throttle::new(2), Instant::now());
        for _ in 0..10 {
            throttle.begin(&"li", now).unwrap();
            throttle.forgive(&"li");
        }
        throttle.begin(&"li", now).unwrap();
        throttle.begin(&"li", now).unwrap();
        let later = now + Duration::from_secs(100);
        assert_eq!(throttle.begin(&"li", later), Err(200));
        throttle.begin(&"wang", later).unwrap();
        throttle.begin(&"li", now + WINDOW).unwrap();
    }

    #[test]
    fn the_memory_is_bounded() {
        let (throttle, now) = (Throttle::new(1), Instant::now());
        for n in 0..KEYS_MAX + 50 {
            throttle.begin(&n, now + Duration::from_micros(n as u64)).unwrap();
        }
        assert_eq!(throttle.windows.lock().unwrap().len(), KEYS_MAX);
    }
}
