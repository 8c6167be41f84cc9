use crate::histogram::Snapshot;
use crate::name::Kind;
use buttress_core::Metric;
use std::borrow::Cow;

/// Takes everything that a registry shows: one family after the other, by name, and each family's series in an order
/// that stays.
///
/// This is how the text formats are written; implement it to send the numbers elsewhere.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::{Collector, Description, Registry, Snapshot};
///
/// #[derive(Default)]
/// struct Totals(u64);
///
/// impl Collector for Totals {
///     fn family(&mut self, _: &Description) {}
///     fn counter(&mut self, _: &[(&str, &str)], total: u64) { self.0 += total }
///     fn gauge(&mut self, _: &[(&str, &str)], _: f64) {}
///     fn histogram(&mut self, _: &[(&str, &str)], _: &Snapshot) {}
/// }
///
/// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
///
/// let registry = Registry::new();
/// registry.counter(&JOBS)?.add(2);
/// let mut totals = Totals::default();
/// registry.collect(&mut totals);
/// assert_eq!(totals.0, 2);
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
pub trait Collector {
    /// A family begins; what comes until the next belongs to it. Families without series are left out.
    fn family(&mut self, family: &Description);

    /// One series of a family of counters.
    fn counter(&mut self, labels: &[(&str, &str)], total: u64);

    /// One series of a family of gauges.
    fn gauge(&mut self, labels: &[(&str, &str)], value: f64);

    /// One series of a family of histograms.
    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot);
}

/// What all series of a family have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The whole name, with `_total` for a counter.
    pub name: Cow<'static, str>,
    /// What it counts.
    pub kind: Kind,
    /// The unit that the name ends in, or empty.
    pub unit: Cow<'static, str>,
    /// What it means, in one line.
    pub help: Cow<'static, str>,
}

impl Description {
    pub(crate) fn new(metric: &Metric, kind: Kind) -> Self {
        Self { name: metric.name.into(), kind, unit: metric.unit.into(), help: metric.help.into() }
    }
}
