//! What lies between two hubs: rate, delay, up or down. Frames keep their order.
//!
//! A frame passes the sender's uplink, the path between the two, and the receiver's downlink;
//! each is a lane that serialises what passes, so that 36 contacts share one uplink.

use crate::rng::Rng;

/// What one hub has towards the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Towards the hub.
    pub down_bytes_per_s: u64,
    /// From the hub.
    pub up_bytes_per_s: u64,
    /// One way, from the hub to the middle of the net.
    pub delay_ms: u64,
}

/// Usable share of a nominal rate, percent (DOMAIN §2.5).
const USABLE_PERCENT: u64 = 70;

impl Access {
    /// A LAN: 1 Gbit/s and no delay to speak of.
    pub const LAN: Self =
        Self { down_bytes_per_s: 125_000_000, up_bytes_per_s: 125_000_000, delay_ms: 0 };

    /// The lead's line of DOMAIN §2.5: 50 Mbit/s up, × 0.7 usable.
    pub const LEAD: Self = Self::of_kbps(100_000, 50_000, 10);

    /// Makes an access from nominal kbit/s, of which 70 % can be used.
    pub const fn of_kbps(down_kbps: u64, up_kbps: u64, delay_ms: u64) -> Self {
        Self {
            down_bytes_per_s: down_kbps * 1000 / 8 * USABLE_PERCENT / 100,
            up_bytes_per_s: up_kbps * 1000 / 8 * USABLE_PERCENT / 100,
            delay_ms,
        }
    }

    /// Draws from the mix of DOMAIN §2.5: 30 % 100/20, 40 % 20/5, 20 % 4/1, 10 % 1/0.3 Mbit/s.
    pub fn rural(rng: &mut Rng) -> Self {
        match rng.below(100) {
            0..30 => Self::of_kbps(100_000, 20_000, 15),
            30..70 => Self::of_kbps(20_000, 5_000, 30),
            70..90 => Self::of_kbps(4_000, 1_000, 60),
            _ => Self::of_kbps(1_000, 300, 300),
        }
    }
}

/// Serialises bytes at a rate, in microseconds of virtual time.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    bytes_per_s: u64,
    busy_until_us: u64,
}

impl Lane {
    /// Makes an idle lane; a rate of 0 counts as 1.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), busy_until_us: 0 }
    }

    /// Lets bytes pass that come at `at_us`; returns when the last of them is through.
    pub fn pass(&mut self, at_us: u64, bytes: usize) -> u64 {
        let takes_us = (bytes as u64 * 1_000_000).div_ceil(self.bytes_per_s);
        self.busy_until_us = self.busy_until_us.max(at_us) + takes_us;
        self.busy_until_us
    }
}

/// The path between two hubs, besides what each of them has as access.
#[derive(Debug, Clone)]
pub struct Path {
    /// False while nothing gets through.
    pub is_up: bool,
    /// One way, besides that of the two accesses.
    pub delay_ms: u64,
    /// From the hub with the smaller number to the other, and back.
    pub lanes: [Lane; 2],
}

impl Path {
    /// Makes a path that is up.
    pub fn new(bytes_per_s: u64, delay_ms: u64) -> Self {
        Self { is_up: true, delay_ms, lanes: [Lane::new(bytes_per_s); 2] }
    }
}

/// The two sides of a hub's access as lanes.
#[derive(Debug, Clone)]
pub struct AccessLanes {
    /// From the hub.
    pub up: Lane,
    /// Towards the hub.
    pub down: Lane,
    /// One way.
    pub delay_ms: u64,
}

impl From<Access> for AccessLanes {
    fn from(access: Access) -> Self {
        Self {
            up: Lane::new(access.up_bytes_per_s),
            down: Lane::new(access.down_bytes_per_s),
            delay_ms: access.delay_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_serialises_what_passes() {
        let mut lane = Lane::new(1_000);
        assert_eq!(lane.pass(0, 500), 500_000);
        assert_eq!(lane.pass(100_000, 500), 1_000_000);
        assert_eq!(lane.pass(5_000_000, 1), 5_001_000);
    }

    #[test]
    fn the_rural_mix_has_all_four_kinds() {
        let mut rng = Rng::new(7);
        let seen: std::collections::BTreeSet<u64> =
            (0..200).map(|_| Access::rural(&mut rng).down_bytes_per_s).collect();
        assert_eq!(seen.len(), 4);
    }
}
