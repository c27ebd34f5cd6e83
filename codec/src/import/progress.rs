//! How far an import is, how long the rest takes, and the time that it stood still.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Observer, Progress, Stage};
use crate::encoder::EncoderName;

/// How often the observer is asked whether the import is paused.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Seconds of work for a second of the lesson that is copied for `source`, beside slower stages.
const SOURCE_COPY_RATE: f64 = 0.01;
/// Seconds of a lesson for each page, until its pages are found: 30 in 40 minutes.
const PAGE_EVERY_S: f64 = 80.0;
/// Less than this part of a stage says nothing of how long it takes.
const MEASURED_PART_MIN: f64 = 0.05;
/// A shorter lesson says nothing of how long others take: starting weighs too much in it.
const MEASURED_MS_MIN: u64 = 300_000;
/// The part of a stage after which its own pace weighs as much as what was expected of it: the
/// first GOPs take several times as long as others, until their quantizer is known.
const EXPECTED_PART: f64 = 0.1;

/// How long stages take, in seconds of work for a second of the lesson. What an import measured is
/// what the next one goes by: the same machine, though maybe another kind of lesson, so they are
/// for what there is to do in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Encoding a picture again for `source`.
    pub source: f64,
    /// Sound.
    pub audio: f64,
    /// Finding the pages, and thumbnails.
    pub look: f64,
    /// One page, in seconds.
    pub page: f64,
    /// Pictures by rav1e.
    pub rav1e: VideoRates,
    /// Pictures by SVT-AV1.
    pub svt_av1: VideoRates,
}

/// What one encoder takes, for a second of the lesson in which the picture moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VideoRates {
    /// The picture of `video-360`.
    pub video_360: f64,
    /// The picture of `video-480`.
    pub video_480: f64,
}

/// What a first import goes by: measured with lectures on one machine, and right only relative to
/// one another.
impl Default for Rates {
    fn default() -> Self {
        Self {
            source: 0.4,
            audio: 0.03,
            look: 0.042,
            page: 0.7,
            rav1e: VideoRates { video_360: 0.4, video_480: 1.3 },
            svt_av1: VideoRates { video_360: 0.15, video_480: 0.5 },
        }
    }
}

impl Rates {
    fn scaled(self, by: f64) -> Self {
        let video = |rates: VideoRates| VideoRates {
            video_360: rates.video_360 * by,
            video_480: rates.video_480 * by,
        };
        Self {
            source: self.source * by,
            audio: self.audio * by,
            look: self.look * by,
            page: self.page * by,
            rav1e: video(self.rav1e),
            svt_av1: video(self.svt_av1),
        }
    }

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
    /// Seconds for each unit of a share, as the newest stage shows it.
    scale: Option<f64>,
    seconds_left: Option<u64>,
}

struct StageState {
    stage: Stage,
    /// Seconds of work for a unit.
    rate: f64,
    /// Units in a second of the lesson: pages, or seconds in which the picture moves.
    units: f64,
    fraction: f64,
    /// The part that was found from an earlier call, or made by an earlier stage.
    found: f64,
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
    /// Seconds that all of the stage was expected to take, if an earlier one let expect it.
    expected_s: Option<f64>,
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
            (Stage::Slides, plan.slides, rates.look),
            (Stage::Pages, plan.slides, rates.page),
            (Stage::Video, plan.video_360, video.video_360),
            (Stage::Source, plan.encodes_source, rates.source),
            (Stage::Video480, plan.video_480, video.video_480),
        ];
        let wanted = stages.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        // What a file or a wrong clock says must not become a division by zero.
        let sane = |rate: f64| if rate.is_finite() { rate.clamp(1e-3, 1e3) } else { 1.0 };
        let state = |(stage, _, rate)| StageState {
            stage,
            rate: sane(rate),
            units: if stage == Stage::Pages { 1.0 / PAGE_EVERY_S } else { 1.0 },
            fraction: 0.0,
            found: 0.0,
            pace: None,
            began: None,
            ended: None,
            is_whole: true,
        };
        let mut all = lock(&self.state);
        all.stages = wanted.map(state).collect();
        all.plan = plan;
    }

    /// Says what is seen of the lesson after `looked_s` seconds of `duration_s`: how many pages, and
    /// in what part of it the picture moves, if that is known.
    pub(super) fn seen(&self, looked_s: f64, duration_s: f64, pages: usize, moving: Option<f64>) {
        let rest_s = (duration_s - looked_s).max(0.0);
        // What was seen weighs the more, the more of it there is.
        let pages_later = rest_s * (pages as f64 + 1.0) / (looked_s + PAGE_EVERY_S);
        let mut state = lock(&self.state);
        for one in &mut state.stages {
            match (one.stage, moving) {
                (Stage::Pages, _) => {
                    one.units = (pages as f64 + pages_later) / duration_s.max(1.0);
                }
                (Stage::Video, Some(moving)) => one.units = moving,
                _ => {}
            }
        }
    }

    /// Tells how much of a stage is done, 0 to 1.
    pub(super) fn report(&self, stage: Stage, fraction: f64) {
        let now = self.elapsed();
        let mut state = lock(&self.state);
        state.advance(stage, fraction, true, now);
        self.tell(state, stage);
    }

    /// As `report` for a stage of segments: `done` of `total`, `found` of them from an earlier
    /// call or stage, which took no time.
    pub(super) fn segments(&self, stage: Stage, found: u64, done: u64, total: u64) {
        let now = self.elapsed();
        let part = |count: u64| count as f64 / total.max(1) as f64;
        let mut state = lock(&self.state);
        if let Some(one) = state.stages.iter_mut().find(|one| one.stage == stage) {
            one.found = part(found);
        }
        state.advance(stage, part(done), done > found, now);
        self.tell(state, stage);
    }

    /// Says that another encoder than was planned goes on with a stage: how long it takes says
    /// nothing about either.
    pub(super) fn changes_hands(&self, stage: Stage) {
        lock(&self.state).is_not_whole(stage);
    }

    /// Tells how long the stages took that this call did wholly; the others stay as they were.
    pub(super) fn measured(&self, duration_ms: u64) {
        if duration_ms < MEASURED_MS_MIN {
            return;
        }
        let rates = lock(&self.state).rates(self.observer.rates(), duration_ms);
        self.observer.rates_measured(rates);
    }

    fn tell(&self, mut state: MutexGuard<State>, stage: Stage) {
        let unfinished = state.stages.iter().find(|one| one.fraction < 1.0);
        let stage = match state.stages.last() {
            None => stage,
            Some(last) => unfinished.map_or(last.stage, |one| one.stage),
        };
        let all: f64 = state.stages.iter().map(StageState::share).sum();
        let done: f64 = state.stages.iter().map(|one| one.share() * one.fraction).sum();
        let percent = if all > 0.0 { (done / all * 100.0 + 1e-9) as u8 } else { 0 };
        // More pages than were thought of must not make it fall.
        let percent = percent.max(state.told.map_or(0, |(_, told)| told));
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
        let later: f64 =
            self.stages.iter().filter(|one| one.pace.is_none()).map(StageState::share).sum();
        let is_beside = self.is_beside(stage);
        let Some(one) = self.stages.iter_mut().find(|one| one.stage == stage) else { return };
        one.began.get_or_insert(now);
        one.is_whole &= one.pace.is_some() || fraction < 1.0;
        one.fraction = one.fraction.max(fraction.clamp(0.0, 1.0));
        let expected_s = self.scale.map(|scale| scale * one.share());
        let from = Pace { since: now, fraction: one.fraction, is_alone, expected_s };
        // Measured anew after what was only found, and from where it has the machine alone.
        let is_fair = |pace: &Pace| is_made && (pace.is_alone || !is_alone);
        let pace = *one.pace.insert(one.pace.filter(is_fair).unwrap_or(from));
        if one.fraction >= 1.0 {
            one.ended.get_or_insert(now);
        }
        if is_beside {
            return;
        }
        // A stage that has just begun, or begun to be alone, says nothing yet.
        if let Some(whole_s) = one.whole_s(now, pace) {
            let scale = whole_s / one.share();
            let left = (1.0 - one.fraction) * whole_s + later * scale;
            self.scale = Some(scale);
            self.seconds_left = Some(left.ceil() as u64);
        }
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

    /// The rates as they were measured; `known` where nothing was. On a machine of which nothing is
    /// known, what was not measured is as much slower as the rest.
    fn rates(&self, known: Rates, duration_ms: u64) -> Rates {
        let lesson_s = duration_ms.max(1) as f64 / 1000.0;
        let (mut measured_s, mut known_s) = (0.0, 0.0);
        let mut of = |stage: Stage, known: f64| {
            let one = self.stages.iter().find(|one| one.stage == stage)?;
            let (seconds, units) = one.measured(lesson_s)?;
            measured_s += seconds;
            known_s += known * units;
            Some(seconds / units)
        };
        let source = if self.plan.copies_source { None } else { of(Stage::Source, known.source) };
        let audio = of(Stage::Audio, known.audio);
        let look = of(Stage::Slides, known.look);
        let page = of(Stage::Pages, known.page);
        let mut video = known;
        let VideoRates { video_360, video_480 } = *video.video(self.plan.encoder());
        let video_360 = of(Stage::Video, video_360);
        let video_480 = of(Stage::Video480, video_480);
        let is_first = known == Rates::default() && known_s > 0.0;
        let rest = if is_first { known.scaled(measured_s / known_s) } else { known };
        let mut rates = Rates {
            source: source.unwrap_or(rest.source),
            audio: audio.unwrap_or(rest.audio),
            look: look.unwrap_or(rest.look),
            page: page.unwrap_or(rest.page),
            ..rest
        };
        let video = rates.video(self.plan.encoder());
        video.video_360 = video_360.unwrap_or(video.video_360);
        video.video_480 = video_480.unwrap_or(video.video_480);
        rates
    }
}

impl StageState {
    /// Seconds of work for a second of the lesson; never 0.
    fn share(&self) -> f64 {
        (self.rate * self.units).max(1e-6)
    }

    fn is_idle(&self) -> bool {
        self.pace.is_none() || self.fraction >= 1.0
    }

    /// How many seconds how many units took, if this call did enough of them.
    fn measured(&self, lesson_s: f64) -> Option<(f64, f64)> {
        let seconds = self.ended?.checked_sub(self.began?)?.as_secs_f64();
        let part = 1.0 - self.found;
        // Of a picture it is known how much of it was made here.
        let units = if self.stage == Stage::Pages { self.units } else { 1.0 };
        let is_measured = self.is_whole && part >= MEASURED_PART_MIN && seconds > 0.0;
        is_measured.then_some((seconds, lesson_s * units * part))
    }

    /// Seconds that all of this stage takes.
    fn whole_s(&self, now: Duration, pace: Pace) -> Option<f64> {
        let made = self.fraction - pace.fraction;
        let seconds = now.saturating_sub(pace.since).as_secs_f64();
        let shown_s = (made > 0.0).then(|| seconds / made)?;
        let weight = pace.expected_s.map_or(1.0, |_| made / (made + EXPECTED_PART));
        Some(shown_s * weight + pace.expected_s.unwrap_or(0.0) * (1.0 - weight))
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

    /// A lesson, as far as it matters here.
    struct Lesson {
        duration_s: u64,
        pages: u64,
        /// The part of it in which the picture moves, in hundredths.
        moving: u64,
        is_copied: bool,
    }

    /// Forty minutes with a talking head.
    const LONG: Lesson = Lesson { duration_s: 2400, pages: 30, moving: 100, is_copied: true };
    /// A page every few seconds, and nothing that moves.
    const DENSE: Lesson = Lesson { duration_s: 400, pages: 100, moving: 0, is_copied: true };
    /// So much longer takes each of the first GOPs, and so many hundredths they are.
    const FIRST: (f64, f64) = (1.7, 0.03);

    /// What a machine takes: so many times the rates of the first import.
    fn machine(by: f64) -> Rates {
        Rates::default().scaled(by)
    }

    /// Plays an import on a machine, tenth by tenth of a second; gives the worst error after the
    /// first minute.
    fn worst_error(known: &Known, machine: Rates, lesson: &Lesson) -> f64 {
        let reporter = Reporter::new(known);
        let plan = Plan {
            slides: true,
            video_360: true,
            encodes_source: !lesson.is_copied,
            encoder: Some(EncoderName::SvtAv1),
            ..Plan::default()
        };
        reporter.plan(plan);
        let (duration_s, moving) = (lesson.duration_s as f64, lesson.moving as f64 / 100.0);
        let source = if lesson.is_copied { 0.0 } else { duration_s * machine.source };
        let stages = [
            (Stage::Slides, duration_s * machine.look),
            (Stage::Pages, lesson.pages as f64 * machine.page),
            (Stage::Video, duration_s * moving * machine.svt_av1.video_360),
            (Stage::Source, source),
        ];
        let whole: f64 = stages.iter().map(|(_, seconds)| seconds).sum();
        let (mut now, mut worst) = (0.0, 0.0_f64);
        for (stage, seconds) in stages {
            let ticks = (seconds * 10.0) as u64;
            for tick in 0..=ticks {
                let time = if ticks > 0 { tick as f64 / ticks as f64 } else { 1.0 };
                let part = if stage == Stage::Video { made_after(time) } else { time };
                if stage == Stage::Slides {
                    let pages = (lesson.pages as f64 * part) as usize;
                    reporter.seen(duration_s * part, duration_s, pages, Some(moving));
                }
                let at = now + seconds * time;
                let mut state = lock(&reporter.state);
                state.advance(stage, part, true, Duration::from_secs_f64(at));
                let left = whole - at;
                // The last seconds are rounded, and nobody counts them.
                if at >= 60.0 && left >= 30.0 {
                    let said = state.seconds_left.expect("it shows its pace") as f64;
                    worst = worst.max((said / left - 1.0).abs());
                }
            }
            now += seconds;
        }
        if moving < 1.0 {
            let found = (100 - lesson.moving).max(1);
            reporter.segments(Stage::Video, found, 100, 100);
        }
        reporter.measured(lesson.duration_s * 1000);
        worst
    }

    /// The part of a picture that is made after a part of its time.
    fn made_after(time: f64) -> f64 {
        let (slower, first) = FIRST;
        let work = time * (1.0 + first * (slower - 1.0));
        let made =
            if work < first * slower { work / slower } else { work - first * (slower - 1.0) };
        if time < 1.0 { made } else { 1.0 }
    }

    fn known(rates: Rates) -> Known {
        Known { rates, heard: Mutex::default() }
    }

    #[test]
    fn an_import_goes_by_what_the_one_before_it_measured() {
        let slow = Rates { look: 0.3, source: 0.9, ..machine(3.0) };
        let lesson = Lesson { is_copied: false, ..LONG };
        let first = known(Rates::default());
        assert!(worst_error(&first, slow, &lesson) > 0.2, "estimates alone are not right here");
        let rates = lock(&first.heard).expect("it was measured");
        let is_near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.01;
        assert!(is_near(rates.look, slow.look) && is_near(rates.page, slow.page), "{rates:?}");
        assert!(is_near(rates.svt_av1.video_360, slow.svt_av1.video_360), "{rates:?}");
        assert!(is_near(rates.source, slow.source), "{rates:?}");
        assert!(worst_error(&known(rates), slow, &lesson) < 0.2);
        let third = known(rates);
        worst_error(&third, slow, &DENSE);
        let still = lock(&third.heard).expect("it was measured");
        assert_eq!(still.svt_av1, rates.svt_av1, "nothing moved in it");
        assert_eq!(still.rav1e, rates.rav1e, "it made nothing");
    }

    #[test]
    fn a_long_lesson_is_foretold_after_one_of_another_kind() {
        for speed in [0.5, 1.0, 4.0] {
            let other = known(Rates::default());
            worst_error(&other, machine(speed), &DENSE);
            let rates = lock(&other.heard).expect("it was measured");
            let worst = worst_error(&known(rates), machine(speed), &LONG);
            assert!(worst < 0.2, "{worst} on a machine of {speed}: {rates:?}");
        }
    }

    #[test]
    fn a_short_lesson_says_nothing_of_others() {
        let short = known(Rates::default());
        worst_error(&short, machine(3.0), &Lesson { duration_s: 90, ..DENSE });
        assert_eq!(*lock(&short.heard), None);
    }

    #[test]
    fn what_was_only_found_is_not_measured() {
        let known = known(Rates::default());
        let reporter = Reporter::new(&known);
        reporter.plan(Plan { slides: true, video_360: true, ..Plan::default() });
        reporter.segments(Stage::Slides, 1, 1, 1);
        reporter.segments(Stage::Video, 98, 98, 100);
        reporter.segments(Stage::Video, 98, 100, 100);
        reporter.measured(MEASURED_MS_MIN);
        assert_eq!(*lock(&known.heard), Some(Rates::default()));
    }

    #[test]
    fn more_pages_than_were_thought_of_do_not_make_it_fall() {
        let known = known(Rates::default());
        let reporter = Reporter::new(&known);
        reporter.plan(Plan { slides: true, ..Plan::default() });
        reporter.report(Stage::Slides, 0.9);
        let told = lock(&reporter.state).told.expect("it told");
        reporter.seen(90.0, 100.0, 500, None);
        reporter.report(Stage::Slides, 0.91);
        assert_eq!(lock(&reporter.state).told, Some(told));
    }

    #[test]
    fn rates_from_a_file_cannot_break_an_import() {
        let svt_av1 = VideoRates { video_360: 0.0, video_480: f64::INFINITY };
        let rates = Rates { look: f64::NAN, page: -1.0, svt_av1, ..Rates::default() };
        assert!(worst_error(&known(rates), machine(1.0), &LONG).is_finite());
    }
}
