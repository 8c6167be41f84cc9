//! A pool of connections that survives what servers do: die, hang, and come back.
//!
//! [`Pool`] lends connections that a [`Manager`] makes. A [`Lease`] ends when it is dropped, wherever that is. [`PoolLayer`]
//! puts a pool before a tower service, whose every call has a lease.
//!
//! - **Nobody overtakes.** A connection that comes back goes to the one that has waited longest, in the same step. A wait
//!   has no timer of its own and allocates nothing.
//! - **Nobody waits for a connect** while a connection that comes back would do. Connects run apart, at most
//!   [`Config::connects`] at a time, each with a deadline, and a panic in one costs nothing but that one.
//! - **What is down is said at once.** While connects fail and no connection is left, a get is refused within microseconds
//!   with the cause; one connect at a time tries again, and the server is found within an eighth of its outage. Who asks
//!   after nobody has for longer than that is not told old news: its get tries again, and waits.
//! - **What is dead is found once.** Where a connection turns out to be dead, all that were last proved before that are
//!   checked at once, in the background: no get meets one after the other.
//! - **What is old is replaced before it goes**, and what is idle is kept alive, but not for ever.
//!
//! The layer *defers*: readiness is a place in the queue and the inner service's own; the connection is taken in the response
//! future, where the readied instance waits for it (`S: Clone`). Nothing needs to be `Send`.
//!
//! # Examples
//!
//! ```
//! use buttress_pool::{Config, Manager, Pool, Size};
//! use std::convert::Infallible;
//!
//! struct Lines;
//!
//! impl Manager for Lines {
//!     type Connection = Vec<String>;
//!     type Error = Infallible;
//!
//!     async fn connect(&self) -> Result<Vec<String>, Infallible> {
//!         Ok(Vec::new())
//!     }
//!
//!     async fn check(&self, _: &mut Vec<String>) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), buttress_pool::Error> {
//! const SIZE: Size = Size::new(1, 4).unwrap();
//! let pool = Pool::new("lines", Config::default().size(SIZE), Lines);
//! let mut line = pool.get().await?;
//! line.push("hello".to_owned());
//! drop(line); // the next one has it
//! assert_eq!(pool.get().await?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Before a service:
//!
//! ```
//! use buttress_pool::{Config, Lease, Manager, Pool, PoolLayer};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # struct Lines;
//! # impl Manager for Lines {
//! #     type Connection = Vec<String>;
//! #     type Error = std::convert::Infallible;
//! #     async fn connect(&self) -> Result<Vec<String>, Self::Error> { Ok(Vec::new()) }
//! #     async fn check(&self, _: &mut Vec<String>) -> Result<(), Self::Error> { Ok(()) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let pool = Pool::new("lines", Config::default(), Lines);
//! let mut says = ServiceBuilder::new()
//!     .layer(PoolLayer::new(&pool))
//!     .service(service_fn(|(mut line, text): (Lease<Lines>, String)| async move {
//!         line.push(text);
//!         Ok::<_, BoxError>(line.len())
//!     }));
//! assert_eq!(says.ready().await?.call("hello".to_owned()).await?, 1);
//! assert_eq!(pool.stats().served, 1);
//! # Ok(())
//! # }
//! ```
#![doc = ""]
#![doc = include_str!("../docs/scenarios.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod config;
mod core;
mod db_client;
mod driver;
mod error;
mod event;
pub mod future;
#[cfg(feature = "http")]
pub mod http;
mod layer;
mod lease;
mod manager;
mod managers;
#[cfg(test)]
mod model;
mod pool;
mod service;
mod shared;
mod stats;
#[cfg(any(feature = "http", feature = "postgres", feature = "redis"))]
mod vars;

pub use acquire::Acquire;
pub use config::{Config, InvalidSize, Size};
pub use core::Close;
pub use db_client::DbClient;
pub use error::{Cause, Error};
pub use event::Event;
pub use layer::PoolLayer;
pub use lease::Lease;
pub use manager::Manager;
#[cfg(feature = "postgres")]
pub use managers::postgres;
#[cfg(feature = "redis")]
pub use managers::redis;
#[cfg(feature = "sqlite")]
pub use managers::sqlite;
#[cfg(feature = "bb8")]
pub use managers::{Bb8, Bb8Error};
pub use pool::{Pool, Unreturned};
pub use service::Pooled;
pub use stats::Stats;
#[cfg(any(feature = "http", feature = "postgres", feature = "redis"))]
pub use vars::InvalidVar;

/// What refusals and metrics call it.
const KIND: &str = "pool";
