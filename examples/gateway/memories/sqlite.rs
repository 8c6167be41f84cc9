//! What is asked of SQLite. One call is one closure on a blocking thread, however many memories it is about.

use super::store::{Error, Failure, Memory, Range, Text, Write};
use buttress::pool::sqlite::{Connection, Sqlite};
use buttress::pool::{Config, Lease, Pool, Size};
use rusqlite::{CachedStatement, OptionalExtension, Params, Row, TransactionBehavior, named_params};
use serde_json::json;
use std::path::Path;

/// Several read a file at the same time, and one writes. What is in memory has one user at a time: waiting for a
/// connection is fair, and waiting for SQLite's lock is not.
pub(super) fn pool(path: Option<&Path>) -> Pool<Sqlite> {
    const FILE: Size = Size::new(1, 4).unwrap();
    const MEMORY: Size = Size::new(1, 1).unwrap();
    let (size, sqlite) = match path {
        Some(path) => {
            (FILE, Sqlite::file(path).pragma("journal_mode", "wal").pragma("synchronous", "normal"))
        }
        None => (MEMORY, Sqlite::memory()),
    };
    Pool::new("database", Config::default().size(size), sqlite)
}

pub(super) async fn create(mut db: Lease<Sqlite>) -> Result<(), Error> {
    let schema = "CREATE TABLE IF NOT EXISTS memories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        content TEXT NOT NULL,
        tags TEXT NOT NULL,
        created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        updated TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT";
    run(&mut db, |db| db.execute_batch(schema)).await
}

pub(super) async fn read((mut db, ids): (Lease<Sqlite>, Vec<i64>)) -> Result<Vec<Option<Memory>>, Error> {
    run(&mut db, move |db| {
        let mut select =
            db.prepare_cached("SELECT id, content, tags, created, updated FROM memories WHERE id = ?")?;
        ids.iter().map(|id| one(&mut select, [id])).collect()
    })
    .await
}

pub(super) async fn write(
    (mut db, writes): (Lease<Sqlite>, Vec<Write>),
) -> Result<Vec<Option<Memory>>, Error> {
    run(&mut db, move |db| {
        // At once: one that began as a reader would be refused if another wrote meanwhile.
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = writes.iter().map(|write| write_one(&transaction, write)).collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(written)
    })
    .await
}

fn write_one(db: &rusqlite::Connection, write: &Write) -> rusqlite::Result<Option<Memory>> {
    let tags = |text: &Text| json!(text.tags).to_string();
    match write {
        Write::Create(text) => one(
            &mut db.prepare_cached(
                "INSERT INTO memories (content, tags) VALUES (:content, :tags)
                 RETURNING id, content, tags, created, updated",
            )?,
            named_params! { ":content": text.content, ":tags": tags(text) },
        ),
        Write::Replace(id, text) => one(
            &mut db.prepare_cached(
                "UPDATE memories SET content = :content, tags = :tags,
                 updated = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = :id
                 RETURNING id, content, tags, created, updated",
            )?,
            named_params! { ":id": id, ":content": text.content, ":tags": tags(text) },
        ),
        Write::Delete(id) => one(
            &mut db.prepare_cached(
                "DELETE FROM memories WHERE id = ? RETURNING id, content, tags, created, updated",
            )?,
            [id],
        ),
    }
}

pub(super) async fn list((mut db, range): (Lease<Sqlite>, Range)) -> Result<Vec<Memory>, Error> {
    run(&mut db, move |db| {
        // `instr`, not `LIKE`: the text is taken as it is, and there are no wildcards to escape.
        let mut select = db.prepare_cached(
            "SELECT id, content, tags, created, updated FROM memories
             WHERE id > :after AND (:text IS NULL OR instr(lower(content), lower(:text)) > 0)
             ORDER BY id LIMIT :limit",
        )?;
        let Range { after, limit, containing } = range;
        let values = named_params! { ":after": after, ":text": containing, ":limit": limit };
        select.query_map(values, memory)?.collect()
    })
    .await
}

async fn run<T, F>(db: &mut Connection, work: F) -> Result<T, Error>
where
    F: FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    T: Send + 'static,
{
    db.with(work).await.map_err(Failure::new)
}

fn one(statement: &mut CachedStatement<'_>, values: impl Params) -> rusqlite::Result<Option<Memory>> {
    statement.query_row(values, memory).optional()
}

fn memory(row: &Row<'_>) -> rusqlite::Result<Memory> {
    let tags: String = row.get("tags")?;
    Ok(Memory {
        id: row.get("id")?,
        content: row.get("content")?,
        tags: serde_json::from_str(&tags).unwrap_or_default(),
        created: row.get("created")?,
        updated: row.get("updated")?,
    })
}
