//! Which part has a name, and for how long.

use crate::parts::{metric, puppet};
use crate::rows::Rows;
use buttress_core::{Distribution, Inspect, Metric, Sink};
use buttress_metrics::{RegisterError, Registry};
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
