//! Which part has a name, and for how long.

use crate::parts::{metric, puppet};
use crate::rows::{Rows, Value};
use buttress_core::{Distribution, Inspect, Metric, Sink};
use buttress_metrics::{Config, MetricsLayer, RegisterError, Registry};
use parking_lot::Mutex;
use std::sync::Arc;

const OPENED: Metric = metric("opened_total");
const WIDTH: Metric = metric("width");

fn counter(sink: &mut dyn Sink) {
    sink.counter(&OPENED, &[], 1);
}

fn gauge(sink: &mut dyn Sink) {
    sink.gauge(&WIDTH, &[], 1.0);
}

fn histogram(sink: &mut dyn Sink) {
    sink.histogram(&WIDTH, &[], &Distribution::new());
}

/// A part that shows something else once it is told to.
fn changing(
    name: &'static str,
    before: fn(&mut dyn Sink),
    after: fn(&mut dyn Sink),
) -> (Arc<dyn Inspect>, Arc<Mutex<bool>>) {
    let told = Arc::new(Mutex::new(false));
    let asked = Arc::clone(&told);
    (puppet("door", name, move |sink| if *asked.lock() { after(sink) } else { before(sink) }), told)
}

fn taken(name: &str) -> Result<(), RegisterError> {
    Err(RegisterError::Taken { name: name.into(), by: name.into() })
}

#[test]
fn what_a_part_was_called_is_free_when_it_is_dropped() {
    for scraped in [false, true] {
        let registry = Registry::new();
        let parts = ["front", "back"].map(|name| puppet("door", name, gauge));
        parts.iter().for_each(|part| registry.register_weak(part).unwrap());
        let other = || registry.register(puppet("door", "side", histogram));
        assert_eq!(other(), taken("door_width"));
        let [front, back] = parts;
        drop(front);
        assert_eq!(other(), taken("door_width"), "there is one who is called so");
        drop(back);
        if scraped {
            assert_eq!(Rows::of(&registry).series("door_width").count(), 0);
        }
        other().unwrap();
        let rows = Rows::of(&registry);
        assert!(matches!(rows.get("door_width", "name=side"), Some(Value::Histogram(_))));
        assert_eq!(rows.series("buttress_metrics_dropped_total").count(), 0);
    }
}

#[test]
fn what_a_part_was_called_is_free_for_what_is_no_part() {
    type Register = fn(&Registry) -> Result<(), RegisterError>;
    for register in [
        (|registry| registry.gauge(&metric("door_width")).map(drop)) as Register,
        (|registry| registry.gauge(&metric("door_opened")).map(drop)),
        (|registry| registry.counter(&metric("door_opened_total")).map(drop)),
        (|registry| registry.open_gauges::<1, ()>(&metric("door_width"), ["side"]).map(drop)),
        (|registry| {
            registry
                .register(puppet("door_opened", "front", |sink| sink.gauge(&metric("total_count"), &[], 1.0)))
        }),
    ] {
        let registry = Registry::new();
        let part = puppet("door", "front", |sink| {
            counter(sink);
            gauge(sink);
        });
        registry.register_weak(&part).unwrap();
        drop(part);
        register(&registry).unwrap();
        assert!(Rows::of(&registry).families.len() < 2);
    }
}

#[test]
fn what_a_part_was_called_is_free_for_a_layer() {
    const IN_FLIGHT: Metric = metric("requests_in_flight");
    let registry = Registry::new();
    let layer = || MetricsLayer::new("shop", Config::default(), &registry);
    let part = puppet("service", "front", |sink| sink.gauge(&IN_FLIGHT, &[], 1.0));
    registry.register_weak(&part).unwrap();
    layer().unwrap_err();
    drop(part);
    layer().unwrap();
}

#[cfg(feature = "recorder")]
#[test]
fn what_a_part_was_called_is_free_for_a_macro() {
    let registry = Registry::new();
    let recorder = buttress_metrics::recorder::Recorder::new(&registry);
    let record = || metrics::with_local_recorder(&recorder, || metrics::gauge!("door_width").set(7.0));
    let part = puppet("door", "front", gauge);
    registry.register_weak(&part).unwrap();
    record();
    drop(part);
    record();
    let rows = Rows::of(&registry);
    assert_eq!(rows.get("door_width", ""), Some(&Value::Gauge(7.0)));
    assert_eq!(rows.dropped("door_width", "taken"), 1);
}

#[test]
fn what_a_part_has_shown_once_stays_its_own_while_it_lives() {
    let registry = Registry::new();
    let (part, told) = changing("front", gauge, counter);
    registry.register_weak(&part).unwrap();
    *told.lock() = true;
    // Now it shows what it did not when it was registered, and not what it did.
    assert_eq!(Rows::of(&registry).total("door_opened_total", "name=front"), 1);
    assert_eq!(registry.register(puppet("door", "side", histogram)), taken("door_width"));
    assert_eq!(registry.counter(&metric("door_opened_total")).map(drop), taken("door_opened_total"));
    drop(part);
    registry.register(puppet("door", "side", histogram)).unwrap();
    registry.counter(&metric("door_opened_total")).unwrap();
}

#[test]
fn what_was_dropped_of_a_family_is_still_counted_when_its_parts_are_gone() {
    let registry = Registry::new();
    let (part, told) = changing("front", counter, |sink| {
        counter(sink);
        counter(sink);
    });
    registry.register_weak(&part).unwrap();
    *told.lock() = true;
    Rows::of(&registry);
    drop(part);
    let dropped = || Rows::of(&registry).dropped("door_opened_total", "duplicate");
    assert_eq!(dropped(), 1);
    registry.counter(&metric("door_opened")).unwrap_err();
    registry.gauge(&metric("door_opened")).unwrap();
    assert_eq!(dropped(), 1, "a counter does not fall");
}

#[test]
fn two_parts_that_call_different_things_by_one_name_are_refused_when_they_are_registered() {
    let registry = Registry::new();
    registry.register(puppet("door", "front", gauge)).unwrap();
    assert_eq!(registry.register(puppet("door", "back", histogram)), taken("door_width"));
    let both = puppet("door", "side", |sink| {
        sink.gauge(&metric("height"), &[], 1.0);
        sink.histogram(&metric("height"), &[], &Distribution::new());
    });
    registry.register(both).unwrap_err();
    registry.gauge(&metric("door_height")).unwrap();
}

#[test]
fn what_a_part_shows_later_by_another_s_name_is_left_out_and_the_other_s_is_shown() {
    // Whichever comes first when they are asked.
    for (early, late) in [("a", "b"), ("b", "a")] {
        let registry = Registry::new();
        let (part, told) = changing(late, counter, |sink| {
            counter(sink);
            gauge(sink);
        });
        registry.register(part).unwrap();
        registry.register(puppet("door", early, histogram)).unwrap();
        *told.lock() = true;
        for scrapes in 1..3 {
            let rows = Rows::of(&registry);
            let widths: Vec<_> = rows.series("door_width").map(|row| &*row.labels).collect();
            assert_eq!(widths, [format!("name={early}")]);
            assert_eq!(rows.total("door_opened_total", &format!("name={late}")), 1);
            assert_eq!(rows.dropped("door_width", "taken"), scrapes);
        }
    }
}

#[test]
fn a_part_that_is_dropped_while_others_are_asked_keeps_no_name() {
    let registry = Registry::new();
    let front = puppet("door", "front", gauge);
    registry.register_weak(&front).unwrap();
    let held = Arc::new(Mutex::new(None));
    let holding = Arc::clone(&held);
    // It is asked after the other.
    registry.register(puppet("gate", "side", move |_| drop(holding.lock().take()))).unwrap();
    *held.lock() = Some(front);
    assert_eq!(Rows::of(&registry).series("door_width").count(), 0);
    registry.gauge(&metric("door_width")).unwrap();
}
