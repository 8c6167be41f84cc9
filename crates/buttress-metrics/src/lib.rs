//! Numbers that a service tells about itself, and that are true whatever happens to its calls.
//!
//! A [`Registry`] holds them, and Prometheus reads them from it. What you count yourself is a [`Counter`], a [`Gauge`] or a
//! [`Histogram`]; what the parts of this house count is [registered](Registry::register) once, and read when somebody looks;
//! calls are measured by a layer: [`MetricsLayer`] for any service, and with the feature `http` `HttpMetricsLayer` for servers
//! and clients.
//!
//! Do not use it for events, whose use is in each single one: those belong in a log. What is counted under words that callers
//! choose (a user, a path) is capped; it is better not to be counted so at all.
//!
//! - **Nothing is lost, and nothing is counted twice.** A call is counted once, however it ends: answered, failed, refused,
//!   too late, dropped at any await, panicked. How many are in flight is how many there are of what each holds, so that
//!   nothing stays behind.
//! - **Labels are bounded.** Those that are an enum of yours ([`Label`]) are found by an index. [`Open`] ones have a cap
//!   for each family; what has no room shares one series, `_overflow`, and is counted in `buttress_metrics_dropped_total`.
//! - **Histograms are cells, not samples.** Memory is the same after a record and after a billion of them. Published buckets are
//!   exact, quantiles at most 3.2 % over the exact ones.
//! - **What cannot be shown is an error at the start.** Names that Prometheus or `OpenMetrics` would refuse or take for another
//!   family's, labels that they keep for themselves, a name that is taken: see [`RegisterError`].
//! - **A scrape holds nobody up.** It reads cells while they are written. Counters never fall from one scrape to the next,
//!   and the buckets of a histogram add up to its count in each.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `http` | `http`: requests after OpenTelemetry's conventions, to the ends of their bodies; `expose::Scrape`, to mount at `/metrics` |
//! | `recorder` | `recorder`: what other crates record with the macros of `metrics`, under the same caps; and the other way round |
//! | `exporter` | `exporter`: for those who have `metrics-exporter-prometheus` already |
//!
//! # Kind
//!
//! The layers are *in place*: they ask for nothing beyond `Service`, allocate nothing per call and keep the error type.
//!
//! # Examples
//!
//! ```
//! use buttress_core::Metric;
//! use buttress_limit::TimeoutLayer;
//! use buttress_metrics::{Config, MetricsLayer, Registry, expose::Format};
//! use std::{sync::Arc, time::Duration};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! const ORDERS: Metric = Metric { name: "orders_total", unit: "", help: "orders that were taken" };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let registry = Registry::new();
//! let orders = registry.counter(&ORDERS)?;
//! let timeout = TimeoutLayer::new("shop", Duration::from_secs(1));
//! registry.register(Arc::new(timeout.handle()))?;
//!
//! let mut shop = ServiceBuilder::new()
//!     .layer(MetricsLayer::new("shop", Config::default(), &registry)?.boxed_errors())
//!     .layer(timeout)
//!     .service(service_fn(move |item: u64| {
//!         orders.inc();
//!         async move { Ok::<_, BoxError>(item) }
//!     }));
//! shop.ready().await?.call(7).await?;
//!
//! let text = registry.encode(Format::Text);
//! for line in [
//!     "orders_total 1\n",
//!     "service_request_duration_seconds_count{name=\"shop\",outcome=\"ok\"} 1\n",
//!     "timeout_limit_seconds{name=\"shop\"} 1.0\n",
//! ] {
//!     assert!(text.contains(line), "{text}");
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod collect;
mod config;
mod counter;
mod drops;
mod error;
mod event;
#[cfg(feature = "exporter")]
#[cfg_attr(docsrs, doc(cfg(feature = "exporter")))]
pub mod exporter;
pub mod expose;
mod families;
mod family;
mod flights;
pub mod future;
mod gauge;
mod histogram;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod label;
mod layer;
#[cfg(all(test, buttress_loom))]
mod loom;
mod name;
mod outcome;
mod parts;
mod primitive;
#[cfg(feature = "recorder")]
#[cfg_attr(docsrs, doc(cfg(feature = "recorder")))]
pub mod recorder;
mod registry;
mod request;
mod service;
mod table;
mod trace;

pub use collect::{Collector, Description};
pub use config::Config;
pub use counter::Counter;
pub use drops::Dropped;
pub use error::RegisterError;
pub use event::Event;
pub use family::{Family, Instrument, Open, OpenFamily};
pub use gauge::{Gauge, Held};
pub use histogram::{Bucket, Buckets, Exemplar, Histogram, InvalidBuckets, Snapshot, Timer, Value};
pub use label::{Label, LabelSet};
pub use layer::MetricsLayer;
pub use name::Kind;
pub use outcome::{BoxedErrors, Errors, Judge, Outcome};
pub use registry::Registry;
pub use request::{TraceOf, WordOf};
pub use service::Measured;
pub use trace::TraceId;
