//! Loss in bursts: the model of Gilbert, with a good state that loses nothing and a bad one that
//! loses everything, so that share and length of bursts are all there is to say.

use crate::bench::seed::splitmix;

/// Chance that is the same in every run.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Begins with a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Gives a number from 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The upper 53 bits are as many as a double holds exactly.
        (splitmix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Which packets are lost.
#[derive(Debug, Clone)]
pub struct Loss {
    is_bad: bool,
    worsens: f64,
    recovers: f64,
    chance: Chance,
}

impl Loss {
    /// Makes one of the share lost in the long run and the average length of a burst in packets.
    ///
    /// A burst of 1 is loss without memory: each packet by its own chance.
    pub fn new(share: f64, burst: f64, chance: Chance) -> Self {
        // Without memory a burst is a little longer than one packet: 1 / (1 − share).
        let recovers = if burst <= 1.0 { 1.0 - share } else { 1.0 / burst };
        // In balance as many bursts begin as end: share × recovers = (1 − share) × worsens.
        let worsens = if share > 0.0 { (share * recovers / (1.0 - share)).min(1.0) } else { 0.0 };
        Self { is_bad: false, worsens, recovers, chance }
    }

    /// Says whether the next packet is lost.
    pub fn is_next_lost(&mut self) -> bool {
        let turns = if self.is_bad { self.recovers } else { self.worsens };
        if self.chance.share() < turns {
            self.is_bad = !self.is_bad;
        }
        self.is_bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: usize = 400_000;

    /// Gives the share lost and the average burst.
    fn measured(share: f64, burst: f64) -> (f64, f64) {
        let mut loss = Loss::new(share, burst, Chance::new(7));
        let lost: Vec<bool> = (0..PACKETS).map(|_| loss.is_next_lost()).collect();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        (count / PACKETS as f64, count / bursts)
    }

    #[test]
    fn as_much_is_lost_in_as_long_bursts_as_was_asked_for() {
        for (share, burst) in [(0.01, 1.0), (0.01, 4.0), (0.05, 10.0), (0.3, 2.0)] {
            let (is_share, is_burst) = measured(share, burst);
            assert!((is_share / share - 1.0).abs() < 0.1, "{share} {burst}: {is_share}");
            let expected = if burst == 1.0 { 1.0 / (1.0 - share) } else { burst };
            assert!((is_burst / expected - 1.0).abs() < 0.1, "{share} {burst}: {is_burst}");
        }
    }

    #[test]
    fn nothing_is_lost_where_nothing_should_be() {
        let mut loss = Loss::new(0.0, 1.0, Chance::new(1));
        assert!((0..PACKETS).all(|_| !loss.is_next_lost()));
    }
}
