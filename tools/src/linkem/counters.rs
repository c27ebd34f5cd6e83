//! What went over the link, by direction.

use serde::{Deserialize, Serialize};

/// Bytes of the fixed part of an IPv4 header, and of TCP's.
const IPV4_BYTES: usize = 20;
/// IPv4's number for TCP.
const TCP: u8 = 6;

/// Packets and their bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes with the IP header.
    pub bytes: u64,
}

impl Count {
    /// Counts a packet.
    pub const fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// One direction's counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// What was on the wire: all that was not dropped before it.
    pub sent: Count,
    /// What of it arrived.
    pub delivered: Count,
    /// Lost by chance.
    pub lost: Count,
    /// Dropped because the queue was full.
    pub dropped_queue: Count,
    /// Dropped because the link was cut.
    pub dropped_cut: Count,
    /// Bytes inside TCP of what was on the wire: without the headers of IP and TCP, with what
    /// was sent again.
    pub tcp_payload_bytes: u64,
}

/// Gives the bytes that an IPv4 packet carries inside TCP; none if it carries something else.
pub fn tcp_payload_bytes(packet: &[u8]) -> u64 {
    let payload = || -> Option<usize> {
        let first = packet.first()?;
        if first >> 4 != 4 || *packet.get(9)? != TCP {
            return None;
        }
        let ip_bytes = usize::from(first & 0xf) * 4;
        let tcp_bytes = usize::from(packet.get(ip_bytes.max(IPV4_BYTES) + 12)? >> 4) * 4;
        let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
        total.checked_sub(ip_bytes + tcp_bytes)
    };
    payload().unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_inside_tcp_are_those_behind_both_headers() {
        let mut packet = vec![0; 152];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&152_u16.to_be_bytes());
        packet[9] = TCP;
        packet[32] = 0x80;
        assert_eq!(tcp_payload_bytes(&packet), 100);
        packet[9] = 17;
        assert_eq!(tcp_payload_bytes(&packet), 0);
        assert_eq!(tcp_payload_bytes(&[0x45, 0]), 0);
    }
}
