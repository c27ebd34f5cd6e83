use std::time::Duration;

use ed25519_dalek::SigningKey;
use rusqlite::params;
use yingxue_sync_core::doc::{self, Doc};
use yingxue_sync_core::event::{DocEdit, DocValue, StoreOp};
use yingxue_sync_core::id::{AllianceId, DocId, Hash};
use yingxue_sync_core::journal::Envelope;
use yingxue_sync_core::membership::{Epoch, LESSONS, Member};
use yingxue_sync_core::witness::{Statement, StatementRecord};

use super::*;
use crate::db::Db;

const DAY_MS: u64 = 86_400_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub(crate) fn hub(n: u8) -> HubId {
    HubId(key(n).verifying_key().to_bytes())
}

fn lessons() -> CollectionId {
    CollectionId(LESSONS.into())
}

/// An alliance of `hubs` schools on the disk of the first, each with `count` entries, and what
/// the others have signed of all but the last of them.
pub(crate) struct Filled {
    folder: tempfile::TempDir,
    alliance: AllianceId,
}

impl Filled {
    pub(crate) fn new(hubs: u8, count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("hub.sqlite")).unwrap();
        let member = |n: u8| Member {
            hub: hub(n),
            x25519: [n; 32],
            school: format!("第{n}小学"),
            is_lead: n == 1,
            addresses: vec![],
        };
        let mut first = Epoch::first(&key(200), "联盟", member(1));
        first.hubs.extend((2..=hubs).map(member));
        let alliance = first.alliance;
        let filled = Self { folder, alliance };
        let epoch = first.sign(&key(1)).bytes;
        filled.put(&db, StoreOp::PutEpoch { n: 0, bytes: epoch, used_invitation: None });
        for author in 1..=hubs {
            filled.fill(&db, author, hubs, count);
        }
        let own = *hub(1).as_bytes();
        let settle = "insert into timetable_hub (id, hub, utc_offset_min) values (1, ?1, 480)";
        db.write_blocking(move |tx| tx.execute(settle, [own])).unwrap();
        filled
    }

    fn put(&self, db: &Db, op: StoreOp) {
        let written = db.write_blocking(move |tx| super::super::journals::write(tx, op));
        written.unwrap();
    }

    fn fill(&self, db: &Db, author: u8, hubs: u8, count: u64) {
        let value = DocValue::Str("一节课的一处改动，和课堂上写的差不多长".repeat(4));
        let edit = DocEdit::Put { path: vec!["title".to_owned()], value };
        let mut document = Doc::load(None).unwrap();
        let actor = doc::actor_of(&hub(author), &[7; 16]);
        let change = document.edit(actor, 0, &[edit]).unwrap().unwrap();
        let mut prev_hash = Hash([0; 32]);
        let mut envelopes = Vec::new();
        for seq in 1..=count {
            let envelope = Envelope {
                alliance: self.alliance,
                author: hub(author),
                seq,
                prev_hash,
                epoch: 0,
                collection: lessons(),
                doc: DocId([author; 16]),
                written_at_wall_ms: 1_790_000_000_000 + seq * 60_000,
                person: "t-1234".to_owned(),
                nonces: vec![[7; 16]],
                payload: Envelope::pack(std::slice::from_ref(&change)),
            };
            let signed = envelope.sign(vec![change.clone()], &key(author));
            prev_hash = signed.hash;
            envelopes.push(signed.record());
            if seq + 1 == count.max(2) {
                let signed = (1..=hubs).filter(|witness| *witness != author);
                let signed = signed.map(|witness| self.signed(author, witness, seq, prev_hash));
                self.put(db, StoreOp::PutStatements { statements: signed.collect() });
            }
        }
        self.put(db, StoreOp::AppendEnvelopes { envelopes, fingerprint: [0; 16] });
    }

    fn signed(&self, author: u8, witness: u8, seq: u64, hash: Hash) -> StatementRecord {
        let at_wall_ms = 1_790_000_000_000 + 200 * DAY_MS;
        let statement = Statement {
            alliance: self.alliance,
            collection: lessons(),
            author: hub(author),
            seq,
            hash,
            witness: hub(witness),
            number: 1,
            witnessed_at_wall_ms: at_wall_ms,
        };
        let signed = statement.sign(&key(witness));
        let slot = if author == 1 { 20_000 } else { 0 };
        let (statement, bytes) = (signed.statement, signed.bytes);
        StatementRecord { statement, slot, received_at_wall_ms: at_wall_ms + 1, bytes }
    }

    /// Where the database is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, depth: Depth) -> Journals {
        read(&self.folder.path().join("hub.sqlite"), depth).unwrap().unwrap()
    }

    /// Changes the database as somebody does who has the disk in hand.
    pub(crate) fn meddle(&self, sql: &str) {
        let db = Connection::open(self.folder.path().join("hub.sqlite")).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap();
        assert!(db.execute(sql, params![]).unwrap() > 0, "{sql}");
    }
}

fn problems(journals: &Journals) -> Vec<String> {
    let audits = journals.audits.iter();
    audits.flat_map(|(.., audit)| audit.problems.iter().map(ToString::to_string)).collect()
}

#[test]
fn an_honest_hub_has_whole_journals_and_knows_who_has_countersigned_them() {
    let filled = Filled::new(3, 5);
    for depth in [Depth::Chains, Depth::Every] {
        let read = filled.read(depth);
        assert_eq!(problems(&read), Vec::<String>::new());
        assert_eq!((read.audits.len(), read.wrong_statements), (3, 0));
        for (_, author, audit) in &read.audits {
            assert_eq!((audit.entries, audit.proofs.len()), (5, 2), "{}", author.short());
            assert_eq!(audit.proofs[0].seq, 4);
        }
    }
}

#[test]
fn whoever_has_the_disk_in_hand_cannot_take_away_or_change_an_entry_unseen() {
    let author = hub(2);
    let of = format!("where author = x'{author}'");
    for (what, expected) in [
        ("delete from envelopes {of} and seq = 3", "entries 3 to 3 are missing"),
        ("delete from envelopes {of} and seq = 5", "entries 5 to 5 are missing"),
        ("update envelopes set bytes = x'00' {of} and seq = 2", "entry 2 is damaged"),
        (
            "update envelopes set bytes = (select bytes from envelopes {of} and seq = 1) \
             {of} and seq = 2",
            "entry 2 is damaged",
        ),
    ] {
        let filled = Filled::new(3, 5);
        filled.meddle(&what.replace("{of}", &of));
        let found = problems(&filled.read(Depth::Chains));
        assert!(found.iter().any(|it| it == expected), "{what}: {found:?}");
    }
    let filled = Filled::new(3, 5);
    filled.meddle(&format!("update witness_statements set bytes = x'00' {of}"));
    assert_eq!(filled.read(Depth::Chains).wrong_statements, 2);
}

#[test]
fn a_hub_without_an_alliance_has_nothing_to_verify() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sqlite");
    drop(Db::open(&path).unwrap());
    assert!(read(&path, Depth::Chains).unwrap().is_none());
    let damaged = folder.path().join("damaged.sqlite");
    std::fs::write(&damaged, "no database at all, ".repeat(100)).unwrap();
    assert!(read(&damaged, Depth::Chains).is_err());
}

/// A term of an alliance of 37 schools that each write 20 entries a school day.
/// Run it with `cargo nextest run --release -p yingxue-hub a_terms -- --ignored --no-capture`.
#[test]
#[ignore = "makes 74,000 entries; it measures"]
fn a_terms_journals_are_read_in_seconds() {
    let filled = Filled::new(37, 2_000);
    for depth in [Depth::Chains, Depth::Every] {
        let before = cpu_ms();
        let read = filled.read(depth);
        let entries: u64 = read.audits.iter().map(|(.., audit)| audit.entries).sum();
        assert_eq!(problems(&read), Vec::<String>::new());
        println!("{depth:?}: {entries} entries, {} ms of CPU", cpu_ms() - before);
    }
}

/// Gives the CPU time of this process, in clock ticks of 10 ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}
