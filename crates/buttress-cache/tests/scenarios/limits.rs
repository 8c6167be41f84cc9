//! Limits, and what changes when they do; ageing.

use super::*;
use buttress_cache::{Found, Keep, Policy};

const POLICIES: [Policy; 5] = [Policy::Drf, Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];

fn lasting(most: usize) -> Config {
    Config::default().max_entries(entries(most)).ttl(Duration::MAX)
}

#[test]
fn a_limit_that_shrinks_holds_at_once_and_what_goes_is_counted() {
    for policy in POLICIES {
        let cache = numbers(lasting(10_000)).policy(policy);
        for key in 0..5000 {
            cache.insert(key, key);
        }
        assert_eq!(cache.stats().entries, 5000, "{policy:?}");
        cache.reconfigure(lasting(1000)).unwrap();
        let stats = cache.stats();
        assert!(stats.entries <= 1000 && stats.entries >= 900, "{policy:?}: {stats:?}");
        assert_eq!(stats.left.size, 5000 - stats.entries as u64, "{policy:?}");
        assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total(), "{policy:?}");
        for key in 10_000..15_000 {
            cache.insert(key, key);
            assert!(cache.stats().entries <= 1000, "{policy:?}");
        }
        cache.reconfigure(lasting(10_000)).unwrap();
        for key in 20_000..25_000 {
            cache.insert(key, key);
        }
        let entries = cache.stats().entries;
        assert!((5500..=6000).contains(&entries), "{policy:?}: {entries} after it grew");
    }
}

#[test]
fn a_limit_on_weight_can_come_change_and_go() {
    let weighed = |most: Option<u64>| lasting(10_000).max_weight(most.map(weight));
    let cache = numbers(weighed(Some(100_000))).weigh(|_, value| *value);
    for key in 0..1000 {
        cache.insert(key, 50);
    }
    assert_eq!((cache.stats().weight, cache.stats().entries), (50_000, 1000));
    cache.reconfigure(weighed(Some(10_000))).unwrap();
    let stats = cache.stats();
    assert!(stats.weight <= 10_000 && stats.weight >= 9000, "{stats:?}");
    assert_eq!(stats.left.size, 1000 - stats.entries as u64);
    assert!(cache.insert(5000, 10_000), "as much as the whole cache");
    assert_eq!((cache.stats().weight, cache.stats().entries), (10_000, 1));
    assert!(!cache.insert(5001, 10_001));
    // Less than there are shards.
    cache.reconfigure(weighed(Some(1))).unwrap();
    assert_eq!(cache.stats().entries, 0);
    for key in 0..100 {
        assert!(cache.insert(key, 1));
        assert_eq!(cache.stats().weight, 1);
    }
    // Without one, each weighs one.
    cache.reconfigure(weighed(None)).unwrap();
    for key in 0..1000 {
        assert!(cache.insert(key, 1_000_000));
    }
    assert_eq!(cache.stats().entries as u64, cache.stats().weight);
    assert!(cache.stats().entries >= 1000);
    // And with one again, what is put in weighs what it weighs.
    cache.reconfigure(weighed(Some(2000))).unwrap();
    cache.insert(7, 1500);
    assert!(cache.stats().weight <= 2000);
    cache.invalidate_all();
    assert_eq!((cache.stats().weight, cache.stats().entries), (0, 0));
}

#[test]
fn fewer_entries_than_shards_are_refused_and_nothing_changes() {
    let cache = numbers(lasting(100_000));
    cache.insert(7, 7);
    let error = cache.reconfigure(lasting(1).ttl(SECOND)).unwrap_err().to_string();
    let shards: usize = error
        .strip_prefix("max_entries 1 is less than the cache's ")
        .and_then(|rest| rest.strip_suffix(" shards, which cannot change"))
        .unwrap_or_else(|| panic!("{error}"))
        .parse()
        .unwrap();
    assert!(shards.is_power_of_two() && shards > 1, "{error}");
    assert_eq!(cache.config(), lasting(100_000));
    assert!(cache.get(&7).is_some());
    assert!(cache.reconfigure(lasting(shards - 1)).is_err());
    cache.reconfigure(lasting(shards)).unwrap();
    for key in 0..1000 {
        cache.insert(key, key);
        assert!(cache.stats().entries <= shards);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_time_to_live_is_for_what_is_put_in_after_it() {
    let start = Instant::now();
    let cache = numbers(Config::default().ttl(10 * SECOND));
    cache.insert(1, 1);
    cache.reconfigure(Config::default().ttl(SECOND)).unwrap();
    cache.insert(2, 2);
    cache.reconfigure(Config::default().ttl(Duration::MAX)).unwrap();
    cache.insert(3, 3);
    for (at, there) in [(999, vec![1, 2, 3]), (1000, vec![1, 3]), (9999, vec![1, 3]), (10_000, vec![3])] {
        until(start, at).await;
        let found: Vec<_> = (1..=3).filter(|key| cache.get(key).is_some()).collect();
        assert_eq!(found, there, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_ends_by_the_configuration_of_its_end() {
    let start = Instant::now();
    let (cache, origin) = (numbers(Config::default().ttl(10 * SECOND)), Origin::new(After(SECOND)));
    let load = cache.get_or_load(7, |key: &u64| origin.ask(*key));
    let change = async {
        sleep(500 * MS).await;
        cache.reconfigure(Config::default().ttl(2 * SECOND)).unwrap();
    };
    let (found, ()) = tokio::join!(load, change);
    assert_eq!(found.unwrap().value, 1);
    until(start, 2999).await;
    assert!(cache.get(&7).is_some());
    until(start, 3000).await;
    assert!(cache.get(&7).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_not_needed_can_be_needed_later() {
    let cache = numbers(Config::default().ttl(Duration::MAX));
    cache.insert(1, 1);
    assert_eq!(tasks(), 0, "nothing to sweep");
    cache.reconfigure(Config::default().ttl(SECOND)).unwrap();
    cache.insert(2, 2);
    sleep(5 * SECOND).await;
    assert_eq!((cache.stats().entries, cache.stats().left.expired), (1, 1));
    assert_eq!(cache.get(&1).map(Found::into_value), Some(1));
}

#[test]
fn c22_what_weighs_more_than_anything_may_evicts_nobody() {
    // A policy counts weights up to 2⁴⁰: more than that is too heavy wherever there is room for it.
    let config = lasting(100_000).max_weight(weight(1 << 42));
    let cache = numbers(config).weigh(|_, value| *value);
    for key in 0..1 << 10 {
        cache.insert(key, 1 << 32);
    }
    let before = cache.stats();
    assert!(!cache.insert(10_000, 1 << 40));
    let after = cache.stats();
    assert_eq!((after.too_heavy, after.entries), (1, before.entries), "{after:?}");
    assert_eq!(after.left.size, before.left.size);
}

#[tokio::test(start_paused = true)]
async fn c22_what_is_too_heavy_is_answered_not_stored_and_evicts_nobody() {
    // So few entries are in one shard, and the weight is exact.
    let config = Config::default().max_entries(entries(100)).max_weight(weight(1000));
    let cache = Cache::new("heavy", config).weigh(|_: &u64, page: &Page| page.version);
    let origin = Origin::new(After(MS));
    let service = {
        use tower::Layer;
        layer(&cache).layer(origin.service())
    };
    for key in 0..10 {
        origin.say(100);
        call(&service, key).await.unwrap();
    }
    origin.say(1001);
    let answers = tokio::join!(call(&service, 77), call(&service, 77));
    assert_eq!(answers, (Ok((1001, Served::Loaded)), Ok((1001, Served::Waited))));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.weight, stats.too_heavy, stats.left.total()), (10, 1000, 1, 0));
    // One that grows too heavy takes its older value with it.
    advance(301 * SECOND).await;
    assert_eq!(call(&service, 1).await, Ok((1001, Served::Loaded)));
    assert!(cache.get(&1).is_none());
}

#[test]
fn c22_weights_of_zero_and_values_that_grow_keep_the_limits() {
    let cache = numbers(lasting(100).max_weight(weight(1000))).weigh(|_, value| *value);
    for key in 0..1000 {
        cache.insert(key, 0);
        assert!(cache.stats().entries <= 100);
    }
    cache.invalidate_all();
    for round in 0..100 {
        for key in 0..20 {
            cache.insert(key, round);
            let stats = cache.stats();
            assert!(stats.weight <= 1000 && stats.entries <= 100, "{stats:?}");
        }
    }
    let stats = cache.stats();
    assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total());
    assert!(stats.left.size > 0 && stats.left.replaced > 0, "{stats:?}");
}

#[test]
fn c23_a_value_that_is_replaced_is_no_eviction() {
    for policy in POLICIES {
        let cache = numbers(lasting(100)).policy(policy);
        for round in 0..10 {
            for key in 0..100 {
                cache.insert_with(key, round, &Keep::default().tag("all"));
            }
        }
        let left = cache.stats().left;
        assert_eq!((left.size, left.replaced, left.explicit, left.expired), (0, 900, 0, 0), "{policy:?}");
        assert_eq!(cache.invalidate_tag("all"), 100, "{policy:?}");
        assert_eq!((cache.stats().weight, cache.stats().left.explicit), (0, 100), "{policy:?}");
    }
}

#[test]
fn c25_what_was_hot_leaves_when_something_else_is() {
    const CAPACITY: u64 = 1000;
    for policy in POLICIES {
        let cache = numbers(lasting(CAPACITY as usize)).policy(policy);
        let ask = |key| {
            let is_hit = cache.get(&key).is_some();
            if !is_hit {
                cache.insert(key, key);
            }
            is_hit
        };
        for _ in 0..100 {
            (0..CAPACITY / 2).for_each(|key| {
                ask(key);
            });
        }
        // Ten times as many accesses as it holds entries, to other keys, which all fit in.
        let new = |round: u64| 10_000 + round * 7919 % (CAPACITY * 8 / 10);
        for round in 0..10 * CAPACITY {
            ask(new(round));
        }
        let hits = (0..CAPACITY).filter(|round| ask(new(*round))).count() as u64;
        assert!(hits >= CAPACITY * 3 / 4, "{policy:?}: {hits} hits of {CAPACITY}");
    }
}

#[test]
fn a_full_cache_leaves_it_to_its_policy_who_goes() {
    // A loop over a few more keys than fit in: who admits by frequency keeps many of them, and who evicts
    // before it asks keeps none.
    for (policy, least) in [(Policy::Lfu, 50), (Policy::Drf, 30)] {
        let cache = numbers(lasting(100)).policy(policy);
        let round = || (0..110).filter(|key| cache.get(key).is_some() || !cache.insert(*key, *key)).count();
        let hits: Vec<_> = (0..50).map(|_| round()).collect();
        assert!(hits[40..].iter().all(|hits| *hits >= least), "{policy:?}: {hits:?}");
    }
}
