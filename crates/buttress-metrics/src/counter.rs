use crate::primitive::{AtomicU64, Ordering};
use buttress_core::Lane;
use std::fmt;
use std::sync::Arc;

/// Counts what happens; it never falls. Clones are the same counter.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::Registry;
///
/// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
///
/// let registry = Registry::new();
/// let jobs = registry.counter(&JOBS)?;
/// jobs.inc();
/// jobs.add(2);
/// assert_eq!(jobs.total(), 3);
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
#[derive(Clone)]
pub struct Counter(pub(crate) Arc<Total>);

/// On a cache line of its own, so that counters that are made together do not slow each other down.
pub(crate) struct Total(Lane<AtomicU64>);

impl Total {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        // Relaxed: a count, which publishes nothing.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Total(Lane::new(AtomicU64::new(0)))))
    }

    /// Counts one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts so many at once.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.add(more);
    }

    /// Follows a count that is kept elsewhere: raises this one to `total`, unless it is there already.
    pub fn raise_to(&self, total: u64) {
        self.0.raise_to(total);
    }

    /// What was counted so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.total()).finish()
    }
}
