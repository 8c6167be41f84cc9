use crate::{Distribution, Name};
use std::fmt::Display;

/// Lets anybody read what a part has counted and what state it is in, when they want to.
///
/// Handles and state values of all layers are `Inspect`. Metrics, alerts and the admin page are written
/// against this trait alone; so is the `/status` page of the `gateway` example.
///
/// # Examples
///
/// ```
/// use buttress_core::{Distribution, Inspect, Labels, Metric, Name, Sink};
/// use std::fmt::Display;
///
/// struct Door { opened: u64 }
///
/// impl Inspect for Door {
///     fn kind(&self) -> &'static str { "door" }
///     fn name(&self) -> Name { "front".into() }
///     fn inspect(&self, sink: &mut dyn Sink) {
///         const OPENED: Metric = Metric { name: "opened_total", unit: "", help: "times it was opened" };
///         sink.counter(&OPENED, &[], self.opened);
///     }
/// }
///
/// struct Print(String);
/// impl Sink for Print {
///     fn counter(&mut self, metric: &Metric, _: Labels<'_>, total: u64) {
///         self.0 += &format!("{} = {total}", metric.name);
///     }
///     fn gauge(&mut self, _: &Metric, _: Labels<'_>, _: f64) {}
///     fn state(&mut self, _: &Metric, _: &[&'static str], _: usize) {}
///     fn histogram(&mut self, _: &Metric, _: Labels<'_>, _: &Distribution) {}
///     fn note(&mut self, _: &'static str, _: &dyn Display) {}
/// }
///
/// let mut print = Print(String::new());
/// Door { opened: 3 }.inspect(&mut print);
/// assert_eq!(print.0, "opened_total = 3");
/// ```
pub trait Inspect: Send + Sync {
    /// The kind of part, for example `"breaker"`; the first part of every metric's name.
    fn kind(&self) -> &'static str;

    /// The name this instance was given.
    fn name(&self) -> Name;

    /// Writes everything there is to see into `sink`. Takes short locks at most, and never waits.
    fn inspect(&self, sink: &mut dyn Sink);
}

/// Describes one number: its name without prefix or instance (those are [`Inspect::kind`] and
/// [`Inspect::name`]), its unit, and one line of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// In snake case, with `_total` for a counter.
    pub name: &'static str,
    /// The base unit (`"seconds"`, `"bytes"`), or empty for plain counts.
    pub unit: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
}

/// Label names and values of one number. None is called `name`, which tells instances apart, nor as Prometheus calls its
/// own: `le`, `quantile`, `__x`.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Takes what an [`Inspect`] shows.
pub trait Sink {
    /// A total since the start; it never falls.
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64);

    /// A value that moves both ways.
    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64);

    /// One of several states: `all[now]` is the present one. A sink that knows only numbers makes it
    /// one-hot.
    fn state(&mut self, metric: &Metric, all: &[&'static str], now: usize);

    /// How long things took since the start, in seconds: what [`Histogram::snapshot`](crate::Histogram::snapshot)
    /// gave, or what was recorded under a lock. It never falls either.
    fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, durations: &Distribution);

    /// Something for people to read; never a label.
    fn note(&mut self, key: &'static str, value: &dyn Display);
}
