//! Journals: what each hub has written, signed and chained; and who accepts what (DESIGN §5).
//!
//! Acceptance is a pure function of membership and envelopes: no clock, no order of arrival.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::doc;
use crate::event::{EnvelopeRecord, JournalHead};
use crate::id::{AllianceId, CollectionId, DocId, Hash, HubId};
use crate::membership::Membership;
use crate::pack;
use crate::wire::byte_string::{self, Slice};

pub mod revoked;

/// Longest envelope: a burst of editing has a few KiB, a poster 16 KiB.
pub const ENVELOPE_BYTES_MAX: usize = 256 << 10;
/// Most bytes of changes after decompression: sixteen times the envelope.
pub const CHANGES_BYTES_MAX: usize = 4 << 20;
/// Most changes in an envelope: a burst of ten seconds has a few dozen.
pub const CHANGES_MAX: usize = 1_000;
/// Most actors in an envelope: one a browser page.
pub const NONCES_MAX: usize = 64;
/// Longest pseudonym in bytes.
pub const AUTHOR_BYTES_MAX: usize = 64;

/// Most envelopes of one author that are kept in one collection without counting: more than a
/// busy school writes in a month; those beyond it come again from whoever counts them.
pub const ASIDE_MAX: usize = 1_000;

const SIGNATURE_BYTES: usize = 64;
const CONTEXT: &[u8] = b"yingxue envelope 1\0";

/// One entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Which alliance.
    pub alliance: AllianceId,
    /// Whose journal.
    pub author: HubId,
    /// Place in the journal, from 1.
    pub seq: u64,
    /// Hash of the entry before; zeros at 1.
    pub prev_hash: Hash,
    /// Membership epoch under which it was written.
    pub epoch: u64,
    /// Which collection.
    pub collection: CollectionId,
    /// Which document.
    pub doc: DocId,
    /// The author's wall clock, milliseconds since 1970; shown, never trusted.
    pub written_at_wall_ms: u64,
    /// Pseudonym of the person.
    pub person: String,
    /// Nonces of the Automerge actors used in the payload.
    pub nonces: Vec<[u8; 16]>,
    /// A zstd frame of the postcard encoding of the raw changes, `Vec<Vec<u8>>`.
    #[serde(with = "byte_string")]
    pub payload: Vec<u8>,
}

/// An envelope that was checked by itself, with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// What it says.
    pub envelope: Envelope,
    /// The raw Automerge changes of its payload; none if it trespasses.
    pub changes: Vec<Vec<u8>>,
    /// Its encoding and the author's signature.
    pub bytes: Vec<u8>,
    /// BLAKE3 of `bytes`.
    pub hash: Hash,
}

/// Says why an envelope is not accepted, ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It does not decode or breaks a bound.
    #[error("malformed envelope: {0}")]
    Malformed(&'static str),
    /// Its signature is wrong.
    #[error("an envelope whose signature is wrong")]
    Signature,
    /// It belongs to another alliance.
    #[error("an envelope of another alliance")]
    Alliance,
    /// A change was made by an actor that the author may not use.
    #[error("a change by a foreign actor")]
    ForeignActor,
    /// The author was not allowed to write under the epoch that it cites.
    #[error("the author may not write here")]
    NotWriter,
    /// It cites an older epoch than the entry before it.
    #[error("an epoch older than the entry before")]
    EpochBack,
    /// Another entry has its place already: the author's disk was cloned or restored.
    #[error("two different entries at one place of a journal")]
    Fork,
}

/// What to do with an envelope that is well made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next of its journal.
    Next,
    /// It is here already.
    Known,
    /// Entries before it are missing.
    Gap,
    /// It cites an epoch that is not here yet.
    UnknownEpoch,
    /// It is past what the registrar knew of a hub that was taken out: it counts only if an
    /// envelope that counts builds on it.
    PastRevocation,
}

impl Envelope {
    /// Packs raw changes into the payload.
    pub fn pack(changes: &[Vec<u8>]) -> Vec<u8> {
        let in_one_go: Vec<Slice<'_>> = changes.iter().map(|bytes| Slice(bytes)).collect();
        let plain = postcard::to_stdvec(&in_one_go).expect("bytes encode");
        pack::compress(&plain, 3)
    }

    /// Says whether it changes a document that belongs to another hub.
    ///
    /// Such an entry keeps its place in its journal and changes nothing. Refusing it would part
    /// its journal from all that follows; so every hub holds the same journals, fingerprints and
    /// vectors tell nothing of it, and what the author has signed stays as evidence.
    pub fn is_trespass(&self) -> bool {
        !self.doc.may_be_written_by(&self.author)
    }

    /// Signs the envelope with its author's key.
    pub fn sign(self, changes: Vec<Vec<u8>>, author: &SigningKey) -> SignedEnvelope {
        let mut bytes = postcard::to_stdvec(&self).expect("an envelope has only plain fields");
        let signature = author.sign(&[CONTEXT, &bytes].concat());
        bytes.extend_from_slice(&signature.to_bytes());
        let hash = Hash(*blake3::hash(&bytes).as_bytes());
        SignedEnvelope { envelope: self, changes, bytes, hash }
    }
}

impl SignedEnvelope {
    /// Reads an envelope from anywhere and checks what can be checked by itself: bounds,
    /// signature, actors.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX || bytes.len() < SIGNATURE_BYTES {
            return Err(EnvelopeError::Malformed("an envelope has 64 bytes to 256 KiB"));
        }
        let (body, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
        let envelope: Envelope = match postcard::take_from_bytes(body) {
            Ok((envelope, [])) => envelope,
            _ => return Err(EnvelopeError::Malformed("it does not decode")),
        };
        check_bounds(&envelope)?;
        verify(&envelope.author, &[CONTEXT, body].concat(), signature)?;
        let changes = unpack(&envelope.payload)?;
        check_actors(&envelope, &changes)?;
        let hash = Hash(*blake3::hash(bytes).as_bytes());
        let changes = if envelope.is_trespass() { Vec::new() } else { changes };
        Ok(Self { envelope, changes, bytes: bytes.to_vec(), hash })
    }

    /// Reads what an envelope says, without any check of it.
    pub fn peek(bytes: &[u8]) -> Option<Envelope> {
        let body = bytes.get(..bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty()).map(|(it, _)| it)
    }

    /// Checks nothing but the author's signature.
    ///
    /// # Errors
    /// If it is wrong, or the envelope does not decode.
    pub fn check_signature(bytes: &[u8]) -> Result<(), EnvelopeError> {
        let envelope = Self::peek(bytes).ok_or(EnvelopeError::Malformed("it does not decode"))?;
        let (body, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
        verify(&envelope.author, &[CONTEXT, body].concat(), signature)
    }

    /// Reads only the changes of an envelope that was accepted before; none if it trespasses.
    ///
    /// # Errors
    /// If the bytes were damaged since.
    pub fn changes_of(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EnvelopeError> {
        let body = &bytes[..bytes.len().saturating_sub(SIGNATURE_BYTES)];
        match postcard::take_from_bytes::<Envelope>(body) {
            Ok((envelope, [])) if envelope.is_trespass() => Ok(Vec::new()),
            Ok((envelope, [])) => unpack(&envelope.payload),
            _ => Err(EnvelopeError::Malformed("it does not decode")),
        }
    }

    /// Gives the document that it changes: nobody's, if it trespasses.
    pub fn doc(&self) -> DocId {
        if self.envelope.is_trespass() { DocId::NOBODYS } else { self.envelope.doc }
    }

    /// Gives what a store files.
    pub fn record(&self) -> EnvelopeRecord {
        EnvelopeRecord {
            collection: self.envelope.collection.clone(),
            author: self.envelope.author,
            seq: self.envelope.seq,
            hash: self.hash,
            doc: self.doc(),
            bytes: self.bytes.clone(),
        }
    }
}

/// The newest entry of every journal, and a fingerprint of each collection.
#[derive(Debug, Clone, Default)]
pub struct Journals {
    heads: BTreeMap<CollectionId, BTreeMap<HubId, Head>>,
    fingerprints: BTreeMap<CollectionId, u128>,
}

/// The newest entry of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its place.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// The epoch that it cites.
    pub epoch: u64,
}

impl Journals {
    /// Starts with what a store holds.
    pub fn restore(heads: &[JournalHead], fingerprints: &[(CollectionId, [u8; 16])]) -> Self {
        let mut journals = Self::default();
        for head in heads {
            let entry = Head { seq: head.seq, hash: head.hash, epoch: head.epoch };
            let authors = journals.heads.entry(head.collection.clone()).or_default();
            authors.insert(head.author, entry);
        }
        for (collection, sum) in fingerprints {
            journals.fingerprints.insert(collection.clone(), u128::from_le_bytes(*sum));
        }
        journals
    }

    /// Gives the newest entry of a journal.
    pub fn head(&self, collection: &CollectionId, author: &HubId) -> Option<Head> {
        self.heads.get(collection)?.get(author).copied()
    }

    /// Gives author and newest `seq` of each journal of a collection, in order.
    pub fn vector(&self, collection: &CollectionId) -> Vec<(HubId, u64)> {
        self.newest(collection).collect()
    }

    /// Goes through what [`vector`](Self::vector) gives.
    pub fn newest(&self, collection: &CollectionId) -> impl Iterator<Item = (HubId, u64)> {
        let authors = self.heads.get(collection).into_iter().flatten();
        authors.map(|(author, head)| (*author, head.seq))
    }

    /// Gives author, newest `seq` and its hash of one hub's journals in all collections.
    pub fn of_author(&self, author: &HubId) -> Vec<(CollectionId, u64, Hash)> {
        let heads = self.heads.iter();
        heads
            .filter_map(|(c, authors)| authors.get(author).map(|h| (c.clone(), h.seq, h.hash)))
            .collect()
    }

    /// Gives the fingerprint of a collection: a sum of keyed hashes, the same for the same set
    /// of envelopes in whatever order they came.
    pub fn fingerprint(&self, collection: &CollectionId) -> [u8; 16] {
        self.fingerprints.get(collection).copied().unwrap_or(0).to_le_bytes()
    }

    /// Adds an envelope for which [`judge`](Self::judge) said [`Verdict::Next`].
    pub fn push(&mut self, signed: &SignedEnvelope) {
        let envelope = &signed.envelope;
        let head = Head { seq: envelope.seq, hash: signed.hash, epoch: envelope.epoch };
        let authors = self.heads.entry(envelope.collection.clone()).or_default();
        authors.insert(envelope.author, head);
        let sum = self.fingerprints.entry(envelope.collection.clone()).or_default();
        *sum = sum.wrapping_add(fingerprint_of(&signed.hash));
    }

    /// Puts a journal back to an earlier entry, and forgets what came after it.
    pub(crate) fn cut(
        &mut self,
        collection: &CollectionId,
        author: &HubId,
        head: Option<Head>,
        dropped: &[Hash],
    ) {
        let authors = self.heads.entry(collection.clone()).or_default();
        match head {
            Some(head) => drop(authors.insert(*author, head)),
            None => drop(authors.remove(author)),
        }
        let sum = self.fingerprints.entry(collection.clone()).or_default();
        for hash in dropped {
            *sum = sum.wrapping_sub(fingerprint_of(hash));
        }
    }

    /// Counts an envelope that fills a hole.
    pub(crate) fn mend(&mut self, signed: &SignedEnvelope) {
        let sum = self.fingerprints.entry(signed.envelope.collection.clone()).or_default();
        *sum = sum.wrapping_add(fingerprint_of(&signed.hash));
    }

    /// Takes a fingerprint that was worked out anew.
    pub(crate) fn set_fingerprint(&mut self, collection: &CollectionId, sum: u128) {
        self.fingerprints.insert(collection.clone(), sum);
    }

    /// Judges an envelope against membership and the journals that are here.
    ///
    /// # Errors
    /// If it is never to be accepted.
    pub fn judge(
        &self,
        membership: &Membership,
        signed: &SignedEnvelope,
    ) -> Result<Verdict, EnvelopeError> {
        let envelope = &signed.envelope;
        let newest = &membership.newest().epoch;
        if envelope.alliance != newest.alliance {
            return Err(EnvelopeError::Alliance);
        }
        let Some(epoch) = membership.epoch(envelope.epoch) else {
            return Ok(Verdict::UnknownEpoch);
        };
        if !epoch.may_write(&envelope.author, &envelope.collection) {
            return Err(EnvelopeError::NotWriter);
        }
        match newest.accepted_upto(&envelope.author, &envelope.collection) {
            Some((seq, hash)) if envelope.seq == seq && signed.hash != hash => {
                Err(EnvelopeError::Fork)
            }
            Some((seq, _)) if envelope.seq > seq => Ok(match self.judge_place(signed)? {
                Verdict::Known => Verdict::Known,
                _ => Verdict::PastRevocation,
            }),
            _ => self.judge_place(signed),
        }
    }

    /// Says whether bytes are the newest entry of a journal that is here, or, by what they say
    /// themselves, one before it. Such an entry changes nothing, so its signature need not be
    /// looked at: with 36 contacts an envelope comes many times.
    pub(crate) fn known(&self, collection: &CollectionId, bytes: &[u8]) -> Option<(HubId, u64)> {
        let body = bytes.get(..bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let (envelope, []) = postcard::take_from_bytes::<Envelope>(body).ok()? else {
            return None;
        };
        let head = self.head(collection, &envelope.author)?;
        let is_newest =
            || envelope.seq == head.seq && *blake3::hash(bytes).as_bytes() == head.hash.0;
        let is_known = envelope.seq < head.seq || is_newest();
        (envelope.collection == *collection && is_known).then_some((envelope.author, envelope.seq))
    }

    /// Judges only whether an envelope is the next of its journal.
    pub(crate) fn judge_place(&self, signed: &SignedEnvelope) -> Result<Verdict, EnvelopeError> {
        let envelope = &signed.envelope;
        let none = Head { seq: 0, hash: Hash([0; 32]), epoch: 0 };
        let head = self.head(&envelope.collection, &envelope.author).unwrap_or(none);
        if envelope.seq < head.seq {
            return Ok(Verdict::Known);
        }
        if envelope.seq == head.seq {
            return if signed.hash == head.hash {
                Ok(Verdict::Known)
            } else {
                Err(EnvelopeError::Fork)
            };
        }
        if envelope.seq > head.seq + 1 {
            return Ok(Verdict::Gap);
        }
        if envelope.prev_hash != head.hash {
            return Err(EnvelopeError::Fork);
        }
        if envelope.epoch < head.epoch {
            return Err(EnvelopeError::EpochBack);
        }
        Ok(Verdict::Next)
    }
}

/// Gives what an envelope adds to its collection's fingerprint.
pub(crate) fn fingerprint_of(hash: &Hash) -> u128 {
    let keyed = blake3::derive_key("yingxue fingerprint 1", hash.as_bytes());
    let mut low = [0; 16];
    low.copy_from_slice(&keyed[..16]);
    u128::from_le_bytes(low)
}

fn check_bounds(envelope: &Envelope) -> Result<(), EnvelopeError> {
    if envelope.seq == 0 || !envelope.collection.is_valid() {
        return Err(EnvelopeError::Malformed("seq starts at 1 and collections have names"));
    }
    if envelope.nonces.len() > NONCES_MAX || envelope.person.len() > AUTHOR_BYTES_MAX {
        return Err(EnvelopeError::Malformed("at most 64 nonces and a name of 64 bytes"));
    }
    Ok(())
}

fn check_actors(envelope: &Envelope, changes: &[Vec<u8>]) -> Result<(), EnvelopeError> {
    let allowed: Vec<[u8; 16]> =
        envelope.nonces.iter().map(|nonce| doc::actor_of(&envelope.author, nonce)).collect();
    let actors = doc::actors_of(changes)
        .map_err(|_| EnvelopeError::Malformed("a change does not decode"))?;
    let is_own = |actor: &Vec<u8>| allowed.iter().any(|own| own[..] == actor[..]);
    if actors.iter().all(is_own) { Ok(()) } else { Err(EnvelopeError::ForeignActor) }
}

fn unpack(payload: &[u8]) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    let plain = pack::decompress(payload, CHANGES_BYTES_MAX)
        .ok_or(EnvelopeError::Malformed("the payload does not decompress to 4 MiB"))?;
    match postcard::take_from_bytes::<Vec<Slice<'_>>>(&plain) {
        Ok((changes, [])) if (1..=CHANGES_MAX).contains(&changes.len()) => {
            Ok(changes.into_iter().map(|Slice(bytes)| bytes.to_vec()).collect())
        }
        _ => Err(EnvelopeError::Malformed("a payload has 1 to 1,000 changes")),
    }
}

fn verify(author: &HubId, message: &[u8], signature: &[u8]) -> Result<(), EnvelopeError> {
    let key = VerifyingKey::from_bytes(author.as_bytes()).map_err(|_| EnvelopeError::Signature)?;
    let signature = Signature::from_slice(signature).map_err(|_| EnvelopeError::Signature)?;
    key.verify_strict(message, &signature).map_err(|_| EnvelopeError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DocEdit, DocValue};
    use crate::membership::{Epoch, LESSONS, Member, Revoked};

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn hub(n: u8) -> HubId {
        HubId(key(n).verifying_key().to_bytes())
    }

    fn member(n: u8) -> Member {
        let school = format!("第{n}小学");
        Member { hub: hub(n), x25519: [0; 32], school, is_lead: n == 1, addresses: vec![] }
    }

    fn membership() -> Membership {
        let mut first = Epoch::first(&key(9), "联盟", member(1));
        first.hubs.push(member(2));
        Membership::start(first.sign(&key(1))).unwrap()
    }

    fn entry(author: u8, seq: u64, prev_hash: Hash, actor: u8) -> SignedEnvelope {
        let edit = DocEdit::Put { path: vec!["n".into()], value: DocValue::Int(seq as i64) };
        let actor_id = doc::actor_of(&hub(actor), &[7; 16]);
        let mut document = doc::Doc::load(None).unwrap();
        let change = document.edit(actor_id, 0, &[edit]).unwrap().unwrap();
        let envelope = Envelope {
            alliance: membership().newest().epoch.alliance,
            author: hub(author),
            seq,
            prev_hash,
            epoch: 0,
            collection: CollectionId(LESSONS.into()),
            doc: DocId([1; 16]),
            written_at_wall_ms: 0,
            person: "t1".into(),
            nonces: vec![[7; 16]],
            payload: Envelope::pack(std::slice::from_ref(&change)),
        };
        envelope.sign(vec![change], &key(author))
    }

    const ZERO: Hash = Hash([0; 32]);

    #[test]
    fn a_journal_grows_entry_by_entry() {
        let (membership, mut journals) = (membership(), Journals::default());
        let one = entry(2, 1, ZERO, 2);
        let two = entry(2, 2, one.hash, 2);
        assert_eq!(SignedEnvelope::decode(&one.bytes).as_ref(), Ok(&one));
        assert_eq!(journals.judge(&membership, &two), Ok(Verdict::Gap));
        assert_eq!(journals.judge(&membership, &one), Ok(Verdict::Next));
        journals.push(&one);
        assert_eq!(journals.judge(&membership, &one), Ok(Verdict::Known));
        assert_eq!(journals.judge(&membership, &two), Ok(Verdict::Next));
    }

    #[test]
    fn a_stranger_a_foreign_actor_and_a_changed_byte_are_refused() {
        let (membership, journals) = (membership(), Journals::default());
        let stranger = entry(3, 1, ZERO, 3);
        assert_eq!(journals.judge(&membership, &stranger), Err(EnvelopeError::NotWriter));
        let borrowed = entry(2, 1, ZERO, 1);
        assert_eq!(SignedEnvelope::decode(&borrowed.bytes), Err(EnvelopeError::ForeignActor));
        let one = entry(2, 1, ZERO, 2);
        for i in 0..one.bytes.len() {
            let mut changed = one.bytes.clone();
            changed[i] ^= 1;
            assert!(SignedEnvelope::decode(&changed).is_err(), "byte {i}");
        }
    }

    #[test]
    fn a_fork_is_told_from_a_gap() {
        let (membership, mut journals) = (membership(), Journals::default());
        journals.push(&entry(2, 1, ZERO, 2));
        let other_first = entry(2, 1, Hash([5; 32]), 2);
        assert_eq!(journals.judge(&membership, &other_first), Err(EnvelopeError::Fork));
        let other_second = entry(2, 2, Hash([5; 32]), 2);
        assert_eq!(journals.judge(&membership, &other_second), Err(EnvelopeError::Fork));
    }

    #[test]
    fn of_a_hub_that_was_taken_out_only_what_the_registrar_knew_counts() {
        let (mut membership, journals) = (membership(), Journals::default());
        let one = entry(2, 1, ZERO, 2);
        let two = entry(2, 2, one.hash, 2);
        let mut next = membership.draft();
        next.hubs.retain(|member| member.hub != hub(2));
        let accept_upto = vec![(CollectionId(LESSONS.into()), 1, one.hash)];
        next.revoked.push(Revoked { hub: hub(2), accept_upto });
        membership.push(next.sign(&key(1)));
        assert_eq!(journals.judge(&membership, &one), Ok(Verdict::Next));
        assert_eq!(journals.judge(&membership, &two), Ok(Verdict::PastRevocation));
    }

    fn into(doc: DocId, author: u8, prev_hash: Hash, seq: u64) -> SignedEnvelope {
        let signed = entry(author, seq, prev_hash, author);
        let changes = signed.changes.clone();
        Envelope { doc, ..signed.envelope }.sign(changes, &key(author))
    }

    #[test]
    fn a_change_of_anothers_document_keeps_its_place_and_changes_nothing() {
        let (membership, mut journals) = (membership(), Journals::default());
        let term = DocId::owned(&hub(1), [1; 4]);
        let forged = into(term, 2, ZERO, 1);
        let read = SignedEnvelope::decode(&forged.bytes).unwrap();
        assert!(read.envelope.is_trespass() && read.changes.is_empty());
        assert_eq!(SignedEnvelope::changes_of(&forged.bytes), Ok(vec![]));
        assert_eq!((read.doc(), read.record().doc), (DocId::NOBODYS, DocId::NOBODYS));
        assert_eq!(journals.judge(&membership, &read), Ok(Verdict::Next));
        journals.push(&read);
        let after = entry(2, 2, read.hash, 2);
        assert_eq!(journals.judge(&membership, &after), Ok(Verdict::Next));
        let own = SignedEnvelope::decode(&into(term, 1, ZERO, 1).bytes).unwrap();
        assert_eq!((own.changes.len(), own.record().doc), (1, term));
    }

    proptest::proptest! {
        #[test]
        fn what_counts_of_an_owned_document_depends_on_its_author_and_its_name_alone(
            owner in 1_u8..4, author in 1_u8..4, nonce: [u8; 4], seq in 1_u64..9, prev: [u8; 32],
        ) {
            let doc = DocId::owned(&hub(owner), nonce);
            let bytes = into(doc, author, Hash(prev), seq).bytes;
            // Nothing is here but the bytes: no membership, no journal, nothing that came before.
            let read = SignedEnvelope::decode(&bytes).unwrap();
            proptest::prop_assert_eq!(read.changes.len(), usize::from(owner == author));
            proptest::prop_assert_eq!(read.doc() == doc, owner == author);
            let again = SignedEnvelope::changes_of(&bytes).unwrap();
            proptest::prop_assert_eq!(again, read.changes);
        }
    }

    #[test]
    fn the_fingerprint_does_not_depend_on_the_order_of_arrival() {
        let (a, b) = (entry(1, 1, ZERO, 1), entry(2, 1, ZERO, 2));
        let (mut ab, mut ba) = (Journals::default(), Journals::default());
        [&a, &b].into_iter().for_each(|e| ab.push(e));
        [&b, &a].into_iter().for_each(|e| ba.push(e));
        let lessons = CollectionId(LESSONS.into());
        assert_eq!(ab.fingerprint(&lessons), ba.fingerprint(&lessons));
        assert_ne!(ab.fingerprint(&lessons), [0; 16]);
    }

    #[test]
    fn a_payload_that_explodes_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; CHANGES_BYTES_MAX + 1], 3).unwrap();
        assert!(unpack(&bomb).is_err());
    }
}
