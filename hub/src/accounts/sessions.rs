//! Logins that last: cookies of 32 random bytes, kept as BLAKE3 hashes.
//!
//! Every session is in memory, so that a request costs no query; the table is for restarts.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::{Role, User, users};
use crate::app::{hex, now_ms, random};
use crate::config::AccountsConfig;
use crate::db::Db;
use crate::problem::ApiError;

pub(crate) const SELECT_ALL: &str = "select s.hash, s.user_id, s.expires_at from sessions s";
pub(crate) const INSERT: &str =
    "insert into sessions (hash, user_id, expires_at) values (?1, unhex(?2), ?3)";
pub(crate) const EXTEND: &str = "update sessions set expires_at = ?2 where hash = ?1";
pub(crate) const DELETE: &str = "delete from sessions where hash = ?1";
pub(crate) const DELETE_OF_USER: &str = "delete from sessions where user_id = unhex(?1)";
pub(crate) const DELETE_EXPIRED: &str = "delete from sessions where expires_at <= ?1";

/// Logins of one user at once; the one that ends first goes. A teacher has fewer devices.
const SESSIONS_PER_USER_MAX: usize = 20;

type Hash = [u8; 32];

/// Every login that lasts.
pub struct Sessions {
    db: Db,
    config: AccountsConfig,
    state: RwLock<State>,
    /// The command line's token; new at each start.
    token: String,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Hash, Session>,
    users: HashMap<String, Arc<User>>,
    /// The oldest administrator: who the command line is.
    first_admin: Option<Arc<User>>,
}

struct Session {
    user_id: String,
    expires_at: i64,
}

impl Sessions {
    /// Loads what is in the tables.
    pub fn load(db: &Db, config: &AccountsConfig) -> Result<Self, ApiError> {
        let now = now_ms();
        db.write_blocking(move |tx| tx.prepare_cached(DELETE_EXPIRED)?.execute([now]))
            .map_err(|error: rusqlite::Error| ApiError::from(error))?;
        let state = db.read_blocking(|connection| {
            let mut state = State { sessions: load_sessions(connection)?, ..State::default() };
            state.set_users(users::all(connection)?);
            Ok::<_, rusqlite::Error>(state)
        })?;
        let (state, token) = (RwLock::new(state), hex(&random::<32>()));
        Ok(Self { db: db.clone(), config: config.clone(), state, token })
    }

    /// Gives the command line's token.
    pub fn cli_token(&self) -> &str {
        &self.token
    }

    /// Finds the user whom the command line acts as.
    pub(super) fn user_of_token(&self, token: &str) -> Result<Arc<User>, ApiError> {
        if !is_equal(token.as_bytes(), self.token.as_bytes()) {
            return Err(ApiError::not_logged_in());
        }
        let state = self.state.read().expect("never held over a panic");
        state.first_admin.clone().ok_or_else(ApiError::not_set_up)
    }

    /// Finds the user of a cookie; extends the login when a tenth of its time has passed.
    pub(super) fn user_of_cookie(&self, cookie: &str) -> Option<Arc<User>> {
        let (hash, now) = (hash_of(cookie)?, now_ms());
        let (user, expires_at) = {
            let state = self.state.read().expect("never held over a panic");
            let session = state.sessions.get(&hash).filter(|s| s.expires_at > now)?;
            (Arc::clone(state.users.get(&session.user_id)?), session.expires_at)
        };
        let lifetime = self.lifetime_ms(user.role);
        if expires_at - now < lifetime - lifetime / 10 {
            self.extend(hash, now + lifetime);
        }
        Some(user)
    }

    /// Counts the logins that last.
    pub fn count(&self) -> usize {
        self.state.read().expect("never held over a panic").sessions.len()
    }

    /// Says whether a login of a teacher at some time would not be over yet.
    pub fn would_last(&self, at_ms: i64) -> bool {
        now_ms().saturating_sub(at_ms) < self.lifetime_ms(Role::Teacher)
    }

    /// Makes a login that lasts; gives the cookie and its seconds.
    pub async fn begin(&self, user: &User) -> Result<(String, u64), ApiError> {
        let cookie = hex(&random::<32>());
        let hash = hash_of(&cookie).expect("a cookie of our own is hex");
        let lifetime = self.lifetime_ms(user.role);
        let (user_id, expires_at) = (user.id.clone(), now_ms() + lifetime);
        let surplus = self.surplus(&user_id);
        let row = (hash, user_id.clone());
        self.db
            .write(move |tx| -> Result<(), ApiError> {
                surplus.map(|old| tx.prepare_cached(DELETE)?.execute([old])).transpose()?;
                tx.prepare_cached(INSERT)?.execute(params![row.0, row.1, expires_at])?;
                Ok(())
            })
            .await?;
        let mut state = self.state.write().expect("never held over a panic");
        surplus.map(|old| state.sessions.remove(&old));
        state.sessions.insert(hash, Session { user_id, expires_at });
        Ok((cookie, Duration::from_millis(lifetime.unsigned_abs()).as_secs()))
    }

    /// Ends a login.
    pub async fn end(&self, cookie: &str) -> Result<(), ApiError> {
        let Some(hash) = hash_of(cookie) else { return Ok(()) };
        self.state.write().expect("never held over a panic").sessions.remove(&hash);
        self.db
            .write(move |tx| tx.prepare_cached(DELETE)?.execute([hash]))
            .await
            .map_err(|error: rusqlite::Error| ApiError::from(error))?;
        Ok(())
    }

    /// Ends every login of a user in memory; the caller's transaction has deleted the rows.
    pub(super) fn forget_user(&self, user_id: &str) {
        let mut state = self.state.write().expect("never held over a panic");
        state.sessions.retain(|_, session| session.user_id != user_id);
    }

    /// Reads the users again, after a change of them.
    pub async fn reload_users(&self) -> Result<(), ApiError> {
        let users = self
            .db
            .read(users::all)
            .await
            .map_err(|error: rusqlite::Error| ApiError::from(error))?;
        self.state.write().expect("never held over a panic").set_users(users);
        Ok(())
    }

    /// Removes what has expired, from memory and table. Called each hour.
    pub async fn remove_expired(&self) -> Result<(), ApiError> {
        let now = now_ms();
        {
            let mut state = self.state.write().expect("never held over a panic");
            state.sessions.retain(|_, session| session.expires_at > now);
        }
        self.db
            .write(move |tx| tx.prepare_cached(DELETE_EXPIRED)?.execute([now]))
            .await
            .map_err(|error: rusqlite::Error| ApiError::from(error))?;
        Ok(())
    }

    fn lifetime_ms(&self, role: Role) -> i64 {
        let seconds = match role {
            Role::Pupil => self.config.pupil_session_hours.saturating_mul(3_600),
            Role::Admin | Role::Teacher => self.config.session_days.saturating_mul(86_400),
        };
        i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX / 2)
    }

    fn surplus(&self, user_id: &str) -> Option<Hash> {
        let state = self.state.read().expect("never held over a panic");
        let own = || state.sessions.iter().filter(|(_, s)| s.user_id == user_id);
        let is_full = own().count() >= SESSIONS_PER_USER_MAX;
        own().min_by_key(|(_, s)| s.expires_at).filter(|_| is_full).map(|(hash, _)| *hash)
    }

    fn extend(&self, hash: Hash, expires_at: i64) {
        let mut state = self.state.write().expect("never held over a panic");
        let Some(session) = state.sessions.get_mut(&hash) else { return };
        session.expires_at = expires_at;
        drop(state);
        let db = self.db.clone();
        tokio::spawn(async move {
            let row = (hash, expires_at);
            let done = db.write(move |tx| tx.prepare_cached(EXTEND)?.execute(row)).await;
            if let Err::<_, rusqlite::Error>(error) = done {
                tracing::warn!(%error, "a login could not be extended");
            }
        });
    }
}

impl State {
    fn set_users(&mut self, users: Vec<User>) {
        let users: Vec<_> = users.into_iter().map(Arc::new).collect();
        let admins = users.iter().filter(|user| user.role == Role::Admin);
        self.first_admin = admins.min_by_key(|user| (user.created_at, user.id.clone())).cloned();
        self.users = users.into_iter().map(|user| (user.id.clone(), user)).collect();
    }
}

fn load_sessions(connection: &Connection) -> rusqlite::Result<HashMap<Hash, Session>> {
    let mut statement = connection.prepare_cached(SELECT_ALL)?;
    let rows = statement.query_map([], |row| {
        let user_id: [u8; 16] = row.get(1)?;
        Ok((row.get(0)?, Session { user_id: hex(&user_id), expires_at: row.get(2)? }))
    })?;
    rows.collect()
}

/// Hashes a cookie; none if it is none of ours.
fn hash_of(cookie: &str) -> Option<Hash> {
    let is_ours = cookie.len() == 64 && cookie.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| *blake3::hash(cookie.as_bytes()).as_bytes())
}

/// Compares secrets in a time that does not depend on where they differ.
pub(crate) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    // BLAKE3's comparison of hashes is constant-time, and hashing hides the lengths.
    blake3::hash(a) == blake3::hash(b)
}

#[cfg(test)]
pub(crate) fn expire_all(sessions: &Sessions) {
    let mut state = sessions.state.write().unwrap();
    state.sessions.values_mut().for_each(|session| session.expires_at = 0);
}
