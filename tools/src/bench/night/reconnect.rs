//! What it costs two hubs to meet again: `reconnect_bytes`, `reconnect_round_trips` with 50 of
//! 100,000 documents changed, `unchanged_bytes`, `unchanged_round_trips` with none.
//!
//! The real nodes in the simulated world, over a link whose delay is far longer than anything else,
//! in an alliance of 37 hubs, so that vectors are as long as in the largest of Sichuan. Bytes are
//! those of frames, both ways, from the first one of the contact on.

use anyhow::Result;
use yingxue_scenarios::reconnect::Apart;

use super::lab::Lab;
use crate::bench::figures::{Figures, say};

/// Hubs of the alliance.
const HUBS: usize = 37;
/// Documents, and in `--quick`.
const DOCUMENTS: [u64; 2] = [100_000, 5_000];
/// Documents that change while the two are apart.
const CHANGED: u64 = 50;

/// Measures.
pub fn measure(lab: &Lab, figures: &mut Figures) -> Result<()> {
    let documents = lab.pick(DOCUMENTS);
    say(&format!("two nodes of {HUBS} are brought to {documents} documents"));
    let mut apart = Apart::new(HUBS, documents);
    let unchanged = apart.reconnect(0);
    let changed = apart.reconnect(CHANGED);
    figures.put("reconnect_bytes", changed.bytes as f64);
    figures.put("reconnect_round_trips", changed.round_trips);
    figures.put("unchanged_bytes", unchanged.bytes as f64);
    figures.put("unchanged_round_trips", unchanged.round_trips);
    Ok(())
}
