//! Documents: Automerge behind a small door. Edits in, raw changes out; snapshots in and out.
//!
//! Actor ids are not random here: each is the hash of the hub's key and a nonce, so that
//! a change by a foreign actor is recognised (DESIGN §5).

use std::collections::BTreeMap;

use automerge::transaction::Transactable;
use automerge::{
    ActorId, AutoCommit, Change, ObjId, ObjType, ROOT, ReadDoc, SaveOptions, ScalarValue, Value,
};

use crate::event::{DocEdit, DocValue};
use crate::id::HubId;

/// Deepest nesting of maps and lists, so that reading cannot exhaust the stack.
pub const DEPTH_MAX: usize = 32;
/// Longest text or byte string of one value: fits one envelope with room to spare.
pub const VALUE_BYTES_MAX: usize = 128 << 10;
/// Most edits of one command: a form of a hundred fields and to spare.
pub const EDITS_MAX: usize = 1_000;
/// Most rounds in which changes that wait are tried, where one does not fit: journals come in
/// order, so that few wait for one another.
const PASSES_MAX: usize = 16;
/// Most changes in a document; the hub rolls over by week or term long before.
pub const CHANGES_MAX: usize = 50_000;

/// Says why a document could not be read or changed; it is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocError {
    /// The bytes are no document or no changes.
    #[error("damaged document: {0}")]
    Damaged(String),
    /// The edit does not fit the document.
    #[error("{0}")]
    Edit(String),
    /// A bound is not kept.
    #[error("{what}: at most {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

/// Gives the Automerge actor that a hub may use, for a nonce of its choice.
pub fn actor_of(hub: &HubId, nonce: &[u8; 16]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("yingxue actor 1");
    hasher.update(hub.as_bytes()).update(nonce);
    let mut actor = [0; 16];
    actor.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    actor
}

/// One document in memory.
pub struct Doc {
    inner: AutoCommit,
}

impl Doc {
    /// Makes an empty document, or reads a saved one.
    ///
    /// # Errors
    /// [`DocError::Damaged`] if the bytes are no document.
    pub fn load(snapshot: Option<&[u8]>) -> Result<Self, DocError> {
        let inner = match snapshot {
            Some(bytes) => guarded(|| AutoCommit::load(bytes).map_err(damaged))?,
            None => AutoCommit::new(),
        };
        Ok(Self { inner })
    }

    /// Makes edits as `actor` and gives the raw change, or none if nothing changed.
    ///
    /// # Errors
    /// If an edit does not fit; then the document is as it was.
    pub fn edit(
        &mut self,
        actor: [u8; 16],
        wall_ms: u64,
        edits: &[DocEdit],
    ) -> Result<Option<Vec<u8>>, DocError> {
        if edits.len() > EDITS_MAX {
            return Err(DocError::TooMuch { what: "edits", max: EDITS_MAX });
        }
        self.inner.set_actor(ActorId::from(actor));
        for edit in edits {
            if let Err(error) = self.apply(edit) {
                self.inner.rollback();
                return Err(error);
            }
        }
        let time_s = i64::try_from(wall_ms / 1000).unwrap_or(0);
        let options = automerge::transaction::CommitOptions::default().with_time(time_s);
        let committed = self.inner.commit_with(options);
        let Some(hash) = committed else { return Ok(None) };
        let change = self.inner.get_change_by_hash(&hash);
        Ok(change.map(|change| change.raw_bytes().to_vec()))
    }

    /// Makes or reads a document and applies groups of raw changes, in any order; those whose
    /// dependencies are missing wait inside. A group that does not fit is left out, and why is told
    /// with its place; the place of one that was saved while it waited is past the end.
    ///
    /// # Errors
    /// [`DocError::Damaged`] if the snapshot is no document.
    pub fn load_with(
        snapshot: Option<&[u8]>,
        groups: &[Vec<Vec<u8>>],
    ) -> Result<(Self, Vec<(usize, DocError)>), DocError> {
        let mut doc = Self::load(snapshot)?;
        if groups.iter().all(|group| doc.apply_changes(group).is_ok()) {
            return Ok((doc, Vec::new()));
        }
        // What a failure leaves behind is not known: once more, each group on a copy, which is too
        // slow for the thousands that come after a term apart. What waits for others is kept apart,
        // so that a change which Automerge cannot apply does not take along what it waited for.
        let (mut doc, orphans) = Self::load(snapshot)?.without_waiting()?;
        let mut waiting: Vec<(Option<usize>, Vec<Vec<u8>>)> =
            orphans.into_iter().map(|orphan| (None, vec![orphan])).collect();
        waiting.extend(groups.iter().enumerate().map(|(at, group)| (Some(at), group.clone())));
        let mut unfit = Vec::new();
        for _ in 0..PASSES_MAX {
            let before = waiting.len();
            let mut still = Vec::new();
            for (place, group) in waiting {
                let mut copy = Self { inner: doc.inner.clone() };
                match copy.apply_changes(&group) {
                    Ok(()) if copy.is_waiting() => still.push((place, group)),
                    Ok(()) => doc = copy,
                    Err(error) => unfit.push((place.unwrap_or(groups.len()), error)),
                }
            }
            waiting = still;
            if waiting.len() == before {
                break;
            }
        }
        // These wait on: alone they do no harm.
        for (place, group) in waiting {
            let mut copy = Self { inner: doc.inner.clone() };
            match copy.apply_changes(&group) {
                Ok(()) => doc = copy,
                Err(error) => unfit.push((place.unwrap_or(groups.len()), error)),
            }
        }
        unfit.sort_by_key(|(place, _)| *place);
        Ok((doc, unfit))
    }

    /// Says whether changes wait for others.
    fn is_waiting(&mut self) -> bool {
        !self.inner.get_missing_deps(&[]).is_empty()
    }

    /// Parts a document from the changes that wait for others.
    fn without_waiting(mut self) -> Result<(Self, Vec<Vec<u8>>), DocError> {
        let whole = self.inner.save();
        let options = SaveOptions { retain_orphans: false, ..SaveOptions::default() };
        let applied = self.inner.save_with_options(options);
        // Automerge writes them behind the document, one chunk each.
        let orphans = chunks(whole.get(applied.len()..).unwrap_or_default());
        Ok((Self::load(Some(&applied))?, orphans))
    }

    /// Applies a group of changes; after an error the document is to be dropped.
    fn apply_changes(&mut self, changes: &[Vec<u8>]) -> Result<(), DocError> {
        guarded(|| {
            let decoded: Result<Vec<Change>, _> =
                changes.iter().map(|bytes| Change::from_bytes(bytes.clone())).collect();
            self.inner.apply_changes(decoded.map_err(damaged)?).map_err(damaged)
        })
    }

    /// Gives the document as bytes, with changes that wait for others.
    pub fn save(&mut self) -> Vec<u8> {
        self.inner.save()
    }

    fn apply(&mut self, edit: &DocEdit) -> Result<(), DocError> {
        let path = match edit {
            DocEdit::Put { path, .. } | DocEdit::Delete { path } => path,
        };
        let Some((key, parents)) = path.split_last() else {
            return Err(DocError::Edit("a path needs at least one key".into()));
        };
        if parents.len() >= DEPTH_MAX {
            return Err(DocError::TooMuch { what: "keys in a path", max: DEPTH_MAX });
        }
        let mut parent = ROOT;
        for name in parents {
            parent = match self.inner.get(&parent, name.as_str()).map_err(refused)? {
                Some((Value::Object(ObjType::Map), id)) => id,
                Some(_) => return Err(DocError::Edit(format!("{name} is not a map"))),
                None if matches!(edit, DocEdit::Delete { .. }) => return Ok(()),
                None => {
                    self.inner.put_object(&parent, name.as_str(), ObjType::Map).map_err(refused)?
                }
            };
        }
        match edit {
            DocEdit::Put { value, .. } => self.put(&parent, Slot::Key(key), value, parents.len()),
            DocEdit::Delete { .. } => {
                if self.inner.get(&parent, key.as_str()).map_err(refused)?.is_some() {
                    self.inner.delete(&parent, key.as_str()).map_err(refused)?;
                }
                Ok(())
            }
        }
    }

    fn put(
        &mut self,
        parent: &ObjId,
        slot: Slot<'_>,
        value: &DocValue,
        depth: usize,
    ) -> Result<(), DocError> {
        if depth >= DEPTH_MAX {
            return Err(DocError::TooMuch { what: "levels of nesting", max: DEPTH_MAX });
        }
        match value {
            DocValue::Map(entries) => {
                let id = self.put_object(parent, slot, ObjType::Map)?;
                entries.iter().try_for_each(|(k, v)| self.put(&id, Slot::Key(k), v, depth + 1))
            }
            DocValue::List(items) => {
                let id = self.put_object(parent, slot, ObjType::List)?;
                let mut indexed = items.iter().enumerate();
                indexed.try_for_each(|(i, v)| self.put(&id, Slot::Index(i), v, depth + 1))
            }
            scalar => {
                let scalar = scalar_of(scalar)?;
                match slot {
                    Slot::Key(key) => self.inner.put(parent, key, scalar).map_err(refused),
                    Slot::Index(i) => self.inner.insert(parent, i, scalar).map_err(refused),
                }
            }
        }
    }

    fn put_object(
        &mut self,
        parent: &ObjId,
        slot: Slot<'_>,
        kind: ObjType,
    ) -> Result<ObjId, DocError> {
        match slot {
            Slot::Key(key) => self.inner.put_object(parent, key, kind).map_err(refused),
            Slot::Index(i) => self.inner.insert_object(parent, i, kind).map_err(refused),
        }
    }
}

/// Where a value goes: under a key of a map, or into a list.
enum Slot<'a> {
    Key(&'a str),
    Index(usize),
}

/// Reads a saved document as one value, a map.
///
/// Where two hubs put a key apart, the value is the one that Automerge shows everywhere alike.
///
/// # Errors
/// [`DocError::Damaged`] if the bytes are no document or nest deeper than [`DEPTH_MAX`].
pub fn read(snapshot: &[u8]) -> Result<DocValue, DocError> {
    guarded(|| {
        let doc = AutoCommit::load(snapshot).map_err(damaged)?;
        read_object(&doc, &ROOT, ObjType::Map, 0)
    })
}

/// Says by which actors changes were made, and checks that each decodes.
///
/// # Errors
/// [`DocError::Damaged`] if a change does not decode.
pub fn actors_of(changes: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, DocError> {
    let actor = |bytes: &Vec<u8>| {
        let change = Change::from_bytes(bytes.clone()).map_err(damaged)?;
        // Automerge does not look at it here, but where a document is loaded in which it waits.
        if bytes.get(4..8) != Some(&change.hash().0[..4]) {
            return Err(DocError::Damaged("bad checksum".into()));
        }
        Ok(change.actor_id().to_bytes().to_vec())
    };
    guarded(|| changes.iter().map(actor).collect())
}

/// A change's hash, and the hashes of those that it builds on.
pub type Link = ([u8; 32], Vec<[u8; 32]>);

/// Says what each change is called and what it builds on.
///
/// # Errors
/// [`DocError::Damaged`] if a change does not decode.
pub fn links_of(changes: &[Vec<u8>]) -> Result<Vec<Link>, DocError> {
    let link = |bytes: &Vec<u8>| {
        let change = Change::from_bytes(bytes.clone()).map_err(damaged)?;
        Ok((change.hash().0, change.deps().iter().map(|dep| dep.0).collect()))
    };
    guarded(|| changes.iter().map(link).collect())
}

/// Cuts Automerge's chunks apart: magic, checksum, kind, length (LEB128), content.
fn chunks(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    const HEAD_BYTES: usize = 9;
    let mut chunks = Vec::new();
    while bytes.len() > HEAD_BYTES {
        let mut length = 0_usize;
        let mut at = HEAD_BYTES;
        while let Some(&byte) = bytes.get(at) {
            let shift = 7 * (at - HEAD_BYTES);
            if shift >= 32 {
                return chunks;
            }
            length |= usize::from(byte & 0x7f) << shift;
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let Some(chunk) = bytes.get(..at + length) else { break };
        chunks.push(chunk.to_vec());
        bytes = &bytes[at + length..];
    }
    chunks
}

/// Runs what reads bytes of other hubs. Automerge 0.12 panics on some changes that decode, such as
/// one that names an actor without a change of its own; a member that sends one must not stop
/// every hub of its alliance.
fn guarded<T>(read: impl FnOnce() -> Result<T, DocError>) -> Result<T, DocError> {
    // What `read` was changing when it panicked is dropped by every caller.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(DocError::Damaged("Automerge cannot read it".into())))
}

fn read_object(
    doc: &AutoCommit,
    id: &ObjId,
    kind: ObjType,
    depth: usize,
) -> Result<DocValue, DocError> {
    if depth >= DEPTH_MAX {
        return Err(DocError::Damaged("nested too deeply".into()));
    }
    match kind {
        ObjType::Map | ObjType::Table => {
            let mut entries = BTreeMap::new();
            for key in doc.keys(id) {
                if let Some((value, child)) = doc.get(id, key.as_str()).map_err(damaged)? {
                    entries.insert(key, read_value(doc, value, &child, depth)?);
                }
            }
            Ok(DocValue::Map(entries))
        }
        ObjType::List => {
            let mut items = Vec::new();
            for i in 0..doc.length(id) {
                if let Some((value, child)) = doc.get(id, i).map_err(damaged)? {
                    items.push(read_value(doc, value, &child, depth)?);
                }
            }
            Ok(DocValue::List(items))
        }
        ObjType::Text => Ok(DocValue::Str(doc.text(id).map_err(damaged)?)),
    }
}

fn read_value(
    doc: &AutoCommit,
    value: Value<'_>,
    child: &ObjId,
    depth: usize,
) -> Result<DocValue, DocError> {
    match value {
        Value::Object(kind) => read_object(doc, child, kind, depth + 1),
        Value::Scalar(scalar) => Ok(match scalar.as_ref() {
            ScalarValue::Bytes(bytes) => DocValue::Bytes(bytes.clone()),
            ScalarValue::Str(text) => DocValue::Str(text.to_string()),
            ScalarValue::Int(n) | ScalarValue::Timestamp(n) => DocValue::Int(*n),
            ScalarValue::Uint(n) => DocValue::Int(i64::try_from(*n).unwrap_or(i64::MAX)),
            ScalarValue::Boolean(is) => DocValue::Bool(*is),
            _ => DocValue::Null,
        }),
    }
}

fn scalar_of(value: &DocValue) -> Result<ScalarValue, DocError> {
    let too_long = DocError::TooMuch { what: "bytes in a value", max: VALUE_BYTES_MAX };
    match value {
        DocValue::Str(text) if text.len() > VALUE_BYTES_MAX => Err(too_long),
        DocValue::Bytes(bytes) if bytes.len() > VALUE_BYTES_MAX => Err(too_long),
        DocValue::Bool(is) => Ok(ScalarValue::Boolean(*is)),
        DocValue::Int(n) => Ok(ScalarValue::Int(*n)),
        DocValue::Str(text) => Ok(ScalarValue::Str(text.as_str().into())),
        DocValue::Bytes(bytes) => Ok(ScalarValue::Bytes(bytes.clone())),
        DocValue::Null | DocValue::Map(_) | DocValue::List(_) => Ok(ScalarValue::Null),
    }
}

fn damaged(error: impl std::fmt::Display) -> DocError {
    DocError::Damaged(error.to_string())
}

fn refused(error: automerge::AutomergeError) -> DocError {
    DocError::Edit(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &[&str], value: DocValue) -> DocEdit {
        DocEdit::Put { path: path.iter().map(ToString::to_string).collect(), value }
    }

    #[test]
    fn two_people_who_write_apart_both_find_their_words() {
        let (mut a, mut b) = (Doc::load(None).unwrap(), Doc::load(None).unwrap());
        let one =
            a.edit([1; 16], 0, &[put(&["c:1"], DocValue::Str("甲".into()))]).unwrap().unwrap();
        let two =
            b.edit([2; 16], 0, &[put(&["c:2"], DocValue::Str("乙".into()))]).unwrap().unwrap();
        a.apply_changes(&[two]).unwrap();
        b.apply_changes(&[one]).unwrap();
        let (a, b) = (read(&a.save()).unwrap(), read(&b.save()).unwrap());
        assert_eq!(a, b);
        let DocValue::Map(entries) = a else { panic!("a document is a map") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_edit_that_does_not_fit_leaves_the_document_as_it_was() {
        let mut doc = Doc::load(None).unwrap();
        doc.edit([1; 16], 0, &[put(&["title"], DocValue::Int(1))]).unwrap();
        let before = doc.save();
        let edits = [put(&["x"], DocValue::Null), put(&["title", "y"], DocValue::Null)];
        assert!(doc.edit([1; 16], 0, &edits).is_err());
        assert_eq!(doc.save(), before);
        assert_eq!(doc.edit([1; 16], 0, &[]).unwrap(), None);
    }

    /// Found by the fuzz target `changes`: it decodes, and Automerge panics when it is applied.
    const POISON: &[u8] = &[
        0x85, 0x6f, 0x4a, 0x83, 0x00, 0x00, 0x00, 0x00, 0x01, 0x1e, 0x00, 0x00, 0xca, 0xff, 0xff,
        0xff, 0xff, 0x85, 0x6f, 0x4a, 0x83, 0xff, 0xff, 0xfb, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x42, 0xff, 0xd0, 0xff, 0x00,
    ];

    #[test]
    fn a_change_that_automerge_panics_on_is_left_out_and_what_comes_after_it_is_not() {
        let mut author = Doc::load(None).unwrap();
        let mut write = |n| author.edit([1; 16], 0, &[put(&["a"], DocValue::Int(n))]);
        let [first, second] = [1, 2].map(|n| vec![write(n).unwrap().unwrap()]);
        let groups = [first.clone(), vec![POISON.to_vec()], second];
        let (mut reader, unfit) = Doc::load_with(None, &groups).unwrap();
        assert_eq!(read(&reader.save()).unwrap(), read(&author.save()).unwrap());
        assert!(matches!(unfit[..], [(1, DocError::Damaged(_))]), "{unfit:?}");
        let (_, unfit) = Doc::load_with(None, &[first]).unwrap();
        assert_eq!(unfit.len(), 0);
    }

    /// Gives [`POISON`] as a change that waits for another one.
    fn poison_after(hash: &[u8; 32]) -> Vec<u8> {
        let (head, content) = POISON.split_at(10);
        let mut bytes = head.to_vec();
        // One dependency instead of none; the length fits one byte still.
        bytes[9] += 32;
        bytes.push(1);
        bytes.extend_from_slice(hash);
        bytes.extend_from_slice(&content[1..]);
        let (itself, _) = links_of(&[bytes.clone()]).unwrap().remove(0);
        bytes[4..8].copy_from_slice(&itself[..4]);
        bytes
    }

    #[test]
    fn a_change_that_panics_later_does_not_take_along_what_it_waited_for() {
        let mut author = Doc::load(None).unwrap();
        let mut write = |n| author.edit([1; 16], 0, &[put(&["a"], DocValue::Int(n))]);
        let [first, second, third] = [1, 2, 3].map(|n| vec![write(n).unwrap().unwrap()]);
        let (hash, _) = links_of(&second).unwrap().remove(0);
        let poison = vec![poison_after(&hash)];
        assert_eq!(links_of(&poison).unwrap()[0].1, [hash], "it waits for the second");
        assert!(actors_of(&poison).is_ok() && actors_of(&[POISON.to_vec()]).is_err());
        let whole = read(&author.save()).unwrap();
        let groups = [first.clone(), poison.clone(), third.clone(), second.clone()];
        let (mut reader, unfit) = Doc::load_with(None, &groups).unwrap();
        assert_eq!(read(&reader.save()).unwrap(), whole);
        assert!(matches!(unfit[..], [(1, DocError::Damaged(_))]), "{unfit:?}");

        // The same over two savings: it waits in the saved document.
        let (mut reader, unfit) = Doc::load_with(None, &[first, poison, third]).unwrap();
        assert_eq!(unfit.len(), 0);
        let saved = reader.save();
        let (mut reader, unfit) = Doc::load_with(Some(&saved), &[second]).unwrap();
        assert_eq!(read(&reader.save()).unwrap(), whole);
        assert!(matches!(unfit[..], [(1, DocError::Damaged(_))]), "{unfit:?}");
    }

    #[test]
    fn a_change_waits_for_the_one_it_builds_on() {
        let mut author = Doc::load(None).unwrap();
        let first = author.edit([1; 16], 0, &[put(&["a"], DocValue::Int(1))]).unwrap().unwrap();
        let second = author.edit([1; 16], 0, &[put(&["a"], DocValue::Int(2))]).unwrap().unwrap();
        let mut reader = Doc::load(None).unwrap();
        reader.apply_changes(&[second]).unwrap();
        let mut reader = Doc::load(Some(&reader.save())).unwrap();
        reader.apply_changes(&[first]).unwrap();
        assert_eq!(read(&reader.save()).unwrap(), read(&author.save()).unwrap());
    }
}
