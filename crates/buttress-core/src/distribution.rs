use crate::Ratio;
use std::fmt;
use std::time::Duration;

/// How long things took: counts by duration, exact in number and sum, and within 3.2 % in every quantile.
///
/// It is what [`Histogram::snapshot`](crate::Histogram::snapshot) gives, and what a state that has a lock
/// anyway records into: the same cells, without atomics. It takes 9.8 KB however much it has counted.
///
/// The cells are log-linear, after `HdrHistogram`: each octave, from one power of two nanoseconds to the next,
/// has 32 of equal width, so that a cell is never wider than a 32nd of what is in it. The unit is that of
/// `Duration`, so nothing is divided, and nothing is too short: up to 64 ns each nanosecond has a cell of its
/// own. What takes longer than 2⁴² ns, which is 73 minutes, shares the last one: number, sum and maximum stay
/// exact, and a quantile among those is the maximum.
///
/// # Examples
///
/// ```
/// use buttress_core::{Distribution, Ratio};
/// use std::time::Duration;
///
/// let mut waits = Distribution::new();
/// for millis in 1..=100 {
///     waits.record(Duration::from_millis(millis));
/// }
/// let p99 = waits.quantile(Ratio::percent(99)).expect("something was recorded");
/// assert!(p99 >= Duration::from_millis(99) && p99 <= Duration::from_millis(99).mul_f64(1.032));
/// assert_eq!(waits.max(), Some(Duration::from_millis(100)));
/// assert_eq!(waits.sum(), Duration::from_millis(5050));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Distribution {
    pub(crate) cells: Box<[u64; CELLS]>,
    /// What is in all cells; what changes one of them changes this.
    pub(crate) count: u64,
    /// In nanoseconds, as are the two below; `min` is over `max` while nothing was recorded.
    pub(crate) sum: u128,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Cells in an octave: what a quantile can be off by is the inverse of this, 3.125 %.
const PER_OCTAVE: usize = 1 << PER_OCTAVE_LOG;
const PER_OCTAVE_LOG: u32 = 5;
/// The longest duration that has a cell of its own is two to this many nanoseconds.
///
/// Under loom there are few cells, since it tries what happens between any two of them.
const LAST_LOG: u32 = if cfg!(buttress_loom) { 5 } else { 42 };
/// The least published bound is two to this many nanoseconds, a microsecond.
const FIRST_PUBLISHED_LOG: u32 = 10;
/// One row of cells for each octave from 64 ns, two for what is below, one cell for what is longer than all.
pub(crate) const CELLS: usize = end_of(LAST_LOG) + 1;

/// How many cells hold what is at most two to `log` nanoseconds.
const fn end_of(log: u32) -> usize {
    (log - PER_OCTAVE_LOG + 1) as usize * PER_OCTAVE
}

/// The cell that counts `nanos`.
pub(crate) const fn cell(nanos: u64) -> usize {
    // A cell includes its upper edge and not its lower one, as Prometheus' `le` wants it.
    let below = nanos.saturating_sub(1);
    let below = if below > 1 << LAST_LOG { 1 << LAST_LOG } else { below };
    let shift = (below | PER_OCTAVE as u64).ilog2() - PER_OCTAVE_LOG;
    shift as usize * PER_OCTAVE + (below >> shift) as usize
}

/// The longest duration that `cell` counts, in nanoseconds.
const fn upper_edge(cell: usize) -> u64 {
    if cell == CELLS - 1 {
        return u64::MAX;
    }
    let shift = (cell / PER_OCTAVE).saturating_sub(1);
    ((cell - shift * PER_OCTAVE + 1) as u64) << shift
}

/// `took` in whole nanoseconds; over 584 years it counts as those.
#[inline]
pub(crate) fn nanoseconds(took: Duration) -> u64 {
    took.as_secs().saturating_mul(1_000_000_000).saturating_add(took.subsec_nanos().into())
}

impl Distribution {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new() -> Self {
        Self { cells: Box::new([0; CELLS]), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts one duration. Never allocates.
    #[inline]
    pub fn record(&mut self, took: Duration) {
        let nanos = nanoseconds(took);
        self.cells[cell(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds all that `other` has recorded, as if it had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        for (cell, more) in self.cells.iter_mut().zip(other.cells.iter()) {
            *cell += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All durations together, to the nanosecond.
    #[must_use]
    pub fn sum(&self) -> Duration {
        let seconds = u64::try_from(self.sum / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (self.sum % 1_000_000_000) as u32)
    }

    /// The shortest, to the nanosecond; `None` if nothing was recorded.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.min))
    }

    /// The longest, to the nanosecond; `None` if nothing was recorded.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.max))
    }

    /// The duration that `share` of all stayed within: of `n` sorted ones that at place `share` · `n`,
    /// rounded up. `None` if nothing was recorded.
    ///
    /// It is never below the exact one, and over it by 3.2 % at most. The shortest and the longest are exact.
    #[must_use]
    pub fn quantile(&self, share: Ratio) -> Option<Duration> {
        let place = share.of(self.count);
        if place <= 1 {
            return self.min();
        }
        let mut counted = 0;
        let cell = self.cells.iter().position(|count| {
            counted += count;
            counted >= place
        })?;
        Some(Duration::from_nanos(upper_edge(cell).min(self.max)))
    }

    /// Pairs of a bound and how many were not over it, for metrics: the bounds are the powers of two
    /// nanoseconds from 1.024 µs to 73 minutes, 33 of them, always the same. What is missing to
    /// [`Distribution::count`] was longer.
    ///
    /// Each pair is exact, so fewer of them (`.step_by(2)`) are as true as all.
    #[must_use]
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (Duration, u64)> + '_ {
        let (mut begin, mut counted) = (0, 0);
        (FIRST_PUBLISHED_LOG..LAST_LOG + 1).map(move |log| {
            counted += self.cells[begin..end_of(log)].iter().sum::<u64>();
            begin = end_of(log);
            (Duration::from_nanos(1 << log), counted)
        })
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("count", &self.count())
            .field("sum", &self.sum())
            .field("min", &self.min())
            .field("median", &self.quantile(Ratio::percent(50)))
            .field("p99", &self.quantile(Ratio::percent(99)))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const NANO: Duration = Duration::from_nanos(1);
    const LAST: Duration = Duration::from_nanos(1 << LAST_LOG);

    /// Durations that have cells of their own, as many from each octave.
    fn durations() -> impl Strategy<Value = Vec<Duration>> {
        let nanos = (0..=LAST_LOG, any::<u64>()).prop_map(|(log, any)| any % ((1 << log) + 1));
        vec(nanos.prop_map(Duration::from_nanos), 1..200)
    }

    pub(crate) fn of(durations: &[Duration]) -> Distribution {
        let mut distribution = Distribution::new();
        durations.iter().for_each(|took| distribution.record(*took));
        distribution
    }

    #[test]
    fn memory_is_what_the_docs_say() {
        assert_eq!(size_of_val(&*Distribution::new().cells), 9736);
        assert!(size_of::<Distribution>() <= 64, "{}", size_of::<Distribution>());
    }

    #[test]
    fn every_cell_ends_where_the_next_begins() {
        for index in 0..CELLS - 1 {
            let edge = upper_edge(index);
            assert_eq!((cell(edge), cell(edge + 1)), (index, index + 1), "at {edge} ns");
        }
        assert_eq!(upper_edge(CELLS - 2), 1 << LAST_LOG);
        assert_eq!((cell(0), cell(u64::MAX)), (0, CELLS - 1));
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        let nothing = Distribution::new();
        for share in [Ratio::ZERO, Ratio::percent(50), Ratio::FULL] {
            assert_eq!(nothing.quantile(share), None);
        }
        assert_eq!((nothing.min(), nothing.max(), nothing.sum()), (None, None, Duration::ZERO));
        assert!(nothing.buckets().all(|(_, count)| count == 0));
    }

    #[test]
    fn what_is_longer_than_all_cells_is_still_counted_and_summed() {
        let day = Duration::from_secs(86_400);
        let long = of(&[NANO, LAST, LAST + NANO, day]);
        assert_eq!((long.count(), long.max(), long.sum()), (4, Some(day), day + 2 * LAST + 2 * NANO));
        assert_eq!(long.quantile(Ratio::percent(50)), Some(LAST));
        assert_eq!(long.quantile(Ratio::percent(75)), Some(day));
        assert_eq!(long.buckets().last(), Some((LAST, 2)));
    }

    #[test]
    fn a_sum_does_not_stop_at_584_years() {
        let ages = Duration::from_nanos(u64::MAX);
        assert_eq!(of(&[ages, ages, ages]).sum(), 3 * ages);
        assert_eq!(of(&[Duration::MAX]).max(), Some(ages));
    }

    #[test]
    fn published_bounds_go_from_a_microsecond_to_over_an_hour() {
        let nothing = Distribution::new();
        assert_eq!(nothing.buckets().len(), 33);
        assert_eq!(nothing.buckets().next(), Some((Duration::from_nanos(1024), 0)));
        assert!(nothing.buckets().last().is_some_and(|(bound, _)| bound > Duration::from_secs(3600)));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_32nd_of_the_sorted_ones(
            mut durations in durations(),
            millionths in 0..=1_000_000_u32,
        ) {
            let distribution = of(&durations);
            durations.sort_unstable();
            let place = (durations.len() * millionths as usize).div_ceil(1_000_000).max(1);
            let exact = durations[place - 1];
            let share = Ratio::from_millionths(millionths).expect("not over a million");
            let told = distribution.quantile(share).expect("not empty");
            let most = match place {
                1 => exact,
                // 0 and 1 ns share a cell.
                _ => (exact + exact / 32).max(NANO).min(durations[durations.len() - 1]),
            };
            prop_assert!(exact <= told && told <= most, "{:?} for {:?}", told, exact);
        }

        #[test]
        fn buckets_count_what_is_not_over_their_bound(durations in durations()) {
            for (bound, count) in of(&durations).buckets() {
                prop_assert_eq!(durations.iter().filter(|took| **took <= bound).count() as u64, count);
            }
        }

        #[test]
        fn merged_is_as_if_recorded_in_one(mut some in durations(), others in durations()) {
            let mut merged = of(&some);
            merged.merge(&of(&others));
            merged.merge(&Distribution::new());
            some.extend(others);
            prop_assert_eq!(&merged, &of(&some));
            prop_assert_eq!(merged.sum(), some.iter().sum::<Duration>());
            prop_assert_eq!(merged.count(), some.len() as u64);
            prop_assert_eq!((merged.min(), merged.max()), (some.iter().min().copied(), some.iter().max().copied()));
        }
    }
}
