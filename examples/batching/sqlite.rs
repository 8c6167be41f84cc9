//! SQLite: many rows in one statement, on one connection of the pool.

use crate::notes::{Note, Notes};
use crate::{Error, failure};
use buttress::pool::sqlite::Sqlite;
use buttress::pool::{Config, Lease, Pool, PoolLayer, Size};
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::collections::{HashMap, HashSet};
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

pub(crate) async fn open() -> Result<Notes, Box<dyn std::error::Error>> {
    const ONE: Size = Size::new(1, 1).unwrap();
    let pool = Pool::new("sqlite", Config::default().size(ONE), Sqlite::memory());
    let create = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT";
    pool.get().await?.with(|db| db.execute_batch(create)).await?;
    let below = ServiceBuilder::new().layer(PoolLayer::new(&pool));
    Ok(Notes::new(
        BoxCloneSyncService::new(below.clone().service_fn(read)),
        BoxCloneSyncService::new(below.service_fn(insert)),
    ))
}

/// Rows come in any order, and not for every id.
async fn read((mut db, ids): (Lease<Sqlite>, Vec<i64>)) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    let read = move |db: &mut rusqlite::Connection| {
        let select = format!("SELECT id, text FROM notes WHERE id IN ({})", list("?", ids.len()));
        let mut select = db.prepare_cached(&select)?;
        let rows = select.query_map(params_from_iter(&ids), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: HashMap<i64, String> = rows.collect::<rusqlite::Result<_>>()?;
        // Not taken out: two may have asked for the same.
        Ok(ids.iter().map(|id| Ok(rows.get(id).cloned())).collect())
    };
    db.with(read).await.map_err(failure)
}

/// A row that cannot be inserted is no error of the statement, which would be one for all the others.
async fn insert((mut db, notes): (Lease<Sqlite>, Vec<Note>)) -> Result<Vec<Result<bool, Error>>, Error> {
    let insert = move |db: &mut rusqlite::Connection| {
        let ids: Vec<i64> = notes.iter().map(|note| note.id).collect();
        let insert = format!(
            "INSERT INTO notes (id, text) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            list("(?, ?)", notes.len())
        );
        let mut insert = db.prepare_cached(&insert)?;
        let values = notes.into_iter().flat_map(|Note { id, text }| [Value::from(id), Value::from(text)]);
        let new = insert.query_map(params_from_iter(values), |row| row.get(0))?;
        let mut new: HashSet<i64> = new.collect::<rusqlite::Result<_>>()?;
        // Taken out: of two with the same id one came in.
        Ok(ids.iter().map(|id| Ok(new.remove(id))).collect())
    };
    db.with(insert).await.map_err(failure)
}

fn list(value: &str, times: usize) -> String {
    vec![value; times].join(", ")
}
