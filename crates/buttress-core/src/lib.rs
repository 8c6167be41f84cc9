//! The words every buttress layer speaks: what a refusal says, how a result is judged, how a part is
//! named, watched and read.
//!
//! Only the standard library is needed. Most users meet these types through the umbrella crate
//! `buttress`, which re-exports all of them; a crate that writes a layer of its own depends on this one.
//!
//! | you want to | use |
//! | --- | --- |
//! | know why a layer refused, and when to come back | [`Rejected`], [`Reason`] |
//! | put a foreign error type under a stack of layers | [`Error`] |
//! | say which results count as failures | [`Classify`], [`Outcome`] |
//! | say which requests belong together | [`KeyOf`] |
//! | log what a layer does | [`Observe`] |
//! | read what a layer counted | [`Inspect`], [`Sink`] |
//! | write a layer that counts per call without contention | [`Lanes`] |
//! | know how long things take, quantiles included | [`Histogram`], [`Distribution`] |
//!
//! # Examples
//!
//! Every layer keeps its caller's error type and asks it for one thing, a `From<Rejected>`:
//!
//! ```
//! use buttress_core::{Reason, Rejected};
//! use std::time::Duration;
//!
//! #[derive(Debug)]
//! enum AppError {
//!     Refused(Rejected),
//! }
//!
//! impl From<Rejected> for AppError {
//!     fn from(rejected: Rejected) -> Self {
//!         AppError::Refused(rejected)
//!     }
//! }
//!
//! let rejected = Rejected::new("breaker", "inventory".into(), Reason::Unavailable)
//!     .after(Duration::from_millis(1500));
//! let AppError::Refused(seen) = AppError::from(rejected);
//! assert_eq!(
//!     seen.to_string(),
//!     "breaker `inventory` refused the call: unavailable, retry after 1.5s",
//! );
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

/// For the crates of buttress; it may change in any version.
#[cfg(buttress_loom)]
#[doc(hidden)]
#[path = "loom.rs"]
pub mod __loom;
/// For the crates of buttress; it may change in any version.
#[cfg(feature = "serde")]
#[doc(hidden)]
#[path = "times.rs"]
pub mod __times;
mod classify;
mod distribution;
mod error;
mod histogram;
mod inspect;
mod key;
mod lanes;
mod name;
mod observe;
mod ratio;
mod rejected;
mod setters;

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;

pub use classify::{AnyError, Classify, Outcome};
pub use distribution::Distribution;
pub use error::Error;
pub use histogram::Histogram;
pub use inspect::{Inspect, Labels, Metric, Sink};
pub use key::KeyOf;
pub use lanes::{Lane, Lanes};
pub use name::Name;
pub use observe::Observe;
pub use ratio::{InvalidRatio, Ratio};
pub use rejected::{Reason, Rejected};
