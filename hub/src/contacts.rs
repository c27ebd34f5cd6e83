//! Whom this hub has met, what has moved, what waits.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use rusqlite::Connection;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::{ContactView, MemberView};
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use crate::accounts::Teacher;
use crate::app::{App, now_ms};
use crate::driver::{ContactsView, history};
use crate::problem::{ApiError, Problem};

/// Tracks that are shown as waiting; a screen.
const WAITING_MAX: u32 = 50;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What happens between this hub and others.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Contacts {
    /// False while connections to other hubs are cut on purpose.
    pub is_online: bool,
    /// The other members of the alliance.
    pub hubs: Vec<Hub>,
    /// Tracks that are not whole here, in the order in which they are fetched.
    pub waiting: Vec<WaitingTrack>,
    /// Meetings and partings, newest first.
    pub history: Vec<HistoryEntry>,
}

/// How a hub is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HubReach {
    /// There is a contact.
    Connected,
    /// There is none; this hub tries again and again.
    Trying,
    /// This hub itself is cut off.
    Offline,
}

/// One hub.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Hub {
    /// 64 hex characters.
    pub hub_id: String,
    /// Its school's name.
    pub school: String,
    /// True for the lead school's.
    pub is_lead: bool,
    /// How it is reached.
    pub state: HubReach,
    /// Unix milliseconds since when it is connected, or was last.
    pub since: Option<i64>,
    /// Its address.
    pub address: Option<String>,
    /// Smallest round trip seen.
    pub rtt_ms: Option<u64>,
    /// Of this contact.
    pub received_bytes: u64,
    /// Of this contact.
    pub sent_bytes: u64,
    /// Over the last seconds.
    pub receive_bytes_per_s: u64,
    /// Over the last seconds.
    pub send_bytes_per_s: u64,
    /// Changes of documents that it is not known to have.
    pub waiting_comments: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
    /// Unix milliseconds of the last meeting or parting.
    pub last_seen_at: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// A track that is not whole here.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WaitingTrack {
    /// Which lesson.
    pub lesson_id: String,
    /// Its title.
    pub title: String,
    /// Its kind; a newer hub may have made one that is not known here.
    pub track: String,
    /// Verified on this disk.
    pub verified_bytes: i64,
    /// In all.
    pub total_bytes: i64,
    /// Why it does not move, if this hub itself is why.
    pub reason: Option<WaitingReason>,
}

/// Why this hub does not fetch a track now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitingReason {
    /// Its disk has no room; it goes on by itself when there is.
    DiskFull,
}

/// A meeting or a parting.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HistoryEntry {
    /// Unix milliseconds.
    pub at: i64,
    /// With which hub.
    pub hub_id: String,
    /// Its school, if it is a member still.
    pub school: String,
    /// Which of the two.
    pub event: MeetingEvent,
    /// While the contact lasted.
    pub received_bytes: u64,
    /// While the contact lasted.
    pub sent_bytes: u64,
    /// Of a parting.
    pub reason: Option<String>,
}

/// What happened between two hubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeetingEvent {
    /// They met.
    Met,
    /// They parted.
    Left,
}

/// Shows contacts, what waits, and the history.
#[utoipa::path(get, path = "/contacts", tag = "contacts", responses(
    (status = 200, body = Contacts), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn show(State(app): State<App>, _: Teacher) -> Result<Json<Contacts>, ApiError> {
    let view = app.sync.contacts().await;
    // What the plan leaves out waits for room as well.
    let stalled = &view.stalled | &app.sync.news().policy().tonight().stalled;
    let (waiting, entries, last_seen) = app
        .db
        .read(move |db| -> rusqlite::Result<_> {
            Ok((waiting(db, &stalled)?, history::newest(db)?, history::last_seen(db)?))
        })
        .await?;
    let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
    let school = |hub: &HubId| {
        let member = members.iter().find(|member| member.hub == *hub);
        member.map_or_else(String::new, |member| member.school.clone())
    };
    let last_seen: BTreeMap<HubId, i64> = last_seen.into_iter().collect();
    let others = members.iter().filter(|member| member.hub != app.sync.hub_id());
    let is_online = app.sync.is_online();
    let seen_at = |m: &MemberView| last_seen.get(&m.hub).copied();
    let hubs = others.map(|m| hub(m, &view, is_online, seen_at(m))).collect();
    let history = entries.into_iter().map(|entry| HistoryEntry {
        at: entry.at_ms,
        hub_id: entry.hub.to_string(),
        school: school(&entry.hub),
        event: if entry.is_met { MeetingEvent::Met } else { MeetingEvent::Left },
        received_bytes: entry.received_bytes,
        sent_bytes: entry.sent_bytes,
        reason: entry.reason,
    });
    let history = history.collect();
    Ok(Json(Contacts { is_online, hubs, waiting, history }))
}

fn hub(
    member: &MemberView,
    view: &ContactsView,
    is_online: bool,
    last_seen_at: Option<i64>,
) -> Hub {
    // Two contacts with one hub live side by side for a moment; the one in use moves bytes.
    let contact = view
        .contacts
        .iter()
        .filter(|contact| contact.hub == member.hub)
        .max_by_key(|contact| contact.received_bytes + contact.sent_bytes);
    let error = view.dial_errors.iter().find(|(hub, _)| *hub == member.hub);
    let state = match (contact, is_online) {
        (Some(_), _) => HubReach::Connected,
        (None, true) => HubReach::Trying,
        (None, false) => HubReach::Offline,
    };
    let count = |of: fn(&ContactView) -> u64| contact.map_or(0, of);
    let opened = |c: &ContactView| now_ms() - i64::try_from(c.age_ms).unwrap_or(0);
    Hub {
        hub_id: member.hub.to_string(),
        school: member.school.clone(),
        is_lead: member.is_lead,
        state,
        since: contact.map(opened).or(last_seen_at),
        address: contact.map(|c| c.address.clone()),
        rtt_ms: contact.and_then(|c| c.rtt_ms),
        received_bytes: count(|c| c.received_bytes),
        sent_bytes: count(|c| c.sent_bytes),
        receive_bytes_per_s: count(|c| c.receive_bytes_per_s),
        send_bytes_per_s: count(|c| c.send_bytes_per_s),
        waiting_comments: count(|c| c.waiting_envelopes),
        queued_bytes: count(|c| c.queued_bytes),
        last_seen_at,
        last_error: error.filter(|_| contact.is_none()).map(|(_, error)| error.clone()),
    }
}

fn waiting(db: &Connection, stalled: &BTreeSet<BlobId>) -> rusqlite::Result<Vec<WaitingTrack>> {
    const WAITING: &str = "select t.lesson, l.title, t.kind, coalesce(b.verified_bytes, 0), \
         coalesce(b.total_bytes, t.bytes), t.blob \
         from lesson_tracks t join lessons l on l.lesson = t.lesson \
         left join blobs b on b.blob = t.blob \
         where t.is_wanted = 1 order by t.class, t.created_at_ms desc limit ?1";
    let is_stalled = |blob| stalled.contains(&BlobId(blob));
    db.prepare_cached(WAITING)?
        .query_map([WAITING_MAX], |row| {
            Ok(WaitingTrack {
                lesson_id: DocId(row.get(0)?).to_string(),
                title: row.get(1)?,
                track: row.get(2)?,
                verified_bytes: row.get(3)?,
                total_bytes: row.get(4)?,
                reason: is_stalled(row.get(5)?).then_some(WaitingReason::DiskFull),
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests;
