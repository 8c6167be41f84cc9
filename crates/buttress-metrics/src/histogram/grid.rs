//! Where a value is counted: cells that are narrow enough for quantiles, and that end at every published bound.

/// Cells in an octave, as a power of two: a cell is never wider than a 32nd of what is in it.
const PER_OCTAVE_LOG: u32 = if cfg!(buttress_loom) { 0 } else { 5 };
/// What is left of a float's mantissa below the bits that choose a cell.
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - PER_OCTAVE_LOG;

/// The cells of one family of histograms, in ticks: nanoseconds for durations, else the value itself.
///
/// From one power of two to the next there are 32 cells of equal width, which the upper bits of a float number by
/// themselves. A bound that is published and lies within such a cell divides it, so that what is counted up to a
/// bound is the sum of whole cells, whatever the bounds are. A cell includes its upper edge and not its lower one, as
/// Prometheus' `le` wants it.
#[derive(Debug, PartialEq)]
pub struct Grid {
    /// The number of the first undivided cell.
    origin: u64,
    /// For each undivided cell the first cell that is in it.
    firsts: Box<[u16]>,
    /// The upper edge of each cell, rising; the last one is infinite.
    edges: Box<[f64]>,
    /// For each published bound the cell that ends there.
    ends: Box<[usize]>,
    /// How many ticks are one unit.
    ticks: f64,
}

/// The undivided cell that holds `value`, over all floats.
#[inline]
fn number(value: f64) -> u64 {
    // The bits of positive floats rise with them; one less, and an edge belongs to the cell below it.
    value.to_bits().saturating_sub(1) >> SHIFT
}

impl Grid {
    /// Cells that cover the octaves from two to the power of `least` to two to the power of `most`, and that end at each
    /// of `bounds`, which rise. A cell below and a cell above take what is outside.
    pub(crate) fn new(least: i32, most: i32, bounds: &[f64], ticks: f64) -> Self {
        let (least, most) = (2_f64.powi(least), 2_f64.powi(most));
        let origin = number(least);
        let mut inner = bounds.iter().copied().peekable();
        let (mut firsts, mut edges, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let upper = |number: u64| f64::from_bits((number + 1) << SHIFT);
        // The last one is for what is over all others.
        for cell in origin..=number(most) + 1 {
            let edge = if cell > number(most) { f64::INFINITY } else { upper(cell) };
            // Few enough: 128 octaves and 256 bounds are the most that `Buckets` asks for.
            firsts.push(edges.len() as u16);
            while let Some(bound) = inner.next_if(|bound| *bound <= edge) {
                ends.push(edges.len());
                edges.push(bound);
            }
            if edges.last() != Some(&edge) {
                edges.push(edge);
            }
        }
        Self { origin, firsts: firsts.into(), edges: edges.into(), ends: ends.into(), ticks }
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len()
    }

    /// The cell that counts `value`, which is not negative and is a number.
    #[inline]
    pub(crate) fn cell(&self, value: f64) -> usize {
        let undivided = number(value).saturating_sub(self.origin);
        let undivided = (undivided as usize).min(self.firsts.len() - 1);
        let mut cell = usize::from(self.firsts[undivided]);
        // Seldom even once: only in a cell that a bound divides.
        while value > self.edges[cell] {
            cell += 1;
        }
        cell
    }

    /// The published bucket that `cell` is in; the last one has no bound.
    pub(crate) fn bucket(&self, cell: usize) -> usize {
        self.ends.partition_point(|end| *end < cell)
    }

    /// The cell that ends at each published bound, with the bound.
    pub(crate) fn ends(&self) -> impl ExactSizeIterator<Item = (usize, f64)> + '_ {
        self.ends.iter().map(|end| (*end, self.edges[*end] / self.ticks))
    }

    /// The upper edge of a cell, in units.
    pub(crate) fn edge(&self, cell: usize) -> f64 {
        self.edges[cell] / self.ticks
    }

    /// How many ticks are one unit.
    pub(crate) fn ticks(&self) -> f64 {
        self.ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn bounds() -> impl Strategy<Value = Vec<f64>> {
        vec(prop_oneof![1e-3..1e6_f64, (1..1000_u32).prop_map(f64::from)], 0..40).prop_map(|mut bounds| {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            bounds
        })
    }

    fn values() -> impl Strategy<Value = f64> {
        prop_oneof![
            1e-6..1e9_f64,
            (-30..40_i32).prop_map(|log| 2_f64.powi(log)),
            (0..1000_u32).prop_map(f64::from),
            Just(0.0),
            Just(f64::MIN_POSITIVE),
            Just(f64::MAX),
            Just(f64::INFINITY),
        ]
    }

    #[test]
    fn without_bounds_an_octave_has_32_cells() {
        let grid = Grid::new(9, 42, &[], 1.0);
        assert_eq!(grid.len(), 33 * 32 + 2);
        assert_eq!((grid.cell(0.0), grid.cell(512.0), grid.cell(512.1)), (0, 0, 1));
        assert_eq!(grid.cell(2_f64.powi(42)), grid.len() - 2);
        assert_eq!(grid.cell(f64::INFINITY), grid.len() - 1);
    }

    #[test]
    fn a_bound_that_is_an_edge_already_divides_nothing() {
        let (plain, bound) = (Grid::new(0, 4, &[], 1.0), Grid::new(0, 4, &[1.0, 8.0, 16.0], 1.0));
        assert_eq!(plain.edges, bound.edges);
        assert_eq!(bound.ends().map(|(_, bound)| bound).collect::<Vec<_>>(), [1.0, 8.0, 16.0]);
    }

    #[test]
    fn bounds_outside_of_the_octaves_are_edges_too() {
        let grid = Grid::new(0, 4, &[0.1, 0.2, 1e3, 1e4], 1.0);
        for (value, bucket) in
            [(0.05, 0), (0.1, 0), (0.15, 1), (0.2, 1), (5.0, 2), (1e3, 2), (1e4, 3), (1e5, 4)]
        {
            assert_eq!(grid.bucket(grid.cell(value)), bucket, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_in_the_bucket_of_the_first_bound_that_is_not_below_it(
            bounds in bounds(),
            value in values(),
            near in -1..=1_i64,
        ) {
            let grid = Grid::new(-6, 12, &bounds, 1.0);
            // Also right beside each bound.
            let beside = bounds.iter().map(|bound| f64::from_bits(bound.to_bits().wrapping_add_signed(near)));
            for value in beside.chain([value]) {
                let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
                prop_assert_eq!(grid.bucket(grid.cell(value)), bucket, "{}", value);
            }
        }

        #[test]
        fn a_cell_ends_at_most_a_32nd_over_what_is_in_it(bounds in bounds(), value in 1.0..4096_f64) {
            let grid = Grid::new(0, 12, &bounds, 1.0);
            let edge = grid.edge(grid.cell(value));
            prop_assert!(value <= edge && edge <= value * (1.0 + 1.0 / 32.0), "{} in {}", value, edge);
        }
    }
}
