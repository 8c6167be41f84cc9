//! The layer as a tower service: readiness, permits, bounds, clones, tasks, and what a hit allocates.

use super::*;
use buttress_cache::{Beta, Cached, Fate, Here, Loader, Serve, Terms};
use buttress_testkit::alloc;
use futures_util::FutureExt;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, service_fn};

type Key = Owned<fn(&u64) -> Option<u64>>;
type Plain = Cached<Strict, u64, Page, Key>;

assert_impl_all!(Plain: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_impl_all!(CacheLayer<u64, Page, Key>: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_impl_all!(Loader<u64, Page>: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_impl_all!(<Plain as Service<u64>>::Future: Send, std::fmt::Debug);
assert_not_impl_any!(Cached<Rc<()>, u64, Page, Key>: Send, Sync);
assert_not_impl_any!(Cached<Cell<()>, u64, Page, Key>: Sync);
assert_impl_all!(Cached<Cell<()>, u64, Page, Key>: Send);
assert_impl_all!(Rules: Copy, Send, Sync, Unpin, std::panic::UnwindSafe);

/// The future of a layer has a name.
type Future = buttress_cache::future::ResponseFuture<
    u64,
    Page,
    Serve<Strict, u64>,
    <Strict as Service<u64>>::Future,
    TestError,
    <Rules as Terms<u64, u64, Page, TestError>>::Judge,
    Rules,
    Here,
>;

struct Named {
    future: Future,
}

#[tokio::test(start_paused = true)]
async fn the_future_can_be_named_and_kept() {
    let cache = pages(Config::default());
    let key: fn(&u64) -> Option<u64> = |request| Some(*request);
    let mut service: Plain = CacheLayer::new(&cache, key).layer(Origin::new(Answer).service());
    let named = Named { future: service.call(7) };
    assert_eq!(named.future.await.unwrap().version, 1);
}

#[tokio::test(start_paused = true)]
async fn c8_a_hit_takes_no_permit_and_a_miss_gives_it_back() {
    for apart in [false, true] {
        let permits = Arc::new(Semaphore::new(2));
        let (cache, origin) = (pages(Config::default()), Origin::new(After(MS)));
        let inner = GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&permits)).layer(origin.service());
        let service = apart_if(apart, layer(&cache)).layer(inner);
        let call = |key| call(&service, key);
        let mut miss = Box::pin(call(7));
        assert_eq!(permits.available_permits(), 2, "a call that is not polled has none");
        assert!((&mut miss).now_or_never().is_none());
        settle().await;
        assert_eq!(permits.available_permits(), 1);
        miss.await.unwrap();
        settle().await;
        assert_eq!(permits.available_permits(), 2, "apart: {apart}");
        // All are taken: what is there is answered all the same, and the rest waits.
        let all = permits.try_acquire_many(2).unwrap();
        assert_eq!(call(7).now_or_never(), Some(Ok((1, Served::Hit))));
        let mut waits = Box::pin(call(8));
        assert!((&mut waits).now_or_never().is_none());
        settle().await;
        assert_eq!(origin.calls(), 1);
        drop(all);
        assert_eq!(waits.await, Ok((1, Served::Loaded)));
        // Who leaves while it waits for one takes none with it.
        let all = permits.try_acquire_many(2).unwrap();
        let mut leaves = Box::pin(call(9));
        assert!((&mut leaves).now_or_never().is_none());
        drop(leaves);
        drop(all);
        sleep(10 * MS).await;
        assert_eq!((permits.available_permits(), cache.stats().loading), (2, 0), "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn c8_over_a_limit_of_one_a_loop_of_ready_and_call_goes_on() {
    let config = || Config::default().ttl(SECOND).stale_while_revalidate(SECOND);
    let (one, two) = (pages(config()), pages(config()));
    let origin = Origin::new(After(MS));
    let inner = tower::limit::ConcurrencyLimit::new(origin.service(), 1);
    let mut here = layer(&one).layer(inner.clone());
    let mut there = layer(&two).background().layer(inner);
    for round in 0..50 {
        // Every service is readied before any of them is called: nothing may hold the only permit meanwhile.
        let (here, there) = (here.ready().await.unwrap(), there.ready().await.unwrap());
        let calls = tokio::join!(here.call(round % 5), there.call(round % 5));
        assert!(calls.0.is_ok() && calls.1.is_ok());
        advance(300 * MS).await;
    }
    settle().await;
    assert!(origin.calls() > 20 && origin.most() == 1, "{} {}", origin.calls(), origin.most());
}

/// Ready as it is told.
#[derive(Clone, Debug)]
struct Told(Arc<Mutex<Option<Result<(), TestError>>>>, Strict);

impl Service<u64> for Told {
    type Response = Page;
    type Error = TestError;
    type Future = <Strict as Service<u64>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        match *self.0.lock() {
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(())) => self.1.poll_ready(cx),
        }
    }

    fn call(&mut self, request: u64) -> Self::Future {
        self.1.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn c8_a_service_that_is_not_ready_or_broken_is_a_matter_of_misses() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
        let ready = Arc::new(Mutex::new(Some(Ok(()))));
        let inner = Told(Arc::clone(&ready), origin.service());
        let service = apart_if(apart, layer(&cache)).layer(inner);
        let call = |key| call(&service, key);
        call(7).await.unwrap();
        *ready.lock() = None;
        assert_eq!(call(7).now_or_never(), Some(Ok((1, Served::Hit))));
        let mut miss = Box::pin(call(8));
        assert!((&mut miss).now_or_never().is_none());
        settle().await;
        *ready.lock() = Some(Err(Error::Inner("broken")));
        assert_eq!(miss.await, Err(Error::Inner("broken")), "apart: {apart}");
        assert_eq!(call(7).now_or_never(), Some(Ok((1, Served::Hit))));
        *ready.lock() = Some(Ok(()));
        assert_eq!(call(8).await, Ok((1, Served::Loaded)));
        assert_eq!((origin.calls(), cache.stats().loading), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_and_requests_that_stay_on_their_thread_are_cached_too() {
    let (calls, cache) = (Rc::new(Cell::new(0)), numbers(Config::default()));
    let count = Rc::clone(&calls);
    let inner = service_fn(move |request: Rc<u64>| {
        count.set(count.get() + 1);
        async move { Ok::<_, TestError>(*request * 2) }
    });
    let service = CacheLayer::new(&cache, |request: &Rc<u64>| Some(**request)).layer(inner);
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(Rc::new(7)).await, Ok(14));
    }
    assert_eq!(calls.get(), 1);
    let local = numbers(Config::default());
    let load = |key: &u64| {
        let key = Rc::new(*key);
        async move { Ok::<_, &str>(*key) }
    };
    assert_eq!(*local.get_or_load(7, load).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn c32_layers_clones_and_loaders_of_one_cache_share_it() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
    let layer = layer(&cache);
    let services =
        [layer.layer(origin.service()), layer.layer(origin.service()), layer.clone().layer(origin.service())];
    call(&services[0], 7).await.unwrap();
    for service in &services {
        assert_eq!(call(&service.clone(), 7).await, Ok((1, Served::Hit)));
    }
    let loader = services[2].cache().loader();
    let found = loader.get_or_load(7, |_| async { Err::<Page, _>("not asked") }).await.unwrap();
    assert_eq!((found.served, cache.get(&7).map(|page| page.version)), (Served::Hit, Some(1)));
    // Another cache of the same name is another cache.
    let other = pages(Config::default());
    let service = super::layer(&other).layer(origin.service());
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
}

#[tokio::test(start_paused = true)]
async fn c32_the_sweeper_ends_with_the_last_of_cache_layer_service_and_loader() {
    // However seldom it sweeps.
    for every in [SECOND, Duration::from_secs(3600), Duration::MAX] {
        let cache = pages(Config::default().ttl(SECOND).sweep_every(every));
        let layer = layer(&cache).background();
        let service = layer.layer(Origin::new(Answer).service());
        let loader = cache.loader();
        call(&service, 7).await.unwrap();
        settle().await;
        assert_eq!(tasks(), 1, "{every:?}");
        drop(cache);
        drop(layer);
        drop(service);
        settle().await;
        sleep(3 * SECOND).await;
        assert_eq!(tasks(), 1, "a loader holds it");
        drop(loader);
        settle().await;
        assert_eq!(tasks(), 0, "{every:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c32_a_background_load_ends_by_itself_when_nobody_is_left() {
    let (cache, origin) = (pages(Config::default().ttl(Duration::MAX)), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    let mut call = Box::pin(call(&service, 7));
    assert!((&mut call).now_or_never().is_none());
    drop((call, service, cache));
    settle().await;
    assert_eq!((tasks(), origin.running()), (1, 1));
    sleep(2 * SECOND).await;
    assert_eq!((tasks(), origin.running()), (0, 0));
}

#[test]
fn a_runtime_without_timers_is_as_none_and_is_not_tried_again_and_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let cache = numbers(Config::default().ttl(Duration::from_secs(3600)));
        let hook = std::panic::take_hook();
        let panics = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&panics);
        let here = std::thread::current().id();
        std::panic::set_hook(Box::new(move |_| {
            // Other tests panic meanwhile, on threads of their own.
            count.fetch_add(usize::from(std::thread::current().id() == here), Ordering::SeqCst);
        }));
        for key in 0..20 {
            cache.insert(key, key);
            settle().await;
        }
        std::panic::set_hook(hook);
        assert!(cache.get(&7).is_some());
        assert!(panics.load(Ordering::SeqCst) <= 1, "each insert begins a sweeper that panics");
    });
}

/// What the first poll and the call before it allocate.
fn allocations<S: Service<u64, Response = Page, Error = TestError>>(service: &mut S, request: u64) -> u64 {
    let (answer, counted) = alloc::count(|| service.call(request).now_or_never());
    assert!(answer.expect("at once").is_ok());
    counted.allocations
}

#[tokio::test(start_paused = true)]
async fn c33_a_hit_allocates_nothing_whatever_is_configured() {
    let timed = || Config::default().ttl(SECOND);
    let table = [
        ("no time", Config::default().ttl(Duration::MAX)),
        ("time", timed()),
        ("idle", timed().idle_ttl(SECOND)),
        ("early", timed().early_refresh(Beta::ONE)),
        ("weight", timed().max_weight(weight(100))),
        ("timeouts", timed().soft_timeout(SECOND).hard_timeout(SECOND)),
        ("stale", timed().stale_while_revalidate(SECOND).stale_if_error(SECOND)),
    ];
    for (what, config) in table {
        let (cache, origin) = (pages(config).weigh(|_, _| 1), Origin::new(Answer));
        let layer = layer(&cache)
            .rule(|_| Fate::store().tag("pages").into())
            .share_errors()
            .remember_errors(|_: &TestError| None)
            .invalidate_on(|_: &u64| Vec::new());
        let mut here = layer.clone().layer(origin.service());
        let mut there = layer.background().layer(origin.service());
        call(&here, 7).await.unwrap();
        for _ in 0..3 {
            assert_eq!((allocations(&mut here, 7), allocations(&mut there, 7)), (0, 0), "{what}");
        }
        assert_eq!(origin.calls(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn c33_what_is_stale_and_being_refreshed_and_what_is_remembered_allocate_nothing() {
    let config = Config::default().ttl(SECOND).stale_while_revalidate(10 * SECOND);
    let (cache, origin) = (pages(config), Origin::new(Answer));
    let mut service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    advance(2 * SECOND).await;
    origin.now(Hang);
    assert!(allocations(&mut service, 7) > 0, "this one begins the refresh");
    assert_eq!(allocations(&mut service, 7), 0);
    let mut remembers = layer(&cache).remember_errors(|_: &TestError| Some(SECOND)).layer(origin.service());
    origin.now(Fail);
    call(&remembers, 8).await.unwrap_err();
    let (answer, counted) = alloc::count(|| remembers.call(8).now_or_never());
    assert!(answer.unwrap().is_err());
    assert_eq!(counted.allocations, 0);
}

#[tokio::test(start_paused = true)]
async fn c33_a_borrowed_key_is_made_only_where_it_is_not_found() {
    let cache: Cache<Arc<str>, u64> = Cache::new("paths", Config::default());
    let inner = service_fn(|path: &'static str| async move { Ok::<_, TestError>(path.len() as u64) });
    let mut service = CacheLayer::by_ref(&cache, |path: &&'static str| Some(*path)).layer(inner);
    assert_eq!(service.call("/a/long/path").await, Ok(12));
    let (answer, counted) = alloc::count(|| service.call("/a/long/path").now_or_never());
    assert_eq!((answer, counted.allocations), (Some(Ok(12)), 0));
    assert!(cache.get("/a/long/path").is_some());
}
