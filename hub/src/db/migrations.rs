//! Forward-only, numbered migrations; a copy of the database is made before each upgrade.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;

/// One step of the schema; its number is its place in [`MIGRATIONS`], from 1.
pub struct Migration {
    /// Name of the file.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration { name: $name, sql: include_str!(concat!("migrations/", $name, ".sql")) }
    };
}

/// Every migration, in order. A released one is never changed.
pub const MIGRATIONS: &[Migration] = &[
    migration!("0001_accounts"),
    migration!("0002_sync"),
    migration!("0003_catalog"),
    migration!("0004_first_author"),
    migration!("0005_unpublished"),
    migration!("0006_media_tiers"),
    migration!("0007_timetable"),
    migration!("0008_night"),
    migration!("0009_courier"),
    migration!("0010_trust"),
    migration!("0011_intake"),
    migration!("0012_trust"),
    migration!("0013_repair"),
    migration!("0014_ui"),
    migration!("0015_courier_joining"),
    migration!("0017_reading"),
    migration!("0018_room"),
    migration!("0019_turns"),
    migration!("0020_trouble"),
    migration!("0021_warnings"),
    migration!("0025_intake"),
];

/// Brings the database to the newest version.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let failed = |error| OpenError::new(path, &error);
    let found = version(connection).map_err(failed)?;
    if found > MIGRATIONS.len() {
        let path = path.display().to_string();
        return Err(OpenError::Newer { path, found, known: MIGRATIONS.len() });
    }
    if found > 0 && found < MIGRATIONS.len() {
        copy(path, found, connection).map_err(failed)?;
    }
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        apply(connection, number + 1, migration).map_err(failed)?;
        tracing::debug!(migration = migration.name, "database migrated");
    }
    Ok(())
}

/// Reads the version, and the whole schema with it, so that a damaged file is noticed here.
fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn copy(path: &Path, version: usize, connection: &Connection) -> rusqlite::Result<()> {
    let target = path.with_extension(format!("before-{}.sqlite", version + 1));
    // A copy that an earlier, failed attempt has left may be half of one.
    if let Err(error) = std::fs::remove_file(&target)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "cannot remove the old copy of the database");
    }
    let target = target.to_string_lossy().into_owned();
    connection.execute("vacuum into ?1", [target])?;
    Ok(())
}

fn apply(connection: &mut Connection, number: usize, step: &Migration) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch(step.sql)?;
    tx.pragma_update(None, "user_version", number)?;
    tx.commit()
}
