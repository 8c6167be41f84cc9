//! Fresh, stale and gone: to the millisecond, in paused time.

use super::*;
use buttress_cache::{Fate, Found, Glob, Keep};
use buttress_core::Ratio;
use futures_util::FutureExt;
use tower::Layer;

fn revalidating() -> Config {
    Config::default().ttl(SECOND).stale_while_revalidate(10 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn c9_a_hundred_callers_get_the_stale_value_at_once_for_one_refresh() {
    let (cache, origin) = (pages(revalidating()), Origin::new(Answer));
    let service = layer(&cache).background().layer(origin.service());
    outdate(&service, &origin, After(50 * MS)).await;
    for _ in 0..100 {
        let answer = call(&service, 7).now_or_never().expect("ready when it is polled first");
        assert_eq!(answer, Ok((1, Served::Stale(SECOND))));
    }
    settle().await;
    assert_eq!((origin.calls(), cache.stats().loading), (2, 1));
    sleep(51 * MS).await;
    assert_eq!(call(&service, 7).await, Ok((2, Served::Hit)));
    let stats = cache.stats();
    assert_eq!((stats.stale, stats.hits, stats.misses, stats.loads), (100, 101, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn c9_a_refresh_that_fails_keeps_the_stale_value_to_its_end_and_is_throttled() {
    let start = Instant::now();
    let config = revalidating().retry_after(3 * SECOND);
    let (cache, origin) = (pages(config), Origin::new(Answer));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    origin.now(Fail);
    let mut stale = 0;
    // Tried at 2 s, 5 s, 8 s and 10.999 s, which is not yet 11 s.
    for (at, calls) in
        [(2000, 2), (2001, 2), (4999, 2), (5000, 3), (7999, 3), (8000, 4), (8001, 4), (10_999, 4)]
    {
        until(start, at).await;
        let answer = call(&service, 7).now_or_never().expect("stale, at once");
        assert_eq!(answer, Ok((1, Served::Stale(Duration::from_millis(at - 1000)))), "at {at}");
        stale += 1;
        settle().await;
        assert_eq!(origin.calls(), calls, "at {at}");
    }
    assert_eq!(cache.stats().stale, stale, "only what was served is counted");
    until(start, 11_000).await;
    assert_eq!(call(&service, 7).await, Err(Error::Inner("failed")), "the window is over");
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn c9_without_tasks_one_caller_waits_and_the_others_get_the_stale_value() {
    let (cache, origin) = (pages(revalidating()), Origin::new(Answer));
    let service = layer(&cache).layer(origin.service());
    outdate(&service, &origin, After(50 * MS)).await;
    let mut first = Box::pin(call(&service, 7));
    assert!((&mut first).now_or_never().is_none());
    for _ in 0..99 {
        assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Stale(SECOND)))));
    }
    assert_eq!(first.await, Ok((2, Served::Loaded)));
    assert_eq!((origin.calls(), cache.stats().stale), (2, 99));
    // If it fails, it gets the stale value as well.
    advance(2 * SECOND).await;
    origin.now(FailAfter(50 * MS));
    assert_eq!(call(&service, 7).await, Ok((2, Served::Stale(SECOND + 50 * MS))));
    assert_eq!((origin.calls(), cache.stats().stale), (3, 100));
    assert_eq!(call(&service, 7).now_or_never(), Some(Ok((2, Served::Stale(SECOND + 50 * MS)))));
    assert_eq!(origin.calls(), 3, "throttled");
}

#[tokio::test(start_paused = true)]
async fn c9_a_refresh_that_was_invalidated_is_not_stored() {
    let (cache, origin) = (pages(revalidating()), Origin::new(Answer));
    let service = layer(&cache).background().layer(origin.service());
    call(&service, 7).await.unwrap();
    advance(2 * SECOND).await;
    origin.now(After(50 * MS));
    assert_eq!(call(&service, 7).now_or_never(), Some(Ok((1, Served::Stale(SECOND)))));
    settle().await;
    cache.invalidate(&7);
    sleep(SECOND).await;
    assert_eq!((origin.calls(), origin.running(), cache.stats().entries), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn get_gives_what_is_stale_and_good_enough_and_asks_nobody() {
    let start = Instant::now();
    let config = Config::default().ttl(SECOND).stale_while_revalidate(SECOND).stale_if_error(9 * SECOND);
    let cache = numbers(config);
    cache.insert(7, 1);
    for (at, served) in [
        (999, Some(Served::Hit)),
        (1000, Some(Served::Stale(Duration::ZERO))),
        (1999, Some(Served::Stale(999 * MS))),
        (2000, None),
    ] {
        until(start, at).await;
        assert_eq!(cache.get(&7).map(|found| found.served), served, "{at}");
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale, stats.misses, stats.loads, stats.entries), (3, 2, 1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn c10_a_failure_is_answered_by_a_stale_value_with_a_mark_until_its_bound() {
    for apart in [false, true] {
        let start = Instant::now();
        let config = Config::default().ttl(SECOND).stale_if_error(10 * SECOND).retry_after(Duration::ZERO);
        let (cache, origin) = (pages(config), Origin::new(Answer));
        let service = apart_if(apart, layer(&cache)).layer(origin.service());
        let call = || call(&service, 7);
        call().await.unwrap();
        origin.now(Fail);
        for at in [1000, 10_999] {
            until(start, at).await;
            assert_eq!(
                call().await,
                Ok((1, Served::Stale(Duration::from_millis(at - 1000)))),
                "apart: {apart}"
            );
        }
        assert_eq!((origin.calls(), cache.stats().stale), (3, 2), "apart: {apart}");
        until(start, 11_000).await;
        assert_eq!(call().await, Err(Error::Inner("failed")), "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn c10_get_or_load_tells_that_a_value_is_stale() {
    let start = Instant::now();
    let cache =
        numbers(Config::default().ttl(SECOND).stale_if_error(10 * SECOND).retry_after(Duration::ZERO));
    let (fails, loads) = (|_: &u64| async { Err::<u64, _>("failed") }, |_: &u64| async { Ok::<_, &str>(1) });
    assert_eq!(cache.get_or_load(7, loads).await.unwrap(), Found { value: 1, served: Served::Loaded });
    until(start, 10_999).await;
    let stale = Found { value: 1, served: Served::Stale(9999 * MS) };
    assert_eq!(cache.get_or_load(7, fails).await, Ok(stale));
    until(start, 11_000).await;
    assert_eq!(cache.get_or_load(7, fails).await, Err(Error::Inner("failed")));
}

#[tokio::test(start_paused = true)]
async fn c10_who_waits_for_a_load_that_fails_gets_the_stale_value_too() {
    let (cache, origin) =
        (pages(Config::default().ttl(SECOND).stale_if_error(9 * SECOND)), Origin::new(Answer));
    let service = layer(&cache).layer(origin.service());
    call(&service, 7).await.unwrap();
    advance(2 * SECOND).await;
    origin.now(FailAfter(100 * MS));
    let answers = futures_util::future::join_all((0..10).map(|_| call(&service, 7))).await;
    assert!(answers.iter().all(|answer| *answer == Ok((1, Served::Stale(1100 * MS)))), "{answers:?}");
    assert_eq!((origin.calls(), cache.stats().stale), (2, 10));
    // And whoever comes while it is throttled, without another call.
    assert_eq!(call(&service, 7).await, Ok((1, Served::Stale(1100 * MS))));
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn c10_an_answer_that_a_rule_calls_a_failure_is_replaced_by_a_stale_value() {
    for apart in [false, true] {
        let start = Instant::now();
        let config = Config::default().ttl(SECOND).stale_if_error(9 * SECOND).retry_after(Duration::ZERO);
        let (cache, origin) = (pages(config), Origin::new(Answer));
        // Versions from 500 on are failures.
        let layer =
            layer(&cache).rule(|page| if page.version >= 500 { Fate::Failed } else { Fate::store().into() });
        let service = apart_if(apart, layer).layer(origin.service());
        let call = || call(&service, 7);
        call().await.unwrap();
        until(start, 1000).await;
        origin.say(500);
        origin.now(After(100 * MS));
        let answers = tokio::join!(call(), call());
        let stale = || Ok((1, Served::Stale(100 * MS)));
        assert_eq!(answers, (stale(), stale()), "apart: {apart}");
        assert_eq!((cache.stats().load_failures, cache.stats().stale), (1, 2), "apart: {apart}");
        until(start, 10_000).await;
        let answers = tokio::join!(call(), call());
        assert_eq!(answers, (Ok((500, Served::Loaded)), Ok((500, Served::Waited))), "apart: {apart}");
        assert_eq!(cache.stats().entries, 0, "it is not stored");
    }
}

/// All the ways in which a value of the key `user:7` goes.
type Invalidation = fn(&Cache<String, u64>);
const INVALIDATIONS: [(&str, Invalidation); 6] = [
    ("key", |cache| {
        cache.invalidate("user:7");
    }),
    ("tag", |cache| {
        cache.invalidate_tag("team:1");
    }),
    ("glob", |cache| {
        cache.invalidate_glob(&Glob::new("user:*").unwrap());
    }),
    ("keys", |cache| {
        cache.invalidate_keys(|key| key == "user:7");
    }),
    ("predicate", |cache| {
        cache.invalidate_if(|_, value| *value == 1);
    }),
    ("all", |cache| {
        cache.invalidate_all();
    }),
];

#[tokio::test(start_paused = true)]
async fn c10_what_was_invalidated_is_never_served_in_place_of_a_failure() {
    let load = |_: &String| async { Ok::<_, &str>(1) };
    let fails = |_: &String| async {
        sleep(100 * MS).await;
        Err::<u64, _>("failed")
    };
    let config = Config::default().ttl(SECOND).stale_if_error(100 * SECOND).stale_while_revalidate(SECOND);
    for (how, invalidate) in INVALIDATIONS {
        // Before the load that fails, and while it is under way.
        for meanwhile in [false, true] {
            let cache: Cache<String, u64> = Cache::new("users", config.clone());
            let loader = cache.loader().rule(|_: &u64| Fate::store().tag("team:1").into());
            let apart = loader.clone().background();
            loader.get_or_load("user:7".into(), load).await.unwrap();
            advance(3 * SECOND).await;
            if !meanwhile {
                invalidate(&cache);
            }
            let mut one = Box::pin(loader.get_or_load("user:7".into(), fails));
            let mut two = Box::pin(apart.get_or_load("user:7".into(), fails));
            assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
            if meanwhile {
                invalidate(&cache);
            }
            let (one, two) = tokio::join!(one, two);
            assert_eq!(one, Err(Error::Inner("failed")), "{how}, meanwhile: {meanwhile}");
            assert!(two.is_err(), "{how}, meanwhile: {meanwhile}");
            assert!(cache.get("user:7").is_none() && cache.stats().entries == 0, "{how}");
            // Nor is the failure remembered in any way.
            let again = apart.get_or_load("user:7".into(), load).await.unwrap();
            assert_eq!(again.served, Served::Loaded, "{how}, meanwhile: {meanwhile}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c13_a_hit_at_one_millisecond_less_than_its_time_and_a_miss_at_it() {
    let start = Instant::now();
    let (cache, origin) = (pages(Config::default().ttl(SECOND)), Origin::new(After(100 * MS)));
    let service = layer(&cache).layer(origin.service());
    // Its age counts from the end of its load.
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
    for at in [100, 1099] {
        until(start, at).await;
        assert_eq!(call(&service, 7).await, Ok((1, Served::Hit)), "{at}");
    }
    until(start, 1100).await;
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
}

#[tokio::test(start_paused = true)]
async fn c13_a_rule_gives_each_answer_a_time_of_its_own() {
    // Versions are seconds to live; 0 and 1000 are the ends.
    let start = Instant::now();
    let (cache, origin) = (pages(Config::default().ttl(Duration::MAX)), Origin::new(Answer));
    let rule = |page: &Page| {
        let ttl = if page.version == 1000 { Duration::MAX } else { page.version as u32 * SECOND };
        Fate::store().ttl(ttl).into()
    };
    let service = layer(&cache).rule(rule).layer(origin.service());
    for version in [0, 2, 5, 1000] {
        origin.say(version);
        assert_eq!(call(&service, version).await, Ok((version, Served::Loaded)));
    }
    assert_eq!((cache.stats().entries, cache.stats().too_heavy), (3, 0));
    for (at, there) in [(1999, 3), (2000, 2), (4999, 2), (5000, 1), (1_000_000_000, 1)] {
        until(start, at).await;
        let found = [0, 2, 5, 1000].into_iter().filter(|key| cache.get(key).is_some()).count();
        assert_eq!(found, there, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn c13_stale_times_of_an_entry_are_its_own() {
    let start = Instant::now();
    let config =
        Config::default().ttl(SECOND).stale_while_revalidate(100 * SECOND).retry_after(Duration::ZERO);
    let cache = numbers(config);
    let keep = |at_once: u32, on_error: u32| {
        Keep::default().stale_while_revalidate(at_once * SECOND).stale_if_error(on_error * SECOND)
    };
    cache.insert_with(1, 1, &keep(0, 0));
    cache.insert_with(2, 2, &keep(1, 0));
    cache.insert_with(3, 3, &keep(0, 2));
    cache.insert(4, 4);
    let fails = |_: &u64| async { Err::<u64, _>("failed") };
    for (at, at_once, on_error) in
        [(1000, [2, 4].as_slice(), [2, 3, 4].as_slice()), (2000, &[4], &[3, 4]), (3000, &[4], &[4])]
    {
        until(start, at).await;
        for key in 1..=4 {
            assert_eq!(cache.get(&key).is_some(), at_once.contains(&key), "{key} at {at}");
            assert_eq!(cache.get_or_load(key, fails).await.is_ok(), on_error.contains(&key), "{key} at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c13_a_time_of_zero_stores_nothing_and_still_shares() {
    let (cache, origin) = (pages(Config::default().ttl(Duration::ZERO)), Origin::new(After(MS)));
    let service = layer(&cache).layer(origin.service());
    let answers = tokio::join!(call(&service, 7), call(&service, 7));
    assert_eq!(answers, (Ok((1, Served::Loaded)), Ok((1, Served::Waited))));
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
    assert_eq!((origin.calls(), cache.stats().entries, cache.stats().inserted), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn c13_times_beyond_all_clocks_are_no_limit() {
    let long = Duration::from_secs(u64::MAX);
    let config = Config::default().ttl(long).idle_ttl(long).stale_if_error(Duration::MAX).jitter(Ratio::FULL);
    let cache = numbers(config.clone());
    cache.insert(1, 1);
    cache.insert_for(2, 2, long);
    let cached = numbers(config.ttl(SECOND).idle_ttl(Duration::MAX).stale_while_revalidate(Duration::MAX));
    cached.insert(3, 3);
    advance(1_000_000 * SECOND).await;
    assert!(cache.get(&1).is_some() && cache.get(&2).is_some());
    assert!(cached.get(&3).unwrap().served.is_stale());
}

#[tokio::test(start_paused = true)]
async fn c13_with_jitter_what_came_together_does_not_go_together() {
    const COUNT: usize = 10_000;
    for (jitter, least) in [(0, COUNT), (20, 0)] {
        let start = Instant::now();
        let config = Config::default().max_entries(entries(2 * COUNT)).ttl(100 * SECOND);
        let cache = numbers(config.jitter(Ratio::percent(jitter))).seed(1);
        for key in 0..COUNT as u64 {
            cache.insert(key, key);
        }
        until(start, 80_000).await;
        settle().await;
        assert_eq!(cache.stats().entries, COUNT, "no earlier than by a fifth");
        let mut gone = Vec::new();
        let mut before = COUNT;
        for second in 81..=102 {
            until(start, second * 1000 + 1).await;
            settle().await;
            let now = cache.stats().entries;
            gone.push(before - now);
            before = now;
        }
        assert_eq!((before, gone.iter().sum()), (0, COUNT), "none later than it was to");
        let most = gone.iter().max().copied().unwrap();
        if least > 0 {
            assert_eq!(most, least, "without jitter all at once");
        } else {
            // Twenty sweeps, 500 each but for chance.
            assert!(most < 700, "{gone:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c13_idle_time_begins_anew_with_every_hit_and_ends_exactly() {
    let start = Instant::now();
    let (cache, origin) =
        (pages(Config::default().ttl(Duration::MAX).idle_ttl(10 * SECOND)), Origin::new(Answer));
    let service = layer(&cache).layer(origin.service());
    for key in [7, 8] {
        call(&service, key).await.unwrap();
    }
    for at in [9999, 19_998, 29_997] {
        until(start, at).await;
        assert_eq!(call(&service, 7).await, Ok((1, Served::Hit)), "{at}");
    }
    settle().await;
    assert_eq!((cache.stats().entries, cache.stats().left.expired), (1, 1), "8 was swept");
    until(start, 39_996).await;
    assert_eq!(cache.get(&7).map(|found| found.served), Some(Served::Hit));
    until(start, 49_996).await;
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)), "gone at its end");
    sleep(12 * SECOND).await;
    assert_eq!((cache.stats().entries, cache.stats().left.expired), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn idle_time_does_not_make_a_value_fresh_for_longer() {
    let start = Instant::now();
    let cache = numbers(Config::default().ttl(15 * SECOND).idle_ttl(10 * SECOND));
    cache.insert(7, 1);
    until(start, 9999).await;
    assert!(cache.get(&7).is_some());
    until(start, 14_999).await;
    assert!(cache.get(&7).is_some());
    until(start, 15_000).await;
    assert!(cache.get(&7).is_none());
}

#[tokio::test(start_paused = true)]
async fn without_idle_times_any_more_what_is_asked_for_stays() {
    let cache = numbers(Config::default().ttl(Duration::MAX).idle_ttl(10 * SECOND));
    cache.insert(7, 1);
    cache.reconfigure(Config::default().ttl(Duration::MAX)).unwrap();
    for second in 1..30 {
        sleep(SECOND).await;
        assert!(cache.get(&7).is_some(), "asked for each second, gone after {second}");
    }
}
