//! A cache with one load per key, limits that hold at every moment, and invalidations that are final: alone, or before
//! a tower service.
//!
//! [`Cache`] keeps values within limits and for a time. [`Cache::get_or_load`] loads what it does not have, a
//! [`Loader`] does so by [`Rules`], and [`CacheLayer`] puts it before a service. They share what they load: the cache
//! of a layer can be read, warmed and invalidated directly. Use it for answers that are asked for again and may be a
//! little old; not for requests that change something (say what those invalidate), nor for bodies that stream. For HTTP
//! responses there is [`http::HttpCacheLayer`] (feature `http`): it heeds their headers, and their bodies stream.
//!
//! - **The limits hold at every moment**, on entries and on weight, over all shards together. One entry may weigh as
//!   much as the whole cache; one that weighs more is for its caller alone and evicts nobody.
//! - **One load per key**: everybody else waits, is woken once, and never spins. A loader that is dropped or panics
//!   is followed by the one that has waited longest. A failed load is one inner call; those who waited are refused, or
//!   get a clone of its error.
//! - **An invalidation is final**: by key, tag, glob, predicate or all. No load that began before it brings the old value
//!   back, and nothing stale is served that was invalidated. That costs a hit nothing: what makes it so is that an
//!   invalidation also takes the load off a list that only loads look at.
//! - **What is stale can be served**, at once while it is loaded again, or in place of a failure, and it says so:
//!   [`Found::served`], [`Rules::mark`].
//! - **A hit never asks the inner service** for readiness, and holds nothing of it.
//!
//! The layer *defers*: it is always ready, and a call that is not answered by the cache readies its own clone of the inner
//! service (`S: Clone`). Load shedding belongs below it, where it sees a service that is not always ready. Nothing needs to
//! be `Send`, `'static`, or a `Clone` request, before [`background`](CacheLayer::background), which loads in tasks.
//!
//! # Which entry leaves
//!
//! [`Policy`] says so. The default, DRF, is our own; see there what it gains, and where it loses.
//!
//! # Examples
//!
//! ```
//! use buttress_cache::{Cache, CacheLayer, Config, Fate, Touch};
//! use std::num::NonZeroU64;
//! use std::time::Duration;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone)]
//! enum Ask { Read(String), Write(String) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! // At most 64 MiB of pages, each fresh for half a minute; for ten more if they cannot be had.
//! let config = Config::default()
//!     .max_weight(NonZeroU64::new(64 << 20))
//!     .ttl(Duration::from_secs(30))
//!     .stale_if_error(Duration::from_secs(600));
//! let pages = Cache::<String, String>::new("pages", config)
//!     .weigh(|path, page| (path.len() + page.len()) as u64);
//!
//! let layer = CacheLayer::by_ref(&pages, |ask: &Ask| match ask {
//!     Ask::Read(path) => Some(path.as_str()),
//!     Ask::Write(_) => None, // past the cache
//! })
//! .rule(|page: &String| if page.is_empty() { Fate::Share } else { Fate::store().into() })
//! .invalidate_on(|ask: &Ask| match ask {
//!     Ask::Read(_) => vec![],
//!     Ask::Write(path) => vec![Touch::Key(path.clone())],
//! });
//! let mut site = ServiceBuilder::new()
//!     .layer(layer)
//!     .service(service_fn(|_: Ask| async { Ok::<_, BoxError>("<h1>".to_owned()) }));
//!
//! for _ in 0..2 {
//!     site.ready().await?.call(Ask::Read("/".to_owned())).await?;
//! }
//! assert_eq!((pages.stats().hits, pages.stats().loads), (1, 1));
//! site.ready().await?.call(Ask::Write("/".to_owned())).await?;
//! assert_eq!(pages.get("/"), None);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptor;
mod cache;
mod config;
mod digest;
mod flight;
mod flow;
pub mod future;
mod glob;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod key;
mod layer;
mod load;
mod loader;
#[cfg(all(test, buttress_loom))]
mod loom;
#[cfg(test)]
mod model;
mod namespaces;
mod policy;
mod primitive;
mod rules;
mod service;
mod setbacks;
mod shard;
#[cfg(any(test, feature = "simulate"))]
#[doc(hidden)]
pub mod simulate;
mod source;
mod stats;
mod store;
mod tags;

pub use cache::{Cache, TooFewEntries};
pub use config::{Beta, Config, InvalidBeta};
pub use digest::{Digest, Digester};
pub use flow::{Apart, Here, Mode};
pub use glob::{BadGlob, Glob};
pub use key::{Borrowed, Owned, Probe};
pub use layer::CacheLayer;
pub use loader::{Loader, Warmed};
pub use namespaces::{NameTaken, Namespaces};
pub use policy::Policy;
pub use rules::{By, ByRequest, Cloned, Fate, Found, Keep, Rules, Served, SharedError, Terms, Touch};
pub use service::Cached;
pub use source::{Load, Serve, Source};
pub use stats::{Left, Stats};
