use std::fmt;

/// A moment in a batcher's life that a person would log.
///
/// The observer knows which batcher it watches, so the event does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The service answered a batch, or its `poll_ready`, with an error.
    Failed {
        /// How many callers were told.
        callers: usize,
    },
    /// The service panicked over a batch.
    Panicked {
        /// How many callers were refused.
        callers: usize,
    },
    /// The service gave too few results or too many, so nobody knows whose they are.
    Miscounted {
        /// How many requests were sent.
        sent: usize,
        /// How many results came back.
        results: usize,
    },
    /// The driver's runtime has ended before it did.
    Lost {
        /// How many callers were refused.
        callers: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { callers } => write!(f, "a batch of {callers} failed"),
            Self::Panicked { callers } => write!(f, "the service panicked over a batch of {callers}"),
            Self::Miscounted { sent, results } => {
                write!(f, "the service gave {results} results for {sent} requests")
            }
            Self::Lost { callers } => {
                write!(f, "its runtime has ended, with {callers} requests on their way")
            }
        }
    }
}
