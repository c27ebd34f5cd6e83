use ed25519_dalek::SigningKey;

use super::*;
use crate::doc::{self, Doc};
use crate::event::{DocEdit, DocValue};
use crate::id::DocId;
use crate::membership::{Epoch, LESSONS, Member};
use crate::witness::Statement;

const DAY_MS: u64 = 86_400_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn hub(n: u8) -> HubId {
    HubId(key(n).verifying_key().to_bytes())
}

fn lessons() -> CollectionId {
    CollectionId(LESSONS.into())
}

fn membership() -> Membership {
    let member = |n: u8| Member {
        hub: hub(n),
        x25519: [0; 32],
        school: format!("第{n}小学"),
        is_lead: n == 1,
        addresses: vec![],
    };
    let mut first = Epoch::first(&key(9), "联盟", member(1));
    first.hubs.push(member(2));
    Membership::start(first.sign(&key(1))).unwrap()
}

/// The journal of hub 2: an entry a day, from a place on.
fn chain(from: u64, count: u64, mut prev_hash: Hash, text: &str) -> Vec<SignedEnvelope> {
    let edit = DocEdit::Put { path: vec!["n".into()], value: DocValue::Str(text.into()) };
    let mut document = Doc::load(None).unwrap();
    let change = document.edit(doc::actor_of(&hub(2), &[7; 16]), 0, &[edit]).unwrap().unwrap();
    let mut entries = Vec::new();
    for seq in from..from + count {
        let envelope = Envelope {
            alliance: membership().newest().epoch.alliance,
            author: hub(2),
            seq,
            prev_hash,
            epoch: 0,
            collection: lessons(),
            doc: DocId([1; 16]),
            written_at_wall_ms: seq * DAY_MS,
            person: "t1".into(),
            nonces: vec![[7; 16]],
            payload: Envelope::pack(std::slice::from_ref(&change)),
        };
        let signed = envelope.sign(vec![change.clone()], &key(2));
        prev_hash = signed.hash;
        entries.push(signed);
    }
    entries
}

fn witnessed(entry: &SignedEnvelope, at_wall_ms: u64) -> Heard {
    let statement = Statement {
        alliance: entry.envelope.alliance,
        collection: lessons(),
        author: hub(2),
        seq: entry.envelope.seq,
        hash: entry.hash,
        witness: hub(1),
        number: 1,
        witnessed_at_wall_ms: at_wall_ms,
    };
    Heard { signed: statement.sign(&key(1)), received_at_wall_ms: at_wall_ms + 1_000 }
}

fn audit(entries: &[SignedEnvelope], statements: &[Heard], depth: Depth) -> Audit {
    let (membership, collection) = (membership(), lessons());
    let auditor = Auditor {
        membership: &membership,
        collection: &collection,
        author: hub(2),
        statements,
        depth,
        is_own: true,
    };
    auditor.read(entries.iter().map(|it| (it.envelope.seq, it.bytes.clone())))
}

#[test]
fn an_honest_journal_is_proven_by_one_signature_or_by_each() {
    let entries = chain(1, 8, Hash([0; 32]), "a");
    let statements = [witnessed(&entries[3], 4 * DAY_MS), witnessed(&entries[7], 9 * DAY_MS)];
    for (depth, signatures) in [(Depth::Chains, 1), (Depth::Every, 8)] {
        let audit = audit(&entries, &statements, depth);
        assert_eq!((audit.entries, audit.problem_count, audit.backdated), (8, 0, 0));
        assert_eq!(audit.signatures, signatures);
        let proven: Vec<u64> = audit.proofs.iter().map(|proof| proof.seq).collect();
        assert_eq!(proven, [4, 8]);
    }
}

#[test]
fn whatever_is_done_to_an_entry_is_seen() {
    let entries = chain(1, 8, Hash([0; 32]), "a");
    let problems = |entries: &[SignedEnvelope]| audit(entries, &[], Depth::Chains).problems;
    let mut removed = entries.clone();
    removed.remove(4);
    assert_eq!(problems(&removed), [Problem::Missing { from: 5, to: 5 }]);
    for byte in 0..entries[4].bytes.len() {
        let mut altered = entries.clone();
        altered[4].bytes[byte] ^= 1;
        assert!(!problems(&altered).is_empty(), "byte {byte}");
    }
    let mut altered = entries.clone();
    altered[7].bytes[20] ^= 1;
    assert!(!problems(&altered).is_empty(), "also in the last one");
    // Another entry of the author's own, in the place of one that was there.
    let mut replaced = entries.clone();
    replaced[4] = chain(5, 1, entries[3].hash, "b").remove(0);
    assert_eq!(problems(&replaced), [Problem::Chain { seq: 6 }]);
    let mut swapped = entries.clone();
    swapped[3].bytes = entries[4].bytes.clone();
    swapped[4].bytes = entries[3].bytes.clone();
    assert!(problems(&swapped).contains(&Problem::Damaged { seq: 4 }));
}

#[test]
fn a_new_chain_under_the_same_key_contradicts_its_witness() {
    let entries = chain(1, 8, Hash([0; 32]), "a");
    let statement = [witnessed(&entries[5], 6 * DAY_MS)];
    let mut rewritten = entries[..3].to_vec();
    rewritten.extend(chain(4, 7, entries[2].hash, "b"));
    let without = audit(&rewritten, &[], Depth::Every);
    assert_eq!(without.problem_count, 0, "by itself it is whole");
    let with = audit(&rewritten, &statement, Depth::Every);
    assert_eq!(with.problems, [Problem::Witnessed { seq: 6, witness: hub(1) }]);
    let shortened = audit(&entries[..3], &statement, Depth::Chains);
    let missing = Problem::Shortened { seq: 6, held: 3, witness: hub(1) };
    assert_eq!(shortened.problems, [missing]);
}

#[test]
fn an_entry_that_says_an_older_date_than_it_can_have_is_counted() {
    let entries = chain(1, 8, Hash([0; 32]), "a");
    // On day 30 a witness saw four entries; the others say days 5 to 8.
    let late = audit(&entries, &[witnessed(&entries[3], 30 * DAY_MS)], Depth::Chains);
    assert_eq!((late.backdated, late.problem_count), (4, 0));
    // A witness whose clock is ahead is not believed more than this hub's own.
    let mut ahead = witnessed(&entries[3], 30 * DAY_MS);
    ahead.received_at_wall_ms = 4 * DAY_MS;
    assert_eq!(audit(&entries, &[ahead], Depth::Chains).backdated, 0);
}

#[test]
fn who_was_no_member_has_written_nothing_that_counts() {
    let (membership, collection) = (membership(), lessons());
    let entries = chain(1, 2, Hash([0; 32]), "a");
    let mut stranger = Auditor {
        membership: &membership,
        collection: &collection,
        author: hub(2),
        statements: &[],
        depth: Depth::Chains,
        is_own: false,
    };
    let read = |it: &Auditor<'_>| {
        it.read(entries.iter().map(|it| (it.envelope.seq, it.bytes.clone()))).problem_count
    };
    assert_eq!(read(&stranger), 0);
    stranger.author = hub(1);
    assert_eq!(read(&stranger), 2, "entries of another journal");
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_in_a_journal_are_told_and_do_no_harm(
        entries in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..200), 1..5),
    ) {
        let (membership, collection) = (membership(), lessons());
        for depth in [Depth::Chains, Depth::Every] {
            let auditor = Auditor {
                membership: &membership,
                collection: &collection,
                author: hub(2),
                statements: &[],
                depth,
                is_own: true,
            };
            let audit = auditor.read((1..).zip(entries.clone()));
            proptest::prop_assert_eq!(audit.problem_count, entries.len() as u64);
        }
    }
}
