//! Bytes that took work to make, kept while there is room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use bytes::Bytes;

/// A store of bytes with a bound; the least used ones go first.
pub struct Kept<K> {
    bytes_max: usize,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    entries: HashMap<K, (Bytes, u64)>,
    bytes: usize,
    uses: u64,
}

impl<K: Hash + Eq + Clone> Kept<K> {
    /// Makes an empty store.
    pub fn new(bytes_max: usize) -> Self {
        let inner = Inner { entries: HashMap::new(), bytes: 0, uses: 0 };
        Self { bytes_max, inner: Mutex::new(inner) }
    }

    /// Finds what was kept.
    pub fn get(&self, key: &K) -> Option<Bytes> {
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.uses += 1;
        let now = inner.uses;
        let (bytes, used) = inner.entries.get_mut(key)?;
        *used = now;
        Some(bytes.clone())
    }

    /// Keeps bytes; others go if there is no room, and what is larger than all is not kept.
    pub fn put(&self, key: K, bytes: Bytes) {
        if bytes.len() > self.bytes_max {
            return;
        }
        let mut inner = self.inner.lock().expect("never held over a panic");
        inner.uses += 1;
        let now = inner.uses;
        inner.bytes += bytes.len();
        if let Some((old, _)) = inner.entries.insert(key, (bytes, now)) {
            inner.bytes -= old.len();
        }
        while inner.bytes > self.bytes_max {
            let oldest = inner.entries.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some((gone, _)) = inner.entries.remove(&oldest) {
                inner.bytes -= gone.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_goes_first_and_the_bound_holds() {
        let kept = Kept::new(10);
        kept.put(1, Bytes::from_static(b"aaaa"));
        kept.put(2, Bytes::from_static(b"bbbb"));
        assert_eq!(kept.get(&1).unwrap(), "aaaa");
        kept.put(3, Bytes::from_static(b"cccc"));
        assert_eq!((kept.get(&2), kept.get(&1).is_some()), (None, true));
        kept.put(1, Bytes::from_static(b"a"));
        kept.put(4, Bytes::from_static(b"ddddd"));
        assert!(kept.get(&3).is_some(), "the room of what was replaced is free");
        kept.put(5, Bytes::from_static(b"eleven bytes"));
        assert!(kept.get(&5).is_none() && kept.get(&4).is_some());
    }
}
