//! Histories that part where the registrar's office was handed over with the root key.

use super::{CONTRADICTING_MAX, Membership, SignedEpoch, hash};
use crate::id::Hash;

impl Membership {
    /// Gives the signed bytes of the epochs from the first hand-over on, for one who holds other
    /// ones of the registrar before it.
    pub fn bytes_handed_over(&self) -> Vec<Vec<u8>> {
        self.bytes_from(self.contradicted_from(self.newest().epoch.n))
    }

    pub(super) fn contradicted_from(&self, n: u64) -> u64 {
        let is_before = |signed: &&SignedEpoch| signed.epoch.delegation_serial() == 0;
        let handed_over = self.epochs.iter().take_while(is_before).count() as u64;
        n.saturating_sub(CONTRADICTING_MAX).max(1).min(handed_over)
    }

    /// Counts the first of these epochs that are one history up to an epoch for which the root key
    /// has delegated anew since ours: it vouches for those before it.
    pub fn vouched(&self, epochs: &[Vec<u8>]) -> usize {
        let serial = self.newest().epoch.delegation_serial();
        let mut before: Option<Hash> = None;
        for (at, bytes) in epochs.iter().enumerate() {
            // The last one's signature stands for all that it follows.
            let Some(epoch) = SignedEpoch::peek(bytes) else { return 0 };
            if before.is_some_and(|hash| hash != epoch.prev_hash) {
                return 0;
            }
            if epoch.delegation_serial() > serial {
                return if SignedEpoch::decode(bytes).is_ok() { at + 1 } else { 0 };
            }
            before = Some(hash(bytes));
        }
        0
    }
}
