//! The folder of an import: `<data>/work/<number of the job>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::app::App;
use crate::jobs::JobState;

/// Gives the folder of a job; two imports never share one, even of the same file.
pub(super) fn path(app: &App, job: i64) -> PathBuf {
    root(app).join(job.to_string())
}

fn root(app: &App) -> PathBuf {
    app.data_dir.join("work")
}

/// Removes the work folders of jobs that are over.
pub(super) async fn sweep(app: &App) {
    let mut open = app.jobs.open();
    open.retain(|job| job.state != JobState::Cancelled);
    let open: Vec<String> = open.iter().map(|job| job.id.to_string()).collect();
    let Ok(mut folders) = tokio::fs::read_dir(root(app)).await else { return };
    while let Ok(Some(folder)) = folders.next_entry().await {
        if !open.iter().any(|id| folder.file_name().to_str() == Some(id)) {
            remove(folder.path()).await;
        }
    }
}

/// Removes what was being written; finished tracks stay for the next try.
pub(super) fn remove_unfinished(work_dir: &Path) {
    let Ok(entries) = fs::read_dir(work_dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "part")
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, "an unfinished track cannot be removed");
        }
    }
}

/// Removes the folder of a job whose outcome is kept.
pub async fn remove_work(app: &App, job: i64) {
    remove(path(app, job)).await;
}

async fn remove(folder: PathBuf) {
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a work folder cannot be removed");
        }
        _ => {}
    }
}
