//! PostgreSQL: many rows in one statement, whose text is the same for any number of them.

use crate::notes::{Note, Notes};
use crate::{Error, failure};
use buttress::pool::postgres::{Postgres, size};
use buttress::pool::{Config, Lease, Pool, PoolLayer};
use std::collections::{HashMap, HashSet};
use std::env;
use tokio_postgres::types::Type;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

pub(crate) async fn open() -> Result<(Pool<Postgres>, Notes), Box<dyn std::error::Error>> {
    let config = Config::default().size(size(env::var)?);
    let pool = Pool::new("postgres", config, Postgres::from_vars(env::var)?);
    let create = "CREATE TABLE buttress_notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
    pool.get().await?.batch_execute(create).await?;
    let below = ServiceBuilder::new().layer(PoolLayer::new(&pool));
    let notes = Notes::new(
        BoxCloneSyncService::new(below.clone().service_fn(read)),
        BoxCloneSyncService::new(below.service_fn(insert)),
    );
    Ok((pool, notes))
}

pub(crate) async fn clear(pool: &Pool<Postgres>) -> Result<(), Box<dyn std::error::Error>> {
    Ok(pool.get().await?.batch_execute("DROP TABLE buttress_notes").await?)
}

/// Rows come in any order, and not for every id.
async fn read((db, ids): (Lease<Postgres>, Vec<i64>)) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    let select = "SELECT id, text FROM buttress_notes WHERE id = ANY($1)";
    let rows = db.query_typed(select, &[(&ids, Type::INT8_ARRAY)]).await.map_err(failure)?;
    let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let rows: HashMap<i64, String> = rows.collect::<Result<_, tokio_postgres::Error>>().map_err(failure)?;
    // Not taken out: two may have asked for the same.
    Ok(ids.iter().map(|id| Ok(rows.get(id).cloned())).collect())
}

/// A row that cannot be inserted is no error of the statement, which would be one for all the others.
async fn insert((db, notes): (Lease<Postgres>, Vec<Note>)) -> Result<Vec<Result<bool, Error>>, Error> {
    let insert = "INSERT INTO buttress_notes (id, text) SELECT * FROM unnest($1, $2)
                  ON CONFLICT DO NOTHING RETURNING id";
    let (ids, texts): (Vec<i64>, Vec<String>) = notes.into_iter().map(|note| (note.id, note.text)).unzip();
    let values = [(&ids as _, Type::INT8_ARRAY), (&texts as _, Type::TEXT_ARRAY)];
    let new = db.query_typed(insert, &values).await.map_err(failure)?;
    let new = new.iter().map(|row| row.try_get(0));
    let mut new: HashSet<i64> = new.collect::<Result<_, _>>().map_err(failure)?;
    // Taken out: of two with the same id one came in.
    Ok(ids.iter().map(|id| Ok(new.remove(id))).collect())
}
