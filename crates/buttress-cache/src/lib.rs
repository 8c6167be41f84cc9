//! A cache with one load per key, limits that hold at every moment, and invalidations that are final.
//!
//! [`Cache`] keeps values within limits and for a time, and works alone. Its tower layer is not written yet.
//!
//! - **The limits hold at every moment**, on entries and on weight, over all shards together. One entry may weigh as
//!   much as the whole cache; one that weighs more is for its caller alone and evicts nobody.
//! - **One load per key** ([`Cache::get_or_load`]): everybody else waits, is woken once, and never spins. A loader
//!   that is dropped or panics is followed by the one that has waited longest. A failed load is one inner call.
//! - **An invalidation is final.** No load that began before it brings the old value back. That costs a hit nothing:
//!   what makes it so is that an invalidation also takes the load off a list that only loads look at.
//! - **The default policy** is DRF, our own; see [`Policy`]. It unlearns a loop more slowly than LRU when something else
//!   follows, and in caches of less than a hundred entries [`Policy::Lfu`] can do better.
//!
//! # Examples
//!
//! ```
//! use buttress_cache::{Cache, Config, Policy};
//! use std::num::NonZeroU64;
//! use std::time::Duration;
//!
//! // At most 64 MiB of pages, each for half a minute.
//! let config = Config::default().max_weight(NonZeroU64::new(64 << 20)).ttl(Duration::from_secs(30));
//! let pages = Cache::<String, Vec<u8>>::new("pages", config)
//!     .policy(Policy::S3Fifo)
//!     .weigh(|url, page| (url.len() + page.len()) as u64);
//! pages.insert("/".into(), b"<h1>".to_vec());
//! assert!(pages.get("/").is_some_and(|page| page.starts_with(b"<h1>")));
//! assert_eq!(pages.invalidate_if(|url, _| url.starts_with('/')), 1);
//! assert_eq!(pages.stats().left.explicit, 1);
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
mod key;
mod layer;
mod load;
mod loader;
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
