//! The windows that shares of failures are taken of: O(1) in time per call, fixed in memory.

use super::Nanos;
use std::collections::VecDeque;

/// What is in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

impl Tally {
    fn add(&mut self, failed: bool, slow: bool) {
        self.calls += 1;
        self.failures += u64::from(failed);
        self.slow += u64::from(slow);
    }
}

/// The last `size` calls. Only bad ones are kept, by their position in the sequence of all calls, so that a
/// good one costs a count and nothing else.
#[derive(Debug)]
pub(crate) struct CallWindow {
    size: u64,
    /// Calls so far; the position of the next one.
    position: u64,
    bad: VecDeque<Bad>,
    failures: u64,
    slow: u64,
}

/// A call that failed, was slow, or both: its position times four, and two bits.
#[derive(Clone, Copy, Debug)]
struct Bad(u64);

impl Bad {
    fn new(position: u64, failed: bool, slow: bool) -> Self {
        Self(position << 2 | u64::from(failed) << 1 | u64::from(slow))
    }

    fn position(self) -> u64 {
        self.0 >> 2
    }

    fn failed(self) -> u64 {
        self.0 >> 1 & 1
    }

    fn slow(self) -> u64 {
        self.0 & 1
    }
}

impl CallWindow {
    pub(crate) fn new(size: u16) -> Self {
        let bad = VecDeque::with_capacity(size.into());
        Self { size: size.into(), position: 0, bad, failures: 0, slow: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.bad.clear();
        (self.position, self.failures, self.slow) = (0, 0, 0);
    }

    pub(crate) fn add_good(&mut self, calls: u64) {
        self.position += calls;
    }

    pub(crate) fn add(&mut self, failed: bool, slow: bool) {
        if failed || slow {
            self.forget(self.position + 1);
            self.bad.push_back(Bad::new(self.position, failed, slow));
            self.failures += u64::from(failed);
            self.slow += u64::from(slow);
        }
        self.position += 1;
    }

    /// Drops what is no longer among the last `size` of `calls` calls.
    fn forget(&mut self, calls: u64) {
        let first = calls.saturating_sub(self.size);
        while let Some(&bad) = self.bad.front() {
            if bad.position() >= first {
                break;
            }
            self.bad.pop_front();
            self.failures -= bad.failed();
            self.slow -= bad.slow();
        }
    }

    pub(crate) fn tally(&mut self) -> Tally {
        self.forget(self.position);
        Tally { calls: self.position.min(self.size), failures: self.failures, slow: self.slow }
    }
}

/// The calls of the last tenths of a period: the present one and the nine before.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// The length of a tenth.
    tenth: Nanos,
    /// The number of the present tenth, counted from the beginning of time.
    present: u64,
    tenths: [Tally; Self::TENTHS],
    sum: Tally,
}

impl TimeWindow {
    const TENTHS: usize = 10;

    pub(crate) fn new(period: Nanos, now: Nanos) -> Self {
        let tenth = (period / Self::TENTHS as u64).max(1);
        Self { tenth, present: now / tenth, tenths: Default::default(), sum: Tally::default() }
    }

    pub(crate) fn clear(&mut self, now: Nanos) {
        *self =
            Self { present: now / self.tenth, tenths: Default::default(), sum: Tally::default(), ..*self };
    }

    /// When the present tenth ends.
    pub(crate) fn tick_end(&self) -> Nanos {
        (self.present + 1).saturating_mul(self.tenth)
    }

    /// Goes on to the tenth of `now`; never back, since `now` was read before a lock was waited for.
    pub(crate) fn turn(&mut self, now: Nanos) {
        let next = now / self.tenth;
        if next <= self.present {
            return;
        }
        // After a whole period every tenth is old, however many have passed.
        for turned in 0..(next - self.present).min(Self::TENTHS as u64) {
            let index = Self::index(self.present + 1 + turned);
            let old = std::mem::take(&mut self.tenths[index]);
            self.sum.calls -= old.calls;
            self.sum.failures -= old.failures;
            self.sum.slow -= old.slow;
        }
        self.present = next;
    }

    /// Adds calls to the present tenth.
    pub(crate) fn add_good(&mut self, calls: u64) {
        self.tenth_mut().calls += calls;
        self.sum.calls += calls;
    }

    pub(crate) fn add(&mut self, failed: bool, slow: bool) {
        self.tenth_mut().add(failed, slow);
        self.sum.add(failed, slow);
    }

    fn index(tenth: u64) -> usize {
        (tenth % Self::TENTHS as u64) as usize
    }

    fn tenth_mut(&mut self) -> &mut Tally {
        &mut self.tenths[Self::index(self.present)]
    }

    pub(crate) fn tally(&self) -> Tally {
        self.sum
    }
}

/// The times of the last failures, as many as open the breaker.
#[derive(Debug)]
pub(crate) struct FailureTimes {
    limit: usize,
    within: Nanos,
    times: VecDeque<Nanos>,
}

impl FailureTimes {
    pub(crate) fn new(limit: u16, within: Nanos) -> Self {
        let limit = usize::from(limit);
        Self { limit, within, times: VecDeque::with_capacity(limit) }
    }

    pub(crate) fn clear(&mut self) {
        self.times.clear();
    }

    /// Adds a failure, and says whether the last `limit` of them lie within the period.
    pub(crate) fn add(&mut self, now: Nanos) -> bool {
        if self.times.len() == self.limit {
            self.times.pop_front();
        }
        self.times.push_back(now);
        let first = self.times.front().copied().unwrap_or(now);
        self.times.len() == self.limit && now.saturating_sub(first) <= self.within
    }
}
