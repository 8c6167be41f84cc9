use crate::gauge::change;
use crate::primitive::{AtomicU64, Ordering};
use std::fmt::Debug;
use std::time::Duration;

/// What a histogram can count: a [`Duration`], a whole number, or any other number that is not negative.
///
/// There is nothing to implement. A histogram of durations publishes seconds, and nobody can give it milliseconds.
pub trait Value: sealed::Sealed + Copy + Debug + PartialEq + Send + Sync + 'static {}

impl Value for Duration {}
impl Value for u64 {}
impl Value for f64 {}

/// The sum of all values, in ticks.
#[derive(Debug)]
pub struct Sum {
    /// Of whole ticks the lower halves, or else all of it.
    low: AtomicU64,
    /// How often `low` has passed a multiple of 2⁶³. Only for whole ticks.
    passed: AtomicU64,
    /// The upper halves of whole ticks.
    high: AtomicU64,
}

const HALF: u64 = 1 << 63;
/// What one value adds at most: 146 years, or 4 EiB. It takes 2³⁴ of these to go round.
const MOST: u64 = 1 << 62;

impl Sum {
    pub(crate) fn new() -> Self {
        Self { low: AtomicU64::new(0), passed: AtomicU64::new(0), high: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn add_whole(&self, ticks: u64) {
        let ticks = ticks.min(MOST);
        let (high, low) = (ticks >> 32, ticks & u64::from(u32::MAX));
        if high > 0 {
            // Relaxed: as below.
            self.high.fetch_add(high, Ordering::Relaxed);
        }
        self.add_low(low);
    }

    /// Adds less than 2⁶³.
    #[inline]
    pub(crate) fn add_low(&self, ticks: u64) {
        // Relaxed: the count of the value's cell publishes it.
        let before = self.low.fetch_add(ticks, Ordering::Relaxed);
        if (before ^ before.wrapping_add(ticks)) & HALF != 0 {
            self.pass();
        }
    }

    #[cold]
    fn pass(&self) {
        // Release: who sees it sees `low` past the half.
        self.passed.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn whole(&self) -> u128 {
        // Acquire: pairs with the release in `pass`, so that `low` is at least as far as `passed` says.
        let passed = self.passed.load(Ordering::Acquire);
        // Relaxed: the cells have published what must be seen.
        let (low, high) = (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed));
        // The upper bit of `low` is the last bit of how often it has passed a half. Where it is not, `low` has just passed
        // one and that is not counted yet. No two are missing: there are 2³¹ values from one to the next.
        let passed = u128::from(passed) + u128::from((passed & 1) ^ (low >> 63));
        (passed << 63) + u128::from(low & !HALF) + (u128::from(high) << 32)
    }

    #[inline]
    pub(crate) fn add_float(&self, value: f64) {
        change(&self.low, |sum| (sum + value).min(f64::MAX));
    }

    fn float(&self) -> f64 {
        f64::from_bits(self.low.load(Ordering::Relaxed))
    }
}

/// Whole ticks as a float. Those over 2⁵³ are rounded, far beyond all cells.
#[inline]
fn float(ticks: u64) -> f64 {
    // Signed, since one instruction does that.
    ticks.min(i64::MAX as u64) as i64 as f64
}

/// Over 584 years it counts as those.
#[inline]
fn nanoseconds(took: Duration) -> u64 {
    took.as_secs().saturating_mul(1_000_000_000).saturating_add(took.subsec_nanos().into())
}

pub(crate) mod sealed {
    use super::*;

    pub trait Sealed: Sized {
        /// How many ticks are one unit.
        const TICKS: f64 = 1.0;
        /// What a bound must be below, in ticks.
        const LARGEST: f64 = 9_007_199_254_740_992.0;
        /// The value in ticks. What is negative or not a number cannot be counted.
        fn ticks(self) -> f64;
        /// The octaves that cells cover, where the bounds need at least these.
        fn range(least: i32, most: i32) -> (i32, i32);
        fn add_to(self, sum: &Sum);
        fn of(sum: &Sum) -> f64;
    }

    impl Sealed for Duration {
        const TICKS: f64 = 1e9;

        #[inline]
        fn ticks(self) -> f64 {
            float(nanoseconds(self))
        }

        fn range(least: i32, most: i32) -> (i32, i32) {
            // 512 ns and 73 minutes.
            (least.min(9), most.max(42))
        }

        #[inline]
        fn add_to(self, sum: &Sum) {
            sum.add_whole(nanoseconds(self));
        }

        fn of(sum: &Sum) -> f64 {
            sum.whole() as f64 / Self::TICKS
        }
    }

    impl Sealed for u64 {
        #[inline]
        fn ticks(self) -> f64 {
            float(self)
        }

        fn range(least: i32, most: i32) -> (i32, i32) {
            // There is nothing between zero and one.
            (least.max(0), most)
        }

        #[inline]
        fn add_to(self, sum: &Sum) {
            sum.add_whole(self);
        }

        fn of(sum: &Sum) -> f64 {
            sum.whole() as f64
        }
    }

    impl Sealed for f64 {
        const LARGEST: f64 = f64::INFINITY;

        #[inline]
        fn ticks(self) -> f64 {
            self
        }

        fn range(least: i32, most: i32) -> (i32, i32) {
            (least, most)
        }

        #[inline]
        fn add_to(self, sum: &Sum) {
            // Infinity is counted; a sum cannot hold it.
            if self.is_finite() {
                sum.add_float(self);
            }
        }

        fn of(sum: &Sum) -> f64 {
            sum.float()
        }
    }
}
