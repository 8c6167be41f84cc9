//! Proves that a tower layer keeps the contract, and shows what it costs.
//!
//! For tests only; it is not published. Linking it also installs its counting allocator.
//!
//! | module | holds |
//! | --- | --- |
//! | [`laws`] | the contract of a layer as tests: one line per layer |
//! | [`scripted`] | an inner service that does what a script says and records what was done to it |
//! | [`alloc`] | what was allocated, per thread and in the whole process |
//! | [`waker`] | how often a waker was woken |
//! | [`guarded`] | what is dropped under a lock |
//! | [`specimens`] | layers that are broken on purpose, so that every law is seen to fail once |
//! | [`servers`] | real servers that are killed, stopped and started again |
//!
//! # Examples
//!
//! ```
//! use buttress_testkit::laws;
//! use tower::layer::util::Identity;
//!
//! let report = laws::in_place!(Identity::new()); // panics with a table if a law is broken
//! assert_eq!(report.cells.len(), laws::IN_PLACE.len());
//! ```

pub mod alloc;
pub mod guarded;
pub mod laws;
pub mod scripted;
#[cfg(unix)]
pub mod servers;
pub mod specimens;
pub mod time;
pub mod waker;
