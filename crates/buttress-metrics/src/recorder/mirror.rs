use crate::collect::{Collector, Description};
use crate::histogram::Snapshot;
use crate::name::Kind;
use crate::registry::Registry;
use metrics::{Key, KeyName, Label, Level, Metadata, SharedString, Unit};
use std::collections::HashMap;
use std::fmt;

/// Hands what a registry shows to another `metrics` recorder, whenever it is [told](Self::push) to: for those who have
/// an exporter already and want our numbers in it.
///
/// Counters and gauges arrive as they are. A recorder takes a histogram only value by value, so what was counted since
/// the last time is recorded anew: each value in the bucket where it was, if both have the same bounds, and as the middle
/// of its cell, so that the other's sum is off by 1.6 % at most. Push often: most recorders keep each value until they are read.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::{Registry, recorder::Mirror};
/// use metrics::NoopRecorder; // in its place: the recorder of your exporter
///
/// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
///
/// let registry = Registry::new();
/// registry.counter(&JOBS)?.inc();
/// let mut mirror = Mirror::new(NoopRecorder);
/// mirror.push(&registry); // every few seconds
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
pub struct Mirror<R> {
    recorder: R,
    /// What was handed over of each histogram.
    pushed: HashMap<Key, Box<[u64]>>,
}

impl<R: metrics::Recorder> Mirror<R> {
    /// Will hand everything to this recorder.
    pub fn new(recorder: R) -> Self {
        Self { recorder, pushed: HashMap::new() }
    }

    /// Hands over what there is now.
    pub fn push(&mut self, registry: &Registry) {
        registry.collect(&mut Push { mirror: self, name: String::new() });
    }
}

impl<R> fmt::Debug for Mirror<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("histograms", &self.pushed.len()).finish_non_exhaustive()
    }
}

struct Push<'a, R> {
    mirror: &'a mut Mirror<R>,
    name: String,
}

const METADATA: Metadata<'_> = Metadata::new("buttress", Level::INFO, None);

impl<R> Push<'_, R> {
    fn key(&self, labels: &[(&str, &str)]) -> Key {
        let labels = labels.iter().map(|(name, value)| Label::new((*name).to_owned(), (*value).to_owned()));
        Key::from_parts(self.name.clone(), labels.collect::<Vec<_>>())
    }
}

impl<R: metrics::Recorder> Collector for Push<'_, R> {
    fn family(&mut self, family: &Description) {
        self.name = family.name.clone().into_owned();
        let name = KeyName::from(self.name.clone());
        let (unit, help) =
            (Unit::from_string(&family.unit), SharedString::from(family.help.clone().into_owned()));
        match family.kind {
            Kind::Counter => self.mirror.recorder.describe_counter(name, unit, help),
            Kind::Gauge => self.mirror.recorder.describe_gauge(name, unit, help),
            Kind::Histogram => self.mirror.recorder.describe_histogram(name, unit, help),
        }
    }

    fn counter(&mut self, labels: &[(&str, &str)], total: u64) {
        self.mirror.recorder.register_counter(&self.key(labels), &METADATA).absolute(total);
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.mirror.recorder.register_gauge(&self.key(labels), &METADATA).set(value);
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        let key = self.key(labels);
        let histogram = self.mirror.recorder.register_histogram(&key, &METADATA);
        let values = snapshot.values();
        let pushed = self.mirror.pushed.entry(key).or_insert_with(|| vec![0; values.len()].into());
        for ((value, count), before) in values.zip(pushed.iter_mut()) {
            // A part that was dropped and is back under its name begins anew.
            let more = count.checked_sub(*before).unwrap_or(count);
            if more > 0 {
                histogram.record_many(value, usize::try_from(more).unwrap_or(usize::MAX));
            }
            *before = count;
        }
    }
}
