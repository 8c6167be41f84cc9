//! Numbers that a service tells about itself and that are true.
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
