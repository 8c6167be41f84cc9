use std::fmt;
use std::time::Duration;

/// A moment in a breaker's life that a person would log. Each transition gives exactly one.
///
/// The observer knows which breaker it watches, so the event does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It refuses calls from now on.
    Opened {
        /// The rule that was broken.
        cause: Cause,
        /// For how long, at least.
        open_for: Duration,
    },
    /// The open time is over and the first probe is on its way.
    HalfOpened,
    /// The probes succeeded; calls are admitted again, step by step if a ramp is set.
    Closed,
    /// An operator holds it open.
    ForcedOpen,
    /// An operator holds it closed.
    ForcedClosed,
    /// An operator let go: held open before, it probes now; held closed before, it starts anew.
    Released,
    /// An operator made it forget: closed, windows empty.
    Reset,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Opened { cause, open_for } => write!(f, "opened for {open_for:?}: {cause}"),
            Event::HalfOpened => f.write_str("probing"),
            Event::Closed => f.write_str("closed"),
            Event::ForcedOpen => f.write_str("forced open"),
            Event::ForcedClosed => f.write_str("forced closed"),
            Event::Released => f.write_str("released"),
            Event::Reset => f.write_str("reset"),
        }
    }
}

/// The rule that opened a breaker, with the numbers that broke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// So many failures with no success between them.
    ConsecutiveFailures {
        /// How many.
        failures: u64,
    },
    /// Too large a share of the calls in the window failed.
    FailureRatio {
        /// Failures in the window.
        failures: u64,
        /// Calls in the window.
        calls: u64,
    },
    /// So many failures within a period.
    FailuresWithin {
        /// How many.
        failures: u64,
    },
    /// Too large a share of the calls in the window was slow.
    SlowCalls {
        /// Slow calls in the window.
        slow: u64,
        /// Calls in the window.
        calls: u64,
    },
    /// Too many probes failed or were slow.
    ProbesFailed {
        /// How many did.
        failed: u64,
        /// Out of how many results.
        probes: u64,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::ConsecutiveFailures { failures } => write!(f, "{failures} failures in a row"),
            Cause::FailureRatio { failures, calls } => write!(f, "{failures} of {calls} calls failed"),
            Cause::FailuresWithin { failures } => write!(f, "{failures} failures within the period"),
            Cause::SlowCalls { slow, calls } => write!(f, "{slow} of {calls} calls were slow"),
            Cause::ProbesFailed { failed, probes } => write!(f, "{failed} of {probes} probes failed"),
        }
    }
}

/// An [`Event`] of the breaker of one key. `Debug` does not print the key: keys are often names of customers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keyed<K> {
    /// Whose breaker it is.
    pub key: K,
    /// What happened.
    pub event: Event,
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("event", &self.event).finish_non_exhaustive()
    }
}
