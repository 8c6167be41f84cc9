use crate::core::News;
use crate::error::{Cause, Chain};
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// A moment in a pool's life that a person would log.
///
/// It is not `Copy`: an observer cannot ask the pool for the cause, since one that holds its pool would keep it for ever.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connect failed, the first since one succeeded. Told once until [`Up`](Event::Up); what is left is lent meanwhile.
    Down {
        /// Why it failed.
        cause: Cause,
        /// How many connections are left, dead ones that nobody has found yet among them.
        left: u32,
    },
    /// A connect succeeded after others had failed.
    Up {
        /// How long after the first of those.
        after: Duration,
    },
    /// A lease is out for longer than [`Config::leak_after`](crate::Config::leak_after). Told once for each.
    Leaked {
        /// Where it was asked for.
        by: &'static Location<'static>,
        /// How long it has been out.
        out_for: Duration,
    },
}

impl From<News<Cause>> for Event {
    fn from(news: News<Cause>) -> Self {
        match news {
            News::Down { cause, left } => Self::Down { cause, left },
            News::Up(after) => Self::Up { after: Duration::from_nanos(after) },
            News::Leaked(leak) => Self::Leaked { by: leak.by, out_for: Duration::from_nanos(leak.out_for) },
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { cause, left } => {
                write!(f, "connects fail, connections left: {left}: {}", Chain(&**cause))
            }
            Self::Up { after } => write!(f, "connects work again after {after:?}"),
            Self::Leaked { by, out_for } => write!(f, "the lease from {by} is out for {out_for:?}"),
        }
    }
}
