//! Reads a journal from its first entry to its last and says what is proven of it, since when and
//! by whom: a pure function of membership, entries and witnesses' statements (DESIGN §5).
//!
//! An entry names the hash of the one before it, signature and all. So the author's signature of
//! the last entry of a chain stands for each entry in it, and hashes are enough for the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{CollectionId, Hash, HubId};
use crate::journal::{Envelope, EnvelopeError, SignedEnvelope};
use crate::membership::{EpochError, Fit, Membership, SignedEpoch};
use crate::witness::SignedStatement;

/// Clocks that differ by less than this are taken to be right.
pub const CLOCK_DOUBT_MS: u64 = 86_400_000;
/// Problems that are listed of one journal; the rest is counted.
pub const PROBLEMS_MAX: usize = 20;

/// What is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes do not decode, or name another journal.
    #[error("entry {seq} is damaged")]
    Damaged {
        /// Place.
        seq: u64,
    },
    /// Entries are not there.
    #[error("entries {from} to {to} are missing")]
    Missing {
        /// First place.
        from: u64,
        /// Last place.
        to: u64,
    },
    /// An entry names another one before it than the one that is there.
    #[error("entry {seq} does not follow the entry before it: one of them was altered")]
    Chain {
        /// Place.
        seq: u64,
    },
    /// A signature is wrong.
    #[error("the signature of entry {seq} is wrong")]
    Signature {
        /// Place.
        seq: u64,
    },
    /// The author was not allowed to write when the entry says that it was written.
    #[error("the author was not allowed to write entry {seq}")]
    NotWriter {
        /// Place.
        seq: u64,
    },
    /// A witness has countersigned another entry.
    #[error("entry {seq} is not the one that {} has countersigned", witness.short())]
    Witnessed {
        /// Place.
        seq: u64,
        /// Who.
        witness: HubId,
    },
    /// A witness has countersigned more than is there.
    #[error("{} has countersigned {seq} entries, and there are {held}", witness.short())]
    Shortened {
        /// How many.
        seq: u64,
        /// How many are there.
        held: u64,
        /// Who.
        witness: HubId,
    },
}

/// A statement with when it came here.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The statement, checked.
    pub signed: SignedStatement,
    /// This hub's wall clock, milliseconds since 1970.
    pub received_at_wall_ms: u64,
}

/// That entries were there at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who has countersigned.
    pub witness: HubId,
    /// Up to which entry.
    pub seq: u64,
    /// The witness's wall clock, milliseconds since 1970.
    pub witnessed_at_wall_ms: u64,
    /// This hub's wall clock when the statement came.
    pub received_at_wall_ms: u64,
}

/// What is known of a journal after it was read.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Entries that are there.
    pub entries: u64,
    /// Place of the last one.
    pub last_seq: u64,
    /// What is wrong, the first [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// How many things are wrong.
    pub problem_count: u64,
    /// What witnesses prove, in order of entries.
    pub proofs: Vec<Proof>,
    /// Witnesses who have countersigned more than is here; the rest may be on its way.
    pub ahead: Vec<(HubId, u64)>,
    /// Entries that say they were written more than a day before a witness saw that they were not
    /// there yet: they were written later, or the author's clock was wrong.
    pub backdated: u64,
    /// Entries that change another school's document; they change nothing.
    pub trespasses: u64,
    /// Signatures that were checked.
    pub signatures: u64,
}

/// Which signatures are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Those that stand for all: the last one of each unbroken chain.
    Chains,
    /// Each.
    Every,
}

/// What is read and what it is held against.
pub struct Auditor<'a> {
    /// The alliance's epochs.
    pub membership: &'a Membership,
    /// In which collection.
    pub collection: &'a CollectionId,
    /// Whose journal.
    pub author: HubId,
    /// Statements about it.
    pub statements: &'a [Heard],
    /// Which signatures are checked.
    pub depth: Depth,
    /// True for this hub's own journal: nothing of it can be on its way.
    pub is_own: bool,
}

/// Puts stored epochs together.
///
/// # Errors
/// If one is damaged or does not follow.
pub fn membership_of(epochs: &[Vec<u8>]) -> Result<Membership, EpochError> {
    let (first, rest) = epochs.split_first().ok_or(EpochError::Malformed("there is none"))?;
    let mut membership = Membership::start(SignedEpoch::decode(first)?)?;
    for bytes in rest {
        let next = SignedEpoch::decode(bytes)?;
        match membership.fits(&next)? {
            Fit::Next => membership.push(next),
            Fit::Known | Fit::Replaces => {
                return Err(EpochError::Order { newest: membership.newest().epoch.n });
            }
        }
    }
    Ok(membership)
}

/// Where the reading is.
struct Walk {
    audit: Audit,
    /// The entry before: its bytes, hash and epoch.
    before: Option<(Vec<u8>, Hash, u64)>,
    /// Hashes of entries that somebody has countersigned.
    witnessed: BTreeMap<u64, Option<Hash>>,
    /// When a witness saw the journal end before an entry, by that entry's place.
    shorter_wall_ms: BTreeMap<u64, u64>,
    /// The latest such time for the entry that is read.
    seen_shorter_wall_ms: u64,
}

impl Auditor<'_> {
    /// Reads the entries in order of their places.
    pub fn read(&self, entries: impl Iterator<Item = (u64, Vec<u8>)>) -> Audit {
        let mut walk = Walk {
            audit: Audit::default(),
            before: None,
            witnessed: BTreeMap::new(),
            shorter_wall_ms: BTreeMap::new(),
            seen_shorter_wall_ms: 0,
        };
        for heard in self.statements {
            let it = &heard.signed.statement;
            walk.witnessed.insert(it.seq, None);
            // Two clocks have to be wrong together to make an honest entry look written back.
            let seen_wall_ms = heard.received_at_wall_ms.min(it.witnessed_at_wall_ms);
            let known = walk.shorter_wall_ms.entry(it.seq.saturating_add(1)).or_default();
            *known = seen_wall_ms.max(*known);
        }
        for (seq, bytes) in entries {
            self.entry(&mut walk, seq, bytes);
        }
        self.end_chain(&mut walk);
        self.compare(&mut walk);
        walk.audit
    }

    fn entry(&self, walk: &mut Walk, seq: u64, bytes: Vec<u8>) {
        let audit = &mut walk.audit;
        let last = std::mem::replace(&mut audit.last_seq, seq);
        audit.entries += 1;
        if seq > last + 1 {
            audit.wrong(Problem::Missing { from: last + 1, to: seq - 1 });
        }
        let read = SignedEnvelope::peek(&bytes).filter(|it| self.is_its_place(it, seq));
        let Some(envelope) = read else {
            walk.audit.wrong(Problem::Damaged { seq });
            return self.end_chain(walk);
        };
        let hash = Hash(*blake3::hash(&bytes).as_bytes());
        if let Some(place) = walk.witnessed.get_mut(&seq) {
            *place = Some(hash);
        }
        self.check_entry(walk, &envelope);
        let follows = match &walk.before {
            Some((_, before, _)) => last + 1 == seq && *before == envelope.prev_hash,
            // After a hole or damage nothing is known of the one before it.
            None => seq != 1 || envelope.prev_hash == Hash([0; 32]),
        };
        if !follows {
            if last + 1 == seq {
                walk.audit.wrong(Problem::Chain { seq });
            }
            self.end_chain(walk);
        }
        if self.depth == Depth::Every {
            check_signature(&mut walk.audit, seq, &bytes);
        }
        walk.before = Some((bytes, hash, envelope.epoch));
    }

    fn is_its_place(&self, envelope: &Envelope, seq: u64) -> bool {
        envelope.seq == seq
            && envelope.author == self.author
            && envelope.collection == *self.collection
            && envelope.alliance == self.membership.newest().epoch.alliance
    }

    fn check_entry(&self, walk: &mut Walk, envelope: &Envelope) {
        let seq = envelope.seq;
        let is_back = walk.before.as_ref().is_some_and(|(.., epoch)| envelope.epoch < *epoch);
        let epoch = self.membership.epoch(envelope.epoch).filter(|_| !is_back);
        if epoch.is_none_or(|epoch| !epoch.may_write(&self.author, self.collection)) {
            walk.audit.wrong(Problem::NotWriter { seq });
        }
        walk.audit.trespasses += u64::from(envelope.is_trespass());
        let seen = walk.shorter_wall_ms.get(&seq).copied();
        walk.seen_shorter_wall_ms = walk.seen_shorter_wall_ms.max(seen.unwrap_or(0));
        let claimed = envelope.written_at_wall_ms.saturating_add(CLOCK_DOUBT_MS);
        walk.audit.backdated += u64::from(claimed < walk.seen_shorter_wall_ms);
    }

    /// Checks the signature that stands for a chain, where it ends.
    fn end_chain(&self, walk: &mut Walk) {
        let Some((bytes, ..)) = walk.before.take() else { return };
        if self.depth == Depth::Chains {
            let seq = SignedEnvelope::peek(&bytes).map_or(0, |envelope| envelope.seq);
            check_signature(&mut walk.audit, seq, &bytes);
        }
    }

    fn compare(&self, walk: &mut Walk) {
        let held = walk.audit.last_seq;
        let mut ahead = BTreeSet::new();
        for heard in self.statements {
            let it = &heard.signed.statement;
            let (witness, seq) = (it.witness, it.seq);
            match walk.witnessed.get(&seq).copied().flatten() {
                Some(hash) if hash == it.hash => walk.audit.proofs.push(Proof {
                    witness,
                    seq,
                    witnessed_at_wall_ms: it.witnessed_at_wall_ms,
                    received_at_wall_ms: heard.received_at_wall_ms,
                }),
                Some(_) => walk.audit.wrong(Problem::Witnessed { seq, witness }),
                None if seq > held && self.is_own => {
                    walk.audit.wrong(Problem::Shortened { seq, held, witness });
                }
                None if seq > held => drop(ahead.insert((witness, seq))),
                // It was told as missing or damaged.
                None => {}
            }
        }
        walk.audit.ahead = ahead.into_iter().collect();
        walk.audit.proofs.sort_by_key(|it| (it.seq, it.witnessed_at_wall_ms, it.witness));
    }
}

impl Audit {
    fn wrong(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

fn check_signature(audit: &mut Audit, seq: u64, bytes: &[u8]) {
    audit.signatures += 1;
    match SignedEnvelope::check_signature(bytes) {
        Ok(()) => {}
        Err(EnvelopeError::Signature) => audit.wrong(Problem::Signature { seq }),
        Err(_) => audit.wrong(Problem::Damaged { seq }),
    }
}

#[cfg(test)]
mod tests;
