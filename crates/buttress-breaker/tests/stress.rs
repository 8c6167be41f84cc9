//! Real threads on one breaker. What must hold whatever they do to each other is checked; nothing is timed.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{BreakerLayer, Config, Event, State, Window};
use buttress_core::{Error, Ratio};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tower::{Layer, Service, service_fn};

type TestError = Error<()>;

const THREADS: u64 = 4;
const CALLS: u64 = 30_000;

#[test]
fn every_call_counts_once_and_every_transition_once() {
    let config = Config::default()
        .consecutive_failures(NonZeroU32::new(3))
        .failure_ratio(Ratio::percent(40))
        .window(Window::Calls(NonZeroU16::new(50).unwrap()))
        .open_for(Duration::from_micros(5))
        .open_max(Duration::from_micros(50))
        .probes(NonZeroU8::new(2).unwrap())
        .probe_results(NonZeroU16::new(3).unwrap());
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let seen = Arc::clone(&events);
    let layer = BreakerLayer::new("stress", config).observe(move |event| seen.lock().push(event));
    let handle = layer.handle();
    let service = layer.layer(service_fn(|fails: bool| async move {
        if fails { Err(TestError::Inner(())) } else { Ok(()) }
    }));
    let refused = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mut service, refused) = (service.clone(), &refused);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..CALLS {
                    let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).now_or_never();
                    ready.expect("rejecting, so never pending").expect("the inner one is always ready");
                    let future = service.call(random.u8(..) < 60);
                    if random.u8(..) < 5 {
                        continue; // cancelled, unless it was refused already; both are counted
                    }
                    let answer = future.now_or_never().expect("ends at its first poll");
                    if answer.is_err_and(|error| error.rejected().is_some()) {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let stats = handle.stats();
    let totals = stats.totals;
    let ended = totals.successes.expect("a window is on")
        + totals.failures
        + totals.cancelled
        + totals.late
        + totals.refused;
    assert_eq!(ended, THREADS * CALLS, "{totals:?}");
    assert!(totals.refused >= refused.load(Ordering::Relaxed));
    assert_eq!(stats.in_flight, 0);

    let events = events.lock();
    let count = |what: fn(&Event) -> bool| events.iter().filter(|event| what(event)).count() as u64;
    let opened = count(|event| matches!(event, Event::Opened { .. }));
    let half_opened = count(|event| matches!(event, Event::HalfOpened));
    let closed = count(|event| matches!(event, Event::Closed));
    assert_eq!(opened, totals.opened);
    assert!(opened > 10, "it was to open often: {totals:?}");
    // Each opening but the last is followed by one half-opening; each of those but the last by an end.
    assert!(opened - half_opened <= 1, "{opened} and {half_opened}");
    match stats.state {
        State::Closed | State::HalfOpen => assert_eq!(opened, half_opened),
        State::Open { .. } => assert_eq!(opened, half_opened + 1),
        other => panic!("{other:?}"),
    }
    assert!(closed <= half_opened && closed > 0);
}
