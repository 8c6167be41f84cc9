//! What the macros get to record with.

use crate::counter::{Counter, Total};
use crate::gauge::{Gauge, Level};
use crate::histogram::{Cells, Histogram};
use metrics::{CounterFn, GaugeFn, HistogramFn};
use std::sync::Arc;

impl CounterFn for Total {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.raise_to(value);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        Level::set(self, value);
    }
}

/// Of a histogram of numbers: there are no others in a recorder.
impl HistogramFn for Cells {
    fn record(&self, value: f64) {
        Cells::record(self, value);
    }

    fn record_many(&self, value: f64, count: usize) {
        Cells::record_many(self, value, count as u64);
    }
}

/// One of ours and one of theirs.
struct Both<T, U>(Arc<T>, U);

impl CounterFn for Both<Total, metrics::Counter> {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
        self.1.absolute(value);
    }
}

impl GaugeFn for Both<Level, metrics::Gauge> {
    fn increment(&self, value: f64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
        self.1.decrement(value);
    }

    fn set(&self, value: f64) {
        GaugeFn::set(&*self.0, value);
        self.1.set(value);
    }
}

impl HistogramFn for Both<Cells, metrics::Histogram> {
    fn record(&self, value: f64) {
        HistogramFn::record(&*self.0, value);
        self.1.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        HistogramFn::record_many(&*self.0, value, count);
        self.1.record_many(value, count);
    }
}

pub(super) fn counter(ours: Option<Counter>, theirs: Option<metrics::Counter>) -> metrics::Counter {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => metrics::Counter::from_arc(Arc::new(Both(ours.0, theirs))),
        (Some(ours), None) => metrics::Counter::from_arc(ours.0),
        (None, theirs) => theirs.unwrap_or(metrics::Counter::noop()),
    }
}

pub(super) fn gauge(ours: Option<Gauge>, theirs: Option<metrics::Gauge>) -> metrics::Gauge {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => metrics::Gauge::from_arc(Arc::new(Both(ours.0, theirs))),
        (Some(ours), None) => metrics::Gauge::from_arc(ours.0),
        (None, theirs) => theirs.unwrap_or(metrics::Gauge::noop()),
    }
}

pub(super) fn histogram(
    ours: Option<Histogram<f64>>,
    theirs: Option<metrics::Histogram>,
) -> metrics::Histogram {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => metrics::Histogram::from_arc(Arc::new(Both(ours.cells, theirs))),
        (Some(ours), None) => metrics::Histogram::from_arc(ours.cells),
        (None, theirs) => theirs.unwrap_or(metrics::Histogram::noop()),
    }
}
