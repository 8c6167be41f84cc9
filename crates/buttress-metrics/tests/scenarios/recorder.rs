//! What others record with the macros of `metrics`.

use crate::rows::{Rows, Value};
use buttress_core::Metric;
use buttress_metrics::expose::Format;
use buttress_metrics::recorder::Recorder;
use buttress_metrics::{Buckets, Event, Registry};
use metrics::{Unit, counter, describe_counter, describe_histogram, gauge, histogram, with_local_recorder};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn macros_record_in_a_registry_of_ours() {
    let registry = Registry::new();
    let recorder = Recorder::new(&registry).buckets("sizes", &Buckets::new(&[10.0]).unwrap());
    with_local_recorder(&recorder, || {
        describe_counter!("http.requests", Unit::Count, "requests that came");
        describe_histogram!("took.seconds", Unit::Seconds, "how long they took");
        counter!("http.requests", "method" => "GET", "code" => "200").increment(2);
        counter!("http.requests", "code" => "200", "method" => "GET").increment(1);
        counter!("http_requests_total", "code" => "200", "method" => "GET", "none" => "").increment(1);
        gauge!("queue-length").set(3.0);
        gauge!("queue-length").decrement(1.0);
        histogram!("took.seconds").record(Duration::from_millis(7));
        histogram!("sizes").record(11.0);
        histogram!("sizes").record_many(10, 3);
    });
    let rows = Rows::of(&registry);
    assert_eq!(rows.total("http_requests_total", "code=200,method=GET"), 4);
    assert_eq!(rows.series("http_requests_total").count(), 1);
    assert_eq!(rows.get("queue_length", ""), Some(&Value::Gauge(2.0)));
    let text = registry.encode(Format::OpenMetrics);
    for line in [
        "# HELP http_requests requests that came\n",
        "# UNIT took_seconds seconds\n",
        "took_seconds_bucket{le=\"0.005\"} 0\ntook_seconds_bucket{le=\"0.01\"} 1\n",
        "sizes_bucket{le=\"10.0\"} 3\nsizes_bucket{le=\"+Inf\"} 4\nsizes_sum 41.0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn ten_thousand_values_of_a_label_are_a_hundred_series_and_one() {
    let registry = Registry::new();
    let recorder = Recorder::new(&registry);
    with_local_recorder(&recorder, || {
        for round in 0..2 {
            for user in 0..5_000 {
                counter!("logins", "user" => user.to_string()).increment(1 + round);
            }
        }
    });
    let rows = Rows::of(&registry);
    let all: u64 = rows.series("logins_total").map(|row| rows.total(&row.name, &row.labels)).sum();
    assert_eq!((rows.series("logins_total").count(), all), (101, 15_000));
    assert_eq!(rows.total("logins_total", "_overflow=true"), 3 * 4_900);
    assert_eq!(rows.dropped("logins_total", "overflow"), 2 * 4_900);
}

#[test]
fn what_breaks_a_rule_is_left_out_and_counted_and_told_once() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let registry = Registry::new().observe(move |event: Event| hearing.lock().push(event.to_string()));
    registry.counter(&Metric { name: "ours_total", unit: "", help: "" }).unwrap();
    let recorder = Recorder::new(&registry).families(2);
    with_local_recorder(&recorder, || {
        for _ in 0..3 {
            histogram!("took", "le" => "1").record(1.0);
            counter!("__name").increment(1);
            counter!("").increment(1);
            counter!("jobs").increment(1);
            gauge!("jobs").set(1.0);
            gauge!("jobs_total").set(1.0);
            counter!("ours").increment(1);
            gauge!("second").set(f64::NAN);
            counter!("third").increment(1);
            counter!("jobs", "a.b" => "1", "a-b" => "2").increment(1);
        }
    });
    let rows = Rows::of(&registry);
    let names: Vec<_> = rows.families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, ["buttress_metrics_dropped_total", "jobs_total", "ours_total", "second"]);
    assert_eq!((rows.total("jobs_total", ""), rows.total("ours_total", "")), (3, 0));
    let dropped = |labels| rows.total("buttress_metrics_dropped_total", labels);
    assert_eq!(dropped("reason=name"), 6);
    assert_eq!(dropped("reason=label"), 3, "of a family that there is not");
    assert_eq!(rows.dropped("jobs_total", "label"), 3);
    assert_eq!(dropped("reason=taken") + rows.dropped("jobs_total", "taken"), 6);
    assert_eq!(rows.dropped("ours_total", "taken"), 3);
    assert_eq!(dropped("reason=families"), 3);
    assert_eq!(heard.lock().len(), 7, "{:?}", heard.lock());
}

#[test]
fn values_that_are_none_are_left_out_as_often_as_they_were_given() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let registry = Registry::new().observe(move |event: Event| hearing.lock().push(event.to_string()));
    let recorder = Recorder::new(&registry);
    with_local_recorder(&recorder, || {
        histogram!("sizes").record(f64::NAN);
        histogram!("sizes").record_many(f64::NAN, 3);
        histogram!("sizes").record_many(-1.0, 5);
        histogram!("sizes").record_many(f64::NEG_INFINITY, 0);
        histogram!("sizes").record_many(1.0, 7);
    });
    let rows = Rows::of(&registry);
    assert_eq!((rows.dropped("sizes", "nan"), rows.dropped("sizes", "negative")), (4, 5));
    let Some(Value::Histogram(sizes)) = rows.get("sizes", "") else { panic!("{rows:?}") };
    assert_eq!((sizes.count(), sizes.sum()), (7, 7.0));
    assert_eq!(heard.lock().len(), 2, "each is told once: {:?}", heard.lock());
}

#[test]
fn a_handle_that_was_kept_stays_true() {
    let registry = Registry::new();
    let recorder = Recorder::new(&registry);
    let (kept, again) = with_local_recorder(&recorder, || (counter!("jobs"), counter!("jobs")));
    kept.increment(1);
    again.increment(1);
    kept.absolute(7);
    again.absolute(5);
    assert_eq!(Rows::of(&registry).total("jobs_total", ""), 7);
}
