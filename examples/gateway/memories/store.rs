//! Where memories are kept: in SQLite, within this process, or on a PostgreSQL server. Each has a pool, and three services
//! before it that look the same for both.

use super::{postgres, sqlite};
use crate::problem::{self, Problem};
use buttress::pool::postgres::Postgres;
use buttress::pool::{Pool, PoolLayer, Size};
use buttress::{Inspect, pool};
use http::StatusCode;
use serde::Serialize;
use std::error::Error as StdError;
use std::fmt;
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

/// A service of the database.
pub(super) type Asks<Req, Res> = BoxCloneSyncService<Req, Res, Error>;

/// The database, whichever it is.
#[derive(Clone)]
pub(super) struct Store {
    /// As many answers as ids, in their order.
    reads: Asks<Vec<i64>, Vec<Option<Memory>>>,
    /// As many answers as writes, in their order: what was written or deleted. All of them happen, or none.
    writes: Asks<Vec<Write>, Vec<Option<Memory>>>,
    lists: Asks<Range, Vec<Memory>>,
    pool: Arc<dyn Inspect>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// One layer for all three services, since it is one pool.
macro_rules! over {
    ($pool:expr, $database:ident) => {{
        let layer = PoolLayer::new(&$pool);
        let stack = || ServiceBuilder::new().layer(layer.clone());
        Store {
            reads: BoxCloneSyncService::new(stack().service_fn($database::read)),
            writes: BoxCloneSyncService::new(stack().service_fn($database::write)),
            lists: BoxCloneSyncService::new(stack().service_fn($database::list)),
            pool: Arc::new($pool),
        }
    }};
}

impl Store {
    /// Opens the file, or a database in memory if there is none. Spawns the pool's task.
    pub(super) async fn sqlite(path: Option<&Path>) -> Result<Self, Error> {
        let pool = sqlite::pool(path);
        sqlite::create(pool.get().await.map_err(Failure::new)?).await?;
        // From here on: what is wrong so far is told by the one who asks for it.
        let pool = pool.observe(|event: pool::Event| log(&event));
        Ok(over!(pool, sqlite))
    }

    /// Goes to this server. Spawns the pool's task.
    pub(super) async fn postgres(server: Postgres, size: Size) -> Result<Self, Error> {
        let pool = Pool::new("database", pool::Config::default().size(size), server);
        postgres::create(pool.get().await.map_err(Failure::new)?).await?;
        let pool = pool.observe(|event: pool::Event| log(&event));
        Ok(over!(pool, postgres))
    }

    pub(super) fn pool(&self) -> Arc<dyn Inspect> {
        Arc::clone(&self.pool)
    }

    pub(super) async fn read(&self, id: i64) -> Result<Option<Memory>, Error> {
        let found = self.reads.clone().oneshot(vec![id]).await?;
        Ok(found.into_iter().next().flatten())
    }

    pub(super) async fn write(&self, write: Write) -> Result<Option<Memory>, Error> {
        let written = self.writes.clone().oneshot(vec![write]).await?;
        Ok(written.into_iter().next().flatten())
    }

    pub(super) async fn list(&self, range: Range) -> Result<Vec<Memory>, Error> {
        self.lists.clone().oneshot(range).await
    }
}

fn log(event: &pool::Event) {
    crate::log(format_args!("database: {event}"));
}
