use crate::core::{Close, Timed, View};
use buttress_core::Distribution;
use std::time::Duration;

/// What a pool has, and what it has counted since it was made.
///
/// Every get counts once: `gets` is the sum of `served`, `timeouts`, `cancelled`, the three kinds of refusals, and those
/// that are still on their way. Every connection that was created is alive or counted as closed.
///
/// All but the distributions are of one moment. Those are copied one after the other, each under a lock of its own, and may
/// know of a lease more. It is 39 KB: for a page or a scrape, not for every request.
///
/// # Examples
///
/// ```
/// # use buttress_pool::{Manager, Pool};
/// use buttress_core::Ratio;
///
/// # fn example<M: Manager>(pool: &Pool<M>) {
/// let wait = pool.stats().wait;
/// println!("{} leases, p99 of the wait {:?}", wait.count(), wait.quantile(Ratio::percent(99)));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections there are.
    pub size: u32,
    /// Those of them that nobody uses and that can be had.
    pub idle: u32,
    /// Leases that are out; those that were granted and not taken yet, and those that are checked first, are among them.
    pub in_use: u64,
    /// Connects that run or are about to.
    pub connecting: u32,
    /// Connections that are checked in the background.
    pub checking: u32,
    /// How many wait.
    pub waiters: u32,
    /// How long the one has waited that has waited longest.
    pub oldest_wait: Option<Duration>,
    /// For how long connects have failed, if the last one did.
    pub down_for: Option<Duration>,
    /// Connections asked for.
    pub gets: u64,
    /// Leases given.
    pub served: u64,
    /// Gets that waited too long.
    pub timeouts: u64,
    /// Gets that were dropped before they had an answer.
    pub cancelled: u64,
    /// Gets refused because too many waited.
    pub refused_full: u64,
    /// Gets refused because no connection can be made.
    pub refused_down: u64,
    /// Gets refused because the pool was closed.
    pub refused_closed: u64,
    /// Connects begun.
    pub connects: u64,
    /// Connects that failed.
    pub connects_failed: u64,
    /// Checks begun.
    pub checks: u64,
    /// Checks that failed.
    pub checks_failed: u64,
    /// Connections made.
    pub created: u64,
    /// Leases that were reported as leaked.
    pub leaks: u64,
    /// From a get to its lease. Nothing without [`Config::measure`](field@crate::Config::measure).
    pub wait: Distribution,
    /// From a lease to its return. Nothing without [`Config::measure`](field@crate::Config::measure).
    pub used: Distribution,
    /// Connects that succeeded.
    pub connect: Distribution,
    /// Checks that ended, well or not.
    pub check: Distribution,
    closed: [u64; Close::ALL.len()],
}

impl Stats {
    pub(crate) fn new(view: &View, now: u64, times: impl Fn(Timed) -> Distribution) -> Self {
        let counts = &view.counts;
        Self {
            size: view.live,
            idle: view.idle,
            in_use: view.leased,
            connecting: view.connecting,
            checking: view.checking,
            waiters: view.waiters,
            oldest_wait: view.oldest.map(Duration::from_nanos),
            down_for: view.down.map(|(since, _)| Duration::from_nanos(now.saturating_sub(since))),
            gets: counts.gets,
            served: counts.served,
            timeouts: counts.timeouts,
            cancelled: counts.cancelled,
            refused_full: counts.refused_full,
            refused_down: counts.refused_down,
            refused_closed: counts.refused_closed,
            connects: counts.connects,
            connects_failed: counts.connects_failed,
            checks: counts.checks,
            checks_failed: counts.checks_failed,
            created: counts.created,
            leaks: counts.leaks,
            wait: times(Timed::Wait),
            used: times(Timed::Use),
            connect: times(Timed::Connect),
            check: times(Timed::Check),
            closed: counts.closed,
        }
    }

    /// Connections closed for a reason.
    #[must_use]
    pub fn closed(&self, why: Close) -> u64 {
        self.closed[why as usize]
    }
}
