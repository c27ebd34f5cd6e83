//! One direction of a link, as arithmetic: when a packet that is offered now arrives, if it does.
//!
//! Time is nanoseconds since the link began, and passed in. A packet waits in a queue, leaves it
//! at the link's rate, may be lost on the way, and arrives after the delay. As in a real link a
//! lost packet has used its time on the wire.

use std::collections::VecDeque;

use super::loss::{Chance, Loss};
use super::shape::Direction;

/// Why a packet does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The queue was full.
    Queue,
    /// Chance.
    Loss,
}

/// The state of one direction.
#[derive(Debug)]
pub struct Model {
    direction: Direction,
    /// When the link would have sent everything so far, had it always been busy from then on; it
    /// may lie in the past by the time that the burst takes.
    free_at: u64,
    /// When each packet in the queue has left it, and its bytes.
    queue: VecDeque<(u64, u64)>,
    queued_bytes: u64,
    arrives_at: u64,
    loss: Loss,
    jitter: Chance,
}

impl Model {
    /// Makes an idle direction.
    pub fn new(direction: Direction, seed: u64) -> Self {
        Self {
            loss: Loss::new(direction.loss, direction.loss_burst, Chance::new(seed)),
            jitter: Chance::new(!seed),
            direction,
            free_at: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            arrives_at: 0,
        }
    }

    /// Takes a packet; gives when it arrives on the other side, never before the one before it.
    pub fn offer(&mut self, now: u64, bytes: u64) -> Result<u64, Dropped> {
        self.leave_queue(now);
        if self.queued_bytes + bytes > self.direction.queue_bytes {
            return Err(Dropped::Queue);
        }
        let begins_at = self.free_at.max(now.saturating_sub(self.ns(self.direction.burst_bytes)));
        self.free_at = begins_at + self.ns(bytes);
        let leaves_at = self.free_at.max(now);
        self.queue.push_back((leaves_at, bytes));
        self.queued_bytes += bytes;
        if self.loss.is_next_lost() {
            return Err(Dropped::Loss);
        }
        let delay_ms = self.direction.delay_ms + self.direction.jitter_ms * self.jitter.share();
        self.arrives_at = self.arrives_at.max(leaves_at + (delay_ms * 1e6) as u64);
        Ok(self.arrives_at)
    }

    /// Forgets what waits and what is on its way, because the link was cut.
    pub fn cut(&mut self, now: u64) {
        self.queue.clear();
        (self.queued_bytes, self.free_at, self.arrives_at) = (0, now, now);
    }

    fn leave_queue(&mut self, now: u64) {
        while let Some((_, bytes)) = self.queue.pop_front_if(|(leaves_at, _)| *leaves_at <= now) {
            self.queued_bytes -= bytes;
        }
    }

    fn ns(&self, bytes: u64) -> u64 {
        (bytes as f64 * 8e9 / self.direction.rate_bits_per_s) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    /// 1 Mbit/s: a packet of 1,250 bytes takes 10 ms.
    fn direction() -> Direction {
        Direction {
            rate_bits_per_s: 1e6,
            burst_bytes: 0,
            delay_ms: 100.0,
            jitter_ms: 0.0,
            loss: 0.0,
            loss_burst: 1.0,
            queue_bytes: 12_500,
        }
    }

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        let mut model = Model::new(direction(), 1);
        let arrivals: Vec<u64> = (0..4).map(|_| model.offer(0, 1_250).unwrap() / MS).collect();
        assert_eq!(arrivals, [110, 120, 130, 140]);
        assert_eq!(model.offer(5 * S, 1_250), Ok(5 * S + 110 * MS), "an idle link has no queue");
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped_until_there_is_room() {
        let mut model = Model::new(direction(), 1);
        let fates: Vec<bool> = (0..12).map(|_| model.offer(0, 1_250).is_ok()).collect();
        assert_eq!(fates.iter().filter(|is_ok| **is_ok).count(), 10);
        assert_eq!(model.offer(9 * MS, 1_250), Err(Dropped::Queue));
        assert_eq!(model.offer(10 * MS, 1_250), Ok(210 * MS), "the first one has left");
    }

    #[test]
    fn after_a_pause_a_burst_leaves_at_once_and_then_the_rate_holds() {
        let mut model = Model::new(Direction { burst_bytes: 2_500, ..direction() }, 1);
        let arrivals: Vec<u64> = (0..4).map(|_| model.offer(S, 1_250).unwrap() / MS).collect();
        assert_eq!(arrivals, [1_100, 1_100, 1_110, 1_120]);
    }

    #[test]
    fn an_overloaded_link_carries_its_rate_whatever_is_offered() {
        for overload in [1.5, 4.0] {
            let mut model = Model::new(direction(), 1);
            let gap = (10.0 * MS as f64 / overload) as u64;
            let offered = 100 * S / gap;
            let carried = (0..offered).filter(|i| model.offer(i * gap, 1_250).is_ok()).count();
            let bits_per_s = carried as f64 * 10_000.0 / 100.0;
            assert!((bits_per_s / 1e6 - 1.0).abs() < 0.005, "{overload}: {bits_per_s}");
        }
    }

    /// A queue with chance in its arrivals against the theory of it: with packets of one size
    /// (M/D/1) the mean wait is ρ / (2 (1 − ρ)) of a packet's time (Pollaczek and Khinchine).
    #[test]
    fn the_mean_wait_is_the_one_of_theory() {
        for load in [0.3, 0.5, 0.8] {
            let unbounded = Direction { queue_bytes: u64::MAX / 2, ..direction() };
            let mut model = Model::new(unbounded, 1);
            let mut chance = Chance::new(42);
            let (mut now, mut waited, packets) = (0.0, 0.0, 200_000);
            for _ in 0..packets {
                now += -(1.0 - chance.share()).ln() * 10.0 * MS as f64 / load;
                let arrives_at = model.offer(now as u64, 1_250).unwrap();
                waited += arrives_at as f64 - now - 110.0 * MS as f64;
            }
            let mean_ms = waited / f64::from(packets) / MS as f64;
            let theory_ms = 10.0 * load / (2.0 * (1.0 - load));
            assert!((mean_ms / theory_ms - 1.0).abs() < 0.05, "{load}: {mean_ms} {theory_ms}");
        }
    }

    #[test]
    fn jitter_is_within_its_bound_and_keeps_the_order() {
        let mut model = Model::new(Direction { jitter_ms: 50.0, ..direction() }, 3);
        let arrivals: Vec<u64> =
            (0..1_000).map(|i| model.offer(i * 20 * MS, 1_250).unwrap() - i * 20 * MS).collect();
        assert!(arrivals.iter().all(|wait| (110 * MS..160 * MS).contains(wait)));
        assert!(arrivals.iter().any(|wait| *wait > 150 * MS));
        let absolute: Vec<u64> = (0..1_000).zip(&arrivals).map(|(i, w)| i * 20 * MS + w).collect();
        assert!(absolute.is_sorted());
    }

    #[test]
    fn lost_packets_have_used_the_link() {
        let lossy = Direction { loss: 0.5, queue_bytes: 1 << 40, ..direction() };
        let mut model = Model::new(lossy, 1);
        let last = (0..1_000).filter_map(|_| model.offer(0, 1_250).ok()).last().unwrap();
        assert!(last > 9 * S, "{last}");
    }

    #[test]
    fn a_cut_empties_the_queue() {
        let mut model = Model::new(direction(), 1);
        (0..10).for_each(|_| assert!(model.offer(0, 1_250).is_ok()));
        model.cut(MS);
        assert_eq!(model.offer(2 * MS, 1_250), Ok(112 * MS));
    }
}
