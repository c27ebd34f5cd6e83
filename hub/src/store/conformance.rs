//! What every store has to do: one suite over the operations, run on any that can be opened again.

use ed25519_dalek::SigningKey;
use yingxue_sync_core::blob::Manifest;
use yingxue_sync_core::doc::{self, Doc};
use yingxue_sync_core::event::{
    DocEdit, DocValue, EnvelopeRecord, InvitationRecord, Restored, StoreError, StoreOp, StoreValue,
};
use yingxue_sync_core::id::{AllianceId, BlobId, CollectionId, DocId, Hash, HubId};
use yingxue_sync_core::journal::Envelope;
use yingxue_sync_core::witness::{SLOT_CONTRADICTED, Statement, StatementRecord};

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
    a_cut_journal_is_shorter_and_what_is_cut_off_is_kept(fresh());
    what_was_set_aside_is_taken_back(fresh());
    evidence_and_doubt_come_back(fresh());
    a_hole_is_filled_and_what_is_damaged_replaced(fresh());
    of_statements_the_farthest_of_each_slot_is_kept(fresh());
}

fn of_statements_the_farthest_of_each_slot_is_kept<S: Executor>(mut store: S) {
    let key = SigningKey::from_bytes(&[3; 32]);
    let record = |author: u8, seq: u64, slot: i64| {
        let statement = Statement {
            alliance: AllianceId([1; 32]),
            collection: lessons(),
            author: HubId([author; 32]),
            seq,
            hash: Hash([seq as u8; 32]),
            witness: HubId(key.verifying_key().to_bytes()),
            number: seq,
            witnessed_at_wall_ms: 7,
        };
        let signed = statement.sign(&key);
        let (statement, bytes) = (signed.statement, signed.bytes);
        StatementRecord { statement, slot, received_at_wall_ms: 1_000 + seq, bytes }
    };
    let statements = vec![record(1, 5, 0), record(1, 4, 0), record(2, 6, 20), record(2, 7, 21)];
    done(store.carry_out(StoreOp::PutStatements { statements }));
    done(store.carry_out(StoreOp::PutStatements { statements: vec![record(1, 8, 0)] }));
    let keep = |author: u8, seq: u64| StoreOp::KeepContradicted {
        collection: lessons(),
        author: HubId([author; 32]),
        witness: HubId(key.verifying_key().to_bytes()),
        seq,
        slot: SLOT_CONTRADICTED,
    };
    done(store.carry_out(keep(1, 8)));
    done(store.carry_out(keep(1, 3)));
    let restored = store.reopened().restore().statements;
    let found: Vec<(u64, bool)> =
        restored.iter().map(|it| (it.received_at_wall_ms, it.is_contradicted)).collect();
    for wanted in [(1_008, true), (1_008, false), (1_007, false)] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert!(!found.contains(&(1_005, false)) && !found.contains(&(1_004, false)), "{found:?}");
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

fn a_cut_journal_is_shorter_and_what_is_cut_off_is_kept<S: Executor>(mut store: S) {
    // Two authors in one document, and one of them alone in another.
    let bad: Vec<_> = (1..=4).map(|seq| envelope(1, seq, if seq == 4 { 2 } else { 1 })).collect();
    let good = envelope(2, 1, 1);
    done(store.carry_out(append(&bad, [1; 16])));
    done(store.carry_out(append(std::slice::from_ref(&good), [2; 16])));
    for doc in [1, 2] {
        let applied = (1..=4).map(|seq| (bad[0].author, seq)).chain([(good.author, 1)]).collect();
        let snapshot = Doc::load(None).unwrap().save();
        let (collection, doc) = (lessons(), DocId([doc; 16]));
        done(store.carry_out(StoreOp::SaveDoc { collection, doc, snapshot, applied }));
    }
    let cuts = vec![(bad[0].author, 2)];
    let unmade = store.carry_out(rejudge(cuts, vec![], [3; 16]));
    let Ok(StoreValue::Docs(docs)) = unmade else { panic!("{unmade:?}") };
    assert_eq!(docs, [DocId([1; 16]), DocId([2; 16])]);
    let mut store = store.reopened();
    assert_eq!(journal(&mut store, &bad[0].author, 1, usize::MAX).len(), 2);
    let restored = store.restore();
    let head = restored.heads.iter().find(|head| head.author == bad[0].author).unwrap();
    assert_eq!((head.seq, head.hash), (2, bad[1].hash));
    assert_eq!(restored.fingerprints, [(lessons(), [3; 16])]);
    assert_eq!(restored.unapplied, [(lessons(), DocId([1; 16]))], "to be made again");
    let aside: Vec<_> = [1, 2].map(|doc| (lessons(), DocId([doc; 16]))).into();
    assert_eq!(restored.aside, aside);
    let doc = DocId([1; 16]);
    let loaded = store.carry_out(StoreOp::LoadDoc { collection: lessons(), doc });
    let Ok(StoreValue::Doc { snapshot: None, pending }) = loaded else { panic!("{loaded:?}") };
    assert_eq!(pending, [&bad[0], &bad[1], &good].map(|it| it.bytes.clone()));
    let (kept, aside) = disputed(&mut store, vec![(bad[0].author, 2)]);
    assert_eq!(kept, [&bad[0], &bad[1], &good].map(|it| it.bytes.clone()));
    assert_eq!(aside, [&bad[2], &bad[3]].map(|it| it.bytes.clone()));
    let none = vec![(bad[0].author, 0)];
    assert!(store.carry_out(rejudge(none, vec![], [4; 16])).is_ok());
    assert_eq!(store.restore().heads.len(), 1, "a journal without entries has no head");
}

fn what_was_set_aside_is_taken_back<S: Executor>(mut store: S) {
    let entries: Vec<_> = (1..=3).map(|seq| envelope(1, seq, 1)).collect();
    done(store.carry_out(append(&entries[..1], [1; 16])));
    for _ in 0..2 {
        done(store.carry_out(StoreOp::SetAside { envelopes: entries[1..].to_vec() }));
    }
    let back = store.carry_out(rejudge(vec![], vec![entries[1].clone()], [2; 16]));
    assert!(matches!(&back, Ok(StoreValue::Docs(docs)) if *docs == [DocId([1; 16])]), "{back:?}");
    let mut store = store.reopened();
    assert_eq!(journal(&mut store, &entries[0].author, 2, 0), [entries[1].bytes.clone()]);
    assert_eq!(store.restore().heads[0].seq, 2);
    assert_eq!(disputed(&mut store, vec![]).1, [entries[2].bytes.clone()]);
    let listed =
        store.carry_out(StoreOp::ListEnvelopes { collection: lessons(), is_verified: true });
    let Ok(StoreValue::Places(places)) = listed else { panic!("{listed:?}") };
    let all = entries[..2].iter().map(|it| (it.author, it.seq, it.hash));
    assert_eq!(places, all.collect::<Vec<_>>());
    let places = vec![(entries[0].author, 2), (entries[0].author, 9)];
    let read = store.carry_out(StoreOp::ReadPlaces { collection: lessons(), places });
    let Ok(StoreValue::Envelopes(read)) = read else { panic!("{read:?}") };
    assert_eq!(read, [entries[1].bytes.clone()]);
}

fn a_hole_is_filled_and_what_is_damaged_replaced<S: Executor>(mut store: S) {
    let right: Vec<_> = (1..=3).map(|seq| envelope(1, seq, 1)).collect();
    let damaged = EnvelopeRecord { bytes: vec![0; 70], ..right[1].clone() };
    let held = [right[0].clone(), damaged, right[2].clone()];
    done(store.carry_out(append(&held, [1; 16])));
    let list = |store: &mut S| {
        let op = StoreOp::ListEnvelopes { collection: lessons(), is_verified: true };
        match store.carry_out(op) {
            Ok(StoreValue::Places(places)) => places.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(&mut store), 2);
    let envelopes = vec![right[1].clone()];
    let mend = StoreOp::Mend { collection: lessons(), envelopes, fingerprint: [2; 16] };
    done(store.carry_out(mend));
    let mut store = store.reopened();
    assert_eq!(list(&mut store), 3);
    let bytes: Vec<_> = right.iter().map(|it| it.bytes.clone()).collect();
    assert_eq!(journal(&mut store, &right[0].author, 1, usize::MAX), bytes);
    assert_eq!(store.restore().fingerprints, [(lessons(), [2; 16])]);
}

fn evidence_and_doubt_come_back<S: Executor>(mut store: S) {
    assert!(!store.restore().has_epochs_aside && !store.restore().is_in_doubt);
    done(store.carry_out(StoreOp::SetEpochAside { n: 3, bytes: vec![7] }));
    done(store.carry_out(StoreOp::PutDoubt { is_in_doubt: true }));
    let mut store = store.reopened();
    assert!(store.restore().has_epochs_aside && store.restore().is_in_doubt);
    done(store.carry_out(StoreOp::PutDoubt { is_in_doubt: false }));
    assert!(!store.reopened().restore().is_in_doubt);
}

fn rejudge(
    cuts: Vec<(HubId, u64)>,
    accepted: Vec<EnvelopeRecord>,
    fingerprint: [u8; 16],
) -> StoreOp {
    StoreOp::Rejudge { collection: lessons(), cuts, accepted, fingerprint }
}

fn disputed<S: Executor>(store: &mut S, tails: Vec<(HubId, u64)>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    match store.carry_out(StoreOp::ReadDisputed { collection: lessons(), tails }) {
        Ok(StoreValue::Disputed { kept, aside }) => (kept, aside),
        other => panic!("{other:?}"),
    }
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
