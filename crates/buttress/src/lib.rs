#![doc = include_str!("../docs/crate.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use buttress_core::*;

#[cfg(feature = "batcher")]
#[cfg_attr(docsrs, doc(cfg(feature = "batcher")))]
#[doc(inline)]
pub use buttress_batcher as batcher;

#[cfg(feature = "breaker")]
#[cfg_attr(docsrs, doc(cfg(feature = "breaker")))]
#[doc(inline)]
pub use buttress_breaker as breaker;

#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
#[doc(inline)]
pub use buttress_cache as cache;

#[cfg(feature = "limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "limit")))]
#[doc(inline)]
pub use buttress_limit as limit;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
#[doc(inline)]
pub use buttress_metrics as metrics;

#[cfg(feature = "pool")]
#[cfg_attr(docsrs, doc(cfg(feature = "pool")))]
#[doc(inline)]
pub use buttress_pool as pool;

mod check;
pub use check::check;

pub mod guide;

/// What most stacks need, in one `use`.
///
/// ```
/// # #[cfg(all(feature = "breaker", feature = "limit"))] {
/// use buttress::prelude::*;
///
/// let layers = (
///     BreakerLayer::new("inventory", breaker::Config::default()),
///     TimeoutLayer::new("inventory", std::time::Duration::from_secs(2)),
/// );
/// # }
/// ```
pub mod prelude {
    pub use buttress_core::{Classify, Inspect, KeyOf, Name, Observe, Outcome, Ratio, Reason, Rejected};

    #[cfg(feature = "batcher")]
    pub use buttress_batcher::{self as batcher, BatchLayer, batch_fn};

    #[cfg(feature = "breaker")]
    pub use buttress_breaker::{self as breaker, BreakerLayer, Breakers, KeyedBreakerLayer};

    #[cfg(feature = "cache")]
    pub use buttress_cache::{self as cache, Cache, CacheLayer};

    #[cfg(all(feature = "cache", feature = "http"))]
    pub use buttress_cache::http::{HttpCache, HttpCacheLayer};

    #[cfg(feature = "limit")]
    pub use buttress_limit::{TimeoutLayer, timeout};

    // Without `metrics` itself, which would hide the crate of that name.
    #[cfg(feature = "metrics")]
    pub use buttress_metrics::{MetricsLayer, Registry};

    #[cfg(all(feature = "metrics", feature = "http"))]
    pub use buttress_metrics::http::HttpMetricsLayer;

    #[cfg(feature = "pool")]
    pub use buttress_pool::{self as pool, Pool, PoolLayer};
}

/// The README's code, compiled and run.
#[cfg(all(doctest, feature = "breaker", feature = "limit"))]
#[doc = include_str!("../../../README.md")]
mod readme {}
