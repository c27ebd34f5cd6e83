//! Randomness as an input: a stream drawn from a seed that the driver gives.
//!
//! Output `n` is BLAKE3 keyed with the seed over the counter `n`, so it is as unpredictable as
//! the seed, and the same seed gives the same run.

/// A seeded stream of random bytes.
pub struct Rng {
    seed: [u8; 32],
    counter: u64,
}

impl Rng {
    /// Starts a stream; a real driver seeds it from the operating system.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// Draws 16 bytes.
    pub fn bytes_16(&mut self) -> [u8; 16] {
        self.counter += 1;
        let block = blake3::keyed_hash(&self.seed, &self.counter.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&block.as_bytes()[..16]);
        bytes
    }

    /// Draws a number from 0 to `bound - 1`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from_le_bytes(self.bytes_16());
        wide.checked_rem(u128::from(bound)).map_or(0, |n| n as u64)
    }
}
