use crate::histogram::Buckets;
use std::time::Duration;

/// How a [`MetricsLayer`](crate::MetricsLayer) measures.
///
/// # Examples
///
/// ```
/// use buttress_metrics::Config;
///
/// assert_eq!(Config::default().cap, 100);
/// assert_eq!(Config::default().buckets.bounds().len(), 14);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The bounds of durations. Default: those that OpenTelemetry recommends, 5 ms to 10 s.
    pub buckets: Buckets<Duration>,
    /// How many pairs of a layer's name and an operation get series of their own; the rest share one. For each layer the
    /// calls without an operation are one of them. Default 100, at most 65,536.
    pub cap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { buckets: Buckets::default(), cap: 100 }
    }
}

buttress_core::__setters! { Config;
    buckets: Buckets<Duration>;
    cap: usize;
}
