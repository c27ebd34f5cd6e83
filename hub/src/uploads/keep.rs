//! Order in the folder of uploads: after a crash, each hour, and when a lesson is made.

use std::collections::BTreeSet;
use std::path::Path;

use super::table;
use crate::app::{App, now_ms};
use crate::problem::ApiError;

/// Brings files and table together after a stop: the table's offset was durable, so a file is
/// cut back to it; a file that is shorter (a disk that lied) sets the offset back; a file without
/// a row goes.
pub fn reconcile(app: &App) -> Result<(), ApiError> {
    let (rows, known) =
        app.db.read_blocking(|c| Ok::<_, ApiError>((table::unfinished(c)?, table::ids(c)?)))?;
    for row in rows {
        let (id, offset) = (row.upload.id, row.upload.offset);
        let path = super::path(app, &id);
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        if bytes > offset {
            std::fs::OpenOptions::new().write(true).open(&path)?.set_len(offset)?;
        } else if bytes < offset {
            tracing::warn!(upload = id, bytes, offset, "an upload's file has lost bytes");
            app.db.write_blocking(move |tx| table::advance(tx, &id, bytes))?;
        }
        if !path.exists() {
            std::fs::create_dir_all(super::folder(app))?;
            std::fs::File::create(&path)?;
        }
    }
    remove_unknown(app, &known.into_iter().collect());
    Ok(())
}

fn remove_unknown(app: &App, known: &BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(super::folder(app)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_none_or(|name| !known.contains(name)) {
            remove_file(&entry.path());
        }
    }
}

/// Removes uploads that have not gone on for days, with their files.
pub async fn keep_house(app: &App) -> Result<(), ApiError> {
    let keep_ms = i64::try_from(app.config.uploads.keep_days.saturating_mul(86_400_000));
    let before = now_ms().saturating_sub(keep_ms.unwrap_or(i64::MAX));
    for row in app.db.read(move |c| table::stale(c, before)).await? {
        let id = row.upload.id;
        let _turn = app.uploads.take(&id).await?;
        let path = super::path(app, &id);
        app.db.write(move |tx| table::delete(tx, &id)).await?;
        remove_file(&path);
        tracing::info!("an upload that did not go on was removed");
    }
    Ok(())
}

/// Removes the files of uploads whose lesson is made; their rows stay for clients that ask.
pub async fn discard_files<'a>(app: &App, upload_ids: impl Iterator<Item = &'a str>) {
    let paths: Vec<_> = upload_ids.map(|id| super::path(app, id)).collect();
    let discard = move || paths.iter().for_each(|path| remove_file(path));
    drop(tokio::task::spawn_blocking(discard).await);
}

/// Removes a file if it is there.
pub(super) fn remove_file(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an upload's file could not be removed");
    }
}
