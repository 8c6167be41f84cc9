//! Numbers of parts: read when somebody looks, under names that nobody else has.

use crate::rows::{Rows, Value};
use buttress_breaker::{BreakerLayer, Breakers, Config};
use buttress_cache::Cache;
use buttress_core::{Distribution, Inspect, Labels, Metric, Name, Sink};
use buttress_limit::TimeoutLayer;
use buttress_metrics::expose::Format;
use buttress_metrics::{Buckets, Dropped, Event, RegisterError, Registry};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

/// A part that shows what it is told to.
struct Puppet<F> {
    kind: &'static str,
    name: &'static str,
    show: F,
}

impl<F: Fn(&mut dyn Sink) + Send + Sync> Inspect for Puppet<F> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn name(&self) -> Name {
        self.name.into()
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        (self.show)(sink);
    }
}

pub(crate) fn puppet(
    kind: &'static str,
    name: &'static str,
    show: impl Fn(&mut dyn Sink) + Send + Sync + 'static,
) -> Arc<dyn Inspect> {
    Arc::new(Puppet { kind, name, show })
}

pub(crate) const fn metric(name: &'static str) -> Metric {
    Metric { name, unit: "", help: "of a test" }
}

const OPENED: Metric = metric("opened_total");
const WIDTH: Metric = metric("width");

fn counting(sink: &mut dyn Sink) {
    sink.counter(&OPENED, &[], 1);
}

fn labelled(sink: &mut dyn Sink, labels: Labels<'_>) {
    sink.gauge(&WIDTH, labels, 1.0);
}

#[tokio::test]
async fn parts_of_all_kinds_are_seen_with_no_word_from_them() {
    let registry = Registry::new();
    let breakers =
        ["db", "search"].map(|name| BreakerLayer::new(name, Config::default().failure_ratio(None)));
    for breaker in &breakers {
        registry.register(Arc::new(breaker.handle())).unwrap();
    }
    let keyed = Breakers::<u64>::new("tenants", Config::default());
    registry.register(Arc::new(keyed)).unwrap();
    let timeout = TimeoutLayer::new("search", Duration::from_secs(2));
    registry.register(Arc::new(timeout.handle())).unwrap();
    let cache: Cache<u64, u64> = Cache::new("answers", buttress_cache::Config::default());
    registry.register(Arc::new(cache.clone())).unwrap();

    cache.insert(1, 1);
    assert!(cache.get(&1).is_some() && cache.get(&2).is_none());
    let failing =
        breakers[0].layer(service_fn(|(): ()| async { Err::<(), _>(buttress_core::Error::Inner(())) }));
    for _ in 0..5 {
        assert!(failing.clone().oneshot(()).await.is_err());
    }

    let rows = Rows::of(&registry);
    assert_eq!(rows.total("breaker_opened_total", "name=db"), 1);
    assert_eq!(rows.total("breaker_calls_total", "name=db,outcome=failure"), 5);
    assert_eq!(rows.total("breaker_opened_total", "name=search"), 0);
    let states = |name: &str, state: &str| rows.get("breaker_state", &format!("name={name},state={state}"));
    for (name, state, is_now) in
        [("db", "open", 1.0), ("db", "closed", 0.0), ("search", "closed", 1.0), ("search", "open", 0.0)]
    {
        assert_eq!(states(name, state), Some(&Value::Gauge(is_now)), "{name} {state}");
    }
    assert_eq!(rows.total("cache_requests_total", "name=answers,outcome=hit"), 1);
    assert_eq!(rows.total("cache_requests_total", "name=answers,outcome=miss"), 1);
    assert_eq!(rows.get("timeout_limit_seconds", "name=search"), Some(&Value::Gauge(2.0)));
    assert_eq!(rows.series("buttress_metrics_dropped_total").count(), 0);
    for families in rows.families.windows(2) {
        assert!(families[0].name < families[1].name, "each comes once, by name");
    }
}

#[test]
fn a_part_that_is_dropped_disappears_and_leaves_its_name_to_others() {
    let registry = Registry::new();
    let part = puppet("door", "front", counting);
    registry.register_weak(&part).unwrap();
    let taken = RegisterError::Part { kind: "door", name: "front".into() };
    assert_eq!(registry.register_weak(&part), Err(taken.clone()));
    assert_eq!(registry.register(puppet("door", "front", counting)), Err(taken));
    registry.register(puppet("door", "back", counting)).unwrap();
    assert_eq!(Rows::of(&registry).series("door_opened_total").count(), 2);

    drop(part);
    let rows = Rows::of(&registry);
    let left: Vec<_> = rows.series("door_opened_total").map(|row| &*row.labels).collect();
    assert_eq!(left, ["name=back"]);
    registry.register(puppet("door", "front", counting)).unwrap();
    assert_eq!(Rows::of(&registry).series("door_opened_total").count(), 2);
}

#[test]
fn what_cannot_be_shown_is_an_error_when_the_part_is_registered() {
    let registry = Registry::new();
    registry.gauge(&metric("door_width")).unwrap();
    registry.gauge(&metric("door_size_count")).unwrap();
    let refused = |show: fn(&mut dyn Sink)| registry.register(puppet("door", "front", show)).unwrap_err();
    let shown = |metric: &str, reason| RegisterError::Shown {
        kind: "door",
        name: "front".into(),
        metric: metric.into(),
        reason,
    };
    for (show, error) in [
        (counting as fn(&mut dyn Sink), None),
        (|sink| sink.counter(&metric("opened"), &[], 1), Some(shown("", Dropped::Name))),
        (|sink| sink.gauge(&metric("now_total"), &[], 1.0), Some(shown("", Dropped::Name))),
        (|sink| sink.gauge(&metric("a-b"), &[], 1.0), Some(shown("", Dropped::Name))),
        (|sink| sink.gauge(&metric("g"), &[("le", "x")], 1.0), Some(shown("door_g", Dropped::Label))),
        (|sink| sink.gauge(&metric("g"), &[("name", "x")], 1.0), Some(shown("door_g", Dropped::Label))),
        (
            |sink| sink.gauge(&metric("g"), &[("a", "x"), ("a", "y")], 1.0),
            Some(shown("door_g", Dropped::Label)),
        ),
        (
            |sink| {
                counting(sink);
                counting(sink);
            },
            Some(shown("door_opened_total", Dropped::Duplicate)),
        ),
        (
            |sink| labelled(sink, &[]),
            Some(RegisterError::Taken { name: "door_width".into(), by: "door_width".into() }),
        ),
        (
            |sink| {
                sink.gauge(&metric("height"), &[], 1.0);
                sink.histogram(&metric("size"), &[], &Distribution::new());
            },
            Some(RegisterError::Taken { name: "door_size".into(), by: "door_size_count".into() }),
        ),
    ] {
        match error {
            Some(error) => assert_eq!(refused(show), error),
            None => Registry::new().register(puppet("door", "front", show)).unwrap(),
        }
    }
    // Those that were refused have kept no name.
    registry.counter(&metric("door_height_total")).unwrap();
    registry.counter(&metric("door_opened_total")).unwrap();
    assert_eq!(Rows::of(&registry).series("door_height").count(), 0);
}

#[test]
fn the_names_of_parts_are_taken_for_all_others() {
    let registry = Registry::new();
    registry.register(puppet("door", "front", counting)).unwrap();
    let taken = registry.counter(&metric("door_opened_total")).unwrap_err();
    let by = "door_opened_total";
    assert_eq!(taken, RegisterError::Taken { name: by.into(), by: by.into() });
    assert!(registry.gauge(&metric("door_opened")).is_err());
    assert!(registry.histogram(&metric("door_opened"), &Buckets::<f64>::default()).is_err());
}

#[test]
fn what_a_part_shows_against_the_rules_later_on_is_left_out_and_counted() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let registry = Registry::new().observe(move |event: Event| hearing.lock().push(event.to_string()));
    registry.gauge(&metric("door_width")).unwrap();
    let misbehaves = Arc::new(Mutex::new(false));
    let told = Arc::clone(&misbehaves);
    let part = puppet("door", "front", move |sink| {
        counting(sink);
        if *told.lock() {
            counting(sink);
            labelled(sink, &[]);
            sink.gauge(&OPENED, &[], 1.0);
            sink.gauge(&metric("height"), &[("quantile", "0.5")], 1.0);
            sink.gauge(&metric("depth"), &[], 2.0);
        }
    });
    registry.register(part).unwrap();
    *misbehaves.lock() = true;
    for _ in 0..2 {
        let rows = Rows::of(&registry);
        assert_eq!(rows.total("door_opened_total", "name=front"), 1);
        let widths: Vec<_> = rows.series("door_width").map(|row| &*row.labels).collect();
        assert_eq!(widths, [""], "the one that is there stays");
        assert_eq!(
            rows.get("door_depth", "name=front"),
            Some(&Value::Gauge(2.0)),
            "what is new and right is shown"
        );
    }
    let rows = Rows::of(&registry);
    assert_eq!(rows.dropped("door_opened_total", "duplicate"), 3);
    assert_eq!(rows.dropped("door_width", "taken"), 3);
    for reason in ["name", "label"] {
        let dropped = rows.total("buttress_metrics_dropped_total", &format!("reason={reason}"));
        assert_eq!(dropped, 3, "{reason}: what is no name of a family's is counted without one");
    }
    assert_eq!(heard.lock().len(), 4, "each is told once: {:?}", heard.lock());
}

#[test]
fn a_part_that_panics_shows_nothing_and_the_others_do() {
    let registry = Registry::new();
    let panics = Arc::new(Mutex::new(false));
    let told = Arc::clone(&panics);
    let part = puppet("door", "broken", move |sink| {
        counting(sink);
        if *told.lock() {
            std::panic::resume_unwind(Box::new("as scripted"));
        }
    });
    registry.register(part).unwrap();
    registry.register(puppet("door", "front", counting)).unwrap();
    *panics.lock() = true;
    let rows = Rows::of(&registry);
    let shown: Vec<_> = rows.series("door_opened_total").map(|row| &*row.labels).collect();
    assert_eq!(shown, ["name=front"]);
    assert_eq!(Rows::of(&registry).total("buttress_metrics_dropped_total", "reason=panicked"), 2);
}

#[test]
fn durations_of_parts_are_histograms() {
    let registry = Registry::new();
    let mut waits = Distribution::new();
    waits.record(Duration::from_nanos(1025));
    waits.record(Duration::from_secs(9000));
    let wait = Metric { name: "wait_seconds", unit: "seconds", help: "" };
    registry.register(puppet("door", "front", move |sink| sink.histogram(&wait, &[], &waits))).unwrap();
    let text = registry.encode(Format::OpenMetrics);
    for line in [
        "# UNIT door_wait_seconds seconds\n",
        "door_wait_seconds_bucket{name=\"front\",le=\"1.024e-06\"} 0\n",
        "door_wait_seconds_bucket{name=\"front\",le=\"2.048e-06\"} 1\n",
        "door_wait_seconds_bucket{name=\"front\",le=\"+Inf\"} 2\n",
        "door_wait_seconds_sum{name=\"front\"} 9000.000001025\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test]
async fn a_part_may_be_looked_at_while_it_is_in_use() {
    let registry = Registry::new();
    let layer = TimeoutLayer::new("search", Duration::from_secs(1));
    registry.register(Arc::new(layer.handle())).unwrap();
    let looking = registry.clone();
    let service = layer.layer(service_fn(move |(): ()| {
        let seen = Rows::of(&looking).get("timeout_in_flight", "name=search").cloned();
        async move { Ok::<_, buttress_core::Error<Infallible>>(seen) }
    }));
    assert_eq!(service.oneshot(()).await, Ok(Some(Value::Gauge(1.0))));
}
