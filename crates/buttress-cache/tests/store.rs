//! What the store promises: its limits at every moment, exact times, exact counts.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_cache::{Cache, Config, Found, Policy};
use buttress_core::Inspect;
use proptest::prelude::*;
use std::cell::Cell;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{advance, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const POLICIES: [Policy; 5] = [Policy::Drf, Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];

fn entries(most: usize) -> Config {
    Config::default().max_entries(NonZeroUsize::new(most).unwrap()).ttl(Duration::MAX)
}

fn weighing(most: usize, weight: u64) -> Config {
    entries(most).max_weight(NonZeroU64::new(weight))
}

/// Values that are their own weight.
fn weighed(most: usize, weight: u64, policy: Policy) -> Cache<u64, u64> {
    Cache::new("weighed", weighing(most, weight)).policy(policy).weigh(|_, value| *value)
}

#[test]
fn a_value_is_found_by_a_borrowed_key_until_it_is_invalidated() {
    let cache: Cache<String, u32> = Cache::new("names", entries(10));
    cache.insert("seven".into(), 7);
    assert_eq!(
        (cache.get("seven").map(Found::into_value), cache.get("eight").map(Found::into_value)),
        (Some(7), None)
    );
    assert_eq!((cache.invalidate("seven"), cache.invalidate("seven")), (Some(7), None));
    assert_eq!(cache.get("seven").map(Found::into_value), None);
}

#[test]
fn clones_are_one_cache_and_two_caches_are_two() {
    let one: Cache<u8, u8> = Cache::new("one", entries(10));
    let (same, other) = (one.clone(), Cache::<u8, u8>::new("one", entries(10)));
    one.insert(1, 1);
    assert_eq!((same.get(&1).map(Found::into_value), other.get(&1).map(Found::into_value)), (Some(1), None));
    assert_eq!((one.kind(), one.name().as_str()), ("cache", "one"));
}

#[test]
fn the_limit_on_entries_holds_for_every_policy_and_any_number_of_shards() {
    for policy in POLICIES {
        for most in [1, 2, 100, 511, 512, 5000] {
            let cache = Cache::new("many", entries(most)).policy(policy);
            for key in 0..3 * most as u64 {
                cache.insert(key, ());
                assert!(cache.stats().entries <= most, "{policy:?} {most}");
            }
            assert!(
                cache.stats().entries * 10 >= most * 9,
                "{policy:?}: {} of {most}",
                cache.stats().entries
            );
        }
    }
}

#[test]
fn one_entry_may_weigh_as_much_as_the_whole_cache_and_no_more() {
    for policy in POLICIES {
        let cache = weighed(5000, 5000, policy);
        // So few that no shard is full, however the keys fall.
        for key in 0..3000 {
            cache.insert(key, 1);
        }
        assert!(!cache.insert(10_000, 5001));
        let stats = cache.stats();
        assert_eq!((stats.too_heavy, stats.entries, stats.left.size), (1, 3000, 0), "it evicts nobody");
        assert!(cache.insert(10_001, 5000), "{policy:?}");
        assert_eq!(
            (cache.get(&10_001).map(Found::into_value), cache.stats().weight),
            (Some(5000), 5000),
            "{policy:?}"
        );
        for key in 0..4000 {
            cache.insert(key, 1);
            assert!(cache.stats().weight <= 5000);
        }
    }
}

#[test]
fn a_heavy_entry_is_not_evicted_for_a_light_one_while_others_can_go() {
    let cache = weighed(5000, 5000, Policy::Lru);
    for key in 0..5000 {
        cache.insert(key, 1);
    }
    cache.insert(10_000, 4000);
    for key in 0..500 {
        cache.insert(20_000 + key, 1);
        assert_eq!(cache.get(&10_000).map(Found::into_value), Some(4000), "after {key} light ones");
    }
}

#[test]
fn a_value_that_may_not_be_stored_takes_the_older_one_with_it() {
    let cache = weighed(10, 10, Policy::Lru);
    cache.insert(1, 5);
    assert!(!cache.insert(1, 11));
    assert_eq!((cache.get(&1).map(Found::into_value), cache.stats().left.replaced), (None, 1));
    cache.insert(1, 5);
    assert!(!cache.insert_for(1, 5, Duration::ZERO));
    assert_eq!((cache.get(&1).map(Found::into_value), cache.stats().too_heavy), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_until_its_time_and_not_at_it() {
    let cache = Cache::new("timed", entries(10).ttl(SECOND));
    cache.insert(1, ());
    cache.insert_for(2, (), 2 * SECOND);
    cache.insert_for(3, (), Duration::MAX);
    advance(SECOND - MS).await;
    assert!(cache.get(&1).is_some());
    advance(MS).await;
    assert!(cache.get(&1).is_none());
    assert!(cache.get(&2).is_some());
    advance(SECOND).await;
    assert_eq!(
        (cache.get(&2).map(Found::into_value), cache.get(&3).map(Found::into_value)),
        (None, Some(()))
    );
    assert_eq!(cache.stats().left.expired, 2);
}

#[tokio::test(start_paused = true)]
async fn expired_entries_go_without_traffic_and_the_sweeper_with_the_last_handle() {
    let cache = Cache::new("swept", entries(10_000).ttl(10 * SECOND));
    for key in 0..5000 {
        cache.insert(key, ());
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 1);
    sleep(9 * SECOND).await;
    assert_eq!(cache.stats().entries, 5000);
    sleep(3 * SECOND).await;
    assert_eq!((cache.stats().entries, cache.stats().left.expired), (0, 5000));
    let clone = cache.clone();
    drop(cache);
    sleep(3 * SECOND).await;
    assert_eq!(tasks(), 1);
    drop(clone);
    sleep(3 * SECOND).await;
    assert_eq!(tasks(), 0);
}

#[test]
fn a_sweeper_that_ends_with_its_runtime_is_followed_by_another() {
    let cache = Cache::new("swept", entries(100).ttl(SECOND));
    for _ in 0..2 {
        let runtime = buttress_testkit::time::paused();
        runtime.block_on(async {
            cache.insert(1, ());
            sleep(5 * SECOND).await;
            assert_eq!(cache.stats().entries, 0);
        });
    }
}

#[test]
fn without_a_runtime_what_has_expired_is_freed_when_it_is_found() {
    let cache = Cache::new("lazy", entries(10).ttl(Duration::from_nanos(1)));
    cache.insert(1, ());
    while cache.get(&1).is_some() {}
    assert_eq!((cache.stats().entries, cache.stats().left.expired), (0, 1));
}

#[test]
fn what_is_invalidated_by_a_predicate_is_counted() {
    let cache = Cache::new("evens", entries(4000));
    for key in 0..1000_u64 {
        cache.insert(key, key);
    }
    assert_eq!(cache.invalidate_if(|key, _| key % 2 == 0), 500);
    assert_eq!((cache.get(&2).map(Found::into_value), cache.get(&3).map(Found::into_value)), (None, Some(3)));
    assert_eq!(cache.invalidate_all(), 500);
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.weight, stats.left.explicit), (0, 0, 1000));
}

#[test]
fn values_are_dropped_after_the_lock() {
    #[derive(Clone)]
    struct Looks(Arc<Cache<u64, Looks>>);
    thread_local!(static DROPS: Cell<u64> = const { Cell::new(0) });
    impl Drop for Looks {
        fn drop(&mut self) {
            let _ = self.0.stats(); // would wait for ever
            DROPS.set(DROPS.get() + 1);
        }
    }
    let cache = Arc::new(Cache::new("looks", entries(2)));
    for key in [1, 1, 2, 3, 4] {
        cache.insert(key, Looks(Arc::clone(&cache)));
    }
    cache.invalidate(&4);
    cache.invalidate_all();
    assert_eq!(DROPS.get(), 5);
}

#[test]
fn the_limit_holds_while_threads_put_in_light_and_heavy_ones() {
    const LIMIT: u64 = 4096;
    for policy in [Policy::Drf, Policy::Lru] {
        let cache = weighed(4096, LIMIT, policy);
        let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2_u64)
                .map(|thread| {
                    let cache = &cache;
                    scope.spawn(move || {
                        for round in 0..5_000_u64 {
                            let weight = if round % 50 == 0 { 1 + round % LIMIT } else { 1 + round % 7 };
                            cache.insert((thread << 32) + round % 3000, weight);
                            if round % 500 == 0 {
                                cache.invalidate_if(|key, _| key % 3 == 0);
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    seen.fetch_max(cache.stats().weight, Ordering::Relaxed);
                }
            });
            for thread in threads {
                thread.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let stats = cache.stats();
        assert!(stats.weight <= LIMIT, "{stats:?}");
        assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total());
        assert_eq!(stats.inserted + stats.too_heavy, 10_000);
        // Shards are read one after the other, so what moves between them may be seen twice; never much.
        assert!(seen.load(Ordering::Relaxed) <= 2 * LIMIT);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens: no limit is broken, what was put in and has not left is there, and the counts agree.
    #[test]
    fn nothing_is_lost_and_nothing_is_too_much(
        policy in prop::sample::select(POLICIES.to_vec()),
        most in 1_usize..700,
        limit in 1_u64..1500,
        steps in prop::collection::vec((0_u8..10, 0_u64..300, 0_u64..200), 0..300),
    ) {
        let cache = weighed(most, limit, policy);
        let (mut gets, mut inserts) = (0, 0);
        let mut newest = std::collections::HashMap::new();
        for (what, key, value) in steps {
            match what {
                0..=4 => {
                    inserts += 1;
                    let stored = cache.insert(key, value);
                    prop_assert_eq!(stored, value <= limit);
                    prop_assert_eq!(cache.get(&key).map(Found::into_value), stored.then_some(value));
                    gets += 1;
                    newest.insert(key, value);
                }
                5..=7 => {
                    gets += 1;
                    if let Some(found) = cache.get(&key).map(Found::into_value) {
                        prop_assert_eq!(Some(&found), newest.get(&key), "an older value came back");
                    }
                }
                8 => {
                    cache.invalidate(&key);
                    newest.remove(&key);
                }
                _ => {
                    cache.invalidate_if(|other, _| *other >= key);
                    newest.retain(|other, _| *other < key);
                }
            }
            let stats = cache.stats();
            prop_assert!(stats.entries <= most && stats.weight <= limit, "{:?}", stats);
            prop_assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total());
            prop_assert_eq!((stats.hits + stats.misses, stats.inserted + stats.too_heavy), (gets, inserts));
        }
    }
}
