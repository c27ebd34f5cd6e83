//! How far an import is, how long the rest takes, and the time that it stood still.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Observer, Progress, Stage};

/// How often the observer is asked whether the import is paused.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Processor time of the stages for a lesson, relative to one another, estimated from lectures: the
/// file read and written as it is; encoded as H.264; sound; stills; the two video tracks.
const SOURCE_COPY_SHARE: f64 = 1.0;
const SOURCE_ENCODE_SHARE: f64 = 40.0;
const AUDIO_SHARE: f64 = 3.0;
const SLIDES_SHARE: f64 = 20.0;
const VIDEO_360_SHARE: f64 = 100.0;
const VIDEO_480_SHARE: f64 = 320.0;

/// Which stages an import has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    pub(super) copies_source: bool,
    pub(super) encodes_source: bool,
    pub(super) audio: bool,
    pub(super) slides: bool,
    pub(super) video_360: bool,
    pub(super) video_480: bool,
}

/// Turns each stage's progress into that of the whole.
pub(super) struct Reporter<'a> {
    observer: &'a dyn Observer,
    state: Mutex<State>,
    /// Apart from the state: an observer may be slow to answer.
    pause: Mutex<Pause>,
}

struct State {
    stages: Vec<StageState>,
    /// What was told last.
    told: Option<(Stage, u8)>,
    seconds_left: Option<u64>,
}

struct StageState {
    stage: Stage,
    share: f64,
    fraction: f64,
    pace: Option<Pace>,
}

/// Since when, and since how much of a stage, its pace is measured.
#[derive(Clone, Copy)]
struct Pace {
    since: Duration,
    fraction: f64,
    is_alone: bool,
}

struct Pause {
    started: Instant,
    asked: Option<Instant>,
    paused_since: Option<Instant>,
    paused: Duration,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        let pause = Pause {
            started: Instant::now(),
            asked: None,
            paused_since: None,
            paused: Duration::ZERO,
        };
        let state = State { stages: Vec::new(), told: None, seconds_left: None };
        Self { observer, state: Mutex::new(state), pause: Mutex::new(pause) }
    }

    /// Sets what is to be done; until then there is only [`Stage::Probe`].
    pub(super) fn plan(&self, plan: Plan) {
        let stages = [
            (Stage::Source, plan.copies_source, SOURCE_COPY_SHARE),
            (Stage::Audio, plan.audio, AUDIO_SHARE),
            (Stage::Slides, plan.slides, SLIDES_SHARE),
            (Stage::Video, plan.video_360, VIDEO_360_SHARE),
            (Stage::Source, plan.encodes_source, SOURCE_ENCODE_SHARE),
            (Stage::Video480, plan.video_480, VIDEO_480_SHARE),
        ];
        let wanted = stages.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        let state = |(stage, _, share)| StageState { stage, share, fraction: 0.0, pace: None };
        lock(&self.state).stages = wanted.map(state).collect();
    }

    /// Tells how much of a stage is done, 0 to 1.
    pub(super) fn report(&self, stage: Stage, fraction: f64) {
        let now = self.elapsed();
        let mut state = lock(&self.state);
        if let Some(one) = state.stages.iter_mut().find(|one| one.stage == stage) {
            one.fraction = one.fraction.max(fraction.clamp(0.0, 1.0));
            let from = Pace { since: now, fraction: one.fraction, is_alone: false };
            one.pace.get_or_insert(from);
        }
        self.tell(state, stage);
    }

    /// As `report` for a stage of segments: `done` of `total`, `found` of them from an earlier
    /// call, which took no time.
    pub(super) fn segments(&self, stage: Stage, found: u64, done: u64, total: u64) {
        let now = self.elapsed();
        let fraction = |count: u64| (count as f64 / total.max(1) as f64).min(1.0);
        let mut state = lock(&self.state);
        let is_alone = state.stages.iter().all(|one| one.stage == stage || one.is_idle());
        // What follows, measured in this stage.
        let later: f64 = state.stages.iter().filter(|s| s.pace.is_none()).map(|s| s.share).sum();
        let mut left = None;
        if let Some(one) = state.stages.iter_mut().find(|one| one.stage == stage) {
            one.fraction = one.fraction.max(fraction(done));
            let from = Pace { since: now, fraction: one.fraction, is_alone };
            // Measured anew after what was only found, and from where it has the machine alone.
            let is_fair = |pace: &Pace| done > found && (pace.is_alone || !is_alone);
            let pace = *one.pace.insert(one.pace.filter(is_fair).unwrap_or(from));
            left = one.seconds_left(now, pace, later / one.share);
        }
        state.seconds_left = left.map(|seconds| seconds.ceil() as u64);
        self.tell(state, stage);
    }

    fn tell(&self, mut state: MutexGuard<State>, stage: Stage) {
        let unfinished = state.stages.iter().find(|one| one.fraction < 1.0);
        let stage = match state.stages.last() {
            None => stage,
            Some(last) => unfinished.map_or(last.stage, |one| one.stage),
        };
        let all: f64 = state.stages.iter().map(|one| one.share).sum();
        let done: f64 = state.stages.iter().map(|one| one.share * one.fraction).sum();
        let percent = if all > 0.0 { (done / all * 100.0 + 1e-9) as u8 } else { 0 };
        if state.told == Some((stage, percent)) && state.seconds_left.is_none() {
            return;
        }
        state.told = Some((stage, percent));
        let seconds_left = state.seconds_left;
        // Still under the lock: two threads must not tell their news in the wrong order.
        self.observer.progress(Progress { stage, percent, seconds_left });
    }

    /// Waits as long as the observer pauses the import, or until it is cancelled.
    pub(super) fn wait_while_paused(&self) {
        while self.is_paused() && !self.observer.is_cancelled() {
            std::thread::sleep(ASK_EVERY);
        }
    }

    fn is_paused(&self) -> bool {
        let mut pause = lock(&self.pause);
        if pause.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            pause.asked = Some(Instant::now());
            match (self.observer.is_paused(), pause.paused_since) {
                (true, None) => pause.paused_since = Some(Instant::now()),
                (false, Some(since)) => {
                    pause.paused += since.elapsed();
                    pause.paused_since = None;
                }
                _ => {}
            }
        }
        pause.paused_since.is_some()
    }

    /// How long the import has run, without pauses.
    fn elapsed(&self) -> Duration {
        let pause = lock(&self.pause);
        let now = pause.paused_since.map_or(Duration::ZERO, |since| since.elapsed());
        pause.started.elapsed().saturating_sub(pause.paused + now)
    }
}

impl StageState {
    fn is_idle(&self) -> bool {
        self.pace.is_none() || self.fraction >= 1.0
    }

    /// The rest of this stage, and of later ones that take `later` times as long as all of it.
    fn seconds_left(&self, now: Duration, pace: Pace, later: f64) -> Option<f64> {
        let made = self.fraction - pace.fraction;
        let seconds = now.saturating_sub(pace.since).as_secs_f64();
        (made > 0.0).then(|| seconds / made * (1.0 - self.fraction + later))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
