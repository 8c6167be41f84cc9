//! Guides that are longer than a screen.

#[doc = include_str!("../docs/errors.md")]
#[cfg(any(doc, all(feature = "breaker", feature = "limit")))]
pub mod errors {}
