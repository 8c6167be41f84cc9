//! A pool of connections that survives what servers do: die, hang, and come back.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;

pub use config::{Config, InvalidSize, Size};
