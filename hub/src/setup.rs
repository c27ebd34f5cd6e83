//! The first start: a one-time code, the school's name, the first administrator.

use std::path::Path;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::login::{self, LoggedIn};
use crate::accounts::sessions::is_equal;
use crate::accounts::users::{self, NewUser};
use crate::accounts::{Role, User, Visitor, password};
use crate::alliance::{self, AllianceRole};
use crate::app::{App, now_ms, random};
use crate::catalog::bounds;
use crate::problem::{ApiError, Body, Problem};
use crate::repair::report::LoginsEnded;

pub(crate) const SELECT: &str = "select name from school";
pub(crate) const INSERT: &str = "insert into school (id, name, created_at) values (1, ?1, ?2) \
    on conflict (id) do nothing";

/// The file in the data directory that holds the code until set-up is done.
pub const CODE_FILE: &str = "setup-code";
/// Wrong codes within five minutes, from anywhere: 20 of 100 million are no danger.
pub const WRONG_CODES_MAX: u32 = 20;

/// The school that this hub belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct School {
    /// Its name.
    pub name: String,
}

/// What a page needs to know first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HubState {
    /// Which screen comes first.
    pub phase: Phase,
    /// The school; none before set-up.
    pub school: Option<SchoolView>,
    /// The alliance; none before one is founded or joined.
    pub alliance: Option<AllianceSummary>,
    /// Who asks; none before a login.
    pub user: Option<User>,
    /// The newest repair of the database that ended all logins; none once they would be over.
    pub logins_ended: Option<LoginsEnded>,
    /// True in `yingxue demo`.
    pub is_demo: bool,
    /// Of this program.
    pub version: &'static str,
    /// Language of the pages until somebody chooses.
    pub language_default: &'static str,
}

/// How far the hub is on its way into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No school, no administrator.
    Setup,
    /// Set up, in no alliance yet.
    Alliance,
    /// In an alliance.
    Ready,
}

/// The alliance in a few words.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AllianceSummary {
    /// Hash of its root key, 64 hex characters.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What this hub is in it.
    pub role: AllianceRole,
}

/// A school as pages show it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchoolView {
    /// Its name.
    pub name: String,
    /// Its hub's key, 64 hex characters.
    pub hub_id: String,
}

/// The first administrator's words.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The one-time code from the console; its dash may be left out.
    pub code: String,
    /// The school's name, 1 to 60 characters.
    pub school: String,
    /// The administrator's name, 1 to 30 characters.
    pub name: String,
    /// 2 to 32 of `a-z0-9._-`.
    pub login: String,
    /// 8 to 128 characters.
    pub password: String,
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(state)).routes(routes!(set_up))
}

/// Reads the school, if the hub is set up.
pub fn load(connection: &Connection) -> Result<Option<School>, ApiError> {
    let mut statement = connection.prepare_cached(SELECT)?;
    Ok(statement.query_row([], |row| Ok(School { name: row.get(0)? })).optional()?)
}

/// Makes a one-time code such as `4827-1936`.
pub fn new_code() -> String {
    let number = u64::from_le_bytes(random()) % 100_000_000;
    format!("{:04}-{:04}", number / 10_000, number % 10_000)
}

/// Says where the hub is on its way into use, and who asks.
#[utoipa::path(get, path = "/state", tag = "setup", responses((status = 200, body = HubState)))]
async fn state(State(app): State<App>, visitor: Visitor) -> Json<HubState> {
    let name = app.school_name().ok();
    let alliance = alliance(&app);
    let phase = match (&name, &alliance) {
        (None, _) => Phase::Setup,
        (Some(_), None) => Phase::Alliance,
        (Some(_), Some(_)) => Phase::Ready,
    };
    let hub_id = app.sync.hub_id().to_string();
    Json(HubState {
        phase,
        school: name.map(|name| SchoolView { name, hub_id }),
        alliance,
        user: visitor.user().cloned(),
        logins_ended: app.logins_ended.filter(|ended| app.sessions.would_last(ended.at_ms)),
        is_demo: app.is_demo(),
        version: env!("CARGO_PKG_VERSION"),
        language_default: "zh",
    })
}

fn alliance(app: &App) -> Option<AllianceSummary> {
    let (membership, own) = (app.sync.membership()?, app.sync.hub_id());
    let role = alliance::role(&membership, &own);
    let (id, name) = (membership.alliance.to_string(), membership.name.clone());
    Some(AllianceSummary { id, name, role })
}

/// Sets the hub up, once.
#[utoipa::path(post, path = "/setup", tag = "setup", request_body = SetupRequest, responses(
    (status = 201, body = LoggedIn),
    (status = 403, body = Problem, description = "wrong_setup_code"),
    (status = 409, body = Problem, description = "already_set_up"),
    (status = 422, body = Problem), (status = 429, body = Problem),
))]
async fn set_up(
    State(app): State<App>,
    Body(request): Body<SetupRequest>,
) -> Result<(StatusCode, HeaderMap, Json<LoggedIn>), ApiError> {
    check_code(&app, &request.code)?;
    if !bounds::is_line(&request.school, bounds::SCHOOL_CHARS_MAX) {
        let allowed = format!("1 to {} characters, no line breaks", bounds::SCHOOL_CHARS_MAX);
        return Err(ApiError::invalid_input("school", allowed));
    }
    let school = School { name: request.school.trim().to_owned() };
    let admin = NewUser {
        login: request.login,
        name: request.name,
        role: Role::Admin,
        password: request.password,
    };
    admin.check()?;
    let hash = password::hash(admin.password.clone()).await?;
    let name = school.name.clone();
    let user = app.db.write(move |tx| insert(tx, &name, &admin, &hash)).await?;
    tracing::info!(school = school.name, "the hub is set up");
    *app.school.write().expect("never held over a panic") = Some(school);
    *app.setup_code.write().expect("never held over a panic") = None;
    remove_code_file(&app.data_dir);
    app.sessions.reload_users().await?;
    let headers = login::begin(&app, &user).await?;
    Ok((StatusCode::CREATED, headers, Json(LoggedIn { user })))
}

fn check_code(app: &App, code: &str) -> Result<(), ApiError> {
    let expected = app.setup_code.read().expect("never held over a panic").clone();
    let expected = expected.ok_or_else(ApiError::already_set_up)?;
    app.tries.setup.begin(&(), Instant::now()).map_err(ApiError::too_many_tries)?;
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).take(16).collect::<Vec<_>>();
    if !is_equal(&digits(code), &digits(&expected)) {
        return Err(ApiError::wrong_setup_code());
    }
    app.tries.setup.forgive(&());
    Ok(())
}

fn insert(
    tx: &Transaction<'_>,
    school: &str,
    admin: &NewUser,
    hash: &str,
) -> Result<User, ApiError> {
    match tx.prepare_cached(INSERT)?.execute(params![school, now_ms()])? {
        0 => Err(ApiError::already_set_up()),
        _ => users::insert(tx, admin, hash),
    }
}

fn remove_code_file(data_dir: &Path) {
    if let Err(error) = std::fs::remove_file(data_dir.join(CODE_FILE))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the set-up code's file could not be removed; it is of no use now");
    }
}

#[cfg(test)]
mod tests;
