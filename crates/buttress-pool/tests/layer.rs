//! A pool before a service: the laws, places in the queue, and refusals.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_core::{Reason, Rejected};
use buttress_pool::{Config, Error, Event, Lease, Manager, Pool, PoolLayer, Pooled, Size};
use buttress_testkit::laws;
use buttress_testkit::scripted::{Calls, Fault, Script, Scripted};
use parking_lot::Mutex;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

/// Connections that are numbers, from a server that may be down.
#[derive(Default)]
struct Numbers(Arc<AtomicBool>);

impl Manager for Numbers {
    type Connection = u64;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<u64> {
        if self.0.load(Ordering::SeqCst) { Err(io::Error::other("no route to host")) } else { Ok(7) }
    }

    async fn check(&self, _: &mut u64) -> io::Result<()> {
        Ok(())
    }
}

type Request = (Lease<Numbers>, u64);
type Answer = fn(Request) -> u64;
type Front = Pooled<Scripted<Answer>, Numbers>;

fn answer((_, n): Request) -> u64 {
    n
}

fn config(max: u32, waiters: u32) -> Config {
    Config::default().size(Size::new(0, max).unwrap()).max_waiters(NonZeroU32::new(waiters).unwrap())
}

fn pool(config: Config) -> Pool<Numbers> {
    Pool::new("numbers", config, Numbers::default())
}

/// A service over a script; of its pool so many can wait, and so many can be served.
fn front(max: u32, waiters: u32) -> (Pool<Numbers>, Script, Front) {
    let (pool, script) = (pool(config(max, waiters)), Script::new());
    let front = PoolLayer::new(&pool).layer(script.service(answer as Answer));
    (pool, script, front)
}

fn ready(front: &mut Front) -> Poll<Result<(), Fault>> {
    front.poll_ready(&mut Context::from_waker(Waker::noop()))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn refused(result: Result<u64, Fault>) -> Rejected {
    match result.unwrap_err() {
        Fault::Rejected(rejected) => rejected,
        Fault::Inner(number) => panic!("the inner service failed: {number}"),
    }
}

#[test]
fn a_pooled_service_keeps_the_laws_of_deferring_layers() {
    laws::deferring!(PoolLayer::new(&pool(Config::default())), respond: answer);
    laws::deferring!(PoolLayer::new(&pool(config(1, 100))), respond: answer);
    laws::deferring!(
        PoolLayer::new(&Pool::shared("numbers", config(2, 100), Numbers::default(), NonZeroU32::MIN)),
        respond: answer,
    );
    laws::deferring!(
        PoolLayer::new(&Pool::shared("numbers", config(2, 100), Numbers::default(), NonZeroU32::new(3).unwrap())),
        respond: answer,
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_wherever_its_owner_is_dropped() {
    let (pool, _, front) = front(1, 2);
    let places = || (pool.stats().places, pool.stats().waiters, pool.stats().in_use);

    let mut service = front.clone();
    assert!(ready(&mut service).is_ready() && ready(&mut service).is_ready());
    assert_eq!(places(), (1, 0, 0), "asked twice, one place");
    let clone = service.clone();
    assert_eq!(places(), (1, 0, 0), "a clone has none");
    drop(service);
    assert_eq!(places(), (0, 0, 0), "dropped where it was ready");
    drop(clone);

    let mut service = front.clone();
    assert!(ready(&mut service).is_ready());
    let call = service.call(1);
    assert_eq!(places(), (1, 0, 0));
    drop(call);
    assert_eq!(places(), (0, 0, 0), "dropped before its first poll");

    assert!(ready(&mut service).is_ready());
    let mut call = Box::pin(service.call(1));
    assert!(poll(&mut call).is_pending());
    assert_eq!(places(), (0, 1, 0));
    drop(call);
    assert_eq!(places(), (0, 0, 0), "dropped in the queue");

    let lease = pool.get().await.unwrap();
    assert!(ready(&mut service).is_ready());
    let mut call = Box::pin(service.call(1));
    assert!(poll(&mut call).is_pending());
    drop(lease);
    assert_eq!(places(), (0, 0, 1));
    drop(call);
    assert_eq!(places(), (0, 0, 0), "dropped with a grant");

    assert_eq!(service.ready().await.unwrap().call(1).await, Ok(1));
    assert_eq!(places(), (0, 0, 0), "seen to its end");
}

#[tokio::test(start_paused = true)]
async fn who_is_ready_keeps_no_connection_from_others() {
    let (pool, _, mut front) = front(1, 1);
    drop(pool.get().await.unwrap());
    assert!(ready(&mut front).is_ready());
    let call = front.call(1);
    let lease = pool.get().await.unwrap();
    assert_eq!(pool.stats().places, 1);
    let call = tokio::spawn(call);
    tokio::task::yield_now().await;
    drop(lease);
    assert_eq!(call.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn who_has_a_place_is_never_refused_because_too_many_wait() {
    let (pool, _, mut front) = front(1, 1);
    drop(pool.get().await.unwrap());
    assert!(ready(&mut front).is_ready());
    let lease = pool.get().await.unwrap();
    let mut direct = pool.get();
    assert!(matches!(poll(&mut direct), Poll::Ready(Err(Error::QueueFull { .. }))));
    let call = tokio::spawn(front.call(1));
    tokio::task::yield_now().await;
    drop(lease);
    assert_eq!(call.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn without_a_place_it_is_ready_at_once_and_refuses_without_asking_the_inner_service() {
    let (pool, script, front) = front(1, 1);
    let (mut first, mut second) = (front.clone(), front.clone());
    script.hold_readiness();
    assert!(ready(&mut first).is_pending());
    assert_eq!(pool.stats().places, 1, "it will ask as soon as the inner service is ready");
    assert!(ready(&mut second).is_ready());
    let rejected = refused(second.call(1).await);
    assert_eq!((rejected.layer(), rejected.name().as_str()), ("pool", "numbers"));
    assert_eq!((rejected.reason(), rejected.retry_after()), (Reason::Overloaded, None));
    assert_eq!((pool.stats().refused_full, script.seen().calls), (1, 0));

    // What an earlier poll has found is out of date.
    assert!(ready(&mut second).is_ready());
    drop(first);
    assert!(ready(&mut second).is_pending(), "now it has the place, and waits for the inner service");
    script.release_readiness();
    assert_eq!(second.ready().await.unwrap().call(2).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_never_becomes_ready_holds_places_and_no_connections() {
    let (pool, script, front) = front(2, 3);
    script.hold_readiness();
    let mut services: Vec<_> = (0..3).map(|_| front.clone()).collect();
    for service in &mut services {
        assert!(ready(service).is_pending());
    }
    assert_eq!((pool.stats().places, pool.stats().gets, pool.stats().connects), (3, 0, 0));
    services.pop();
    assert_eq!(pool.stats().places, 2);
    drop(services);
    assert_eq!(pool.stats().places, 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_ends_with_a_readiness_error() {
    let (pool, script, mut front) = front(1, 1);
    script.fail_readiness_once(Fault::Inner(3));
    assert_eq!(ready(&mut front), Poll::Ready(Err(Fault::Inner(3))));
    assert_eq!(pool.stats().places, 0);
    assert_eq!(front.ready().await.unwrap().call(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inner_service_gives_place_and_connection_back() {
    for plan in [Calls::PanicInCall, Calls::PanicInPoll] {
        let (pool, script, mut front) = front(1, 1);
        script.calls(plan);
        let call = tokio::spawn(front.ready().await.unwrap().call(1));
        assert!(call.await.unwrap_err().is_panic(), "{plan:?}");
        let stats = pool.stats();
        assert_eq!(
            (stats.places, stats.in_use, stats.size),
            (0, 0, 0),
            "{plan:?}: it may be in the midst of anything"
        );
        script.calls(Calls::Ready);
        assert_eq!(front.ready().await.unwrap().call(2).await, Ok(2));
    }
}

/// A service whose clones panic.
struct Unique;

impl Clone for Unique {
    fn clone(&self) -> Self {
        panic!("there is but one")
    }
}

impl Service<Request> for Unique {
    type Response = ();
    type Error = Fault;
    type Future = std::future::Ready<Result<(), Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        std::future::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inner_services_clone_gives_the_place_back() {
    let pool = pool(config(1, 1));
    let mut front = PoolLayer::new(&pool).layer(Unique);
    assert!(Service::<u64>::poll_ready(&mut front, &mut Context::from_waker(Waker::noop())).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(front.call(1)))).is_err());
    assert_eq!(pool.stats().places, 0);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_says_what_can_be_done_and_the_pool_knows_why() {
    let down = Arc::new(AtomicBool::new(false));
    let limit = Duration::from_millis(100);
    let pool = Pool::new("numbers", config(1, 5).acquire_timeout(limit), Numbers(Arc::clone(&down)));
    let mut front = PoolLayer::new(&pool).layer(Script::new().service(answer as Answer));

    let lease = pool.get().await.unwrap();
    let rejected = refused(front.ready().await.unwrap().call(1).await);
    assert_eq!((rejected.reason(), rejected.retry_after()), (Reason::TimedOut, None));

    down.store(true, Ordering::SeqCst);
    let _ = lease.detach();
    let rejected = refused(front.ready().await.unwrap().call(1).await);
    assert_eq!(rejected.reason(), Reason::Unavailable);
    let wait = rejected.retry_after().unwrap();
    assert!(wait >= Duration::from_millis(39) && wait <= Duration::from_millis(50), "{wait:?}");
    assert_eq!(pool.last_error().unwrap().1.to_string(), "no route to host");
    down.store(false, Ordering::SeqCst);
    sleep(Duration::from_millis(60)).await;
    assert_eq!(front.ready().await.unwrap().call(1).await, Ok(1));

    let late = front.ready().await.unwrap().call(1);
    pool.close(Duration::ZERO).await.unwrap();
    assert_eq!(refused(late.await).reason(), Reason::Closed, "with a place");
    assert_eq!(refused(front.ready().await.unwrap().call(1).await).reason(), Reason::Closed, "without one");
    let stats = pool.stats();
    let refused = stats.refused_full + stats.refused_down + stats.refused_closed;
    assert_eq!((stats.gets, stats.places), (stats.served + stats.timeouts + refused, 0));
}

#[tokio::test(start_paused = true)]
async fn a_leak_is_reported_with_the_place_of_the_layer() {
    let told = Arc::new(Mutex::new(None));
    let pool = {
        let told = Arc::clone(&told);
        let pool = pool(config(1, 1).leak_after(Duration::from_secs(1)));
        pool.observe(move |event| *told.lock() = Some(event))
    };
    let (layer, line) = (PoolLayer::new(&pool), line!());
    let leaky = service_fn(|(lease, ()): (Lease<Numbers>, ())| {
        std::mem::forget(lease);
        async { Ok::<_, BoxError>(()) }
    });
    layer.layer(leaky).oneshot(()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let told = told.lock().take();
    let Some(Event::Leaked { by, .. }) = told else { panic!("{told:?}") };
    assert_eq!((by.file(), by.line()), (file!(), line));
}

#[tokio::test(start_paused = true)]
async fn a_stack_infers_and_what_is_not_send_can_be_pooled() {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let mut stack = ServiceBuilder::new().layer(PoolLayer::new(&pool(Config::default()))).service(
        service_fn(move |(lease, request): (Lease<Numbers>, Rc<u64>)| {
            seen.set(seen.get() + 1);
            async move { Ok::<_, BoxError>(*lease + *request) }
        }),
    );
    assert_eq!(stack.ready().await.unwrap().call(Rc::new(1)).await.unwrap(), 8);
    assert_eq!(calls.get(), 1);
}
