//! Promises of the types: auto traits, `Debug` without secrets, small futures, configurations from files.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{
    Breaker, BreakerLayer, Breakers, Config, Event, Handle, KeyedBreaker, KeyedBreakerLayer, Stats, future,
};
use buttress_core::AnyError;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::future::Ready;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

type Future<F> = future::ResponseFuture<F, AnyError, ()>;

assert_impl_all!(BreakerLayer: Send, Sync, Unpin, Clone);
assert_impl_all!(Breaker<()>: Send, Sync, Unpin, Clone);
assert_impl_all!(Handle: Send, Sync, Unpin, Clone);
assert_impl_all!(Breakers<String>: Send, Sync, Unpin, Clone);
assert_impl_all!(KeyedBreakerLayer<String, fn(&()) -> Option<String>>: Send, Sync, Unpin, Clone);
assert_impl_all!(KeyedBreaker<(), String, fn(&()) -> Option<String>>: Send, Sync, Unpin, Clone);
assert_impl_all!(Future<Ready<()>>: Send, Sync, Unpin);
assert_impl_all!(Config: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Event: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Stats: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_not_impl_any!(Breaker<Rc<()>>: Send);
assert_not_impl_any!(Future<Ready<Rc<()>>>: Send);

#[test]
fn the_future_is_no_larger_than_a_call_needs() {
    // A place, a word and a start beside the inner future; a refusal for those that are smaller.
    assert!(size_of::<Future<Ready<()>>>() <= 48, "{}", size_of::<Future<Ready<()>>>());
    assert!(size_of::<Future<[u64; 16]>>() <= 128 + 32, "{}", size_of::<Future<[u64; 16]>>());
}

#[test]
fn everything_can_be_printed() {
    let layer = BreakerLayer::new("printed", Config::default());
    let printed =
        format!("{layer:?} {:?} {:?}", layer.handle(), Breakers::<u8>::new("printed", Config::default()));
    assert!(printed.contains("printed"), "{printed}");
}

#[cfg(feature = "serde")]
#[test]
fn a_configuration_from_a_file_is_whole_or_refused() {
    use buttress_breaker::{Cancelled, Window};
    use std::time::Duration;

    let config: Config = serde_json::from_str(
        r#"{
            "consecutive_failures": "off",
            "ramp": null,
            "failure_ratio": 0.25,
            "window": { "time": "30s" },
            "slow_calls": { "over": "250ms", "ratio": 1.0 },
            "open_for": "5s",
            "cancelled": { "failure_if_older_than": "1s" }
        }"#,
    )
    .unwrap();
    assert_eq!(config.consecutive_failures, None);
    assert_eq!(config.window, Window::Time(Duration::from_secs(30)));
    assert_eq!(config.cancelled, Cancelled::FailureIfOlderThan(Duration::from_secs(1)));
    assert_eq!(config.min_calls, Config::default().min_calls, "what is not said keeps its default");
    let again: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);

    let off = Config::default().consecutive_failures(None).failure_ratio(None);
    let again: Config = serde_json::from_str(&serde_json::to_string(&off).unwrap()).unwrap();
    assert_eq!(again, off, "what is off stays off");

    for (wrong, says) in [
        (r#"{"failure_ratio": 1.5}"#, "1.5"),
        (r#"{"min_calls": 0}"#, "nonzero"),
        (r#"{"open_fro": "5s"}"#, "open_fro"),
        (r#"{"window": {"calls": 70000}}"#, "70000"),
        (r#"{"open_for": "soon"}"#, "soon"),
        (r#"{"consecutive_failures": 0}"#, "nonzero"),
        (r#"{"ramp": "no"}"#, "or \"off\""),
        (r#"{"ramp": {"from": 0.1}}"#, "over"),
    ] {
        let error = serde_json::from_str::<Config>(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}
