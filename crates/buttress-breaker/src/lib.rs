//! A circuit breaker: stops calling a service while it fails, and finds out by itself when it is back.
//!
//! Put [`BreakerLayer`] before anything that crosses a network. While the service is down, callers get an
//! answer in nanoseconds instead of waiting for a timeout, and the service is not buried under retries while
//! it tries to recover. For many hosts or tenants behind one service there is [`keyed`].
//!
//! Do not use it for what fails on its own account rather than the service's: a validation error opens a
//! breaker as surely as an outage does, unless [`BreakerLayer::classify`] says that it is none.
//!
//! # How it works
//!
//! **Closed**, every call is admitted, and results are judged by the rules of [`Config`]. The first rule that
//! is broken opens it. **Open**, calls are refused with
//! [`Reason::Unavailable`](buttress_core::Reason::Unavailable) and the time that is left. After that it is
//! **half-open**: a few calls are let through as probes. If they succeed it closes, perhaps
//! [step by step](Ramp); if they fail it opens again, for twice as long. An operator can hold it open or
//! closed through its [`Handle`].
//!
//! The windows are exact: no record is lost, sampled or estimated, whatever the number of threads. Only a bad
//! call opens a breaker, never a success. A result of a call that began before the last transition changes
//! nothing. A probe that is cancelled gives its place back at once, and one that hangs gives it back after
//! [`Config::probe_lease`].
//!
//! A response is judged when its future ends. A body that breaks later is not seen, unless a layer below looks
//! into it and fails the response.
//!
//! # Kind
//!
//! In place. It asks for nothing beyond [`Service`](tower_service::Service) and the error's
//! `From<Rejected>`: no `Send`, no `Clone`, no `'static`, no box. Nothing is allocated per call, and nothing is
//! spawned. The error type stays the inner service's own.
//!
//! While it would refuse, `poll_ready` is ready at once without asking the inner service, and the call that
//! follows is refused, even if the breaker has closed in between. Behind a balancer use
//! [`BreakerLayer::gate`]: then `poll_ready` waits, and the balancer sends requests elsewhere. If the inner
//! service was readied before the breaker opened it stays readied until the next call, and keeps what it has
//! reserved for that: put a concurrency limit that clones share outside the breaker, or drop clones that are
//! idle, or their permits are missing when it probes. A caller that waits for the inner service's readiness is
//! not told that the breaker has opened meanwhile. The time in a refusal counts from `poll_ready`, where it was
//! decided.
//!
//! # Cost
//!
//! A success that changes nothing takes one load, one compare, and a count in a lane of its own thread's; a
//! clock is read only for rules that need one. `cargo xtask compare breaker` prints ns, instructions and
//! allocations per call beside those of other crates.
//!
//! # Examples
//!
//! ```
//! use buttress_breaker::{BreakerLayer, Config, State};
//! use buttress_core::Rejected;
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let config = Config::default().consecutive_failures(NonZeroU32::new(2)).open_for(Duration::from_secs(5));
//! let layer = BreakerLayer::new("inventory", config).observe(|event| println!("inventory: {event}"));
//! let handle = layer.handle();
//! let mut inventory = ServiceBuilder::new()
//!     .layer(layer)
//!     .service(service_fn(|up: bool| async move { if up { Ok(()) } else { Err(BoxError::from("down")) } }));
//!
//! for _ in 0..2 {
//!     assert!(inventory.ready().await.unwrap().call(false).await.is_err());
//! }
//! let refused = inventory.ready().await.unwrap().call(true).await.unwrap_err();
//! assert!(Rejected::find(&*refused).and_then(|refused| refused.retry_after()).is_some());
//!
//! tokio::time::sleep(Duration::from_secs(6)).await; // 5 s and up to 10 % more
//! assert!(inventory.ready().await.unwrap().call(true).await.is_ok()); // the probe
//! assert_eq!(handle.state(), State::Closed);
//! # }
//! ```
//!
//! What counts as a failure is yours to say:
//!
//! ```
//! use buttress_breaker::{BreakerLayer, Config};
//! use buttress_core::{Error, Outcome};
//! use std::io;
//! use tower::{ServiceBuilder, service_fn};
//!
//! let layer = BreakerLayer::new("files", Config::default()).classify(|result| match result {
//!     Err(Error::Inner(error)) if io::Error::kind(error) == io::ErrorKind::NotFound => Outcome::Success,
//!     Err(_) => Outcome::Failure,
//!     Ok(_) => Outcome::Success,
//! });
//! let files = ServiceBuilder::new()
//!     .layer(layer)
//!     .map_err(Error::Inner)
//!     .service(service_fn(|path: String| async move { std::fs::read(path) }));
//! # fn check<S: tower::Service<String>>(_: S) {}
//! # check(files);
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod core;
mod event;
pub mod future;
mod gate;
mod handle;
pub mod keyed;
mod layer;
#[cfg(all(test, buttress_loom))]
mod loom;
#[cfg(any(all(test, not(buttress_loom)), fuzzing))]
mod model;
mod primitive;
mod service;
mod state;
mod waiters;
mod word;

pub use config::{Cancelled, Config, FailuresWithin, Panicked, Ramp, SlowCalls, Window};
pub use event::{Cause, Event, Keyed};
pub use handle::{Handle, State, Stats, Totals, WindowStats};
pub use keyed::{Breakers, KeyedBreaker, KeyedBreakerLayer, KeyedStats};
pub use layer::BreakerLayer;
pub use service::Breaker;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use model::fuzz;

/// The layer's kind, in refusals and metrics.
const KIND: &str = "breaker";

/// The one clock: tokio's, so that paused time drives everything.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
