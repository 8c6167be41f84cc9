use super::shared::Shared;
use super::{Config, KIND};
use buttress_core::{Distribution, Inspect, Name, Sink};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Reads what all services of one [`HttpPoolLayer`](super::HttpPoolLayer) did, and changes their limits.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What is in use, and what was counted since the layer was made.
///
/// Every request counts once: `gets` is the sum of `served`, `timeouts`, `cancelled`, `refused_full`, of `waiters`, and of
/// those who have been granted a lease and have not taken it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Authorities that have leases out.
    pub authorities: usize,
    /// Leases that are out, those among them that were granted and not taken yet.
    pub in_use: u64,
    /// How many wait.
    pub waiters: u64,
    /// How long the one has waited that has waited longest.
    pub oldest_wait: Option<Duration>,
    /// Leases asked for.
    pub gets: u64,
    /// Leases given.
    pub served: u64,
    /// Requests that waited too long.
    pub timeouts: u64,
    /// Requests that were dropped while they waited.
    pub cancelled: u64,
    /// Requests refused because too many waited.
    pub refused_full: u64,
    /// From asking for a lease to having it.
    pub wait: Distribution,
    /// From a lease to its return: to the end of the response's body.
    pub used: Distribution,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is in use now, and what was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.shared.config()
    }

    /// Puts other limits in force. Leases over a lower limit run to their end; who waits keeps its time to wait.
    pub fn reconfigure(&self, config: Config) {
        self.shared.reconfigure(config);
    }
}

impl Inspect for Handle {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.shared.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        let (stats, config) = (self.stats(), self.config());
        sink.gauge(&metrics::AUTHORITIES, &[], stats.authorities as f64);
        sink.gauge(&metrics::LEASES, &[], stats.in_use as f64);
        sink.gauge(&metrics::MOST, &[], config.max_connections.get().into());
        sink.gauge(&metrics::WAITERS, &[], stats.waiters as f64);
        sink.gauge(&metrics::OLDEST, &[], stats.oldest_wait.unwrap_or_default().as_secs_f64());
        for (outcome, total) in [
            ("served", stats.served),
            ("timed_out", stats.timeouts),
            ("cancelled", stats.cancelled),
            ("queue_full", stats.refused_full),
        ] {
            sink.counter(&metrics::GETS, &[("outcome", outcome)], total);
        }
        sink.histogram(&metrics::WAIT, &[], &stats.wait);
        sink.histogram(&metrics::USE, &[], &stats.used);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

mod metrics {
    use buttress_core::Metric;

    const fn count(name: &'static str, help: &'static str) -> Metric {
        Metric { name, unit: "", help }
    }

    const fn seconds(name: &'static str, help: &'static str) -> Metric {
        Metric { name, unit: "seconds", help }
    }

    pub(super) const AUTHORITIES: Metric = count("authorities", "authorities that have leases out");
    pub(super) const LEASES: Metric = count("leases", "leases that are out");
    pub(super) const MOST: Metric = count("leases_max", "leases that each authority may have out");
    pub(super) const WAITERS: Metric = count("waiters", "requests that wait for a lease");
    pub(super) const OLDEST: Metric =
        seconds("oldest_wait_seconds", "how long the one has waited that has waited longest");
    pub(super) const GETS: Metric = count("gets_total", "leases asked for, by what became of it");
    pub(super) const WAIT: Metric = seconds("wait_seconds", "from asking for a lease to having it");
    pub(super) const USE: Metric = seconds("use_seconds", "from a lease to the end of the response's body");
}
