//! What changes of documents said, read out of the changes alone: an entry whose predecessor is
//! lost cannot be applied, but what it wrote can be written once more.

use std::collections::BTreeMap;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{AutoCommit, Change, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use yingxue_sync_core::event::{DocEdit, DocValue};

/// Maps within maps; documents have four levels.
const DEPTH_MAX: usize = 16;

/// Where the maps of a document are, by their names in changes.
#[derive(Default)]
pub(super) struct Places(BTreeMap<String, Vec<String>>);

/// What an entry wrote.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// To be made once more, in order.
    pub edits: Vec<DocEdit>,
    /// Parts of it that go into something of which nothing else is known.
    pub unplaced: usize,
}

impl Places {
    /// Of a saved document, or of none; one that does not read has no known places.
    pub(super) fn of(snapshot: Option<&[u8]>) -> Self {
        let mut places = Self::default();
        if let Some(doc) = snapshot.and_then(|bytes| AutoCommit::load(bytes).ok()) {
            places.walk(&doc, &ROOT, &[]);
        }
        places
    }

    fn walk(&mut self, doc: &AutoCommit, map: &ObjId, path: &[String]) {
        if path.len() >= DEPTH_MAX {
            return;
        }
        for item in doc.map_range(map, ..) {
            if let Ok(Some((Value::Object(ObjType::Map), id))) = doc.get(map, item.key.as_ref()) {
                let path = [path, &[item.key.to_string()]].concat();
                self.walk(doc, &id, &path);
                self.0.insert(id.to_string(), path);
            }
        }
    }

    /// Reads what raw changes wrote, and takes note of the maps that they made.
    pub(super) fn read(&mut self, changes: &[Vec<u8>]) -> Said {
        let mut said = Said::default();
        for bytes in changes {
            match Change::from_bytes(bytes.clone()) {
                Ok(change) => self.read_change(&change, &mut said),
                Err(_) => said.unplaced += 1,
            }
        }
        said
    }

    fn read_change(&mut self, change: &Change, said: &mut Said) {
        let change = change.decode();
        let numbered = (change.start_op.get()..).zip(&change.operations);
        let ops: Vec<(String, &Op)> =
            numbered.map(|(n, op)| (name(&OpId(n, change.actor_id.clone())), op)).collect();
        let is_made = |id: &str| {
            ops.iter().any(|(made, op)| made == id && matches!(op.action, OpType::Make(_)))
        };
        let mut parts: BTreeMap<String, Vec<&(String, &Op)>> = BTreeMap::new();
        let mut outer = Vec::new();
        for op in &ops {
            match &op.1.obj {
                ObjectId::Id(id) if is_made(&name(id)) => {
                    parts.entry(name(id)).or_default().push(op)
                }
                _ => outer.push(op),
            }
        }
        for (id, op) in outer {
            match self.edit(id, op, &parts) {
                Some(edit) => said.edits.push(edit),
                None => said.unplaced += 1,
            }
        }
    }

    fn edit(&mut self, id: &str, op: &Op, parts: &Parts<'_, '_>) -> Option<DocEdit> {
        let mut path = match &op.obj {
            ObjectId::Root => Vec::new(),
            ObjectId::Id(map) => self.0.get(&name(map))?.clone(),
        };
        let Key::Map(key) = &op.key else { return None };
        path.push(key.to_string());
        if matches!(op.action, OpType::Delete) {
            return Some(DocEdit::Delete { path });
        }
        let value = value(id, op, parts, 0)?;
        self.note(id, op, &path, parts, 0);
        Some(DocEdit::Put { path, value })
    }

    /// Takes note of a map that was made, and of those in it.
    fn note(&mut self, id: &str, op: &Op, path: &[String], parts: &Parts<'_, '_>, depth: usize) {
        if !matches!(op.action, OpType::Make(ObjType::Map)) || depth >= DEPTH_MAX {
            return;
        }
        self.0.insert(id.to_owned(), path.to_vec());
        for (inner, op) in parts.get(id).into_iter().flatten() {
            if let Key::Map(key) = &op.key {
                let path = [path, &[key.to_string()]].concat();
                self.note(inner, op, &path, parts, depth + 1);
            }
        }
    }
}

/// Operations by the object that they change, where the same change has made that.
type Parts<'p, 'o> = BTreeMap<String, Vec<&'p (String, &'o Op)>>;

fn name(id: &OpId) -> String {
    format!("{}@{}", id.0, id.1)
}

/// Gives what an operation puts, with all that the same change puts into it.
fn value(id: &str, op: &Op, parts: &Parts<'_, '_>, depth: usize) -> Option<DocValue> {
    let inner = parts.get(id).map(Vec::as_slice).unwrap_or_default();
    let of = |(id, op): &(String, &Op)| value(id, op, parts, depth + 1);
    match &op.action {
        _ if depth >= DEPTH_MAX => None,
        OpType::Make(ObjType::Map) => {
            let entries = inner.iter().map(|part| match &part.1.key {
                Key::Map(key) => Some((key.to_string(), of(part)?)),
                Key::Seq(_) => None,
            });
            entries.collect::<Option<_>>().map(DocValue::Map)
        }
        // Lists are written from their first item to their last.
        OpType::Make(ObjType::List) => {
            let items = inner.iter().map(|part| if part.1.insert { of(part) } else { None });
            items.collect::<Option<_>>().map(DocValue::List)
        }
        OpType::Put(scalar) => match scalar {
            ScalarValue::Null => Some(DocValue::Null),
            ScalarValue::Boolean(is) => Some(DocValue::Bool(*is)),
            ScalarValue::Int(n) => Some(DocValue::Int(*n)),
            ScalarValue::Str(text) => Some(DocValue::Str(text.to_string())),
            ScalarValue::Bytes(bytes) => Some(DocValue::Bytes(bytes.clone())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use yingxue_sync_core::doc::{self, Doc};

    use super::*;

    fn put(path: &[&str], value: DocValue) -> DocEdit {
        DocEdit::Put { path: path.iter().map(|key| (*key).to_owned()).collect(), value }
    }

    fn text(text: &str) -> DocValue {
        DocValue::Str(text.to_owned())
    }

    fn written(writer: &mut Doc, edits: &[DocEdit]) -> Vec<Vec<u8>> {
        vec![writer.edit([7; 16], 1_000, edits).unwrap().unwrap()]
    }

    #[test]
    fn what_was_written_is_read_out_of_a_change_whose_predecessor_is_lost() {
        let mut writer = Doc::load(None).unwrap();
        let known = put(&["terms", "t1"], DocValue::Map(BTreeMap::new()));
        written(&mut writer, std::slice::from_ref(&known));
        let saved = writer.save();
        // This one is lost.
        written(&mut writer, &[put(&["lost"], DocValue::Map(BTreeMap::new()))]);
        let list = DocValue::List(vec![text("甲"), DocValue::Int(2), DocValue::Null]);
        let comment = DocValue::Map(BTreeMap::from([
            ("text".to_owned(), text("光合作用")),
            ("at".to_owned(), DocValue::Int(-5)),
            ("seen".to_owned(), DocValue::Bool(true)),
            ("marks".to_owned(), list.clone()),
            ("by".to_owned(), DocValue::Map(BTreeMap::from([("name".to_owned(), text("王"))]))),
        ]));
        let edits = [
            put(&["c1"], comment),
            put(&["terms", "t1", "name"], text("秋")),
            DocEdit::Delete { path: vec!["terms".to_owned(), "t1".to_owned(), "name".to_owned()] },
        ];
        let mut places = Places::of(Some(&saved));
        let said = places.read(&written(&mut writer, &edits));
        assert_eq!((said.edits.as_slice(), said.unplaced), (&edits[..], 0));
        // What was made by one such entry is known to the next.
        let next = [put(&["c1", "by", "name"], text("李")), put(&["c1", "marks"], list)];
        assert_eq!(places.read(&written(&mut writer, &next)).edits, next);
        let into_lost = [put(&["lost", "x"], text("?")), put(&["c2"], text("!"))];
        let said = places.read(&written(&mut writer, &into_lost));
        assert_eq!((said.edits.as_slice(), said.unplaced), (&into_lost[1..], 1));
    }

    #[test]
    fn what_is_written_once_more_gives_the_same_document() {
        let mut writer = Doc::load(None).unwrap();
        let nested = DocValue::Map(BTreeMap::from([("k".to_owned(), text("v"))]));
        let first =
            written(&mut writer, &[put(&["a", "b"], nested), put(&["n"], DocValue::Int(1))]);
        let second = written(&mut writer, &[put(&["a", "b", "k"], text("w"))]);
        let mut places = Places::of(None);
        let mut again = Doc::load(None).unwrap();
        for changes in [&first, &second] {
            let said = places.read(changes);
            assert_eq!(said.unplaced, 0);
            again.edit([8; 16], 2_000, &said.edits).unwrap();
        }
        assert_eq!(doc::read(&again.save()).unwrap(), doc::read(&writer.save()).unwrap());
        let nonsense = Places::default().read(&[b"no change".to_vec()]);
        assert_eq!((nonsense.edits.len(), nonsense.unplaced), (0, 1));
    }
}
