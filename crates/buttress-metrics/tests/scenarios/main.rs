//! What the metrics promise, one file for each part of them.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod calls;
mod edges;
mod exact;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_edges;
mod names;
mod parts;
#[cfg(feature = "recorder")]
mod recorder;
mod registry;
#[cfg(feature = "http")]
mod request_bodies;
mod rows;
#[cfg(feature = "http")]
mod scrape;
#[cfg(feature = "http")]
mod sockets;
