//! Takes the bytes of one transfer: write, flush to the disk, then move the offset.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::table::{self, Row};
use super::turns::Turn;
use crate::app::App;
use crate::problem::ApiError;

/// Bytes gathered before they are handed to a thread that writes; a megabyte a syscall.
const GATHERED_BYTES_MAX: usize = 1 << 20;
/// Bytes, and time, after which what has arrived is made durable although more comes: a power
/// cut costs a sender at most this much.
const CHECKPOINT_BYTES: u64 = 32 << 20;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// Makes an upload's file and reserves its space.
pub(super) async fn make_file(app: &App, id: &str, length: u64) -> Result<(), ApiError> {
    let (folder, reserve) = (super::folder(app), app.config.uploads.disk_reserve_bytes);
    let path = folder.join(id);
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        check_space(&folder, length.saturating_add(reserve))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let reserved = reserve_space(&file, 0, length).and_then(|()| Ok(file.sync_all()?));
        if reserved.is_err() {
            super::keep::remove_file(&path);
        }
        reserved
    })
    .await
    .map_err(ApiError::internal)?
}

fn check_space(folder: &Path, wanted: u64) -> Result<(), ApiError> {
    let disk = rustix::fs::statvfs(folder).map_err(std::io::Error::from)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    match wanted.checked_sub(free) {
        Some(missing) if missing > 0 => Err(ApiError::disk_full(Some(missing))),
        _ => Ok(()),
    }
}

/// Reserves blocks without changing the file's length; not every file system can.
fn reserve_space(file: &File, from: u64, bytes: u64) -> Result<(), ApiError> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// Takes a transfer in a task of its own: when the client goes away, the server drops the
/// handler, but what has arrived still has to be kept.
pub(super) async fn receive(
    app: &App,
    row: Row,
    author: String,
    body: Body,
    turn: Turn,
) -> Result<(), ApiError> {
    let transfer = Transfer { app: app.clone(), row, turn };
    tokio::spawn(transfer.run(author, body)).await.map_err(ApiError::internal)?
}

struct Transfer {
    app: App,
    row: Row,
    turn: Turn,
}

/// What comes next of a body.
enum Next {
    Bytes(Bytes),
    End,
    Cut(ApiError),
}

impl Transfer {
    async fn run(mut self, author: String, mut body: Body) -> Result<(), ApiError> {
        let upload = &self.row.upload;
        let path = super::path(&self.app, &upload.id);
        let (start, length) = (upload.offset, upload.length);
        let file = off_thread(move || open_at(&path, start, length)).await?;
        let outcome = self.take_body(file, &mut body).await;
        if outcome.is_ok() && self.row.upload.offset == self.row.upload.length {
            return self.complete(author).await;
        }
        outcome
    }

    /// Writes until the body ends, is cut, or somebody else comes; keeps what has arrived.
    async fn take_body(&mut self, mut file: File, body: &mut Body) -> Result<(), ApiError> {
        let mut written = self.row.upload.offset;
        let mut checked = (written, Instant::now());
        loop {
            let (gathered, end) = self.gather(body, written).await;
            let bytes: usize = gathered.iter().map(Bytes::len).sum();
            let result;
            (file, result) = write(file, gathered).await?;
            if let Err(error) = result {
                // What earlier writes have brought is kept; a part of this one is cut off later.
                self.keep(file, written).await?;
                return Err(error);
            }
            written += bytes as u64;
            let is_due =
                written - checked.0 >= CHECKPOINT_BYTES || checked.1.elapsed() >= CHECKPOINT_EVERY;
            if end.is_some() || is_due {
                file = self.keep(file, written).await?;
                checked = (written, Instant::now());
            }
            match end {
                None => {}
                Some(Next::Cut(error)) => return Err(error),
                Some(_) => return Ok(()),
            }
        }
    }

    /// Gathers up to a megabyte; gives it with the reason to stop, if there is one.
    async fn gather(&mut self, body: &mut Body, written: u64) -> (Vec<Bytes>, Option<Next>) {
        let room = self.row.upload.length - written;
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        while bytes < GATHERED_BYTES_MAX {
            match self.next(body).await {
                Next::Bytes(chunk) if (bytes + chunk.len()) as u64 > room => {
                    let too_much = ApiError::upload_too_large(self.row.upload.length);
                    return (gathered, Some(Next::Cut(too_much)));
                }
                Next::Bytes(chunk) => {
                    bytes += chunk.len();
                    gathered.push(chunk);
                }
                end => return (gathered, Some(end)),
            }
        }
        (gathered, None)
    }

    async fn next(&mut self, body: &mut Body) -> Next {
        let idle = Duration::from_secs(self.app.config.http.upload_idle_s);
        let frame = tokio::select! {
            frame = tokio::time::timeout(idle, body.frame()) => frame,
            () = self.turn.is_wanted() => {
                return Next::Cut(ApiError::conflict("Another transfer of this file goes on."));
            }
        };
        let cut = |words: &str| {
            let status = axum::http::StatusCode::REQUEST_TIMEOUT;
            Next::Cut(ApiError::new(status, "conflict", words))
        };
        match frame {
            Ok(Some(Ok(frame))) => Next::Bytes(frame.into_data().unwrap_or_default()),
            Ok(Some(Err(_))) => cut("The transfer was cut; go on where it was."),
            Ok(None) => Next::End,
            Err(_) => cut("No bytes came for a minute; go on where it was."),
        }
    }

    /// Flushes the file, then moves the offset; the last one moves with the lesson's making.
    async fn keep(&mut self, file: File, offset: u64) -> Result<File, ApiError> {
        if offset == self.row.upload.offset {
            return Ok(file);
        }
        let file = off_thread(move || {
            file.sync_data()?;
            Ok(file)
        })
        .await?;
        let id = self.row.upload.id.clone();
        if offset < self.row.upload.length {
            self.app.db.write(move |tx| table::advance(tx, &id, offset)).await?;
        }
        self.row.upload.offset = offset;
        Ok(file)
    }

    async fn complete(&self, author: String) -> Result<(), ApiError> {
        let row = self.row.clone();
        if row.is_courier {
            self.app.db.write(move |tx| table::complete_courier(tx, &row)).await?;
            tracing::info!(bytes = self.row.upload.length, "a courier's file is complete");
            self.app.courier.wake();
            return Ok(());
        }
        let hub = self.app.sync.hub_id();
        let job = self.app.db.write(move |tx| table::complete(tx, &row, &author, &hub)).await?;
        let bytes = self.row.upload.length;
        let Some(job) = job else {
            tracing::debug!(bytes, "upload complete; its lesson waits for other files");
            return Ok(());
        };
        tracing::info!(lesson = job.lesson_id, bytes, "upload complete");
        self.app.jobs.committed(job);
        Ok(())
    }
}

/// Opens the file where it goes on; what lies behind the offset was never acknowledged.
fn open_at(path: &Path, offset: u64, length: u64) -> Result<File, ApiError> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.len() != offset {
        file.set_len(offset)?;
        reserve_space(&file, offset, length - offset)?;
    }
    file.flush()?;
    Ok(file)
}

async fn write(
    mut file: File,
    gathered: Vec<Bytes>,
) -> Result<(File, Result<(), ApiError>), ApiError> {
    off_thread(move || {
        let result = gathered.iter().try_for_each(|bytes| file.write_all(bytes));
        Ok((file, result.map_err(ApiError::from)))
    })
    .await
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}
