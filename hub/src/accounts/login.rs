//! Logging in and out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use super::password::{self, PASSWORD_CHARS_MAX};
use super::{Anyone, User, cookie};
use crate::app::{App, ClientAddress};
use crate::problem::{ApiError, Body, Problem};

pub(crate) const SELECT_LOGIN: &str = "select lower(hex(id)), login, name, role, created_at, \
    pseudonym, password from users where login = ?1";

/// Who wants to log in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The login name; capital letters count as small ones.
    pub login: String,
    /// The password, or a pupil's PIN.
    pub password: String,
}

/// Who has logged in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LoggedIn {
    /// The user.
    pub user: User,
}

/// Logs in; the answer sets the cookie.
#[utoipa::path(post, path = "/session", tag = "accounts", request_body = Login, responses(
    (status = 200, body = LoggedIn), (status = 401, body = Problem, description = "wrong_login"),
    (status = 429, body = Problem, description = "too_many_tries"),
))]
pub async fn log_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Body(request): Body<Login>,
) -> Result<(HeaderMap, Json<LoggedIn>), ApiError> {
    let login = request.login.trim().to_ascii_lowercase();
    if login.len() > 64 || request.password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(ApiError::wrong_login());
    }
    app.tries.begin(&login, address).map_err(ApiError::too_many_tries)?;
    let name = login.clone();
    let (user, hash) = app.db.read(move |c| find(c, &name)).await?.unzip();
    let is_right = password::verify(request.password, hash).await?;
    let user = user.filter(|_| is_right).ok_or_else(ApiError::wrong_login)?;
    app.tries.forgive(&login, address);
    let headers = begin(&app, &user).await?;
    Ok((headers, Json(LoggedIn { user })))
}

/// Logs out.
#[utoipa::path(delete, path = "/session", tag = "accounts", responses(
    (status = 204), (status = 401, body = Problem),
))]
pub async fn log_out(
    State(app): State<App>,
    _: Anyone,
    headers: HeaderMap,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    if let Some(cookie) = cookie(&headers, &app.cookie_name) {
        app.sessions.end(cookie).await?;
    }
    Ok((StatusCode::NO_CONTENT, set_cookie(&app, "", 0)))
}

/// Makes a login that lasts; gives the headers that tell the browser.
pub(crate) async fn begin(app: &App, user: &User) -> Result<HeaderMap, ApiError> {
    let (cookie, seconds) = app.sessions.begin(user).await?;
    Ok(set_cookie(app, &cookie, seconds))
}

fn set_cookie(app: &App, value: &str, seconds: u64) -> HeaderMap {
    let name = &app.cookie_name;
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    let value = HeaderValue::try_from(text).expect("a cookie is printable ASCII");
    HeaderMap::from_iter([(header::SET_COOKIE, value)])
}

fn find(c: &rusqlite::Connection, login: &str) -> Result<Option<(User, String)>, ApiError> {
    let mut statement = c.prepare_cached(SELECT_LOGIN)?;
    let row = statement.query_row([login], |row| {
        let user = User {
            id: row.get(0)?,
            login: row.get(1)?,
            name: row.get(2)?,
            role: row.get(3)?,
            created_at: row.get(4)?,
            pseudonym: row.get(5)?,
        };
        Ok((user, row.get(6)?))
    });
    Ok(row.optional()?)
}
