//! Calls of any service: each is counted once, whatever its end.

use crate::rows::{Rows, Value};
use buttress_core::{Error, Ratio, Reason, Rejected};
use buttress_metrics::expose::Format;
use buttress_metrics::{Buckets, Config, MetricsLayer, Outcome, RegisterError, Registry, TraceId};
use buttress_testkit::scripted::{Calls, Fault, Script};
use buttress_testkit::waker::CountingWaker;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

const DURATION: &str = "service_request_duration_seconds";

/// How many calls ended so, of a layer called `calls` without operations.
fn ended(registry: &Registry, outcome: Outcome) -> u64 {
    match Rows::of(registry).get(DURATION, &format!("name=calls,outcome={outcome}")) {
        Some(Value::Histogram(took)) => took.count(),
        _ => 0,
    }
}

fn all_ended(registry: &Registry) -> u64 {
    let rows = Rows::of(registry);
    rows.series(DURATION)
        .map(|row| match &row.value {
            Value::Histogram(took) => took.count(),
            other => panic!("{other:?}"),
        })
        .sum()
}

fn in_flight(registry: &Registry) -> f64 {
    match Rows::of(registry).get("service_requests_in_flight", "name=calls") {
        Some(Value::Gauge(calls)) => *calls,
        other => panic!("{other:?}"),
    }
}

fn layer(registry: &Registry) -> MetricsLayer {
    MetricsLayer::new("calls", Config::default(), registry).unwrap()
}

#[tokio::test]
async fn each_end_has_its_outcome() {
    let registry = Registry::new();
    let refused = |reason| Err(Fault::Rejected(Rejected::new("pool", "db".into(), reason)));
    let service = layer(&registry).layer(service_fn(|answer: Result<(), Fault>| async move { answer }));
    for (answer, outcome) in [
        (Ok(()), Outcome::Ok),
        (Err(Fault::Inner(1)), Outcome::Error),
        (refused(Reason::Overloaded), Outcome::Rejected),
        (refused(Reason::TimedOut), Outcome::Timeout),
        (refused(Reason::Failed), Outcome::Error),
    ] {
        let before = ended(&registry, outcome);
        assert_eq!(service.clone().oneshot(answer).await, answer);
        assert_eq!(ended(&registry, outcome), before + 1, "{answer:?}");
    }
    assert_eq!((all_ended(&registry), in_flight(&registry)), (5, 0.0));
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_poll_is_cancelled_and_no_longer_in_flight() {
    for polls in 0..=4 {
        let (registry, script) = (Registry::new(), Script::new());
        script.calls(Calls::PendingPolls(3));
        let mut service = layer(&registry).layer(script.service(|n: u64| n));
        let waker = CountingWaker::new();
        let mut cx = waker.context();
        assert!(service.poll_ready(&mut cx).is_ready());
        assert_eq!(in_flight(&registry), 0.0, "nothing runs that was not called");
        {
            let mut call = pin!(service.call(7));
            assert_eq!(in_flight(&registry), 1.0);
            let ended = (0..polls).any(|_| call.as_mut().poll(&mut cx).is_ready());
            assert_eq!((ended, in_flight(&registry)), (polls == 4, if polls == 4 { 0.0 } else { 1.0 }));
        }
        let outcome = if polls == 4 { Outcome::Ok } else { Outcome::Cancelled };
        assert_eq!((ended(&registry, outcome), all_ended(&registry)), (1, 1), "after {polls} polls");
        assert_eq!((in_flight(&registry), script.seen().futures), (0.0, 0));
    }
}

#[tokio::test]
async fn a_panic_is_counted_wherever_it_is() {
    for plan in [Calls::PanicInCall, Calls::PanicInPoll] {
        let (registry, script) = (Registry::new(), Script::new());
        script.calls(plan);
        let mut service = layer(&registry).layer(script.service(|n: u64| n));
        service.ready().await.unwrap();
        let waker = CountingWaker::new();
        let call = || pin!(service.call(7)).poll(&mut waker.context());
        catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!((ended(&registry, Outcome::Panicked), all_ended(&registry)), (1, 1), "{plan:?}");
        assert_eq!(in_flight(&registry), 0.0);
    }
}

#[tokio::test]
async fn a_judge_that_panics_leaves_nothing_in_flight() {
    let registry = Registry::new();
    let judge = |_: Result<&(), &Fault>| std::panic::resume_unwind(Box::new("as scripted"));
    let mut service = layer(&registry).judge(judge).layer(service_fn(|(): ()| async { Ok(()) }));
    let waker = CountingWaker::new();
    let call = || pin!(service.call(())).poll(&mut waker.context());
    catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    assert_eq!((ended(&registry, Outcome::Panicked), in_flight(&registry)), (1, 0.0));
}

#[tokio::test]
async fn a_future_that_another_panic_drops_is_cancelled() {
    let registry = Registry::new();
    let script = Script::new();
    script.calls(Calls::Held);
    let mut service = layer(&registry).layer(script.service(|n: u64| n));
    service.ready().await.unwrap();
    let call = service.call(7);
    let unwinding = || {
        let _call = call;
        std::panic::resume_unwind(Box::new("of somebody else"));
    };
    catch_unwind(AssertUnwindSafe(unwinding)).unwrap_err();
    assert_eq!((ended(&registry, Outcome::Cancelled), in_flight(&registry)), (1, 0.0));
}

#[tokio::test(start_paused = true)]
async fn durations_are_those_of_the_calls() {
    let registry = Registry::new();
    let layer = layer(&registry)
        .operation(|millis: &u64| Some(if *millis < 100 { "short" } else { "long" }))
        .boxed_errors();
    let service = layer.layer(service_fn(|millis: u64| async move {
        sleep(Duration::from_millis(millis)).await;
        Ok::<_, BoxError>(())
    }));
    for millis in [5, 10, 750, 12_000] {
        service.clone().oneshot(millis).await.unwrap();
    }
    let rows = Rows::of(&registry);
    let took =
        |operation: &str| match rows.get(DURATION, &format!("name=calls,operation={operation},outcome=ok")) {
            Some(Value::Histogram(took)) => took.clone(),
            other => panic!("{other:?}"),
        };
    let counts: Vec<_> = took("short").buckets().iter().map(|bucket| bucket.count).take(3).collect();
    assert_eq!((counts, took("short").sum()), (vec![1, 2, 2], 0.015), "a bound is in its own bucket");
    assert_eq!((took("long").count(), took("long").sum()), (2, 12.75));
    assert!(took("long").quantile(Ratio::FULL).is_some_and(|longest| (12.0..12.4).contains(&longest)));
}

#[tokio::test]
async fn layers_of_one_name_are_counted_as_one() {
    let registry = Registry::new();
    let answers = service_fn(|(): ()| async { Ok::<_, Error<std::fmt::Error>>(()) });
    layer(&registry).layer(answers).oneshot(()).await.unwrap();
    layer(&registry).layer(answers).oneshot(()).await.unwrap();
    MetricsLayer::new("others", Config::default(), &registry)
        .unwrap()
        .layer(answers)
        .oneshot(())
        .await
        .unwrap();
    assert_eq!((ended(&registry, Outcome::Ok), all_ended(&registry)), (2, 3));
    let seconds = Buckets::new(&[Duration::from_secs(1)]).unwrap();
    let taken = MetricsLayer::new("calls", Config::default().buckets(seconds), &registry).unwrap_err();
    assert_eq!(taken, RegisterError::Taken { name: DURATION.into(), by: DURATION.into() });
}

#[tokio::test]
async fn operations_that_nobody_has_counted_on_share_a_series() {
    let registry = Registry::new();
    let service = MetricsLayer::new("calls", Config::default().cap(4), &registry)
        .unwrap()
        .operation(|name: &String| Some(name.as_str()))
        .layer(service_fn(|_: String| async { Ok::<_, Error<std::fmt::Error>>(()) }));
    for n in 0..10 {
        service.clone().oneshot(n.to_string()).await.unwrap();
    }
    let rows = Rows::of(&registry);
    let Some(Value::Histogram(rest)) = rows.get(DURATION, "name=_overflow,operation=_overflow,outcome=ok")
    else {
        panic!("{rows:?}")
    };
    assert_eq!((rows.series(DURATION).count(), rest.count(), all_ended(&registry)), (4, 7, 10));
    assert_eq!(rows.dropped(DURATION, "overflow"), 7);
    assert_eq!(in_flight(&registry), 0.0);
}

#[tokio::test]
async fn a_traced_call_is_the_example_of_its_bucket() {
    let registry = Registry::new();
    let layer = layer(&registry).exemplars(|id: &u64| TraceId::new(u128::from(*id)));
    let service = layer.layer(service_fn(|_: u64| async { Ok::<_, Error<std::fmt::Error>>(()) }));
    for id in [0, 0xabc] {
        service.clone().oneshot(id).await.unwrap();
    }
    let text = registry.encode(Format::OpenMetrics);
    assert!(text.contains("# {trace_id=\"00000000000000000000000000000abc\"} "), "{text}");
    assert!(!registry.encode(Format::Text).contains("trace_id"));
}
