//! One harness and one set of workloads behind the criterion benches, the gate in CI and
//! `cargo xtask compare`. What the numbers mean and how to get them is in `benches/README.md`.
//!
//! A [`Contender`] is a service or an operation to measure, a [`Fact`] what is no cost per call. A [`Suite`] is
//! what is compared with each other: our own contenders are in [`batcher`], [`breaker`], [`cache`], [`http_cache`],
//! [`limit`], [`metrics`], [`pool`] and [`stack`], the opponents are in `benches/versus`, which is a workspace of its own.

pub mod batcher;
pub mod breaker;
pub mod cache;
pub mod callgrind;
pub mod command;
#[cfg(feature = "allocations")]
pub mod gate;
pub mod http_cache;
pub mod limit;
pub mod measure;
pub mod metrics;
pub mod pool;
pub mod reference;
pub mod stack;
pub mod stampede;
pub mod table;

mod contender;
mod fact;
mod inner;

pub use contender::{Contender, Runner, Suite};
pub use fact::{Fact, Facts};
pub use inner::{Failed, Fails, Inner, Small};
