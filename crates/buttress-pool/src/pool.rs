use crate::KIND;
use crate::acquire::Acquire;
use crate::config::{Config, Size};
use crate::core::Core;
use crate::db_client::DbClient;
use crate::driver;
use crate::error::{Cause, Chain, Error};
use crate::event::Event;
use crate::lease::Lease;
use crate::manager::Manager;
use crate::shared::{Shared, Twin};
use crate::stats::Stats;
use buttress_core::{Inspect, Name, Observe, Rejected, Sink};
use std::fmt;
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Keeps connections and lends them; clones are the same pool.
///
/// It connects at once, up to [`Size::min`], if it is made on a tokio runtime, which needs timers, or else when it is first
/// asked on one. It lives on that one runtime: while that stands still nobody's wait ends, and when it ends, the pool is
/// closed. The pool ends when the last clone, lease and get of it is dropped.
pub struct Pool<M: Manager> {
    shared: Arc<Shared<M>>,
}

impl<M: Manager> Pool<M> {
    /// A pool whose connections have one user at a time.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config, manager: M) -> Self {
        Self::make(name.into(), config, manager, 1, None)
    }

    /// A pool whose connections each have up to `leases_each` users at a time, for protocols that carry many requests at
    /// once: a lease is a clone of the connection with the fewest. If that clone panics, its connection is closed when the
    /// leases that it has are back, and the get is refused as [`Down`](Error::Down), with that cause.
    #[must_use]
    pub fn shared(name: impl Into<Name>, config: Config, manager: M, leases_each: NonZeroU32) -> Self
    where
        M::Connection: Clone,
    {
        Self::make(name.into(), config, manager, leases_each.get(), Some(Clone::clone))
    }

    fn make(
        name: Name,
        config: Config,
        manager: M,
        leases_each: u32,
        twin: Option<Twin<M::Connection>>,
    ) -> Self {
        let shared = Arc::new(Shared::new(name, config, manager, leases_each, twin));
        driver::start(&shared);
        Self { shared }
    }

    /// Tells an observer what a person would log. The first one that is set stays. It must not panic; if it does, that ends
    /// with it, in a task of the pool's, and nobody else hears of the event.
    #[must_use]
    pub fn observe(self, observe: impl Observe<Event> + Send + Sync + 'static) -> Self {
        let _ = self.shared.observe.set(Box::new(observe));
        self
    }

    /// A connection, within [`Config::acquire_timeout`]. Gets are served in the order of their first polls.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Whoever tries again after [`Down`](Error::Down) should wait a while: it is told
    /// within microseconds.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Acquire<M> {
        self.get_within(self.shared.config.acquire_timeout)
    }

    /// A connection, within this time. Otherwise as [`get`](Self::get).
    #[inline]
    #[track_caller]
    pub fn get_within(&self, limit: Duration) -> Acquire<M> {
        Acquire::new(Arc::clone(&self.shared), limit, Location::caller())
    }

    /// A get with a place in the queue, if there is one.
    #[inline]
    pub(crate) fn placed(&self, by: &'static Location<'static>) -> Option<Acquire<M>> {
        Acquire::placed(&self.shared, self.shared.config.acquire_timeout, by)
    }

    /// Refuses one that found no place.
    #[cold]
    pub(crate) fn turn_away(&self) -> Rejected {
        let why = self.shared.lock().turn_away();
        Error::new(why, self.shared.base(), 0).rejected(self.shared.name)
    }

    /// A connection, if one can be had at once. It is not checked, whenever it was last used.
    #[must_use]
    #[track_caller]
    pub fn try_get(&self) -> Option<Lease<M>> {
        let now = self.shared.now_if_timed().unwrap_or(0);
        let granted = self.shared.lock().try_get(now, Location::caller());
        if granted.is_none() {
            driver::start(&self.shared);
        }
        let granted = granted?;
        let connection = granted.handle.and_then(|held| self.shared.open(held));
        if connection.is_none() {
            let cause: Cause =
                Arc::new(crate::error::Failure::Panicked { what: "clone of a shared connection" });
            let _ = self.shared.step(|core, fx| core.unusable(granted.slot, false, cause, now, fx));
        }
        Some(Lease::new(Arc::clone(&self.shared), connection?, granted.slot, now))
    }

    /// Changes how many connections there are. Those over the new maximum are closed at once if they are idle, or else
    /// when they come back.
    pub fn resize(&self, size: Size) {
        self.shared.step(|core, fx| core.resize(size, fx));
    }

    /// Refuses all who wait or come from now on, and waits until every lease is back, but no longer than this. Connects and
    /// checks that run in the background are not waited for: what they are about is closed when they end.
    ///
    /// # Errors
    ///
    /// If leases are still out then. They work on, and are closed when they come back.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it no longer waits; the pool is closed as soon as this was polled.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside a tokio runtime with timers. The pool is closed all the same.
    pub async fn close(&self, within: Duration) -> Result<(), Unreturned> {
        let shared = &self.shared;
        let until = Instant::now() + within.min(Duration::from_secs(u32::MAX.into()));
        shared.step(Core::shut_down);
        loop {
            // Made before looking: it hears of the last return from then on.
            let drained = shared.drained.notified();
            let is_over =
                shared.lock().view(shared.now()).leased == 0 || timeout_at(until, drained).await.is_err();
            if is_over {
                let core = shared.lock();
                let now = shared.now();
                let leases = core.view(now).leased;
                if leases == 0 {
                    return Ok(());
                }
                let out =
                    core.out(now).iter().map(|out| (out.by, Duration::from_nanos(out.out_for))).collect();
                return Err(Unreturned { leases, out });
            }
        }
    }

    /// What it has and what it has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = self.shared.now();
        let view = self.shared.lock().view(now);
        Stats::new(&view, now, |what| self.shared.times(what))
    }

    /// Why the last connect, check or recycle failed that did, and how long ago.
    #[must_use]
    pub fn last_error(&self) -> Option<(Duration, Cause)> {
        let (at, cause) = self.shared.lock().last_error()?;
        Some((Duration::from_nanos(self.shared.now().saturating_sub(at)), cause))
    }

    /// Whether it was closed, or its runtime has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// The same pool to [`Inspect`], which then sees it by the names that OpenTelemetry has for clients of databases.
    #[must_use]
    pub fn db_client(&self) -> DbClient<M> {
        DbClient(self.clone())
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> Name {
        self.shared.name
    }
}

impl<M: Manager> Inspect for Pool<M> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.shared.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        self.stats().write(sink, self.is_closed());
        if let Some((ago, cause)) = self.last_error() {
            sink.note("last_error", &format_args!("{}, {ago:.1?} ago", Chain(&*cause)));
        }
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    /// Neither manager nor connections: they may know secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.shared.lock().view(self.shared.now());
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .field("size", &view.live)
            .field("idle", &view.idle)
            .field("in_use", &view.leased)
            .field("waiters", &view.waiters)
            .finish_non_exhaustive()
    }
}

/// Leases that were not back when a closed pool stopped waiting for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreturned {
    leases: u64,
    out: Vec<(&'static Location<'static>, Duration)>,
}

impl Unreturned {
    /// How many.
    #[must_use]
    pub fn leases(&self) -> u64 {
        self.leases
    }

    /// Where each was asked for, and how long it has been out, or the pool has been there if its gets
    /// [read no clock](field@crate::Config::measure). Of leases that share a connection only the last is known.
    pub fn out(&self) -> impl Iterator<Item = (&'static Location<'static>, Duration)> {
        self.out.iter().copied()
    }
}

impl fmt::Display for Unreturned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leases still out: {}", self.leases)?;
        self.out.iter().try_for_each(|(by, out_for)| write!(f, ", from {by} for {out_for:?}"))
    }
}

impl std::error::Error for Unreturned {}
