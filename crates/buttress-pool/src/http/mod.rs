//! Bounds the requests that run to each authority: a pool for clients that keep their sockets themselves.
//!
//! [`HttpPoolLayer`] stands before any `Service<http::Request>`. A request takes a lease of its authority's, or waits for
//! one behind those that came before. The lease is given back when the *body* of the response has ended or is dropped, not
//! when its head has come: so long the connection is in use. What has an empty body gives it back at once.
//!
//! It is a *deferring* layer: readiness is the inner service's, and the instance that was readied goes along with the
//! request until it is called (`S: Clone`). It keeps nothing of an authority that is idle.
//!
//! - An authority is the host and the port as they stand in the URI, or else in the `Host` header. Requests with neither
//!   share leases of their own.
//! - A connection that is upgraded (a websocket, a tunnel) leaves HTTP together with its response, and is not bounded here.
//! - Over HTTP/2, where one connection carries many requests, it bounds the requests.
//! - What is refused is a [`Rejected`](buttress_core::Rejected): `Overloaded` if too many wait, `TimedOut` if it waited
//!   too long.
//!
//! # Examples
//!
//! ```
//! use buttress_core::Rejected;
//! use buttress_pool::http::{Config, HttpPoolLayer};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let config = Config::default().max_connections(NonZeroU32::MIN).acquire_timeout(Duration::from_secs(1));
//! let layer = HttpPoolLayer::new("upstream", config);
//! let handle = layer.handle();
//! let mut client = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<()>| async {
//!     Ok::<_, BoxError>(Response::new(Full::new(Bytes::from("hello"))))
//! }));
//!
//! let request = || Request::get("http://api.example/").body(());
//! let response = client.ready().await?.call(request()?).await?;
//! let refused = client.ready().await?.call(request()?).await.unwrap_err(); // the body has not been read
//! assert!(Rejected::find(&*refused).is_some());
//!
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! assert_eq!(handle.stats().in_use, 0);
//! assert!(client.ready().await?.call(request()?).await.is_ok());
//! # Ok(())
//! # }
//! ```

mod body;
mod config;
pub mod future;
mod handle;
mod layer;
#[cfg(test)]
mod model;
mod service;
mod shared;
mod table;

pub use body::Leased;
pub use config::Config;
pub use handle::{Handle, Stats};
pub use layer::HttpPoolLayer;
pub use service::HttpPool;

/// What refusals and metrics call it.
const KIND: &str = "http_pool";
