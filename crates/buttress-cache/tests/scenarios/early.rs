//! Early refreshes, from end to end.

use super::*;
use buttress_cache::{Beta, Fate};
use futures_util::FutureExt;
use tower::Layer;

fn eager(beta: f64) -> Config {
    Config::default().max_entries(entries(1)).ttl(10 * SECOND).early_refresh(Beta::new(beta).unwrap())
}

#[tokio::test(start_paused = true)]
async fn c12_without_a_beta_nothing_is_early() {
    let start = Instant::now();
    let (cache, origin) = (pages(eager(0.0)), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    until(start, 10_999).await;
    for _ in 0..10_000 {
        assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))));
    }
    settle().await;
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn c12_near_its_end_a_value_is_loaded_once_while_all_others_hit() {
    let start = Instant::now();
    let (cache, origin) = (pages(eager(1000.0)), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    origin.say(2);
    until(start, 10_999).await;
    for _ in 0..101 {
        assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))), "it is fresh, and answers");
    }
    settle().await;
    assert_eq!((origin.calls(), cache.stats().hits, cache.stats().stale), (2, 101, 0));
    // It is not there yet when the old one ends: who comes then waits for it.
    until(start, 11_000).await;
    assert_eq!(call(&service, 7).await, Ok((2, Served::Waited)));
    assert_eq!(origin.calls(), 2);
    assert_eq!(start.elapsed(), Duration::from_millis(11_999));
}

#[tokio::test(start_paused = true)]
async fn c12_an_early_refresh_that_fails_harms_nobody_and_is_throttled() {
    let start = Instant::now();
    let (cache, origin) = (pages(eager(1000.0).retry_after(SECOND)), Origin::new(After(SECOND)));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    origin.now(Fail);
    for (at, calls) in [(9000, 2), (9999, 2), (10_000, 3), (10_998, 3)] {
        until(start, at).await;
        for _ in 0..10 {
            assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))), "{at}");
            settle().await;
        }
        assert_eq!(origin.calls(), calls, "{at}");
    }
    assert_eq!(cache.stats().stale, 0);
}

#[tokio::test(start_paused = true)]
async fn c12_without_tasks_nobody_is_made_to_wait_for_an_early_refresh() {
    let start = Instant::now();
    let (cache, origin) = (pages(eager(1000.0)), Origin::new(After(SECOND)));
    let service = layer(&cache).layer(origin.service());
    call(&service, 7).await.unwrap();
    until(start, 10_999).await;
    for _ in 0..100 {
        assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))));
    }
    assert_eq!(origin.calls(), 1);
}

/// Whether the first hit at so much before its end refreshes a value that took 20 ms, for a beta of one.
async fn refreshes(seed: u64, left: u64) -> bool {
    let start = Instant::now();
    let (cache, origin) = (pages(eager(1.0)).seed(seed), Origin::new(After(20 * MS)));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    until(start, 10_020 - left).await;
    assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Hit))));
    settle().await;
    origin.calls() == 2
}

#[tokio::test(start_paused = true)]
async fn c12_refreshes_are_as_likely_as_the_formula_says_and_seeds_repeat_them() {
    const SEEDS: u64 = 1500;
    for left in [10, 20, 60] {
        let mut early = 0;
        for seed in 0..SEEDS {
            early += u64::from(refreshes(seed, left).await);
        }
        let (share, expected) = (early as f64 / SEEDS as f64, (-(left as f64) / 20.0).exp());
        assert!((share - expected).abs() < 0.04, "{left}: {share} of {expected}");
    }
    for seed in 0..20 {
        assert_eq!(refreshes(seed, 20).await, refreshes(seed, 20).await, "{seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_starts_with_the_first_answer_does_not_make_its_load_long() {
    // Nothing depended on the time when the load began.
    let config = eager(1.0).ttl(Duration::MAX);
    let (cache, origin) = (pages(config), Origin::new(Answer));
    let rule = |_: &Page| Fate::store().ttl(1000 * SECOND).into();
    let service = layer(&cache).rule(rule).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    for _ in 0..100 {
        call(&service, 7).await.unwrap();
        settle().await;
    }
    assert_eq!(origin.calls(), 1, "it took no time at all");
}
