use crate::KIND;
use crate::core::{Nanos, Why};
use buttress_core::{Name, Reason, Rejected};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a connect, a check or a recycle failed, shared by all who are told.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a pool gave no connection.
///
/// What failed below is its [`source`](std::error::Error::source), where there is such a thing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The time to wait is over. Hold leases for a shorter time, or make the pool larger, unless there is a cause.
    Timeout {
        /// How long it waited.
        waited: Duration,
        /// How many leases were out.
        in_use: u64,
        /// How many waited, this one included.
        waiters: u32,
        /// The last failure since it began to wait, or of the outage that goes on.
        cause: Option<Cause>,
    },
    /// Too many wait already. Back off.
    QueueFull {
        /// How many.
        waiters: u32,
    },
    /// Connects fail and no connection is left. Come back when the next one has been tried. The one who asks first after a
    /// time in which nobody did is not refused so: the next one is tried for it, and it waits, as do those who come
    /// meanwhile.
    Down {
        /// Since when.
        since: Instant,
        /// How long until the next connect is tried.
        retry_after: Duration,
        /// Why the last one failed.
        cause: Cause,
    },
    /// The pool was closed, or the runtime that it lived on has ended. Go elsewhere.
    Closed,
}

impl Error {
    pub(crate) fn new(why: Why<Cause>, base: Instant, now: Nanos) -> Self {
        match why {
            Why::Timeout { waited, in_use, waiters, cause } => {
                Self::Timeout { waited: Duration::from_nanos(waited), in_use, waiters: waiters.max(1), cause }
            }
            Why::QueueFull { waiters } => Self::QueueFull { waiters },
            Why::Down { since, until, cause } => Self::Down {
                since: base + Duration::from_nanos(since),
                retry_after: Duration::from_nanos(until.saturating_sub(now)),
                cause,
            },
            Why::Closed => Self::Closed,
        }
    }

    /// What a layer says of it. The cause stays with the pool: a refusal is small, and knows no type of a manager's.
    pub(crate) fn rejected(&self, name: Name) -> Rejected {
        let rejected = Rejected::new(KIND, name, self.reason());
        match *self {
            Self::Down { retry_after, .. } => rejected.after(retry_after),
            _ => rejected,
        }
    }

    /// What a caller can do about it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Timeout { .. } => Reason::TimedOut,
            Self::QueueFull { .. } => Reason::Overloaded,
            Self::Down { .. } => Reason::Unavailable,
            Self::Closed => Reason::Closed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { waited, in_use, waiters, .. } => {
                write!(f, "no connection within {waited:?}: {in_use} in use, {waiters} waiting")
            }
            Self::QueueFull { waiters } => write!(f, "{waiters} wait for a connection already"),
            Self::Down { retry_after, .. } => {
                write!(f, "no connection can be made, the next is tried in {retry_after:?}")
            }
            Self::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Timeout { cause: Some(cause), .. } | Self::Down { cause, .. } => Some(&**cause),
            _ => None,
        }
    }
}

/// What ended otherwise than with an error of the manager's.
#[derive(Debug)]
pub(crate) enum Failure {
    TimedOut { what: &'static str, after: Duration },
    Panicked { what: &'static str },
    Dropped { what: &'static str },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { what, after } => write!(f, "the {what} took longer than {after:?}"),
            Self::Panicked { what } => write!(f, "the {what} panicked"),
            Self::Dropped { what } => write!(f, "the {what} was dropped before its end"),
        }
    }
}

impl std::error::Error for Failure {}

/// An error with what it comes from, which many drivers leave to `source`.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut below = std::iter::successors(self.0.source(), |error| error.source());
        below.try_for_each(|error| write!(f, ": {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|below| below as _)
        }
    }

    #[test]
    fn a_chain_says_what_an_error_comes_from() {
        let error =
            Layer("no connection", Some(Layer("refused", Some(Layer("ECONNREFUSED", None).into())).into()));
        assert_eq!(Chain(&error).to_string(), "no connection: refused: ECONNREFUSED");
        assert_eq!(Chain(&Failure::Panicked { what: "check" }).to_string(), "the check panicked");
    }
}
