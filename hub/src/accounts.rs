//! Who is asking: users, their logins, and the extractors that stand for authority.
//!
//! Names and logins never leave this hub; other schools see a user's pseudonym.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::id::HubId;

use crate::app::App;
use crate::problem::ApiError;

pub mod login;
pub mod password;
pub mod sessions;
pub mod throttle;
pub mod users;

/// Gives the name of the cookie that carries a login. It names the hub, because a browser sends
/// a machine's cookies to each of its ports (RFC 6265 §8.5), and two hubs may share a machine.
pub fn cookie_name(hub: &HubId) -> String {
    format!("yingxue_session_{}", hub.short())
}

/// What a user may do; see the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Uploads, comments, edits the school's lessons.
    Teacher,
    /// Watches and reads.
    Pupil,
}

impl Role {
    /// Gives the word that is kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Teacher => "teacher",
            Self::Pupil => "pupil",
        }
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "admin" => Ok(Self::Admin),
            "teacher" => Ok(Self::Teacher),
            "pupil" => Ok(Self::Pupil),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// Somebody who may log in at this school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct User {
    /// 32 hex characters.
    pub id: String,
    /// What is typed to log in.
    pub login: String,
    /// Shown at this school.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Names the user to other schools; 16 hex characters.
    #[serde(skip)]
    pub pseudonym: String,
}

/// Anybody who has logged in.
#[derive(Debug, Clone)]
pub struct Anyone {
    user: Arc<User>,
}

/// A teacher or an administrator.
#[derive(Debug, Clone)]
pub struct Teacher {
    user: Arc<User>,
}

/// An administrator.
#[derive(Debug, Clone)]
pub struct Admin {
    user: Arc<User>,
}

/// Whoever asks, logged in or not.
#[derive(Debug, Clone)]
pub struct Visitor {
    user: Option<Arc<User>>,
}

macro_rules! authority {
    ($name:ident, $allowed:pat) => {
        impl $name {
            /// Gives the user.
            pub fn user(&self) -> &User {
                &self.user
            }
        }

        impl FromRequestParts<App> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
                let user = authenticate(&parts.headers, app)?;
                match user.role {
                    $allowed => Ok(Self { user }),
                    #[allow(unreachable_patterns)]
                    _ => Err(ApiError::not_allowed()),
                }
            }
        }
    };
}

authority!(Anyone, _);
authority!(Teacher, Role::Admin | Role::Teacher);
authority!(Admin, Role::Admin);

impl Visitor {
    /// Gives the user, if one has logged in.
    pub fn user(&self) -> Option<&User> {
        self.user.as_deref()
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self { user: authenticate(&parts.headers, app).ok() })
    }
}

/// Finds the user by cookie, or by the command line's token, without a query.
fn authenticate(headers: &HeaderMap, app: &App) -> Result<Arc<User>, ApiError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer "));
        return app.sessions.user_of_token(token.ok_or_else(ApiError::not_logged_in)?);
    }
    cookie(headers, &app.cookie_name)
        .and_then(|cookie| app.sessions.user_of_cookie(cookie))
        .ok_or_else(ApiError::not_logged_in)
}

/// Finds the login's cookie among those that the browser sent.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login::log_in, login::log_out))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::change, users::remove))
}

#[cfg(test)]
mod tests;
