//! Rows that stay at home out of a damaged database: accounts, uploads, jobs, pins and the like.
//!
//! A table that reads whole takes the place of the copy's: what was removed since stays removed.
//! Of one that does not, what reads is added to the copy. Every row has to fit the table's
//! constraints. Rows that come from documents are made again, and are not taken over.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::pages::Pages;
use super::report::Report;
use super::tree::{self, Row};

/// Rows that come from documents, that other parts of the repair see to, or that say what a
/// file on this disk was like.
const NOT_TAKEN: &[&str] = &[
    "blob_checks",
    "blob_refs",
    "blobs",
    "blobs_found",
    "blobs_unread",
    "catalog_count",
    "collection_fingerprints",
    "comments",
    "damage",
    "docs",
    "envelopes",
    "envelopes_waiting",
    "epochs",
    "hub_readiness",
    "journal_heads",
    "lesson_outlines",
    "lesson_posters",
    "lesson_tracks",
    "lessons",
    "offers",
    "projection",
    "store_identity",
    "timetable_terms",
];
/// A login that was ended must not come back: unless all of them read, all log in again.
pub(super) const SESSIONS: &str = "sessions";
/// Whose rows a report names by themselves.
const ACCOUNTS: &str = "users";
/// Statements over tables that are only known when they run begin with these.
const INSERT_INTO: &str = "insert into";
const DELETE_FROM: &str = "delete from";
/// Rows of one table that are taken over; more than any of these tables has in a hub.
const ROWS_MAX: usize = 1_000_000;

/// A table as the new database defines it.
struct Table {
    name: String,
    sql: String,
    root: u32,
    /// In the order in which rows are stored.
    columns: Vec<String>,
    key: Vec<String>,
    /// The column that is the rowid.
    rowid_column: Option<usize>,
}

/// Takes over what reads of every table that is not made from something else.
pub(super) fn salvage(
    tx: &Transaction<'_>,
    pages: &Pages,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let roots = roots(pages);
    for table in tables(tx)? {
        // The copy's pages lie where the damaged database's do.
        let noted = roots.iter().find(|(name, sql, _)| (name, sql) == (&table.name, &table.sql));
        let is_moved = roots.iter().any(|(name, sql, _)| *name == table.name && *sql != table.sql);
        let root = match noted {
            Some((.., root)) => Some(*root),
            None if is_moved || report.snapshot_at_ms.is_none() => None,
            None => Some(table.root),
        };
        let (mut found, mut is_whole) = (Vec::new(), false);
        if let Some(root) = root {
            is_whole = tree::walk(pages, root, &mut |row| found.push(row)) && noted.is_some();
        }
        take_over(tx, &table, found, is_whole, report)?;
    }
    remove_orphans(tx)
}

/// Reads where the damaged database's tables begin: name, definition, root page.
fn roots(pages: &Pages) -> Vec<(String, String, u32)> {
    let mut roots = Vec::new();
    tree::walk(pages, 1, &mut |row: Row| {
        if let [Value::Text(kind), Value::Text(name), _, Value::Integer(root), Value::Text(sql)] =
            &row.columns[..]
            && kind == "table"
            && let Ok(root) = u32::try_from(*root)
        {
            roots.push((name.clone(), sql.clone(), root));
        }
    });
    roots
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<Table>> {
    const TABLES: &str = "select s.name, s.sql, s.rootpage, l.wr from sqlite_schema s \
         join pragma_table_list l on l.name = s.name and l.schema = 'main' \
         where s.type = 'table' and s.name not like 'sqlite%' order by s.name";
    let mut statement = db.prepare(TABLES)?;
    let named = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get::<_, bool>(3)?))
    })?;
    let named = named.collect::<rusqlite::Result<Vec<_>>>()?.into_iter();
    named
        .filter(|(name, ..)| !NOT_TAKEN.contains(&name.as_str()))
        .map(|(name, sql, root, has_no_rowid)| describe(db, name, sql, root, has_no_rowid))
        .collect()
}

fn describe(
    db: &Connection,
    name: String,
    sql: String,
    root: u32,
    has_no_rowid: bool,
) -> rusqlite::Result<Table> {
    const COLUMNS: &str = "select name, type, pk from pragma_table_xinfo(?1) order by cid";
    let mut statement = db.prepare_cached(COLUMNS)?;
    let rows = statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut columns: Vec<(String, String, usize)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut key: Vec<(usize, String)> = columns
        .iter()
        .filter(|(.., pk)| *pk > 0)
        .map(|(name, _, pk)| (*pk, name.clone()))
        .collect();
    key.sort();
    let is_rowid = |(_, kind, pk): &(String, String, usize)| {
        *pk == 1 && key.len() == 1 && kind.eq_ignore_ascii_case("integer") && !has_no_rowid
    };
    let rowid_column = columns.iter().position(is_rowid);
    if has_no_rowid {
        // Such a row is stored with its key first.
        columns.sort_by_key(|(.., pk)| if *pk == 0 { usize::MAX } else { *pk });
    }
    let columns = columns.into_iter().map(|(name, ..)| name).collect();
    let key = key.into_iter().map(|(_, name)| name).collect();
    Ok(Table { name, sql, root, columns, key, rowid_column })
}

fn take_over(
    tx: &Transaction<'_>,
    table: &Table,
    found: Vec<Row>,
    is_whole: bool,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let is_ended = table.name == SESSIONS && !is_whole;
    if is_whole || is_ended {
        tx.execute_batch(&format!("{DELETE_FROM} \"{}\"", table.name))?;
    }
    if is_whole {
        report.tables_whole += 1;
    } else {
        report.tables_partly.push(table.name.clone());
    }
    if table.name == ACCOUNTS {
        report.are_accounts_whole = is_whole;
    }
    for row in found.into_iter().take(if is_ended { 0 } else { ROWS_MAX }) {
        if insert(tx, table, row)? {
            report.rows_salvaged += 1;
        } else {
            report.rows_refused += 1;
        }
    }
    Ok(())
}

/// Puts one row in, in the place of the one with its key; says whether it fits.
fn insert(tx: &Transaction<'_>, table: &Table, mut row: Row) -> rusqlite::Result<bool> {
    if row.columns.len() > table.columns.len() {
        return Ok(false);
    }
    if let (Some(column), Some(rowid)) = (table.rowid_column, row.rowid)
        && let Some(value) = row.columns.get_mut(column)
    {
        *value = Value::Integer(rowid);
    }
    // A column that was added later is not in older rows; it has its default.
    let sql = insert_sql(table, row.columns.len());
    tx.prepare_cached("savepoint row")?.execute([])?;
    let inserted = tx.prepare_cached(&sql)?.execute(params_from_iter(row.columns));
    let fits = match inserted {
        Ok(_) => true,
        // A row that found no room has nothing wrong with it.
        Err(error) if tx.is_autocommit() || crate::db::is_disk_full(&error) => return Err(error),
        Err(_) => {
            tx.prepare_cached("rollback to row")?.execute([])?;
            false
        }
    };
    tx.prepare_cached("release row")?.execute([])?;
    Ok(fits)
}

fn insert_sql(table: &Table, count: usize) -> String {
    let quoted = |names: &[String]| {
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    };
    let places = (1..=count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let names = &table.columns[..count];
    let others = names.iter().filter(|name| !table.key.contains(name));
    let set: Vec<String> = others.map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect();
    let (into, key) = (format!("{INSERT_INTO} \"{}\"", table.name), quoted(&table.key));
    let instead = match set.len() {
        0 => "do nothing".to_owned(),
        _ => format!("do update set {}", set.join(", ")),
    };
    format!("{into} ({}) values ({places}) on conflict ({key}) {instead}", quoted(names))
}

/// Removes rows that name rows which did not come back.
fn remove_orphans(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    const FOREIGN: &str = "select s.name, f.[from], f.[table], f.[to] from sqlite_schema s, \
         pragma_foreign_key_list(s.name) f where s.type = 'table'";
    let mut statement = tx.prepare(FOREIGN)?;
    let rows = statement.query_map([], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?])
    })?;
    for [child, from, parent, to] in rows.collect::<rusqlite::Result<Vec<_>>>()? {
        let is_orphan = format!("\"{from}\" not in (select \"{to}\" from \"{parent}\")");
        let sql = format!("{DELETE_FROM} \"{child}\" where \"{from}\" is not null and {is_orphan}");
        tx.execute_batch(&sql)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_finds_no_room_is_an_error_and_not_a_row_that_does_not_fit() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("create table t (id integer primary key, text text not null) strict")
            .unwrap();
        let tx = db.transaction().unwrap();
        let table = tables(&tx).unwrap().remove(0);
        let row = |text| Row { rowid: Some(1), columns: vec![Value::Null, text] };
        assert!(!insert(&tx, &table, row(Value::Null)).unwrap(), "it has to have a text");
        assert!(insert(&tx, &table, row(Value::Text("a".into()))).unwrap());
        tx.query_row("pragma max_page_count = 3", [], |_| Ok(())).unwrap();
        let full = insert(&tx, &table, row(Value::Text("a".repeat(100_000)))).unwrap_err();
        assert!(crate::db::is_disk_full(&full), "{full}");
    }
}
