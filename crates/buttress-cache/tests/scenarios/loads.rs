//! One load per key, through the layer: who loads, who waits, and who takes over.

use super::*;
use buttress_cache::{Fate, Found};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::pin::Pin;
use tower::{BoxError, Layer, service_fn};

#[tokio::test(start_paused = true)]
async fn c1_a_thousand_requests_of_two_keys_are_two_calls() {
    let (cache, origin) = (pages(Config::default()), Origin::new(After(20 * MS)));
    let service = layer(&cache).layer(origin.service());
    let tasks: Vec<_> = (0..1000).map(|n| tokio::spawn(call(&service, n % 2))).collect();
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect();
    assert!(answers.iter().all(|(version, _)| *version == 1));
    assert_eq!(answers.iter().filter(|(_, served)| *served == Served::Loaded).count(), 2);
    let stats = cache.stats();
    assert_eq!((origin.calls(), stats.loads, stats.coalesced, stats.misses), (2, 2, 998, 1000));
}

#[tokio::test(start_paused = true)]
async fn c2_a_cancelled_leader_is_followed_by_exactly_one() {
    let (cache, origin) = (pages(Config::default()), Origin::new(After(20 * MS)));
    let service = layer(&cache).layer(origin.service());
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    let followers: Vec<_> = (0..5).map(|_| tokio::spawn(call(&service, 7))).collect();
    settle().await;
    assert_eq!(cache.stats().coalesced, 5);
    leader.abort();
    let served: Vec<_> = join_all(followers).await.into_iter().map(|task| task.unwrap().unwrap().1).collect();
    assert_eq!(served.iter().filter(|served| **served == Served::Loaded).count(), 1, "{served:?}");
    assert_eq!(served.iter().filter(|served| **served == Served::Waited).count(), 4, "{served:?}");
    assert_eq!((origin.calls(), origin.running(), cache.stats().loading), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn c2_in_the_background_a_cancelled_caller_changes_nothing() {
    let (cache, origin) = (pages(Config::default()), Origin::new(After(20 * MS)));
    let service = layer(&cache).background().layer(origin.service());
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    let followers: Vec<_> = (0..5).map(|_| tokio::spawn(call(&service, 7))).collect();
    settle().await;
    leader.abort();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), Ok((1, Served::Waited)));
    }
    assert_eq!((origin.calls(), cache.stats().loading), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn c3_when_all_callers_leave_the_load_ends_and_a_later_one_works() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Hang));
    let service = layer(&cache).layer(origin.service());
    let callers: Vec<_> = (0..5).map(|_| tokio::spawn(call(&service, 7))).collect();
    settle().await;
    assert_eq!((origin.running(), cache.stats().loading), (1, 1));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    settle().await;
    assert_eq!((origin.running(), cache.stats().loading), (0, 0));
    origin.now(Answer);
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
}

#[tokio::test(start_paused = true)]
async fn c3_in_the_background_the_load_goes_on_and_is_stored() {
    let (cache, origin) = (pages(Config::default()), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    let callers: Vec<_> = (0..5).map(|_| tokio::spawn(call(&service, 7))).collect();
    settle().await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(2 * SECOND).await;
    assert_eq!((origin.running(), cache.stats().loading), (0, 0));
    assert_eq!(call(&service, 7).await, Ok((1, Served::Hit)));
}

/// A future that counts how often it is polled.
struct Counted<F>(Pin<Box<F>>, Arc<AtomicUsize>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.as_mut().poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn c5_who_waits_is_polled_to_join_and_to_leave() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(After(200 * MS)));
        let polls = Arc::new(AtomicUsize::new(0));
        let service = apart_if(apart, layer(&cache)).layer(origin.service());
        let leader = tokio::spawn(call(&service, 7));
        settle().await;
        let follower = |_| {
            let call = call(&service, 7);
            tokio::spawn(Counted(Box::pin(call), Arc::clone(&polls)))
        };
        let followers: Vec<_> = (0..100).map(follower).collect();
        for follower in followers {
            assert_eq!(follower.await.unwrap(), Ok((1, Served::Waited)));
        }
        leader.await.unwrap().unwrap();
        assert_eq!(polls.load(Ordering::SeqCst), 200, "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn c6_a_failed_load_is_one_call_and_its_error_need_not_be_clone() {
    let cache: Cache<u64, u64> = numbers(Config::default());
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let inner = service_fn(move |_: u64| {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(20 * MS).await;
            Err::<u64, BoxError>("failed".into())
        }
    });
    let service = CacheLayer::new(&cache, |request: &u64| Some(*request)).layer(inner);
    let tasks: Vec<_> = (0..1000).map(|_| tokio::spawn(service.clone().oneshot(7))).collect();
    let errors: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap_err()).collect();
    let refused = |error: &&BoxError| {
        buttress_core::Rejected::find(&***error).is_some_and(|refused| refused.reason() == Reason::Failed)
    };
    assert_eq!(errors.iter().filter(refused).count(), 999);
    assert_eq!(errors.iter().filter(|error| error.to_string() == "failed").count(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!((cache.stats().load_failures, cache.stats().loading), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn c6_a_shared_error_is_everybodys_own() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(FailAfter(20 * MS)));
        let layer = layer(&cache).share_errors();
        let service = apart_if(apart, layer).layer(origin.service());
        let calls = (0..1000).map(|_| call(&service, 7));
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| *answer == Err(Error::Inner("failed late"))), "apart: {apart}");
        assert_eq!(origin.calls(), 1, "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_background_the_one_that_began_gets_the_error_itself() {
    let (cache, origin) = (pages(Config::default()), Origin::new(FailAfter(20 * MS)));
    let service = layer(&cache).background().layer(origin.service());
    let answers = join_all((0..10).map(|_| call(&service, 7))).await;
    assert_eq!(answers[0], Err(Error::Inner("failed late")));
    assert!(answers[1..].iter().all(|answer| reason(answer) == Some(Reason::Failed)), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn whose_answer_is_refused_leaves_the_others_to_calls_of_their_own_side_by_side() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(After(20 * MS)));
        let layer = layer(&cache).rule(|_: &Page| Fate::Refuse);
        let service = apart_if(apart, layer).layer(origin.service());
        let begun = Instant::now();
        let calls = (0..50).map(|_| call(&service, 7));
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| *answer == Ok((1, Served::Loaded))), "{answers:?}");
        assert_eq!((origin.calls(), origin.most()), (50, 49), "apart: {apart}");
        assert_eq!(begun.elapsed(), 40 * MS, "the second time all at once");
        assert_eq!((cache.stats().entries, cache.stats().loading), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn each_caller_loads_with_its_own_request() {
    // One key for all requests, and an answer that is the request.
    let cache: Cache<u64, u64> = numbers(Config::default());
    let inner = service_fn(|request: u64| async move {
        sleep(20 * MS).await;
        if request == 0 { Err(Error::Inner("failed")) } else { Ok::<_, TestError>(request) }
    });
    let layer = CacheLayer::new(&cache, |_: &u64| Some(7));
    let refusing = layer.clone().rule(|_: &u64| Fate::Refuse).layer(inner);
    let calls = join_all((1..=9).map(|request| refusing.clone().oneshot(request))).await;
    assert_eq!(calls, (1..=9).map(Ok).collect::<Vec<_>>());
    let service = layer.layer(inner);
    let leader = tokio::spawn(service.clone().oneshot(1));
    settle().await;
    let second = tokio::spawn(service.clone().oneshot(2));
    settle().await;
    leader.abort();
    assert_eq!(second.await.unwrap(), Ok(2), "it took over with what it asked itself");
    assert_eq!(cache.get(&7).map(Found::into_value), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_layer_and_get_or_load_share_a_flight_whatever_their_errors_are() {
    let (cache, origin) = (pages(Config::default()), Origin::new(FailAfter(20 * MS)));
    let service = layer(&cache).share_errors().layer(origin.service());
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    let other = cache.loader().share_errors();
    let waits = other.get_or_load(7, |_| async { Err::<Page, u8>(1) }).await;
    assert!(
        matches!(waits, Err(Error::Rejected(refused)) if refused.reason() == Reason::Failed),
        "{waits:?}"
    );
    assert_eq!(leader.await.unwrap(), Err(Error::Inner("failed late")));
    assert_eq!(origin.calls(), 1);
}

#[test]
fn a_background_load_whose_runtime_is_shut_down_does_not_hang_its_caller() {
    // A handle outlives its runtime, and what is spawned there is dropped at once.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let cache = numbers(Config::default().ttl(Duration::MAX));
    let clones = Arc::new(AtomicUsize::new(0));
    #[derive(Debug)]
    struct Counts(Arc<AtomicUsize>);
    impl Clone for Counts {
        fn clone(&self) -> Self {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) < 100, "it spawns for ever");
            Self(Arc::clone(&self.0))
        }
    }
    let counts = Counts(clones);
    let loader = cache.loader().background();
    let _guard = handle.enter();
    let load = move |_: &u64| {
        let _counts = &counts;
        std::future::ready(Ok::<_, &'static str>(1))
    };
    let found = loader.get_or_load(7, load).now_or_never();
    assert_eq!(found.unwrap().unwrap().value, 1);
}
