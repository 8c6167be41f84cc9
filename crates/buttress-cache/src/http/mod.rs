//! An HTTP cache as a layer: RFC 9111, shared or private, before any service of `http` requests.
//!
//! [`HttpCacheLayer`] answers what an [`HttpCache`] has stored, asks the inner service for the rest, and stores what may
//! be while the client reads it. Use it before what answers slowly or often the same: an upstream in a gateway, a client,
//! pages that are costly to make. Not for what is different for each user; that must say `private` or `no-store`, and then
//! goes through.
//!
//! - **One request to the origin** for all who ask for the same at the same time. They wait for its body; if that cannot
//!   be stored, each asks for itself, side by side, as soon as its head says so.
//! - **Bodies stream**: a client sees the first chunk at once. What is stored is whole: a body that is torn, shorter or
//!   longer than its head says, too long, or dropped half-way is not.
//! - **A purge is final**, by URI, tag, prefix or all: nothing that was on its way then is stored, and nothing stale is
//!   served that was purged. Requests that may write purge their own URI, and what their response names (§4.4).
//! - **What is stale** is served where the response or [`HttpOptions`] allow it, while it is revalidated or where the
//!   origin fails; conditions, ranges and HEAD are answered from the store.
//! - **A part**, which is what a range was answered with, is stored too, and serves the ranges within it (§3.3); parts that
//!   touch become one if their strong entity tags are the same (§3.4). Those who ask for ranges never wait for each other.
//! - **`Cache-Status`** says of each response what was done (RFC 9211).
//!
//! The layer *defers*, as [`CacheLayer`](crate::CacheLayer) does: it is always ready, and a request that is not answered by
//! the cache readies its own clone of the inner service. Nothing needs to be `Send`, `'static` or a `Clone` request before
//! [`background`](HttpCacheLayer::background). Take it for a gateway: there each body is read at the origin's pace, and
//! without it a client that reads slowly keeps those waiting who ask for the same; bound that by
//! [`Config::hard_timeout`](crate::Config::hard_timeout).
//!
//! # Examples
//!
//! ```
//! use buttress_cache::Config;
//! use buttress_cache::http::{HttpCache, HttpCacheLayer, HttpOptions};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let pages = HttpCache::new("pages", Config::default(), HttpOptions::default());
//! let mut site = ServiceBuilder::new()
//!     .layer(HttpCacheLayer::new(&pages))
//!     .service(service_fn(|_: Request<()>| async {
//!         let page = Response::builder().header("cache-control", "max-age=60").header("cache-tag", "news");
//!         Ok::<_, BoxError>(page.body(Full::<Bytes>::from("<h1>"))?)
//!     }));
//!
//! for status in ["pages; fwd=uri-miss; stored", "pages; hit; ttl=60"] {
//!     let request = Request::get("http://example.org/").body(())?;
//!     let response = site.ready().await?.call(request).await?;
//!     assert_eq!(response.headers()["cache-status"], status);
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "<h1>");
//! }
//! assert_eq!(pages.purge_tag("news"), 1);
//! # Ok(())
//! # }
//! ```

// The rules: RFC 9111, with RFC 5861 (stale), 8246 (immutable), 9211 (Cache-Status) and 9213 (targeted fields). The rules are
// pure: no body, no store, no clock; whoever calls them says what time it is. Comments name the section a rule is from;
// a bare `§` is RFC 9111's.

mod answer;
mod body;
mod cache;
mod client;
mod combine;
mod dates;
mod directives;
mod entry;
mod etag;
mod fields;
mod freshness;
pub mod future;
mod headers;
mod key;
mod landing;
mod layer;
#[cfg(all(test, buttress_loom))]
mod loom;
mod mode;
mod options;
mod policy;
mod range;
mod request;
mod service;
mod status;
mod storing;
mod structured;
#[cfg(test)]
mod tests;
mod validate;
mod vary;

pub use crate::flow::{Apart, Here};
pub use body::Body;
pub use cache::HttpCache;
pub use layer::HttpCacheLayer;
pub use mode::Drive;
pub use options::{Heuristic, HttpOptions, Mode};
pub use service::HttpCached;
