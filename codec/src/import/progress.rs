//! How far an import is, how long the rest takes, and the time that it stood still.
//!
//! Stages that run side by side share the machine, so what they do is counted together: a phase is
//! the time in which the same stages run, and its pace is what they did in it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Observer, Progress, Stage};
use crate::encoder::EncoderName;
pub(super) use rates::decode_units;
pub use rates::{Rates, VideoRates};

mod rates;

/// How often the observer is asked whether the import is paused.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Seconds of work for a second of the lesson that is copied for `source`.
const SOURCE_COPY_RATE: f64 = 0.002;
/// Seconds of a lesson for each page, until its pages are found: 30 in 40 minutes.
const PAGE_EVERY_S: f64 = 80.0;
/// Less than this part of a stage says nothing of how long it takes.
const MEASURED_PART_MIN: f64 = 0.05;
/// A shorter lesson says nothing of how long others take: starting weighs too much in it.
const MEASURED_MS_MIN: u64 = 300_000;
/// The part of a phase after which its own pace weighs as much as what was expected of it: the
/// first GOPs take several times as long as others, until their quantizer is known.
const EXPECTED_PART: f64 = 0.1;
/// At least this part of what pictures took was not decoding.
const ENCODING_PART_MIN: f64 = 0.1;

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
    /// Decoding the picture once, for a second of the lesson, in units of [`Rates::decode`].
    pub(super) decode_units: f64,
    /// How long the lesson is, in seconds, as the file says.
    pub(super) duration_s: f64,
}

impl Plan {
    fn encoder(&self) -> EncoderName {
        self.encoder.unwrap_or(EncoderName::Rav1e)
    }
}

/// What is seen of a lesson's picture: GOPs that went by, and those of them that move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moving {
    pub(super) moving: u64,
    pub(super) passed: u64,
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
    /// What the import goes by.
    rates: Rates,
    phase: Phase,
    /// Seconds that phases before this one took, and the work that was expected of them, for a
    /// second of the lesson.
    past_s: f64,
    past_work: f64,
    /// What was told last.
    told: Option<(Stage, u8)>,
    seconds_left: Option<u64>,
}

struct StageState {
    stage: Stage,
    /// Seconds of work for a unit.
    rate: f64,
    /// Units in a second of the lesson: pages, or seconds in which the picture moves.
    units: f64,
    /// Seconds of work for a second of the lesson, whatever moves in it.
    decoding: f64,
    fraction: f64,
    /// The part that was found from an earlier call, or made by an earlier stage.
    found: f64,
    /// Where it was when the phase began.
    from: f64,
    has_begun: bool,
    /// Its part of the seconds of the phases in which it ran.
    seconds: f64,
    /// Nothing of it was found from an earlier call.
    is_whole: bool,
}

/// The time in which the same stages run.
#[derive(Default)]
struct Phase {
    since: Duration,
    /// Seconds for a unit of its work (seconds for a second of the lesson), if anything lets expect
    /// them.
    expected: Option<f64>,
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
        let known = self.observer.rates();
        let mut rates = known.sane();
        let video = *rates.video(plan.encoder());
        let decoding = rates.decode * plan.decode_units;
        let stages = [
            (Stage::Source, plan.copies_source, SOURCE_COPY_RATE, 0.0),
            (Stage::Audio, plan.audio, rates.audio, 0.0),
            (Stage::Slides, plan.slides, rates.look, decoding),
            (Stage::Pages, plan.slides, rates.page, 0.0),
            (Stage::Video, plan.video_360, video.video_360, decoding),
            (Stage::Source, plan.encodes_source, rates.source, decoding),
            (Stage::Video480, plan.video_480, video.video_480, decoding),
        ];
        let wanted = stages.into_iter().filter(|(_, is_wanted, ..)| *is_wanted);
        let state = |(stage, _, rate, decoding)| StageState {
            stage,
            rate,
            units: if stage == Stage::Pages { 1.0 / PAGE_EVERY_S } else { 1.0 },
            decoding,
            fraction: 0.0,
            found: 0.0,
            from: 0.0,
            has_begun: false,
            seconds: 0.0,
            is_whole: true,
        };
        let mut all = lock(&self.state);
        all.stages = wanted.map(state).collect();
        all.plan = plan;
        all.rates = rates;
        if known != Rates::default() && plan.duration_s > 0.0 {
            // As if a part had gone by as it is known.
            all.past_work = EXPECTED_PART * all.stages.iter().map(StageState::share).sum::<f64>();
            all.past_s = all.past_work * plan.duration_s;
        }
    }

    /// Says what is seen of the lesson after `looked_s` seconds of `duration_s`: how many pages,
    /// and how much of the picture moves, if that is known.
    pub(super) fn seen(&self, looked_s: f64, duration_s: f64, pages: usize, seen: Option<Moving>) {
        let rest_s = (duration_s - looked_s).max(0.0);
        // What was seen weighs the more, the more of it there is.
        let pages_later = rest_s * (pages as f64 + 1.0) / (looked_s + PAGE_EVERY_S);
        let mut state = lock(&self.state);
        let decoding = state.rates.decode * state.plan.decode_units;
        for one in &mut state.stages {
            match (one.stage, seen) {
                (Stage::Pages, _) => {
                    one.units = (pages as f64 + pages_later) / duration_s.max(1.0);
                }
                (Stage::Video, Some(Moving { moving, passed })) => {
                    one.units = (moving + 1) as f64 / (passed + 1) as f64;
                    // Where nothing moves, nobody decodes again.
                    one.decoding = if moving > 0 { decoding } else { decoding * one.units };
                }
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
        let rates = lock(&self.state).measured(self.observer.rates(), duration_ms);
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
        let Some(at) = self.stages.iter().position(|one| one.stage == stage) else { return };
        // A stage that begins with its end was found as a whole.
        let is_found = !is_made || (!self.stages[at].has_begun && fraction >= 1.0);
        if !self.stages[at].has_begun {
            self.end_phase(now);
            self.stages[at].has_begun = true;
            self.stages[at].is_whole &= fraction < 1.0;
        }
        let one = &mut self.stages[at];
        let before = one.fraction;
        one.fraction = before.max(fraction.clamp(0.0, 1.0));
        if is_found {
            one.from += one.fraction - before;
        }
        self.seconds_left = self.left(now).map(|left| left.ceil() as u64).or(self.seconds_left);
        if before < 1.0 && self.stages[at].fraction >= 1.0 {
            self.end_phase(now);
        }
    }

    /// Seconds until all is done, if anything shows them.
    fn left(&self, now: Duration) -> Option<f64> {
        let (seconds, made) = (self.phase_s(now), self.made());
        let running: f64 = self.running().map(StageState::share).sum();
        let of_running: f64 = self.running().map(StageState::left).sum();
        let all: f64 = self.stages.iter().map(StageState::left).sum();
        let expected = self.phase.expected.unwrap_or(0.0);
        let weight = self.phase.expected.map_or(0.0, |_| running * EXPECTED_PART);
        let pace = ratio(seconds + expected * weight, made + weight)?;
        // What comes later goes as all has gone so far.
        let overall = ratio(self.past_s + seconds, self.past_work + made)?;
        Some(of_running * pace + (all - of_running) * overall)
    }

    /// Ends a phase: each stage that ran has taken its part of the time.
    fn end_phase(&mut self, now: Duration) {
        let (seconds, made) = (self.phase_s(now), self.made());
        for one in &mut self.stages {
            if let Some(part) = ratio(one.made(), made) {
                one.seconds += seconds * part;
            }
            one.from = one.fraction;
        }
        if made > 0.0 {
            self.past_s += seconds;
            self.past_work += made;
        }
        self.phase = Phase { since: now, expected: ratio(self.past_s, self.past_work) };
    }

    fn phase_s(&self, now: Duration) -> f64 {
        now.saturating_sub(self.phase.since).as_secs_f64()
    }

    fn running(&self) -> impl Iterator<Item = &StageState> {
        self.stages.iter().filter(|one| one.has_begun && one.from < 1.0)
    }

    /// Work of this phase.
    fn made(&self) -> f64 {
        self.stages.iter().map(StageState::made).sum()
    }

    fn is_not_whole(&mut self, stage: Stage) {
        if let Some(one) = self.stages.iter_mut().find(|one| one.stage == stage) {
            one.is_whole = false;
        }
    }

    /// The rates as they were measured; `known` where nothing was. On a machine of which nothing is
    /// known, what was not measured is as much slower as the rest.
    fn measured(&self, known: Rates, duration_ms: u64) -> Rates {
        let lesson_s = duration_ms.max(1) as f64 / 1000.0;
        let of = |stage: Stage| {
            let one = self.stages.iter().find(|one| one.stage == stage)?;
            Some((one, one.measured(lesson_s)?))
        };
        let stages = [Stage::Audio, Stage::Slides, Stage::Pages, Stage::Video, Stage::Video480];
        let source = (!self.plan.copies_source).then_some(Stage::Source);
        let all = || stages.into_iter().chain(source).filter_map(of);
        let measured_s: f64 = all().map(|(_, measured)| measured).sum();
        let known_s: f64 = all().map(|(one, _)| one.share() * (1.0 - one.found)).sum();
        let is_first = known == Rates::default();
        let by = if is_first { ratio(measured_s, known_s).unwrap_or(1.0) } else { 1.0 };
        let mut rates = self.rates.scaled(by);
        let times = |stage: Stage| {
            let (one, measured) = of(stage)?;
            Some(measured / (one.share() * (1.0 - one.found)))
        };
        if let Some(times) = times(Stage::Audio) {
            rates.audio = self.rates.audio * times;
        }
        if let Some(times) = times(Stage::Slides) {
            (rates.look, rates.decode) = (self.rates.look * times, self.rates.decode * times);
        }
        if let Some(times) = times(Stage::Pages) {
            rates.page = self.rates.page * times;
        }
        let decoding = rates.decode * self.plan.decode_units;
        let encoding = |stage: Stage| {
            let (one, measured) = of(stage)?;
            let encoding = (measured - decoding).max(measured * ENCODING_PART_MIN);
            // Of a picture it is known how much of it was made here.
            Some(encoding / (1.0 - one.found))
        };
        if let Some(source) = source.and_then(encoding) {
            rates.source = source;
        }
        let (video_360, video_480) = (encoding(Stage::Video), encoding(Stage::Video480));
        let video = rates.video(self.plan.encoder());
        video.video_360 = video_360.unwrap_or(video.video_360);
        video.video_480 = video_480.unwrap_or(video.video_480);
        rates
    }
}

impl StageState {
    /// Seconds of work for a second of the lesson; never 0.
    fn share(&self) -> f64 {
        (self.rate * self.units + self.decoding).max(1e-6)
    }

    /// Work of this phase.
    fn made(&self) -> f64 {
        self.share() * (self.fraction - self.from)
    }

    fn left(&self) -> f64 {
        self.share() * (1.0 - self.fraction)
    }

    /// How long it took for a second of the lesson, if this call did enough of it.
    fn measured(&self, lesson_s: f64) -> Option<f64> {
        let part = 1.0 - self.found;
        let is_measured = self.is_whole
            && self.fraction >= 1.0
            && part >= MEASURED_PART_MIN
            && self.seconds > 0.0;
        is_measured.then_some(self.seconds / lesson_s)
    }
}

fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
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
        decode_units: f64,
    }

    /// Forty minutes with a talking head.
    const LONG: Lesson =
        Lesson { duration_s: 2400, pages: 30, moving: 100, is_copied: true, decode_units: 1.0 };
    /// A page every few seconds, and nothing that moves.
    const DENSE: Lesson = Lesson { duration_s: 400, pages: 100, moving: 0, ..LONG };
    /// So much longer takes each of the first GOPs, and so many hundredths they are.
    const FIRST: (f64, f64) = (1.7, 0.03);

    /// What a machine takes: so many times the rates of the first import.
    fn machine(by: f64) -> Rates {
        Rates::default().scaled(by)
    }

    fn plan(lesson: &Lesson) -> Plan {
        Plan {
            audio: true,
            slides: true,
            video_360: true,
            encodes_source: !lesson.is_copied,
            encoder: Some(EncoderName::SvtAv1),
            decode_units: lesson.decode_units,
            duration_s: lesson.duration_s as f64,
            ..Plan::default()
        }
    }

    /// What runs side by side, for how many seconds.
    struct Run {
        seconds: f64,
        stages: Vec<Part>,
    }

    /// A stage, from where to where.
    struct Part(Stage, f64, f64);

    /// An import on a machine: sound shares it evenly with the look for pages, the rest has it
    /// alone.
    fn runs(machine: Rates, lesson: &Lesson) -> Vec<Run> {
        let duration_s = lesson.duration_s as f64;
        let decoding = machine.decode * lesson.decode_units;
        let (audio, look) = (duration_s * machine.audio, duration_s * (machine.look + decoding));
        assert!(audio < look);
        let begun = audio / look;
        let moving = lesson.moving as f64 / 100.0;
        let decoded_again = if lesson.moving > 0 { decoding } else { 0.0 };
        let video = duration_s * (machine.svt_av1.video_360 * moving + decoded_again);
        let source = duration_s * (machine.source + decoding);
        let beside = vec![Part(Stage::Audio, 0.0, 1.0), Part(Stage::Slides, 0.0, begun)];
        let alone = |seconds: f64, stage: Stage, from: f64| Run {
            seconds,
            stages: vec![Part(stage, from, 1.0)],
        };
        let mut runs = vec![
            Run { seconds: 2.0 * audio, stages: beside },
            alone(look - audio, Stage::Slides, begun),
            alone(lesson.pages as f64 * machine.page, Stage::Pages, 0.0),
            alone(video, Stage::Video, 0.0),
        ];
        if !lesson.is_copied {
            runs.push(alone(source, Stage::Source, 0.0));
        }
        runs
    }

    /// Plays an import on a machine, tenth by tenth of a second; gives the worst error after the
    /// first minute.
    fn worst_error(known: &Known, machine: Rates, lesson: &Lesson) -> f64 {
        let reporter = Reporter::new(known);
        reporter.plan(plan(lesson));
        let runs = runs(machine, lesson);
        let whole: f64 = runs.iter().map(|run| run.seconds).sum();
        let (mut now, mut worst) = (0.0, 0.0_f64);
        for Run { seconds, stages } in runs {
            let ticks = (seconds * 10.0) as u64;
            for tick in 0..=ticks {
                let time = if ticks > 0 { tick as f64 / ticks as f64 } else { 1.0 };
                let at = now + seconds * time;
                for Part(stage, from, to) in &stages {
                    let part = if *stage == Stage::Video { made_after(time) } else { time };
                    let part = from + (to - from) * part;
                    if *stage == Stage::Slides {
                        look(&reporter, lesson, part);
                    }
                    let now = Duration::from_secs_f64(at);
                    lock(&reporter.state).advance(*stage, part, true, now);
                }
                let left = whole - at;
                // The last seconds are rounded, and nobody counts them.
                if at >= 60.0 && left >= 30.0 {
                    let said = lock(&reporter.state).seconds_left.expect("it shows its pace");
                    worst = worst.max((said as f64 / left - 1.0).abs());
                }
            }
            now += seconds;
        }
        if lesson.moving < 100 {
            let found = 100 - lesson.moving;
            reporter.segments(Stage::Video, found, 100, 100);
        }
        reporter.measured(lesson.duration_s * 1000);
        worst
    }

    /// Says what is seen after a part of a lesson.
    fn look(reporter: &Reporter, lesson: &Lesson, part: f64) {
        let duration_s = lesson.duration_s as f64;
        let passed = (duration_s * part / 4.0) as u64;
        let seen = Moving { moving: passed * lesson.moving / 100, passed };
        let pages = (lesson.pages as f64 * part) as usize;
        reporter.seen(duration_s * part, duration_s, pages, Some(seen));
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
        // What runs side by side, and how much of it is decoding, does not show in one lesson.
        let with_decoding = |rates: Rates| {
            let own = [rates.look + rates.audio, rates.svt_av1.video_360, rates.source];
            own.map(|own| own + rates.decode)
        };
        let is_near = |(one, other): (f64, f64)| (one / other - 1.0).abs() < 0.01;
        assert!(
            with_decoding(rates).into_iter().zip(with_decoding(slow)).all(is_near),
            "{rates:?}"
        );
        assert!(is_near((rates.page, slow.page)), "{rates:?}");
        assert!(worst_error(&known(rates), slow, &lesson) < 0.2);
        let third = known(rates);
        worst_error(&third, slow, &DENSE);
        let still = lock(&third.heard).expect("it was measured");
        assert_eq!(still.svt_av1, rates.svt_av1, "nothing moved in it");
        assert_eq!(still.rav1e, rates.rav1e, "it made nothing");
    }

    #[test]
    fn a_first_import_is_foretold_whatever_is_decoded() {
        for (speed, decode_units) in [(0.5, 1.0), (1.0, 0.5), (1.0, 2.25), (4.0, 1.0)] {
            let lesson = Lesson { decode_units, ..LONG };
            let worst = worst_error(&known(Rates::default()), machine(speed), &lesson);
            assert!(worst < 0.2, "{worst} on a machine of {speed}, decoding {decode_units}");
        }
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
