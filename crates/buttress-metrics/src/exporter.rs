//! Beside `metrics-exporter-prometheus`.

use crate::collect::{Collector, Description};
use crate::histogram::Snapshot;
use crate::registry::Registry;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// Tells an exporter the bounds of all histograms that a registry has now, so that what a
/// [`Mirror`](crate::recorder::Mirror) hands over is counted in the same buckets. Without it the exporter makes summaries of
/// them.
///
/// # Errors
///
/// As the exporter does.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::{Buckets, Registry, exporter, recorder::Mirror};
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use std::time::Duration;
///
/// const TOOK: Metric = Metric { name: "job_seconds", unit: "seconds", help: "how long jobs take" };
///
/// let registry = Registry::new();
/// let took = registry.histogram(&TOOK, &Buckets::default())?;
/// let recorder = exporter::with_buckets(PrometheusBuilder::new(), &registry)?.build_recorder();
/// let handle = recorder.handle();
/// let mut mirror = Mirror::new(recorder);
///
/// took.record(Duration::from_millis(7));
/// mirror.push(&registry); // every few seconds, or before each scrape
/// assert!(handle.render().contains("job_seconds_bucket{le=\"0.01\"} 1\n"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn with_buckets(
    builder: PrometheusBuilder,
    registry: &Registry,
) -> Result<PrometheusBuilder, BuildError> {
    let mut bounds = Bounds::default();
    registry.collect(&mut bounds);
    bounds.all.into_iter().try_fold(builder, |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name), &bounds)
    })
}

#[derive(Default)]
struct Bounds {
    name: String,
    /// Of each family's first series: all have the same.
    all: Vec<(String, Vec<f64>)>,
}

impl Collector for Bounds {
    fn family(&mut self, family: &Description) {
        self.name = family.name.clone().into_owned();
    }

    fn counter(&mut self, _: &[(&str, &str)], _: u64) {}

    fn gauge(&mut self, _: &[(&str, &str)], _: f64) {}

    fn histogram(&mut self, _: &[(&str, &str)], snapshot: &Snapshot) {
        if self.all.last().is_none_or(|(name, _)| *name != self.name) {
            let bounds =
                snapshot.buckets().iter().map(|bucket| bucket.bound).filter(|bound| bound.is_finite());
            self.all.push((self.name.clone(), bounds.collect()));
        }
    }
}
