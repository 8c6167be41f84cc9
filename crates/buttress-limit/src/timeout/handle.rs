use super::Config;
use super::layer::Shared;
use buttress_core::{Inspect, Metric, Name, Sink};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Reads what all services of one [`TimeoutLayer`](super::TimeoutLayer) did and changes their limit.
#[derive(Clone, Debug)]
pub struct Handle {
    lanes: buttress_core::Lanes<Arc<Shared>>,
}

/// What a timeout has counted since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that were refused because their time was over.
    pub timed_out: u64,
    /// Response futures that are alive now.
    pub in_flight: usize,
}

impl Handle {
    pub(super) fn new(lanes: buttress_core::Lanes<Arc<Shared>>) -> Self {
        Self { lanes }
    }

    fn shared(&self) -> &Shared {
        self.lanes.here()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { timed_out: self.shared().timed_out.load(Ordering::Relaxed), in_flight: self.lanes.held() }
    }

    /// The limit in force.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::from(self.shared().limit().unwrap_or(Duration::MAX))
    }

    /// Puts another limit in force, for calls that begin from now on; calls in flight keep theirs.
    pub fn reconfigure(&self, config: impl Into<Config>) {
        self.shared().set_limit(config.into().limit);
    }
}

impl Inspect for Handle {
    fn kind(&self) -> &'static str {
        "timeout"
    }

    fn name(&self) -> Name {
        self.shared().name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        const TIMED_OUT: Metric =
            Metric { name: "timed_out_total", unit: "", help: "calls refused because their time was over" };
        const IN_FLIGHT: Metric = Metric { name: "in_flight", unit: "", help: "calls that are running" };
        const LIMIT: Metric = Metric {
            name: "limit_seconds",
            unit: "seconds",
            help: "time a call may take; absent without a limit",
        };
        let Stats { timed_out, in_flight } = self.stats();
        sink.counter(&TIMED_OUT, &[], timed_out);
        sink.gauge(&IN_FLIGHT, &[], in_flight as f64);
        if let Some(limit) = self.shared().limit() {
            sink.gauge(&LIMIT, &[], limit.as_secs_f64());
        }
    }
}
