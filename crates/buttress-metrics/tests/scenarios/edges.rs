//! What a registry makes of names, numbers and parts that are at the edge of what may be.

use crate::parts::puppet;
use crate::rows::{Rows, Value};
use buttress_core::{Inspect, Metric, Name, Ratio, Sink};
use buttress_metrics::expose::Format;
use buttress_metrics::{
    Buckets, Config, Counter, Dropped, MetricsLayer, Open, OpenFamily, RegisterError, Registry,
};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const fn metric(name: &'static str) -> Metric {
    Metric { name, unit: "", help: "of a test" }
}

#[test]
fn labels_in_another_order_are_the_same_series() {
    const WIDTH: Metric = metric("width");
    let registry = Registry::new();
    let twice = puppet("door", "front", |sink| {
        sink.gauge(&WIDTH, &[("side", "left"), ("floor", "1")], 1.0);
        sink.gauge(&WIDTH, &[("floor", "1"), ("side", "left")], 2.0);
    });
    let error = registry.register(twice).unwrap_err();
    let (kind, name, metric) = ("door", "front".into(), "door_width".into());
    assert_eq!(error, RegisterError::Shown { kind, name, metric, reason: Dropped::Duplicate });
}

#[test]
fn a_counter_of_which_openmetrics_would_leave_no_name_is_refused() {
    let nameless = puppet("", "front", |sink| sink.counter(&metric("total"), &[], 1));
    let error = Registry::new().register(nameless).unwrap_err();
    let (kind, name, metric) = ("", "front".into(), String::new());
    assert_eq!(error, RegisterError::Shown { kind, name, metric, reason: Dropped::Name });
}

/// A part that counts when it is dropped.
struct Counting(Registry);

impl Inspect for Counting {
    fn kind(&self) -> &'static str {
        "door"
    }

    fn name(&self) -> Name {
        "front".into()
    }

    fn inspect(&self, _: &mut dyn Sink) {}
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.counter(&metric("dropped_total")).unwrap().inc();
    }
}

#[test]
fn a_part_that_is_refused_may_use_the_registry_when_it_is_dropped() {
    let registry = Registry::new();
    registry.register(puppet("door", "front", |_| {})).unwrap();
    let (done, refused) = mpsc::channel();
    let other = registry.clone();
    thread::spawn(move || done.send(other.register(Arc::new(Counting(other.clone())))));
    let refused = refused.recv_timeout(Duration::from_secs(30)).expect("it does not wait for itself");
    assert_eq!(refused, Err(RegisterError::Part { kind: "door", name: "front".into() }));
    assert_eq!(Rows::of(&registry).total("dropped_total", ""), 1);
}

#[test]
fn a_cap_of_all_there_can_be_is_one_that_fits() {
    let registry = Registry::new();
    let open = Open::new(["user"]).cap(usize::MAX);
    let logins: OpenFamily<Counter, 1> = registry.open_counters(&metric("logins_total"), open).unwrap();
    for user in 0..1000 {
        logins.get([&user.to_string()]).inc();
    }
    let rows = Rows::of(&registry);
    assert_eq!((rows.series("logins_total").count(), rows.dropped("logins_total", "overflow")), (1000, 0));
}

#[test]
fn a_layer_that_could_not_be_made_has_kept_no_name() {
    let registry = Registry::new();
    registry.gauge(&metric("service_requests_in_flight")).unwrap();
    MetricsLayer::new("store", Config::default(), &registry).unwrap_err();
    registry.gauge(&metric("service_request_duration_seconds")).unwrap();
}

#[test]
fn bounds_are_written_as_openmetrics_would_have_them() {
    let registry = Registry::new();
    let bounds = [1e-10, 1e-5, 1.024e-5, 0.0001, 0.125, 1.0, 100_000.0, 1e6, 67_108_864.0, 1e10, 1.5e300];
    registry.histogram(&metric("sizes"), &Buckets::new(&bounds).unwrap()).unwrap();
    let expected = [
        "1e-10",
        "1e-05",
        "1.024e-05",
        "0.0001",
        "0.125",
        "1.0",
        "100000.0",
        "1e+06",
        "6.7108864e+07",
        "1e+10",
        "1.5e+300",
        "+Inf",
    ];
    for format in [Format::Text, Format::OpenMetrics] {
        let text = registry.encode(format);
        let bounds =
            text.lines().filter_map(|line| line.strip_prefix("sizes_bucket{le=\"")?.split('"').next());
        assert_eq!(bounds.collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn the_largest_and_the_smallest_of_each_kind_are_counted_where_they_belong() {
    let registry = Registry::new();
    let counts = |bounds: &[f64], values: &[f64]| {
        let name = Name::new(&format!("values_{}", values.len())).as_str();
        let histogram = registry.histogram(&metric(name), &Buckets::new(bounds).unwrap()).unwrap();
        values.iter().for_each(|value| histogram.record(*value));
        let snapshot = histogram.snapshot();
        assert!(snapshot.sum().is_finite() && snapshot.quantile(Ratio::FULL).is_some());
        snapshot.buckets().iter().map(|bucket| bucket.count).collect::<Vec<_>>()
    };
    let least = f64::from_bits(1);
    assert_eq!(counts(&[least, 1.0, f64::MAX], &[-0.0, 0.0, least, 2.0 * least]), [3, 4, 4, 4]);
    assert_eq!(counts(&[1e300, f64::MAX], &[1e300, f64::MAX, f64::INFINITY]), [1, 2, 3]);
    assert_eq!(counts(&[1.0], &[f64::NAN, -least, f64::NEG_INFINITY, 1.0, f64::MAX, f64::MAX]), [1, 3]);

    let took = registry.histogram(&metric("took"), &Buckets::<Duration>::default()).unwrap();
    [Duration::ZERO, Duration::MAX, Duration::MAX].into_iter().for_each(|value| took.record(value));
    let snapshot = took.snapshot();
    assert_eq!((snapshot.buckets()[0].count, snapshot.count()), (1, 3));
    assert!(
        matches!(Rows::of(&registry).get("took", ""), Some(Value::Histogram(shown)) if *shown == snapshot)
    );
}
