//! How far an import is, how long the rest takes, and the time that it stood still.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Observer, Progress, Stage};
use crate::encoder::EncoderName;

/// How often the observer is asked whether the import is paused.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What a first import goes by: estimated from lectures, and right only relative to one another.
const SOURCE_COPY_RATE: f64 = 0.01;

/// How long stages take, in seconds of work for a second of the lesson. What an import measured is
/// what the next one goes by: the same machine, and mostly the same kind of lesson.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Encoding a picture again for `source`.
    pub source: f64,
    /// Sound.
    pub audio: f64,
    /// Slides and thumbnails.
    pub slides: f64,
    /// Pictures by rav1e.
    pub rav1e: VideoRates,
    /// Pictures by SVT-AV1.
    pub svt_av1: VideoRates,
}

/// What one encoder takes, likewise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VideoRates {
    /// The picture of `video-360`.
    pub video_360: f64,
    /// The picture of `video-480`.
    pub video_480: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            source: 0.4,
            audio: 0.03,
            slides: 0.2,
            rav1e: VideoRates { video_360: 1.0, video_480: 3.2 },
            svt_av1: VideoRates { video_360: 0.4, video_480: 1.3 },
        }
    }
}

impl Rates {
    fn video(&mut self, encoder: EncoderName) -> &mut VideoRates {
        match encoder {
            EncoderName::Rav1e => &mut self.rav1e,
            EncoderName::SvtAv1 => &mut self.svt_av1,
        }
    }
}

/// Which stages an import has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    pub(super) copies_source: bool,
    pub(super) encodes_source: bool,
    pub(super) audio: bool,
    pub(super) slides: bool,
    pub(super) video_360: bool,
    pub(super) video_480: bool,
    /// What makes the two last; `None` is rav1e.
    pub(super) encoder: Option<EncoderName>,
}

impl Plan {
    fn encoder(&self) -> EncoderName {
        self.encoder.unwrap_or(EncoderName::Rav1e)
    }
}

/// Turns each stage's progress into that of the whole.
pub(super) struct Reporter<'a> {
    observer: &'a dyn Observer,
    state: Mutex<State>,
    /// Apart from the state: an observer may be slow to answer.
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct State {
    stages: Vec<StageState>,
    plan: Plan,
    /// What was told last.
    told: Option<(Stage, u8)>,
    seconds_left: Option<u64>,
}

struct StageState {
    stage: Stage,
    share: f64,
    fraction: f64,
    pace: Option<Pace>,
    began: Option<Duration>,
    ended: Option<Duration>,
    /// Nothing of it was found from an earlier call.
    is_whole: bool,
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
        Self { observer, state: Mutex::default(), pause: Mutex::new(pause) }
    }

    /// Sets what is to be done; until then there is only [`Stage::Probe`].
    pub(super) fn plan(&self, plan: Plan) {
        let mut rates = self.observer.rates();
        let video = *rates.video(plan.encoder());
        let stages = [
            (Stage::Source, plan.copies_source, SOURCE_COPY_RATE),
            (Stage::Audio, plan.audio, rates.audio),
            (Stage::Slides, plan.slides, rates.slides),
            (Stage::Video, plan.video_360, video.video_360),
            (Stage::Source, plan.encodes_source, rates.source),
            (Stage::Video480, plan.video_480, video.video_480),
        ];
        let wanted = stages.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        // What a file or a wrong clock says must not become a division by zero.
        let share = |rate: f64| if rate.is_finite() { rate.clamp(1e-3, 1e3) } else { 1.0 };
        let state = |(stage, _, rate)| StageState {
            stage,
            share: share(rate),
            fraction: 0.0,
            pace: None,
            began: None,
            ended: None,
            is_whole: true,
        };
        let mut all = lock(&self.state);
        all.stages = wanted.map(state).collect();
        all.plan = plan;
    }

    /// Tells how much of a stage is done, 0 to 1.
    pub(super) fn report(&self, stage: Stage, fraction: f64) {
        let now = self.elapsed();
        let mut state = lock(&self.state);
        state.advance(stage, fraction, true, now);
        self.tell(state, stage);
    }

    /// As `report` for a stage of segments: `done` of `total`, `found` of them from an earlier
    /// call, which took no time.
    pub(super) fn segments(&self, stage: Stage, found: u64, done: u64, total: u64) {
        let now = self.elapsed();
        let mut state = lock(&self.state);
        if found > 0 {
            state.is_not_whole(stage);
        }
        state.advance(stage, done as f64 / total.max(1) as f64, done > found, now);
        self.tell(state, stage);
    }

    /// Says that another encoder than was planned goes on with a stage: how long it takes says
    /// nothing about either.
    pub(super) fn changes_hands(&self, stage: Stage) {
        lock(&self.state).is_not_whole(stage);
    }

    /// Tells how long the stages took that this call did wholly; the others stay as they were.
    pub(super) fn measured(&self, duration_ms: u64) {
        let rates = lock(&self.state).rates(self.observer.rates(), duration_ms);
        self.observer.rates_measured(rates);
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

impl State {
    /// Notes how far a stage is. `is_made` says that something was made of it, not only found.
    fn advance(&mut self, stage: Stage, fraction: f64, is_made: bool, now: Duration) {
        let is_alone = self.stages.iter().all(|one| one.stage == stage || one.is_idle());
        // What follows, measured in this stage.
        let later: f64 = self.stages.iter().filter(|s| s.pace.is_none()).map(|s| s.share).sum();
        let is_beside = self.is_beside(stage);
        let Some(one) = self.stages.iter_mut().find(|one| one.stage == stage) else { return };
        one.began.get_or_insert(now);
        one.is_whole &= one.pace.is_some() || fraction < 1.0;
        one.fraction = one.fraction.max(fraction.clamp(0.0, 1.0));
        let from = Pace { since: now, fraction: one.fraction, is_alone };
        // Measured anew after what was only found, and from where it has the machine alone.
        let is_fair = |pace: &Pace| is_made && (pace.is_alone || !is_alone);
        let pace = *one.pace.insert(one.pace.filter(is_fair).unwrap_or(from));
        if one.fraction >= 1.0 {
            one.ended.get_or_insert(now);
        }
        if is_beside {
            return;
        }
        let left = one.seconds_left(now, pace, later / one.share);
        // A stage that has just begun, or begun to be alone, says nothing yet.
        self.seconds_left = left.map(|seconds| seconds.ceil() as u64).or(self.seconds_left);
    }

    /// Whether a stage runs beside slower ones, which decide how long it takes.
    fn is_beside(&self, stage: Stage) -> bool {
        let has_picture = self.stages.iter().any(|one| one.stage >= Stage::Slides);
        has_picture
            && (stage == Stage::Audio || (stage == Stage::Source && self.plan.copies_source))
    }

    fn is_not_whole(&mut self, stage: Stage) {
        if let Some(one) = self.stages.iter_mut().find(|one| one.stage == stage) {
            one.is_whole = false;
        }
    }

    /// The rates as they were measured; `known` where nothing was.
    fn rates(&self, known: Rates, duration_ms: u64) -> Rates {
        let lesson_s = duration_ms.max(1) as f64 / 1000.0;
        let of = |stage: Stage, known: f64| {
            let one = self.stages.iter().find(|one| one.stage == stage && one.is_whole);
            let seconds =
                one.and_then(|one| Some(one.ended?.checked_sub(one.began?)?.as_secs_f64()));
            seconds.filter(|seconds| *seconds > 0.0).map_or(known, |seconds| seconds / lesson_s)
        };
        let mut rates = Rates {
            source: if self.plan.copies_source {
                known.source
            } else {
                of(Stage::Source, known.source)
            },
            audio: of(Stage::Audio, known.audio),
            slides: of(Stage::Slides, known.slides),
            ..known
        };
        let video = rates.video(self.plan.encoder());
        video.video_360 = of(Stage::Video, video.video_360);
        video.video_480 = of(Stage::Video480, video.video_480);
        rates
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the observer of a test says and hears.
    struct Known {
        rates: Rates,
        heard: Mutex<Option<Rates>>,
    }

    impl Observer for Known {
        fn progress(&self, _: Progress) {}

        fn is_cancelled(&self) -> bool {
            false
        }

        fn rates(&self) -> Rates {
            self.rates
        }

        fn rates_measured(&self, rates: Rates) {
            *lock(&self.heard) = Some(rates);
        }
    }

    /// A lesson of 1000 s: what each stage takes, in seconds, one after the other.
    const STAGES: [(Stage, u64); 3] =
        [(Stage::Slides, 300), (Stage::Video, 400), (Stage::Source, 500)];

    /// Plays an import second by second; gives the worst error after the first minute.
    fn worst_error(known: &Known) -> f64 {
        let reporter = Reporter::new(known);
        let plan = Plan {
            slides: true,
            video_360: true,
            encodes_source: true,
            encoder: Some(EncoderName::SvtAv1),
            ..Plan::default()
        };
        reporter.plan(plan);
        let whole: u64 = STAGES.iter().map(|(_, seconds)| seconds).sum();
        let (mut now, mut worst) = (0, 0.0_f64);
        for (stage, seconds) in STAGES {
            for second in 0..=seconds {
                let mut state = lock(&reporter.state);
                let at = Duration::from_secs(now + second);
                state.advance(stage, second as f64 / seconds as f64, true, at);
                let left = (whole - now - second) as f64;
                // The last seconds are rounded, and nobody counts them.
                if now + second >= 60 && left >= 30.0 {
                    let said = state.seconds_left.expect("it shows its pace") as f64;
                    worst = worst.max((said / left - 1.0).abs());
                }
            }
            now += seconds;
        }
        reporter.measured(1_000_000);
        worst
    }

    #[test]
    fn an_import_goes_by_what_the_one_before_it_measured() {
        let first = Known { rates: Rates::default(), heard: Mutex::default() };
        assert!(worst_error(&first) > 0.2, "estimates alone are not right for this lesson");
        let rates = lock(&first.heard).expect("it was measured");
        assert_eq!((rates.slides, rates.svt_av1.video_360, rates.source), (0.3, 0.4, 0.5));
        let others = Rates::default();
        assert_eq!(rates.svt_av1.video_480, others.svt_av1.video_480, "it was not made");
        assert_eq!(rates.rav1e, others.rav1e, "it made nothing");
        let second = Known { rates, heard: Mutex::default() };
        assert!(worst_error(&second) < 0.2);
    }

    #[test]
    fn what_was_only_found_is_not_measured() {
        let known = Known { rates: Rates::default(), heard: Mutex::default() };
        let reporter = Reporter::new(&known);
        reporter.plan(Plan { video_360: true, ..Plan::default() });
        reporter.segments(Stage::Video, 5, 5, 10);
        reporter.segments(Stage::Video, 5, 10, 10);
        reporter.measured(1000);
        assert_eq!(*lock(&known.heard), Some(Rates::default()));
    }

    #[test]
    fn rates_from_a_file_cannot_break_an_import() {
        let svt_av1 = VideoRates { video_360: 0.0, video_480: f64::INFINITY };
        let rates = Rates { slides: f64::NAN, svt_av1, ..Rates::default() };
        let known = Known { rates, heard: Mutex::default() };
        assert!(worst_error(&known).is_finite());
    }
}
