//! What a registry makes of names, numbers and parts that are at the edge of what may be.

use crate::parts::puppet;
use buttress_core::Metric;
use buttress_metrics::{Dropped, RegisterError, Registry};

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
