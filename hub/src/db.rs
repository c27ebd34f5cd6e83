//! The hub's one SQLite database: a writer thread with group commit, and several readers.
//!
//! WAL, `synchronous=FULL` on the writer: a write that has returned would survive a power cut.
//! Closures that wait at the same time share one commit; each has its own savepoint, so that an
//! error undoes that closure alone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, ffi};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use writer::{Job, WriteJob};

pub mod damage;
mod migrations;
mod writer;

pub use migrations::{MIGRATIONS, Migration};

/// Readers that may run at once; more than the cores of the machines we know does not help.
const READERS: usize = 4;
/// Pages of each connection kept in memory, in KiB; four readers and a writer stay below 16 MiB.
const CACHE_KIB: i64 = 2048;
/// How long a connection waits for another one's lock; only start-up and copies ever hold one.
const BUSY_MS: u64 = 5_000;
/// Statements that each connection keeps prepared; more than the hub has.
const STATEMENTS_KEPT: usize = 256;
/// Writes that may wait; callers beyond that wait for a place.
const WRITES_WAITING_MAX: usize = 1_024;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    readers: Arc<Readers>,
    writes: mpsc::Sender<Box<dyn Job>>,
    path: PathBuf,
    damage: Arc<watch::Sender<Option<String>>>,
}

struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    path: PathBuf,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is no database, or is damaged.
    #[error(
        "the database {path} is damaged ({reason}); \
         restore a backup, or move the file away to begin with an empty hub"
    )]
    Damaged {
        /// Which file.
        path: String,
        /// SQLite's words.
        reason: String,
    },
    /// A newer version of this program has written it.
    #[error(
        "the database {path} is of version {found}, this program knows versions up to {known}; \
         install a newer yingxue"
    )]
    Newer {
        /// Which file.
        path: String,
        /// The file's version.
        found: usize,
        /// The newest version that this program knows.
        known: usize,
    },
    /// Anything else, such as no permission or a full disk.
    #[error("cannot open the database {path}: {reason}")]
    Failed {
        /// Which file.
        path: String,
        /// SQLite's words.
        reason: String,
    },
}

impl OpenError {
    fn new(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, reason) = (path.display().to_string(), error.to_string());
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, reason }
            }
            _ => Self::Failed { path, reason },
        }
    }
}

impl Db {
    /// Opens or creates the database, brings it to the newest version and starts the writer.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut connection = connect(path, false).map_err(|e| OpenError::new(path, &e))?;
        migrations::migrate(path, &mut connection)?;
        let idle = (0..READERS)
            .map(|_| connect(path, true))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| OpenError::new(path, &e))?;
        let (writes, waiting) = mpsc::channel(WRITES_WAITING_MAX);
        let damage = Arc::new(watch::channel(None).0);
        let noticed = Arc::clone(&damage);
        std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || writer::run(&connection, waiting, &noticed))
            .map_err(|e| OpenError::Failed {
                path: path.display().to_string(),
                reason: e.to_string(),
            })?;
        let readers = Readers {
            idle: Mutex::new(idle),
            permits: Semaphore::new(READERS),
            path: path.to_owned(),
        };
        Ok(Self { readers: Arc::new(readers), writes, path: path.to_owned(), damage })
    }

    /// Watches what was noticed of damage; nothing is written any more once there is some.
    pub fn watch_damage(&self) -> watch::Receiver<Option<String>> {
        self.damage.subscribe()
    }

    /// Takes note of damage that was found in another way than by a statement.
    pub fn report_damage(&self, reason: String) {
        noticed(&self.damage, Some(reason));
    }

    /// Gives the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a query off the async threads. It sees every write that has returned.
    pub async fn read<T, E>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
    {
        let (readers, damage) = (Arc::clone(&self.readers), Arc::clone(&self.damage));
        let _permit = self.readers.permits.acquire().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(move || readers.run(query, &damage))
            .await
            .unwrap_or_else(|_| Err(E::from(rusqlite::Error::UnwindingPanic)))
    }

    /// Runs a query on this thread. Not for async threads.
    pub fn read_blocking<T, E: From<rusqlite::Error> + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.run(query, &self.damage)
    }

    /// Runs a change; returns when its commit is durable, or has been undone.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = WriteJob::new(change, move |result| drop(reply.send(result)));
        if self.writes.send(Box::new(job)).await.is_err() {
            return Err(E::from(rusqlite::Error::UnwindingPanic));
        }
        answer.await.unwrap_or_else(|_| Err(E::from(rusqlite::Error::UnwindingPanic)))
    }

    /// Runs a change and waits on this thread. Not for async threads, where it would panic.
    pub fn write_blocking<T, E>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
    {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let job = WriteJob::new(change, move |result| drop(reply.send(result)));
        if self.writes.blocking_send(Box::new(job)).is_err() {
            return Err(E::from(rusqlite::Error::UnwindingPanic));
        }
        answer.recv().unwrap_or_else(|_| Err(E::from(rusqlite::Error::UnwindingPanic)))
    }

    /// Gives the bytes of the database file and its write-ahead log.
    pub fn size_bytes(&self) -> u64 {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        bytes(&self.path) + bytes(Path::new(&wal))
    }
}

impl Readers {
    /// Lends a connection to `query`; opens another one if all are lent (blocking callers only).
    fn run<T, E: From<rusqlite::Error> + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
        damage: &watch::Sender<Option<String>>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().expect("never held over a panic").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, true)?,
        };
        // What this thread noticed before was another database's, or is told already.
        drop(damage::take());
        let result = query(&connection);
        damage::look(&result);
        noticed(damage, damage::take());
        let mut idle = self.idle.lock().expect("never held over a panic");
        if idle.len() < READERS {
            idle.push(connection);
        }
        result
    }
}

/// Keeps the first damage that is noticed.
fn noticed(damage: &watch::Sender<Option<String>>, reason: Option<String>) {
    let Some(reason) = reason else { return };
    damage.send_if_modified(|known| {
        if known.is_some() {
            return false;
        }
        tracing::error!(reason, "the database is damaged; nothing more is written to it");
        *known = Some(reason);
        true
    });
}

/// Opens or creates a database for one thread alone, at the newest version.
///
/// # Errors
/// As [`Db::open`].
pub fn open_alone(path: &Path) -> Result<Connection, OpenError> {
    let mut connection = connect(path, false).map_err(|e| OpenError::new(path, &e))?;
    migrations::migrate(path, &mut connection)?;
    Ok(connection)
}

/// Opens a database for reading, beside a hub that may write to it.
///
/// # Errors
/// If SQLite fails.
pub fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, true)
}

fn connect(path: &Path, is_reader: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, !is_reader);
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if is_reader {
        connection.pragma_update(None, "query_only", true)?;
    } else {
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
    }
    Ok(connection)
}

/// Says whether an error means that the disk is full.
pub fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_IOERR_WRITE)
            && error.to_string().contains("space")
}

#[cfg(test)]
mod tests;
