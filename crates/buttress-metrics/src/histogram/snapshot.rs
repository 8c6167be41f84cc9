use super::Grid;
use crate::trace::TraceId;
use buttress_core::{Distribution, Ratio};
use std::sync::Arc;
use std::time::SystemTime;

/// What a [`Histogram`](super::Histogram) had counted at one moment, in its unit: seconds where it counts durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    sum: f64,
    count: u64,
    buckets: Box<[Bucket]>,
    exemplars: Box<[Option<Exemplar>]>,
    cells: Option<(Arc<Grid>, Box<[u64]>)>,
}

/// How many values were not over a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The bound, `le`; infinite for the last one.
    pub bound: f64,
    /// How many were not over it, since the beginning.
    pub count: u64,
}

/// A value that was counted, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The trace.
    pub trace: TraceId,
    /// The value, in the histogram's unit.
    pub value: f64,
    /// When it was counted.
    pub at: SystemTime,
}

impl Snapshot {
    pub(super) fn new(
        grid: &Arc<Grid>,
        cells: Box<[u64]>,
        sum: f64,
        exemplars: Box<[Option<Exemplar>]>,
    ) -> Self {
        let (mut begin, mut count) = (0, 0);
        let mut buckets: Vec<_> = grid
            .ends()
            .map(|(end, bound)| {
                count += cells[begin..=end].iter().sum::<u64>();
                begin = end + 1;
                Bucket { bound, count }
            })
            .collect();
        count += cells[begin..].iter().sum::<u64>();
        buckets.push(Bucket { bound: f64::INFINITY, count });
        Self { sum, count, buckets: buckets.into(), exemplars, cells: Some((Arc::clone(grid), cells)) }
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All values together. Finite, and it never falls from one snapshot to the next.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The published buckets by rising bounds; the last one is infinite and holds all.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The last value with a trace in each bucket, in the order of [`buckets`](Self::buckets); empty if there never was
    /// one.
    #[must_use]
    pub fn exemplars(&self) -> &[Option<Exemplar>] {
        &self.exemplars
    }

    /// Each cell's middle and count; of the last one, which has none, twice its lower edge.
    #[cfg(feature = "recorder")]
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = (f64, u64)> + '_ {
        let length = self.cells.as_ref().map_or(self.buckets.len(), |(_, cells)| cells.len());
        let mut lower = 0.0;
        (0..length).map(move |index| {
            let (upper, count) = match &self.cells {
                Some((grid, cells)) => (grid.edge(index), cells[index]),
                None => {
                    let before = index.checked_sub(1).map_or(0, |before| self.buckets[before].count);
                    (self.buckets[index].bound, self.buckets[index].count - before)
                }
            };
            let middle = if upper.is_finite() { lower + (upper - lower) / 2.0 } else { 2.0 * lower };
            lower = upper;
            (middle, count)
        })
    }

    /// The value that `share` of all stayed within. It is never below the exact one, and over it by 3.2 % at most;
    /// infinite if it lies above the cells. `None` if nothing was recorded.
    ///
    /// What comes from an [`Inspect`](buttress_core::Inspect) is as coarse as its buckets.
    #[must_use]
    pub fn quantile(&self, share: Ratio) -> Option<f64> {
        let place = share.of(self.count).max(1);
        let Some((grid, cells)) = &self.cells else {
            return self.buckets.iter().find(|bucket| bucket.count >= place).map(|bucket| bucket.bound);
        };
        let mut counted = 0;
        let cell = cells.iter().position(|count| {
            counted += count;
            counted >= place
        })?;
        Some(grid.edge(cell))
    }
}

impl From<&Distribution> for Snapshot {
    fn from(durations: &Distribution) -> Self {
        let count = durations.count();
        let buckets = durations.buckets().map(|(bound, count)| Bucket { bound: bound.as_secs_f64(), count });
        let buckets = buckets.chain([Bucket { bound: f64::INFINITY, count }]).collect();
        let sum = durations.sum().as_secs_f64();
        Self { sum, count, buckets, exemplars: Box::default(), cells: None }
    }
}
