//! What is asked of PostgreSQL. Types are told with each statement, so that it is parsed, bound and executed in one round
//! trip, and whatever pools connections in between need not know statements.

use super::store::{Error, Failure, Memory, Range, Text, Write};
use buttress::pool::Lease;
use buttress::pool::postgres::Postgres;
use futures_util::future::try_join_all;
use serde_json::json;
use std::collections::HashMap;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

/// What a memory is read from.
macro_rules! columns {
    () => {
        r#" memories.id, memories.content, memories.tags::text AS tags,
            to_char(memories.created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created,
            to_char(memories.updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS updated "#
    };
}

type Result<T, E = tokio_postgres::Error> = std::result::Result<T, E>;
type Value<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) async fn create(db: Lease<Postgres>) -> Result<(), Error> {
    let schema = "CREATE TABLE IF NOT EXISTS memories (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        content TEXT NOT NULL,
        tags JSONB NOT NULL,
        created TIMESTAMPTZ NOT NULL DEFAULT now(),
        updated TIMESTAMPTZ NOT NULL DEFAULT now()
    )";
    db.batch_execute(schema).await.map_err(Failure::new)
}

pub(super) async fn read((db, ids): (Lease<Postgres>, Vec<i64>)) -> Result<Vec<Option<Memory>>, Error> {
    let select = concat!("SELECT", columns!(), "FROM memories WHERE id = ANY($1)");
    let rows = db.query_typed(select, &[(&ids, Type::INT8_ARRAY)]).await.map_err(Failure::new)?;
    let found = rows.iter().map(|row| memory(row).map(|memory| (memory.id, memory)));
    let found: HashMap<_, _> = found.collect::<Result<_>>().map_err(Failure::new)?;
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn write(
    (mut db, writes): (Lease<Postgres>, Vec<Write>),
) -> Result<Vec<Option<Memory>>, Error> {
    let is_one_statement = writes.len() == 1 || writes.iter().all(|write| matches!(write, Write::Create(_)));
    let written = async {
        if is_one_statement {
            return write_all(&**db, &writes).await;
        }
        let transaction = db.transaction().await?;
        let written = write_all(&transaction, &writes).await?;
        transaction.commit().await?;
        Ok(written)
    };
    written.await.map_err(Failure::new)
}

/// All new ones in one statement; the changes follow together.
async fn write_all(db: &impl GenericClient, writes: &[Write]) -> Result<Vec<Option<Memory>>> {
    let (creates, changes) = sorted(writes);
    let mut written = vec![None; writes.len()];
    if !creates.is_empty() {
        let made = insert(db, creates.iter().map(|(_, text)| *text)).await?;
        creates.iter().zip(made).for_each(|((place, _), memory)| written[*place] = Some(memory));
    }
    let (places, changes): (Vec<_>, Vec<_>) =
        changes.into_iter().map(|(place, id, text)| (place, change(db, id, text))).unzip();
    places.into_iter().zip(try_join_all(changes).await?).for_each(|(place, memory)| written[place] = memory);
    Ok(written)
}

type Creates<'a> = Vec<(usize, &'a Text)>;
type Changes<'a> = Vec<(usize, &'a i64, Option<&'a Text>)>;

/// What is made, and what is changed, each with its place among all. Every batch changes memories in the order of their
/// ids, since two that did it in different orders would each wait for a row of the other; one memory's changes stay in
/// theirs.
fn sorted(writes: &[Write]) -> (Creates<'_>, Changes<'_>) {
    let (mut creates, mut changes) = (vec![], vec![]);
    for (place, write) in writes.iter().enumerate() {
        match write {
            Write::Create(text) => creates.push((place, text)),
            Write::Replace(id, text) => changes.push((place, id, Some(text))),
            Write::Delete(id) => changes.push((place, id, None)),
        }
    }
    changes.sort_by_key(|(_, id, _)| **id);
    (creates, changes)
}

async fn insert(db: &impl GenericClient, texts: impl Iterator<Item = &Text>) -> Result<Vec<Memory>> {
    let (contents, tags): (Vec<_>, Vec<_>) = texts.map(|text| (&*text.content, tags(text))).unzip();
    let insert = concat!(
        "INSERT INTO memories (content, tags)
         SELECT content, tags::jsonb FROM unnest($1, $2) WITH ORDINALITY AS new (content, tags, place) ORDER BY place
         RETURNING",
        columns!()
    );
    let values: [Value<'_>; 2] = [(&contents, Type::TEXT_ARRAY), (&tags, Type::TEXT_ARRAY)];
    let rows = db.query_typed(insert, &values).await?;
    let mut made = rows.iter().map(memory).collect::<Result<Vec<_>>>()?;
    // Ids are given in the order of the texts, but rows come back in any.
    made.sort_unstable_by_key(|memory| memory.id);
    Ok(made)
}

/// Deletes it if there is no text.
async fn change(db: &impl GenericClient, id: &i64, text: Option<&Text>) -> Result<Option<Memory>> {
    let rows = match text {
        None => {
            let delete = concat!("DELETE FROM memories WHERE id = $1 RETURNING", columns!());
            db.query_typed(delete, &[(id, Type::INT8)]).await?
        }
        Some(text) => {
            let update = concat!(
                "UPDATE memories SET content = $2, tags = $3::jsonb, updated = now() WHERE id = $1 RETURNING",
                columns!()
            );
            let tags = tags(text);
            let values: [Value<'_>; 3] = [(id, Type::INT8), (&text.content, Type::TEXT), (&tags, Type::TEXT)];
            db.query_typed(update, &values).await?
        }
    };
    rows.first().map(memory).transpose()
}

pub(super) async fn list((db, range): (Lease<Postgres>, Range)) -> Result<Vec<Memory>, Error> {
    let select = concat!(
        "SELECT",
        columns!(),
        "FROM memories WHERE id > $1 AND ($2 IS NULL OR strpos(lower(content), lower($2)) > 0)
         ORDER BY id LIMIT $3"
    );
    let Range { after, limit, containing } = range;
    let limit = i64::from(limit);
    let values: [Value<'_>; 3] = [(&after, Type::INT8), (&containing, Type::TEXT), (&limit, Type::INT8)];
    let listed =
        async { db.query_typed(select, &values).await?.iter().map(memory).collect::<Result<Vec<_>>>() };
    listed.await.map_err(Failure::new)
}

fn tags(text: &Text) -> String {
    json!(text.tags).to_string()
}

fn memory(row: &Row) -> Result<Memory> {
    let tags: String = row.try_get("tags")?;
    Ok(Memory {
        id: row.try_get("id")?,
        content: row.try_get("content")?,
        tags: serde_json::from_str(&tags).unwrap_or_default(),
        created: row.try_get("created")?,
        updated: row.try_get("updated")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_locks_memories_in_one_order_and_keeps_that_of_each() {
        let text = || Text { content: "new".to_owned(), tags: vec![] };
        let writes = [
            Write::Replace(9, text()),
            Write::Create(text()),
            Write::Delete(2),
            Write::Replace(5, text()),
            Write::Delete(9),
            Write::Replace(2, text()),
        ];
        let (creates, changes) = sorted(&writes);
        assert_eq!(creates.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1]);
        let changes: Vec<_> =
            changes.iter().map(|(place, id, text)| (*place, **id, text.is_some())).collect();
        assert_eq!(changes, [(2, 2, false), (5, 2, true), (3, 5, true), (0, 9, true), (4, 9, false)]);
    }
}
