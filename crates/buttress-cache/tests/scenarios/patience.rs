//! Loads that take too long: soft and hard timeouts, with a task of their own and without.

use super::*;
use futures_util::FutureExt;
use std::future::poll_fn;
use tower::Layer;

/// Values are fresh for a second, and then good for failures.
fn stale() -> Config {
    Config::default().ttl(SECOND).stale_if_error(100 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn after_a_soft_timeout_the_stale_value_is_served_and_the_load_is_stored_later() {
    let (cache, origin) = (pages(stale().soft_timeout(50 * MS)), Origin::new(Answer));
    let service = layer(&cache).background().layer(origin.service());
    outdate(&service, &origin, After(SECOND)).await;
    let begun = Instant::now();
    for answer in [call(&service, 7).await, call(&service, 7).await] {
        assert_eq!(answer.unwrap().0, 1);
    }
    assert_eq!(begun.elapsed(), 100 * MS, "each waits for so long and no longer");
    assert_eq!((origin.calls(), cache.stats().stale), (2, 2));
    until(begun, 1001).await;
    settle().await;
    assert_eq!(call(&service, 7).await, Ok((2, Served::Hit)));
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_stale_a_soft_timeout_changes_nothing() {
    for apart in [false, true] {
        let (cache, origin) = (pages(stale().soft_timeout(50 * MS)), Origin::new(After(SECOND)));
        let service = apart_if(apart, layer(&cache)).layer(origin.service());
        let call = || call(&service, 7);
        assert_eq!(tokio::join!(call(), call()), (Ok((1, Served::Loaded)), Ok((1, Served::Waited))));
        assert_eq!(cache.stats().stale, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_tasks_a_soft_timeout_is_for_those_who_wait() {
    let (cache, origin) = (pages(stale().soft_timeout(50 * MS)), Origin::new(Answer));
    let service = layer(&cache).layer(origin.service());
    outdate(&service, &origin, After(SECOND)).await;
    let begun = Instant::now();
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    assert_eq!(call(&service, 7).await, Ok((1, Served::Stale(SECOND + 50 * MS))));
    assert_eq!(begun.elapsed(), 50 * MS);
    assert_eq!(leader.await.unwrap(), Ok((2, Served::Loaded)));
    assert_eq!((begun.elapsed(), origin.calls()), (SECOND, 2));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_takes_from_a_soft_timeout_what_it_could_serve() {
    let (cache, origin) = (pages(stale().soft_timeout(50 * MS)), Origin::new(Answer));
    let service = layer(&cache).background().layer(origin.service());
    outdate(&service, &origin, After(SECOND)).await;
    let mut waits = Box::pin(call(&service, 7));
    assert!((&mut waits).now_or_never().is_none());
    settle().await;
    cache.invalidate(&7);
    assert_eq!(waits.await, Ok((2, Served::Loaded)), "its own load, though nobody else's");
    assert!(cache.get(&7).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hard_timeout_ends_a_load_and_the_next_caller_begins_afresh() {
    let (cache, origin) = (pages(Config::default().hard_timeout(100 * MS)), Origin::new(Hang));
    let service = layer(&cache).layer(origin.service());
    let begun = Instant::now();
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    let follower = tokio::spawn({
        let call = call(&service, 7);
        async move {
            sleep(30 * MS).await;
            call.await
        }
    });
    assert_eq!(reason(&leader.await.unwrap()), Some(Reason::TimedOut));
    assert_eq!((begun.elapsed(), origin.running()), (100 * MS, 0));
    assert_eq!(reason(&follower.await.unwrap()), Some(Reason::Failed), "what it waited for has failed");
    assert_eq!(begun.elapsed(), 100 * MS);
    assert_eq!((cache.stats().loading, cache.stats().load_failures), (0, 1));
    origin.now(Answer);
    assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Loaded))));
}

#[tokio::test(start_paused = true)]
async fn in_the_background_a_hard_timeout_is_each_callers_own_and_the_late_value_is_stored() {
    let (cache, origin) = (pages(Config::default().hard_timeout(100 * MS)), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    let begun = Instant::now();
    let leader = tokio::spawn(call(&service, 7));
    sleep(30 * MS).await;
    let follower = tokio::spawn(call(&service, 7));
    assert_eq!(reason(&leader.await.unwrap()), Some(Reason::TimedOut));
    assert_eq!(begun.elapsed(), 100 * MS);
    assert_eq!(reason(&follower.await.unwrap()), Some(Reason::TimedOut));
    assert_eq!(begun.elapsed(), 130 * MS);
    assert_eq!((origin.running(), cache.stats().loading), (1, 1), "it goes on");
    until(begun, 1001).await;
    settle().await;
    assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hard_timeout_is_answered_by_a_stale_value_if_there_is_one() {
    for apart in [false, true] {
        let (cache, origin) = (pages(stale().hard_timeout(100 * MS)), Origin::new(Answer));
        let service = apart_if(apart, layer(&cache)).layer(origin.service());
        let call = || call(&service, 7);
        call().await.unwrap();
        advance(2 * SECOND).await;
        origin.now(Hang);
        let answers = tokio::join!(call(), call());
        let stale = || Ok((1, Served::Stale(SECOND + 100 * MS)));
        assert_eq!(answers, (stale(), stale()), "apart: {apart}");
        assert_eq!((origin.calls(), cache.stats().stale), (2, 2), "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hard_timeout_counts_the_wait_for_a_service_that_is_not_ready() {
    for apart in [false, true] {
        let never = tower::util::MapRequestLayer::new(|request: u64| request).layer(Never);
        let cache = numbers(Config::default().hard_timeout(100 * MS));
        let key = |request: &u64| Some(*request);
        let layer = CacheLayer::new(&cache, key);
        let begun = Instant::now();
        let answer = if apart {
            layer.background().layer(never).oneshot(7).await
        } else {
            layer.layer(never).oneshot(7).await
        };
        assert_eq!((reason(&answer), begun.elapsed()), (Some(Reason::TimedOut), 100 * MS), "apart: {apart}");
    }
}

/// Is never ready.
#[derive(Clone, Debug)]
struct Never;

impl Service<u64> for Never {
    type Response = u64;
    type Error = TestError;
    type Future = std::future::Ready<Result<u64, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        Poll::Pending
    }

    fn call(&mut self, _: u64) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_has_no_more_time_than_it_had() {
    let (cache, origin) = (pages(Config::default().hard_timeout(100 * MS)), Origin::new(Hang));
    let service = layer(&cache).layer(origin.service());
    let begun = Instant::now();
    let leader = tokio::spawn(call(&service, 7));
    settle().await;
    let second = tokio::spawn(call(&service, 7));
    settle().await;
    advance(60 * MS).await;
    leader.abort();
    settle().await;
    assert_eq!(origin.calls(), 2, "it loads now");
    assert_eq!(reason(&second.await.unwrap()), Some(Reason::TimedOut));
    assert_eq!(begun.elapsed(), 100 * MS);
    assert_eq!(origin.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_ready_in_time_is_not_late() {
    // Both at the same moment: the load is looked at first.
    let (cache, origin) = (pages(Config::default().hard_timeout(100 * MS)), Origin::new(After(100 * MS)));
    let service = layer(&cache).layer(origin.service());
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
    // One that waits no time at all gets what is there at once.
    let hasty = pages(Config::default().hard_timeout(Duration::ZERO));
    let service = layer(&hasty).layer(Origin::new(Answer).service());
    assert_eq!(poll_fn(|cx| Box::pin(call(&service, 7)).as_mut().poll(cx)).await, Ok((1, Served::Loaded)));
}
