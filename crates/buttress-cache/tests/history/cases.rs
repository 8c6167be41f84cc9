//! What a history does not meet: time limits, and writes through a layer.

use buttress_cache::{Beta, Cache, CacheLayer, Config, Fate, Found, Keep, Loader, Served, Touch};
use buttress_core::{Error, Reason, Rejected};
use buttress_testkit::waker::CountingWaker;
use parking_lot::Mutex;
use std::cell::Cell;
use std::future::{Future, Pending, pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{advance, sleep};
use tower::{Layer, Service};

const MS: Duration = Duration::from_millis(1);

type Words = Cache<u8, &'static str>;
type Answer = Result<Found<&'static str>, Error<&'static str>>;

fn cache(config: Config) -> Words {
    Cache::new("words", config)
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut CountingWaker::new().context())
}

/// Polls a call that has to wait.
#[track_caller]
fn waiting<F: Future>(call: F) -> Pin<Box<F>> {
    let mut call = Box::pin(call);
    assert!(poll(&mut call).is_pending());
    call
}

fn found(value: &'static str, served: Served) -> Poll<Answer> {
    Poll::Ready(Ok(Found { value, served }))
}

/// What has timed out, whoever it was.
fn timed_out<T>(answer: &Poll<Result<T, Error<&'static str>>>) -> bool {
    matches!(answer, Poll::Ready(Err(Error::Rejected(rejected))) if rejected.reason() == Reason::TimedOut)
}

fn never(_: &u8) -> Pending<Result<&'static str, &'static str>> {
    pending()
}

/// Answers as soon as it is told to.
async fn when(told: &Cell<bool>, value: &'static str) -> Result<&'static str, &'static str> {
    poll_fn(|_| if told.get() { Poll::Ready(Ok(value)) } else { Poll::Pending }).await
}

#[tokio::test(start_paused = true)]
async fn one_who_has_waited_too_long_keeps_later_ones_from_waiting_too() {
    let cache = cache(Config::default().hard_timeout(5 * MS));
    let mut leader = waiting(cache.get_or_load(1, never));
    advance(MS).await;
    let mut waiter = waiting(cache.get_or_load(1, never));
    // The leader is not polled: it hangs in more than its load.
    advance(5 * MS).await;
    assert!(timed_out(&poll(&mut waiter)));
    assert_eq!(cache.stats().loading, 0);
    let mut later = Box::pin(cache.get_or_load(1, |_: &u8| ready(Ok::<_, &'static str>("new"))));
    assert_eq!(poll(&mut later), found("new", Served::Loaded));
    assert_eq!(
        poll(&mut leader),
        found("new", Served::Hit),
        "its time is over too, but there is something now"
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_fails_for_all_who_wait() {
    let cache = cache(Config::default().hard_timeout(5 * MS));
    let mut leader = waiting(cache.get_or_load(1, never));
    advance(MS).await;
    let mut waiter = waiting(cache.get_or_load(1, never));
    advance(4 * MS).await;
    assert!(timed_out(&poll(&mut leader)));
    let Poll::Ready(Err(Error::Rejected(rejected))) = poll(&mut waiter) else {
        panic!("it does not lead now")
    };
    assert_eq!((rejected.reason(), cache.stats().load_failures), (Reason::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn in_the_background_a_load_that_takes_too_long_is_stored_all_the_same() {
    let cache = cache(Config::default().hard_timeout(5 * MS));
    let loader: Loader<_, _, _, _> = cache.loader().background();
    let load = |_: &u8| async {
        sleep(8 * MS).await;
        Ok("late")
    };
    let (one, two) = tokio::join!(loader.get_or_load(1, load), loader.get_or_load(1, load));
    assert!(timed_out(&Poll::Ready(one)) && timed_out(&Poll::Ready(two)));
    sleep(4 * MS).await;
    assert_eq!((cache.get(&1).map(Found::into_value), cache.stats().loads), (Some("late"), 1));
}

#[tokio::test(start_paused = true)]
async fn one_who_has_waited_a_while_gets_what_is_stale_or_waits_on() {
    let config = Config::default().ttl(MS).stale_if_error(20 * MS).soft_timeout(3 * MS).hard_timeout(9 * MS);
    let cache = cache(config);
    for stale in [true, false] {
        cache.invalidate(&1);
        if stale {
            cache.insert(1, "old");
        }
        advance(2 * MS).await;
        let mut leader = waiting(cache.get_or_load(1, never));
        let mut waiter = waiting(cache.get_or_load(1, never));
        advance(3 * MS).await;
        assert!(poll(&mut leader).is_pending(), "it runs the load");
        if stale {
            assert_eq!(poll(&mut waiter), found("old", Served::Stale(4 * MS)));
        } else {
            assert!(poll(&mut waiter).is_pending());
            advance(6 * MS).await;
            assert!(timed_out(&poll(&mut waiter)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_is_not_served_to_one_who_has_waited_since_before() {
    let config = Config::default().ttl(MS).stale_if_error(20 * MS).soft_timeout(3 * MS);
    let cache = cache(config);
    cache.insert(1, "old");
    advance(2 * MS).await;
    let _leader = waiting(cache.get_or_load(1, never));
    let mut waiter = waiting(cache.get_or_load(1, never));
    cache.invalidate(&1);
    advance(5 * MS).await;
    assert!(poll(&mut waiter).is_pending());
}

/// A service that answers when it is told to, or never.
#[derive(Clone, Default)]
struct Told {
    ready: Rc<Cell<bool>>,
    answer: Arc<Mutex<Option<Result<&'static str, Rejected>>>>,
}

impl Service<&'static str> for Told {
    type Response = &'static str;
    type Error = Rejected;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, Rejected>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejected>> {
        if self.ready.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: &'static str) -> Self::Future {
        let answer = Arc::clone(&self.answer);
        Box::pin(poll_fn(move |_| answer.lock().take().map_or(Poll::Pending, Poll::Ready)))
    }
}

#[test]
fn a_write_invalidates_what_it_touches_however_it_ends_but_not_before_it_begins() {
    let touches: [fn() -> Touch<u8>; 3] = [|| Touch::Key(1), || Touch::Tag("tag".into()), || Touch::All];
    let refused = Rejected::new("test", "told".into(), Reason::Failed);
    for touch in touches {
        for ends in [None, Some(Ok("written")), Some(Err(refused))] {
            let (cache, told) = (cache(Config::default()), Told::default());
            let layer = CacheLayer::new(&cache, |_: &&str| Some(1)).invalidate_on(move |request: &&str| {
                if *request == "write" { vec![touch()] } else { vec![] }
            });
            let mut service = layer.layer(told.clone());
            let insert = || cache.insert_with(1, "old", &Keep::default().tag("tag"));
            assert!(insert());
            drop(waiting(service.call("write")));
            assert!(cache.get(&1).is_some(), "nothing was written");
            told.ready.set(true);
            let mut write = waiting(service.call("write"));
            assert!(cache.get(&1).is_some(), "not yet");
            if let Some(answer) = ends {
                *told.answer.lock() = Some(answer);
                assert!(poll(&mut write).is_ready());
            } else {
                drop(write);
            }
            assert!(cache.get(&1).is_none(), "{ends:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_a_task_gets_its_own_error_and_its_own_refused_answer() {
    let cache = cache(Config::default());
    let loader = cache.loader().rule(|_: &&str| Fate::Refuse).background();
    let fails = |_: &u8| async {
        yield_now().await;
        Err::<&str, _>("own")
    };
    let (one, two) = tokio::join!(loader.get_or_load(1, fails), loader.get_or_load(1, fails));
    assert!(matches!(one, Err(Error::Inner("own"))));
    assert!(matches!(two, Err(Error::Rejected(rejected)) if rejected.reason() == Reason::Failed));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = {
        let calls = Arc::clone(&calls);
        move |_: &u8| {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                yield_now().await;
                Ok::<_, &'static str>("mine")
            }
        }
    };
    let (one, two) = tokio::join!(loader.get_or_load(1, counted.clone()), loader.get_or_load(1, counted));
    assert_eq!((one.unwrap().served, two.unwrap().served), (Served::Loaded, Served::Loaded));
    assert_eq!(calls.load(Ordering::Relaxed), 2, "one each");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_anything_was_timed_did_not_take_for_ever() {
    let config = Config::default().ttl(Duration::MAX).early_refresh(Beta::ONE);
    let cache = cache(config);
    let loader = cache.loader().rule(|_: &&str| Fate::store().ttl(10_000 * MS).into()).background();
    for _ in 0..10 {
        let load = |_: &u8| ready(Ok::<_, &'static str>("at once"));
        assert!(loader.get_or_load(1, load).await.is_ok());
        yield_now().await;
    }
    assert_eq!(cache.stats().loads, 1);
}

#[test]
fn whoever_has_waited_since_before_an_invalidation_of_a_tag_need_not_ask_again() {
    let cache = cache(Config::default());
    let loader = cache.loader().rule(|_: &&str| Fate::store().tag("tag").into());
    let told = Cell::new(false);
    let mut leader = waiting(loader.get_or_load(1, |_: &u8| when(&told, "old")));
    let mut before = waiting(loader.get_or_load(1, never));
    cache.invalidate_tag("tag");
    let mut after = waiting(loader.get_or_load(1, |_: &u8| ready(Ok::<_, &'static str>("new"))));
    told.set(true);
    assert_eq!(poll(&mut leader), found("old", Served::Loaded));
    assert_eq!(poll(&mut before), found("old", Served::Waited));
    assert_eq!(poll(&mut after), found("new", Served::Loaded));
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_over_loads_although_there_is_something_stale() {
    let cache = cache(Config::default().ttl(MS).stale_if_error(20 * MS));
    cache.insert(1, "old");
    advance(2 * MS).await;
    let leader = waiting(cache.get_or_load(1, never));
    let mut waiter = waiting(cache.get_or_load(1, |_: &u8| ready(Ok::<_, &'static str>("new"))));
    drop(leader);
    assert_eq!(poll(&mut waiter), found("new", Served::Loaded));
}

#[test]
fn an_answer_that_is_a_failure_is_for_all_who_wait_if_there_is_nothing_stale() {
    let cache = cache(Config::default());
    let loader = cache.loader().rule(|_: &&str| Fate::Failed);
    let told = Cell::new(false);
    let mut leader = waiting(loader.get_or_load(1, |_: &u8| when(&told, "down")));
    let mut waiter = waiting(loader.get_or_load(1, never));
    told.set(true);
    assert_eq!(poll(&mut leader), found("down", Served::Loaded));
    assert_eq!(poll(&mut waiter), found("down", Served::Waited));
    assert_eq!((cache.get(&1), cache.stats().load_failures), (None, 1));
}
