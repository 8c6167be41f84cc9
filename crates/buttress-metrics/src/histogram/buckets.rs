use super::grid::Grid;
use super::value::Value;
use std::fmt;
use std::time::Duration;

/// The bounds that a histogram publishes (`le`), and the range in which its quantiles are true.
///
/// # Examples
///
/// ```
/// use buttress_metrics::Buckets;
/// use std::time::Duration;
///
/// let http = Buckets::<Duration>::default(); // those of OpenTelemetry, 5 ms to 10 s
/// assert_eq!(http.bounds().len(), 14);
///
/// let millis = [1, 10, 100].map(Duration::from_millis);
/// let jobs = Buckets::new(&millis)?;
/// assert_eq!(jobs.bounds(), millis);
/// # Ok::<_, buttress_metrics::InvalidBuckets>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets<V: Value = Duration> {
    bounds: Vec<V>,
}

impl<V: Value> Buckets<V> {
    /// The most bounds that a histogram may have.
    pub const MOST: usize = 256;

    /// Buckets that end at each of these bounds, and one for what is over them.
    ///
    /// Cells for quantiles reach from a thousandth of the first bound to a thousand times the last one; for durations
    /// at least from a microsecond to an hour, for whole numbers at least from one.
    ///
    /// # Errors
    ///
    /// If there is no bound or there are more than [`MOST`](Self::MOST), if one is not over the one before it, or if one is
    /// zero, negative, not a number, infinite, or too large to be told from the next number (2⁵³).
    pub fn new(bounds: &[V]) -> Result<Self, InvalidBuckets> {
        if bounds.is_empty() || bounds.len() > Self::MOST {
            return Err(InvalidBuckets(Wrong::Number(bounds.len())));
        }
        let mut before = 0.0;
        for (index, bound) in bounds.iter().enumerate() {
            let ticks = bound.ticks();
            // NaN is not over anything.
            let is_bound = ticks > before && ticks < V::LARGEST;
            if !is_bound {
                return Err(InvalidBuckets(Wrong::Bound(index)));
            }
            before = ticks;
        }
        Ok(Self { bounds: bounds.to_vec() })
    }

    /// The bounds, rising.
    #[must_use]
    pub fn bounds(&self) -> &[V] {
        &self.bounds
    }

    pub(crate) fn grid(&self) -> Grid {
        let ticks: Vec<_> = self.bounds.iter().map(|bound| bound.ticks()).collect();
        let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
        // A thousandth and a thousand times, in octaves.
        let (least, most) = V::range((first.log2() as i32 - 10).max(-1000), last.log2() as i32 + 10);
        // What is further away shares a cell; a histogram stays below 36 KB.
        Grid::new(least, most.min(least + 128), &ticks, V::TICKS)
    }
}

/// What OpenTelemetry recommends for requests: 5, 10, 25, 50, 75, 100, 250, 500 and 750 ms, 1, 2.5, 5, 7.5 and 10 s.
impl Default for Buckets<Duration> {
    fn default() -> Self {
        const MILLIS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
        Self { bounds: MILLIS.map(Duration::from_millis).to_vec() }
    }
}

/// What bodies measure: 256 B to 64 MiB, each four times the one before.
impl Default for Buckets<u64> {
    fn default() -> Self {
        Self { bounds: (4..14).map(|log| 1 << (2 * log)).collect() }
    }
}

/// What nothing is known of: 1, 2.5, 5 and 7.5 times each power of ten from a thousandth to a thousand.
impl Default for Buckets<f64> {
    fn default() -> Self {
        // From literals: a product is not always the float that its digits stand for.
        const BOUNDS: [f64; 25] = [
            0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0,
        ];
        Self { bounds: BOUNDS.to_vec() }
    }
}

#[cfg(feature = "recorder")]
impl Buckets<f64> {
    /// Those of durations, in seconds.
    pub(crate) fn seconds() -> Self {
        Self { bounds: Buckets::<Duration>::default().bounds.iter().map(Duration::as_secs_f64).collect() }
    }

    /// Those of sizes, in bytes.
    pub(crate) fn bytes() -> Self {
        Self { bounds: Buckets::<u64>::default().bounds.iter().map(|size| *size as f64).collect() }
    }
}

/// Bounds that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBuckets(Wrong);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Number(usize),
    Bound(usize),
}

impl fmt::Display for InvalidBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Wrong::Number(count) => {
                write!(f, "a histogram has 1 to {} bounds, not {count}", Buckets::<f64>::MOST)
            }
            Wrong::Bound(index) => {
                write!(f, "bound {index} is not a number over the one before it and below 2^53")
            }
        }
    }
}

impl std::error::Error for InvalidBuckets {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::value::sealed::Sealed;

    #[test]
    fn bounds_that_are_none_are_refused_by_their_place() {
        let wrong = |bounds: &[f64]| Buckets::new(bounds).map_err(|error| error.to_string());
        assert!(wrong(&[1.0, 2.0]).is_ok());
        for (bounds, says) in [
            (&[][..], "not 0"),
            (&[1.0; 257], "not 257"),
            (&[0.0], "bound 0"),
            (&[-1.0], "bound 0"),
            (&[1.0, 1.0], "bound 1"),
            (&[1.0, 2.0, 1.5], "bound 2"),
            (&[1.0, f64::NAN], "bound 1"),
            (&[f64::INFINITY], "bound 0"),
        ] {
            assert!(wrong(bounds).is_err_and(|error| error.contains(says)), "{bounds:?}");
        }
        assert!(Buckets::new(&[1_u64 << 53]).is_err());
        assert!(Buckets::new(&[Duration::ZERO]).is_err());
        assert!(Buckets::new(&[Duration::MAX]).is_err());
    }

    #[test]
    fn the_bounds_of_opentelemetry_are_published_to_the_digit() {
        let grid = Buckets::<Duration>::default().grid();
        let published: Vec<_> = grid.ends().map(|(_, bound)| bound).collect();
        let convention = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
        assert_eq!(published, convention);
        // Each is the edge of a cell: the nanosecond after it is in the next bucket.
        for (index, bound) in Buckets::<Duration>::default().bounds().iter().enumerate() {
            let bucket = |took: Duration| grid.bucket(grid.cell(took.ticks()));
            assert_eq!((bucket(*bound), bucket(*bound + Duration::from_nanos(1))), (index, index + 1));
        }
    }

    #[test]
    fn cells_cover_what_the_docs_say() {
        let narrow = Buckets::new(&[Duration::from_millis(1)]).unwrap().grid();
        for took in [Duration::from_micros(1), Duration::from_secs(3600)] {
            assert!(narrow.edge(narrow.cell(took.ticks())) <= took.as_secs_f64() * (1.0 + 1.0 / 32.0));
        }
        let sizes = Buckets::<u64>::default().grid();
        assert!((1..100_u64).all(|size| sizes.edge(sizes.cell(size.ticks())) <= size as f64 * 1.03125));
        let ratios = Buckets::new(&[0.5, 1.0]).unwrap().grid();
        assert!(ratios.edge(ratios.cell(0.0005)) <= 0.0005 * 1.03125);
        assert!(ratios.edge(ratios.cell(1000.0)) <= 1000.0 * 1.03125);
    }

    #[test]
    fn bounds_as_far_apart_as_floats_are_have_cells() {
        let far = Buckets::new(&[f64::MIN_POSITIVE, f64::MAX]).unwrap().grid();
        assert_eq!(far.bucket(far.cell(f64::MIN_POSITIVE)), 0);
        assert_eq!(far.bucket(far.cell(1.0)), 1);
        assert_eq!(far.bucket(far.cell(f64::MAX)), 1);
        assert_eq!(far.bucket(far.cell(f64::INFINITY)), 2);
    }
}
