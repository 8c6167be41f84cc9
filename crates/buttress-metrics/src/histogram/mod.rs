mod buckets;
mod grid;
mod snapshot;
mod timer;
mod value;

pub use buckets::{Buckets, InvalidBuckets};
pub use snapshot::{Bucket, Exemplar, Snapshot};
pub use timer::Timer;
pub use value::Value;

pub(crate) use grid::Grid;
#[cfg(all(test, buttress_loom))]
pub(crate) use value::Sum;

use crate::drops::{Dropped, Drops};
use crate::primitive::{AtomicU64, Ordering};
use crate::trace::TraceId;
use parking_lot::Mutex;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
#[cfg(not(all(test, buttress_loom)))]
use value::Sum;

/// Counts values by their size: how long things took, or how large they were. Clones are the same histogram.
///
/// It keeps no samples. A value is counted in one of about a thousand cells, of which the published buckets are sums,
/// exact for any bounds; quantiles of a [`Snapshot`] are at most 3.2 % over the exact ones, in the range that
/// [`Buckets`] says. With the default bounds it takes 8.5 KB, however much it has counted.
///
/// Of numbers ([`f64`]), what is negative or not a number is left out and counted as [dropped](crate::Dropped);
/// infinity is counted, and is not in the sum. The sum stays finite whatever comes.
///
/// # Examples
///
/// ```
/// use buttress_core::{Metric, Ratio};
/// use buttress_metrics::{Buckets, Registry};
/// use std::time::Duration;
///
/// const TOOK: Metric = Metric { name: "job_duration_seconds", unit: "seconds", help: "how long jobs take" };
///
/// let registry = Registry::new();
/// let took = registry.histogram(&TOOK, &Buckets::default())?;
/// took.record(Duration::from_millis(30));
/// let job = took.timer(); // records when it is dropped, however this scope is left
/// drop(job);
///
/// let snapshot = took.snapshot();
/// assert_eq!(snapshot.count(), 2);
/// assert!(snapshot.quantile(Ratio::FULL).is_some_and(|longest| longest >= 0.03 && longest < 0.031));
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
pub struct Histogram<V: Value = Duration> {
    pub(crate) cells: Arc<Cells>,
    value: PhantomData<fn(V)>,
}

pub(crate) struct Cells {
    sum: Sum,
    grid: Arc<Grid>,
    cells: Box<[AtomicU64]>,
    drops: Arc<Drops>,
    /// The last exemplar of each bucket, once there was one.
    exemplars: OnceLock<Box<[Mutex<Option<Exemplar>>]>>,
}

impl Cells {
    pub(crate) fn new(grid: Arc<Grid>, drops: Arc<Drops>) -> Self {
        let cells = (0..grid.len()).map(|_| AtomicU64::new(0)).collect();
        Self { sum: Sum::new(), grid, cells, drops, exemplars: OnceLock::new() }
    }

    /// Counts a value and says in which cell, or leaves it out.
    #[inline]
    pub(crate) fn record<V: Value>(&self, value: V) -> Option<usize> {
        let ticks = value.ticks();
        // NaN is not at least anything.
        if ticks >= 0.0 {
            // Minus zero is zero, and has other bits.
            let cell = self.grid.cell(ticks.abs());
            value.add_to(&self.sum);
            // Release: who sees this value counted sees it in the sum too.
            self.cells[cell].fetch_add(1, Ordering::Release);
            return Some(cell);
        }
        self.refuse(ticks, 1);
        None
    }

    /// Counts a number so often at once.
    #[cfg(feature = "recorder")]
    pub(crate) fn record_many(&self, value: f64, times: u64) {
        let Some(rest) = times.checked_sub(1) else { return };
        let Some(cell) = self.record(value) else { return self.refuse(value, rest) };
        if value.is_finite() {
            self.sum.add_float(value * rest as f64);
        }
        // Release: as in `record`.
        self.cells[cell].fetch_add(rest, Ordering::Release);
    }

    #[cold]
    fn refuse(&self, ticks: f64, times: u64) {
        self.drops.add(if ticks.is_nan() { Dropped::Nan } else { Dropped::Negative }, times);
    }

    /// Remembers a trace for a value that was counted in `cell`, unless somebody is just doing that.
    #[cold]
    fn remember(&self, cell: usize, ticks: f64, trace: TraceId) {
        let buckets = self.grid.ends().len() + 1;
        let exemplars = self.exemplars.get_or_init(|| (0..buckets).map(|_| Mutex::new(None)).collect());
        if let Some(mut slot) = exemplars[self.grid.bucket(cell)].try_lock() {
            *slot = Some(Exemplar { trace, value: ticks / self.grid.ticks(), at: SystemTime::now() });
        }
    }

    pub(crate) fn snapshot<V: Value>(&self) -> Snapshot {
        // Acquire: pairs with the release of each value that it counts.
        let cells: Box<[u64]> = self.cells.iter().map(|cell| cell.load(Ordering::Acquire)).collect();
        let exemplars = self.exemplars.get();
        let exemplars =
            exemplars.map(|slots| slots.iter().map(|slot| *slot.lock()).collect()).unwrap_or_default();
        Snapshot::new(&self.grid, cells, V::of(&self.sum), exemplars)
    }
}

impl<V: Value> Histogram<V> {
    pub(crate) fn new(grid: Arc<Grid>, drops: Arc<Drops>) -> Self {
        Self { cells: Arc::new(Cells::new(grid, drops)), value: PhantomData }
    }

    /// Counts one value. Never waits, never allocates.
    #[inline]
    pub fn record(&self, value: V) {
        self.cells.record(value);
    }

    /// Counts one value, and shows this trace as the example of its bucket until there is another.
    #[inline]
    pub fn record_traced(&self, value: V, trace: TraceId) {
        if let Some(cell) = self.cells.record(value) {
            self.cells.remember(cell, value.ticks(), trace);
        }
    }

    /// What was counted until now. A value that is just being recorded is in the sum only, or in the sum and the count;
    /// the count is always that of all buckets.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.cells.snapshot::<V>()
    }
}

impl Histogram<Duration> {
    /// Starts a clock. When what it returns is dropped, it records how long that was.
    pub fn timer(&self) -> Timer {
        Timer::new(self.clone())
    }
}

impl<V: Value> Clone for Histogram<V> {
    fn clone(&self) -> Self {
        Self { cells: Arc::clone(&self.cells), value: PhantomData }
    }
}

impl<V: Value> fmt::Debug for Histogram<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}
