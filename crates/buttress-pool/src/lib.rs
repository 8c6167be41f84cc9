//! A pool of connections that survives what servers do: die, hang, and come back.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
#[cfg_attr(not(test), expect(dead_code, reason = "the shell follows"))]
mod core;
#[cfg(test)]
mod model;

pub use config::{Config, InvalidSize, Size};
