use crate::config::Size;
use crate::core::{Close, Timed, View};
use buttress_core::{Distribution, Sink};
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
    /// How many connections it keeps at least and at most.
    pub limits: Size,
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
    /// Places in the queue that are kept for who has not asked yet: services of a [`PoolLayer`](crate::PoolLayer) that are
    /// ready, or getting so, and calls that were not polled.
    pub places: u32,
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
            limits: view.limits,
            size: view.live,
            idle: view.idle,
            in_use: view.leased,
            connecting: view.connecting,
            checking: view.checking,
            waiters: view.waiters,
            places: view.places,
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

    pub(crate) fn write(&self, sink: &mut dyn Sink, is_closed: bool) {
        let state = match (is_closed, self.down_for) {
            (true, _) => 2,
            (false, Some(_)) => 1,
            (false, None) => 0,
        };
        sink.state(&metrics::STATE, &metrics::STATES, state);
        self.write_gauges(sink);
        self.write_counters(sink);
        sink.histogram(&metrics::WAIT, &[], &self.wait);
        sink.histogram(&metrics::USE, &[], &self.used);
        sink.histogram(&metrics::CONNECT, &[], &self.connect);
        sink.histogram(&metrics::CHECK, &[], &self.check);
    }

    fn write_gauges(&self, sink: &mut dyn Sink) {
        sink.gauge(&metrics::CONNECTIONS, &[], self.size.into());
        sink.gauge(&metrics::MOST, &[], self.limits.max().into());
        sink.gauge(&metrics::IDLE, &[], self.idle.into());
        sink.gauge(&metrics::LEASES, &[], self.in_use as f64);
        sink.gauge(&metrics::CONNECTING, &[], self.connecting.into());
        sink.gauge(&metrics::CHECKING, &[], self.checking.into());
        sink.gauge(&metrics::WAITERS, &[], self.waiters.into());
        sink.gauge(&metrics::PLACES, &[], self.places.into());
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        sink.gauge(&metrics::OLDEST, &[], seconds(self.oldest_wait));
        sink.gauge(&metrics::DOWN, &[], seconds(self.down_for));
    }

    fn write_counters(&self, sink: &mut dyn Sink) {
        for (outcome, total) in [
            ("served", self.served),
            ("timed_out", self.timeouts),
            ("cancelled", self.cancelled),
            ("queue_full", self.refused_full),
            ("down", self.refused_down),
            ("closed", self.refused_closed),
        ] {
            sink.counter(&metrics::GETS, &[("outcome", outcome)], total);
        }
        sink.counter(&metrics::CONNECTS, &[], self.connects);
        sink.counter(&metrics::CONNECTS_FAILED, &[], self.connects_failed);
        sink.counter(&metrics::CHECKS, &[], self.checks);
        sink.counter(&metrics::CHECKS_FAILED, &[], self.checks_failed);
        sink.counter(&metrics::CREATED, &[], self.created);
        for why in Close::ALL {
            sink.counter(&metrics::CLOSED, &[("reason", why.label())], self.closed(why));
        }
        sink.counter(&metrics::LEAKS, &[], self.leaks);
    }
}

pub(crate) mod metrics {
    use buttress_core::Metric;

    pub(super) const STATES: [&str; 3] = ["up", "down", "closed"];

    pub(crate) const fn count(name: &'static str, help: &'static str) -> Metric {
        Metric { name, unit: "", help }
    }

    pub(crate) const fn seconds(name: &'static str, help: &'static str) -> Metric {
        Metric { name, unit: "seconds", help }
    }

    pub(super) const STATE: Metric = count("state", "whether connects work, fail, or are over");
    pub(super) const CONNECTIONS: Metric = count("connections", "connections there are");
    pub(super) const MOST: Metric = count("connections_max", "connections there may be");
    pub(super) const IDLE: Metric = count("idle", "connections that nobody uses and that can be had");
    pub(super) const LEASES: Metric = count("leases", "leases that are out");
    pub(super) const CONNECTING: Metric = count("connecting", "connects that run or are about to");
    pub(super) const CHECKING: Metric = count("checking", "connections that are checked in the background");
    pub(super) const WAITERS: Metric = count("waiters", "callers that wait for a connection");
    pub(super) const PLACES: Metric = count("places", "places in the queue of who has not asked yet");
    pub(super) const OLDEST: Metric =
        seconds("oldest_wait_seconds", "how long the one has waited that has waited longest");
    pub(super) const DOWN: Metric = seconds("down_seconds", "for how long connects have failed");
    pub(super) const GETS: Metric = count("gets_total", "connections asked for, by what became of it");
    pub(super) const CONNECTS: Metric = count("connects_total", "connects that were begun");
    pub(super) const CONNECTS_FAILED: Metric = count("connects_failed_total", "connects that failed");
    pub(super) const CHECKS: Metric = count("checks_total", "checks that were begun");
    pub(super) const CHECKS_FAILED: Metric = count("checks_failed_total", "checks that failed");
    pub(super) const CREATED: Metric = count("created_total", "connections that were made");
    pub(super) const CLOSED: Metric = count("closed_total", "connections that were closed, by reason");
    pub(super) const LEAKS: Metric = count("leaks_total", "leases that were out for too long");
    pub(super) const WAIT: Metric = seconds("wait_seconds", "from asking for a connection to its lease");
    pub(super) const USE: Metric = seconds("use_seconds", "from a lease to its return");
    pub(super) const CONNECT: Metric = seconds("connect_seconds", "connects that succeeded");
    pub(super) const CHECK: Metric = seconds("check_seconds", "checks that ended");
}
