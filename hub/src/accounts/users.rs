//! The users of a school: list, create, change, delete.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::password::{self, PASSWORD_CHARS_MAX};
use super::{Admin, Anyone, Role, User, sessions};
use crate::app::{App, hex, is_hex, now_ms, random};
use crate::problem::{ApiError, Body, Problem};

pub(crate) const SELECT_ALL: &str = "select lower(hex(id)), login, name, role, created_at, \
    pseudonym from users order by created_at, login";
pub(crate) const SELECT_ONE: &str = "select lower(hex(id)), login, name, role, created_at, \
    pseudonym from users where id = unhex(?1)";
pub(crate) const INSERT: &str = "insert into users \
    (id, login, name, role, pseudonym, password, created_at) \
    values (unhex(?1), ?2, ?3, ?4, ?5, ?6, ?7) on conflict (login) do nothing";
pub(crate) const UPDATE: &str = "update users set name = coalesce(?2, name), \
    role = coalesce(?3, role), password = coalesce(?4, password) where id = unhex(?1)";
pub(crate) const DELETE: &str = "delete from users where id = unhex(?1)";
pub(crate) const COUNT: &str = "select count(*) from users";
pub(crate) const COUNT_ADMINS: &str = "select count(*) from users where role = 'admin'";

/// Longest login name.
const LOGIN_CHARS_MAX: usize = 32;
/// Longest name shown; the longest Chinese names with a title have 15.
const NAME_CHARS_MAX: usize = 30;
/// Shortest password of teachers and administrators (NIST SP 800-63B).
const PASSWORD_CHARS_MIN: usize = 8;
/// Shortest password of pupils: a PIN that a six-year-old can keep.
const PIN_CHARS_MIN: usize = 4;
/// Users of one hub; the largest schools have 5,000 pupils.
const USERS_MAX: i64 = 20_000;

/// The users of this school.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UserList {
    /// Oldest first.
    pub items: Vec<User>,
}

/// A user to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 2 to 32 of `a-z0-9._-`.
    pub login: String,
    /// 1 to 30 characters.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// 8 to 128 characters; a pupil's at least 4.
    pub password: String,
}

/// What shall be different; what is not named stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// 1 to 30 characters.
    pub name: Option<String>,
    /// What the user may do.
    pub role: Option<Role>,
    /// 8 to 128 characters; a pupil's at least 4.
    pub password: Option<String>,
}

/// Lists the users of this school.
#[utoipa::path(get, path = "/users", tag = "accounts", responses(
    (status = 200, body = UserList), (status = 401, body = Problem), (status = 403, body = Problem),
))]
pub async fn list(State(app): State<App>, _: Admin) -> Result<Json<UserList>, ApiError> {
    let items = app.db.read(|c| all(c).map_err(ApiError::from)).await?;
    Ok(Json(UserList { items }))
}

/// Creates a user.
#[utoipa::path(post, path = "/users", tag = "accounts", request_body = NewUser, responses(
    (status = 201, body = User), (status = 403, body = Problem),
    (status = 409, body = Problem, description = "login_taken"), (status = 422, body = Problem),
))]
pub async fn create(
    State(app): State<App>,
    _: Admin,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    new.check()?;
    let hash = password::hash(new.password.clone()).await?;
    let user = app.db.write(move |tx| insert(tx, &new, &hash)).await?;
    app.sessions.reload_users().await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Changes a user; everybody may change their own password.
#[utoipa::path(patch, path = "/users/{id}", tag = "accounts", params(("id" = String, Path)),
    request_body = UserChange, responses((status = 200, body = User),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "last_admin"),
        (status = 422, body = Problem)))]
pub async fn change(
    State(app): State<App>,
    anyone: Anyone,
    Path(id): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<User>, ApiError> {
    let is_own_password = anyone.user().id == id && change.name.is_none() && change.role.is_none();
    if anyone.user().role != Role::Admin && !is_own_password {
        return Err(ApiError::not_allowed());
    }
    let known = id.clone();
    let user = app.db.read(move |c| find(c, &known)).await?;
    change.check(change.role.unwrap_or(user.role))?;
    let hash = match change.password.clone() {
        Some(password) => Some(password::hash(password).await?),
        None => None,
    };
    // Who changes a password or a role ends the logins that rest on the old ones.
    let ends_logins = hash.is_some() || change.role.is_some_and(|role| role != user.role);
    let user = app.db.write(move |tx| update(tx, &id, &change, hash, ends_logins)).await?;
    if ends_logins {
        app.sessions.forget_user(&user.id);
    }
    app.sessions.reload_users().await?;
    Ok(Json(user))
}

/// Deletes a user. What the user wrote stays, under the pseudonym.
#[utoipa::path(delete, path = "/users/{id}", tag = "accounts", params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "last_admin")))]
pub async fn remove(
    State(app): State<App>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let gone = id.clone();
    app.db
        .write(move |tx| {
            find(tx, &gone)?;
            tx.prepare_cached(DELETE)?.execute([&gone])?;
            keep_an_admin(tx)
        })
        .await?;
    app.sessions.forget_user(&id);
    app.sessions.reload_users().await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NewUser {
    /// Checks every field against its bounds.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let is_allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let chars = self.login.len();
        if !(2..=LOGIN_CHARS_MAX).contains(&chars) || !self.login.bytes().all(is_allowed) {
            return Err(ApiError::invalid_input("login", "2 to 32 of a-z, 0-9, '.', '_', '-'"));
        }
        check_name("name", &self.name)?;
        check_password(&self.password, self.role)
    }
}

impl UserChange {
    fn check(&self, role: Role) -> Result<(), ApiError> {
        self.name.as_deref().map_or(Ok(()), |name| check_name("name", name))?;
        self.password.as_deref().map_or(Ok(()), |password| check_password(password, role))
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    let is_long = name.chars().count() > NAME_CHARS_MAX;
    if name.trim().is_empty() || is_long || name.chars().any(char::is_control) {
        let allowed = format!("1 to {NAME_CHARS_MAX} characters, no line breaks");
        return Err(ApiError::invalid_input(field, allowed));
    }
    Ok(())
}

fn check_password(password: &str, role: Role) -> Result<(), ApiError> {
    let min = if role == Role::Pupil { PIN_CHARS_MIN } else { PASSWORD_CHARS_MIN };
    if !(min..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
        let allowed = format!("{min} to {PASSWORD_CHARS_MAX} characters");
        return Err(ApiError::invalid_input("password", allowed));
    }
    Ok(())
}

/// Reads every user.
pub(crate) fn all(connection: &Connection) -> rusqlite::Result<Vec<User>> {
    connection.prepare_cached(SELECT_ALL)?.query_map([], user_of_row)?.collect()
}

fn find(connection: &Connection, id: &str) -> Result<User, ApiError> {
    if !is_hex(id, 16) {
        return Err(ApiError::not_found());
    }
    let mut statement = connection.prepare_cached(SELECT_ONE)?;
    statement.query_row([id], user_of_row).optional()?.ok_or_else(ApiError::not_found)
}

/// Adds a user whose fields were checked.
pub(crate) fn insert(tx: &Transaction<'_>, new: &NewUser, hash: &str) -> Result<User, ApiError> {
    let count: i64 = tx.prepare_cached(COUNT)?.query_row([], |row| row.get(0))?;
    if count >= USERS_MAX {
        return Err(ApiError::conflict(format!("A hub has at most {USERS_MAX} users.")));
    }
    let (id, pseudonym) = (hex(&random::<16>()), hex(&random::<8>()));
    let row = params![id, new.login, new.name.trim(), new.role, pseudonym, hash, now_ms()];
    match tx.prepare_cached(INSERT)?.execute(row)? {
        0 => Err(ApiError::login_taken()),
        _ => find(tx, &id),
    }
}

fn update(
    tx: &Transaction<'_>,
    id: &str,
    change: &UserChange,
    hash: Option<String>,
    ends_logins: bool,
) -> Result<User, ApiError> {
    let name = change.name.as_deref().map(str::trim);
    tx.prepare_cached(UPDATE)?.execute(params![id, name, change.role, hash])?;
    if ends_logins {
        tx.prepare_cached(sessions::DELETE_OF_USER)?.execute([id])?;
    }
    keep_an_admin(tx)?;
    find(tx, id)
}

fn keep_an_admin(tx: &Transaction<'_>) -> Result<(), ApiError> {
    let admins: i64 = tx.prepare_cached(COUNT_ADMINS)?.query_row([], |row| row.get(0))?;
    if admins == 0 { Err(ApiError::last_admin()) } else { Ok(()) }
}

fn user_of_row(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        login: row.get(1)?,
        name: row.get(2)?,
        role: row.get(3)?,
        created_at: row.get(4)?,
        pseudonym: row.get(5)?,
    })
}
