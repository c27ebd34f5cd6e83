//! What a person has to look at.

use std::fmt;

use crate::id::{CollectionId, DocId, HubId};

/// Something that a person has to look at: a sentence for logs, and its parts for screens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// Two different entries were signed for one place of a journal; both are kept.
    JournalForked {
        /// Whose journal.
        author: HubId,
        /// In which collection.
        collection: CollectionId,
        /// At which place.
        seq: u64,
    },
    /// A hub has signed a change of another hub's document; it is kept, and changes nothing.
    Trespassed {
        /// Who signed it.
        author: HubId,
        /// In which collection.
        collection: CollectionId,
        /// At which place of its journal.
        seq: u64,
        /// Which document.
        doc: DocId,
    },
    /// A journal has another entry at a place than a hub has countersigned: it was rewritten, or
    /// the witness's word is wrong. The statement is kept.
    WitnessedOtherwise {
        /// Whose journal.
        author: HubId,
        /// In which collection.
        collection: CollectionId,
        /// At which place.
        seq: u64,
        /// Who countersigned another entry.
        witness: HubId,
    },
    /// A hub shows a shorter journal of its own than another one has countersigned, for a day: it
    /// was cut, or the witness's word is wrong.
    WitnessedMissing {
        /// Whose journal.
        author: HubId,
        /// In which collection.
        collection: CollectionId,
        /// How many entries are missing.
        entries: u64,
        /// Who countersigned the last of them.
        witness: HubId,
    },
    /// Two epochs with one predecessor are signed; membership is frozen, both are kept.
    MembershipForked {
        /// Number of the epochs.
        n: u64,
    },
    /// This hub's database is older than what it wrote, or a copy: it asks before it writes.
    Restored,
    /// Other hubs hold entries of this hub's journal that its disk lacks.
    OwnEntriesMissing {
        /// How many.
        entries: u64,
    },
    /// A hub said that it holds entries of this hub's journal, and gave none of them.
    OwnEntriesNotGiven {
        /// Who said so.
        hub: HubId,
    },
    /// Two stores answer with one hub's key: its disk was cloned.
    Cloned {
        /// Whose key.
        hub: HubId,
    },
    /// A hub sent pieces or a manifest that are not the blob's; they were dropped.
    WrongPieces {
        /// Which hub.
        hub: HubId,
    },
    /// A stored journal cannot be read, or lacks entries.
    JournalDamaged {
        /// In a few words.
        why: String,
    },
    /// A change cannot be applied; its document is shown without it.
    ChangeSkipped {
        /// Which document.
        doc: DocId,
        /// In a few words.
        why: String,
    },
    /// A saved document cannot be read.
    DocumentDamaged {
        /// Which document.
        doc: DocId,
        /// In a few words.
        why: String,
    },
}

impl Alarm {
    /// Gives the school that it is about, if it is about another one than this.
    pub const fn hub(&self) -> Option<HubId> {
        match self {
            Self::JournalForked { author, .. }
            | Self::Trespassed { author, .. }
            | Self::WitnessedOtherwise { author, .. }
            | Self::WitnessedMissing { author, .. } => Some(*author),
            Self::WrongPieces { hub } | Self::Cloned { hub } | Self::OwnEntriesNotGiven { hub } => {
                Some(*hub)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalForked { author, collection, seq } => write!(
                f,
                "two different entries {seq} of {}'s journal in {collection}: its disk was cloned \
                 or restored, or its key is stolen; both are kept",
                author.short()
            ),
            Self::Trespassed { author, collection, seq, doc } => write!(
                f,
                "entry {seq} of {}'s journal in {collection} changes document {doc}, which belongs \
                 to another school; it is kept as evidence and changes nothing",
                author.short()
            ),
            Self::WitnessedOtherwise { author, collection, seq, witness } => write!(
                f,
                "{0} and {1} contradict each other: entry {seq} of {0}'s journal in {collection} \
                 is not the one that {1} has countersigned. The journal was rewritten, or the \
                 witness's word is wrong; the statement is kept",
                author.short(),
                witness.short()
            ),
            Self::WitnessedMissing { author, collection, entries, witness } => write!(
                f,
                "{0} and {1} contradict each other: {0} shows its journal in {collection} without \
                 the last {entries} entries that {1} has countersigned, for a day now. They were \
                 removed, or the witness's word is wrong",
                author.short(),
                witness.short()
            ),
            Self::MembershipForked { n } => write!(
                f,
                "two different memberships are signed with number {n}: the registrar's key may \
                 be stolen; both are kept"
            ),
            Self::Restored => f.write_str(
                "this hub's database was restored or copied; nothing is written until another \
                 hub has given back what this one wrote",
            ),
            Self::OwnEntriesMissing { entries } => {
                write!(f, "this hub's disk lacks {entries} entries that it wrote; fetching them")
            }
            Self::OwnEntriesNotGiven { hub } => write!(
                f,
                "{} says that it holds more of this hub's journal than is here, and gives nothing",
                hub.short()
            ),
            Self::Cloned { hub } => {
                write!(f, "two disks answer with the key of {}: one is a copy", hub.short())
            }
            Self::WrongPieces { hub } => write!(
                f,
                "{} sent parts of a lesson that are wrong; they were dropped",
                hub.short()
            ),
            Self::JournalDamaged { why } => write!(f, "a stored journal is damaged: {why}"),
            Self::ChangeSkipped { doc, why } => {
                write!(f, "a stored change of {} cannot be applied: {why}", doc.short())
            }
            Self::DocumentDamaged { doc, why } => {
                write!(f, "the stored document {} is damaged: {why}", doc.short())
            }
        }
    }
}
