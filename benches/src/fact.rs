use std::fmt;

/// Something to say of a row that is no cost per call, such as the memory an entry takes.
pub struct Fact {
    row: &'static str,
    column: &'static str,
    measure: Box<dyn Fn() -> Option<f64>>,
}

impl Fact {
    /// Names a fact. `measure` may take seconds; it runs in the program that counts allocations.
    pub fn new(row: &'static str, column: &'static str, measure: impl Fn() -> Option<f64> + 'static) -> Self {
        Self { row, column, measure: Box::new(measure) }
    }

    /// Whom it is about.
    #[must_use]
    pub fn row(&self) -> &'static str {
        self.row
    }

    /// Measures it, for [`Facts::parse`].
    #[must_use]
    pub fn to_line(&self) -> String {
        let value = (self.measure)().map_or_else(|| "-".to_owned(), round);
        format!("{MARK}{}\t{}\t{value}\n", self.row, self.column)
    }
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, column, .. } = self;
        f.debug_struct("Fact").field("row", row).field("column", column).finish_non_exhaustive()
    }
}

/// What tells a fact from a count of allocations.
const MARK: &str = "fact\t";

fn round(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

/// Facts that have been measured; displays as one aligned table, or as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a>(Vec<[&'a str; 3]>);

impl<'a> Facts<'a> {
    /// Reads the lines that facts have made, and leaves out all others.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let fact = |line: &'a str| {
            let mut cells = line.strip_prefix(MARK)?.split('\t');
            Some([cells.next()?, cells.next()?, cells.next()?])
        };
        Self(text.lines().filter_map(fact).collect())
    }
}

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for &[row, column, _] in &self.0 {
            if !rows.contains(&row) {
                rows.push(row);
            }
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let name = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
        write!(f, "\n{:name$}", "")?;
        for column in &columns {
            write!(f, "  {column}")?;
        }
        writeln!(f)?;
        for row in &rows {
            write!(f, "{row:name$}")?;
            for column in &columns {
                let cell =
                    self.0.iter().find(|fact| fact[..2] == [*row, *column]).map_or("-", |fact| fact[2]);
                write!(f, "  {cell:>0$}", column.chars().count())?;
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
    fn facts_are_read_back_and_aligned() {
        let facts = [
            Fact::new("ours", "bytes/entry", || Some(61.25)),
            Fact::new("theirs", "bytes/entry", || None),
            Fact::new("ours", "largest", || Some(1.0)),
        ];
        let text: String =
            ["a row\t3\n".to_owned()].into_iter().chain(facts.iter().map(Fact::to_line)).collect();
        let expected = "
        bytes/entry  largest
ours           61.2    1.000
theirs            -        -
";
        assert_eq!(Facts::parse(&text).to_string(), expected);
        assert_eq!(Facts::parse("a row\t3\n").to_string(), "");
    }
}
