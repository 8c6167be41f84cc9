//! What a registry takes, and what it shows of it.

use crate::rows::{Rows, Value};
use buttress_core::Metric;
use buttress_metrics::{
    Buckets, Counter, Event, Family, Gauge, Histogram, Label, Open, OpenFamily, RegisterError, Registry,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy)]
enum End {
    Done,
    Failed,
}

impl Label for End {
    const NAME: &'static str = "end";
    const VALUES: &'static [&'static str] = &["done", "failed"];

    fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Copy)]
enum Queue {
    Fast,
    None,
}

impl Label for Queue {
    const NAME: &'static str = "queue";
    const VALUES: &'static [&'static str] = &["fast", ""];

    fn index(self) -> usize {
        self as usize
    }
}

const JOBS: Metric = metric("jobs_total");
const TOOK: Metric = Metric { name: "job_seconds", unit: "seconds", help: "how long jobs take" };

const fn metric(name: &'static str) -> Metric {
    Metric { name, unit: "", help: "of a test" }
}

#[test]
fn what_is_registered_twice_in_the_same_way_is_the_same() {
    let registry = Registry::new();
    let one: OpenFamily<Counter, 1, End> = registry.open_counters(&JOBS, ["tenant"]).unwrap();
    let other: OpenFamily<Counter, 1, End> = registry.clone().open_counters(&JOBS, ["tenant"]).unwrap();
    one.with(["acme"]).get(End::Done).add(2);
    assert_eq!(other.with(["acme"]).get(End::Done).total(), 2);

    let took = registry.histogram(&TOOK, &Buckets::default()).unwrap();
    took.record(Duration::from_secs(1));
    assert_eq!(registry.histogram(&TOOK, &Buckets::<Duration>::default()).unwrap().snapshot().count(), 1);
    assert_eq!(Rows::of(&Registry::new()).rows, []);
}

#[test]
fn what_is_registered_again_and_differently_is_refused() {
    let registry = Registry::new();
    let _: OpenFamily<Counter, 1, End> = registry.open_counters(&JOBS, ["tenant"]).unwrap();
    let _: Family<Histogram, End> = registry.histograms(&TOOK, &Buckets::default()).unwrap();
    let taken = |name: &str| RegisterError::Taken { name: name.into(), by: name.into() };

    let refused = [
        registry.counter(&JOBS).map(drop),
        registry.counters::<End>(&JOBS).map(drop),
        registry.open_counters::<1, ()>(&JOBS, ["tenant"]).map(drop),
        registry.open_counters::<1, End>(&JOBS, ["user"]).map(drop),
        registry.open_counters::<1, End>(&JOBS, Open::new(["tenant"]).cap(7)).map(drop),
        registry.open_counters::<1, End>(&Metric { help: "else", ..JOBS }, ["tenant"]).map(drop),
    ];
    assert_eq!(refused.map(Result::unwrap_err), std::array::from_fn(|_| taken("jobs_total")));

    let seconds = Buckets::new(&[Duration::from_secs(1)]).unwrap();
    let refused = [
        registry.histograms::<_, End>(&TOOK, &seconds).map(drop),
        registry.histograms::<_, End>(&TOOK, &Buckets::<u64>::default()).map(drop),
        registry.gauge(&TOOK).map(drop),
    ];
    assert_eq!(refused.map(Result::unwrap_err), std::array::from_fn(|_| taken("job_seconds")));
}

#[test]
fn a_name_that_a_sample_of_another_family_has_is_refused() {
    let registry = Registry::new();
    registry.histogram(&TOOK, &Buckets::<Duration>::default()).unwrap();
    registry.counter(&JOBS).unwrap();
    registry.gauge(&metric("rows_sum")).unwrap();
    for (name, by) in [
        ("job_seconds_bucket", "job_seconds"),
        ("job_seconds_sum", "job_seconds"),
        ("job_seconds_count", "job_seconds"),
        ("job_seconds_created", "job_seconds"),
        ("jobs", "jobs_total"),
        ("jobs_created", "jobs_total"),
    ] {
        let taken = RegisterError::Taken { name: name.into(), by: by.into() };
        assert_eq!(registry.gauge(&metric(name)).unwrap_err(), taken);
    }
    let rows = registry.histogram(&metric("rows"), &Buckets::<u64>::default()).unwrap_err();
    assert_eq!(rows, RegisterError::Taken { name: "rows".into(), by: "rows_sum".into() });
    let own = registry.counter(&metric("buttress_metrics_dropped_total")).unwrap_err();
    assert!(matches!(own, RegisterError::Taken { .. }));
    registry.gauge(&metric("job_seconds_max")).unwrap();
}

#[test]
fn what_was_refused_leaves_nothing_behind() {
    let registry = Registry::new();
    registry.gauge(&metric("rows_sum")).unwrap();
    registry.histogram(&metric("rows"), &Buckets::<u64>::default()).unwrap_err();
    registry.gauge(&metric("rows_count")).expect("the refused histogram has not kept it");
}

#[test]
fn families_come_by_name_and_series_in_an_order_that_stays() {
    let registry = Registry::new();
    let jobs: OpenFamily<Counter, 1, (End, Queue)> = registry.open_counters(&JOBS, ["tenant"]).unwrap();
    for tenant in ["hooli", "acme"] {
        jobs.with([tenant]).get((End::Failed, Queue::Fast)).inc();
        jobs.with([tenant]).get((End::Done, Queue::None)).inc();
    }
    registry.gauge(&metric("zebras")).unwrap();
    registry.gauge(&metric("apes")).unwrap();
    let rows = Rows::of(&registry);
    let names: Vec<_> = rows.families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, ["apes", "jobs_total", "zebras"]);
    let labels: Vec<_> = rows.series("jobs_total").map(|row| &*row.labels).collect();
    let expected = [
        "tenant=acme,end=done", // an empty value leaves the label away
        "tenant=acme,end=failed,queue=fast",
        "tenant=hooli,end=done",
        "tenant=hooli,end=failed,queue=fast",
    ];
    assert_eq!(labels, expected);
}

#[test]
fn a_series_is_shown_from_when_it_was_first_asked_for() {
    let registry = Registry::new();
    let open: Family<Gauge, End> = registry.gauges(&metric("open")).unwrap();
    assert!(Rows::of(&registry).families.is_empty(), "a family without series says nothing");
    let _ = open.get(End::Failed);
    let rows = Rows::of(&registry);
    assert_eq!((rows.rows.len(), rows.get("open", "end=failed")), (1, Some(&Value::Gauge(0.0))));
}

#[test]
fn values_that_a_histogram_cannot_count_are_counted_as_dropped() {
    let registry = Registry::new();
    let ratio = registry.histogram(&metric("ratio"), &Buckets::new(&[0.5, 1.0]).unwrap()).unwrap();
    for value in [0.25, -0.0, 0.5, 2.0, f64::INFINITY, f64::MAX, f64::MAX] {
        ratio.record(value);
    }
    for value in [f64::NAN, f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE] {
        ratio.record(value);
    }
    let snapshot = ratio.snapshot();
    let counts: Vec<_> = snapshot.buckets().iter().map(|bucket| (bucket.bound, bucket.count)).collect();
    assert_eq!(counts, [(0.5, 3), (1.0, 3), (f64::INFINITY, 7)]);
    assert_eq!((snapshot.count(), snapshot.sum()), (7, f64::MAX), "what is infinite is not in the sum");
    let rows = Rows::of(&registry);
    assert_eq!((rows.dropped("ratio", "nan"), rows.dropped("ratio", "negative")), (1, 3));
}

#[test]
fn an_observer_hears_of_the_first_of_a_kind_and_no_other() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let registry = Registry::new().observe(move |event: Event| hearing.lock().push(event.to_string()));
    let jobs: OpenFamily<Counter, 1> = registry.open_counters(&JOBS, Open::new(["tenant"]).cap(1)).unwrap();
    let ratio = registry.histogram(&metric("ratio"), &Buckets::<f64>::default()).unwrap();
    for n in 0..10 {
        jobs.get([&n.to_string()]).inc();
        ratio.record(-1.0);
        ratio.record(f64::NAN);
    }
    let expected = [
        "dropped from `ratio`: negative",
        "dropped from `ratio`: nan",
        "dropped from `jobs_total`: overflow",
    ];
    assert_eq!(*heard.lock(), expected);
}

#[test]
fn a_value_that_is_called_like_the_overflow_is_in_it() {
    let registry = Registry::new();
    let jobs: OpenFamily<Counter, 1> = registry.open_counters(&JOBS, Open::new(["tenant"]).cap(1)).unwrap();
    for tenant in ["_overflow", "acme", "hooli"] {
        jobs.get([tenant]).inc();
    }
    let rows = Rows::of(&registry);
    let shown: Vec<_> = rows.series("jobs_total").map(|row| (&*row.labels, row.value.clone())).collect();
    let expected = [("tenant=acme", Value::Counter(1)), ("tenant=_overflow", Value::Counter(2))];
    assert_eq!(shown, expected);
    assert_eq!(rows.dropped("jobs_total", "overflow"), 1);
}

#[test]
fn a_held_gauge_and_a_timer_end_when_they_are_dropped_however_that_is() {
    let registry = Registry::new();
    let open = registry.gauge(&metric("open")).unwrap();
    let took = registry.histogram(&TOOK, &Buckets::default()).unwrap();
    let work = || {
        let _held = (open.hold(), took.timer());
        assert_eq!(open.value(), 1.0);
        std::panic::resume_unwind(Box::new("as scripted"));
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
    assert_eq!((open.value(), took.snapshot().count()), (0.0, 1));
    took.timer().discard();
    assert!(took.timer().stop() < Duration::from_secs(60));
    assert_eq!(took.snapshot().count(), 2);
}

#[test]
fn what_is_added_to_a_gauge_and_is_not_finite_is_left_out() {
    let gauge = Registry::new().gauge(&metric("g")).unwrap();
    gauge.set(2.0);
    for more in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        gauge.add(more);
        gauge.sub(more);
    }
    gauge.sub(0.5);
    assert_eq!(gauge.value(), 1.5);
    gauge.set(f64::NAN);
    assert!(gauge.value().is_nan());
}
