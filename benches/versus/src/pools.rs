//! Pools as those who use them see them, and one manager for all: whatever differs is the pool's.

mod contended;
#[cfg(all(unix, feature = "testkit"))]
mod outages;
#[cfg(all(unix, feature = "testkit"))]
mod resp;
mod scenarios;
mod scripted;

use buttress_pool::{Config, Lease, Manager, Pool, Size};
use std::fmt;
use std::ops::DerefMut;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;

/// `pool-contended ONLY` and its like: only the pools with a text in their names.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    let result = match (name, arguments) {
        ("pool-contended", [only]) => contended::run(only),
        #[cfg(all(unix, feature = "testkit"))]
        ("pool-outages", [only]) => outages::run(only),
        ("pool-scenarios", [only]) => scenarios::run(only),
        _ => Err(format!("start it with `cargo xtask compare {name}`")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// On a runtime of its own with so many workers, so that nothing of it is left for the next.
pub fn on_runtime<T>(workers: usize, play: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.expect("the system has room for some threads");
    let outcome = runtime.block_on(play);
    // Not in the background: what is left there would be in the time of the next.
    runtime.shutdown_timeout(Duration::from_secs(10));
    outcome
}

/// What all pools are told. What else a pool can be told is as it is by default, but where that would hold it back.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub min: u32,
    pub max: u32,
    /// The longest that a get may take; where parts of it have limits of their own, of those, too.
    pub limit: Duration,
    pub lifetime: Duration,
}

impl Settings {
    pub const fn new(min: u32, max: u32, limit: Duration) -> Self {
        Self { min, max, limit, lifetime: Duration::from_secs(1800) }
    }
}

/// Why a get got nothing: as little of it as can be counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// The variant of the pool's error.
    pub kind: &'static str,
    /// Whether it says what happened below.
    pub has_cause: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.has_cause { " with the cause" } else { "" })
    }
}

pub trait Lends<M: Manager>: Clone + Send + Sync + 'static {
    /// Whether it closes connections that are too old.
    const HAS_LIFETIMES: bool = true;

    type Lease<'a>: DerefMut<Target = M::Connection> + Send;

    fn make(manager: M, settings: &Settings) -> impl Future<Output = Self> + Send;

    fn get(&self) -> impl Future<Output = Result<Self::Lease<'_>, Refused>> + Send;
}

/// The pools whose settings are [`Settings`].
pub type Ours<M> = Pool<M>;
pub type Bb8<M> = bb8::Pool<As<M>>;
pub type Deadpool<M> = deadpool::managed::Pool<As<M>>;
pub type Mobc<M> = mobc::Pool<As<M>>;

impl<M: Manager> Lends<M> for Ours<M> {
    type Lease<'a> = Lease<M>;

    async fn make(manager: M, settings: &Settings) -> Self {
        let &Settings { min, max, limit, lifetime } = settings;
        let size = Size::new(min, max).expect("the scenario's minimum is no more than its maximum");
        let config = Config::default().size(size).max_lifetime(lifetime);
        Pool::new(
            "versus",
            config.acquire_timeout(limit).connect_timeout(limit).check_timeout(limit),
            manager,
        )
    }

    async fn get(&self) -> Result<Lease<M>, Refused> {
        use buttress_pool::Error;
        self.get().await.map_err(|error| match error {
            Error::Timeout { cause, .. } => Refused { kind: "Timeout", has_cause: cause.is_some() },
            Error::QueueFull { .. } => Refused { kind: "QueueFull", has_cause: false },
            Error::Down { .. } => Refused { kind: "Down", has_cause: true },
            _ => Refused { kind: "Closed", has_cause: false },
        })
    }
}

impl<M: Manager> Lends<M> for Bb8<M> {
    type Lease<'a> = bb8::PooledConnection<'a, As<M>>;

    /// Unchecked: otherwise whoever has no server has no pool, where there is a minimum.
    async fn make(manager: M, settings: &Settings) -> Self {
        let &Settings { min, max, limit, lifetime } = settings;
        let builder = bb8::Pool::builder().max_size(max).min_idle(min).max_lifetime(lifetime);
        builder.connection_timeout(limit).build_unchecked(As(Arc::new(manager)))
    }

    async fn get(&self) -> Result<Self::Lease<'_>, Refused> {
        self.get().await.map_err(|error| match error {
            bb8::RunError::TimedOut => Refused { kind: "TimedOut", has_cause: false },
            bb8::RunError::User(_) => Refused { kind: "User", has_cause: true },
        })
    }
}

impl<M: Manager> Lends<M> for Deadpool<M> {
    const HAS_LIFETIMES: bool = false;

    type Lease<'a> = deadpool::managed::Object<As<M>>;

    /// It has neither a minimum nor lifetimes.
    async fn make(manager: M, settings: &Settings) -> Self {
        let limit = Some(settings.limit);
        let timeouts = deadpool::managed::Timeouts { wait: limit, create: limit, recycle: limit };
        let builder = Self::builder(As(Arc::new(manager))).max_size(settings.max as usize).timeouts(timeouts);
        builder.runtime(deadpool::Runtime::Tokio1).build().expect("it was told the runtime")
    }

    async fn get(&self) -> Result<Self::Lease<'_>, Refused> {
        use deadpool::managed::{PoolError, TimeoutType};
        self.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => Refused { kind: "Timeout(Wait)", has_cause: false },
            PoolError::Timeout(TimeoutType::Create) => Refused { kind: "Timeout(Create)", has_cause: false },
            PoolError::Timeout(TimeoutType::Recycle) => {
                Refused { kind: "Timeout(Recycle)", has_cause: false }
            }
            PoolError::Backend(_) => Refused { kind: "Backend", has_cause: true },
            _ => Refused { kind: "other", has_cause: false },
        })
    }
}

impl<M: Manager> Lends<M> for Mobc<M> {
    type Lease<'a> = mobc::Connection<As<M>>;

    /// It has no minimum, and keeps two by default.
    async fn make(manager: M, settings: &Settings) -> Self {
        let &Settings { max, limit, lifetime, .. } = settings;
        let builder = Self::builder().max_open(max.into()).max_idle(max.into());
        builder.max_lifetime(Some(lifetime)).get_timeout(Some(limit)).build(As(Arc::new(manager)))
    }

    async fn get(&self) -> Result<Self::Lease<'_>, Refused> {
        self.get().await.map_err(|error| match error {
            mobc::Error::Timeout => Refused { kind: "Timeout", has_cause: false },
            mobc::Error::Inner(_) => Refused { kind: "Inner", has_cause: true },
            mobc::Error::BadConn => Refused { kind: "BadConn", has_cause: false },
            mobc::Error::PoolClosed => Refused { kind: "PoolClosed", has_cause: false },
        })
    }
}

/// A manager of ours as the other pools want theirs.
pub struct As<M>(pub Arc<M>);

impl<M: Manager> bb8::ManageConnection for As<M> {
    type Connection = M::Connection;
    type Error = M::Error;

    async fn connect(&self) -> Result<M::Connection, M::Error> {
        self.0.connect().await
    }

    async fn is_valid(&self, connection: &mut M::Connection) -> Result<(), M::Error> {
        self.0.check(connection).await
    }

    fn has_broken(&self, connection: &mut M::Connection) -> bool {
        self.0.is_broken(connection)
    }
}

impl<M: Manager> deadpool::managed::Manager for As<M> {
    type Type = M::Connection;
    type Error = M::Error;

    async fn create(&self) -> Result<M::Connection, M::Error> {
        self.0.connect().await
    }

    async fn recycle(
        &self,
        connection: &mut M::Connection,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<M::Error> {
        if self.0.is_broken(connection) {
            return Err(deadpool::managed::RecycleError::message("broken"));
        }
        Ok(self.0.check(connection).await?)
    }
}

#[mobc::async_trait]
impl<M: Manager> mobc::Manager for As<M> {
    type Connection = M::Connection;
    type Error = M::Error;

    async fn connect(&self) -> Result<M::Connection, M::Error> {
        self.0.connect().await
    }

    async fn check(&self, mut connection: M::Connection) -> Result<M::Connection, M::Error> {
        self.0.check(&mut connection).await?;
        Ok(connection)
    }

    fn validate(&self, connection: &mut M::Connection) -> bool {
        !self.0.is_broken(connection)
    }
}
