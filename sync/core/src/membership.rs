//! Membership: a list of signed epochs, written by the registrar alone (DESIGN §5).
//!
//! Each epoch is the whole state and names its predecessor, so that the list has one order.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::event::{MemberView, MembershipView};
use crate::id::{AllianceId, CollectionId, Hash, HubId};
use crate::wire::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};

pub mod invitation;

/// Most hubs of an alliance; Sichuan's largest has 37.
pub const HUBS_MAX: usize = 2_000;
/// Longest name of a school or an alliance in characters.
pub const NAME_CHARS_MAX: usize = 60;
/// Longest epoch in bytes: 2,000 hubs with addresses.
pub const EPOCH_BYTES_MAX: usize = 2 << 20;
/// Most epochs that are shown to one who holds another one than ours: it finds the first that
/// differs, or at least two different ones with one number.
const CONTRADICTING_MAX: u64 = 8;
/// The collection of lessons and what is said of them.
pub const LESSONS: &str = "lessons";
/// The collection of timetables, plans of lessons, and what schools tell of their readiness.
pub const TIMETABLES: &str = "timetables";
/// The collections that every alliance has; a registrar adds those that an older one lacks.
pub const COLLECTIONS: [&str; 2] = [LESSONS, TIMETABLES];

const SIGNATURE_BYTES: usize = 64;
const EPOCH_CONTEXT: &[u8] = b"yingxue epoch 1\0";
const DELEGATION_CONTEXT: &[u8] = b"yingxue delegation 1\0";
const HAND_OVER_CONTEXT: &[u8] = b"yingxue delegation 2\0";
/// Bytes of the serial number before the signature of a delegation that follows another one.
const SERIAL_BYTES: usize = 8;

/// A member as an epoch lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its key.
    pub hub: HubId,
    /// The key that couriers encrypt to.
    pub x25519: [u8; 32],
    /// Its school's name.
    pub school: String,
    /// True for the lead school.
    pub is_lead: bool,
    /// Where it can be reached.
    pub addresses: Vec<String>,
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// Every member.
    Everyone,
    /// These members.
    Hubs(Vec<HubId>),
}

impl Who {
    fn has(&self, hub: &HubId) -> bool {
        match self {
            Self::Everyone => true,
            Self::Hubs(hubs) => hubs.contains(hub),
        }
    }
}

/// Who reads and writes a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRule {
    /// Which collection.
    pub id: CollectionId,
    /// Who gets its envelopes and its blobs.
    pub readers: Who,
    /// Whose envelopes are accepted.
    pub writers: Who,
}

impl CollectionRule {
    /// Lets every member read and write a collection.
    pub fn open(name: &str) -> Self {
        Self { id: CollectionId(name.into()), readers: Who::Everyone, writers: Who::Everyone }
    }
}

/// A hub that was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Which hub.
    pub hub: HubId,
    /// The newest envelope of each of its journals that still counts.
    pub accept_upto: Vec<(CollectionId, u64, Hash)>,
}

/// The state of an alliance at one point of its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The hash of `root`.
    pub alliance: AllianceId,
    /// Its name.
    pub name: String,
    /// The root key.
    pub root: [u8; 32],
    /// Who writes the epochs.
    pub registrar: HubId,
    /// The root key's signature of the registrar, 64 bytes; after a hand-over the delegation's
    /// serial number before it, 8 bytes, little-endian.
    pub delegation: Vec<u8>,
    /// Place in the list, from 0.
    pub n: u64,
    /// Hash of the epoch before; zeros at 0.
    pub prev_hash: Hash,
    /// The members.
    pub hubs: Vec<Member>,
    /// The collections.
    pub collections: Vec<CollectionRule>,
    /// Who was taken out.
    pub revoked: Vec<Revoked>,
}

/// Says why an epoch is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// It does not decode or breaks a bound.
    #[error("malformed epoch: {0}")]
    Malformed(&'static str),
    /// A signature is wrong.
    #[error("an epoch whose signature is wrong")]
    Signature,
    /// It was signed by a registrar whom the root key has replaced.
    #[error("an epoch of a registrar that was replaced")]
    Superseded,
    /// It does not follow the newest one.
    #[error("an epoch that does not follow number {newest}")]
    Order {
        /// Number of the newest epoch here.
        newest: u64,
    },
    /// Another epoch has this predecessor already: the registrar's key is in two hands.
    #[error("two different epochs number {n}: the registrar's key may be stolen")]
    Equivocation {
        /// Their number.
        n: u64,
    },
}

/// An epoch with its signed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEpoch {
    /// What it says.
    pub epoch: Epoch,
    /// Its encoding and the registrar's signature.
    pub bytes: Vec<u8>,
    /// BLAKE3 of `bytes`.
    pub hash: Hash,
}

/// How an epoch fits to those that are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It follows the newest one.
    Next,
    /// It is here already.
    Known,
    /// The root key has delegated anew: it takes the place of an epoch, and of all after it.
    Replaces,
}

/// The accepted epochs of one alliance.
#[derive(Debug, Clone)]
pub struct Membership {
    epochs: Vec<SignedEpoch>,
}

impl Epoch {
    /// Makes the first epoch of a new alliance, with its registrar as the lead school.
    pub fn first(root: &SigningKey, name: &str, lead: Member) -> Self {
        let delegated = delegated(0, &lead.hub);
        let root_public = root.verifying_key().to_bytes();
        Self {
            alliance: alliance_of(&root_public),
            name: name.to_owned(),
            root: root_public,
            registrar: lead.hub,
            delegation: root.sign(&delegated).to_bytes().to_vec(),
            n: 0,
            prev_hash: Hash([0; 32]),
            hubs: vec![lead],
            collections: COLLECTIONS.map(CollectionRule::open).to_vec(),
            revoked: Vec::new(),
        }
    }

    /// Lists those of [`COLLECTIONS`] that the epoch lacks.
    pub fn missing_collections(&self) -> impl Iterator<Item = &'static str> {
        COLLECTIONS.into_iter().filter(|name| self.rule(&CollectionId((*name).into())).is_none())
    }

    /// Hands the registrar's office to a member, by the root key.
    pub fn hand_over(&mut self, root: &SigningKey, registrar: HubId) {
        let serial = self.delegation_serial() + 1;
        let message = delegated(serial, &registrar);
        self.delegation = serial.to_le_bytes().to_vec();
        self.delegation.extend_from_slice(&root.sign(&message).to_bytes());
        self.registrar = registrar;
        self.hubs.iter_mut().for_each(|member| member.is_lead = member.hub == registrar);
    }

    /// Gives how often the office was handed over.
    pub fn delegation_serial(&self) -> u64 {
        match self.delegation.first_chunk::<SERIAL_BYTES>() {
            Some(serial) if self.delegation.len() == SERIAL_BYTES + SIGNATURE_BYTES => {
                u64::from_le_bytes(*serial)
            }
            _ => 0,
        }
    }

    /// Signs the epoch with the registrar's key.
    pub fn sign(self, registrar: &SigningKey) -> SignedEpoch {
        let mut bytes = postcard::to_stdvec(&self).expect("an epoch has only plain fields");
        let signature = registrar.sign(&[EPOCH_CONTEXT, &bytes].concat());
        bytes.extend_from_slice(&signature.to_bytes());
        let hash = hash(&bytes);
        SignedEpoch { epoch: self, bytes, hash }
    }

    /// Gives a member.
    pub fn member(&self, hub: &HubId) -> Option<&Member> {
        self.hubs.iter().find(|member| member.hub == *hub)
    }

    /// Says whether a member may read a collection.
    pub fn may_read(&self, hub: &HubId, collection: &CollectionId) -> bool {
        self.member(hub).is_some() && self.rule(collection).is_some_and(|r| r.readers.has(hub))
    }

    /// Says whether a member may write to a collection.
    pub fn may_write(&self, hub: &HubId, collection: &CollectionId) -> bool {
        self.member(hub).is_some() && self.rule(collection).is_some_and(|r| r.writers.has(hub))
    }

    /// Gives the newest entry that the registrar lets count of a journal of a hub that was taken
    /// out (0 and zeros if none does); nothing if the hub was not.
    pub fn accepted_upto(&self, hub: &HubId, collection: &CollectionId) -> Option<(u64, Hash)> {
        let revoked = self.revoked.iter().find(|revoked| revoked.hub == *hub)?;
        let upto = revoked.accept_upto.iter().find(|(c, ..)| c == collection);
        Some(upto.map_or((0, Hash([0; 32])), |(_, seq, hash)| (*seq, *hash)))
    }

    /// Gives those who were taken out, with what [`accepted_upto`](Self::accepted_upto) says.
    pub fn revoked_in(&self, collection: &CollectionId) -> BTreeMap<HubId, (u64, Hash)> {
        let upto = |hub: HubId| Some((hub, self.accepted_upto(&hub, collection)?));
        self.revoked.iter().filter_map(|revoked| upto(revoked.hub)).collect()
    }

    fn rule(&self, collection: &CollectionId) -> Option<&CollectionRule> {
        self.collections.iter().find(|rule| rule.id == *collection)
    }

    fn check(&self) -> Result<(), EpochError> {
        let malformed = |what| Err(EpochError::Malformed(what));
        if self.hubs.is_empty() || self.hubs.len() > HUBS_MAX || self.revoked.len() > HUBS_MAX {
            return malformed("allowed are 1 to 2,000 hubs");
        }
        if !is_name(&self.name) || self.hubs.iter().any(|hub| !is_name(&hub.school)) {
            return malformed("a name has 1 to 60 characters");
        }
        if self.hubs.iter().any(|hub| !are_addresses(&hub.addresses)) {
            return malformed("a hub has at most 8 addresses of 128 bytes");
        }
        if self.collections.len() > crate::wire::COLLECTIONS_MAX
            || self.collections.iter().any(|rule| !rule.id.is_valid())
        {
            return malformed("allowed are 64 collections with short names");
        }
        Ok(())
    }
}

impl SignedEpoch {
    /// Reads an epoch from anywhere and checks what it says of itself: bounds, delegation,
    /// signature. Whether it fits is for [`Membership::accept`].
    ///
    /// # Errors
    /// If a bound or a signature is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, EpochError> {
        if bytes.len() > EPOCH_BYTES_MAX || bytes.len() < SIGNATURE_BYTES {
            return Err(EpochError::Malformed("an epoch has 64 bytes to 2 MiB"));
        }
        let epoch = Self::peek(bytes).ok_or(EpochError::Malformed("it does not decode"))?;
        let (body, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
        epoch.check()?;
        if epoch.alliance != alliance_of(&epoch.root) {
            return Err(EpochError::Signature);
        }
        let delegated = delegated(epoch.delegation_serial(), &epoch.registrar);
        let start = epoch.delegation.len().saturating_sub(SIGNATURE_BYTES);
        verify(&epoch.root, &delegated, &epoch.delegation[start..])?;
        verify(epoch.registrar.as_bytes(), &[EPOCH_CONTEXT, body].concat(), signature)?;
        Ok(Self { epoch, bytes: bytes.to_vec(), hash: hash(bytes) })
    }

    /// Reads what an epoch says, without any check of it but its length.
    fn peek(bytes: &[u8]) -> Option<Epoch> {
        let body = bytes.get(..bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let is_short = bytes.len() <= EPOCH_BYTES_MAX;
        match postcard::take_from_bytes(body) {
            Ok((epoch, [])) if is_short => Some(epoch),
            _ => None,
        }
    }
}

impl Membership {
    /// Starts with epoch 0.
    ///
    /// # Errors
    /// If it is not number 0.
    pub fn start(first: SignedEpoch) -> Result<Self, EpochError> {
        if first.epoch.n != 0 {
            return Err(EpochError::Malformed("the first epoch has number 0"));
        }
        Ok(Self { epochs: vec![first] })
    }

    /// Gives the newest epoch.
    pub fn newest(&self) -> &SignedEpoch {
        self.epochs.last().expect("a membership starts with an epoch")
    }

    /// Gives an epoch by its number.
    pub fn epoch(&self, n: u64) -> Option<&Epoch> {
        self.epochs.get(usize::try_from(n).ok()?).map(|signed| &signed.epoch)
    }

    /// Gives the signed bytes of the epochs from a number on.
    pub fn bytes_from(&self, n: u64) -> Vec<Vec<u8>> {
        let skip = usize::try_from(n).unwrap_or(usize::MAX);
        self.epochs.iter().skip(skip).map(|signed| signed.bytes.clone()).collect()
    }

    /// Gives the signed bytes that one needs who holds epoch `n` with this hash. If that is not
    /// ours, they begin where the office was handed over first, or at most `CONTRADICTING_MAX`
    /// epochs back.
    pub fn bytes_for(&self, n: u64, hash: &Hash) -> Vec<Vec<u8>> {
        match self.hash_of(n) {
            Some(ours) if ours == *hash => self.bytes_from(n + 1),
            Some(_) => self.bytes_from(self.contradicted_from(n)),
            None => Vec::new(),
        }
    }

    /// Gives the signed bytes of the epochs from the first hand-over on, for one who holds other
    /// ones of the registrar before it.
    pub fn bytes_handed_over(&self) -> Vec<Vec<u8>> {
        self.bytes_from(self.contradicted_from(self.newest().epoch.n))
    }

    fn contradicted_from(&self, n: u64) -> u64 {
        let is_before = |signed: &&SignedEpoch| signed.epoch.delegation_serial() == 0;
        let handed_over = self.epochs.iter().take_while(is_before).count() as u64;
        n.saturating_sub(CONTRADICTING_MAX).max(1).min(handed_over)
    }

    /// Gives the hash of an epoch.
    pub fn hash_of(&self, n: u64) -> Option<Hash> {
        self.epochs.get(usize::try_from(n).ok()?).map(|signed| signed.hash)
    }

    /// Says whether and how an epoch fits.
    ///
    /// # Errors
    /// If it leaves a gap, changes the alliance, comes from a registrar that was replaced, or
    /// contradicts one that is here.
    pub fn fits(&self, next: &SignedEpoch) -> Result<Fit, EpochError> {
        let (newest, theirs) = (self.newest(), &next.epoch);
        if theirs.alliance != newest.epoch.alliance {
            return Err(EpochError::Signature);
        }
        if theirs.n > newest.epoch.n + 1 {
            return Err(EpochError::Order { newest: newest.epoch.n });
        }
        if self.hash_of(theirs.n) == Some(next.hash) {
            return Ok(Fit::Known);
        }
        let (serial, known) = (theirs.delegation_serial(), newest.epoch.delegation_serial());
        let follows = self.follows(next);
        match serial.cmp(&known) {
            Ordering::Less => Err(EpochError::Superseded),
            Ordering::Greater if !follows => Err(EpochError::Order { newest: newest.epoch.n }),
            Ordering::Greater if theirs.n <= newest.epoch.n => Ok(Fit::Replaces),
            Ordering::Greater => Ok(Fit::Next),
            Ordering::Equal if theirs.registrar != newest.epoch.registrar => {
                Err(EpochError::Equivocation { n: theirs.n })
            }
            Ordering::Equal if follows && theirs.n > newest.epoch.n => Ok(Fit::Next),
            Ordering::Equal => Err(EpochError::Equivocation { n: theirs.n.min(newest.epoch.n) }),
        }
    }

    /// Says whether an epoch names one that is here as its predecessor.
    pub fn follows(&self, next: &SignedEpoch) -> bool {
        let before = next.epoch.n.checked_sub(1).and_then(|n| self.hash_of(n));
        before == Some(next.epoch.prev_hash)
    }

    /// Gives the number of an epoch that is here, byte for byte.
    pub fn number_of(&self, bytes: &[u8]) -> Option<u64> {
        self.epochs.iter().rev().find(|it| it.bytes == bytes).map(|it| it.epoch.n)
    }

    /// Counts the first of these epochs that are one history up to an epoch for which the root key
    /// has delegated anew since ours: it vouches for those before it.
    pub fn vouched(&self, epochs: &[Vec<u8>]) -> usize {
        let serial = self.newest().epoch.delegation_serial();
        let mut before: Option<Hash> = None;
        for (at, bytes) in epochs.iter().enumerate() {
            // The last one's signature stands for all that it follows.
            let Some(epoch) = SignedEpoch::peek(bytes) else { return 0 };
            if before.is_some_and(|hash| hash != epoch.prev_hash) {
                return 0;
            }
            if epoch.delegation_serial() > serial {
                return if SignedEpoch::decode(bytes).is_ok() { at + 1 } else { 0 };
            }
            before = Some(hash(bytes));
        }
        0
    }

    /// Adds an epoch that [`fits`](Self::fits) and is durable; those that it replaces go.
    pub fn push(&mut self, next: SignedEpoch) {
        self.epochs.truncate(next.epoch.n as usize);
        self.epochs.push(next);
    }

    /// Gives the draft of the next epoch: the newest with number and predecessor moved on.
    pub fn draft(&self) -> Epoch {
        let newest = self.newest();
        Epoch { n: newest.epoch.n + 1, prev_hash: newest.hash, ..newest.epoch.clone() }
    }

    /// Gives the members for screens.
    pub fn view(&self) -> MembershipView {
        let epoch = &self.newest().epoch;
        let member = |member: &Member| MemberView {
            hub: member.hub,
            school: member.school.clone(),
            is_lead: member.is_lead,
            addresses: member.addresses.clone(),
        };
        MembershipView {
            alliance: epoch.alliance,
            name: epoch.name.clone(),
            epoch: epoch.n,
            registrar: epoch.registrar,
            hubs: epoch.hubs.iter().map(member).collect(),
            revoked: epoch.revoked.iter().map(|revoked| revoked.hub).collect(),
        }
    }
}

/// Says whether a text is a name of a school or an alliance: 1 to 60 characters, none of them
/// a control character, not only blanks.
pub fn is_name(text: &str) -> bool {
    let chars = text.chars().count();
    (1..=NAME_CHARS_MAX).contains(&chars)
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control)
}

/// Says whether a list of addresses keeps its bounds.
pub fn are_addresses(addresses: &[String]) -> bool {
    addresses.len() <= ADDRESSES_MAX
        && addresses.iter().all(|address| address.len() <= ADDRESS_BYTES_MAX)
}

/// Gives what the root key signs to make a hub the registrar, for the so-many-th time.
fn delegated(serial: u64, registrar: &HubId) -> Vec<u8> {
    match serial {
        0 => [DELEGATION_CONTEXT, registrar.as_bytes()].concat(),
        _ => [HAND_OVER_CONTEXT, &serial.to_le_bytes(), registrar.as_bytes()].concat(),
    }
}

fn alliance_of(root: &[u8; 32]) -> AllianceId {
    AllianceId(*blake3::hash(root).as_bytes())
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

fn verify(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), EpochError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| EpochError::Signature)?;
    let signature = Signature::from_slice(signature).map_err(|_| EpochError::Signature)?;
    key.verify_strict(message, &signature).map_err(|_| EpochError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_bytes(&[n; 32])
    }

    fn member(n: u8) -> Member {
        Member {
            hub: HubId(key(n).verifying_key().to_bytes()),
            x25519: [n; 32],
            school: format!("第{n}小学"),
            is_lead: n == 1,
            addresses: vec![],
        }
    }

    fn founded() -> Membership {
        Membership::start(Epoch::first(&key(9), "联盟", member(1)).sign(&key(1))).unwrap()
    }

    #[test]
    fn an_epoch_reads_back_and_a_changed_byte_is_noticed() {
        let signed = founded().newest().clone();
        assert_eq!(SignedEpoch::decode(&signed.bytes), Ok(signed.clone()));
        for i in 0..signed.bytes.len() {
            let mut changed = signed.bytes.clone();
            changed[i] ^= 1;
            assert!(SignedEpoch::decode(&changed).is_err(), "byte {i}");
        }
    }

    #[test]
    fn two_epochs_with_one_predecessor_prove_a_stolen_key() {
        let mut here = founded();
        let mut one = here.draft();
        one.hubs.push(member(2));
        let mut other = here.draft();
        other.hubs.push(member(3));
        let (one, other) = (one.sign(&key(1)), other.sign(&key(1)));
        assert_eq!(here.fits(&one), Ok(Fit::Next));
        here.push(one.clone());
        assert_eq!(here.fits(&one), Ok(Fit::Known));
        assert_eq!(here.fits(&other), Err(EpochError::Equivocation { n: 1 }));
        let mut late = here.draft();
        late.n += 1;
        assert_eq!(here.fits(&late.sign(&key(1))), Err(EpochError::Order { newest: 1 }));
    }

    #[test]
    fn nobody_but_the_delegated_registrar_signs() {
        let mut stranger = Epoch::first(&key(9), "联盟", member(1));
        stranger.registrar = member(2).hub;
        assert_eq!(SignedEpoch::decode(&stranger.sign(&key(2)).bytes), Err(EpochError::Signature));
    }
}
