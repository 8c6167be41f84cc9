//! What keyed breakers promise, in paused time.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{Breakers, Config, Event, Keyed, KeyedBreakerLayer, State};
use buttress_core::{Error, Inspect, Ratio};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::future::pending;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<&'static str>;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
enum Do {
    Succeed,
    Fail,
    Hang,
}
use Do::*;

type Request = (Option<u32>, Do);

fn key(request: &Request) -> Option<u32> {
    request.0
}

async fn answer((_, what): Request) -> Result<(), TestError> {
    match what {
        Succeed => Ok(()),
        Fail => Err(Error::Inner("failed")),
        Hang => pending().await,
    }
}

fn breakers(max_keys: usize) -> Breakers<u32> {
    let config = Config::default()
        .consecutive_failures(NonZeroU32::new(1))
        .failure_ratio(None)
        .open_for(SECOND)
        .open_jitter(Ratio::ZERO);
    Breakers::new("keys", config).max_keys(NonZeroUsize::new(max_keys).unwrap())
}

/// Calls for `key`, and says whether the service itself answered.
async fn call(breakers: &Breakers<u32>, key_of_call: u32, what: Do) -> bool {
    let mut service = KeyedBreakerLayer::new(breakers, key).layer(service_fn(answer));
    let answer = service.ready().await.unwrap().call((Some(key_of_call), what)).await;
    answer.err().is_none_or(|error| error.rejected().is_none())
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_breaker() {
    let breakers = breakers(10);
    call(&breakers, 1, Fail).await;
    assert!(!call(&breakers, 1, Succeed).await);
    assert!(call(&breakers, 2, Succeed).await);
    assert_eq!(breakers.state(&1), Some(State::Open { remaining: SECOND }));
    assert_eq!((breakers.state(&2), breakers.state(&3)), (Some(State::Closed), None));
    advance(SECOND).await;
    assert!(call(&breakers, 1, Succeed).await);
    assert_eq!(breakers.state(&1), Some(State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_passes_unwatched() {
    let breakers = breakers(10);
    let mut service = KeyedBreakerLayer::new(&breakers, key).layer(service_fn(answer));
    for _ in 0..5 {
        assert_eq!(service.ready().await.unwrap().call((None, Fail)).await, Err(Error::Inner("failed")));
    }
    assert_eq!((breakers.stats().keys, breakers.stats().untracked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_layer_and_never_the_key() {
    let breakers = breakers(10);
    call(&breakers, 4711, Fail).await;
    let service = KeyedBreakerLayer::new(&breakers, key).layer(service_fn(answer));
    let refused = service.oneshot((Some(4711), Succeed)).await.unwrap_err();
    let refused = refused.rejected().copied().expect("it is open");
    assert_eq!(refused.to_string(), "breaker `keys` refused the call: unavailable, retry after 1s");
    assert!(!format!("{refused:?} {breakers:?}").contains("4711"));
}

#[tokio::test(start_paused = true)]
async fn the_closed_breaker_that_is_idle_longest_makes_room() {
    let breakers = breakers(3);
    for key in [1, 2, 3, 1, 4] {
        call(&breakers, key, Succeed).await;
    }
    let known: Vec<_> = (1..=4).filter(|key| breakers.stats_of(key).is_some()).collect();
    assert_eq!(known, [1, 3, 4], "2 was idle longest");
    assert_eq!(breakers.stats().evicted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_forgets_no_open_breaker_and_opens_none_for_strangers() {
    let breakers = breakers(3);
    call(&breakers, 1, Fail).await;
    call(&breakers, 2, Fail).await;
    for key in 100..1100 {
        assert!(call(&breakers, key, Succeed).await);
    }
    assert_eq!((breakers.stats().open, breakers.stats().keys), (2, 3));
    assert_eq!(breakers.stats().untracked, 0, "the third place is shared by all strangers in turn");
    call(&breakers, 3, Fail).await;
    for key in 2000..2100 {
        for _ in 0..3 {
            assert!(call(&breakers, key, Fail).await, "admitted unwatched, so nothing opens");
        }
    }
    let stats = breakers.stats();
    assert_eq!((stats.open, stats.keys, stats.untracked), (3, 3, 300));
    advance(SECOND).await;
    assert!(call(&breakers, 3000, Succeed).await);
    assert!(breakers.state(&3000).is_some(), "once the open time is over there is room again");
    assert_eq!(breakers.stats().keys, 3);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_probes_stays_for_as_long_again() {
    let breakers = breakers(1);
    call(&breakers, 1, Fail).await;
    advance(SECOND).await;
    let mut service = KeyedBreakerLayer::new(&breakers, key).layer(service_fn(answer));
    let mut probe = Box::pin(service.ready().await.unwrap().call((Some(1), Hang)));
    assert!((&mut probe).now_or_never().is_none());
    call(&breakers, 2, Succeed).await;
    assert_eq!((breakers.state(&1), breakers.state(&2)), (Some(State::HalfOpen), None));
    drop(probe);
    advance(SECOND).await;
    call(&breakers, 2, Succeed).await;
    assert_eq!(
        (breakers.state(&1), breakers.state(&2)),
        (None, Some(State::Closed)),
        "nobody came back to it"
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_holds_is_kept_beyond_the_bound_until_it_is_released() {
    let breakers = breakers(1);
    call(&breakers, 1, Fail).await;
    breakers.force_open(&2);
    breakers.force_closed(&3);
    assert_eq!((breakers.stats().keys, breakers.stats().held), (3, 2));
    advance(100_000 * SECOND).await;
    assert!(call(&breakers, 4, Succeed).await);
    assert_eq!(breakers.state(&2), Some(State::ForcedOpen));
    assert!(!call(&breakers, 2, Succeed).await);
    assert_eq!(breakers.state(&4), None);
    breakers.auto(&2);
    breakers.reset(&3);
    breakers.auto(&999);
    advance(100 * SECOND).await;
    assert!(call(&breakers, 4, Succeed).await);
    assert!(breakers.state(&4).is_some());
}

#[tokio::test(start_paused = true)]
async fn totals_outlive_the_breakers_that_counted_them() {
    let breakers = breakers(1);
    for key in 0..50 {
        call(&breakers, key, Fail).await;
        advance(SECOND * 3).await;
    }
    let stats = breakers.stats();
    assert_eq!((stats.totals.failures, stats.totals.opened, stats.evicted), (50, 50, 49));
    assert_eq!(stats.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_is_for_keys_old_and_new() {
    let breakers = breakers(10);
    call(&breakers, 1, Succeed).await;
    let two = breakers.config().consecutive_failures(NonZeroU32::new(2));
    breakers.reconfigure(two);
    for key in [1, 2] {
        call(&breakers, key, Fail).await;
        assert_eq!(breakers.state(&key), Some(State::Closed));
        call(&breakers, key, Fail).await;
        assert!(matches!(breakers.state(&key), Some(State::Open { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn events_say_whose_they_are() {
    let breakers = breakers(10);
    let events: Arc<Mutex<Vec<Keyed<u32>>>> = Arc::default();
    let seen = Arc::clone(&events);
    let mut service = KeyedBreakerLayer::new(&breakers, key)
        .observe(move |event| seen.lock().push(event))
        .layer(service_fn(answer));
    let _ = service.ready().await.unwrap().call((Some(7), Fail)).await;
    advance(SECOND).await;
    service.ready().await.unwrap().call((Some(7), Succeed)).await.unwrap();
    let events: Vec<_> = events.lock().iter().map(|keyed| (keyed.key, keyed.event)).collect();
    assert!(matches!(events[..], [(7, Event::Opened { .. }), (7, Event::HalfOpened), (7, Event::Closed)]));
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_counted_per_key_and_in_all() {
    let breakers = breakers(10);
    let mut service = KeyedBreakerLayer::new(&breakers, key).layer(service_fn(answer));
    let one = service.ready().await.unwrap().call((Some(1), Hang));
    let two = service.ready().await.unwrap().call((Some(2), Hang));
    assert_eq!(breakers.stats_of(&1).map(|stats| stats.in_flight), Some(1));
    assert_eq!(breakers.stats().in_flight, 2);
    drop((one, two));
    assert_eq!(breakers.stats().in_flight, 0);
    assert_eq!((breakers.kind(), breakers.name().as_str()), ("breaker", "keys"));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_with_calls_in_flight_is_not_forgotten() {
    let breakers = breakers(1);
    let mut service = KeyedBreakerLayer::new(&breakers, key).layer(service_fn(answer));
    let running = service.ready().await.unwrap().call((Some(1), Hang));
    call(&breakers, 2, Succeed).await;
    assert_eq!((breakers.state(&1), breakers.state(&2)), (Some(State::Closed), None));
    drop(running);
    assert_eq!(breakers.stats().totals.cancelled, 1, "what it ends with is counted");
    advance(2 * SECOND).await;
    call(&breakers, 2, Succeed).await;
    assert_eq!((breakers.state(&1), breakers.state(&2)), (None, Some(State::Closed)));
    assert_eq!(breakers.stats().totals.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_open_and_asked_for_is_forgotten_after_those_that_were_not() {
    let breakers = breakers(3);
    call(&breakers, 3, Succeed).await;
    call(&breakers, 4, Succeed).await;
    call(&breakers, 1, Fail).await;
    for stranger in [5, 6] {
        call(&breakers, stranger, Succeed).await; // passes over 1 while it is open
    }
    call(&breakers, 1, Succeed).await; // and is refused
    advance(SECOND).await;
    call(&breakers, 7, Succeed).await;
    assert!(breakers.state(&1).is_some(), "5 and 6 have been idle for longer");
}

#[test]
fn readers_are_not_calls_and_totals_never_fall() {
    let breakers = breakers(2);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let breakers = &breakers;
            scope.spawn(move || {
                let mut highest = 0;
                for round in 0..2000 {
                    let stats = breakers.stats();
                    let ended = stats.totals.failures + stats.totals.refused;
                    assert!(ended >= highest, "{ended} after {highest}");
                    assert!(stats.in_flight <= 2, "two threads call: {}", stats.in_flight);
                    highest = ended;
                    let _ = call(breakers, thread * 1000 + round % 7, Fail).now_or_never();
                }
            });
        }
    });
    let stats = breakers.stats();
    assert_eq!(stats.in_flight, 0);
    assert_eq!(stats.totals.failures + stats.totals.refused + stats.untracked, 4000);
}

#[test]
fn a_hold_is_there_when_the_call_returns() {
    let breakers = breakers(1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stranger = 1000;
            while !stop.load(Ordering::Relaxed) {
                stranger += 1;
                let _ = call(&breakers, stranger, Succeed).now_or_never();
            }
        });
        for key in 0..200 {
            breakers.force_open(&key);
            assert_eq!(breakers.state(&key), Some(State::ForcedOpen));
            breakers.reset(&key);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_busy_key_is_kept_once_however_often_others_want_its_place() {
    #[derive(Debug)]
    struct Alive(u32, Arc<AtomicUsize>);
    impl Alive {
        fn new(key: u32, alive: &Arc<AtomicUsize>) -> Self {
            alive.fetch_add(1, Ordering::Relaxed);
            Self(key, Arc::clone(alive))
        }
    }
    impl Clone for Alive {
        fn clone(&self) -> Self {
            Self::new(self.0, &self.1)
        }
    }
    impl Drop for Alive {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::Relaxed);
        }
    }
    impl PartialEq for Alive {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Alive {}
    impl std::hash::Hash for Alive {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    let alive = Arc::new(AtomicUsize::new(0));
    let of = Arc::clone(&alive);
    let breakers = Breakers::<Alive>::new("busy", Config::default()).max_keys(NonZeroUsize::MIN);
    let mut service =
        KeyedBreakerLayer::new(&breakers, move |request: &Request| request.0.map(|key| Alive::new(key, &of)))
            .layer(service_fn(answer));
    let mut call = |request| {
        std::future::poll_fn(|cx| service.poll_ready(cx)).now_or_never().map(|_| service.call(request))
    };
    let running = call((Some(1), Hang));
    for _ in 0..1000 {
        drop(call((Some(2), Hang)));
        drop(call((Some(1), Hang)));
    }
    assert!(alive.load(Ordering::Relaxed) < 10, "{}", alive.load(Ordering::Relaxed));
    drop(running);
}
