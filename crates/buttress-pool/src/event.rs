use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// A moment in a pool's life that a person would log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A lease is out for longer than [`Config::leak_after`](crate::Config::leak_after). Told once for each.
    Leaked {
        /// Where it was asked for.
        by: &'static Location<'static>,
        /// How long it has been out.
        out_for: Duration,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaked { by, out_for } => write!(f, "the lease from {by} is out for {out_for:?}"),
        }
    }
}
