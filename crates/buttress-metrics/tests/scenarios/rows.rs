//! Everything that a registry shows, as it comes.

use buttress_metrics::{Collector, Description, Registry, Snapshot};

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) labels: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Snapshot),
}

#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) families: Vec<Description>,
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut rows = Self::default();
        registry.collect(&mut rows);
        rows
    }

    fn push(&mut self, labels: &[(&str, &str)], value: Value) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let name = self.families.last().expect("a family begins before its series").name.to_string();
        self.rows.push(Row { name, labels: labels.join(","), value });
    }

    /// The value of one series.
    pub(crate) fn get(&self, name: &str, labels: &str) -> Option<&Value> {
        self.rows.iter().find(|row| row.name == name && row.labels == labels).map(|row| &row.value)
    }

    /// The value of one counter, or zero.
    pub(crate) fn total(&self, name: &str, labels: &str) -> u64 {
        match self.get(name, labels) {
            Some(Value::Counter(total)) => *total,
            Some(other) => panic!("{name} is no counter: {other:?}"),
            None => 0,
        }
    }

    /// How often something was left out.
    pub(crate) fn dropped(&self, metric: &str, reason: &str) -> u64 {
        self.total("buttress_metrics_dropped_total", &format!("metric={metric},reason={reason}"))
    }

    /// The series of a family.
    pub(crate) fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.name == name)
    }
}

impl Collector for Rows {
    fn family(&mut self, family: &Description) {
        self.families.push(family.clone());
    }

    fn counter(&mut self, labels: &[(&str, &str)], total: u64) {
        self.push(labels, Value::Counter(total));
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.push(labels, Value::Gauge(value));
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        self.push(labels, Value::Histogram(snapshot.clone()));
    }
}
