use crate::drops::Dropped;
use std::fmt;
use std::sync::Arc;

/// A moment in a registry's life that a person would log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something was left out for the first time for this metric and reason. What follows is only counted.
    Dropped {
        /// The metric; empty where it has no name that could be shown.
        metric: Arc<str>,
        /// Why.
        reason: Dropped,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { metric, reason } if metric.is_empty() => write!(f, "dropped: {reason}"),
            Self::Dropped { metric, reason } => write!(f, "dropped from `{metric}`: {reason}"),
        }
    }
}
