//! The loop that writes and reads sticks, one at a time: more would only be slower.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use super::report::Report;
use super::table::{self, Kind, Row};
use super::{Live, export, files, import};
use crate::app::App;
use crate::events::HubEvent;
use crate::jobs::{JobError, JobFailure, JobState};
use crate::uploads;

/// Until an outcome that could not be kept (a full disk) is tried again.
const KEEP_DELAY: Duration = Duration::from_secs(5);

/// Does what waits until the hub stops.
pub async fn run(app: App) {
    let mut shutdown = app.shutdown.clone();
    if let Err(error) = app.db.write(table::requeue_interrupted).await {
        tracing::warn!(%error, "exports and imports of sticks cannot go on");
    }
    while !shutdown.is_on() {
        match app.db.write(table::claim).await {
            Ok(Some(row)) => {
                do_one(&app, row).await;
                continue;
            }
            Ok(None) => files::sweep(&app).await,
            Err(error) => tracing::warn!(%error, "no stick can be begun now"),
        }
        // The hour is for a queue that could not be read, and for files that become old.
        tokio::select! {
            () = app.courier.wake.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            () = shutdown.wait() => return,
        }
    }
}

async fn do_one(app: &App, mut row: Row) {
    let live = app.courier.begin(row.id);
    app.events.publish(HubEvent::Courier {});
    tracing::info!(job = row.id, kind = row.kind.as_str(), "a stick begins");
    let (worker, job, flags) = (app.clone(), row.clone(), Arc::clone(&live));
    let done = tokio::task::spawn_blocking(move || work(&worker, &job, &flags)).await;
    let (report, outcome) = done.unwrap_or_else(|error| {
        tracing::error!(job = row.id, %error, "work on a stick panicked");
        let words = "Something went wrong inside the hub; its log says what.";
        (Report::default(), Err(JobError::new("internal", words)))
    });
    row.report = report;
    row.done_bytes = live.done_bytes.load(Ordering::Relaxed);
    row.total_bytes = live.total_bytes.load(Ordering::Relaxed).max(row.done_bytes);
    let is_cancelled = live.is_cancelled.load(Ordering::Relaxed);
    row.state = match &outcome {
        Ok(()) => JobState::Done,
        Err(_) if is_cancelled => JobState::Cancelled,
        Err(_) => JobState::Failed,
    };
    row.error = outcome.err().map(|JobError { code, detail }| JobFailure { code, detail });
    if row.state == JobState::Failed && app.shutdown.is_on() {
        tracing::info!(job = row.id, "a stick goes on later");
        drop(app.db.write(move |tx| table::release(tx, row.id)).await);
        return;
    }
    keep(app, row).await;
}

/// Keeps an outcome; if that fails, tries until there is room or the hub stops.
async fn keep(app: &App, row: Row) {
    let mut shutdown = app.shutdown.clone();
    tracing::info!(job = row.id, state = ?row.state, error = ?row.error, "a stick has ended");
    loop {
        let kept = row.clone();
        match app.db.write(move |tx| table::finish(tx, &kept)).await {
            Ok(_) => break,
            Err(error) => tracing::warn!(%error, "a stick's outcome cannot be kept yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(KEEP_DELAY) => {}
            () = shutdown.wait() => return,
        }
    }
    if let (Kind::Import, Some(upload), JobState::Done | JobState::Cancelled) =
        (row.kind, &row.upload_id, row.state)
    {
        uploads::discard_files(app, std::iter::once(upload.as_str())).await;
    }
    if row.kind == Kind::Export && row.folder.is_none() && row.state != JobState::Done {
        files::discard(app, row.id).await;
    }
    app.courier.end(row.id);
    app.events.publish(HubEvent::Courier {});
}

pub(super) fn work(app: &App, row: &Row, live: &Live) -> (Report, Result<(), JobError>) {
    let runtime = Handle::current();
    let mut report = Report::default();
    let outcome = match row.kind {
        Kind::Import => import::run(app, row, live, &runtime, &mut report),
        Kind::Export => match runtime.block_on(app.sync.courier_view()) {
            Some(view) => export::run(app, row, &view, live, &mut report),
            None => {
                let words = "This school belongs to no alliance yet; found one or join one.";
                Err(JobError::new("no_alliance", words))
            }
        },
    };
    (report, outcome)
}
