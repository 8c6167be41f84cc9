//! One breaker per key: per host, per tenant, per shard.
//!
//! [`Breakers`] holds the table and is made first; [`KeyedBreakerLayer`] puts it before a service. To share
//! the breakers between stacks give the same value twice.
//!
//! A key is known only in `call`. So a keyed breaker always asks the inner service for readiness first, and
//! it rejects; it cannot gate. A refusal names the layer, never the key: keys are often names of customers.
//!
//! The table is bounded ([`Breakers::max_keys`], 10,000). The closed breaker that has been idle longest makes
//! room for a new key. One that is open, probing or held is not forgotten before its time is over. When only
//! such are left, calls for a new key are admitted without being watched and counted as `untracked`. So a
//! flood of keys can neither make it forget a service that is down, nor open a breaker for strangers. Each
//! breaker takes about 1.5 KB, and the rings of its rules on top.
//!
//! # Examples
//!
//! ```
//! use buttress_breaker::{Breakers, Config, KeyedBreakerLayer};
//! use std::num::NonZeroU32;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let config = Config::default().consecutive_failures(NonZeroU32::new(1));
//! let tenants = Breakers::<u32>::new("tenants", config);
//! let mut service = ServiceBuilder::new()
//!     .layer(KeyedBreakerLayer::new(&tenants, |(tenant, _): &(u32, &str)| Some(*tenant)))
//!     .service(service_fn(|(tenant, _): (u32, &'static str)| async move {
//!         if tenant == 7 { Err(BoxError::from("down")) } else { Ok(tenant) }
//!     }));
//!
//! assert!(service.ready().await.unwrap().call((7, "list")).await.is_err());
//! let refused = service.ready().await.unwrap().call((7, "list")).await.unwrap_err();
//! assert!(refused.to_string().starts_with("breaker `tenants` refused the call: unavailable"));
//! assert!(service.ready().await.unwrap().call((8, "list")).await.is_ok());
//! assert_eq!(tenants.stats().open, 1);
//! # }
//! ```

mod service;
mod table;

pub use service::{ForKey, KeyedBreaker, KeyedBreakerLayer};
pub use table::{Breakers, KeyedStats};
