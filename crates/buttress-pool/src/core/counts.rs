//! What a pool counts: plain integers, since the lock is held where they change.

use super::Nanos;
use buttress_core::Distribution;
use std::time::Duration;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Close {
    /// Its lease came back and it was broken.
    Broken,
    /// Its lease was marked dirty, or came back in the midst of a panic.
    Dirty,
    /// Its lease was detached: it lives on, outside the pool.
    Detached,
    /// It failed a check, or could not be made ready for its next user.
    Unfit,
    /// The check of it was cancelled, so nobody knows what it would have answered.
    Cancelled,
    /// It was as old as connections get.
    Aged,
    /// Nobody had used it for long.
    Idle,
    /// The pool was made smaller.
    Surplus,
    /// The pool was closed.
    Closed,
}

impl Close {
    /// All reasons, in the order of their counts.
    pub(crate) const ALL: [Self; 9] = [
        Self::Broken,
        Self::Dirty,
        Self::Detached,
        Self::Unfit,
        Self::Cancelled,
        Self::Aged,
        Self::Idle,
        Self::Surplus,
        Self::Closed,
    ];

    /// What metrics call it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Dirty => "dirty",
            Self::Detached => "detached",
            Self::Unfit => "unfit",
            Self::Cancelled => "cancelled",
            Self::Aged => "aged",
            Self::Idle => "idle",
            Self::Surplus => "surplus",
            Self::Closed => "closed",
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timed {
    /// From a get to its lease.
    Wait,
    /// From a lease to its return.
    Use,
    Connect,
    Check,
}

/// Takes the times. One place that knows them all, whatever keeps them.
#[derive(Debug, Default)]
pub(crate) struct Times {
    each: [Distribution; 4],
}

impl Times {
    #[inline]
    pub(crate) fn record(&mut self, what: Timed, time: Nanos) {
        self.each[what as usize].record(Duration::from_nanos(time));
    }

    pub(crate) fn of(&self, what: Timed) -> &Distribution {
        &self.each[what as usize]
    }
}

/// Totals. `gets` is the sum of the next seven, of who waits, and of who has been granted or checks a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) gets: u64,
    pub(crate) served: u64,
    pub(crate) timeouts: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_down: u64,
    pub(crate) refused_closed: u64,
    /// Connects begun, and how many of those failed.
    pub(crate) connects: u64,
    pub(crate) connects_failed: u64,
    pub(crate) checks: u64,
    pub(crate) checks_failed: u64,
    /// Connections made, and closed by reason.
    pub(crate) created: u64,
    pub(crate) closed: [u64; Close::ALL.len()],
    pub(crate) leaks: u64,
}
