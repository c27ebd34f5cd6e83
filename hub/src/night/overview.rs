//! The page 今晚同步: whether the next school day can be taught, in one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::ToSpan as _;
use jiff::civil::Date;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::plan::{Urgency, Why};

use super::fresh;
use super::lesson::{self, HeldLesson};
use super::policy::{Allowance, Asked, Policy};
use super::readiness::{self, Around, EntryReadiness, NextStep, Reason, percent};
use super::tonight::{PlannedStep, Tonight};
use crate::app::{App, now_ms};
use crate::catalog::readiness::{ReadinessState, TierName};
use crate::problem::{ApiError, Problem};
use crate::store::lost;
use crate::timetable::day::{self, DayEntry};
use crate::timetable::{Entry, shown_entry};

/// From this hour on, local time, the next school day is what people ask about.
const EVENING_MIN: i64 = 16 * 60;
/// Days ahead in which a school day is looked for: the summer holiday, at most.
const DAYS_AHEAD_MAX: i32 = 60;
/// Steps of the plan that are shown: a screen.
const STEPS_SHOWN: usize = 100;
const MINUTE_MS: i64 = 60_000;

/// The moment that a night is looked at, and the plan as it was then.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// The newest plan.
    pub tonight: Arc<Tonight>,
}

impl Moment {
    /// Gives the present one.
    pub fn now(app: &App) -> Self {
        Self { now_ms: now_ms(), tonight: app.sync.news().policy().tonight() }
    }
}

/// What is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct NightQuery {
    /// `YYYY-MM-DD`; the next school day from 16:00 on, else today.
    pub date: Option<String>,
    /// True if somebody opens the page: then what is due is read off the disk, and no light is
    /// green before that is done (`is_checking`). Without it the lights say when they were read.
    #[serde(default)]
    pub check: bool,
}

/// A night, as everybody on the LAN may see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NightView {
    /// The day that it is about.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// Unix milliseconds.
    pub now: i64,
    /// When the plan was made; unix milliseconds, 0 before the first one.
    pub generated_at: i64,
    /// In a sentence.
    pub summary: NightSummary,
    /// The remote lessons of the day.
    pub entries: Vec<Entry>,
    /// Those of them that somebody has to see to.
    pub warnings: Vec<NightWarning>,
    /// Unix milliseconds.
    pub paused_until: Option<i64>,
    /// Names this hub on the telephone; eight digits.
    pub number_for_support: String,
    /// True if this hub is in contact with another one.
    pub is_online: bool,
    /// When things are fetched.
    pub window: NightWindow,
    /// What may be fetched now.
    pub allowance: Allowance,
    /// What is fetched, in this order.
    pub plan: Vec<NightStep>,
}

/// A night in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NightSummary {
    /// Remote lessons of the day.
    pub total: usize,
    /// At the preferred tier.
    pub ready: usize,
    /// At another tier.
    pub ready_at: usize,
    /// At none.
    pub not_ready: usize,
    /// Those that are being read off the disk just now, and count as nothing else.
    pub checking: usize,
    /// Of those that are not ready, those that come by themselves.
    pub downloading: usize,
    /// When all of those are expected to be ready; unix milliseconds.
    pub expected_done_at: Option<i64>,
    /// That lessons may still take on this disk.
    pub free_bytes: u64,
    /// True if that is too little for what is wanted, and nothing on the disk may be let go.
    pub is_disk_full: bool,
    /// True if nobody has to do anything.
    pub needs_nothing: bool,
    /// True if the hub's clock cannot be believed.
    pub clock_doubt: bool,
}

/// An entry that somebody has to see to.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NightWarning {
    /// Which.
    pub slot_id: String,
    /// Why.
    pub reason: Reason,
    /// What to do.
    pub next_step: NextStep,
    /// How likely it is in time all the same, 0 to 100.
    pub probability_percent: u8,
}

/// When things are fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NightWindow {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`, on the next day if it is before `from`.
    pub to: String,
    /// True if it is open.
    pub is_open: bool,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NightStep {
    /// Which lesson.
    pub lesson_id: String,
    /// Its title.
    pub title: String,
    /// The tier that is here after it.
    pub tier: TierName,
    /// The school that most of it comes from.
    pub from_school: Option<String>,
    /// Unix milliseconds at which it is as likely as not to be here.
    pub by: Option<i64>,
    /// How likely it is in time, 0 to 100.
    pub probability_percent: u8,
    /// Why it is where it is in the plan, or what keeps it.
    pub why: StepWhy,
}

/// Why a step is where it is in the plan, or what keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepWhy {
    /// Somebody needs it now.
    Urgent,
    /// Without it a lesson of the timetable cannot be taught.
    FloorFirst,
    /// It makes a lesson of the timetable better.
    Upgrade,
    /// Somebody wants to have it.
    Pinned,
    /// Nothing presses.
    Rest,
    /// Nothing is fetched before the window opens.
    Window,
    /// No hub that has it is in contact.
    NoLink,
    /// No hub is known to have it.
    NoHolder,
    /// The bytes that may be fetched do not suffice.
    Budget,
    /// The links do not carry it in time.
    TooSlow,
    /// Somebody has paused fetching.
    Paused,
}

/// Shows the night before a school day.
#[utoipa::path(get, path = "/night", tag = "night", params(NightQuery), responses(
    (status = 200, body = NightView), (status = 422, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    query: Result<Query<NightQuery>, QueryRejection>,
) -> Result<Json<NightView>, ApiError> {
    let Query(query) = query?;
    let date = query.date.as_deref().map(parse_date).transpose()?;
    let at = Moment::now(&app);
    if query.check {
        read_now(&app, date, &at).await?;
    }
    view(&app, date, &at).await.map(Json)
}

/// Has what is due on a day read off the disk, for somebody who opens a page.
///
/// # Errors
/// If the database fails.
pub async fn read_now(app: &App, date: Option<Date>, at: &Moment) -> Result<(), ApiError> {
    let (app, now) = (app.clone(), at.now_ms);
    let task = move || {
        let date = day_asked(&app, date, now)?;
        fresh::of_day(&app, date, now, fresh::OPENED_AGE)
    };
    tokio::task::spawn_blocking(task).await.map_err(ApiError::internal)?
}

fn day_asked(app: &App, date: Option<Date>, now_ms: i64) -> rusqlite::Result<Date> {
    let offset = app.sync.news().policy().utc_offset_min;
    date.map_or_else(|| app.db.read_blocking(|db| default_date(db, now_ms, offset)), Ok)
}

/// Reads a date of a request.
pub fn parse_date(text: &str) -> Result<Date, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_input("date", "a date such as 2026-11-23"))
}

/// Puts the view of a night together, from this disk as it is now.
pub async fn view(app: &App, date: Option<Date>, at: &Moment) -> Result<NightView, ApiError> {
    let policy = app.sync.news().policy();
    let Moment { now_ms: now, tonight } = at.clone();
    let (seen, looked) = (app.clone(), tonight.clone());
    // Files that are gone or cut are noticed here, and not when the class begins.
    let (date, lit, asked) = tokio::task::spawn_blocking(move || -> Result<_, ApiError> {
        let date = day_asked(&seen, date, now)?;
        let lit = light(&seen, date, &looked)?;
        Ok((date, lit, seen.db.read_blocking(Asked::load)?))
    })
    .await
    .map_err(ApiError::internal)??;
    let warnings = warnings(&lit);
    let is_paused = asked.is_paused(now);
    let hub = Keeping {
        free_bytes: app.sync.files().available_bytes().unwrap_or(0),
        is_disk_full: policy.is_full(),
        clock_doubt: policy.is_clock_doubtful(),
    };
    let summary = summary(&lit, &warnings, &hub);
    let plan = app.db.read({
        let (tonight, app) = (tonight.clone(), app.clone());
        move |db| steps(db, &app, &tonight, is_paused)
    });
    Ok(NightView {
        date,
        now,
        generated_at: tonight.made_at_ms,
        summary,
        entries: lit,
        warnings,
        paused_until: is_paused.then_some(asked.paused_until_ms),
        number_for_support: number_for_support(&app.sync.hub_id()),
        is_online: app.sync.is_online() && !tonight.contacts.is_empty(),
        window: window(policy, now),
        allowance: tonight.allowance.unwrap_or(Allowance::Open),
        plan: plan.await?,
    })
}

/// Gives the day that people ask about.
///
/// # Errors
/// If the database fails.
pub fn default_date(db: &Connection, now_ms: i64, utc_offset_min: i32) -> rusqlite::Result<Date> {
    let today = day::date_at(now_ms, utc_offset_min);
    let local_min = now_ms.div_euclid(MINUTE_MS) + i64::from(utc_offset_min);
    let is_evening = local_min.rem_euclid(24 * 60) >= EVENING_MIN;
    let first = if is_evening { today.saturating_add(1.days()) } else { today };
    let last = first.saturating_add(DAYS_AHEAD_MAX.days());
    let next = day::days(db, first, last)?.into_iter().find(|day| day.is_school_day());
    Ok(next.map_or(first, |day| day.date))
}

/// Reads the remote lessons of a day with their lights; takes back what files do not have first.
/// Not for async threads.
///
/// # Errors
/// If the database fails.
pub fn light(app: &App, date: Date, tonight: &Tonight) -> Result<Vec<Entry>, ApiError> {
    light_beside(app, date, tonight, || ())
}

/// Likewise, while `meanwhile` is done after the lights are read.
pub(super) fn light_beside(
    app: &App,
    date: Date,
    tonight: &Tonight,
    meanwhile: impl FnOnce(),
) -> Result<Vec<Entry>, ApiError> {
    let readings = app.fresh.readings();
    let entries = app.db.read_blocking(|db| day::of(db, date))?.entries;
    let entries: Vec<DayEntry> = entries.into_iter().filter(|e| e.mode.is_remote()).collect();
    check_files(app, entries.iter().filter_map(|entry| entry.lesson))?;
    let mut lit = app.db.read_blocking(|db| -> rusqlite::Result<Vec<Entry>> {
        entries.into_iter().map(|entry| shown_entry(db, tonight, entry)).collect()
    })?;
    meanwhile();
    readings.mark(&mut lit);
    Ok(lit)
}

/// Says whether an entry of the timetable can be taught from this disk.
///
/// # Errors
/// If the database fails.
pub fn of_entry(
    db: &Connection,
    entry: &DayEntry,
    tonight: &Tonight,
) -> rusqlite::Result<(Option<HeldLesson>, EntryReadiness)> {
    let lesson = entry.lesson.as_ref();
    let held = lesson.map(|lesson| lesson::load(db, lesson)).transpose()?.flatten();
    let has_floor = held.as_ref().is_some_and(|held| held.best_held().is_some());
    // Of what it waits for: a better picture without room is no reason why there is no sound.
    let is_stalled = |held: &HeldLesson| {
        let sought = if has_floor { held.target(entry.preferred) } else { held.floor() };
        let mut sought = sought.into_iter().flat_map(|tier| held.needed(tier));
        sought.any(|track| !track.is_complete && tonight.stalled.contains(&track.blob))
    };
    let around = Around {
        forecast: lesson.and_then(|lesson| tonight.forecast(lesson, has_floor)),
        is_stalled: held.as_ref().is_some_and(is_stalled),
        has_contact: !tonight.contacts.is_empty(),
    };
    let mut light = readiness::of(held.as_ref(), entry.preferred, &around);
    // Whoever follows a plan of lessons does not choose; the school that offers it does.
    if light.reason == Some(Reason::NoLesson) && (entry.planned.is_some() || lesson.is_some()) {
        light.next_step = NextStep::AskLead;
    }
    if lesson.is_some() && held.is_none() {
        light.reason = Some(Reason::NotArrived);
    }
    Ok((held, light))
}

fn check_files(app: &App, lessons: impl Iterator<Item = DocId>) -> Result<(), ApiError> {
    let lessons: BTreeSet<DocId> = lessons.collect();
    let blobs = app.db.read_blocking(|db| -> rusqlite::Result<BTreeSet<BlobId>> {
        let mut blobs = BTreeSet::new();
        for lesson in &lessons {
            let held = lesson::load(db, lesson)?;
            blobs.extend(held.iter().flat_map(|held| &held.tracks).map(|track| track.blob));
        }
        Ok(blobs)
    })?;
    for blob in blobs {
        let notices = lost::check(&app.db, app.sync.files(), blob)?;
        notices.into_iter().for_each(|notice| app.sync.news().tell(notice));
    }
    Ok(())
}

/// Lists what somebody has to see to.
pub fn warnings(entries: &[Entry]) -> Vec<NightWarning> {
    let warning = |entry: &Entry| {
        let light = entry.readiness.as_ref()?;
        let is_quiet = matches!(light.next_step, NextStep::None | NextStep::Wait);
        Some(NightWarning {
            slot_id: entry.slot_id.clone(),
            reason: light.reason.filter(|_| !is_quiet)?,
            next_step: light.next_step,
            probability_percent: light.forecast.map_or(0, |it| it.probability_percent),
        })
    };
    entries.iter().filter_map(warning).collect()
}

/// Gives the light of an entry.
pub fn state_of(entry: &Entry) -> Option<ReadinessState> {
    entry.readiness.as_ref().map(|light| light.state)
}

/// What its keeper has to see to, whatever the lessons.
struct Keeping {
    free_bytes: u64,
    is_disk_full: bool,
    clock_doubt: bool,
}

fn summary(entries: &[Entry], warnings: &[NightWarning], hub: &Keeping) -> NightSummary {
    let is_checking = |entry: &&Entry| entry.readiness.as_ref().is_some_and(|it| it.is_checking);
    let known = || entries.iter().filter(|entry| !is_checking(entry));
    let count = |state| known().filter(|entry| state_of(entry) == Some(state)).count();
    // What only makes a class better that can be taught already counts for nothing here.
    let lacking = known().filter(|entry| state_of(entry) == Some(ReadinessState::NotReady));
    let coming = lacking.filter_map(|entry| {
        let forecast = entry.readiness.as_ref()?.forecast?;
        forecast.complete_at.filter(|_| forecast.is_likely())
    });
    let coming: Vec<i64> = coming.collect();
    NightSummary {
        total: entries.len(),
        ready: count(ReadinessState::Ready),
        ready_at: count(ReadinessState::ReadyAt),
        not_ready: count(ReadinessState::NotReady),
        checking: entries.iter().filter(is_checking).count(),
        downloading: coming.len(),
        expected_done_at: coming.into_iter().max(),
        free_bytes: hub.free_bytes,
        is_disk_full: hub.is_disk_full,
        needs_nothing: warnings.is_empty()
            && !hub.clock_doubt
            && !hub.is_disk_full
            && !entries.iter().any(|it| is_checking(&it)),
        clock_doubt: hub.clock_doubt,
    }
}

fn steps(
    db: &Connection,
    app: &App,
    tonight: &Tonight,
    is_paused: bool,
) -> rusqlite::Result<Vec<NightStep>> {
    let members = app.sync.membership();
    let school = |hub: &HubId| {
        let member = members.iter().flat_map(|m| &m.hubs).find(|member| member.hub == *hub);
        member.map(|member| member.school.clone())
    };
    let mut titles: BTreeMap<DocId, String> = BTreeMap::new();
    let mut steps = Vec::new();
    for step in tonight.steps.iter().filter(|step| step.forecast.why != Why::Here) {
        if steps.len() == STEPS_SHOWN {
            break;
        }
        let title = match titles.get(&step.lesson) {
            Some(title) => title.clone(),
            None => lesson::load(db, &step.lesson)?.map(|it| it.title).unwrap_or_default(),
        };
        titles.insert(step.lesson, title.clone());
        steps.push(NightStep {
            lesson_id: step.lesson.to_string(),
            title,
            tier: step.tier,
            from_school: step.forecast.from.as_ref().and_then(school),
            by: step.forecast.complete_at_wall_ms.and_then(|at| i64::try_from(at).ok()),
            probability_percent: percent(step.forecast.probability),
            why: why(step, is_paused),
        });
    }
    Ok(steps)
}

fn why(step: &PlannedStep, is_paused: bool) -> StepWhy {
    match (step.forecast.why, step.forecast.urgency) {
        _ if is_paused => StepWhy::Paused,
        (Why::Window, _) => StepWhy::Window,
        (Why::NoContact, _) => StepWhy::NoLink,
        (Why::NoHolder, _) => StepWhy::NoHolder,
        (Why::Budget, _) => StepWhy::Budget,
        (Why::TooMuch, _) => StepWhy::TooSlow,
        (_, Urgency::Now) => StepWhy::Urgent,
        (_, Urgency::Floor) => StepWhy::FloorFirst,
        (_, Urgency::Upgrade) => StepWhy::Upgrade,
        (_, Urgency::Pin) => StepWhy::Pinned,
        (_, Urgency::Rest) => StepWhy::Rest,
    }
}

fn window(policy: &Policy, now_ms: i64) -> NightWindow {
    NightWindow {
        from: policy.config.window_from.to_string(),
        to: policy.config.window_to.to_string(),
        is_open: policy.is_window_open(now_ms),
    }
}

/// Gives eight digits that name a hub well enough on the telephone.
fn number_for_support(hub: &HubId) -> String {
    let [a, b, c, d, ..] = *hub.as_bytes();
    let number = u32::from_be_bytes([a, b, c, d]) % 100_000_000;
    format!("{:04}-{:04}", number / 10_000, number % 10_000)
}

#[cfg(test)]
mod tests {
    use super::super::readiness::EntryForecast;
    use super::*;
    use crate::timetable::EntryClass;
    use crate::timetable::term::{ClockTime, Mode, Period};

    const CALM: Keeping = Keeping { free_bytes: 0, is_disk_full: false, clock_doubt: false };

    fn entry(state: ReadinessState, percent: u8, complete_at: i64) -> Entry {
        let time = ClockTime::of_minutes(480).unwrap();
        let forecast = EntryForecast {
            complete_at: Some(complete_at),
            probability_percent: percent,
            tier: TierName::T1,
            why: Why::Next,
        };
        Entry {
            slot_id: String::new(),
            period: Period { no: 1, start: time, end: time, name: String::new() },
            starts_at: 0,
            ends_at: 0,
            class: EntryClass {
                id: String::new(),
                name: String::new(),
                grade: String::new(),
                pupils: 0,
            },
            room: String::new(),
            subject: String::new(),
            lead: String::new(),
            tutor: String::new(),
            mode: Mode::Recorded,
            lesson: None,
            planned: None,
            notice: None,
            readiness: Some(EntryReadiness {
                state,
                tier: None,
                preferred_tier: TierName::T1,
                reason: None,
                next_step: NextStep::Wait,
                forecast: Some(forecast),
                verified_bytes: 0,
                total_bytes: 0,
                checked_at: None,
                is_checking: false,
            }),
            is_exception: false,
        }
    }

    #[test]
    fn what_only_becomes_better_hides_no_lesson_that_does_not_come() {
        use ReadinessState::{NotReady, ReadyAt};
        let better = [entry(ReadyAt, 95, 70), entry(ReadyAt, 95, 90)];
        let hopeless = [better.as_slice(), &[entry(NotReady, 5, 99)]].concat();
        let told = summary(&hopeless, &[], &CALM);
        assert_eq!((told.ready_at, told.not_ready, told.downloading), (2, 1, 0));
        assert_eq!(told.expected_done_at, None);
        let coming = [hopeless.as_slice(), &[entry(NotReady, 95, 60)]].concat();
        let told = summary(&coming, &[], &CALM);
        assert_eq!((told.not_ready, told.downloading), (2, 1));
        assert_eq!(told.expected_done_at, Some(60), "when classes can be taught");
    }

    #[test]
    fn what_is_being_read_counts_as_nothing_else() {
        let mut read = entry(ReadinessState::NotReady, 95, 60);
        read.readiness.as_mut().unwrap().is_checking = true;
        let told = summary(&[read], &[], &CALM);
        assert_eq!((told.checking, told.not_ready, told.downloading), (1, 0, 0));
        assert_eq!(told.expected_done_at, None);
    }
}
