//! What a pool, its leases and its driver have in common.

use crate::config::Config;
use crate::core::{Core, Fx, Lend, NEVER, Nanos, Timed, nanos};
use crate::error::{Cause, Failure};
use crate::event::Event;
use crate::manager::Manager;
use buttress_core::{Distribution, Name, Observe};
use parking_lot::{Mutex, MutexGuard};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A connection in a slot.
pub(crate) enum Held<C> {
    Own(C),
    /// Leases get clones of it. The mutex only makes it `Sync`.
    Shared(Arc<Mutex<C>>),
}

impl<C> Lend for Held<C> {
    #[inline]
    fn lend(kept: &mut Option<Self>) -> Option<Self> {
        match kept {
            Some(Self::Shared(connection)) => Some(Self::Shared(Arc::clone(connection))),
            kept => kept.take(),
        }
    }
}

/// Clones a connection, which is asked of it only where it is shared.
pub(crate) type Twin<C> = fn(&C) -> C;

pub(crate) type Locked<C> = Core<Held<C>, Cause>;
pub(crate) type Effects<C> = Fx<Held<C>, Cause>;

pub(crate) struct Shared<M: Manager> {
    core: Mutex<Locked<M::Connection>>,
    pub(crate) manager: Arc<M>,
    pub(crate) name: Name,
    /// As it was made with; the core knows the size it has now.
    pub(crate) config: Config,
    /// A get and a return need to know the time.
    is_timed: bool,
    base: Instant,
    twin: Option<Twin<M::Connection>>,
    /// Outlives this, so that the driver hears of its end.
    pub(crate) driver: Arc<Notify>,
    pub(crate) is_driven: OnceLock<()>,
    pub(crate) drained: Notify,
    pub(crate) observe: OnceLock<Box<dyn Observe<Event> + Send + Sync>>,
}

impl<M: Manager> Shared<M> {
    pub(crate) fn new(
        name: Name,
        config: Config,
        manager: M,
        leases_each: u32,
        twin: Option<Twin<M::Connection>>,
    ) -> Self {
        let never = |time: Duration| nanos(time) == NEVER;
        let is_untimed = !config.measure
            && never(config.check_after)
            && never(config.idle_timeout)
            && never(config.keepalive)
            && never(config.leak_after);
        Self {
            core: Mutex::new(Core::new(&config, leases_each, fastrand::u64(..))),
            manager: Arc::new(manager),
            name,
            config,
            is_timed: !is_untimed,
            base: tokio::time::Instant::now().into_std(),
            twin,
            driver: Arc::new(Notify::new()),
            is_driven: OnceLock::new(),
            drained: Notify::new(),
            observe: OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked<M::Connection>> {
        self.core.lock()
    }

    pub(crate) fn base(&self) -> Instant {
        self.base
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        // 584 years fit.
        tokio::time::Instant::now().into_std().saturating_duration_since(self.base).as_nanos() as u64
    }

    /// The time, if anything depends on it where nothing is wrong.
    #[inline]
    pub(crate) fn now_if_timed(&self) -> Option<Nanos> {
        self.is_timed.then(|| self.now())
    }

    /// A copy of what was measured. Its place is made before the lock is taken.
    pub(crate) fn times(&self, what: Timed) -> Distribution {
        let mut times = Distribution::new();
        times.clone_from(self.lock().times().of(what));
        times
    }

    /// The moment, if it is near enough to be one.
    pub(crate) fn moment(&self, at: Nanos) -> Option<tokio::time::Instant> {
        if at == NEVER { None } else { self.base.checked_add(Duration::from_nanos(at)).map(Into::into) }
    }

    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.twin.is_some()
    }

    pub(crate) fn hold(&self, connection: M::Connection) -> Held<M::Connection> {
        match self.twin {
            None => Held::Own(connection),
            Some(_) => Held::Shared(Arc::new(Mutex::new(connection))),
        }
    }

    /// What a lease or a check works with; `None` if the clone of a shared connection panicked.
    #[inline]
    pub(crate) fn open(&self, held: Held<M::Connection>) -> Option<M::Connection> {
        match held {
            Held::Own(connection) => Some(connection),
            Held::Shared(connection) => self.twin_of(&connection),
        }
    }

    #[inline(never)]
    fn twin_of(&self, connection: &Mutex<M::Connection>) -> Option<M::Connection> {
        let twin = self.twin?;
        catch_unwind(AssertUnwindSafe(|| twin(&connection.lock()))).ok()
    }

    /// Does one step under the lock, and after it what is left to do.
    pub(crate) fn step<T>(
        &self,
        step: impl FnOnce(&mut Locked<M::Connection>, &mut Effects<M::Connection>) -> T,
    ) -> T {
        let mut fx = Fx::default();
        let outcome = step(&mut self.core.lock(), &mut fx);
        self.perform(fx);
        outcome
    }

    pub(crate) fn perform(&self, fx: Effects<M::Connection>) {
        if fx.kick {
            self.driver.notify_one();
        }
        if fx.drained {
            self.drained.notify_waiters();
        }
        fx.wake.into_iter().for_each(Waker::wake);
        match self.observe.get() {
            // Who tells is the driver or one of its tasks, and without those there is no pool.
            Some(observe) => fx.news.into_iter().for_each(|news| unharmed(|| observe.observe(news.into()))),
            None => discard(fx.news),
        }
        fx.handles.into_iter().for_each(discard);
        discard((fx.stale, fx.causes));
    }
}

impl<M: Manager> Drop for Shared<M> {
    fn drop(&mut self) {
        self.driver.notify_one();
    }
}

/// Drops what is not ours, which may panic: nobody here is to blame.
pub(crate) fn discard<T>(what: T) {
    unharmed(|| drop(what));
}

/// Does what is not ours, and ends its panic here.
fn unharmed(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

/// Ends what is not ours in time, and its panics here. It is made within, since a manager may panic before it gives its
/// future.
pub(crate) async fn guarded<T, E, F>(
    what: &'static str,
    limit: Duration,
    make: impl FnOnce() -> F,
) -> Result<T, Cause>
where
    F: Future<Output = Result<T, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let panicked = |_| -> Cause { Arc::new(Failure::Panicked { what }) };
    let mut future = pin!(catch_unwind(AssertUnwindSafe(make)).map_err(panicked)?);
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(|error| Arc::new(error) as Cause)),
        Err(panic) => Poll::Ready(Err(panicked(panic))),
    });
    match tokio::time::timeout(limit, caught).await {
        Ok(result) => result,
        Err(_) => Err(Arc::new(Failure::TimedOut { what, after: limit })),
    }
}
