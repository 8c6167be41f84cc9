use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

/// Shares one state between many calls without making them meet: one `Arc` per lane, and each thread
/// takes its own.
///
/// A response future often needs to hold the state of its layer. If all of them clone one `Arc`, two
/// threads fight over its count: 13 ns alone become 90 (`cargo xtask compare breaker` prints such a row).
/// With one `Arc` per lane both stay at 13. What is in a lane should be small: a reference to the real
/// state, and whatever this lane counts.
///
/// A lane is held for as long as a clone of its `Arc` lives, so [`Lanes::held`] tells how many calls are
/// in flight and costs nothing until somebody asks.
///
/// # Examples
///
/// ```
/// use buttress_core::Lanes;
/// use std::sync::{Arc, OnceLock};
///
/// let lanes = Lanes::new(|index| index);
/// let call = Arc::clone(lanes.here());
/// assert_eq!(lanes.held(), 1);
/// drop(call);
/// assert_eq!(lanes.held(), 0);
/// ```
pub struct Lanes<T>(Arc<[Arc<Lane<T>>]>);

/// One lane; reads as the value it holds.
///
/// It begins on a cache line of its own, so that neighbouring lanes' reference counts stay apart (128
/// bytes: Intel fetches lines in pairs, Apple's are that long).
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane<T>(T);

impl<T> Lane<T> {
    /// A lane that stands alone, for a state with one counter.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> std::ops::Deref for Lane<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Lanes<T> {
    /// How many lanes there are: twice the cores, a power of two from 8 to 32, so that two busy threads
    /// seldom share one.
    #[must_use]
    pub fn count() -> usize {
        // Read once: an affinity that changes later must not change how many there are.
        static COUNT: OnceLock<usize> = OnceLock::new();
        *COUNT.get_or_init(|| {
            let cores = available_parallelism().map_or(1, usize::from);
            (2 * cores).next_power_of_two().clamp(8, 32)
        })
    }

    /// Makes [`Lanes::count`] lanes, each from its index.
    #[must_use]
    pub fn new(mut make: impl FnMut(usize) -> T) -> Self {
        Self((0..Self::count()).map(|index| Arc::new(Lane::new(make(index)))).collect())
    }

    /// The lane of the calling thread.
    #[inline]
    #[must_use]
    pub fn here(&self) -> &Arc<Lane<T>> {
        &self.0[thread_number() & (self.0.len() - 1)]
    }

    /// How many clones of a lane's `Arc` are alive.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.iter().map(|lane| Arc::strong_count(lane) - 1).sum()
    }

    /// All lanes, by index.
    #[must_use]
    pub fn all(&self) -> &[Arc<Lane<T>>] {
        &self.0
    }
}

fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // Relaxed: the numbers only have to differ.
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

impl<T> Clone for Lanes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Lanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("count", &self.0.len())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_lane_and_neighbours_get_others() {
        let lanes = Lanes::new(|index| index);
        let mine = ***lanes.here();
        assert_eq!(***lanes.here(), mine);
        let other = std::thread::scope(|scope| {
            scope.spawn(|| (thread_number(), ***lanes.here())).join().expect("no panic inside")
        });
        assert_eq!(other.1, other.0 % Lanes::<usize>::count());
    }

    #[test]
    fn lanes_do_not_share_cache_lines() {
        assert!(align_of::<Lane<u64>>() >= 128);
        assert!(Lanes::<u64>::count().is_power_of_two());
    }
}
