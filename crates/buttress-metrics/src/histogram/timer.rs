use super::Histogram;
use std::time::Duration;
use tokio::time::Instant;

/// A clock that was started by [`Histogram::timer`], and that records when it is dropped.
#[must_use = "it stops at once if it is not kept"]
#[derive(Debug)]
pub struct Timer {
    histogram: Histogram,
    start: Instant,
    is_on: bool,
}

impl Timer {
    pub(super) fn new(histogram: Histogram) -> Self {
        Self { histogram, start: Instant::now(), is_on: true }
    }

    /// Records now, and tells what.
    #[expect(clippy::must_use_candidate, reason = "what it does is to record")]
    pub fn stop(mut self) -> Duration {
        self.is_on = false;
        let took = self.start.elapsed();
        self.histogram.record(took);
        took
    }

    /// Records nothing.
    pub fn discard(mut self) {
        self.is_on = false;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_on {
            self.histogram.record(self.start.elapsed());
        }
    }
}
