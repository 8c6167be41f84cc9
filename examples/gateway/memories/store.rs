//! Where memories are kept: in SQLite, within this process, or on a PostgreSQL server. Each has a pool, and three services
//! before it that look the same for both.

use super::{postgres, sqlite};
use crate::problem::{self, Problem};
use buttress::batcher::{self, Batch, BatchLayer};
use buttress::pool::postgres::Postgres;
use buttress::pool::{Pool, PoolLayer, Size};
use buttress::{Inspect, pool};
use http::StatusCode;
use serde::Serialize;
use std::error::Error as StdError;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

pub(super) type Error = buttress::Error<Failure>;

/// Why the database did not do it; shared by all whose request it was.
#[derive(Clone, Debug)]
pub(super) struct Failure(Arc<dyn StdError + Send + Sync>);

impl Failure {
    pub(super) fn new(error: impl StdError + Send + Sync + 'static) -> Error {
        buttress::Error::Inner(Self(Arc::new(error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The cause is for the log, not for the client.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        crate::log(format_args!("memories: {}", problem::chain(&error)));
        match error {
            buttress::Error::Rejected(rejected) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be asked")
                    .retry_after(rejected.retry_after())
            }
            buttress::Error::Inner(_) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the database failed")
            }
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Memory {
    pub(super) id: i64,
    pub(super) content: String,
    pub(super) tags: Vec<String>,
    pub(super) created: String,
    pub(super) updated: String,
}

/// What a memory is to be.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) content: String,
    pub(super) tags: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Write {
    Create(Text),
    Replace(i64, Text),
    Delete(i64),
}

/// So many memories with ids over one.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) after: i64,
    pub(super) limit: u32,
    /// Only those that contain it, whatever the case.
    pub(super) containing: Option<String>,
}

/// The database, whichever it is.
#[derive(Clone)]
pub(super) struct Store {
    reads: Batch<i64, Option<Memory>, Error>,
    /// Gives what was written or deleted.
    writes: Batch<Write, Option<Memory>, Error>,
    lists: BoxCloneSyncService<Range, Vec<Memory>, Error>,
    parts: Arc<[Arc<dyn Inspect>]>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// How many batches a database does at a time.
struct AtATime {
    reads: NonZeroU32,
    writes: NonZeroU32,
}

/// One pool below all three services. What comes while as many batches run as may goes together in the next.
macro_rules! over {
    ($pool:expr, $database:ident, $max_size:expr, $at_a_time:expr) => {{
        let pool = PoolLayer::new(&$pool);
        let batches = batcher::Config::default().max_size($max_size);
        let reads = BatchLayer::new("reads", batches.clone().in_flight($at_a_time.reads))
            .dedup_by(|id: &i64| Some(*id))
            .each_error(Error::clone);
        let writes = BatchLayer::new("writes", batches.in_flight($at_a_time.writes)).each_error(Error::clone);
        let parts: [Arc<dyn Inspect>; 3] =
            [Arc::new(reads.handle()), Arc::new(writes.handle()), Arc::new($pool)];
        let stack = ServiceBuilder::new();
        Store {
            reads: stack
                .clone()
                .layer(reads)
                .map_response(each)
                .layer(pool.clone())
                .service_fn($database::read),
            writes: stack
                .clone()
                .layer(writes)
                .map_response(each)
                .layer(pool.clone())
                .service_fn($database::write),
            lists: BoxCloneSyncService::new(stack.layer(pool).service_fn($database::list)),
            parts: parts.into(),
        }
    }};
}

impl Store {
    /// Opens the file, or a database in memory if there is none. Spawns the pool's task.
    pub(super) async fn sqlite(path: Option<&Path>, max_batch: NonZeroU32) -> Result<Self, Error> {
        const MEMORY: AtATime = AtATime { reads: NonZeroU32::MIN, writes: NonZeroU32::MIN };
        // One more connection lists.
        const FILE: AtATime = AtATime { reads: NonZeroU32::new(2).unwrap(), writes: NonZeroU32::MIN };
        let pool = sqlite::pool(path);
        sqlite::create(pool.get().await.map_err(Failure::new)?).await?;
        // From here on: what is wrong so far is told by the one who asks for it.
        let pool = pool.observe(|event: pool::Event| log(&event));
        Ok(over!(pool, sqlite, max_batch, if path.is_some() { FILE } else { MEMORY }))
    }

    /// Goes to this server. Spawns the pool's task.
    pub(super) async fn postgres(server: Postgres, size: Size, max_batch: NonZeroU32) -> Result<Self, Error> {
        const AT_A_TIME: AtATime =
            AtATime { reads: NonZeroU32::new(4).unwrap(), writes: NonZeroU32::new(4).unwrap() };
        let pool = Pool::new("database", pool::Config::default().size(size), server);
        postgres::create(pool.get().await.map_err(Failure::new)?).await?;
        let pool = pool.observe(|event: pool::Event| log(&event));
        Ok(over!(pool, postgres, max_batch, AT_A_TIME))
    }

    /// What is between it and the database.
    pub(super) fn parts(&self) -> impl Iterator<Item = Arc<dyn Inspect>> {
        self.parts.iter().cloned()
    }

    pub(super) async fn read(&self, id: i64) -> Result<Option<Memory>, Error> {
        self.reads.clone().oneshot(id).await
    }

    pub(super) async fn write(&self, write: Write) -> Result<Option<Memory>, Error> {
        self.writes.clone().oneshot(write).await
    }

    pub(super) async fn list(&self, range: Range) -> Result<Vec<Memory>, Error> {
        self.lists.clone().oneshot(range).await
    }
}

fn each<T>(all: Vec<T>) -> Vec<Result<T, Error>> {
    all.into_iter().map(Ok).collect()
}

fn log(event: &pool::Event) {
    crate::log(format_args!("database: {event}"));
}
