//! Guides that are longer than a screen.

#[doc = include_str!("../docs/errors.md")]
#[cfg(any(doc, all(feature = "breaker", feature = "limit")))]
pub mod errors {}

#[doc = include_str!("../docs/http-cache.md")]
#[cfg(any(doc, all(feature = "breaker", feature = "cache", feature = "http", feature = "limit")))]
pub mod http_cache {}

#[doc = include_str!("../docs/metrics.md")]
#[cfg(any(doc, all(feature = "breaker", feature = "http", feature = "metrics")))]
pub mod metrics {}
