//! What a link is like, as numbers with units, and links that have names.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Bits per second at most: what one core of a small computer moves packet by packet.
const RATE_MAX: f64 = 1e9;
/// Milliseconds one way at most: to the Moon and back.
const DELAY_MS_MAX: f64 = 3_000.0;

/// One direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Direction {
    /// Bits of IP packets per second.
    pub rate_bits_per_s: f64,
    /// Bytes that may leave at once after a pause.
    pub burst_bytes: u64,
    /// Milliseconds from the end of the queue to the other side.
    pub delay_ms: f64,
    /// Milliseconds more, by chance, evenly; packets keep their order.
    pub jitter_ms: f64,
    /// Share of packets lost, in the long run.
    pub loss: f64,
    /// Packets lost in a row, on average.
    pub loss_burst: f64,
    /// Bytes that may wait; a packet that does not fit is dropped.
    pub queue_bytes: u64,
}

/// Both directions, and when the link is there at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shape {
    /// From the first side to the second, and back.
    pub directions: [Direction; 2],
    /// Milliseconds from one cut to the next; 0 is never.
    pub cut_every_ms: u64,
    /// Milliseconds that a cut lasts, at the end of each such time.
    pub cut_for_ms: u64,
    /// What chance begins with.
    pub seed: u64,
}

/// Links that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A satellite: 2 Mbit/s, 600 ms there and back, 1 % loss
    Vsat,
    /// Mobile radio at the edge of its cell: 4 Mbit/s, 80 ms there and back, 1 % loss
    #[value(name = "weak_4g")]
    Weak4g,
    /// The same radio at night, cut for 10 s every 3 minutes
    Night,
}

impl Preset {
    fn shape(self) -> Shape {
        let (rate_bits_per_s, delay_ms, jitter_ms, queue_bytes) = match self {
            // A modem's queue of one bandwidth-delay product.
            Self::Vsat => (2e6, 300.0, 2.0, 150_000),
            // Base stations queue for half a second and more.
            Self::Weak4g | Self::Night => (4e6, 40.0, 5.0, 250_000),
        };
        let direction = Direction {
            rate_bits_per_s,
            burst_bytes: 3_000,
            delay_ms,
            jitter_ms,
            loss: 0.01,
            loss_burst: 1.0,
            queue_bytes,
        };
        let (cut_every_ms, cut_for_ms) =
            if self == Self::Night { (180_000, 10_000) } else { (0, 0) };
        Shape { directions: [direction; 2], cut_every_ms, cut_for_ms, seed: 1 }
    }
}

/// How a shape is given on the command line: a preset, and what differs from it.
#[derive(Args)]
pub struct ShapeArgs {
    /// A link that has a name
    #[arg(long, value_enum, default_value = "weak_4g")]
    preset: Preset,
    /// Mbit/s; two values with a comma for there and back
    #[arg(long, value_delimiter = ',', value_name = "MBIT_PER_S")]
    rate: Vec<f64>,
    /// Milliseconds one way
    #[arg(long, value_delimiter = ',', value_name = "MS")]
    delay: Vec<f64>,
    /// Milliseconds more, by chance
    #[arg(long, value_delimiter = ',', value_name = "MS")]
    jitter: Vec<f64>,
    /// Percent of packets that are lost
    #[arg(long, value_delimiter = ',', value_name = "PERCENT")]
    loss: Vec<f64>,
    /// Packets lost in a row, on average; 1 is each by its own chance
    #[arg(long, value_delimiter = ',', value_name = "PACKETS")]
    loss_burst: Vec<f64>,
    /// Bytes that wait at most
    #[arg(long, value_delimiter = ',', value_name = "BYTES")]
    queue: Vec<u64>,
    /// Bytes that leave at once after a pause
    #[arg(long, value_delimiter = ',', value_name = "BYTES")]
    burst: Vec<u64>,
    /// Seconds from one cut to the next; 0 is never
    #[arg(long, value_name = "S")]
    cut_every: Option<f64>,
    /// Seconds that a cut lasts
    #[arg(long, value_name = "S")]
    cut_for: Option<f64>,
    /// What chance begins with
    #[arg(long)]
    seed: Option<u64>,
}

impl ShapeArgs {
    /// Puts preset and differences together.
    ///
    /// # Errors
    /// Says which value is out of bounds, and the bounds.
    pub fn shape(&self) -> Result<Shape> {
        let mut shape = self.preset.shape();
        for (n, direction) in shape.directions.iter_mut().enumerate() {
            set(&self.rate, n, |mbit| direction.rate_bits_per_s = mbit * 1e6);
            set(&self.delay, n, |ms| direction.delay_ms = ms);
            set(&self.jitter, n, |ms| direction.jitter_ms = ms);
            set(&self.loss, n, |percent| direction.loss = percent / 100.0);
            set(&self.loss_burst, n, |packets| direction.loss_burst = packets);
            set(&self.queue, n, |bytes| direction.queue_bytes = bytes);
            set(&self.burst, n, |bytes| direction.burst_bytes = bytes);
            direction.check()?;
        }
        let ms = |seconds: f64| (seconds * 1000.0).round().max(0.0) as u64;
        shape.cut_every_ms = self.cut_every.map_or(shape.cut_every_ms, ms);
        shape.cut_for_ms = self.cut_for.map_or(shape.cut_for_ms, ms);
        shape.seed = self.seed.unwrap_or(shape.seed);
        let is_up_sometimes = shape.cut_every_ms == 0 || shape.cut_for_ms < shape.cut_every_ms;
        ensure!(is_up_sometimes, "a cut has to be shorter than the time from one to the next");
        Ok(shape)
    }
}

/// Sets one direction's value; a single one is for both.
fn set<T: Copy>(values: &[T], n: usize, put: impl FnOnce(T)) {
    if let Some(value) = values.get(n).or(values.first()) {
        put(*value);
    }
}

impl Direction {
    fn check(&self) -> Result<()> {
        let within = |name: &str, value: f64, min: f64, max: f64| {
            ensure!((min..=max).contains(&value), "{name} of {value}: {min} to {max} is allowed");
            Ok(())
        };
        within("a rate in bit/s", self.rate_bits_per_s, 1_000.0, RATE_MAX)?;
        within("a delay in ms", self.delay_ms, 0.0, DELAY_MS_MAX)?;
        within("a jitter in ms", self.jitter_ms, 0.0, DELAY_MS_MAX)?;
        within("a share of loss", self.loss, 0.0, 0.9)?;
        within("packets lost in a row", self.loss_burst, 1.0, 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        shape: ShapeArgs,
    }

    fn shape(words: &str) -> Result<Shape> {
        Line::try_parse_from(std::iter::once("t").chain(words.split_whitespace()))?.shape.shape()
    }

    #[test]
    fn a_value_is_for_both_directions_and_two_are_for_one_each() {
        let shape = shape("--preset vsat --rate 8,1 --loss 2").unwrap();
        assert_eq!(shape.directions.map(|d| d.rate_bits_per_s), [8e6, 1e6]);
        assert_eq!(shape.directions.map(|d| d.loss), [0.02, 0.02]);
        assert_eq!(shape.directions[0].delay_ms, 300.0);
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for words in ["--rate 0", "--loss 100", "--cut-every 5 --cut-for 5", "--loss-burst 0.5"] {
            assert!(shape(words).is_err(), "{words}");
        }
        let error = shape("--loss 99").unwrap_err().to_string();
        assert_eq!(error, "a share of loss of 0.99: 0 to 0.9 is allowed");
    }
}
