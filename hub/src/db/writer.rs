//! The writer thread: takes the changes that wait, commits them together, answers each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, Transaction, TransactionBehavior, ffi};
use tokio::sync::{mpsc, watch};

use super::{damage, noticed};

/// Changes that share one commit; a longer batch would delay the first of it.
const BATCH_MAX: usize = 64;

/// One change on its way through the writer.
pub(super) trait Job: Send {
    /// Applies the change and keeps its result; says whether it stays.
    fn run(&mut self, tx: &Transaction<'_>) -> bool;
    /// Answers, once the commit is durable (`None`) or has failed.
    fn finish(self: Box<Self>, failure: Option<&CommitFailure>);
}

/// Why a whole batch was undone. `rusqlite::Error` cannot be cloned.
pub(super) struct CommitFailure {
    code: ffi::Error,
    text: String,
}

impl CommitFailure {
    fn new(error: &rusqlite::Error) -> Self {
        let unknown = ffi::Error::new(ffi::SQLITE_ERROR);
        Self { code: error.sqlite_error().copied().unwrap_or(unknown), text: error.to_string() }
    }

    fn error(&self) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(self.code, Some(self.text.clone()))
    }
}

/// A change with its closure, its result and the way to answer.
pub(super) struct WriteJob<F, T, E, R> {
    change: Option<F>,
    result: Option<Result<T, E>>,
    reply: R,
}

impl<F, T, E, R> WriteJob<F, T, E, R>
where
    F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
{
    pub(super) fn new(change: F, reply: R) -> Self {
        Self { change: Some(change), result: None, reply }
    }
}

impl<F, T, E, R> Job for WriteJob<F, T, E, R>
where
    F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<rusqlite::Error> + Send + 'static,
    R: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, tx: &Transaction<'_>) -> bool {
        let change = self.change.take().expect("a job runs once");
        let result = catch_unwind(AssertUnwindSafe(|| change(tx)))
            .unwrap_or_else(|_| Err(E::from(rusqlite::Error::UnwindingPanic)));
        damage::look(&result);
        self.result.insert(result).is_ok()
    }

    fn finish(self: Box<Self>, failure: Option<&CommitFailure>) {
        (self.reply)(match (failure, self.result) {
            (None, Some(result)) => result,
            (None, None) => Err(rusqlite::Error::UnwindingPanic.into()),
            (Some(_), Some(Err(error))) => Err(error),
            (Some(failure), _) => Err(failure.error().into()),
        });
    }
}

/// Runs until every [`Db`](super::Db) is dropped. Once the file is known to be damaged, every
/// change is refused.
pub(super) fn run(
    connection: &Connection,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    known_damage: &watch::Sender<Option<String>>,
) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(job) = waiting.try_recv()
        {
            batch.push(job);
        }
        drop(damage::take());
        let failure = if known_damage.borrow().is_some() {
            Some(refusal())
        } else {
            commit(connection, &mut batch).inspect_err(damage::note).err()
        };
        noticed(known_damage, damage::take());
        let failure = failure.as_ref().map(CommitFailure::new);
        batch.into_iter().for_each(|job| job.finish(failure.as_ref()));
    }
}

fn refusal() -> rusqlite::Error {
    let words = "the database is damaged; the hub starts again to repair it";
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(words.to_owned()))
}

fn commit(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for job in batch {
        tx.prepare_cached("savepoint job")?.execute([])?;
        let stays = job.run(&tx);
        if tx.is_autocommit() {
            // SQLite undoes the whole transaction when the disk is full or fails.
            return Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_FULL),
                Some("the transaction was undone: the disk is full or fails".to_owned()),
            ));
        }
        if !stays {
            tx.prepare_cached("rollback to job")?.execute([])?;
        }
        tx.prepare_cached("release job")?.execute([])?;
    }
    tx.commit()
}
