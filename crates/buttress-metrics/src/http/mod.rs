//! HTTP requests, by OpenTelemetry's conventions: what a server answers and what a client asks.
//!
//! [`HttpMetricsLayer::server`] and [`HttpMetricsLayer::client`] measure these, by the names that the conventions have in
//! Prometheus:
//!
//! | metric | labels |
//! | --- | --- |
//! | `http_server_request_duration_seconds`, a histogram | `http_route`, `url_scheme`, `http_request_method`, `http_response_status_code`, `error_type`, `outcome` |
//! | `http_server_active_requests`, a gauge | `url_scheme`, `http_request_method` |
//! | `http_server_request_body_size_bytes`, `http_server_response_body_size_bytes`, histograms, [if wanted](Config::body_sizes) | those of the duration |
//! | `http_client_request_duration_seconds` and so on | `server_address` and `server_port` in place of `http_route` |
//!
//! **Labels are few.** A route is the template of a router (`/items/{id}`) or nothing, never the path that was asked for;
//! a method that is not known is `_OTHER`, a status that nobody has registered is its class; what is left open is capped.
//! A server's address is in lower case and without the brackets of IPv6 (`::1`), however the URI writes it; capitals cost
//! an allocation.
//!
//! **`outcome`** is ours: `ok`, `client_error` (4xx), `server_error` (5xx), `error`, `rejected`, `timeout`, `cancelled`,
//! `panicked`. `error_type` says what the conventions ask for: the status of a 5xx (for clients of a 4xx too), or else how
//! it failed.
//!
//! **A request ends with its body.** It is in flight, and its duration runs, until the response's body was sent to its
//! end, failed, or was dropped; then it is counted, once. A client that leaves half-way is `cancelled`, whatever the status
//! was. A body that nobody sends (of `HEAD`, 204, 304, a tunnel that is opened) ends with its head.
//!
//! **A request's body is as large as its head says.** One that does not say it, in chunks, has no size, unless bodies are
//! [counted](HttpMetricsLayer::count_request_bodies): then it is what the inner service has read of it.
//!
//! # Kind
//!
//! In place: it asks for nothing beyond `Service` and bodies, allocates nothing per request, and keeps the error type. Put
//! it outermost. Only a layer that counts bodies changes the inner service's request, and allocates once for each body
//! whose length is not known.
//!
//! # Examples
//!
//! ```
//! use buttress_metrics::http::{Config, HttpMetricsLayer};
//! use buttress_metrics::{Registry, TraceId, expose::Format};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! type Body = Full<&'static [u8]>;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new();
//! let metrics = HttpMetricsLayer::server(Config::default(), &registry)?
//!     .route(|request: &Request<Body>| request.uri().path().starts_with("/items/").then_some("/items/{id}"))
//!     .exemplars(|request: &Request<Body>| {
//!         TraceId::from_traceparent(request.headers().get("traceparent")?.to_str().ok()?)
//!     });
//! let mut items = ServiceBuilder::new().layer(metrics).service(service_fn(|_: Request<Body>| async {
//!     Ok::<_, Infallible>(Response::new(Body::from(&b"an item"[..])))
//! }));
//!
//! let response = items.ready().await?.call(Request::get("/items/7").body(Body::default())?).await?;
//! assert!(registry.encode(Format::Text).contains("http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} 1.0\n"));
//! response.into_body().collect().await?; // now it has ended
//! assert!(registry.encode(Format::Text).contains(
//!     "http_server_request_duration_seconds_count{http_route=\"/items/{id}\",http_request_method=\"GET\",\
//!      url_scheme=\"http\",http_response_status_code=\"200\",outcome=\"ok\"} 1\n",
//! ));
//! # Ok(())
//! # }
//! ```
//!
//! With axum the route is what the router has matched. It is known below the router: give the layer to `Router::layer`.
//!
//! ```
//! use axum::extract::{MatchedPath, Request};
//! use axum::{Router, routing::get};
//! use buttress_metrics::http::{Config, HttpMetricsLayer};
//! use buttress_metrics::{Registry, expose::Scrape};
//!
//! let registry = Registry::new();
//! let metrics = HttpMetricsLayer::server(Config::default(), &registry)?
//!     .route(|request: &Request| request.extensions().get().map(MatchedPath::as_str));
//! let app: Router = Router::new()
//!     .route("/items/{id}", get(|| async { "an item" }))
//!     .layer(metrics)
//!     .route_service("/metrics", Scrape::new(&registry)); // not measured itself
//! # Ok::<_, buttress_metrics::RegisterError>(())
//! ```

mod body;
mod config;
mod exchange;
mod families;
pub mod future;
mod judge;
mod label;
mod layer;
mod request_body;
mod service;

pub use body::Body;
pub use config::Config;
pub use judge::Statuses;
pub use label::Scheme;
pub use layer::HttpMetricsLayer;
pub use request_body::{BodySize, Counted, Declared, RequestBody};
pub use service::HttpMeasured;
