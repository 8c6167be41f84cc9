//! What a timeout promises, in paused time.

use buttress_core::{Error, Inspect, Reason, Rejected};
use buttress_limit::{TimeoutLayer, timeout};
use buttress_testkit::laws;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<Infallible>;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_timeout_keeps_the_laws() {
    laws::in_place!(TimeoutLayer::new("laws", SECOND));
    laws::in_place!(TimeoutLayer::new("laws", SECOND).deadline(|_: &u64| None));
}

/// Answers after as many seconds as the request says.
async fn seconds(seconds: u64) -> Result<u64, TestError> {
    sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_limit_and_not_before() {
    let layer = TimeoutLayer::new("limit", SECOND * 3);
    let service = layer.layer(service_fn(seconds));
    for (takes, after, expected) in [
        (2, 2, Ok(2)),
        (3, 3, Ok(3)), // the response and the limit in the same moment: the response wins
        (4, 3, Err(Rejected::new("timeout", "limit".into(), Reason::TimedOut).into())),
    ] {
        let start = Instant::now();
        let result: Result<u64, TestError> = service.clone().oneshot(takes).await;
        assert_eq!((result, start.elapsed().as_secs()), (expected, after), "takes {takes}");
    }
    assert_eq!(layer.handle().stats().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_limit_and_deadline_counts() {
    let start = Instant::now();
    for (limit, deadline, refused_after) in [(2, 5, 2), (5, 2, 2)] {
        let start_of_row = Instant::now();
        let deadline = (start_of_row + SECOND * deadline).into_std();
        let service = TimeoutLayer::new("limit", SECOND * limit)
            .deadline(move |_: &u64| Some(deadline))
            .layer(service_fn(seconds));
        assert!(service.oneshot(9).await.is_err());
        assert_eq!(start_of_row.elapsed(), SECOND * refused_after);
    }
    let passed = start.into_std();
    let mut service =
        TimeoutLayer::new("limit", SECOND).deadline(move |_: &u64| Some(passed)).layer(service_fn(seconds));
    let before = Instant::now();
    assert!(service.ready().await.expect("always ready").call(1).await.is_err());
    assert_eq!(before.elapsed(), Duration::ZERO, "a deadline that has passed refuses at once");
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_is_for_the_calls_that_follow() {
    let layer = TimeoutLayer::new("limit", SECOND);
    let handle = layer.handle();
    let mut service = layer.layer(service_fn(seconds));
    let before = service.ready().await.expect("always ready").call(5);
    handle.reconfigure(SECOND * 10);
    let after = service.ready().await.expect("always ready").call(5);
    assert_eq!(handle.stats().in_flight, 2);
    assert!(before.await.is_err());
    assert_eq!(after.await, Ok(5));
    assert_eq!(handle.stats().in_flight, 0);
    assert_eq!(handle.config(), timeout::Config::default().limit(SECOND * 10));
}

#[tokio::test(start_paused = true)]
async fn no_limit_means_no_timer() {
    let layer = TimeoutLayer::new("limit", Duration::MAX);
    let service = layer.layer(service_fn(|(): ()| pending::<Result<(), TestError>>()));
    let outer = tokio::time::timeout(SECOND * 1_000_000, service.oneshot(())).await;
    assert!(outer.is_err(), "only the outer timeout may end it");
    assert_eq!(layer.handle().config().limit, Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_lets_go_ends_at_its_limit_too() {
    // What is always ready uses up the budget that tokio gives a task, and then its timers are never ready.
    let busy = service_fn(|(): ()| async {
        for _ in 0..100_000 {
            tokio::task::coop::consume_budget().await;
        }
        Ok::<(), TestError>(())
    });
    let mut service = TimeoutLayer::new("busy", SECOND).layer(busy);
    let call = service.ready().await.expect("always ready").call(());
    advance(SECOND).await;
    assert!(call.await.is_err());
}

#[test]
fn the_handle_shows_itself() {
    let handle = TimeoutLayer::new("search", SECOND).handle();
    assert_eq!((handle.kind(), handle.name()), ("timeout", "search".into()));
}

#[test]
fn the_promised_auto_traits_hold() {
    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use std::panic::{RefUnwindSafe, UnwindSafe};
    use std::rc::Rc;
    use timeout::{Handle, Timeout};

    assert_impl_all!(TimeoutLayer: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
    assert_impl_all!(Timeout<()>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
    assert_impl_all!(Handle: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
    assert_impl_all!(timeout::future::ResponseFuture<std::future::Ready<()>>: Send, Sync);
    assert_not_impl_any!(Timeout<Rc<()>>: Send); // the service is as much as its inner one, no more, no less
}

#[cfg(feature = "serde")]
#[test]
fn a_limit_from_a_file_is_a_text() {
    let config: timeout::Config = serde_json::from_str(r#"{"limit": "1s 500ms"}"#).unwrap();
    assert_eq!(config.limit, Duration::from_millis(1500));
    let wrong = serde_json::from_str::<timeout::Config>(r#"{"limits": "1s"}"#).unwrap_err().to_string();
    assert!(wrong.contains("limits"), "{wrong}");
}
