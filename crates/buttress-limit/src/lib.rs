//! Layers that bound what a call may cost.
//!
//! | layer | bounds | refuses with |
//! | --- | --- | --- |
//! | [`TimeoutLayer`] | the time from `call` to the response | [`Reason::TimedOut`](buttress_core::Reason::TimedOut) |
//!
//! # Examples
//!
//! ```
//! use buttress_core::Rejected;
//! use buttress_limit::TimeoutLayer;
//! use std::time::Duration;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let mut slow = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new("search", Duration::from_secs(1)))
//!     .service(service_fn(|_: &str| async {
//!         tokio::time::sleep(Duration::from_secs(5)).await;
//!         Ok::<_, BoxError>("found")
//!     }));
//!
//! let error = slow.ready().await.unwrap().call("query").await.unwrap_err();
//! assert_eq!(Rejected::find(&*error).map(|r| r.name()), Some("search".into()));
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod timeout;

pub use timeout::TimeoutLayer;
