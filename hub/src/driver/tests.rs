use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::event::Refusal;
use yingxue_sync_core::id::{BlobId, DocId, HubId};

use super::{DriverConfig, SyncHandle, start};
use crate::catalog::{self, NewComment, NewLesson, NewTrack, collection, thread_of};
use crate::config::{ByDay, NightConfig, SyncConfig};
use crate::db::Db;
use crate::events::EventBus;
use crate::night::policy::Policy;
use crate::store::blobs;

/// Longest wait for anything; a hub dials again after at most 30 s.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LESSON: DocId = DocId([1; 16]);

struct Hub {
    dir: TempDir,
    db: Db,
    events: EventBus,
    sync: SyncHandle,
}

impl Hub {
    async fn open(dir: TempDir, port: u16) -> Self {
        let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
        let events = EventBus::default();
        let sync = SyncConfig {
            listen: vec![format!("/ip4/127.0.0.1/tcp/{port}")],
            announce: Vec::new(),
            is_mdns: false,
        };
        let policy = Policy::new(NightConfig { by_day: ByDay::Always, ..Default::default() }, 480);
        let policy = Arc::new(policy);
        let config = DriverConfig { data_dir: dir.path().to_owned(), sync, policy };
        let sync = start(config, db.clone(), events.clone()).await.unwrap();
        Self { dir, db, events, sync }
    }

    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), 0).await
    }

    /// Stops the hub and starts it again from its disk, on the same port.
    async fn restarted(self) -> Self {
        let address = self.sync.watch_addresses().borrow()[0].clone();
        let port = address.rsplit('/').next().unwrap().parse().unwrap();
        self.sync.shutdown().await;
        drop((self.db, self.events, self.sync));
        Self::open(self.dir, port).await
    }

    /// Waits until a query gives true; asks again whenever something has happened.
    async fn until(&self, what: &str, query: fn(&Connection) -> rusqlite::Result<bool>) {
        self.until_asked(what, || async { self.db.read(query).await.unwrap() }).await;
    }

    async fn until_asked<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let mut events = self.events.subscribe();
        let waiting = async {
            while !is_so().await {
                events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(WAIT_MAX, waiting).await.unwrap_or_else(|_| panic!("no {what}"));
    }

    async fn add_lesson(&self, tracks: &[NewTrack]) {
        let lesson = NewLesson {
            title: "光合作用".to_owned(),
            subject: "biology".to_owned(),
            grade: "7".to_owned(),
            teacher: "王老师".to_owned(),
            school: "一中".to_owned(),
            school_hub: self.sync.hub_id(),
            filename: "a.mp4".to_owned(),
            created_at_ms: 1_000,
        };
        let edits = catalog::lesson_edits(&lesson, 60_000, None, tracks);
        self.sync.edit_doc(collection(), LESSON, "t1".to_owned(), edits).await.unwrap();
    }

    async fn comment(&self, op: u8, text: &str) {
        let comment = NewComment {
            op: [op; 16],
            author: "t1".to_owned(),
            name: "王老师".to_owned(),
            school: "一中".to_owned(),
            school_hub: self.sync.hub_id(),
            text: text.to_owned(),
            at_ms: None,
            written_at_ms: i64::from(op),
        };
        let edits = catalog::comment_edits(&LESSON, &comment);
        let thread = thread_of(&LESSON);
        self.sync.edit_doc(collection(), thread, "t1".to_owned(), edits).await.unwrap();
    }

    /// Makes a blob of three pieces, as an import does.
    async fn add_blob(&self) -> (BlobId, Vec<u8>) {
        let content: Vec<u8> = (0..2_200_000u32).map(|i| (i % 251) as u8).collect();
        let manifest = Manifest::of(&[1 << 20, 1 << 20, 102_848], &content, vec![]).unwrap();
        let blob = manifest.blob_id();
        let path = self.dir.path().join("made");
        std::fs::write(&path, &content).unwrap();
        self.sync.files().adopt(blob, Path::new(&path)).unwrap();
        let inserted = self.db.write(move |tx| blobs::insert_complete(tx, &blob, &manifest)).await;
        inserted.unwrap();
        self.sync.blob_added(blob).await;
        (blob, content)
    }
}

/// Two hubs of one alliance: the lead school's and another's.
async fn pair() -> (Hub, Hub) {
    let (lead, member) = (Hub::new().await, Hub::new().await);
    lead.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let text = lead.sync.invite(super::run::wall_ms() + 3_600_000).await.unwrap();
    member.sync.join(text, "二小".to_owned()).await.unwrap();
    (lead, member)
}

fn has_lesson(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("select count(*) = 1 from lessons where title = '光合作用'", [], |r| r.get(0))
}

fn has_two_comments(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("select count(*) = 2 from comments", [], |row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_school_writes_another_one_reads() {
    let (lead, member) = pair().await;
    let membership = member.sync.membership().unwrap();
    assert_eq!(membership.name, "萤雪");
    assert_eq!(membership.hubs.len(), 2);
    assert_eq!(member.sync.found("x".into(), "y".into()).await, Err(Refusal::AlreadyMember));
    lead.add_lesson(&[]).await;
    assert!(lead.db.read(has_lesson).await.unwrap(), "an edit that is done is projected");
    member.until("lesson", has_lesson).await;
    member.comment(1, "好").await;
    lead.comment(2, "谢谢").await;
    lead.until("comments at the lead", has_two_comments).await;
    member.until("comments at the member", has_two_comments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_a_lesson_names_travels_and_is_whole() {
    let (lead, member) = pair().await;
    let (blob, content) = lead.add_blob().await;
    let track = NewTrack {
        kind: "audio".to_owned(),
        blob,
        bytes: content.len() as u64,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
    };
    lead.add_lesson(&[track]).await;
    member
        .until("whole blob", |db| {
            db.query_row("select count(*) = 1 from blobs where is_complete", [], |row| row.get(0))
        })
        .await;
    assert_eq!(std::fs::read(member.sync.files().path(blob)).unwrap(), content);
    let wanted: i64 = member
        .db
        .read(|db| {
            db.query_row("select count(*) from lesson_tracks where is_wanted", [], |r| r.get(0))
        })
        .await
        .unwrap();
    assert_eq!(wanted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_whose_file_was_lost_while_the_hub_stood_still_comes_again() {
    let (lead, member) = pair().await;
    let (blob, content) = lead.add_blob().await;
    let track = NewTrack {
        kind: "audio".to_owned(),
        blob,
        bytes: content.len() as u64,
        codecs: "opus".to_owned(),
        width: None,
        height: None,
    };
    lead.add_lesson(&[track]).await;
    let is_whole = |db: &Connection| {
        db.query_row("select count(*) = 1 from blobs where is_complete", [], |row| row.get(0))
    };
    member.until("whole blob", is_whole).await;
    let path = member.sync.files().path(blob);
    std::fs::remove_file(&path).unwrap();
    let member = member.restarted().await;
    member.until("whole blob again", is_whole).await;
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_has_rotted_comes_again_from_a_neighbour_while_the_lead_is_away() {
    let (lead, near) = pair().await;
    let hub = Hub::new().await;
    let text = lead.sync.invite(super::run::wall_ms() + 3_600_000).await.unwrap();
    hub.sync.join(text, "三小".to_owned()).await.unwrap();
    let (blob, content) = lead.add_blob().await;
    let (kind, codecs) = ("audio".to_owned(), "opus".to_owned());
    let bytes = content.len() as u64;
    lead.add_lesson(&[NewTrack { kind, blob, bytes, codecs, width: None, height: None }]).await;
    let is_whole = |db: &Connection| {
        db.query_row("select count(*) = 1 from blobs where is_complete", [], |row| row.get(0))
    };
    near.until("whole blob near by", is_whole).await;
    hub.until("whole blob", is_whole).await;
    lead.sync.set_online(false).await;
    let path = hub.sync.files().path(blob);
    let mut rotten = content.clone();
    rotten[1 << 20] ^= 1;
    std::fs::write(&path, &rotten).unwrap();
    let (db, files, news) = (hub.db.clone(), hub.sync.files().clone(), hub.sync.news().clone());
    let read = tokio::task::spawn_blocking(move || {
        let found = crate::store::lost::read_through(&db, &files, blob).unwrap();
        let is_off = db.read_blocking(is_whole).map(|is_whole: bool| !is_whole).unwrap();
        found.notices.into_iter().for_each(|notice| news.tell(notice));
        (found.damaged, is_off)
    });
    assert_eq!(read.await.unwrap(), (1, true), "it is taken back before anything is told");
    hub.until("whole blob again", is_whole).await;
    assert_eq!(std::fs::read(&path).unwrap(), content);
    let mended = "select count(*) = 1 from damage where mended_at_ms is not null";
    let is_mended = |db: &Connection| db.query_row(mended, [], |row| row.get::<_, bool>(0));
    assert!(hub.db.read(is_mended).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_import_has_left_goes_at_the_next_start() {
    let hub = Hub::new().await;
    let (blob, _) = hub.add_blob().await;
    assert!(hub.sync.files().exists(blob));
    let hub = hub.restarted().await;
    assert!(!hub.sync.files().exists(blob));
}

#[tokio::test(flavor = "multi_thread")]
async fn schools_that_comment_apart_both_have_both_after_the_link_is_restored() {
    let (lead, member) = pair().await;
    lead.add_lesson(&[]).await;
    member.until("lesson", has_lesson).await;
    member.sync.set_online(false).await;
    let is_apart = || async { lead.sync.contacts().await.contacts.is_empty() };
    lead.until_asked("parting", is_apart).await;
    lead.comment(1, "甲").await;
    member.comment(2, "乙").await;
    member.sync.set_online(true).await;
    lead.until("comments at the lead", has_two_comments).await;
    member.until("comments at the member", has_two_comments).await;
    let events: Vec<String> = lead
        .db
        .read(|db| -> rusqlite::Result<_> {
            let mut events = db.prepare("select event from link_history order by id")?;
            events.query_map([], |row| row.get(0))?.collect()
        })
        .await
        .unwrap();
    assert!(events.windows(2).any(|pair| pair == ["met", "left"]), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_starts_again_knows_everything_and_goes_on() {
    let (lead, member) = pair().await;
    lead.add_lesson(&[]).await;
    member.until("lesson", has_lesson).await;
    let key = member.sync.hub_id();
    let member = member.restarted().await;
    assert_eq!(member.sync.hub_id(), key);
    assert_eq!(member.sync.membership().unwrap().hubs.len(), 2);
    assert!(member.db.read(has_lesson).await.unwrap());
    let lead = lead.restarted().await;
    lead.comment(1, "甲").await;
    member.comment(2, "乙").await;
    lead.until("comments at the lead", has_two_comments).await;
    member.until("comments at the member", has_two_comments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_works_once_and_a_revoked_hub_is_out() {
    let (lead, member) = (Hub::new().await, Hub::new().await);
    assert_eq!(member.sync.invite(1).await, Err(Refusal::NoAlliance));
    lead.sync.found("萤雪".to_owned(), "一中".to_owned()).await.unwrap();
    let text = lead.sync.invite(super::run::wall_ms() + 3_600_000).await.unwrap();
    let malformed = member.sync.join(text[..text.len() - 3].to_owned(), "二小".to_owned()).await;
    assert_eq!(malformed, Err(Refusal::InvitationMalformed));
    member.sync.join(text.clone(), "二小".to_owned()).await.unwrap();
    let late = Hub::new().await;
    // While any invitation is open the lead hub answers strangers at all.
    lead.sync.invite(super::run::wall_ms() + 3_600_000).await.unwrap();
    assert_eq!(late.sync.join(text, "三小".to_owned()).await, Err(Refusal::InvitationUsed));
    let expired = lead.sync.invite(super::run::wall_ms() + 1).await.unwrap();
    let expired = late.sync.join(expired, "三小".to_owned()).await;
    assert_eq!(expired, Err(Refusal::InvitationExpired));

    let gone: HubId = member.sync.hub_id();
    lead.sync.revoke(gone).await.unwrap();
    assert_eq!(lead.sync.membership().unwrap().revoked, [gone]);
    let is_out = || async { lead.sync.contacts().await.contacts.is_empty() };
    lead.until_asked("parting", is_out).await;
}

impl Hub {
    /// Stops the hub, puts a copy of its database back, and starts it again.
    async fn restored_from(self, backup: &Path) -> Self {
        let address = self.sync.watch_addresses().borrow()[0].clone();
        let port = address.rsplit('/').next().unwrap().parse().unwrap();
        self.sync.shutdown().await;
        drop((self.db, self.events, self.sync));
        let path = self.dir.path().join("hub.sqlite");
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display())); // may be folded
        }
        std::fs::copy(backup, &path).unwrap();
        Self::open(self.dir, port).await
    }

    fn back_up(&self) -> std::path::PathBuf {
        let target = self.dir.path().join("backup.sqlite");
        let name = target.display().to_string();
        // As `yingxue backup` will: a copy that SQLite makes while the hub runs.
        let db = Connection::open(self.dir.path().join("hub.sqlite")).unwrap();
        db.execute("vacuum into ?1", [name]).unwrap();
        target
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_backup_was_put_back_writes_nothing_before_it_has_its_journal_again() {
    let (lead, member) = pair().await;
    lead.add_lesson(&[]).await;
    member.until("lesson", has_lesson).await;
    let backup = member.back_up();
    member.comment(1, "甲").await;
    member.comment(2, "乙").await;
    lead.until("comments at the lead", has_two_comments).await;
    lead.sync.set_online(false).await;
    let member = member.restored_from(&backup).await;
    assert!(member.sync.is_in_doubt());
    let edits = vec![yingxue_sync_core::event::DocEdit::Put {
        path: vec!["title".into()],
        value: yingxue_sync_core::event::DocValue::Str("光".into()),
    }];
    let refused = member.sync.edit_doc(collection(), LESSON, "t1".to_owned(), edits).await;
    assert_eq!(refused, Err(Refusal::InDoubt));
    member
        .until("alarm", |db| {
            let sql = "select count(*) = 1 from alarms where text_code = 'restored'";
            db.query_row(sql, [], |row| row.get(0))
        })
        .await;
    lead.sync.set_online(true).await;
    member.until("its own comments", has_two_comments).await;
    member.until_asked("end of doubt", || async { !member.sync.is_in_doubt() }).await;
    member.comment(3, "丙").await;
    let has_three =
        |db: &Connection| db.query_row("select count(*) = 3 from comments", [], |row| row.get(0));
    lead.until("the new comment", has_three).await;
    let member = member.restarted().await;
    assert!(!member.sync.is_in_doubt(), "the end of doubt is durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_school_wrote_past_its_revocation_leaves_the_library_of_who_had_it() {
    let (lead, bad) = pair().await;
    let member = Hub::new().await;
    let text = lead.sync.invite(super::run::wall_ms() + 3_600_000).await.unwrap();
    member.sync.join(text, "三小".to_owned()).await.unwrap();
    let knows = || async { bad.sync.membership().unwrap().hubs.len() == 3 };
    bad.until_asked("the third school", knows).await;
    lead.sync.set_online(false).await;
    bad.add_lesson(&[]).await;
    bad.comment(1, "甲").await;
    bad.comment(2, "乙").await;
    member.until("lesson", has_lesson).await;
    member.until("comments", has_two_comments).await;
    lead.sync.revoke(bad.sync.hub_id()).await.unwrap();
    lead.sync.set_online(true).await;
    let is_empty = |db: &Connection| {
        let sql =
            "select not exists (select 1 from lessons) and not exists (select 1 from comments)";
        db.query_row(sql, [], |row| row.get(0))
    };
    member.until("no lesson", is_empty).await;
    let aside = |db: &Connection| {
        let sql = "select count(*) from envelopes_aside";
        db.query_row(sql, [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(member.db.read(aside).await.unwrap(), 3, "the evidence is kept");
}
