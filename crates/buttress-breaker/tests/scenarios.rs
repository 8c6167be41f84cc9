//! What a breaker promises, through the tower shell and in paused time. The tests named `b..` are those of the
//! scenarios in which other breakers were seen to fail.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{
    Breaker, BreakerLayer, Cancelled, Cause, Config, Event, Handle, Panicked, Ramp, SlowCalls, State, Window,
};
use buttress_core::{Distribution, Error, Inspect, Labels, Metric, Outcome, Ratio, Reason, Rejected, Sink};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::fmt::Display;
use std::future::{Future, pending};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<&'static str>;
type Answer = Result<(), TestError>;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What the service is to do with a request.
#[derive(Clone, Copy, Debug)]
enum Do {
    Succeed,
    Fail,
    SucceedAfter(Duration),
    FailAfter(Duration),
    Hang,
    Panic,
    PanicAtOnce,
}
use Do::*;

fn answer(request: Do) -> impl Future<Output = Answer> + Send {
    assert!(!matches!(request, PanicAtOnce), "as told, in call");
    async move {
        match request {
            Succeed => Ok(()),
            Fail => Err(Error::Inner("failed")),
            SucceedAfter(time) => {
                sleep(time).await;
                Ok(())
            }
            FailAfter(time) => {
                sleep(time).await;
                Err(Error::Inner("failed late"))
            }
            Hang => pending().await,
            Panic | PanicAtOnce => panic!("as told, in poll"),
        }
    }
}

type Answers = tower::util::BoxCloneSyncService<Do, (), TestError>;
type Events = Arc<Mutex<Vec<Event>>>;
type Watch = Arc<dyn Fn(Event) + Send + Sync>;

fn service() -> Answers {
    Answers::new(service_fn(answer))
}

/// A breaker, its handle, and what it told.
fn breaker(config: Config) -> (Breaker<Answers, buttress_core::AnyError, WatchFn>, Handle, Events) {
    let (watch, events) = watch();
    let layer = BreakerLayer::new("test", config).observe_with(watch);
    (layer.layer(service()), layer.handle(), events)
}

#[derive(Clone)]
struct WatchFn(Watch);

impl buttress_core::Observe<Event> for WatchFn {
    fn observe(&self, event: Event) {
        (self.0)(event);
    }
}

fn watch() -> (WatchFn, Events) {
    let events = Events::default();
    let seen = Arc::clone(&events);
    (WatchFn(Arc::new(move |event| seen.lock().push(event))), events)
}

async fn call<S: Service<Do, Response = (), Error = TestError>>(service: &mut S, request: Do) -> Answer {
    service.ready().await?.call(request).await
}

async fn calls<S: Service<Do, Response = (), Error = TestError>>(service: &mut S, request: Do, times: usize) {
    for _ in 0..times {
        let _ = call(service, request).await;
    }
}

fn refusal(answer: Answer) -> Option<Rejected> {
    answer.err().and_then(|error| error.rejected().copied())
}

/// Only a streak opens it.
fn streak(failures: u32) -> Config {
    Config::default()
        .consecutive_failures(NonZeroU32::new(failures))
        .failure_ratio(None)
        .open_for(SECOND)
        .open_jitter(Ratio::ZERO)
}

/// Only a share of the window opens it.
fn share(window: Window, min_calls: u32) -> Config {
    streak(1)
        .consecutive_failures(None)
        .failure_ratio(Ratio::percent(50))
        .window(window)
        .min_calls(NonZeroU32::new(min_calls).unwrap())
}

fn last(calls: u16) -> Window {
    Window::Calls(NonZeroU16::new(calls).unwrap())
}

#[tokio::test(start_paused = true)]
async fn b1_a_window_by_count_slides_past_any_number_of_successes() {
    let (mut service, handle, _) = breaker(share(last(10), 10));
    calls(&mut service, Succeed, 100_000).await;
    for failures in 1..=10 {
        let _ = call(&mut service, Fail).await;
        if matches!(handle.state(), State::Open { .. }) {
            assert_eq!(failures, 5);
            return;
        }
    }
    panic!("not open after ten failures: {:?}", handle.stats());
}

#[tokio::test(start_paused = true)]
async fn b2_minimum_calls_count_for_a_window_by_count_too() {
    let (mut service, handle, events) = breaker(share(last(100), 10));
    calls(&mut service, Fail, 99).await;
    assert!(matches!(handle.state(), State::Open { .. }));
    assert_eq!(handle.stats().totals.failures, 10);
    let cause = Cause::FailureRatio { failures: 10, calls: 10 };
    assert_eq!(*events.lock(), [Event::Opened { cause, open_for: SECOND }]);
}

/// A call from before the breaker opened ends while its only probe is running.
async fn late_result_during_a_probe(late: Do) -> (Handle, Events) {
    let (mut service, handle, events) = breaker(streak(1));
    let late = service.ready().await.unwrap().call(late);
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    let mut probe = Box::pin(service.ready().await.unwrap().call(Hang));
    assert!((&mut probe).now_or_never().is_none());
    assert_eq!(handle.state(), State::HalfOpen);
    let _ = late.await;
    assert_eq!(handle.state(), State::HalfOpen, "the late result must change nothing");
    assert_eq!(handle.stats().totals.late, 1);
    (handle, events)
}

#[tokio::test(start_paused = true)]
async fn b3_a_late_failure_does_not_reopen_a_half_open_breaker() {
    late_result_during_a_probe(FailAfter(2 * SECOND)).await;
}

#[tokio::test(start_paused = true)]
async fn b4_a_late_success_does_not_close_a_half_open_breaker() {
    late_result_during_a_probe(SucceedAfter(2 * SECOND)).await;
}

#[tokio::test(start_paused = true)]
async fn b6_a_slow_probe_is_a_failed_probe() {
    let slow = SlowCalls { over: 100 * MS, ratio: Ratio::percent(50) };
    let (mut service, handle, events) = breaker(share(last(4), 4).failure_ratio(None).slow_calls(slow));
    calls(&mut service, SucceedAfter(100 * MS), 4).await;
    assert!(matches!(handle.state(), State::Open { .. }));
    sleep(SECOND).await;
    assert_eq!(call(&mut service, SucceedAfter(100 * MS)).await, Ok(()));
    assert!(matches!(handle.state(), State::Open { .. }), "{:?}", handle.state());
    sleep(2 * SECOND).await;
    assert_eq!(call(&mut service, SucceedAfter(99 * MS)).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
    assert_eq!(
        *events.lock(),
        [
            Event::Opened { cause: Cause::SlowCalls { slow: 4, calls: 4 }, open_for: SECOND },
            Event::HalfOpened,
            Event::Opened { cause: Cause::ProbesFailed { failed: 1, probes: 1 }, open_for: 2 * SECOND },
            Event::HalfOpened,
            Event::Closed,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn b7_a_hung_probe_gives_its_place_to_another() {
    let (mut service, handle, _) = breaker(streak(1).probe_lease(20 * SECOND));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    let hung = service.ready().await.unwrap().call(SucceedAfter(30 * SECOND));
    let hung = tokio::spawn(hung);
    assert!(refusal(call(&mut service, Succeed).await).is_some(), "one probe at a time");
    sleep(20 * SECOND).await;
    let second = service.ready().await.unwrap().call(Hang);
    assert_eq!(hung.await.unwrap(), Ok(()), "its caller gets the answer all the same");
    assert_eq!(handle.state(), State::HalfOpen, "but the breaker does not listen any more");
    drop(second);
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn b8_reset_empties_the_window_of_a_closed_breaker() {
    let (mut service, handle, events) = breaker(streak(5));
    calls(&mut service, Fail, 4).await;
    handle.reset();
    calls(&mut service, Fail, 4).await;
    assert_eq!(handle.state(), State::Closed);
    let _ = call(&mut service, Fail).await;
    assert!(matches!(handle.state(), State::Open { .. }));
    assert_eq!(events.lock()[0], Event::Reset);
}

#[tokio::test(start_paused = true)]
async fn b11_open_time_follows_tokios_clock_to_the_nanosecond() {
    let (mut service, _, _) = breaker(streak(1).open_for(30 * SECOND));
    let _ = call(&mut service, Fail).await;
    advance(30 * SECOND - Duration::from_nanos(1)).await;
    let refused = refusal(call(&mut service, Succeed).await).expect("still open");
    assert_eq!(refused.retry_after(), Some(Duration::from_nanos(1)));
    advance(Duration::from_nanos(1)).await;
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn b12_the_state_is_one_of_all_at_every_moment() {
    #[derive(Default)]
    struct States(Vec<&'static str>);
    impl Sink for States {
        fn counter(&mut self, _: &Metric, _: Labels<'_>, _: u64) {}
        fn gauge(&mut self, _: &Metric, _: Labels<'_>, _: f64) {}
        fn state(&mut self, metric: &Metric, all: &[&'static str], now: usize) {
            assert_eq!((metric.name, all.len()), ("state", 6));
            self.0.push(all[now]);
        }
        fn histogram(&mut self, _: &Metric, _: Labels<'_>, _: &Distribution) {}
        fn note(&mut self, _: &'static str, _: &dyn Display) {}
    }
    let (mut service, handle, _) = breaker(streak(1).ramp(Ramp { from: Ratio::FULL, over: SECOND }));
    let mut states = States::default();
    handle.inspect(&mut states);
    let _ = call(&mut service, Fail).await;
    handle.inspect(&mut states);
    advance(SECOND).await;
    let probe = service.ready().await.unwrap().call(Succeed);
    handle.inspect(&mut states);
    let _ = probe.await;
    handle.inspect(&mut states);
    advance(SECOND).await;
    handle.inspect(&mut states);
    handle.force_closed();
    handle.inspect(&mut states);
    handle.force_open();
    handle.inspect(&mut states);
    assert_eq!(
        states.0,
        ["closed", "open", "half_open", "recovering", "closed", "forced_closed", "forced_open"]
    );
}

#[tokio::test(start_paused = true)]
async fn b14_cancelled_calls_count_as_the_policy_says() {
    for (policy, hang_for, opens) in [
        (Cancelled::Ignore, 10 * SECOND, false),
        (Cancelled::Failure, MS, true),
        (Cancelled::FailureIfOlderThan(SECOND), SECOND - MS, false),
        (Cancelled::FailureIfOlderThan(SECOND), SECOND, true),
    ] {
        let (mut service, handle, _) = breaker(streak(20).cancelled(policy).open_for(60 * SECOND));
        for _ in 0..20 {
            assert!(timeout(hang_for, call(&mut service, Hang)).await.is_err());
        }
        assert_eq!(handle.stats().totals.cancelled, 20, "{policy:?}");
        assert_eq!(matches!(handle.state(), State::Open { .. }), opens, "{policy:?} after {hang_for:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn b16_a_cancelled_probe_returns_its_place() {
    let (mut service, handle, _) = breaker(streak(1));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    for polled in [false, true] {
        let mut probe = Box::pin(service.ready().await.unwrap().call(Hang));
        if polled {
            assert!((&mut probe).now_or_never().is_none());
        }
        assert!(refusal(call(&mut service, Succeed).await).is_some());
        drop(probe);
    }
    assert_eq!(handle.state(), State::HalfOpen);
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn b17_no_more_probes_run_than_allowed() {
    let (probes, results) = (NonZeroU8::new(3).unwrap(), NonZeroU16::new(3).unwrap());
    let (mut service, handle, _) = breaker(streak(1).probes(probes).probe_results(results));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    let mut admitted = Vec::new();
    let mut refused = 0;
    for _ in 0..50 {
        let mut clone = service.clone();
        let mut future = Box::pin(clone.ready().await.unwrap().call(SucceedAfter(SECOND)));
        match (&mut future).now_or_never() {
            None => admitted.push(future),
            Some(answer) => refused += usize::from(refusal(answer).is_some()),
        }
    }
    assert_eq!((admitted.len(), refused), (3, 47));
    assert_eq!(handle.stats().in_flight, 3);
    for probe in admitted {
        assert_eq!(probe.await, Ok(()));
    }
    assert_eq!((handle.state(), handle.stats().in_flight), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn b18_a_panic_counts_as_the_policy_says() {
    for request in [Panic, PanicAtOnce] {
        for (policy, opens) in [(Panicked::Failure, true), (Panicked::Ignore, false)] {
            let (mut service, handle, _) = breaker(streak(8).panicked(policy));
            for _ in 0..8 {
                let panicked = AssertUnwindSafe(call(&mut service, request)).catch_unwind().await;
                assert!(panicked.is_err(), "the panic passes through");
            }
            let stats = handle.stats();
            assert_eq!((stats.totals.panicked, stats.in_flight), (8, 0), "{request:?}");
            assert_eq!(matches!(stats.state, State::Open { .. }), opens, "{request:?} {policy:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn b18_a_panicking_probe_reopens_the_breaker() {
    let (mut service, handle, _) = breaker(streak(1));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    assert!(AssertUnwindSafe(call(&mut service, Panic)).catch_unwind().await.is_err());
    assert_eq!(handle.state(), State::Open { remaining: 2 * SECOND });
}

#[tokio::test(start_paused = true)]
async fn b19_a_refusal_says_who_why_and_when() {
    let (mut service, _, _) = breaker(streak(1));
    let _ = call(&mut service, Fail).await;
    advance(400 * MS).await;
    let refused = refusal(call(&mut service, Succeed).await).expect("it is open");
    assert_eq!(refused.to_string(), "breaker `test` refused the call: unavailable, retry after 600ms");
    assert_eq!(
        (refused.layer(), refused.name().as_str(), refused.reason(), refused.retry_after()),
        ("breaker", "test", Reason::Unavailable, Some(600 * MS))
    );
}

#[tokio::test(start_paused = true)]
async fn b20_a_hold_lasts_until_it_is_ended() {
    let (mut service, handle, events) = breaker(streak(1));
    handle.force_open();
    handle.force_open();
    advance(1_000_000 * SECOND).await;
    let refused = refusal(call(&mut service, Succeed).await).expect("held open");
    assert_eq!(refused.retry_after(), None, "nobody knows when an operator lets go");
    handle.force_closed();
    calls(&mut service, Fail, 100).await;
    assert_eq!(handle.state(), State::ForcedClosed);
    handle.auto();
    assert_eq!(handle.state(), State::Closed);
    let _ = call(&mut service, Fail).await;
    assert!(matches!(handle.state(), State::Open { .. }), "back to its own rules");
    handle.force_open();
    handle.auto();
    assert_eq!(handle.state(), State::HalfOpen, "the next call decides");
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
    let opened = Event::Opened { cause: Cause::ConsecutiveFailures { failures: 1 }, open_for: SECOND };
    assert_eq!(
        *events.lock(),
        [
            Event::ForcedOpen,
            Event::ForcedClosed,
            Event::Released,
            opened,
            Event::ForcedOpen,
            Event::Released,
            Event::Closed
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn defaults_open_after_five_in_a_row_or_half_of_twenty() {
    let (mut service, handle, _) = breaker(Config::default());
    calls(&mut service, Fail, 5).await;
    let State::Open { remaining } = handle.state() else { panic!("{:?}", handle.state()) };
    assert!(remaining >= 60 * SECOND && remaining <= 66 * SECOND, "{remaining:?}");

    let (mut service, handle, _) = breaker(Config::default());
    for _ in 0..9 {
        calls(&mut service, Succeed, 1).await;
        calls(&mut service, Fail, 1).await;
    }
    calls(&mut service, Succeed, 1).await;
    assert_eq!(handle.state(), State::Closed, "9 of 19");
    calls(&mut service, Fail, 1).await;
    assert!(matches!(handle.state(), State::Open { .. }), "10 of 20");
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_window_is_forgotten() {
    let (mut service, handle, _) = breaker(share(Window::Time(10 * SECOND), 20));
    calls(&mut service, Succeed, 1000).await;
    advance(11 * SECOND).await;
    for failures in 1..=20 {
        assert_eq!(handle.state(), State::Closed, "before failure {failures}");
        calls(&mut service, Fail, 1).await;
    }
    assert!(matches!(handle.state(), State::Open { .. }), "exactly at the minimum of calls");
}

#[tokio::test(start_paused = true)]
async fn open_time_doubles_to_its_maximum_and_starts_anew_after_a_stable_close() {
    let (mut service, handle, _) = breaker(streak(1).open_max(4 * SECOND));
    let remaining = |handle: &Handle| match handle.state() {
        State::Open { remaining } => remaining.as_secs(),
        other => panic!("{other:?}"),
    };
    for seconds in [1, 2, 4, 4] {
        let _ = call(&mut service, Fail).await;
        assert_eq!(remaining(&handle), seconds);
        advance(seconds as u32 * SECOND).await;
    }
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    advance(4 * SECOND - MS).await;
    let _ = call(&mut service, Fail).await;
    assert_eq!(remaining(&handle), 4, "closed for less than it was open: that was no recovery");
    advance(4 * SECOND).await;
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    advance(4 * SECOND).await;
    let _ = call(&mut service, Fail).await;
    assert_eq!(remaining(&handle), 1, "a stable close");
}

#[tokio::test(start_paused = true)]
async fn time_that_the_service_asks_for_is_granted_within_bounds() {
    for (asked, open_for) in [(500 * MS, SECOND), (3 * SECOND, 3 * SECOND), (3600 * SECOND, 10 * SECOND)] {
        let layer = BreakerLayer::new("test", streak(2).open_max(10 * SECOND)).classify(
            move |result: Result<&(), &TestError>| match result {
                Ok(()) => Outcome::Success,
                Err(_) => Outcome::FailureFor(asked),
            },
        );
        let (handle, mut service) = (layer.handle(), layer.layer(service()));
        let _ = call(&mut service, Fail).await;
        assert_eq!(handle.state(), State::Closed, "one such failure opens nothing by itself");
        let _ = call(&mut service, Fail).await;
        assert_eq!(handle.state(), State::Open { remaining: open_for }, "asked for {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ignored_result_is_neither_good_nor_bad() {
    let layer =
        BreakerLayer::new("test", streak(2)).classify(|result: Result<&(), &TestError>| match result {
            Ok(()) => Outcome::Ignore,
            Err(_) => Outcome::Failure,
        });
    let (handle, mut service) = (layer.handle(), layer.layer(service()));
    let _ = call(&mut service, Fail).await;
    let _ = call(&mut service, Succeed).await;
    let _ = call(&mut service, Fail).await;
    assert!(matches!(handle.state(), State::Open { .. }), "the ignored one did not end the streak");
    advance(SECOND).await;
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    assert_eq!(handle.state(), State::HalfOpen, "an ignored probe decides nothing and returns its place");
    let _ = call(&mut service, Fail).await;
    assert!(matches!(handle.state(), State::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_ramp_admits_evenly_and_says_when_the_next_step_is() {
    let ramp = Ramp { from: Ratio::percent(25), over: 10 * SECOND };
    let (mut service, handle, _) = breaker(streak(1).ramp(ramp));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    let _ = call(&mut service, Succeed).await;
    assert_eq!(handle.state(), State::Recovering { admitted: Ratio::percent(25) });
    let mut passed = Vec::new();
    for _ in 0..12 {
        let answer = call(&mut service, Succeed).await;
        passed.push(answer.is_ok());
        if let Some(refused) = refusal(answer) {
            assert_eq!((refused.reason(), refused.retry_after()), (Reason::Overloaded, Some(SECOND)));
        }
    }
    let every_fourth: Vec<_> = (0..12).map(|call| call % 4 == 0).collect();
    assert_eq!(passed, every_fourth);
    advance(SECOND).await;
    assert_eq!(handle.state(), State::Recovering { admitted: Ratio::new(0.325).unwrap() });
    advance(9 * SECOND).await;
    assert_eq!(handle.state(), State::Closed);
    for _ in 0..100 {
        assert_eq!(call(&mut service, Succeed).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn reconfigure_keeps_state_and_time_left() {
    let (mut service, handle, _) = breaker(streak(3));
    calls(&mut service, Fail, 2).await;
    handle.reconfigure(streak(3).open_for(60 * SECOND));
    calls(&mut service, Fail, 1).await;
    assert_eq!(
        handle.state(),
        State::Open { remaining: 60 * SECOND },
        "the streak went on, the new time counts"
    );
    handle.reconfigure(streak(9));
    assert_eq!(handle.state(), State::Open { remaining: 60 * SECOND }, "time left stays");
    assert_eq!(handle.config(), streak(9));
    handle.force_closed();
    handle.reconfigure(streak(1));
    calls(&mut service, Fail, 5).await;
    assert_eq!(handle.state(), State::ForcedClosed, "holds stay");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_is_judged_by_the_rules_in_force_when_it_ends() {
    let (mut service, handle, _) = breaker(streak(2));
    let first = service.ready().await.unwrap().call(FailAfter(SECOND));
    handle.reconfigure(streak(1));
    let _ = first.await;
    assert!(matches!(handle.state(), State::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_open_together_and_those_of_two_do_not() {
    let layer = BreakerLayer::new("test", streak(1));
    let (mut one, mut two) = (layer.layer(service()), layer.layer(service()));
    let mut stranger = BreakerLayer::new("test", streak(1)).layer(service());
    let _ = call(&mut one, Fail).await;
    assert!(refusal(call(&mut two, Succeed).await).is_some());
    assert_eq!(call(&mut stranger, Succeed).await, Ok(()));
}

/// An inner service that records how often it was asked whether it is ready, and panics if called unasked.
#[derive(Clone, Default)]
struct Asked {
    asked: Arc<Mutex<usize>>,
    ready: bool,
}

impl Service<Do> for Asked {
    type Response = ();
    type Error = TestError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Answer> {
        *self.asked.lock() += 1;
        self.ready = true;
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Do) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        Box::pin(answer(request))
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusing_breaker_does_not_ask_the_inner_service() {
    let layer = BreakerLayer::new("test", streak(1));
    let inner = Asked::default();
    let asked = Arc::clone(&inner.asked);
    let mut service = layer.layer(inner);
    let _ = call(&mut service, Fail).await;
    let before = *asked.lock();
    calls(&mut service, Succeed, 10).await;
    assert_eq!(*asked.lock(), before);
    assert_eq!(layer.handle().stats().totals.refused, 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_readied_while_open_is_refused_even_if_it_has_closed_since() {
    let layer = BreakerLayer::new("test", streak(1));
    let handle = layer.handle();
    let mut service = layer.layer(Asked::default());
    let _ = call(&mut service, Fail).await;
    service.ready().await.unwrap();
    handle.reset();
    let refused = refusal(service.call(Succeed).await); // the inner one would panic: nobody has readied it
    assert!(refused.is_some());
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_leaves_the_breaker_whole() {
    let layer = BreakerLayer::new("test", streak(1)).observe(|_| panic!("bad observer"));
    let (handle, mut service) = (BreakerLayer::handle(&layer), layer.layer(service()));
    assert!(AssertUnwindSafe(call(&mut service, Fail)).catch_unwind().await.is_err());
    assert_eq!((handle.stats().in_flight, handle.stats().totals.opened), (0, 1));
    assert!(refusal(call(&mut service, Succeed).await).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_observer_may_call_back_into_the_breaker() {
    let slot: Arc<Mutex<Option<Handle>>> = Arc::default();
    let seen = Arc::clone(&slot);
    let layer = BreakerLayer::new("test", streak(1)).observe(move |event| {
        let handle = seen.lock().clone();
        if let (Some(handle), Event::Opened { .. }) = (handle, event) {
            assert!(matches!(handle.state(), State::Open { .. }));
            handle.reset();
        }
    });
    *slot.lock() = Some(layer.handle());
    let mut service = layer.layer(service());
    let _ = call(&mut service, Fail).await;
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn stats_add_up() {
    let (mut service, handle, _) = breaker(share(Window::Time(10 * SECOND), 100));
    calls(&mut service, Succeed, 30).await;
    calls(&mut service, Fail, 10).await;
    let running = service.ready().await.unwrap().call(Hang);
    let stats = handle.stats();
    assert_eq!((stats.totals.successes, stats.totals.failures, stats.in_flight), (Some(30), 10, 1));
    assert_eq!((stats.window.calls, stats.window.failures), (40, 10));
    drop(running);
    assert_eq!((handle.stats().in_flight, handle.stats().totals.cancelled), (0, 1));
    advance(20 * SECOND).await;
    assert_eq!(handle.stats().window.calls, 0, "the window moves on without traffic");
    assert_eq!(handle.stats().totals.successes, Some(30), "totals never fall");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_without_time_passing() {
    let (mut service, _, _) = breaker(streak(1));
    let _ = call(&mut service, Fail).await;
    let start = Instant::now();
    calls(&mut service, Hang, 100).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlives_its_lease_is_heard_unless_another_has_its_place() {
    let (mut service, handle, _) = breaker(streak(1).probe_lease(SECOND));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    assert_eq!(call(&mut service, SucceedAfter(5 * SECOND)).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_at_the_first_probe_keeps_no_place() {
    let layer = BreakerLayer::new("test", streak(1).probe_lease(Duration::MAX))
        .observe(|event| assert!(event != Event::HalfOpened, "bad observer"));
    let (handle, mut service) = (layer.handle(), layer.layer(service()));
    let _ = call(&mut service, Fail).await;
    advance(SECOND).await;
    assert!(AssertUnwindSafe(call(&mut service, Succeed)).catch_unwind().await.is_err());
    assert_eq!((handle.state(), handle.stats().in_flight), (State::HalfOpen, 0));
    assert_eq!(call(&mut service, Succeed).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn failed_recoveries_count_through_a_hold_and_a_hold_is_none() {
    let (mut service, handle, _) = breaker(streak(1));
    handle.force_open();
    handle.auto();
    let _ = call(&mut service, Fail).await;
    assert_eq!(handle.state(), State::Open { remaining: SECOND }, "it had never opened by itself");
    advance(SECOND).await;
    let _ = call(&mut service, Fail).await;
    assert_eq!(handle.state(), State::Open { remaining: 2 * SECOND });
    handle.force_closed();
    handle.auto();
    let _ = call(&mut service, Fail).await;
    assert_eq!(handle.state(), State::Open { remaining: 4 * SECOND }, "closed by hand for no time at all");
}

#[tokio::test(start_paused = true)]
async fn without_a_window_successes_are_not_counted_and_not_shown() {
    let (mut service, handle, _) = breaker(streak(5));
    for request in [Succeed, Fail, Succeed] {
        let _ = call(&mut service, request).await;
    }
    assert_eq!((handle.stats().totals.successes, handle.stats().totals.failures), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn successes_that_were_not_all_counted_are_not_shown() {
    let (mut service, handle, _) = breaker(share(Window::Time(SECOND), 1));
    calls(&mut service, Succeed, 5).await;
    assert_eq!(handle.stats().totals.successes, Some(5));
    handle.reconfigure(streak(5));
    calls(&mut service, Succeed, 5).await;
    handle.reconfigure(share(Window::Time(SECOND), 1));
    assert_eq!(handle.stats().totals.successes, None);
}

#[test]
fn no_configuration_is_too_much() {
    let times = [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX];
    for open in times {
        for lease in times {
            for window in times {
                let config = share(Window::Time(window), 1)
                    .open_for(open)
                    .open_max(open)
                    .probe_lease(lease)
                    .ramp(Ramp { from: Ratio::ZERO, over: lease })
                    .slow_calls(SlowCalls { over: open, ratio: Ratio::ZERO })
                    .open_jitter(Ratio::FULL);
                let layer = BreakerLayer::new("extreme", config);
                let (handle, mut service) = (layer.handle(), layer.layer(service()));
                for request in [Fail, Succeed, Fail, Succeed] {
                    let _ = call(&mut service, request).now_or_never().expect("it never waits");
                }
                let _ = (handle.state(), handle.stats());
            }
        }
    }
}
