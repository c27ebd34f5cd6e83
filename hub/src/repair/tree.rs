//! Rows of a damaged database: of one table, by its b-tree, as far as it reads; or of any page
//! that looks like a leaf, for rows that prove by themselves what they are.
//!
//! SQLite's "Database File Format" is the source: §1.6 b-tree pages, §2.1 records.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use super::pages::Pages;

const LEAF_OF_TABLE: u8 = 0x0d;
const INTERIOR_OF_TABLE: u8 = 0x05;
const LEAF_OF_INDEX: u8 = 0x0a;
const INTERIOR_OF_INDEX: u8 = 0x02;
/// Deeper than any tree of 16 million pages.
const DEPTH_MAX: usize = 24;
/// Longest row: a saved document of 5,000 changes has 1 MiB.
const ROW_BYTES_MAX: usize = 64 << 20;
/// Columns that no table of ours has.
const COLUMNS_MAX: usize = 64;
/// The header of a database, before what page 1 holds.
const FILE_HEADER_BYTES: usize = 100;

/// One row: its rowid, if its table has them, and its columns as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// None in a table without them.
    pub(super) rowid: Option<i64>,
    /// A column that is the rowid is null here; columns that were added later may be missing.
    pub(super) columns: Vec<Value>,
}

/// One page of a tree.
struct Page<'a> {
    bytes: &'a [u8],
    start: usize,
    kind: u8,
}

/// Reads the rows of the tree at `root`, in order; says whether every page and row read.
pub(super) fn walk(pages: &Pages, root: u32, take: &mut impl FnMut(Row)) -> bool {
    descend(pages, root, 0, &mut BTreeSet::new(), take)
}

/// Gives the rows of a page that reads as a leaf of a table; none otherwise.
pub(super) fn rows_of_leaf(pages: &Pages, number: u32, bytes: &[u8]) -> Vec<Row> {
    let page = Page::new(number, bytes).filter(|page| page.kind == LEAF_OF_TABLE);
    page.iter().flat_map(|page| page.cells().filter_map(|at| page.row(pages, at?))).collect()
}

fn descend(
    pages: &Pages,
    number: u32,
    depth: usize,
    seen: &mut BTreeSet<u32>,
    take: &mut impl FnMut(Row),
) -> bool {
    if depth > DEPTH_MAX || !seen.insert(number) {
        return false;
    }
    let Some(bytes) = pages.page(number) else { return false };
    let Some(page) = Page::new(number, &bytes) else { return false };
    let mut is_whole = true;
    for at in page.cells() {
        let Some(at) = at else {
            is_whole = false;
            continue;
        };
        if page.is_interior() {
            let child = be_u32(page.bytes, at);
            is_whole &= child.is_some_and(|child| descend(pages, child, depth + 1, seen, take));
        }
        if page.kind != INTERIOR_OF_TABLE {
            match page.row(pages, at) {
                Some(row) => take(row),
                None => is_whole = false,
            }
        }
    }
    if page.is_interior() {
        let last = be_u32(page.bytes, page.start + 8);
        is_whole &= last.is_some_and(|last| descend(pages, last, depth + 1, seen, take));
    }
    is_whole
}

impl<'a> Page<'a> {
    fn new(number: u32, bytes: &'a [u8]) -> Option<Self> {
        let start = if number == 1 { FILE_HEADER_BYTES } else { 0 };
        let kind = *bytes.get(start)?;
        let kinds = [LEAF_OF_TABLE, INTERIOR_OF_TABLE, LEAF_OF_INDEX, INTERIOR_OF_INDEX];
        kinds.contains(&kind).then_some(Self { bytes, start, kind })
    }

    const fn is_interior(&self) -> bool {
        matches!(self.kind, INTERIOR_OF_TABLE | INTERIOR_OF_INDEX)
    }

    /// Gives where each cell begins; nothing for one that is not on the page.
    fn cells(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        let count = be_u16(self.bytes, self.start + 3).unwrap_or(0);
        let header_bytes = if self.is_interior() { 12 } else { 8 };
        let first = self.start + header_bytes;
        let most = (self.bytes.len() - self.start) / 2;
        (0..count.min(most)).map(move |n| {
            let at = be_u16(self.bytes, first + 2 * n)?;
            (at > first && at < self.bytes.len()).then_some(at)
        })
    }

    fn row(&self, pages: &Pages, at: usize) -> Option<Row> {
        let mut rest = self.bytes.get(at..)?;
        if self.kind == INTERIOR_OF_INDEX {
            rest = rest.get(4..)?;
        }
        let bytes = usize::try_from(varint(&mut rest)?).ok().filter(|n| *n <= ROW_BYTES_MAX)?;
        let is_table = self.kind == LEAF_OF_TABLE;
        let rowid = if is_table { Some(varint(&mut rest)?) } else { None };
        let here = local_bytes(bytes, pages.usable_bytes(), is_table);
        let mut payload = rest.get(..here)?.to_vec();
        if here < bytes {
            follow(pages, be_u32(rest, here)?, bytes, &mut payload)?;
        }
        Some(Row { rowid, columns: columns(&payload)? })
    }
}

/// Gives how much of a row lies on its page (§1.6).
const fn local_bytes(bytes: usize, usable: usize, is_table: bool) -> usize {
    let most = if is_table { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
    if bytes <= most {
        return bytes;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fits = least + (bytes - least) % (usable - 4);
    if fits <= most { fits } else { least }
}

/// Adds what lies on the pages after the first.
fn follow(pages: &Pages, first: u32, bytes: usize, payload: &mut Vec<u8>) -> Option<()> {
    let mut next = first;
    while payload.len() < bytes {
        let page = pages.page(next)?;
        let part = pages.usable_bytes().checked_sub(4)?.min(bytes - payload.len());
        payload.extend_from_slice(page.get(4..4 + part)?);
        next = be_u32(&page, 0)?;
    }
    Some(())
}

/// Reads a record (§2.1).
fn columns(record: &[u8]) -> Option<Vec<Value>> {
    let mut rest = record;
    let header_bytes = usize::try_from(varint(&mut rest)?).ok()?;
    let mut body = record.get(header_bytes..)?;
    let mut kinds = record.get(record.len() - rest.len()..header_bytes)?;
    let mut columns = Vec::new();
    while !kinds.is_empty() {
        let kind = varint(&mut kinds)?;
        columns.push(column(kind, &mut body)?);
        if columns.len() > COLUMNS_MAX {
            return None;
        }
    }
    body.is_empty().then_some(columns)
}

fn column(kind: i64, body: &mut &[u8]) -> Option<Value> {
    let mut take = |bytes: usize| {
        let (taken, rest) = body.split_at_checked(bytes)?;
        *body = rest;
        Some(taken)
    };
    Some(match kind {
        0 => Value::Null,
        1..=4 => Value::Integer(integer(take(kind as usize)?)),
        5 => Value::Integer(integer(take(6)?)),
        6 => Value::Integer(integer(take(8)?)),
        7 => Value::Real(f64::from_be_bytes(take(8)?.try_into().ok()?)),
        8 | 9 => Value::Integer(kind - 8),
        12.. if kind % 2 == 0 => Value::Blob(take(usize::try_from((kind - 12) / 2).ok()?)?.into()),
        13.. => {
            let text = take(usize::try_from((kind - 13) / 2).ok()?)?;
            Value::Text(std::str::from_utf8(text).ok()?.to_owned())
        }
        _ => return None,
    })
}

fn integer(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if is_negative { -1 } else { 0 }, |n, byte| n << 8 | i64::from(*byte))
}

/// Reads a number of one to nine bytes, the highest first.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut number: u64 = 0;
    for n in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if n == 8 {
            number = number << 8 | u64::from(*byte);
        } else {
            number = number << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    Some(number as i64)
}

fn be_u16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Rows of every length around what fits on a page, in a table with and without rowids.
    fn made(dir: &std::path::Path) -> Connection {
        let db = Connection::open(dir.join("a")).unwrap();
        db.execute_batch(
            "pragma journal_mode = wal; pragma wal_autocheckpoint = 0; \
             create table t (id integer primary key, n integer, r real, s text, b blob) strict; \
             create table w (k text primary key, b blob) strict, without rowid;",
        )
        .unwrap();
        for n in 0..300_i64 {
            let number = (n - 150) * 0x0123_4567_89ab * n;
            let long = vec![n as u8; (n * 37) as usize];
            let row = rusqlite::params![n, number, n as f64 / 3.0, format!("光{n}"), long];
            db.execute("insert into t values (?1, ?2, ?3, ?4, ?5)", row).unwrap();
            let long = vec![1_u8; (n * 11) as usize];
            db.execute("insert into w values (?1, ?2)", rusqlite::params![format!("{n:04}"), long])
                .unwrap();
            if n == 200 {
                db.execute_batch("pragma wal_checkpoint(truncate)").unwrap();
            }
        }
        db
    }

    fn root(db: &Connection, table: &str) -> u32 {
        let sql = "select rootpage from sqlite_schema where name = ?1";
        db.query_row(sql, [table], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_row_of_a_whole_database_reads_as_sqlite_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = made(dir.path());
        let pages = Pages::open(&dir.path().join("a"), &dir.path().join("a-wal")).unwrap();
        for (table, order) in [("t", "id"), ("w", "k")] {
            let mut rows = Vec::new();
            assert!(walk(&pages, root(&db, table), &mut |row| rows.push(row)));
            let mut sql = db.prepare(&format!("select * from {table} order by {order}")).unwrap();
            let count = sql.column_count();
            let read = sql.query_map([], |row| (0..count).map(|n| row.get(n)).collect());
            let expected: Vec<Vec<Value>> = read.unwrap().collect::<Result<_, _>>().unwrap();
            let found = rows.into_iter().map(|mut row| {
                if let Some(rowid) = row.rowid {
                    row.columns[0] = Value::Integer(rowid);
                    // A real number that is whole is stored as an integer (§2.1).
                    if let Value::Integer(whole) = row.columns[2] {
                        row.columns[2] = Value::Real(whole as f64);
                    }
                }
                row.columns
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{table}");
        }
    }

    #[test]
    fn a_page_that_is_gone_is_noticed_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let db = made(dir.path());
        db.execute_batch("pragma wal_checkpoint(truncate)").unwrap();
        let (root, path) = (root(&db, "t"), dir.path().join("a"));
        drop(db);
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let pages = Pages::open(&path, &dir.path().join("none")).unwrap();
            let mut count = 0;
            let is_whole = walk(&pages, root, &mut |_| count += 1);
            (is_whole, count)
        };
        assert_eq!(read(&whole), (true, 300));
        let mut least = 300;
        for page in 1..whole.len() / 4096 {
            let mut torn = whole.clone();
            torn[page * 4096..][..4096].fill(0);
            let (is_whole, count) = read(&torn);
            assert!(is_whole == (count == 300) || page + 1 == root as usize, "page {page}");
            least = least.min(count);
        }
        assert_eq!(least, 0, "without its root nothing is found");
        for end in (0..whole.len()).step_by(1_733) {
            read(&whole[..end]);
        }
    }
}
