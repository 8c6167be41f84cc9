//! Many requests, one call: what a service over batches looks like before SQL, Redis and HTTP, driven and printed:
//! `cargo run --release --example batching`.
//!
//! Each caller asks for one thing, as if it were alone; a layer makes one call of many. The database is SQLite and the
//! endpoint is in this process. With `DATABASE_URL` it asks a PostgreSQL server, too, in a table that is dropped at the end,
//! and with `REDIS_URL` a Redis server.

mod endpoint;
mod notes;
mod postgres;
mod redis;
mod sqlite;

use buttress::batcher::{Batch, BatchLayer, Config, Handle};
use futures_util::future::join_all;
use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::sync::Arc;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

/// Who shares a call shares its failure, so it can be cloned.
type Error = buttress::Error<Arc<dyn StdError + Send + Sync>>;

fn failure(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::Inner(Arc::new(error))
}

/// A service over batches: as many results as there were requests, in the same order, or one error for all of them.
type Batches<Req, Res> = BoxCloneSyncService<Vec<Req>, Vec<Result<Res, Error>>, Error>;

/// A service over single requests, and what its layer counts.
struct Single<Req, Res> {
    service: Batch<Req, Res, Error>,
    handle: Handle,
}

impl<Req: Send + 'static, Res: Send + 'static> Single<Req, Res> {
    /// At most so many requests in a call.
    fn new(name: &'static str, most: NonZeroU32, batches: Batches<Req, Res>) -> Self {
        let layer = BatchLayer::new(name, Config::default().max_size(most)).each_error(Error::clone);
        Self { handle: layer.handle(), service: layer.layer(batches) }
    }

    /// Each request is of another caller. Tells how many calls were made of them.
    async fn ask(&self, requests: impl IntoIterator<Item = Req>) -> (Vec<Result<Res, Error>>, u64) {
        let before = self.handle.stats().batches();
        let callers = requests.into_iter().map(|request| self.service.clone().oneshot(request));
        let answers = join_all(callers).await;
        (answers, self.handle.stats().batches() - before)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    notes::show("sqlite", &sqlite::open().await?).await?;
    endpoint::show().await?;
    if std::env::var_os("DATABASE_URL").is_some() {
        let (pool, notes) = postgres::open().await?;
        notes::show("postgres", &notes).await?;
        postgres::clear(&pool).await?;
    }
    if std::env::var_os("REDIS_URL").is_some() {
        redis::show().await?;
    }
    Ok(())
}
