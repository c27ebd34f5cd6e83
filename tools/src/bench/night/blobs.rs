//! Waits for lessons to arrive, and says how far they are.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::pair::{LOOK_DELAY, verified_bytes};
use crate::bench::api::Api;
use crate::bench::figures::say;

/// How often it is said how far a transfer is.
const SAY_EVERY: Duration = Duration::from_secs(15);

/// How a transfer is watched.
#[derive(Default)]
pub struct Arrival {
    /// What it is called while it is watched; silent if there is none.
    pub name: Option<&'static str>,
}

/// Waits until the lessons' `bytes` bytes are verified. The newest arrive first, and stand last in
/// the list.
pub fn arrive(
    api: &Api,
    lessons: &[String],
    bytes: u64,
    bound: Duration,
    arrival: &Arrival,
) -> Result<()> {
    let begin = Instant::now();
    let each = bytes / lessons.len() as u64;
    let (mut whole, mut said) = (0, begin);
    while whole < lessons.len() {
        let verified = verified_bytes(api, &lessons[lessons.len() - 1 - whole])?;
        if verified >= each {
            whole += 1;
            continue;
        }
        ensure!(
            begin.elapsed() < bound,
            "{whole} of {} lessons and {verified} bytes of the next arrived within {} s",
            lessons.len(),
            bound.as_secs(),
        );
        if let Some(name) = arrival.name
            && said.elapsed() > SAY_EVERY
        {
            said = Instant::now();
            say(&format!("{name}: {whole} whole, {verified} bytes of the next"));
        }
        std::thread::sleep(LOOK_DELAY);
    }
    Ok(())
}
