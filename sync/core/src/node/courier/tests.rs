use ed25519_dalek::SigningKey;

use super::*;
use crate::NodeConfig;
use crate::courier::{Keys, batch_of};
use crate::event::{
    Command, DocEdit, DocValue, EnvelopeRecord, Input, Output, Restored, StoreReply, StoredBlob,
};
use crate::id::DocId;
use crate::membership::{Epoch, LESSONS, Member, Membership, SignedEpoch};

mod joining;

const NOW: Time = Time(1_000);

fn secret(n: u8) -> [u8; 32] {
    [n; 32]
}

fn lessons() -> CollectionId {
    CollectionId(LESSONS.into())
}

fn member(n: u8) -> Member {
    let keys = Keys::of(&secret(n));
    let (hub, x25519) = (keys.hub(), keys.x25519_public());
    Member { hub, x25519, school: format!("第{n}小学"), is_lead: n == 1, addresses: vec![] }
}

/// An alliance of hubs 1 and 2; a third one joins with the second epoch.
fn epochs() -> [SignedEpoch; 2] {
    let mut first = Epoch::first(&SigningKey::from_bytes(&secret(9)), "联盟", member(1));
    first.hubs.push(member(2));
    let lead = SigningKey::from_bytes(&secret(1));
    let membership = Membership::start(first.sign(&lead)).unwrap();
    let mut next = membership.draft();
    next.hubs.push(member(3));
    [membership.newest().clone(), next.sign(&lead)]
}

/// A node with a store that keeps what it is told and answers at once.
struct Hub {
    node: Node,
    envelopes: Vec<EnvelopeRecord>,
    blobs: BTreeMap<BlobId, (Vec<u8>, Vec<u32>)>,
    names: Vec<BlobId>,
    is_full: bool,
}

impl Hub {
    fn new(n: u8, epochs: &[SignedEpoch]) -> Self {
        let epochs = epochs.iter().map(|signed| signed.bytes.clone()).collect();
        let restored = Restored { epochs, ..Restored::default() };
        let node = Node::new(NodeConfig::new(secret(n), [n; 32]), restored).unwrap();
        let (envelopes, names) = (Vec::new(), Vec::new());
        Self { node, envelopes, blobs: BTreeMap::new(), names, is_full: false }
    }

    fn store(&mut self, op: StoreOp) -> Result<StoreValue, StoreError> {
        match op {
            StoreOp::LoadDoc { doc, .. } => {
                let of_doc = self.envelopes.iter().filter(|record| record.doc == doc);
                let pending = of_doc.map(|record| record.bytes.clone()).collect();
                return Ok(StoreValue::Doc { snapshot: None, pending });
            }
            StoreOp::LoadBlob { blob } => {
                let known = self.blobs.get(&blob);
                let (mut bitmap, mut manifest) = (Vec::new(), None);
                if let Some((encoded, held)) = known {
                    let pieces = Manifest::decode(encoded).unwrap().pieces.len();
                    let mut set = Bitmap::new(pieces);
                    held.iter().for_each(|piece| set.insert(*piece));
                    (bitmap, manifest) = (set.as_bytes().to_vec(), Some(encoded.clone()));
                }
                let is_named = self.names.contains(&blob);
                let collections = if is_named { vec![lessons()] } else { Vec::new() };
                return Ok(StoreValue::Blob(StoredBlob { manifest, bitmap, collections }));
            }
            _ if self.is_full => return Err(StoreError::NoSpace),
            StoreOp::AppendEnvelopes { envelopes, .. } => self.envelopes.extend(envelopes),
            StoreOp::ReserveBlob { blob, manifest } => {
                self.blobs.entry(blob).or_insert((manifest, Vec::new()));
            }
            StoreOp::WritePieces { blob, pieces } => {
                let numbers = pieces.into_iter().map(|(piece, _)| piece);
                self.blobs.get_mut(&blob).unwrap().1.extend(numbers);
            }
            _ => {}
        }
        Ok(StoreValue::Done)
    }

    fn input(&mut self, input: Input) -> Vec<Event> {
        self.node.handle_input(NOW, input);
        let mut events = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Store(request) => {
                    let result = self.store(request.op);
                    let reply = StoreReply { id: request.id, result };
                    self.node.handle_input(NOW, Input::Stored(reply));
                }
                Output::Event(event) => events.push(event),
                _ => {}
            }
        }
        events
    }

    fn carry(&mut self, carried: Carried) -> Outcome {
        let events = self.input(Input::Command(Command::Carry { request: 7, carried }));
        let mut outcomes = events.into_iter().filter_map(|event| match event {
            Event::Carried { request: 7, outcome } => Some(outcome),
            _ => None,
        });
        let outcome = outcomes.next().expect("what is carried is answered");
        assert_eq!(outcomes.next(), None, "and answered once");
        outcome
    }

    fn write(&mut self, n: i64) {
        let edit = DocEdit::Put { path: vec![format!("n{n}")], value: DocValue::Int(n) };
        self.input(Input::Command(Command::EditDoc {
            request: 1,
            collection: lessons(),
            doc: DocId([1; 16]),
            author: "t1".into(),
            edits: vec![edit],
        }));
    }

    fn journal(&self) -> Vec<Vec<u8>> {
        self.envelopes.iter().map(|record| record.bytes.clone()).collect()
    }
}

fn envelopes(envelopes: &[Vec<u8>]) -> Carried {
    Carried::Envelopes { collection: lessons(), batch: batch_of(envelopes) }
}

fn accepted(accepted: u32) -> Outcome {
    Outcome { accepted, ..Outcome::default() }
}

fn blob() -> (BlobId, Manifest) {
    let manifest = Manifest::of(&[3, 2], b"abcde", vec![]).unwrap();
    (manifest.blob_id(), manifest)
}

#[test]
fn carried_envelopes_are_judged_as_those_of_a_contact() {
    let [first, _] = epochs();
    let (mut lead, mut village) =
        (Hub::new(1, std::slice::from_ref(&first)), Hub::new(2, std::slice::from_ref(&first)));
    (0..3).for_each(|n| lead.write(n));
    let journal = lead.journal();
    assert_eq!(village.carry(envelopes(&journal[1..])).refused, Some(CarryError::Gap));
    assert_eq!(village.carry(envelopes(&journal[..2])), accepted(2));
    assert_eq!(village.carry(envelopes(&journal)), accepted(1));
    assert_eq!(village.carry(envelopes(&journal)), accepted(0));
    let mut edited = journal.clone();
    edited[0][40] ^= 1;
    assert!(matches!(village.carry(envelopes(&edited)).refused, Some(CarryError::Wrong(_))));
    let nonsense = Carried::Envelopes { collection: lessons(), batch: vec![1, 2, 3] };
    assert!(matches!(village.carry(nonsense).refused, Some(CarryError::Wrong(_))));
    assert_eq!(village.journal(), journal);
}

#[test]
fn what_is_wrong_in_a_batch_does_not_undo_what_was_right_before_it() {
    let [first, _] = epochs();
    let (mut lead, mut village) =
        (Hub::new(1, std::slice::from_ref(&first)), Hub::new(2, std::slice::from_ref(&first)));
    (0..2).for_each(|n| lead.write(n));
    let mut journal = lead.journal();
    journal[1].truncate(100);
    let outcome = village.carry(envelopes(&journal));
    assert_eq!(outcome.accepted, 1);
    assert!(matches!(outcome.refused, Some(CarryError::Wrong(_))), "{outcome:?}");
}

#[test]
fn epochs_come_by_courier_in_their_order_and_from_the_registrar_alone() {
    let [first, second] = epochs();
    let bytes = |signed: &SignedEpoch| signed.bytes.clone();
    let mut village = Hub::new(2, std::slice::from_ref(&first));
    let mut lead = Hub::new(1, &[first.clone(), second.clone()]);
    lead.write(0);
    let journal = lead.journal();
    assert_eq!(village.carry(envelopes(&journal)).refused, Some(CarryError::UnknownEpoch));
    let mut later = second.epoch.clone();
    later.n += 1;
    let later = later.sign(&SigningKey::from_bytes(&secret(1)));
    let gap = village.carry(Carried::Epochs(vec![bytes(&later)]));
    assert_eq!(gap.refused, Some(CarryError::Gap));
    let mut stranger = bytes(&second);
    stranger[9] ^= 1;
    let wrong = village.carry(Carried::Epochs(vec![stranger]));
    assert!(matches!(wrong.refused, Some(CarryError::Wrong(_))), "{wrong:?}");
    let both = vec![bytes(&first), bytes(&second)];
    assert_eq!(village.carry(Carried::Epochs(both.clone())), accepted(1));
    assert_eq!(village.carry(Carried::Epochs(both)), accepted(0));
    assert_eq!(village.journal(), journal, "it has waited for its epoch");
    assert_eq!(village.carry(envelopes(&journal)), accepted(0));
}

#[test]
fn what_was_written_under_a_later_membership_waits_for_it_and_is_judged_then() {
    let all = epochs();
    let mut lead = Hub::new(1, &all);
    (0..6).for_each(|n| lead.write(n));
    let journal = lead.journal();
    let mut village = Hub::new(2, &all[..1]);
    let refused = |outcome: Outcome| (outcome.accepted, outcome.refused);
    for batch in [&journal[..2], &journal[2..4]] {
        let unknown = refused(village.carry(envelopes(batch)));
        assert_eq!(unknown, (0, Some(CarryError::UnknownEpoch)));
    }
    assert!(village.envelopes.is_empty());
    village.carry(Carried::Epochs(all.iter().map(|signed| signed.bytes.clone()).collect()));
    assert_eq!(village.journal().len(), 4);
    assert_eq!(village.carry(envelopes(&journal)).accepted, 2, "the rest, from the stick");
}

#[test]
fn a_blob_is_taken_if_a_document_names_it_and_its_pieces_are_right() {
    let mut village = Hub::new(2, &epochs()[..1]);
    let (id, manifest) = blob();
    let carried = || Carried::Blob { blob: id, manifest: manifest.encode() };
    let piece =
        |n: u32, bytes: &[u8]| Carried::Pieces { blob: id, pieces: vec![(n, bytes.into())] };
    assert_eq!(village.carry(carried()).refused, Some(CarryError::NotNamed));
    assert!(matches!(village.carry(piece(0, b"abc")).refused, Some(CarryError::Wrong(_))));
    assert_eq!(village.blobs.len(), 0);
    village.names.push(id);
    let other = Carried::Blob { blob: BlobId([0; 32]), manifest: manifest.encode() };
    assert!(matches!(village.carry(other).refused, Some(CarryError::Wrong(_))));
    assert_eq!(village.carry(carried()).held, [0]);
    assert!(matches!(village.carry(piece(0, b"abX")).refused, Some(CarryError::Wrong(_))));
    assert!(matches!(village.carry(piece(9, b"abc")).refused, Some(CarryError::Wrong(_))));
    assert_eq!(village.carry(piece(0, b"abc")), accepted(1));
    assert_eq!(village.carry(piece(0, b"abc")), accepted(0));
    assert_eq!(village.carry(carried()).held, [1]);
    let last = village.carry(piece(1, b"de"));
    assert_eq!((last.accepted, last.is_whole), (1, true));
    assert!(village.carry(carried()).is_whole);
    assert_eq!(village.blobs[&id].1, [0, 1]);
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_half_done() {
    let [first, _] = epochs();
    let mut lead = Hub::new(1, std::slice::from_ref(&first));
    lead.write(0);
    let mut village = Hub::new(2, std::slice::from_ref(&first));
    let (id, manifest) = blob();
    village.names.push(id);
    village.is_full = true;
    let full = Some(CarryError::Store(StoreError::NoSpace));
    assert_eq!(village.carry(envelopes(&lead.journal())).refused, full);
    let carried = || Carried::Blob { blob: id, manifest: manifest.encode() };
    assert_eq!(village.carry(carried()).refused, full);
    village.is_full = false;
    assert_eq!(village.carry(envelopes(&lead.journal())), accepted(1));
    assert_eq!(village.carry(carried()).held, [0]);
}

#[test]
fn a_hub_without_an_alliance_takes_nothing() {
    let mut alone = Hub::new(2, &[]);
    assert_eq!(alone.carry(Carried::Epochs(vec![])).refused, Some(CarryError::NoAlliance));
    assert!(alone.node.courier_view().is_none());
}
