//! Tonight: what tomorrow's lessons still need, when it will be here, and what nobody may believe
//! before it is. Readable on the LAN without a login.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::HubId;

use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::events::HubEvent;
use crate::problem::{ApiError, Body, Problem};
use crate::room;

pub mod clock;
pub mod courier_list;
pub mod fresh;
pub mod lesson;
pub mod links;
pub mod map;
pub mod needed;
pub mod overview;
pub mod pins;
pub mod policy;
pub mod readiness;
pub mod reports;
pub mod scrub;
pub mod slip;
pub mod space;
pub mod tonight;
pub mod warnings;

#[cfg(test)]
mod tests;

use policy::{Asked, HURRY_MS, PAUSE_MS_MAX};

/// How often contacts are looked at for what links carry; a cut of 10 s is seen.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often what changes slowly is looked at: clocks, reports to the others, warnings.
const LOOKS_A_ROUND: u64 = 6;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(overview::show))
        .routes(routes!(sync_now))
        .routes(routes!(pause, go_on))
        .routes(routes!(pins::list))
        .routes(routes!(pins::pin, pins::unpin))
        .routes(routes!(slip::show))
        .routes(routes!(map::show))
        .routes(routes!(courier_list::show))
        .routes(routes!(scrub::show, scrub::begin))
        .routes(routes!(clock::say_right))
}

/// Until when nothing is fetched.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NightPause {
    /// Unix milliseconds, at most 24 hours ahead.
    pub until: i64,
}

/// Fetches everything from now on, whatever the window and classes say, for one night.
#[utoipa::path(post, path = "/night/sync_now", tag = "night", responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn sync_now(State(app): State<App>, _: Teacher) -> Result<axum::http::StatusCode, ApiError> {
    ask(&app, Asked { paused_until_ms: 0, hurry_until_ms: now_ms() + HURRY_MS }).await
}

/// Fetches nothing until a time.
#[utoipa::path(post, path = "/night/pause", tag = "night", request_body = NightPause, responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 422, body = Problem),
))]
async fn pause(
    State(app): State<App>,
    _: Teacher,
    Body(pause): Body<NightPause>,
) -> Result<axum::http::StatusCode, ApiError> {
    let now = now_ms();
    if !(1..=PAUSE_MS_MAX).contains(&pause.until.saturating_sub(now)) {
        return Err(ApiError::invalid_input("until", "a time within the next 24 hours"));
    }
    ask(&app, Asked { paused_until_ms: pause.until, hurry_until_ms: 0 }).await
}

/// Ends a pause.
#[utoipa::path(delete, path = "/night/pause", tag = "night", responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn go_on(State(app): State<App>, _: Teacher) -> Result<axum::http::StatusCode, ApiError> {
    ask(&app, Asked::default()).await
}

async fn ask(app: &App, asked: Asked) -> Result<axum::http::StatusCode, ApiError> {
    app.db.write(move |tx| asked.store(tx)).await?;
    changed(app);
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Makes a new plan, and tells pages to ask again.
fn changed(app: &App) {
    app.sync.news().want();
    app.events.publish(HubEvent::Night {});
}

/// Gives the other members of the alliance.
pub(crate) fn other_members(app: &App) -> Vec<HubId> {
    let own = app.sync.hub_id();
    let members = app.sync.membership();
    let members = members.iter().flat_map(|m| &m.hubs).map(|member| member.hub);
    members.filter(|hub| *hub != own).collect()
}

/// Looks after the night for as long as the hub runs.
pub async fn run(app: App) {
    let mut watch = Watch::begin();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reports = reports::Reports::default();
    for round in 0u64.. {
        tick.tick().await;
        if let Err(error) = watch.look(&app).await {
            tracing::warn!(%error, "what links carry cannot be kept");
        }
        if round % LOOKS_A_ROUND == 0 {
            let at = overview::Moment::now(&app);
            let bell = app.clone();
            let read = move || fresh::before_the_bell(&bell, now_ms());
            match tokio::task::spawn_blocking(read).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the next lessons cannot be read again"),
                Err(error) => tracing::error!(%error, "the next lessons are not read again"),
            }
            let done = warnings::warn(&app, &at).await;
            let clock = std::time::Instant::now();
            if let Err(error) = done.and(reports.tell(&app, &at, clock).await) {
                tracing::warn!(%error, "the state of tomorrow's lessons cannot be told");
            }
        }
    }
}

/// What the loop remembers between looks.
struct Watch {
    meter: links::Meter,
    looked: Instant,
    clock: clock::Clock,
    /// How long the hub has run since that was kept.
    unkept_ms: u64,
}

impl Watch {
    fn begin() -> Self {
        let looked = Instant::now();
        Self {
            meter: links::Meter::default(),
            looked,
            clock: clock::Clock::default(),
            unkept_ms: 0,
        }
    }

    async fn look(&mut self, app: &App) -> rusqlite::Result<()> {
        let policy = app.sync.news().policy();
        let elapsed = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let view = app.sync.contacts().await;
        let kept = app.db.read(clock::Kept::load).await?;
        let now = now_ms();
        if policy.take_clock_said_right() {
            self.clock.believe();
        }
        let is_doubtful = self.clock.look(now, elapsed_ms, &kept, &view.contacts);
        let mut is_changed = policy.set_clock_doubt(is_doubtful);
        let clock = std::time::Instant::now();
        is_changed |= policy.set_class(app.playing.is_on(clock));
        let played = app.playing.played(clock);
        if policy.set_played(played.clone()) {
            is_changed = true;
            app.db.write(move |tx| room::note_played(tx, &played, now)).await?;
        }
        let tonight: Arc<tonight::Tonight> = policy.tonight();
        let members = other_members(app);
        let found = self.meter.look(&links::Look {
            now_ms: now,
            utc_offset_min: policy.utc_offset_min,
            elapsed_ms,
            hub: app.sync.hub_id(),
            members: &members,
            wanted: &tonight.sources,
            contacts: &view.contacts,
        });
        self.unkept_ms += elapsed_ms;
        let time = self.clock.to_keep(now, &kept);
        let is_due = time.is_some() || self.unkept_ms >= clock::KEEP_EVERY_MS.unsigned_abs();
        if is_due || !found.received.is_empty() || !found.hours.is_empty() {
            let (own, config) = (app.sync.hub_id(), policy.config.clone());
            let unkept_ms = std::mem::take(&mut self.unkept_ms);
            let day = links::budget_day(policy, u64::try_from(now).unwrap_or(0));
            let kept = app.db.write(move |tx| -> rusqlite::Result<bool> {
                if let Some(time) = time {
                    time.store(tx)?;
                }
                links::keep_bytes(tx, &found, unkept_ms)?;
                // A clock that jumps would put what flows into hours that were not.
                if !is_doubtful {
                    links::keep_hours(tx, &found)?;
                }
                links::uses_up(tx, &own, &config, day, &found)
            });
            is_changed |= kept.await?;
        }
        if is_changed {
            changed(app);
        }
        Ok(())
    }
}
