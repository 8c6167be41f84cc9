//! Ends calls that take too long.
//!
//! [`TimeoutLayer`] gives each call a limit, counted from `call` to the response, and answers
//! [`Reason::TimedOut`] when it is over. The error type stays the service's own, nothing is boxed and
//! nothing is allocated. It is an *in place* layer: it asks for nothing beyond `Service`, so services that
//! are neither `Send` nor `Clone` work.
//!
//! What it does not bound: the time that the caller waits in `poll_ready`, since no request is known
//! there; to bound the whole, put the caller's deadline into the request and read it with
//! [`TimeoutLayer::deadline`]. And a response is complete when its future ends: a body that is streamed
//! afterwards has all the time it wants.
//!
//! The inner future is dropped together with the response future, not at the moment of the refusal; what
//! the work itself has done by then stays done.
//!
//! This is the smallest layer in the workspace and the template for the next one: `config` is what can be
//! set, `layer` makes services that share one state, `service` and `future` are the tower shell, `handle`
//! is what others may see.
//!
//! # Examples
//!
//! A request may bring its own deadline; the earlier of the two counts:
//!
//! ```
//! use buttress_core::{Error, Reason};
//! use buttress_limit::TimeoutLayer;
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tokio::time::Instant;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! struct Query { deadline: Option<std::time::Instant> }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let layer = TimeoutLayer::new("search", Duration::from_secs(30)).deadline(|query: &Query| query.deadline);
//! let handle = layer.handle();
//! let mut search = ServiceBuilder::new()
//!     .layer(layer)
//!     .map_err(Error::<Infallible>::Inner)
//!     .service(service_fn(|_: Query| std::future::pending::<Result<(), Infallible>>()));
//!
//! let start = Instant::now();
//! let deadline = Some((start + Duration::from_millis(20)).into_std());
//! let refused = search.ready().await.unwrap().call(Query { deadline }).await.unwrap_err();
//! assert_eq!(refused.rejected().map(|r| r.reason()), Some(Reason::TimedOut));
//! assert_eq!(start.elapsed(), Duration::from_millis(20));
//! assert_eq!(handle.stats().timed_out, 1);
//! # }
//! ```
//!
//! [`Reason::TimedOut`]: buttress_core::Reason::TimedOut

mod config;
pub mod future;
mod handle;
mod layer;
mod service;

pub use config::Config;
pub use handle::{Handle, Stats};
pub use layer::{Deadline, TimeoutLayer};
pub use service::Timeout;
