//! What is not ours panics: nobody hangs, nothing is locked for ever, and the next one is served.

use super::*;
use buttress_cache::{Fate, Found};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use tower::Layer;

/// Whether what is not ours panics now, on this thread.
mod armed {
    use std::cell::Cell;

    thread_local!(static ARMED: Cell<bool> = const { Cell::new(false) });

    pub(super) fn set(armed: bool) {
        ARMED.set(armed);
    }

    pub(super) fn fire() {
        if ARMED.get() {
            std::panic::resume_unwind(Box::new("as told"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c4_after_a_panic_in_call_or_poll_one_that_waits_takes_over() {
    for how in [Panic, PanicInCall] {
        for apart in [false, true] {
            let (cache, origin) = (pages(Config::default()), Origin::new(how));
            let service = apart_if(apart, layer(&cache)).layer(origin.service());
            let call = |key| call(&service, key);
            // In the background nobody panics but the tasks; here the first does, and the one that takes over.
            let first = tokio::spawn(call(7));
            let mut all = vec![first];
            all.extend((0..5).map(|_| tokio::spawn(call(7))));
            let all = join_all(all).await;
            let panicked = all.iter().filter(|task| task.is_err()).count();
            let refused =
                all.iter().flatten().filter(|answer| reason(answer) == Some(Reason::Failed)).count();
            match (apart, how) {
                (true, _) => assert_eq!((panicked, refused), (0, 6), "{how:?}"),
                // Who panics before anybody waits is followed by nobody.
                (false, _) => assert_eq!(panicked + refused, 6, "{how:?} {all:?}"),
            }
            assert_eq!(cache.stats().loading, 0);
            origin.now(Answer);
            assert_eq!(call(7).await, Ok((1, Served::Loaded)), "{how:?}, apart: {apart}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c4_a_panic_apart_is_followed_by_a_load_that_works() {
    let (cache, origin) = (pages(Config::default()), Origin::new(PanicOnce));
    let service = layer(&cache).background().layer(origin.service());
    let callers: Vec<_> = (0..5).map(|_| tokio::spawn(call(&service, 7))).collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().0, 1);
    }
    assert_eq!((origin.calls(), cache.stats().load_failures, cache.stats().loading), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn c4_a_key_a_rule_a_mark_or_a_weigher_that_panics_harms_only_its_caller() {
    let cache =
        Cache::new("fragile", Config::default().max_weight(weight(100))).weigh(|_: &u64, _: &Page| {
            armed::fire();
            1
        });
    let origin = Origin::new(After(MS));
    let base = || {
        CacheLayer::new(&cache, |request: &u64| {
            (*request == 7).then(armed::fire);
            Some(*request)
        })
    };
    let service = base()
        .rule(|page: &Page| {
            (page.version == 2).then(armed::fire);
            Fate::store().into()
        })
        .mark(|page: &mut Page, served| {
            (page.version == 3).then(armed::fire);
            page.served = Some(served);
        })
        .layer(origin.service());
    // The key panics in `call`, the others when the load ends: key, rule, mark, weigher.
    for (request, version) in [(7, 1), (8, 2), (9, 3), (10, 1)] {
        origin.say(version);
        armed::set(true);
        let mut leader = None;
        let begun =
            catch_unwind(AssertUnwindSafe(|| leader = Some(Box::pin(service.clone().oneshot(request)))));
        assert!(begun.is_ok());
        let leader = AssertUnwindSafe(leader.unwrap()).catch_unwind().await;
        assert!(leader.is_err(), "{request}");
        armed::set(false);
        assert_eq!(cache.stats().loading, 0, "{request}");
        assert_eq!(call(&service, request).await.unwrap().0, version, "{request}");
        assert!(cache.get(&request).is_some(), "{request}");
    }
}

/// Clones, hashes and compares with a panic when it is told to.
#[derive(Debug)]
struct Fragile(u64);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        armed::fire();
        Self(self.0)
    }
}

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        armed::fire();
        self.0.hash(state);
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        armed::fire();
        self.0 == other.0
    }
}

impl Eq for Fragile {}

#[tokio::test(start_paused = true)]
async fn c4_values_that_panic_when_they_are_cloned_lock_nothing() {
    let cache: Cache<u64, Fragile> = Cache::new("fragile", Config::default());
    let load = |_: &u64| async {
        sleep(MS).await;
        Ok::<_, &'static str>(Fragile(1))
    };
    let mut leader = Box::pin(AssertUnwindSafe(cache.get_or_load(7, load)).catch_unwind());
    let mut waiter = Box::pin(cache.get_or_load(7, load));
    assert!((&mut leader).now_or_never().is_none() && (&mut waiter).now_or_never().is_none());
    armed::set(true);
    assert!(leader.await.is_err());
    armed::set(false);
    assert_eq!(waiter.await.unwrap().served, Served::Loaded, "it took over");
    armed::set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| cache.get(&7))).is_err());
    armed::set(false);
    assert_eq!(cache.get(&7).map(|found| found.0), Some(1));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.loading, stats.loads, stats.load_failures), (1, 0, 2, 1));
}

#[test]
fn c4_keys_that_panic_lock_nothing() {
    let cache: Cache<Fragile, u64> = Cache::new("fragile", Config::default().ttl(Duration::MAX));
    cache.insert(Fragile(7), 1);
    for _ in 0..2 {
        armed::set(true);
        assert!(catch_unwind(AssertUnwindSafe(|| cache.get(&Fragile(7)))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| cache.insert(Fragile(7), 2))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| cache.invalidate(&Fragile(7)))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| cache.invalidate_keys(|_| panic_now()))).is_err());
        armed::set(false);
        assert_eq!(cache.get(&Fragile(7)).map(Found::into_value), Some(1));
    }
    assert_eq!(cache.invalidate_all(), 1);
}

fn panic_now() -> bool {
    armed::fire();
    true
}

/// A value of which the drop and the clone use the cache that it is in.
#[derive(Debug)]
struct Looks(Arc<Cache<u64, Looks>>, Arc<AtomicBool>);

impl Clone for Looks {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), Arc::clone(&self.1))
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if self.1.load(Ordering::SeqCst) {
            let _ = (self.0.stats(), self.0.config());
        }
    }
}

fn looks(config: Config) -> (Arc<Cache<u64, Looks>>, impl Fn() -> Looks) {
    let (cache, armed) = (Arc::new(Cache::new("looks", config)), Arc::new(AtomicBool::new(true)));
    let of = Arc::clone(&cache);
    (cache, move || Looks(Arc::clone(&of), Arc::clone(&armed)))
}

/// Lets the ring of a cache that is in its own values be freed.
fn forget(cache: &Cache<u64, Looks>, value: &Looks) {
    value.1.store(false, Ordering::SeqCst);
    cache.invalidate_all();
}

#[test]
fn a_stale_value_that_is_not_served_is_dropped_after_the_lock() {
    within_a_minute(|| {
        let runtime = buttress_testkit::time::paused();
        runtime.block_on(async {
            let (cache, value) = looks(Config::default().ttl(SECOND).stale_if_error(10 * SECOND));
            let load = |_: &u64| async { Ok::<_, &'static str>(value()) };
            assert_eq!(cache.get_or_load(7, load).await.unwrap().served, Served::Loaded);
            advance(2 * SECOND).await;
            assert!(cache.get(&7).is_none(), "a look at what is too old");
            assert_eq!(
                cache.get_or_load(7, load).await.unwrap().served,
                Served::Loaded,
                "a load in its place"
            );
            advance(2 * SECOND).await;
            let mut failing = Box::pin(cache.get_or_load(7, |_| async {
                yield_now().await;
                Err::<Looks, _>("failed")
            }));
            assert!((&mut failing).now_or_never().is_none());
            let waiting = cache.get_or_load(7, load);
            let (failed, waited) = tokio::join!(failing, waiting);
            assert!(failed.unwrap().served.is_stale() && waited.unwrap().served.is_stale());
            forget(&cache, &value());
        });
    });
}

#[test]
fn what_a_new_configuration_evicts_is_dropped_after_every_lock() {
    within_a_minute(|| {
        let (cache, value) = looks(Config::default().ttl(Duration::MAX));
        for key in 0..100 {
            cache.insert(key, value());
        }
        let shards = (1..).find(|most| {
            cache.reconfigure(Config::default().ttl(Duration::MAX).max_entries(entries(*most))).is_ok()
        });
        assert!(cache.stats().left.size > 0, "{shards:?}");
        forget(&cache, &value());
    });
}

/// A heavy value that leaves another heavy one behind.
#[derive(Clone, Debug)]
struct Leaves(Arc<Cache<u64, Leaves>>, Arc<AtomicBool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        if self.1.swap(false, Ordering::SeqCst) {
            let again = Leaves(Arc::clone(&self.0), Arc::clone(&self.1));
            self.0.insert(1_000_000, again);
        }
    }
}

#[test]
fn what_goes_for_a_heavy_entry_is_dropped_after_every_lock() {
    within_a_minute(|| {
        let config = Config::default().ttl(Duration::MAX).max_weight(weight(10_000));
        let heavy = |key: &u64, _: &Leaves| if *key >= 1_000_000 { 9_000 } else { 1 };
        let cache = Arc::new(Cache::new("leaves", config).weigh(heavy));
        let armed = Arc::new(AtomicBool::new(false));
        for key in 0..10_000 {
            cache.insert(key, Leaves(Arc::clone(&cache), Arc::clone(&armed)));
        }
        armed.store(true, Ordering::SeqCst);
        cache.insert(1_000_001, Leaves(Arc::clone(&cache), Arc::clone(&armed)));
        assert!(!armed.load(Ordering::SeqCst), "something had to go for it");
        assert!(cache.stats().weight <= 10_000);
        cache.invalidate_all();
    });
}
