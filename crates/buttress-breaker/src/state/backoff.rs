//! How long to stay open.

use super::{Nanos, nanos};
use crate::Config;
use std::time::Duration;

/// Doubles the open time with each failed recovery, and forgets after a stable close.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Recoveries that failed since the last stable close.
    failed: u32,
    /// The last open time, without jitter and without what the service asked for; `None` if it has never opened
    /// by itself.
    last: Option<Nanos>,
    /// When it closed after having been open.
    closed_at: Option<Nanos>,
    random: fastrand::Rng,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { failed: 0, last: None, closed_at: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// The open time of a breaker that opens out of a closed state. A close was stable if it lasted as long
    /// as the open time before it; one that was not is a failed recovery like any other.
    pub(crate) fn opens(&mut self, now: Nanos, config: &Config, asked: Option<Duration>) -> Nanos {
        self.failed = match (self.closed_at.take(), self.last) {
            (Some(closed_at), Some(last)) if now.saturating_sub(closed_at) < last => {
                self.failed.saturating_add(1)
            }
            _ => 0,
        };
        self.next(config, asked)
    }

    /// The open time of a breaker whose probes failed.
    pub(crate) fn reopens(&mut self, config: &Config, asked: Option<Duration>) -> Nanos {
        if self.last.is_some() {
            self.failed = self.failed.saturating_add(1);
        }
        self.next(config, asked)
    }

    pub(crate) fn closes(&mut self, now: Nanos) {
        self.closed_at = Some(now);
    }

    pub(crate) fn reset(&mut self) {
        (self.failed, self.last, self.closed_at) = (0, None, None);
    }

    /// The last open time, without jitter.
    pub(crate) fn last(&self) -> Nanos {
        self.last.unwrap_or(0)
    }

    fn next(&mut self, config: &Config, asked: Option<Duration>) -> Nanos {
        let first = nanos(config.open_for);
        let max = nanos(config.open_max).max(first);
        // 2^63 times anything but zero is over any maximum.
        let open_for = first.saturating_mul(1 << self.failed.min(63)).min(max);
        self.last = Some(open_for);
        let most = u128::from(open_for) * u128::from(config.open_jitter.millionths()) / 1_000_000;
        let jitter = self.random.u64(0..=most as u64);
        let asked = nanos(asked.unwrap_or_default()).min(max);
        open_for.saturating_add(jitter).max(asked)
    }
}
