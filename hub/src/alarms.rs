//! Alarms: what a person has to look at, kept until somebody has, and the way out of doubt.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event;
use yingxue_sync_core::id::HubId;

use crate::accounts::{Admin, Teacher};
use crate::alliance::refused;
use crate::app::{App, now_ms};
use crate::events::HubEvent;
use crate::problem::{ApiError, Problem};

/// Alarms that are kept; a school that has more has had somebody look at the rest.
const ALARMS_KEPT: i64 = 1_000;
/// Alarms that a screen shows.
const ALARMS_SHOWN: i64 = 100;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(see)).routes(routes!(end_doubt))
}

/// Alarms, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Alarms {
    /// At most 100.
    pub items: Vec<Alarm>,
    /// True while this hub writes nothing, because its disk was restored or copied and others
    /// have not given back what it wrote.
    pub is_in_doubt: bool,
}

/// Something that a person has to look at.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Alarm {
    /// Number of the alarm.
    pub id: i64,
    /// Unix milliseconds when it was last noticed.
    pub at: i64,
    /// What kind it is.
    pub kind: AlarmKind,
    /// The other school that it is about.
    pub school: Option<String>,
    /// Which sentence a screen says, such as `journal_forked`.
    pub text_code: String,
    /// What the sentence names; `text` has all of it in English.
    #[schema(value_type = Object)]
    pub params: Value,
    /// True once somebody has said so.
    pub is_seen: bool,
}

/// Kinds of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Two entries at one place of a journal, or claims about them that are not kept.
    Fork,
    /// Two memberships signed with one number.
    Equivocation,
    /// A disk that was restored or cloned.
    Restored,
    /// A hub sends pieces that are wrong.
    WrongPiece,
    /// Something on this disk is damaged.
    Damage,
    /// A school has changed what belongs to another one.
    Trespass,
    /// A journal is not what others have countersigned.
    Witness,
}

impl AlarmKind {
    const ALL: [Self; 7] = [
        Self::Fork,
        Self::Equivocation,
        Self::Restored,
        Self::WrongPiece,
        Self::Damage,
        Self::Trespass,
        Self::Witness,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Equivocation => "equivocation",
            Self::Restored => "restored",
            Self::WrongPiece => "wrong_piece",
            Self::Damage => "damage",
            Self::Trespass => "trespass",
            Self::Witness => "witness",
        }
    }
}

/// Says of which kind an alarm of the node is, which sentence it is, and what that names.
fn parts(alarm: &event::Alarm) -> (AlarmKind, &'static str, Value) {
    use event::Alarm as Of;
    match alarm {
        Of::JournalForked { collection, seq, .. } => {
            let named = json!({ "collection": collection.0, "seq": seq });
            (AlarmKind::Fork, "journal_forked", named)
        }
        Of::Trespassed { collection, seq, doc, .. } => {
            let named = json!({ "collection": collection.0, "seq": seq, "doc": doc.to_string() });
            (AlarmKind::Trespass, "trespassed", named)
        }
        Of::WitnessedOtherwise { collection, seq, witness, .. } => {
            let named = json!({ "collection": collection.0, "seq": seq,
                "witness": witness.to_string() });
            (AlarmKind::Witness, "witnessed_otherwise", named)
        }
        Of::WitnessedMissing { collection, entries, witness, .. } => {
            let named = json!({ "collection": collection.0, "entries": entries,
                "witness": witness.to_string() });
            (AlarmKind::Witness, "witnessed_missing", named)
        }
        Of::WrongPieces { .. } => (AlarmKind::WrongPiece, "wrong_pieces", json!({})),
        Of::MembershipForked { n } => {
            (AlarmKind::Equivocation, "membership_forked", json!({ "epoch": n }))
        }
        Of::Restored => (AlarmKind::Restored, "restored", json!({})),
        Of::OwnEntriesMissing { entries } => {
            (AlarmKind::Restored, "own_entries_missing", json!({ "entries": entries }))
        }
        Of::OwnEntriesNotGiven { .. } => (AlarmKind::Fork, "own_entries_not_given", json!({})),
        Of::Cloned { .. } => (AlarmKind::Restored, "cloned", json!({})),
        Of::JournalDamaged { why } => (AlarmKind::Damage, "journal_damaged", json!({ "why": why })),
        Of::ChangeSkipped { doc, why } => {
            let named = json!({ "doc": doc.to_string(), "why": why });
            (AlarmKind::Damage, "change_skipped", named)
        }
        Of::DocumentDamaged { doc, why } => {
            let named = json!({ "doc": doc.to_string(), "why": why });
            (AlarmKind::Damage, "document_damaged", named)
        }
    }
}

/// Keeps an alarm of the node. The same one that nobody has seen yet is only noticed again.
///
/// # Errors
/// If the database fails.
pub fn keep(tx: &Transaction<'_>, alarm: &event::Alarm, at_ms: i64) -> rusqlite::Result<()> {
    let (kind, text_code, mut named) = parts(alarm);
    named["text"] = alarm.to_string().into();
    add(tx, at_ms, kind, text_code, alarm.hub(), &named)
}

/// Keeps the alarm that a part of this disk cannot be read.
///
/// # Errors
/// If the database fails.
pub fn keep_unreadable(tx: &Transaction<'_>, at_ms: i64) -> rusqlite::Result<()> {
    let text = "a part of this disk cannot be read: what it held of lessons does not count as \
         ready any more and is fetched again; make a backup, check the disk, replace it if this \
         happens again";
    add(tx, at_ms, AlarmKind::Damage, "disk_unreadable", None, &json!({ "text": text }))
}

fn add(
    tx: &Transaction<'_>,
    at_ms: i64,
    kind: AlarmKind,
    text_code: &str,
    hub: Option<HubId>,
    named: &Value,
) -> rusqlite::Result<()> {
    const AGAIN: &str = "update alarms set at_ms = ?1 where text_code = ?2 and hub is ?3 \
         and params = ?4 and seen_at_ms is null";
    const ADD: &str = "insert into alarms (at_ms, kind, text_code, hub, params) \
         values (?1, ?2, ?3, ?4, ?5)";
    const FORGET: &str = "delete from alarms where id <= (select max(id) from alarms) - ?1";
    let (hub, named) = (hub.map(|hub| hub.0), named.to_string());
    let again = params![at_ms, text_code, hub, named];
    if tx.prepare_cached(AGAIN)?.execute(again)? == 0 {
        let row = params![at_ms, kind.name(), text_code, hub, named];
        tx.prepare_cached(ADD)?.execute(row)?;
        tx.prepare_cached(FORGET)?.execute([ALARMS_KEPT])?;
    }
    Ok(())
}

fn newest(db: &Connection) -> rusqlite::Result<Vec<(Alarm, Option<HubId>)>> {
    const NEWEST: &str = "select id, at_ms, kind, text_code, hub, params, \
         seen_at_ms is not null from alarms order by at_ms desc, id desc limit ?1";
    db.prepare_cached(NEWEST)?
        .query_map([ALARMS_SHOWN], |row| {
            let kind: String = row.get(2)?;
            let named: String = row.get(5)?;
            let alarm = Alarm {
                id: row.get(0)?,
                at: row.get(1)?,
                kind: AlarmKind::ALL
                    .into_iter()
                    .find(|known| known.name() == kind)
                    .unwrap_or(AlarmKind::Damage),
                school: None,
                text_code: row.get(3)?,
                params: serde_json::from_str(&named).unwrap_or_default(),
                is_seen: row.get(6)?,
            };
            Ok((alarm, row.get::<_, Option<[u8; 32]>>(4)?.map(HubId)))
        })?
        .collect()
}

/// Lists what a person has to look at.
#[utoipa::path(get, path = "/alarms", tag = "alarms", responses(
    (status = 200, body = Alarms), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn list(State(app): State<App>, _: Teacher) -> Result<Json<Alarms>, ApiError> {
    let members = app.sync.membership().map_or_else(Vec::new, |m| m.hubs.clone());
    let school = |hub: HubId| {
        let member = members.iter().find(|member| member.hub == hub);
        member.map_or_else(|| hub.short(), |member| member.school.clone())
    };
    let found = app.db.read(newest).await?.into_iter();
    let shown = |(alarm, hub): (Alarm, Option<HubId>)| {
        let mut alarm = Alarm { school: hub.map(school), ..alarm };
        let witness = alarm.params["witness"].as_str().and_then(|id| id.parse().ok());
        if let Some(witness) = witness {
            alarm.params["witness"] = school(witness).into();
        }
        alarm
    };
    let items = found.map(shown).collect();
    Ok(Json(Alarms { items, is_in_doubt: app.sync.is_in_doubt() }))
}

/// Says that somebody has looked at an alarm.
#[utoipa::path(post, path = "/alarms/{id}/seen", tag = "alarms", params(("id" = i64, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
async fn see(
    State(app): State<App>,
    _: Teacher,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    const SEE: &str = "update alarms set seen_at_ms = coalesce(seen_at_ms, ?2) where id = ?1 \
         returning id";
    let id: i64 = id.parse().map_err(|_| ApiError::not_found())?;
    let seen = app
        .db
        .write(move |tx| {
            tx.query_row(SEE, params![id, now_ms()], |row| row.get::<_, i64>(0)).optional()
        })
        .await?;
    seen.ok_or_else(ApiError::not_found)?;
    app.events.publish(HubEvent::Alarm {});
    Ok(StatusCode::NO_CONTENT)
}

/// Writes on although no other hub has given back what this one wrote before it was restored.
/// What only others have is then contradicted, and has to be given up.
#[utoipa::path(post, path = "/alarms/doubt/end", tag = "alarms", responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
))]
async fn end_doubt(State(app): State<App>, _: Admin) -> Result<StatusCode, ApiError> {
    app.sync.end_doubt().await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::trial::TrialHub;

    const CLONED: event::Alarm = event::Alarm::Cloned { hub: HubId([7; 32]) };

    async fn notice(hub: &TrialHub, alarm: event::Alarm) {
        hub.app.db.write(move |tx| keep(tx, &alarm, now_ms())).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_alarm_is_shown_once_until_somebody_has_seen_it() {
        let (hub, admin) = TrialHub::start_set_up().await;
        let teacher = hub.log_in_new(&admin, "chen", "teacher").await;
        let pupil = hub.log_in_new(&admin, "li", "pupil").await;
        for _ in 0..3 {
            notice(&hub, CLONED).await;
        }
        let shown = hub.get("/api/v1/alarms", &teacher).await.json();
        let items = shown["items"].as_array().unwrap();
        assert_eq!((items.len(), &shown["is_in_doubt"]), (1, &json!(false)));
        assert_eq!(items[0]["kind"], "restored");
        assert_eq!(items[0]["text_code"], "cloned");
        assert_eq!(
            (&items[0]["school"], &items[0]["is_seen"]),
            (&json!("07070707"), &json!(false))
        );
        assert_eq!(hub.get("/api/v1/alarms", &pupil).await.outcome(), "403 not_allowed");
        let path = format!("/api/v1/alarms/{}/seen", items[0]["id"]);
        assert_eq!(hub.post(&path, &teacher, json!({})).await.outcome(), "204");
        notice(&hub, CLONED).await;
        let shown = hub.get("/api/v1/alarms", &teacher).await.json();
        let seen: Vec<_> =
            shown["items"].as_array().unwrap().iter().map(|a| &a["is_seen"]).collect();
        assert_eq!(seen, [&json!(false), &json!(true)]);
        let none = hub.post("/api/v1/alarms/999/seen", &teacher, json!({})).await;
        assert_eq!(none.outcome(), "404 not_found");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_alarm_of_the_node_has_its_row() {
        let (hub, admin) = TrialHub::start_set_up().await;
        let doc = yingxue_sync_core::id::DocId([1; 16]);
        let collection = crate::catalog::collection();
        let why = || "a reason".to_owned();
        let all = [
            event::Alarm::JournalForked {
                author: HubId([1; 32]),
                collection: collection.clone(),
                seq: 4,
            },
            event::Alarm::Trespassed {
                author: HubId([1; 32]),
                collection: collection.clone(),
                seq: 4,
                doc,
            },
            event::Alarm::WitnessedOtherwise {
                author: HubId([1; 32]),
                collection: collection.clone(),
                seq: 4,
                witness: HubId([2; 32]),
            },
            event::Alarm::WitnessedMissing {
                author: HubId([1; 32]),
                collection: collection.clone(),
                entries: 4,
                witness: HubId([2; 32]),
            },
            event::Alarm::MembershipForked { n: 2 },
            event::Alarm::Restored,
            event::Alarm::OwnEntriesMissing { entries: 3 },
            event::Alarm::OwnEntriesNotGiven { hub: HubId([1; 32]) },
            CLONED,
            event::Alarm::WrongPieces { hub: HubId([1; 32]) },
            event::Alarm::JournalDamaged { why: why() },
            event::Alarm::ChangeSkipped { doc, why: why() },
            event::Alarm::DocumentDamaged { doc, why: why() },
        ];
        let count = all.len();
        for alarm in all {
            notice(&hub, alarm).await;
        }
        let shown = hub.get("/api/v1/alarms", &admin).await.json();
        assert_eq!(shown["items"].as_array().unwrap().len(), count);
    }
}
