//! An own entry that is lost for good, and what follows it.

use std::time::Duration;

use super::*;
use crate::repair::stranded;
use crate::store::audit;

/// Longer than it takes on a busy machine.
const MINUTE: Duration = Duration::from_secs(60);

/// Damages one entry wherever it lies, and nothing else.
fn spoil_entry(dir: &Path, bytes: &[u8]) {
    for name in ["hub.sqlite", "hub.sqlite-wal"] {
        let path = dir.join(name);
        let mut file = fs::read(&path).unwrap();
        let parts = file.windows(bytes.len()).enumerate();
        let places: Vec<usize> =
            parts.filter(|(_, part)| *part == bytes).map(|(at, _)| at).collect();
        places.into_iter().for_each(|at| file[at + 40] ^= 0xff);
        fs::write(path, file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_lost_entry_is_written_once_more_and_only_that_one_is_missing() {
    const LOST: u64 = 20;
    let template = template(false).await;
    let dir = tempfile::tempdir().unwrap();
    copy_folder(template.dir.path(), dir.path());
    spoil_entry(dir.path(), &template.entries[&LOST]);
    check::want(dir.path(), "a test").unwrap();
    let report = before_start(dir.path()).unwrap().unwrap();
    let last = template.entries.len() as u64;
    assert_eq!((report.entries_salvaged, report.entries_waiting), (LOST - 1, last - LOST));
    let folder = dir.path().join("damaged").join(&report.folder);
    let hub = TrialHub::start_in(dir, Config::default()).await;
    let count = async |sql: &'static str| -> u64 {
        let count = hub.app.db.read(move |db| db.query_row(sql, [], |row| row.get(0)));
        count.await.unwrap_or_else(|error: rusqlite::Error| panic!("{error}"))
    };
    // Nobody else is in this alliance: nobody can give the lost one.
    assert!(!hub.app.sync.is_in_doubt());
    let texts = "select count(*) from alarms where text_code = 'stranded' \
         and params ->> 'lost' = 1 and params ->> 'kept' = 0";
    let mut events = hub.app.events.subscribe();
    let told = async {
        while count(texts).await == 0 {
            // What was missed is a reason to look again.
            drop(events.recv().await);
        }
    };
    tokio::time::timeout(MINUTE, told).await.expect("it is said");
    assert_eq!(count("select count(*) from envelopes_waiting").await, 0);
    let comments = count("select count(*) from comments").await;
    // One of the entries is the lesson; each of the others is a comment.
    assert_eq!(comments, last - 1 - 1, "the lost one is missing and no other");
    assert_eq!(count("select count(*) from envelopes").await, last - 1);
    assert_eq!(count(texts).await, 1);
    // The journal is whole and in order again, and what was read is kept for people.
    let path = hub.app.db.path().to_owned();
    let read = move || audit::read(&path, yingxue_sync_core::audit::Depth::Every);
    let journals = tokio::task::spawn_blocking(read).await.unwrap().unwrap().unwrap();
    assert!(journals.audits.iter().all(|(.., audit)| audit.problem_count == 0));
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = files.filter(|path| path.to_string_lossy().contains("stranded-")).collect();
    let text = fs::read_to_string(&kept[0]).unwrap();
    assert_eq!((kept.len(), text.matches("\"place\"").count() as u64), (1, last - LOST));
    assert!(text.contains(&"光".repeat(80)), "in words");
    assert_eq!(stranded::settle(&hub.app).await.unwrap(), None, "once is enough");
    hub.app.sync.shutdown().await;
}
