use super::label::Scheme;
use crate::histogram::Buckets;
use std::time::Duration;

/// What an [`HttpMetricsLayer`](super::HttpMetricsLayer) measures.
///
/// # Examples
///
/// ```
/// use buttress_metrics::http::{Config, Scheme};
///
/// let config = Config::default().scheme(Scheme::Https).body_sizes(true);
/// assert_eq!(config.cap, 100);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The bounds of durations. Default: those that the conventions recommend, 5 ms to 10 s.
    pub buckets: Buckets<Duration>,
    /// Whether bodies are measured too. Default no, as in the conventions: it takes two more histograms for each series.
    ///
    /// A response's body counts as much as was sent, when it ends; a request's as much as its head says, or nothing if
    /// that does not say it and nobody [counts](super::HttpMetricsLayer::count_request_bodies).
    pub body_sizes: bool,
    /// The bounds of body sizes. Default: 256 B to 64 MiB, each four times the one before.
    pub size_buckets: Buckets<u64>,
    /// The scheme of requests whose URI does not say it, as nearly all that come to a server. Default `http`.
    pub scheme: Scheme,
    /// How many routes (of a client: addresses) get series of their own; the rest share those that are labelled
    /// `_overflow`. Requests that no route has matched are one of them. Default
    /// 100, at most 65,536.
    pub cap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buckets: Buckets::default(),
            body_sizes: false,
            size_buckets: Buckets::default(),
            scheme: Scheme::Http,
            cap: 100,
        }
    }
}

buttress_core::__setters! { Config;
    buckets: Buckets<Duration>;
    body_sizes: bool;
    size_buckets: Buckets<u64>;
    scheme: Scheme;
    cap: usize;
}
