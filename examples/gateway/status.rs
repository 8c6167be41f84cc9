//! The `/status` page, written from [`Inspect`] alone: it knows no layer, and shows every one.

use buttress::{Distribution, Inspect, Labels, Metric, Ratio, Sink};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// What all `parts` show at this moment, in the order of the stack.
pub(crate) fn of(parts: &[Arc<dyn Inspect>]) -> Value {
    let parts = parts.iter().map(|part| {
        let mut json = Json::default();
        part.inspect(&mut json);
        let Json { counters, gauges, histograms, states, notes } = json;
        json!({
            "kind": part.kind(),
            "name": part.name().as_str(),
            "states": states,
            "gauges": gauges,
            "counters": counters,
            "histograms": histograms,
            "notes": notes,
        })
    });
    json!({ "parts": parts.collect::<Vec<_>>() })
}

/// Takes numbers and makes JSON of them.
#[derive(Default)]
struct Json {
    counters: Map<String, Value>,
    gauges: Map<String, Value>,
    histograms: Map<String, Value>,
    states: Map<String, Value>,
    notes: Map<String, Value>,
}

impl Sink for Json {
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64) {
        self.counters.insert(key(metric, labels), total.into());
    }

    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.gauges.insert(key(metric, labels), value.into()); // what JSON has no number for becomes null
    }

    fn state(&mut self, metric: &Metric, all: &[&'static str], now: usize) {
        self.states.insert(metric.name.into(), all.get(now).copied().into());
    }

    fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, durations: &Distribution) {
        let seconds = |took: Option<Duration>| Value::from(took.map(|took| took.as_secs_f64()));
        let quantile = |percent| seconds(durations.quantile(Ratio::percent(percent)));
        let shown = json!({
            "count": durations.count(),
            "sum": seconds(Some(durations.sum())),
            "0.5": quantile(50),
            "0.9": quantile(90),
            "0.99": quantile(99),
            "max": seconds(durations.max()),
        });
        self.histograms.insert(key(metric, labels), shown);
    }

    fn note(&mut self, key: &'static str, value: &dyn Display) {
        self.notes.insert(key.into(), value.to_string().into());
    }
}

/// `calls_total`, or with labels `calls_total{outcome=failure}`.
fn key(metric: &Metric, labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return metric.name.into();
    }
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", metric.name, labels.join(","))
}
