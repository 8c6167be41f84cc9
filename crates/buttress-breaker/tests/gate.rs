//! What a gating breaker promises, in paused time: it waits in `poll_ready`, and loses no wake-up.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{Breaker, BreakerLayer, Config, Handle, Ramp, State};
use buttress_core::{AnyError, Error, Outcome, Ratio, Reason, Rejected};
use futures_util::FutureExt;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<&'static str>;
/// A request is answered when its sender says how, or cancelled by dropping the sender.
type Request = oneshot::Receiver<Result<(), TestError>>;
type Answers = BoxCloneSyncService<Request, (), TestError>;
type Gated = Breaker<Answers, AnyError>;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::default()
        .consecutive_failures(NonZeroU32::new(1))
        .failure_ratio(None)
        .open_for(SECOND)
        .open_jitter(Ratio::ZERO)
}

fn gated(config: Config) -> (Gated, Handle) {
    let layer = BreakerLayer::new("gate", config).gate();
    let answers = service_fn(|request: Request| async { request.await.expect("answered") });
    (layer.layer(BoxCloneSyncService::new(answers)), layer.handle())
}

fn answered(answer: Result<(), TestError>) -> Request {
    let (tx, rx) = oneshot::channel();
    tx.send(answer).expect("the receiver is here");
    rx
}

async fn trip(service: &mut Gated) {
    let failed = service.ready().await.unwrap().call(answered(Err(Error::Inner("down")))).await;
    assert_eq!(failed, Err(Error::Inner("down")));
}

#[tokio::test(start_paused = true)]
async fn poll_ready_waits_until_the_open_time_is_over() {
    let (mut service, handle) = gated(config());
    trip(&mut service).await;
    let start = Instant::now();
    service.ready().await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!((handle.state(), handle.stats().totals.refused), (State::HalfOpen, 0));
    assert_eq!(service.call(answered(Ok(()))).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_probe_is_reserved_in_poll_ready_and_one_service_holds_it() {
    let (mut one, handle) = gated(config());
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap();
    assert!(two.ready().now_or_never().is_none(), "the only probe is taken");
    assert!(one.ready().now_or_never().is_some(), "it stays with whom it was given to");
    let copy = one.clone();
    drop(copy);
    assert!(two.ready().now_or_never().is_none(), "a clone holds nothing that it could give back");
    assert_eq!(one.call(answered(Ok(()))).await, Ok(()));
    assert!(two.ready().now_or_never().is_some());
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_dropped_wakes_the_next() {
    let (mut one, _) = gated(config().probe_lease(1000 * SECOND));
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap();
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        two.ready().await.unwrap();
        two
    });
    tokio::task::yield_now().await;
    drop(one);
    waiting.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "woken by the drop, not by time");
}

#[tokio::test(start_paused = true)]
async fn each_returned_probe_wakes_those_who_wait() {
    let (mut one, handle) =
        gated(config().probe_lease(1000 * SECOND).probe_results(NonZeroU16::new(2).unwrap()));
    trip(&mut one).await;
    let (answer, request) = oneshot::channel();
    one.ready().await.unwrap();
    let probe = tokio::spawn(one.call(request));
    let start = Instant::now();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut service = one.clone();
            tokio::spawn(async move { service.ready().await.unwrap().call(answered(Ok(()))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    answer.send(Ok(())).unwrap();
    assert_eq!(probe.await.unwrap(), Ok(()));
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap(), Ok(()));
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waited for a timer");
    assert_eq!((handle.state(), handle.stats().in_flight), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_wakes_those_who_wait() {
    let (mut one, _) = gated(config().probe_lease(5 * SECOND));
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap(); // and is never called
    let start = Instant::now();
    two.ready().await.unwrap();
    assert_eq!(start.elapsed(), 5 * SECOND);
    // The reservation of the first is spent: it is asked anew, and refused, since the second has the probe.
    let refused = one.call(answered(Ok(()))).await.unwrap_err();
    assert_eq!(refused.rejected().map(Rejected::reason), Some(Reason::Unavailable));
    assert!(one.ready().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn fewer_probes_allowed_than_run_make_nobody_spin() {
    let (probes, results) = (NonZeroU8::new(3).unwrap(), NonZeroU16::new(3).unwrap());
    let (mut one, handle) = gated(config().probes(probes).probe_results(results).probe_lease(5 * SECOND));
    let (mut two, mut three, mut four) = (one.clone(), one.clone(), one.clone());
    trip(&mut one).await;
    one.ready().await.unwrap();
    advance(SECOND).await;
    two.ready().await.unwrap();
    three.ready().await.unwrap();
    handle.reconfigure(handle.config().probes(NonZeroU8::MIN));
    let start = Instant::now();
    four.ready().await.unwrap();
    // The first lease ends a second before the others do, and makes no room.
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_operator_wakes_those_who_wait() {
    let (mut one, handle) = gated(config());
    handle.force_open();
    let start = Instant::now();
    let waiting = tokio::spawn(async move { one.ready().await.map(|_| ()) });
    advance(1000 * SECOND).await;
    assert!(!waiting.is_finished());
    handle.force_closed();
    waiting.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), 1000 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_after_readiness_refuses_in_call() {
    let (mut one, handle) = gated(config());
    let mut two = one.clone();
    two.ready().await.unwrap();
    trip(&mut one).await;
    let refused = two.call(answered(Ok(()))).await.unwrap_err();
    assert_eq!(refused.rejected().and_then(Rejected::retry_after), Some(SECOND));
    assert_eq!(handle.stats().totals.refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_keeps_nobody_waiting_and_admits_its_share_every_second() {
    let (mut one, handle) = gated(config().ramp(Ramp { from: Ratio::percent(50), over: 10 * SECOND }));
    trip(&mut one).await;
    one.ready().await.unwrap();
    assert_eq!(one.call(answered(Ok(()))).await, Ok(()));
    for second in 0..10 {
        let mut passed = 0;
        for _ in 0..100 {
            let ready = one.ready().now_or_never().expect("a ramp refuses in call");
            match ready.unwrap().call(answered(Ok(()))).await {
                Ok(()) => passed += 1,
                Err(error) => {
                    let refused = error.rejected().copied().unwrap();
                    assert_eq!((refused.reason(), refused.retry_after()), (Reason::Overloaded, Some(SECOND)));
                }
            }
        }
        let share = 50 + 5 * second;
        assert!((share - 1..=share + 1).contains(&passed), "{passed} of 100 in second {second}");
        advance(SECOND).await;
    }
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_got_in_waits_no_longer() {
    let (mut one, handle) = gated(config());
    handle.force_open();
    let waker = Arc::new(CountingWaker::default());
    let own = Waker::from(Arc::clone(&waker));
    assert!(one.poll_ready(&mut Context::from_waker(&own)).is_pending());
    handle.force_closed();
    assert_eq!(waker.0.load(Ordering::Relaxed), 1);
    assert!(one.poll_ready(&mut Context::from_waker(&own)).is_ready());
    handle.force_open();
    handle.force_closed();
    assert_eq!(waker.0.load(Ordering::Relaxed), 1, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn more_probes_allowed_wake_those_who_wait() {
    let (mut one, handle) = gated(config().probe_lease(1000 * SECOND));
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap();
    let start = Instant::now();
    let waiting = tokio::spawn(async move { two.ready().await.map(|_| ()) });
    tokio::task::yield_now().await;
    handle.reconfigure(handle.config().probes(NonZeroU8::new(2).unwrap()));
    waiting.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_place_went_to_another_waits_again() {
    let (mut one, _) = gated(config().probe_lease(5 * SECOND));
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap();
    advance(5 * SECOND).await;
    assert!(two.ready().now_or_never().is_some(), "the lease of the first is over");
    assert!(one.ready().now_or_never().is_none(), "it has no place any more");
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_uses_the_breaker_when_it_is_dropped_does_no_harm() {
    struct Looks(Handle);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Looks {
        fn drop(&mut self) {
            assert_eq!(self.0.state(), State::ForcedOpen);
        }
    }
    let (mut one, handle) = gated(config());
    handle.force_open();
    let first = Waker::from(Arc::new(Looks(handle.clone())));
    assert!(one.poll_ready(&mut Context::from_waker(&first)).is_pending());
    drop(first);
    assert!(one.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_reserved_probe_begins_with_the_call() {
    let (mut one, handle) = gated(config().probe_lease(10 * SECOND));
    let mut two = one.clone();
    trip(&mut one).await;
    one.ready().await.unwrap();
    advance(9 * SECOND).await;
    let (answer, request) = oneshot::channel();
    let probe = tokio::spawn(one.call(request));
    advance(5 * SECOND).await;
    assert!(two.ready().now_or_never().is_none(), "the probe is five seconds old");
    answer.send(Ok(())).unwrap();
    probe.await.unwrap().unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_asked_first_and_holds_up_no_probe() {
    let layer = BreakerLayer::new("gate", config()).gate().classify(|result: Result<&(), &TestError>| {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    });
    let handle = layer.handle();
    let limited = tower::limit::ConcurrencyLimit::new(
        service_fn(|request: Request| async { request.await.expect("answered") }),
        1,
    );
    let mut one = layer.layer(limited);
    let mut two = one.clone();
    one.ready().await.unwrap();
    let (answer, request) = oneshot::channel();
    let running = tokio::spawn(one.call(request));
    handle.force_open();
    handle.auto();
    assert!(two.ready().now_or_never().is_none(), "the inner service is busy");
    assert_eq!(handle.state(), State::HalfOpen);
    answer.send(Ok(())).unwrap();
    running.await.unwrap().unwrap();
    two.ready().await.unwrap();
    assert_eq!(two.call(answered(Ok(()))).await, Ok(()));
    assert_eq!(handle.state(), State::Closed);
}
