//! The full check of a hub that was killed, on its disk while it is down.
//!
//! The database is sound; every journal is whole from its first entry to its head, each entry
//! signed, in order and naming its predecessor; every piece that the database calls verified has
//! its hash on the disk; nothing that was seen before the kill is gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use yingxue_sync_core::blob::{Bitmap, Manifest};
use yingxue_sync_core::id::BlobId;
use yingxue_sync_core::journal::SignedEnvelope;

/// Below a hub's data directory, and what SQLite has not yet put into it.
const DATABASE: &str = "hub.sqlite";
const LOG: &str = "hub.sqlite-wal";

/// What a hub holds, by what it says itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// The newest entry of each journal, by collection and author.
    pub heads: BTreeMap<(String, Vec<u8>), u64>,
    /// Verified pieces of each blob.
    pub pieces: BTreeMap<Vec<u8>, u64>,
}

impl Holdings {
    /// Reads what a hub that runs has committed.
    pub fn read(data: &Path) -> Result<Self> {
        Self::of(&open(data)?)
    }

    fn of(db: &Connection) -> Result<Self> {
        let mut heads = db.prepare("select collection, author, seq from journal_heads")?;
        let heads = heads.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        let mut pieces = db.prepare("select blob, held_pieces from blobs")?;
        let pieces = pieces.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self {
            heads: heads.collect::<rusqlite::Result<_>>()?,
            pieces: pieces.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// Checks that everything that was there before is here still.
    pub fn ensure_nothing_lost_since(&self, before: &Self) -> Result<()> {
        for (journal, seq) in &before.heads {
            let now = self.heads.get(journal).copied().unwrap_or(0);
            ensure!(now >= *seq, "a journal of {} had {seq} entries, now {now}", journal.0);
        }
        for (blob, count) in &before.pieces {
            let now = self.pieces.get(blob).copied().unwrap_or(0);
            ensure!(now >= *count, "a blob had {count} verified pieces, now {now}");
        }
        Ok(())
    }

    /// Checks that `other` holds nothing of this hub's own journals that this hub does not: what
    /// it sent was durable before.
    pub fn ensure_wrote_all_that_is_at(&self, other: &Self, own: &[u8]) -> Result<()> {
        for ((collection, author), seq) in &other.heads {
            if author == own {
                let here = self.heads.get(&(collection.clone(), author.clone())).copied();
                let here = here.unwrap_or(0);
                ensure!(here >= *seq, "{collection}: {seq} entries were sent, {here} are left");
            }
        }
        Ok(())
    }
}

/// Checks all of the disk of a hub that does not run; gives what it holds.
///
/// The database is looked at in a copy: to open one that was not closed mends it, and that is the
/// hub's own work, which is under test.
pub fn check(data: &Path) -> Result<Holdings> {
    let copy = tempfile::tempdir().context("make a temporary folder")?;
    for name in [DATABASE, LOG] {
        if data.join(name).exists() {
            std::fs::copy(data.join(name), copy.path().join(name)).context("copy the database")?;
        }
    }
    let db = open(copy.path())?;
    let sound: String = db.query_row("pragma integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "the database is damaged: {sound}");
    let orphans = db.prepare("pragma foreign_key_check")?.exists([])?;
    ensure!(!orphans, "a row refers to one that is not there");
    check_journals(&db)?;
    check_blobs(&db, data)?;
    Holdings::of(&db)
}

fn check_journals(db: &Connection) -> Result<()> {
    let mut rows = db.prepare(
        "select collection, author, seq, bytes from envelopes order by collection, author, seq",
    )?;
    let mut rows = rows.query([])?;
    let mut ends: BTreeMap<(String, Vec<u8>), (u64, [u8; 32])> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (collection, author): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let (seq, bytes): (u64, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let signed = SignedEnvelope::decode(&bytes)
            .with_context(|| format!("entry {seq} of a journal of {collection}"))?;
        let (before, hash) =
            ends.get(&(collection.clone(), author.clone())).map_or((0, [0; 32]), |e| *e);
        ensure!(signed.envelope.seq == seq && seq == before + 1, "{collection}: a gap at {seq}");
        ensure!(signed.envelope.prev_hash.0 == hash, "{collection}: the chain breaks at {seq}");
        ends.insert((collection, author), (seq, signed.hash.0));
    }
    let mut heads = db.prepare("select collection, author, seq from journal_heads")?;
    let mut heads = heads.query([])?;
    while let Some(row) = heads.next()? {
        let (journal, seq): ((String, Vec<u8>), u64) = ((row.get(0)?, row.get(1)?), row.get(2)?);
        let end = ends.remove(&journal).map_or(0, |(seq, _)| seq);
        ensure!(end == seq, "{}: the head is {seq}, the last entry {end}", journal.0);
    }
    ensure!(ends.is_empty(), "a journal has no head");
    Ok(())
}

fn check_blobs(db: &Connection, data: &Path) -> Result<()> {
    let mut rows =
        db.prepare("select blob, held_pieces, is_complete, bitmap, manifest from blobs")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (blob, held): ([u8; 32], u32) = (row.get(0)?, row.get(1)?);
        let (is_complete, bitmap): (bool, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let manifest = Manifest::decode(&row.get::<_, Vec<u8>>(4)?).context("a manifest")?;
        let count = manifest.pieces.len();
        let bitmap = Bitmap::from_bytes(&bitmap, count);
        let verified = (0..count as u32).filter(|piece| bitmap.has(*piece)).count();
        ensure!(verified == held as usize, "a bitmap of {verified} pieces, but {held} are counted");
        ensure!(is_complete == (verified == count), "a blob is complete and is not");
        check_pieces(data, BlobId(blob), &manifest, &bitmap)?;
    }
    Ok(())
}

fn check_pieces(data: &Path, blob: BlobId, manifest: &Manifest, held: &Bitmap) -> Result<()> {
    if (0..manifest.pieces.len() as u32).all(|piece| !held.has(piece)) {
        return Ok(());
    }
    let hex = blob.to_string();
    let path = data.join("blobs").join(&hex[..2]).join(format!("{hex}.mp4"));
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut offset = 0;
    for (piece, info) in (0..).zip(&manifest.pieces) {
        if held.has(piece) {
            let mut bytes = vec![0; info.bytes as usize];
            file.read_exact_at(&mut bytes, offset).context("read a piece")?;
            if !manifest.verifies(piece, &bytes) {
                bail!("piece {piece} of {hex} is called verified, and is not");
            }
        }
        offset += u64::from(info.bytes);
    }
    Ok(())
}

fn open(data: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = data.join(DATABASE);
    let db = Connection::open_with_flags(&path, flags)
        .with_context(|| format!("open {}", path.display()))?;
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use yingxue_hub::app::Shutdown;
    use yingxue_hub::config::Config;
    use yingxue_hub::serve;

    use super::*;
    use crate::bench::seed;

    /// The data directory of a hub with one lesson of eight pieces.
    fn hub() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("hub");
        std::fs::create_dir(&data).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            config.sync.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
            config.sync.is_mdns = false;
            let (_stop, shutdown) = Shutdown::channel();
            let app = serve::start(data.clone(), config, shutdown).await.unwrap();
            app.sync.found("Bench".into(), "school".into()).await.unwrap();
            app.sync.shutdown().await;
        });
        seed::tracks(&data, &[], 1, (8 << 10, 1 << 10)).unwrap();
        (folder, data)
    }

    fn execute(data: &Path, sql: &str) {
        assert!(open(data).unwrap().execute(sql, []).unwrap() > 0, "{sql}");
    }

    fn blob_path(data: &Path) -> PathBuf {
        let blob = |row: &rusqlite::Row<'_>| row.get(0).map(BlobId);
        let blob = open(data).unwrap().query_row("select blob from blobs", [], blob).unwrap();
        let hex = blob.to_string();
        data.join("blobs").join(&hex[..2]).join(format!("{hex}.mp4"))
    }

    fn complaint(data: &Path) -> String {
        format!("{:#}", check(data).unwrap_err())
    }

    #[test]
    fn a_sound_hub_passes_and_every_kind_of_damage_is_found() {
        let (_folder, data) = hub();
        let before = check(&data).unwrap();
        assert_eq!(before.pieces.values().copied().collect::<Vec<_>>(), [8]);
        assert!(before.heads.values().all(|seq| *seq > 0));

        let path = blob_path(&data);
        let sound = std::fs::read(&path).unwrap();
        let mut rotten = sound.clone();
        rotten[5_000] ^= 1;
        std::fs::write(&path, &rotten).unwrap();
        assert!(complaint(&data).contains("piece 4"), "{}", complaint(&data));
        std::fs::write(&path, &sound[..7_000]).unwrap();
        assert!(complaint(&data).contains("read a piece"), "{}", complaint(&data));
        std::fs::write(&path, &sound).unwrap();

        execute(&data, "update journal_heads set seq = seq + 1");
        assert!(complaint(&data).contains("the head is"), "{}", complaint(&data));
        execute(&data, "update journal_heads set seq = seq - 1");
        let mut fewer = check(&data).unwrap();
        assert_eq!(fewer, before);

        execute(&data, "update blobs set held_pieces = 7");
        assert!(complaint(&data).contains("are counted"), "{}", complaint(&data));
        execute(&data, "update blobs set held_pieces = 8");
        execute(&data, "delete from envelopes where seq = 1");
        assert!(complaint(&data).contains("gap"), "{}", complaint(&data));

        fewer.pieces.values_mut().for_each(|count| *count -= 1);
        assert!(fewer.ensure_nothing_lost_since(&before).is_err());
        fewer.clone_from(&before);
        fewer.heads.values_mut().for_each(|seq| *seq -= 1);
        assert!(fewer.ensure_nothing_lost_since(&before).is_err());
        let author = before.heads.keys().next().unwrap().1.clone();
        assert!(fewer.ensure_wrote_all_that_is_at(&before, &author).is_err());
        assert!(before.ensure_wrote_all_that_is_at(&fewer, &author).is_ok());
    }
}
