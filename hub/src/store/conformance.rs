//! What every store has to do: one suite over the operations, run on any that can be opened again.

use ed25519_dalek::SigningKey;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::doc::{self, Doc};
use yingxue_sync_core::event::{
    DocEdit, DocValue, EnvelopeRecord, InvitationRecord, Restored, StoreError, StoreOp, StoreValue,
};
use yingxue_sync_core::id::{AllianceId, BlobId, CollectionId, DocId, Hash, HubId};
use yingxue_sync_core::journal::Envelope;

/// A store under test.
pub(super) trait Executor {
    /// Carries out one operation and waits for its answer.
    fn carry_out(&mut self, op: StoreOp) -> Result<StoreValue, StoreError>;
    /// Reads what a node would be given at start.
    fn restore(&self) -> Restored;
    /// Loses everything that is not durable, and opens the store again.
    fn reopened(self) -> Self;
}

/// Runs every check, each on a fresh store.
pub(super) fn check_all<S: Executor>(fresh: impl Fn() -> S) {
    an_empty_store_restores_nothing(fresh());
    epochs_and_invitations_come_back(fresh());
    epochs_that_begin_anew_replace_the_old_ones(fresh());
    journals_come_back_with_their_heads(fresh());
    envelopes_that_are_there_already_are_left_alone(fresh());
    a_read_gives_at_least_one_envelope_and_then_stops(fresh());
    a_document_has_what_was_applied_and_the_rest_is_pending(fresh());
    pieces_come_back_and_others_are_missing(fresh());
    a_blob_that_is_reserved_again_keeps_its_pieces(fresh());
    what_is_not_there_is_said_to_be_missing(fresh());
}

fn an_empty_store_restores_nothing<S: Executor>(store: S) {
    let restored = store.restore();
    assert!(restored.epochs.is_empty() && restored.heads.is_empty());
    assert!(restored.fingerprints.is_empty() && restored.unapplied.is_empty());
}

fn epochs_and_invitations_come_back<S: Executor>(mut store: S) {
    let secret_hash = Hash([3; 32]);
    let invitation = InvitationRecord { secret_hash, expires_wall_ms: 7, used_by: None };
    done(store.carry_out(StoreOp::PutInvitation(invitation)));
    for n in 0..3 {
        let used_invitation = (n == 2).then_some((secret_hash, HubId([9; 32])));
        done(store.carry_out(StoreOp::PutEpoch { n, bytes: vec![n as u8], used_invitation }));
    }
    let restored = store.reopened().restore();
    assert_eq!(restored.epochs, [vec![0], vec![1], vec![2]]);
    let used_by = Some(HubId([9; 32]));
    let used = InvitationRecord { secret_hash, expires_wall_ms: 7, used_by };
    assert_eq!(restored.invitations, [used]);
}

fn epochs_that_begin_anew_replace_the_old_ones<S: Executor>(mut store: S) {
    let put = |store: &mut S, n, byte: u8| {
        done(store.carry_out(StoreOp::PutEpoch { n, bytes: vec![byte], used_invitation: None }));
    };
    (0..3).for_each(|n| put(&mut store, n, n as u8));
    put(&mut store, 2, 2);
    assert_eq!(store.restore().epochs, [vec![0], vec![1], vec![2]]);
    put(&mut store, 0, 10);
    assert_eq!(store.restore().epochs, [vec![10]]);
    put(&mut store, 1, 11);
    put(&mut store, 1, 12);
    assert_eq!(store.reopened().restore().epochs, [vec![10], vec![12]]);
}

fn journals_come_back_with_their_heads<S: Executor>(mut store: S) {
    let envelopes: Vec<_> = (1..=3).map(|seq| envelope(1, seq, 1)).collect();
    done(store.carry_out(append(&envelopes, [5; 16])));
    done(store.carry_out(append(&[envelope(2, 1, 1)], [6; 16])));
    let restored = store.reopened().restore();
    assert_eq!(restored.fingerprints, [(lessons(), [6; 16])]);
    let head = restored.heads.iter().find(|head| head.author == envelopes[0].author).unwrap();
    assert_eq!((head.seq, head.hash, head.epoch), (3, envelopes[2].hash, 4));
    assert_eq!(restored.heads.len(), 2);
    assert_eq!(restored.unapplied, [(lessons(), DocId([1; 16]))]);
}

fn envelopes_that_are_there_already_are_left_alone<S: Executor>(mut store: S) {
    let first = envelope(1, 1, 1);
    done(store.carry_out(append(std::slice::from_ref(&first), [1; 16])));
    let other = EnvelopeRecord { bytes: vec![0; 70], hash: Hash([0; 32]), ..first.clone() };
    done(store.carry_out(append(&[other, envelope(1, 2, 1)], [2; 16])));
    assert_eq!(journal(&mut store, &first.author, 1, usize::MAX).first(), Some(&first.bytes));
    assert_eq!(store.restore().heads[0].seq, 2);
}

fn a_read_gives_at_least_one_envelope_and_then_stops<S: Executor>(mut store: S) {
    let envelopes: Vec<_> = (1..=4).map(|seq| envelope(1, seq, 1)).collect();
    done(store.carry_out(append(&envelopes, [1; 16])));
    let author = envelopes[0].author;
    assert_eq!(journal(&mut store, &author, 2, 0), [envelopes[1].bytes.clone()]);
    let two = envelopes[1].bytes.len() + 1;
    assert_eq!(journal(&mut store, &author, 2, two).len(), 2);
    assert_eq!(journal(&mut store, &author, 5, 1), Vec::<Vec<u8>>::new());
}

fn a_document_has_what_was_applied_and_the_rest_is_pending<S: Executor>(mut store: S) {
    let envelopes: Vec<_> = (1..=3).map(|seq| envelope(1, seq, 1)).collect();
    done(store.carry_out(append(&envelopes, [1; 16])));
    let collection = lessons();
    let applied = vec![(envelopes[0].author, 1), (envelopes[0].author, 3)];
    let doc = DocId([1; 16]);
    let snapshot = Doc::load(None).unwrap().save();
    let save = StoreOp::SaveDoc { collection, doc, snapshot: snapshot.clone(), applied };
    done(store.carry_out(save));
    let mut store = store.reopened();
    let loaded = store.carry_out(StoreOp::LoadDoc { collection: lessons(), doc });
    let Ok(StoreValue::Doc { snapshot: saved, pending }) = loaded else { panic!("{loaded:?}") };
    assert_eq!(saved, Some(snapshot));
    assert_eq!(pending, [envelopes[1].bytes.clone()]);
    assert_eq!(store.restore().unapplied, [(lessons(), doc)]);
}

fn pieces_come_back_and_others_are_missing<S: Executor>(mut store: S) {
    let (blob, manifest) = reserved(&mut store);
    let pieces = vec![(2, b"fgh".to_vec()), (0, b"ab".to_vec())];
    done(store.carry_out(StoreOp::WritePieces { blob, pieces }));
    let mut store = store.reopened();
    let loaded = load(&mut store, blob);
    assert_eq!((loaded.manifest, loaded.bitmap), (Some(manifest), vec![0b101]));
    let read = |store: &mut S, piece| store.carry_out(StoreOp::ReadPiece { blob, piece });
    assert!(matches!(read(&mut store, 2), Ok(StoreValue::Piece(bytes)) if bytes == b"fgh"));
    assert_eq!(read(&mut store, 1).unwrap_err(), StoreError::Missing);
    assert_eq!(read(&mut store, 9).unwrap_err(), StoreError::Missing);
    done(store.carry_out(StoreOp::WritePieces { blob, pieces: vec![(1, b"cde".to_vec())] }));
    assert_eq!(load(&mut store, blob).bitmap, [0b111]);
}

fn a_blob_that_is_reserved_again_keeps_its_pieces<S: Executor>(mut store: S) {
    let (blob, _) = reserved(&mut store);
    done(store.carry_out(StoreOp::WritePieces { blob, pieces: vec![(0, b"ab".to_vec())] }));
    reserved(&mut store);
    assert_eq!(load(&mut store, blob).bitmap, [1]);
    let piece = store.carry_out(StoreOp::ReadPiece { blob, piece: 0 });
    assert!(matches!(piece, Ok(StoreValue::Piece(bytes)) if bytes == b"ab"));
}

fn what_is_not_there_is_said_to_be_missing<S: Executor>(mut store: S) {
    let blob = BlobId([7; 32]);
    let loaded = load(&mut store, blob);
    assert!(loaded.manifest.is_none() && loaded.bitmap.is_empty());
    let read = store.carry_out(StoreOp::ReadPiece { blob, piece: 0 });
    assert_eq!(read.unwrap_err(), StoreError::Missing);
    let write = StoreOp::WritePieces { blob, pieces: vec![(0, vec![1])] };
    assert_eq!(store.carry_out(write).unwrap_err(), StoreError::Missing);
    let doc = store.carry_out(StoreOp::LoadDoc { collection: lessons(), doc: DocId([1; 16]) });
    let Ok(StoreValue::Doc { snapshot: None, pending }) = doc else { panic!("{doc:?}") };
    assert!(pending.is_empty());
}

fn done(result: Result<StoreValue, StoreError>) {
    assert!(matches!(result, Ok(StoreValue::Done)), "{result:?}");
}

fn lessons() -> CollectionId {
    CollectionId("lessons".to_owned())
}

fn append(envelopes: &[EnvelopeRecord], fingerprint: [u8; 16]) -> StoreOp {
    StoreOp::AppendEnvelopes { envelopes: envelopes.to_vec(), fingerprint }
}

fn journal<S: Executor>(
    store: &mut S,
    author: &HubId,
    from_seq: u64,
    bytes_max: usize,
) -> Vec<Vec<u8>> {
    let collection = lessons();
    let read = StoreOp::ReadEnvelopes { collection, author: *author, from_seq, bytes_max };
    match store.carry_out(read) {
        Ok(StoreValue::Envelopes(envelopes)) => envelopes,
        other => panic!("{other:?}"),
    }
}

fn load<S: Executor>(store: &mut S, blob: BlobId) -> yingxue_sync_core::event::StoredBlob {
    match store.carry_out(StoreOp::LoadBlob { blob }) {
        Ok(StoreValue::Blob(blob)) => blob,
        other => panic!("{other:?}"),
    }
}

fn reserved<S: Executor>(store: &mut S) -> (BlobId, Vec<u8>) {
    let manifest = Manifest::of(&[2, 3, 3], b"abcdefgh", vec![1]).unwrap();
    let (blob, manifest) = (manifest.blob_id(), manifest.encode());
    done(store.carry_out(StoreOp::ReserveBlob { blob, manifest: manifest.clone() }));
    (blob, manifest)
}

/// Makes an envelope that is well signed, citing epoch 4.
fn envelope(key: u8, seq: u64, doc: u8) -> EnvelopeRecord {
    let key = SigningKey::from_bytes(&[key; 32]);
    let author = HubId(key.verifying_key().to_bytes());
    let nonce = [1; 16];
    let edit = DocEdit::Put { path: vec!["a".to_owned()], value: DocValue::Int(seq as i64) };
    let actor = doc::actor_of(&author, &nonce);
    let change = Doc::load(None).unwrap().edit(actor, 0, &[edit]).unwrap().unwrap();
    let changes = vec![change];
    let envelope = Envelope {
        alliance: AllianceId([1; 32]),
        author,
        seq,
        prev_hash: Hash([0; 32]),
        epoch: 4,
        collection: lessons(),
        doc: DocId([doc; 16]),
        written_at_wall_ms: 1,
        person: "p".to_owned(),
        nonces: vec![nonce],
        payload: Envelope::pack(&changes),
    };
    envelope.sign(changes, &key).record()
}
