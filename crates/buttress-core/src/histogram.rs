use crate::Distribution;
use crate::distribution::{CELLS, cell, nanoseconds};
use std::fmt;
use std::time::Duration;

#[cfg(buttress_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(buttress_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Records how long things take, from many threads and without a lock; read it through
/// [`Histogram::snapshot`].
///
/// Its cells and what they can tell are those of [`Distribution`]. It takes 9.8 KB however much it has
/// counted, and keeps no samples. Where the durations are recorded under a lock anyway, record them into a
/// `Distribution`, which is cheaper.
///
/// # Examples
///
/// ```
/// use buttress_core::{Histogram, Ratio};
/// use std::time::Duration;
///
/// let waits = Histogram::new();
/// std::thread::scope(|scope| {
///     for millis in [1, 2, 3] {
///         let waits = &waits;
///         scope.spawn(move || waits.record(Duration::from_millis(millis)));
///     }
/// });
/// let waits = waits.snapshot();
/// assert_eq!((waits.count(), waits.sum()), (3, Duration::from_millis(6)));
/// assert_eq!(waits.quantile(Ratio::FULL), Some(Duration::from_millis(3)));
/// ```
pub struct Histogram(Box<Cells>);

struct Cells {
    /// In nanoseconds, modulo 2⁶⁴: ten thousand calls at a time get there in three weeks.
    sum: AtomicU64,
    /// How often the sum went round.
    carries: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    cells: [AtomicU64; CELLS],
}

impl Histogram {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new(Cells {
            sum: AtomicU64::new(0),
            carries: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            cells: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }

    /// Counts one duration: two additions to shared memory, and a third write only if there was none as
    /// short or as long before. Never waits, never allocates.
    #[inline]
    pub fn record(&self, took: Duration) {
        let Cells { sum, carries, min, max, cells } = &*self.0;
        let nanos = nanoseconds(took);
        // Relaxed: the cell's count publishes them.
        if sum.fetch_add(nanos, Ordering::Relaxed).checked_add(nanos).is_none() {
            carries.fetch_add(1, Ordering::Relaxed);
        }
        if nanos < min.load(Ordering::Relaxed) {
            min.fetch_min(nanos, Ordering::Relaxed);
        }
        if nanos > max.load(Ordering::Relaxed) {
            max.fetch_max(nanos, Ordering::Relaxed);
        }
        // Release: who sees this record counted sees its sum, minimum and maximum too.
        cells[cell(nanos)].fetch_add(1, Ordering::Release);
    }

    /// What was recorded until now.
    ///
    /// A record that is just being made is in the sum, minimum and maximum or not yet, but it is in the count
    /// only if it is in those. The count is always that of all cells.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        let mut snapshot = Distribution::new();
        for (copy, cell) in snapshot.cells.iter_mut().zip(&self.0.cells) {
            // Acquire: pairs with the release of each record that it counts.
            *copy = cell.load(Ordering::Acquire);
            snapshot.count += *copy;
        }
        // Relaxed: what must be seen was published by the cells. Of those who record meanwhile, one whose sum
        // went round and whose carry is not here yet makes this sum short, until the next look.
        let carries = self.0.carries.load(Ordering::Relaxed);
        snapshot.sum = u128::from(carries) << 64 | u128::from(self.0.sum.load(Ordering::Relaxed));
        snapshot.min = self.0.min.load(Ordering::Relaxed);
        snapshot.max = self.0.max.load(Ordering::Relaxed);
        snapshot
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use crate::distribution::tests::of;
    use std::sync::Barrier;

    /// Durations from 1 ns to over 73 minutes, differently long, and other ones for each `seed`.
    fn durations(seed: u64) -> impl Iterator<Item = Duration> {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        (1..=100_000_u64).map(move |n| {
            let any = (seed << 32 | n).wrapping_mul(GOLDEN);
            Duration::from_nanos(any >> (21 + any % 43))
        })
    }

    #[test]
    fn memory_is_what_the_docs_say() {
        assert_eq!(size_of::<Cells>(), 9768);
    }

    #[test]
    fn it_holds_what_a_distribution_holds() {
        let histogram = Histogram::new();
        durations(0).for_each(|took| histogram.record(took));
        let durations: Vec<_> = durations(0).collect();
        assert_eq!(histogram.snapshot(), of(&durations));
        assert_eq!(Histogram::new().snapshot(), Distribution::new());
    }

    #[test]
    fn a_sum_that_goes_round_is_carried() {
        let (histogram, ages) = (Histogram::new(), Duration::from_nanos(u64::MAX));
        for _ in 0..3 {
            histogram.record(ages);
        }
        assert_eq!(histogram.snapshot(), of(&[ages, ages, ages]));
    }

    #[test]
    fn no_record_of_any_thread_is_lost() {
        const THREADS: u64 = 4;
        let (histogram, together) = (Histogram::new(), Barrier::new(THREADS as usize));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (histogram, together) = (&histogram, &together);
                scope.spawn(move || {
                    together.wait();
                    durations(thread).for_each(|took| histogram.record(took));
                });
            }
        });
        let all: Vec<_> = (0..THREADS).flat_map(durations).collect();
        assert_eq!(histogram.snapshot(), of(&all));
    }
}

#[cfg(all(test, buttress_loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    const AGES: Duration = Duration::from_nanos(u64::MAX);

    fn recording(histogram: &Arc<Histogram>, durations: [Duration; 2]) -> thread::JoinHandle<()> {
        let histogram = Arc::clone(histogram);
        thread::spawn(move || durations.iter().for_each(|took| histogram.record(*took)))
    }

    #[test]
    fn loom_no_record_is_lost_nor_a_carry() {
        loom::model(|| {
            let [one, three] = [1, 3].map(Duration::from_nanos);
            let histogram = Arc::new(Histogram::new());
            let threads = [recording(&histogram, [three, AGES]), recording(&histogram, [one, three])];
            threads.into_iter().for_each(|thread| thread.join().expect("it only records"));
            let mut all = Distribution::new();
            [three, AGES, one, three].into_iter().for_each(|took| all.record(took));
            assert_eq!(histogram.snapshot(), all);
        });
    }

    #[test]
    fn loom_what_a_snapshot_counts_is_in_its_sum_minimum_and_maximum() {
        loom::model(|| {
            let [short, long] = [2, 40].map(Duration::from_nanos);
            let histogram = Arc::new(Histogram::new());
            // Into the cell that is looked at last, and into one of the first.
            let thread = recording(&histogram, [long, short]);
            let now = histogram.snapshot();
            match now.count() {
                0 => assert_eq!(now.max(), None),
                1 => assert!(now.sum() >= long && now.max() == Some(long) && now.min() <= Some(long)),
                _ => assert_eq!((now.sum(), now.min(), now.max()), (short + long, Some(short), Some(long))),
            }
            thread.join().expect("it only records");
        });
    }
}
