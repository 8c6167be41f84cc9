use std::collections::BTreeMap;
use std::fmt;

/// What one law saw of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The law's name.
    pub law: &'static str,
    /// What was seen, in numbers.
    pub observed: String,
    /// Why that breaks the law, if it does.
    pub broken: Option<String>,
}

/// What all laws of its kind saw of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `"in place"` or `"deferring"`.
    pub kind: &'static str,
    /// One cell per law, in the order of the kind's list.
    pub cells: Vec<Cell>,
}

impl Report {
    /// The names of the laws that are broken.
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        self.cells.iter().filter(|cell| cell.broken.is_some()).map(|cell| cell.law).collect()
    }

    /// What `law` saw, if the layer's kind has that law.
    #[must_use]
    pub fn cell(&self, law: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.law == law)
    }

    /// Panics with a table that names the layer `layer`, unless all laws are kept.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    #[track_caller]
    pub fn assert_kept(&self, layer: &str) {
        let broken = self.broken();
        assert!(
            broken.is_empty(),
            "the layer breaks {}\n\n{}",
            broken.join(", "),
            Table::new().row(layer, self.clone())
        );
    }
}

/// Prints the reports of several layers together.
///
/// `{}` prints a line per layer and law, with what was observed. `{:#}` prints a matrix of layers and laws,
/// where `+` is kept, `X` is broken and a blank is no law of that kind.
///
/// # Examples
///
/// ```
/// use buttress_testkit::laws;
/// use tower::layer::util::Identity;
///
/// let table = laws::Table::new().row("Identity", laws::report_in_place!(Identity::new()));
/// println!("{table:#}\n{table}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<(String, Report)>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer.
    #[must_use]
    pub fn row(mut self, layer: impl Into<String>, report: Report) -> Self {
        self.rows.push((layer.into(), report));
        self
    }

    /// The layers and their reports, in the order they were added.
    #[must_use]
    pub fn rows(&self) -> &[(String, Report)] {
        &self.rows
    }

    fn cells(&self) -> impl Iterator<Item = (&str, &Cell)> {
        self.rows
            .iter()
            .flat_map(|(layer, report)| report.cells.iter().map(move |cell| (layer.as_str(), cell)))
    }

    /// All laws that any row has, in the order they first appear.
    fn laws(&self) -> Vec<&'static str> {
        let mut laws = Vec::new();
        for (_, cell) in self.cells() {
            if !laws.contains(&cell.law) {
                laws.push(cell.law);
            }
        }
        laws
    }

    fn matrix(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let laws = self.laws();
        let columns: BTreeMap<_, _> = laws.iter().enumerate().map(|(at, law)| (*law, at)).collect();
        let layer_width = width(self.rows.iter().map(|(layer, _)| layer.as_str()));
        for (law, at) in laws.iter().zip(1..) {
            writeln!(f, "{at:>2} {law}")?;
        }
        write!(f, "\n{:layer_width$} |", "")?;
        for at in 1..=laws.len() {
            write!(f, " {at:>2}")?;
        }
        writeln!(f)?;
        for (layer, report) in &self.rows {
            let mut marks = vec![' '; laws.len()];
            for cell in &report.cells {
                marks[columns[cell.law]] = if cell.broken.is_some() { 'X' } else { '+' };
            }
            write!(f, "{layer:layer_width$} |")?;
            for mark in marks {
                write!(f, " {mark:>2}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return self.matrix(f);
        }
        let layer_width = width(self.cells().map(|(layer, _)| layer));
        let law_width = width(self.cells().map(|(_, cell)| cell.law));
        let observed_width = width(self.cells().map(|(_, cell)| cell.observed.as_str()));
        let mut last = "";
        for (layer, cell) in self.cells() {
            // A layer is named on its first line only: with the name on each, the eye finds no start.
            let name = if layer == last { "" } else { layer };
            last = layer;
            write!(f, "{name:layer_width$} | {:law_width$} | ", cell.law)?;
            match &cell.broken {
                None => writeln!(f, "{}", cell.observed)?,
                Some(why) => writeln!(f, "{:observed_width$} | BROKEN: {why}", cell.observed)?,
            }
        }
        Ok(())
    }
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
