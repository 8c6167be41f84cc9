//! One load per key: who loads, who waits, what it costs, and that an invalidation is final.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_cache::{Cache, Config, Found};
use buttress_core::{Error, Reason};
use buttress_testkit::waker::CountingWaker;
use parking_lot::Mutex;
use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

type Squares = Cache<u64, u64>;
type Answer = Result<u64, Error<&'static str>>;

fn cache() -> Squares {
    Cache::new("squares", Config::default().ttl(Duration::MAX))
}

/// How the loads of a stampede go, one after the other; the last way goes on for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    Succeeds,
    Fails,
    /// Is dropped by its caller while it waits.
    IsCancelled,
    PanicsInCall,
    PanicsInPoll,
}
use Load::*;

/// What 1000 callers of one key have seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    inner_calls: usize,
    polls: usize,
    ok: usize,
    own_error: usize,
    refused: usize,
    panicked: usize,
}

/// A future that counts how often it is polled.
struct Counted<F>(Pin<Box<F>>, Rc<Cell<usize>>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.set(self.1.get() + 1);
        self.0.as_mut().poll(cx)
    }
}

/// 1000 callers ask for one key at once. Each is polled when it has been woken, and never else.
fn stampede(loads: &'static [Load]) -> Seen {
    const CALLERS: usize = 1000;
    let cache = cache();
    let (calls, polls) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let release = Rc::new(Notify::new());
    let caller = || {
        let (cache, calls, release) = (cache.clone(), Rc::clone(&calls), Rc::clone(&release));
        let load = move |key: &u64| {
            let how = loads[calls.get().min(loads.len() - 1)];
            calls.set(calls.get() + 1);
            assert!(how != PanicsInCall, "as told");
            let key = *key;
            async move {
                release.notified().await;
                match how {
                    Succeeds => Ok(key * key),
                    Fails => Err("failed"),
                    IsCancelled => pending().await,
                    PanicsInCall | PanicsInPoll => panic!("as told"),
                }
            }
        };
        let future = async move { cache.get_or_load(7, load).await };
        (Some(Counted(Box::pin(future), Rc::clone(&polls))), CountingWaker::new(), 0)
    };
    let mut callers: Vec<_> = (0..CALLERS).map(|_| caller()).collect();
    let mut seen = Seen::default();
    let mut first = true;
    loop {
        let mut progress = false;
        for (future, waker, woken) in &mut callers {
            let Some(running) = future else { continue };
            if !first && waker.wakes() == *woken {
                continue;
            }
            *woken = waker.wakes();
            progress = true;
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(running).poll(&mut waker.context())));
            match polled {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(Ok(found))) => {
                    assert_eq!(*found, 49);
                    seen.ok += 1;
                }
                Ok(Poll::Ready(Err(Error::Inner(_)))) => seen.own_error += 1,
                Ok(Poll::Ready(Err(Error::Rejected(refused)))) => {
                    assert_eq!(refused.reason(), Reason::Failed);
                    seen.refused += 1;
                }
                Err(_) => seen.panicked += 1,
            }
            *future = None;
        }
        if first && loads[0] == IsCancelled {
            callers[0].0 = None;
        } else if !progress {
            if callers.iter().all(|(future, ..)| future.is_none()) {
                break;
            }
            release.notify_one(); // whoever loads may go on
        }
        first = false;
    }
    assert_eq!(cache.get(&7).is_some(), seen.ok > 0);
    seen.inner_calls = calls.get();
    seen.polls = polls.get();
    seen
}

#[test]
fn a_stampede_costs_what_the_table_says() {
    let row = |inner_calls, polls, ok, own_error, refused, panicked| Seen {
        inner_calls,
        polls,
        ok,
        own_error,
        refused,
        panicked,
    };
    // A caller is polled once to join and once when it is woken; one that takes over, once more for its load. One
    // that panics in `call` does so before anybody has joined.
    let table: [(&[Load], Seen); 6] = [
        (&[Succeeds], row(1, 2000, 1000, 0, 0, 0)),
        (&[Fails], row(1, 2000, 0, 1, 999, 0)),
        (&[IsCancelled, Succeeds], row(2, 2000, 999, 0, 0, 0)),
        (&[PanicsInCall, Succeeds], row(2, 1999, 999, 0, 0, 1)),
        (&[PanicsInPoll, Succeeds], row(2, 2001, 999, 0, 0, 1)),
        (&[PanicsInPoll], row(2, 2001, 0, 0, 998, 2)),
    ];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let seen: Vec<_> = table.iter().map(|(loads, _)| stampede(loads)).collect();
    std::panic::set_hook(hook);
    for ((loads, expected), seen) in table.iter().zip(seen) {
        println!("{loads:?}: {seen:?}");
        assert_eq!(&seen, expected, "{loads:?}");
    }
}

fn poll<F, E>(future: &mut Pin<Box<F>>) -> Poll<Result<u64, E>>
where
    F: Future<Output = Result<Found<u64>, E>>,
{
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).map_ok(Found::into_value)
}

/// A load that ends when it is told to, with what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<Answer>>>);

impl Told {
    fn now(&self, answer: Answer) {
        *self.0.lock() = Some(answer);
    }

    fn load(&self) -> impl Future<Output = Result<u64, &'static str>> + use<> {
        let told = self.clone();
        std::future::poll_fn(move |_| match told.0.lock().take() {
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(_)) => Poll::Ready(Err("failed")),
            None => Poll::Pending,
        })
    }
}

#[test]
fn an_invalidation_during_a_load_is_final() {
    for how in 0..3 {
        let (cache, old, new) = (cache(), Told::default(), Told::default());
        let mut first = Box::pin(cache.get_or_load(7, |_| old.load()));
        assert!(poll(&mut first).is_pending());
        match how {
            0 => drop(cache.invalidate(&7)),
            1 => drop(cache.invalidate_if(|key, _| *key == 7)),
            _ => drop(cache.invalidate_all()),
        }
        let mut second = Box::pin(cache.get_or_load(7, |_| new.load()));
        assert!(poll(&mut second).is_pending());
        assert_eq!(cache.stats().loads, 2, "who comes after it does not wait for what began before it");
        old.now(Ok(1));
        assert_eq!(poll(&mut first), Poll::Ready(Ok(1)), "its own caller may have it");
        assert_eq!(cache.get(&7).map(Found::into_value), None, "the cache may not");
        new.now(Ok(2));
        assert_eq!(poll(&mut second), Poll::Ready(Ok(2)));
        assert_eq!(cache.get(&7).map(Found::into_value), Some(2));
    }
}

#[test]
fn a_load_never_overwrites_what_was_put_in_meanwhile() {
    let (cache, old) = (cache(), Told::default());
    let mut load = Box::pin(cache.get_or_load(7, |_| old.load()));
    assert!(poll(&mut load).is_pending());
    cache.insert(7, 2);
    old.now(Ok(1));
    assert_eq!(poll(&mut load), Poll::Ready(Ok(1)));
    assert_eq!(cache.get(&7).map(Found::into_value), Some(2));
}

#[test]
fn whoever_takes_over_after_an_invalidation_may_store() {
    let (cache, told) = (cache(), Told::default());
    let mut first = Box::pin(cache.get_or_load(7, |_| pending::<Result<u64, &'static str>>()));
    let mut second = Box::pin(cache.get_or_load(7, |_| told.load()));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    cache.invalidate(&7);
    drop(first);
    assert!(poll(&mut second).is_pending(), "it loads now, and began after the invalidation");
    told.now(Ok(2));
    assert_eq!(poll(&mut second), Poll::Ready(Ok(2)));
    assert_eq!(cache.get(&7).map(Found::into_value), Some(2));
}

#[test]
fn whoever_is_to_take_over_and_finds_a_younger_load_waits_for_that() {
    let (cache, younger) = (cache(), Told::default());
    let mut first = Box::pin(cache.get_or_load(7, |_| pending::<Result<u64, &'static str>>()));
    let calls = AtomicUsize::new(0);
    let mut second = Box::pin(cache.get_or_load(7, |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, &'static str>(0))
    }));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    cache.invalidate(&7);
    let mut third = Box::pin(cache.get_or_load(7, |_| younger.load()));
    assert!(poll(&mut third).is_pending());
    drop(first);
    assert!(poll(&mut second).is_pending());
    younger.now(Ok(3));
    assert_eq!(poll(&mut third), Poll::Ready(Ok(3)));
    assert_eq!(poll(&mut second), Poll::Ready(Ok(3)));
    assert_eq!(calls.load(Ordering::Relaxed), 0, "one load was enough");
}

#[test]
fn an_heir_that_leaves_passes_on() {
    let (cache, told) = (cache(), Told::default());
    let load = |_: &u64| pending::<Result<u64, &'static str>>();
    let mut first = Box::pin(cache.get_or_load(7, load));
    let mut second = Box::pin(cache.get_or_load(7, load));
    let mut third = Box::pin(cache.get_or_load(7, |_| told.load()));
    let waker = CountingWaker::new();
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert!(third.as_mut().poll(&mut waker.context()).is_pending());
    drop(first);
    assert_eq!(waker.wakes(), 0, "the second is asked first");
    drop(second);
    assert_eq!(waker.wakes(), 1);
    told.now(Ok(3));
    assert_eq!(poll(&mut third), Poll::Ready(Ok(3)));
}

#[test]
fn when_everybody_leaves_nothing_is_left_behind() {
    let cache = cache();
    let load = |_: &u64| pending::<Result<u64, &'static str>>();
    let mut callers: Vec<_> = (0..3).map(|_| Box::pin(cache.get_or_load(7, load))).collect();
    assert!(callers.iter_mut().all(|caller| poll(caller).is_pending()));
    drop(callers);
    let mut later = Box::pin(cache.get_or_load(7, |_| ready(Ok::<_, &'static str>(4))));
    assert_eq!(poll(&mut later), Poll::Ready(Ok(4)));
}

#[test]
fn a_waiter_is_woken_by_the_waker_it_gave_last() {
    let (cache, told) = (cache(), Told::default());
    let mut first = Box::pin(cache.get_or_load(7, |_| told.load()));
    let mut second = Box::pin(cache.get_or_load(7, |_| ready(Err::<u64, _>("never asked"))));
    assert!(poll(&mut first).is_pending());
    let (old, new) = (CountingWaker::new(), CountingWaker::new());
    assert!(second.as_mut().poll(&mut old.context()).is_pending());
    assert!(second.as_mut().poll(&mut new.context()).is_pending());
    told.now(Ok(1));
    assert!(poll(&mut first).is_ready());
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert_eq!(poll(&mut second), Poll::Ready(Ok(1)));
}

#[test]
fn an_error_is_not_kept() {
    let cache = cache();
    let mut failing = Box::pin(cache.get_or_load(7, |_| ready(Err::<u64, _>("failed"))));
    assert_eq!(poll(&mut failing), Poll::Ready(Err(Error::Inner("failed"))));
    let mut next = Box::pin(cache.get_or_load(7, |_| ready(Ok::<_, &'static str>(1))));
    assert_eq!(poll(&mut next), Poll::Ready(Ok(1)));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.misses, stats.inserted), (2, 1, 2, 1));
}

#[test]
fn a_future_that_is_never_polled_does_not_lead() {
    let cache = cache();
    let unpolled = cache.get_or_load(7, |_| pending::<Result<u64, &'static str>>());
    let mut other = Box::pin(cache.get_or_load(7, |_| ready(Ok::<_, &'static str>(1))));
    assert_eq!(poll(&mut other), Poll::Ready(Ok(1)));
    drop(unpolled);
}

#[test]
fn what_is_too_heavy_is_for_those_who_asked_and_not_for_the_cache() {
    let config = Config::default().ttl(Duration::MAX).max_weight(std::num::NonZeroU64::new(10));
    let cache: Squares = Cache::new("light", config).weigh(|_, value| *value);
    let told = Told::default();
    let mut first = Box::pin(cache.get_or_load(7, |_| told.load()));
    let mut second = Box::pin(cache.get_or_load(7, |_| told.load()));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    told.now(Ok(11));
    assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Ready(Ok(11)), Poll::Ready(Ok(11))));
    assert_eq!((cache.get(&7).map(Found::into_value), cache.stats().too_heavy), (None, 1));
}

#[test]
fn threads_never_see_an_older_value_than_the_last_invalidation() {
    const ROUNDS: u64 = 2000;
    let cache = cache();
    let floor = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while floor.load(Ordering::SeqCst) < ROUNDS {
                    let least = floor.load(Ordering::SeqCst);
                    let load = |_: &u64| ready(Ok::<_, &'static str>(floor.load(Ordering::SeqCst)));
                    let mut call = Box::pin(cache.get_or_load(7, load));
                    if let Poll::Ready(found) = poll(&mut call) {
                        assert!(found.unwrap() >= least);
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            floor.store(round, Ordering::SeqCst);
            cache.invalidate(&7);
            // What was published after the invalidation is at least as new as what it announced.
            assert!(cache.get(&7).map(Found::into_value).is_none_or(|found| found >= round));
        }
    });
}
