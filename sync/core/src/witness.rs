//! Witnesses: hubs countersign how far they hold one another's journals (DESIGN §5).
//!
//! A statement says: at this time by its clock, this witness held this journal up to this entry,
//! and the entry had this hash. As each entry names the one before it, a statement stands for all
//! entries up to its own: none of them can be removed, altered, put in another order or written
//! later without contradicting it, while one honest hub has it.
//!
//! Statements decide nothing about which envelopes count; they are compared with journals, and
//! what contradicts is told and kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};

use crate::id::{AllianceId, CollectionId, Hash, HubId, Time};

mod batch;

pub use batch::{SIGNED_TOGETHER_MAX, StatementReader, sign_all};

/// Longest statement: four keys and hashes, a collection's name, three numbers, a signature, and
/// the way to what was signed.
pub const STATEMENT_BYTES_MAX: usize = 320 + batch::PATH_BYTES_MAX;
/// Statements that a node keeps in mind: forty hubs' about forty hubs' in two collections, and
/// twenty times that. What comes beyond it is not taken.
pub const HELD_MAX: usize = 65_536;
/// Where the farthest statement of a witness about another hub's journal is kept.
pub const SLOT_FARTHEST: i64 = 0;
/// Where one is kept that a journal contradicts.
pub const SLOT_CONTRADICTED: i64 = -1;
/// Days of which statements about a hub's own journals are kept: a school year and its holidays.
pub const DAYS_MAX: usize = 400;

const SIGNATURE_BYTES: usize = 64;
const CONTEXT: &[u8] = b"yingxue witness 1\0";
const DAY_MS: u64 = 86_400_000;

/// How far a hub holds a journal, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Which alliance.
    pub alliance: AllianceId,
    /// In which collection.
    pub collection: CollectionId,
    /// Whose journal.
    pub author: HubId,
    /// Its newest entry at the witness.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Hash,
    /// Who says so.
    pub witness: HubId,
    /// Counts the witness's statements up, with gaps.
    pub number: u64,
    /// The witness's wall clock, milliseconds since 1970; shown, never trusted.
    pub witnessed_at_wall_ms: u64,
}

/// A statement with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its encoding, its way to the root if others were signed with it, the witness's signature.
    pub bytes: Vec<u8>,
}

/// Says why bytes are no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It does not decode or breaks a bound.
    #[error("a statement of a witness that does not decode")]
    Malformed,
    /// Its signature is wrong.
    #[error("a statement whose signature is wrong")]
    Signature,
}

/// A statement with what a store files it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRecord {
    /// What it says.
    pub statement: Statement,
    /// [`SLOT_FARTHEST`], [`SLOT_CONTRADICTED`], or the day since 1970 on which one about this
    /// hub's own journal came.
    pub slot: i64,
    /// This hub's wall clock when it came, milliseconds since 1970.
    pub received_at_wall_ms: u64,
    /// The signed statement.
    pub bytes: Vec<u8>,
}

/// A statement as a store gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementHeld {
    /// The signed statement.
    pub bytes: Vec<u8>,
    /// This hub's wall clock when it came, milliseconds since 1970.
    pub received_at_wall_ms: u64,
    /// True if a journal contradicts it.
    pub is_contradicted: bool,
}

impl Statement {
    /// Signs the statement alone with its witness's key.
    pub fn sign(self, witness: &SigningKey) -> SignedStatement {
        let mut bytes = postcard::to_stdvec(&self).expect("a statement has only plain fields");
        let signature = witness.sign(&[CONTEXT, &bytes].concat());
        bytes.extend_from_slice(&signature.to_bytes());
        SignedStatement { statement: self, bytes }
    }
}

impl SignedStatement {
    /// Reads a statement from anywhere: bounds and signature.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        StatementReader::default().read(bytes)
    }
}

/// What was said, its encoding, its way to what was signed, and the signature.
type Parts<'a> = (Statement, &'a [u8], &'a [u8], &'a [u8; SIGNATURE_BYTES]);

fn parse(bytes: &[u8]) -> Option<Parts<'_>> {
    if bytes.len() > STATEMENT_BYTES_MAX {
        return None;
    }
    let (rest, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>()?;
    let (it, path) = postcard::take_from_bytes::<Statement>(rest).ok()?;
    let body = &rest[..rest.len() - path.len()];
    (is_in_bounds(&it) && batch::is_path(path)).then_some((it, body, path, signature))
}

/// Says whether a store can file a statement.
fn is_in_bounds(it: &Statement) -> bool {
    let is_countable = |n: u64| i64::try_from(n).is_ok();
    it.seq > 0 && is_countable(it.seq) && is_countable(it.number) && it.collection.is_valid()
}

/// How a statement compares with the journal that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not compared yet, or the journal here does not reach so far.
    Open { missing_since: Option<Time>, is_told: bool },
    /// The journal has this entry at its place.
    Agrees,
    /// It has another one.
    Contradicted,
}

/// What a node keeps in mind of a statement.
#[derive(Debug, Clone)]
struct Known {
    seq: u64,
    hash: Hash,
    number: u64,
    received_at_wall_ms: u64,
    state: State,
}

/// Whose journal in which collection, and who says something of it.
pub(crate) type Key = (CollectionId, HubId, HubId);

/// The farthest statement of each witness about each journal.
#[derive(Debug, Default)]
pub(crate) struct Witnessed {
    known: BTreeMap<Key, Known>,
    open: BTreeSet<Key>,
    newest: BTreeMap<HubId, u64>,
    /// What this hub signed, by number.
    own: BTreeMap<u64, (CollectionId, Vec<u8>)>,
}

/// A statement that is to be compared with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub key: Key,
    pub seq: u64,
    pub hash: Hash,
}

impl Witnessed {
    /// Starts with what a store holds.
    pub fn restore(own: &HubId, held: &[StatementHeld]) -> Self {
        let mut witnessed = Self::default();
        for it in held {
            // The store has checked them before, and a damaged one says nothing.
            let Some((statement, ..)) = parse(&it.bytes) else { continue };
            let key = witnessed.insert(own, &statement, &it.bytes, it.received_at_wall_ms);
            if let Some(key) = key.filter(|_| it.is_contradicted) {
                witnessed.settle(&key, statement.seq, true);
            }
        }
        witnessed
    }

    /// Gives the number of the newest statement of a witness.
    pub fn newest_of(&self, witness: &HubId) -> u64 {
        self.newest.get(witness).copied().unwrap_or(0)
    }

    /// Takes note of a statement that says nothing new, so that it is not told again.
    pub fn note_heard(&mut self, statement: &Statement) {
        let newest = self.newest.entry(statement.witness).or_default();
        *newest = (*newest).max(statement.number);
    }

    /// Says whether a statement says more than what is here of its witness, and there is room.
    pub fn is_news(&self, statement: &Statement) -> bool {
        match self.known.get(&key_of(statement)) {
            Some(known) => known.seq < statement.seq,
            None => self.known.len() < HELD_MAX,
        }
    }

    /// Keeps a durable statement in mind, if it says more than the one that is here.
    pub fn insert(
        &mut self,
        own: &HubId,
        statement: &Statement,
        bytes: &[u8],
        received_at_wall_ms: u64,
    ) -> Option<Key> {
        self.note_heard(statement);
        if !self.is_news(statement) {
            return None;
        }
        let key = key_of(statement);
        let is_own = statement.witness == *own;
        // What this hub has signed it has looked up itself.
        let state = match is_own {
            true => State::Agrees,
            false => State::Open { missing_since: None, is_told: false },
        };
        let known = Known {
            seq: statement.seq,
            hash: statement.hash,
            number: statement.number,
            received_at_wall_ms,
            state,
        };
        let before = self.known.insert(key.clone(), known);
        if is_own {
            if let Some(known) = before {
                self.own.remove(&known.number);
            }
            self.own.insert(statement.number, (key.0.clone(), bytes.to_vec()));
        } else {
            self.open.insert(key.clone());
        }
        Some(key)
    }

    /// Gives how far a witness has signed a journal.
    pub fn signed(&self, key: &Key) -> Option<u64> {
        self.known.get(key).map(|known| known.seq)
    }

    /// Gives this hub's own statements after a number, in order, with their collections.
    pub fn own_after(&self, number: u64) -> impl Iterator<Item = (u64, &CollectionId, &[u8])> {
        let after = self.own.range((Bound::Excluded(number), Bound::Unbounded));
        after.map(|(number, (collection, bytes))| (*number, collection, &bytes[..]))
    }

    /// Lists what is not settled.
    pub fn questions(&self) -> Vec<Question> {
        let question = |key: &Key| {
            let known = self.known.get(key)?;
            Some(Question { key: key.clone(), seq: known.seq, hash: known.hash })
        };
        self.open.iter().filter_map(question).collect()
    }

    /// Settles a statement: the journal has its entry, or another one.
    pub fn settle(&mut self, key: &Key, seq: u64, is_contradicted: bool) {
        let Some(known) = self.known.get_mut(key).filter(|known| known.seq == seq) else { return };
        known.state = if is_contradicted { State::Contradicted } else { State::Agrees };
        self.open.remove(key);
    }

    /// Notes that a journal's own author shows less than was stated; says whether that has gone
    /// on for so long that it is to be told, once.
    pub fn is_long_missing(&mut self, key: &Key, now: Time, wall_ms: u64, after_ms: u64) -> bool {
        let Some(known) = self.known.get_mut(key) else { return false };
        let State::Open { missing_since, is_told } = &mut known.state else { return false };
        let since = *missing_since.get_or_insert(now);
        let is_long = now.since_ms(since) >= after_ms
            && wall_ms.saturating_sub(known.received_at_wall_ms) >= DAY_MS;
        is_long && !std::mem::replace(is_told, *is_told || is_long)
    }

    /// Notes that a journal's own author shows as much as was stated.
    pub fn note_shown(&mut self, key: &Key) {
        if let Some(Known { state: State::Open { missing_since, .. }, .. }) =
            self.known.get_mut(key)
        {
            *missing_since = None;
        }
    }
}

/// Says where a statement is kept that came at a time: one a day of this hub's own journals.
pub(crate) fn slot_of(own: &HubId, statement: &Statement, wall_ms: u64) -> i64 {
    if statement.author != *own {
        return SLOT_FARTHEST;
    }
    // The first day is the slot of other journals.
    i64::try_from(wall_ms / DAY_MS).unwrap_or(i64::MAX).max(1)
}

fn key_of(statement: &Statement) -> Key {
    (statement.collection.clone(), statement.author, statement.witness)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn statement(seq: u64, number: u64) -> Statement {
        let key = SigningKey::from_bytes(&[2; 32]);
        Statement {
            alliance: AllianceId([1; 32]),
            collection: CollectionId("lessons".into()),
            author: HubId([3; 32]),
            seq,
            hash: Hash([seq as u8; 32]),
            witness: HubId(key.verifying_key().to_bytes()),
            number,
            witnessed_at_wall_ms: u64::MAX,
        }
    }

    const OWN: HubId = HubId([9; 32]);

    #[test]
    fn a_statement_reads_back_and_a_changed_byte_is_noticed() {
        let most = i64::MAX as u64;
        let mut widest = statement(most, most);
        widest.collection = CollectionId("c".repeat(CollectionId::CHARS_MAX));
        let signed = widest.sign(&SigningKey::from_bytes(&[2; 32]));
        assert!(signed.bytes.len() <= STATEMENT_BYTES_MAX, "{}", signed.bytes.len());
        assert_eq!(SignedStatement::decode(&signed.bytes).as_ref(), Ok(&signed));
        for i in 0..signed.bytes.len() {
            let mut changed = signed.bytes.clone();
            changed[i] ^= 1;
            assert!(SignedStatement::decode(&changed).is_err(), "byte {i}");
        }
        let of_another = statement(1, 1).sign(&SigningKey::from_bytes(&[4; 32]));
        assert_eq!(SignedStatement::decode(&of_another.bytes), Err(StatementError::Signature));
        assert_eq!(SignedStatement::decode(&[0; 63]), Err(StatementError::Malformed));
    }

    #[test]
    fn of_each_witness_the_farthest_statement_counts() {
        let mut witnessed = Witnessed::default();
        assert!(witnessed.insert(&OWN, &statement(5, 1), &[], 0).is_some());
        assert!(witnessed.insert(&OWN, &statement(4, 2), &[], 0).is_none());
        assert_eq!(witnessed.newest_of(&statement(4, 2).witness), 2);
        let questions = witnessed.questions();
        assert_eq!(questions.len(), 1);
        witnessed.settle(&questions[0].key, 4, true);
        assert_eq!(witnessed.questions().len(), 1, "another place is another question");
        witnessed.settle(&questions[0].key, 5, false);
        assert!(witnessed.questions().is_empty());
        assert!(witnessed.insert(&OWN, &statement(6, 3), &[], 0).is_some());
        assert_eq!(witnessed.questions().len(), 1);
    }

    #[test]
    fn what_is_missing_is_told_once_and_only_after_a_day() {
        let mut witnessed = Witnessed::default();
        let key = witnessed.insert(&OWN, &statement(5, 1), &[], 1_000).unwrap();
        let mut told = |now, wall| witnessed.is_long_missing(&key, Time(now), wall, 60);
        assert!(!told(0, 2 * DAY_MS), "just noticed");
        assert!(!told(100, DAY_MS), "it came less than a day ago");
        assert!(told(100, DAY_MS + 1_000));
        assert!(!told(200, DAY_MS + 1_000), "once");
    }

    #[test]
    fn statements_about_this_hubs_own_journals_are_kept_by_day() {
        let it = statement(1, 1);
        assert_eq!(slot_of(&OWN, &it, 20 * DAY_MS + 5), SLOT_FARTHEST);
        assert_eq!(slot_of(&it.author, &it, 20 * DAY_MS + 5), 20);
        assert_eq!(slot_of(&it.author, &it, 0), 1);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_no_statement_and_do_no_harm(bytes: Vec<u8>) {
            let _ = SignedStatement::decode(&bytes);
            let held = StatementHeld {
                bytes, received_at_wall_ms: 0, is_contradicted: true,
            };
            proptest::prop_assert!(Witnessed::restore(&OWN, &[held]).questions().is_empty());
        }
    }
}
