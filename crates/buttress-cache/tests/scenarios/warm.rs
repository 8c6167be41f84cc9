//! Loading many keys in advance.

use super::*;
use buttress_cache::Found;
use futures_util::FutureExt;
use futures_util::future::join_all;

fn at_a_time(count: usize) -> NonZeroUsize {
    entries(count)
}

#[tokio::test(start_paused = true)]
async fn so_many_loads_run_at_a_time_and_no_more() {
    let (cache, origin) = (numbers(Config::default()), Origin::new(After(10 * MS)));
    let begun = Instant::now();
    let warmed = cache.warm(0..100, at_a_time(7), |key: &u64| origin.ask(*key)).await;
    assert_eq!((warmed.loaded, warmed.present, warmed.failed), (100, 0, 0));
    assert_eq!((origin.calls(), origin.most(), begun.elapsed()), (100, 7, 150 * MS));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.loads, stats.hits + stats.misses, stats.coalesced), (100, 100, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_newer_stays() {
    let (cache, origin) = (numbers(Config::default()), Origin::new(After(10 * MS)));
    cache.insert(1, 90);
    let meanwhile = async {
        sleep(5 * MS).await;
        cache.insert(2, 91);
        cache.invalidate(&3);
    };
    let warming = cache.warm(1..=4, at_a_time(10), |key: &u64| origin.ask(*key));
    let (warmed, ()) = tokio::join!(warming, meanwhile);
    assert_eq!((warmed.loaded, warmed.present, origin.calls()), (3, 1, 3));
    let found: Vec<_> = (1..=4).map(|key| cache.get(&key).map(Found::into_value)).collect();
    assert_eq!(found, [Some(90), Some(91), None, Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_and_the_first_is_told() {
    let cache = numbers(Config::default());
    let load = |key: &u64| {
        let key = *key;
        async move {
            sleep(Duration::from_millis(100 - key)).await;
            if key % 3 == 0 { Err(format!("{key} failed")) } else { Ok(key) }
        }
    };
    let warmed = cache.warm(0..10, at_a_time(10), load).await;
    assert_eq!((warmed.loaded, warmed.present, warmed.failed), (6, 0, 4));
    assert_eq!(warmed.error, Some(Error::Inner("9 failed".into())), "the first in time");
    assert_eq!((cache.stats().load_failures, cache.stats().loading, cache.stats().entries), (4, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_somebody_loads_and_a_key_that_is_there_twice_are_loaded_once() {
    let (cache, origin) = (numbers(Config::default()), Origin::new(After(10 * MS)));
    let mut caller = Box::pin(cache.get_or_load(7, |key: &u64| origin.ask(*key)));
    assert!((&mut caller).now_or_never().is_none());
    let warming = cache.warm([7, 8, 8, 8], at_a_time(4), |key: &u64| origin.ask(*key));
    let (found, warmed) = tokio::join!(caller, warming);
    assert_eq!(found.unwrap().served, Served::Loaded);
    assert_eq!((warmed.loaded, warmed.present, warmed.failed, origin.calls()), (1, 3, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn dropped_half_way_it_keeps_what_was_loaded_and_hands_over_the_rest() {
    let (cache, origin) = (numbers(Config::default()), Origin::new(After(10 * MS)));
    let mut warming = Box::pin(cache.warm(0..10, at_a_time(2), |key: &u64| origin.ask(*key)));
    for _ in 0..2 {
        assert!((&mut warming).now_or_never().is_none());
        advance(10 * MS).await;
    }
    assert!((&mut warming).now_or_never().is_none());
    let waits: Vec<_> = (4..6).map(|key| cache.get_or_load(key, |key: &u64| origin.ask(*key))).collect();
    let mut waits = Box::pin(join_all(waits));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!((cache.stats().entries, cache.stats().loading), (4, 2));
    drop(warming);
    assert_eq!((origin.running(), cache.stats().entries), (0, 4));
    let found = waits.await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().served == Served::Loaded), "{found:?}");
    assert_eq!((cache.stats().entries, cache.stats().loading, origin.calls()), (6, 0, 8));
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_is_loaded_again() {
    let config = Config::default().ttl(SECOND).stale_while_revalidate(10 * SECOND);
    let (cache, origin) = (numbers(config), Origin::new(Answer));
    cache.insert(7, 90);
    advance(2 * SECOND).await;
    let warmed = cache.warm([7], at_a_time(1), |key: &u64| origin.ask(*key)).await;
    assert_eq!((warmed.loaded, cache.get(&7).map(Found::into_value)), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_where_something_stale_is_there_is_a_failure() {
    let config = Config::default().ttl(SECOND).stale_if_error(10 * SECOND);
    let (cache, origin) = (numbers(config), Origin::new(Fail));
    cache.insert(7, 90);
    advance(2 * SECOND).await;
    let warmed = cache.warm([7], at_a_time(1), |key: &u64| origin.ask(*key)).await;
    assert_eq!((warmed.loaded, warmed.present, warmed.failed), (0, 0, 1));
}
