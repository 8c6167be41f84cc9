//! The table that `cargo xtask compare` prints.

use crate::measure::TwoThreads;
use std::fmt;

/// One measured contender.
#[derive(Clone, Debug)]
pub struct Row {
    /// The contender's name.
    pub name: &'static str,
    /// One thread.
    pub nanoseconds: f64,
    /// Not known without valgrind.
    pub instructions: Option<f64>,
    /// Not known where nobody counted them.
    pub allocations: Option<f64>,
    /// Two threads at once.
    pub two_threads: TwoThreads,
    /// The row that this one is an alternative to.
    pub against: Option<&'static str>,
}

/// Measured contenders; displays as one aligned table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order in which they are shown.
    pub rows: Vec<Row>,
}

const HEAD: [&str; 7] = ["", "ns", "instr", "allocs", "2-thr ns", "clean", "ns / ours"];

impl Table {
    fn cells(&self, row: &Row) -> [String; 7] {
        let two = &row.two_threads;
        [
            row.name.to_owned(),
            format!("{:.1}", row.nanoseconds),
            row.instructions.map_or_else(none, |count| format!("{count:.0}")),
            row.allocations.map_or_else(none, |count| format!("{count:.2}")),
            two.nanoseconds.map_or_else(|| "no clean burst".to_owned(), |ns| format!("{ns:.1}")),
            format!("{}/{}", two.clean, two.bursts),
            self.ratio(row).map_or_else(none, |ratio| format!("{ratio:.2}")),
        ]
    }

    /// How often the row of ours that `row` is compared with fits into it.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let ours = self.rows.iter().find(|ours| Some(ours.name) == row.against)?;
        Some(row.nanoseconds / ours.nanoseconds)
    }
}

fn none() -> String {
    "-".to_owned()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        lines.extend(self.rows.iter().map(|row| self.cells(row).to_vec()));
        Aligned(&lines).fmt(f)
    }
}

/// Lines of as many cells each; displays as columns, the first flush left, the others flush right.
#[derive(Clone, Copy, Debug)]
pub struct Aligned<'a>(pub &'a [Vec<String>]);

impl fmt::Display for Aligned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines) = *self;
        let columns = lines.first().map_or(0, Vec::len);
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in lines {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(f, "{cell:<width$}")?;
                } else {
                    write!(f, "  {cell:>width$}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_unknown_numbers_say_so() {
        let row = |name, nanoseconds, against| Row {
            name,
            nanoseconds,
            instructions: None,
            allocations: Some(0.0),
            two_threads: TwoThreads { nanoseconds: None, clean: 0, bursts: 150 },
            against,
        };
        let table = Table { rows: vec![row("ours", 20.0, None), row("the other one", 205.0, Some("ours"))] };
        let expected = "\
                 ns  instr  allocs        2-thr ns  clean  ns / ours
ours           20.0      -    0.00  no clean burst  0/150          -
the other one  205.0     -    0.00  no clean burst  0/150      10.25
";
        let squeeze = |text: &str| {
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeeze(&table.to_string()), squeeze(expected));
        let lengths: Vec<_> = table.to_string().lines().map(str::len).collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{table}");
    }
}
