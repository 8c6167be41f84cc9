//! skeleton
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
mod word;

pub use config::{Cancelled, Config, FailuresWithin, Panicked, Ramp, SlowCalls, Window};
pub use event::{Cause, Event, Keyed};
pub use handle::{Handle, State, Stats, Totals, WindowStats};
pub use keyed::{Breakers, KeyedBreaker, KeyedBreakerLayer, KeyedStats};
pub use layer::BreakerLayer;
pub use service::Breaker;

/// The layer's kind, in refusals and metrics.
const KIND: &str = "breaker";

/// The one clock: tokio's, so that paused time drives everything.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
