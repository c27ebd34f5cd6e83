//! Runs a scenario for many seeds; one that fails prints the line that reruns it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Seeds that once found a bug, one a line: the test's name, the seed, and what it found.
const REGRESSIONS: &str = include_str!("../seeds.txt");
/// Gives one seed, to run that alone.
const VARIABLE: &str = "YINGXUE_SEED";
/// As many as the smallest machine that builds this has cores.
const THREADS: usize = 2;

/// Runs `scenario` for the seeds `0..count` and for those in `seeds.txt` under `test`.
///
/// `test` is `file::function`. With `YINGXUE_SEED` set it runs that seed alone.
///
/// # Panics
/// If a seed fails, after printing the line that reruns it.
pub fn for_each(test: &str, count: u64, scenario: fn(u64)) {
    let seeds = match std::env::var(VARIABLE) {
        Ok(seed) => vec![seed.parse().expect("YINGXUE_SEED is a whole number")],
        Err(_) => regressions(REGRESSIONS, test).into_iter().chain(0..count).collect::<Vec<u64>>(),
    };
    std::thread::scope(|scope| {
        for part in 0..THREADS {
            let seeds = seeds.iter().copied().skip(part).step_by(THREADS);
            scope.spawn(move || seeds.for_each(|seed| run(test, seed, scenario)));
        }
    });
}

fn run(test: &str, seed: u64, scenario: fn(u64)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
        let (file, function) = test.split_once("::").unwrap_or((test, ""));
        eprintln!(
            "failed with seed {seed}; again:\n{VARIABLE}={seed} YINGXUE_TRACE=1 \
             cargo test -p yingxue-scenarios --test {file} {function} -- --nocapture"
        );
        resume_unwind(panic);
    }
}

fn regressions(text: &str, test: &str) -> Vec<u64> {
    let seed = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == test).then(|| words.next()?.parse().ok()).flatten()
    };
    text.lines().filter_map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_for_their_own_test() {
        let text = "# words\na::b 7 lost an edit\nc::d 8 x\na::b 9\n";
        assert_eq!(regressions(text, "a::b"), [7, 9]);
    }

    #[test]
    #[should_panic]
    fn a_failing_seed_fails_the_test() {
        for_each("seed::none", 3, |seed| assert_ne!(seed, 2));
    }
}
