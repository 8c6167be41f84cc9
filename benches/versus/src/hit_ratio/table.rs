//! Percentages by policy and column.

use std::fmt;

pub struct Table {
    title: String,
    rows: Vec<(&'static str, Vec<Option<f64>>)>,
    heads: Vec<String>,
}

impl Table {
    pub fn new(title: impl Into<String>, rows: impl Iterator<Item = &'static str>) -> Self {
        Self { title: title.into(), rows: rows.map(|name| (name, Vec::new())).collect(), heads: Vec::new() }
    }

    /// Adds a column; `of` is asked about each row, counted from 0.
    pub fn column(&mut self, head: impl fmt::Display, of: impl Fn(usize) -> Option<f64>) {
        self.heads.push(head.to_string());
        for (index, (_, cells)) in self.rows.iter_mut().enumerate() {
            cells.push(of(index));
        }
    }

    /// The mean of each row that has all its cells.
    pub fn means(&self) -> impl Fn(usize) -> Option<f64> + use<> {
        let mean = |cells: &Vec<Option<f64>>| {
            let sum = cells.iter().copied().sum::<Option<f64>>()?;
            Some(sum / cells.len() as f64)
        };
        let means: Vec<_> = self.rows.iter().map(|(_, cells)| mean(cells)).collect();
        move |row| means[row]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let width = self.heads.iter().map(String::len).max().unwrap_or(0).max("100.00".len());
        writeln!(f, "{}", self.title)?;
        write!(f, "{:name$}", "")?;
        for head in &self.heads {
            write!(f, "  {head:>width$}")?;
        }
        writeln!(f)?;
        for (row, cells) in &self.rows {
            write!(f, "{row:name$}")?;
            for cell in cells {
                match cell {
                    Some(percent) => write!(f, "  {percent:>width$.2}")?,
                    None => write!(f, "  {:>width$}", "-")?,
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
    fn a_mean_needs_all_its_cells() {
        let mut table = Table::new("both", ["a", "longer"].into_iter());
        table.column(8192, |row| Some(10.0 * row as f64));
        table.column(16_384, |row| (row == 1).then_some(50.0));
        table.column("mean", table.means());
        let expected = "\
both
          8192   16384    mean
a         0.00       -       -
longer   10.00   50.00   30.00
";
        assert_eq!(table.to_string(), expected);
    }
}
