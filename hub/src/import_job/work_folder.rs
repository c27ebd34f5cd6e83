//! The folder of an import: `<data>/work/<number of the job>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::app::{App, hex, random};
use crate::problem::ApiError;

/// The largest file that [`kept`] looks into: what is known of a track, and where it is, is less.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Names of folders that belong to a request instead of a job.
const PART: &str = "part-";
/// A request ends within minutes; what is older was left behind by a hub that was killed.
const PART_AGE_MAX: Duration = Duration::from_secs(3_600);

/// Gives the folder of a job; two imports never share one, even of the same file.
pub(super) fn path(app: &App, job: i64) -> PathBuf {
    root(app).join(job.to_string())
}

fn root(app: &App) -> PathBuf {
    root_in(&app.data_dir)
}

fn root_in(data_dir: &Path) -> PathBuf {
    data_dir.join("work")
}

/// Gives a sum over what a job has made durable, which differs once there is more; 0 for nothing.
pub(crate) fn kept(data_dir: &Path, job: i64) -> i64 {
    let mut found = Vec::new();
    look(&root_in(data_dir).join(job.to_string()), true, &mut found);
    if found.is_empty() {
        return 0;
    }
    found.sort();
    let sum = blake3::hash(&found.concat());
    i64::from_le_bytes(sum.as_bytes()[..8].try_into().expect("a sum has 32 bytes"))
}

/// Adds the names of what is durable in a folder, and what is in the small files.
fn look(folder: &Path, is_looked_into: bool, found: &mut Vec<Vec<u8>>) {
    // What cannot be read cannot be gone on with either.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let extension = path.extension().unwrap_or_default().to_owned();
        match path.is_dir() {
            // In others LibreOffice writes, whatever comes of it.
            true if extension == "segments" => look(&path, false, found),
            true if path.ends_with("sound") => look(&path, true, found),
            true => {}
            // What is being written; a picture that grows counts by the note beside it.
            false if extension == "part" || extension == "picture" => {}
            false => {
                let mut file = path.as_os_str().as_encoded_bytes().to_vec();
                let is_small = || fs::metadata(&path).is_ok_and(|f| f.len() <= NOTE_BYTES_MAX);
                if is_looked_into && is_small() {
                    file.extend(fs::read(&path).unwrap_or_default());
                }
                found.push(file);
            }
        }
    }
}

/// A folder for something small that is made within one request; removed when it is dropped.
pub(crate) struct PartFolder(PathBuf);

impl PartFolder {
    pub(crate) fn make(app: &App) -> Result<Self, ApiError> {
        let path = root(app).join(format!("{PART}{}", hex(&random::<16>())));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PartFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "a folder of a request cannot be removed");
        }
    }
}

/// Jobs that may go on with what is in their folder. One that was cancelled may, if its lesson is
/// taught with what was finished, as long as its upload is kept.
pub(crate) const SELECT_KEPT: &str = "select id from jobs \
    where state in ('queued', 'running', 'failed') or (state = 'cancelled' \
    and exists (select 1 from lessons where lessons.lesson = jobs.lesson_id \
        and is_published = 1 and is_deleted = 0) \
    and exists (select 1 from uploads where uploads.lesson_id = jobs.lesson_id))";

/// Removes the work folders of jobs that are over.
pub(super) async fn sweep(app: &App) {
    let kept = |db: &Connection| -> rusqlite::Result<Vec<i64>> {
        db.prepare_cached(SELECT_KEPT)?.query_map([], |row| row.get(0))?.collect()
    };
    // Without an answer nothing is known to be over.
    let Ok(open) = app.db.read(kept).await else { return };
    let open: Vec<String> = open.iter().map(ToString::to_string).collect();
    let Ok(mut folders) = tokio::fs::read_dir(root(app)).await else { return };
    while let Ok(Some(folder)) = folders.next_entry().await {
        let name = folder.file_name();
        let is_open = open.iter().any(|id| name.to_str() == Some(id));
        if !is_open && !is_in_use(&folder).await {
            remove(folder.path()).await;
        }
    }
}

/// Whether a request may still be working in a folder that is no job's.
async fn is_in_use(folder: &tokio::fs::DirEntry) -> bool {
    let is_part = folder.file_name().to_str().is_some_and(|name| name.starts_with(PART));
    let modified = folder.metadata().await.and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    is_part && age.is_none_or(|age| age < PART_AGE_MAX)
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
