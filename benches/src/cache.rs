//! `buttress-cache`.

use crate::stampede::{Stampede, finish, later, soon};
use crate::{Contender, Fact, Fails, Inner, Small, measure};
use buttress_cache::{Cache, CacheLayer, Config, Fate, Policy};
use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

/// A hit in the store.
pub const GET: &str = "buttress: get";
/// A hit, with a clock read.
pub const GET_TTL: &str = "buttress: get, TTL";
/// A hit by a borrowed `String`, whose value is an `Arc`.
pub const GET_TEXT: &str = "buttress: get, String to Arc";
/// A new key in a full cache.
pub const PUT: &str = "buttress: put, Drf";
/// [`PUT`] under LRU.
pub const PUT_LRU: &str = "buttress: put, Lru";
/// A hit, or a miss and its insertion, by Zipf's law.
pub const MIXED: &str = "buttress: zipf, get or put";
/// A hit of `get_or_load`.
pub const LOAD_HIT: &str = "buttress: load, hit";
/// A load that answers at once, and an invalidation of what it brought.
pub const LOAD_MISS: &str = "buttress: load, invalidate";
/// A hit through the layer.
pub const HIT: &str = "buttress: layer, hit";
/// [`HIT`], with a clock read.
pub const HIT_TTL: &str = "buttress: layer, hit, TTL";
/// [`HIT`] by a borrowed `String`, whose value is an `Arc`.
pub const HIT_TEXT: &str = "buttress: layer, hit, String";
/// A call through the layer for which nothing is there, and of which nothing is stored.
pub const MISS: &str = "buttress: layer, miss";
/// A thousand callers and one load.
pub const STAMPEDE: &str = "buttress: 1000 callers";

/// How many keys the caches hold that only hit ..
pub const RESIDENT: u64 = 4096;
/// .. and how many they may hold: who has shards loses none.
pub const CAPACITY: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// How long an entry lives where the clock is read.
pub const TTL: Duration = Duration::from_secs(300);
/// How many entries the cache may hold that is asked by Zipf's law.
pub const MIXED_CAPACITY: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

const POLICIES: [(Policy, &str, &str); 5] = [
    (Policy::Drf, PUT, "buttress: Drf"),
    (Policy::S3Fifo, "buttress: put, S3Fifo", "buttress: S3Fifo"),
    (Policy::Lfu, "buttress: put, Lfu", "buttress: Lfu"),
    (Policy::Lru, PUT_LRU, "buttress: Lru"),
    (Policy::Fifo, "buttress: put, Fifo", "buttress: Fifo"),
];

/// Our stores, loads and layers.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    // Which keys the default policy samples, and so how many, is up to the seed of the hash: `unsampled` is gated
    // instead.
    let mut contenders = vec![
        get(GET, Policy::Drf, Duration::MAX).ungated(),
        get("buttress: get, S3Fifo", Policy::S3Fifo, Duration::MAX),
        get("buttress: get, Lru", Policy::Lru, Duration::MAX),
        get(GET_TTL, Policy::Drf, TTL).ungated(),
        get_text(GET_TEXT, Policy::Drf).ungated(),
    ];
    contenders.extend(POLICIES.map(|(policy, name, _)| {
        let put = put(name, policy);
        if policy == Policy::Drf { put.ungated() } else { put }
    }));
    contenders.extend([
        // Whatever the policy, which shard is full is up to the seed too.
        Contender::operation(
            MIXED,
            || {
                let cache = cache(Policy::Drf, MIXED_CAPACITY, Duration::MAX);
                warm(|key| get_or_put(&cache, key));
                cache
            },
            |cache, n| get_or_put(cache, zipf(n)),
        )
        .ungated(),
        load_hit(LOAD_HIT, Policy::Drf).ungated(),
        load_miss(LOAD_MISS, Policy::Drf).ungated(),
        hit(HIT, Policy::Drf, Duration::MAX).ungated(),
        hit(HIT_TTL, Policy::Drf, TTL).ungated(),
        hit_text(HIT_TEXT, Policy::Drf).ungated(),
        Contender::new("buttress: layer, hit, background", || {
            let cache = resident(Policy::Drf, TTL);
            CacheLayer::new(&cache, |n: &u64| Some(key(*n))).background().layer(inner())
        })
        .ungated(),
        miss(MISS, Policy::Drf, false).ungated(),
        miss("buttress: layer, miss, stored", Policy::Drf, true).ungated(),
        stampede(STAMPEDE, Policy::Drf).ungated(),
    ]);
    contenders
}

/// What [`contenders`] do under the default policy, under one that takes no samples: these cost the same on every
/// run, whatever the seed of the hash.
#[must_use]
pub fn unsampled() -> Vec<Contender> {
    vec![
        get("buttress: get, TTL, S3Fifo", Policy::S3Fifo, TTL),
        get_text("buttress: get, String to Arc, S3Fifo", Policy::S3Fifo),
        load_hit("buttress: load, hit, S3Fifo", Policy::S3Fifo),
        load_miss("buttress: load, invalidate, S3Fifo", Policy::S3Fifo),
        hit("buttress: layer, hit, S3Fifo", Policy::S3Fifo, Duration::MAX),
        hit("buttress: layer, hit, TTL, S3Fifo", Policy::S3Fifo, TTL),
        hit_text("buttress: layer, hit, String, S3Fifo", Policy::S3Fifo),
        miss("buttress: layer, miss, S3Fifo", Policy::S3Fifo, false),
        miss("buttress: layer, miss, stored, S3Fifo", Policy::S3Fifo, true),
        stampede("buttress: 1000 callers, S3Fifo", Policy::S3Fifo),
    ]
}

fn inner() -> Inner<Small> {
    Inner::new(Fails::Never)
}

fn hit(name: &'static str, policy: Policy, ttl: Duration) -> Contender {
    Contender::new(name, move || {
        CacheLayer::new(&resident(policy, ttl), |n: &u64| Some(key(*n))).layer(inner())
    })
}

fn hit_text(name: &'static str, policy: Policy) -> Contender {
    Contender::new(name, move || {
        let (cache, texts) = (cache::<String, Arc<[u8]>>(policy, CAPACITY, Duration::MAX), Texts::new());
        for (text, page) in texts.entries() {
            cache.insert(text, page);
        }
        let layer = CacheLayer::by_ref(&cache, |text: &Text| Some(text.as_str()));
        asked(texts, layer.layer(pages::<Small>()))
    })
}

fn miss(name: &'static str, policy: Policy, is_stored: bool) -> Contender {
    Contender::new(name, move || {
        let cache = cache(policy, CAPACITY, Duration::MAX);
        fill(|key| cache.insert(key, key));
        CacheLayer::new(&cache, |n: &u64| Some(*n))
            .rule(move |_: &u64| if is_stored { Fate::store().into() } else { Fate::Share })
            .layer(inner())
    })
}

fn get(name: &'static str, policy: Policy, ttl: Duration) -> Contender {
    let resident = move || resident(policy, ttl);
    Contender::operation(name, resident, |cache, n| {
        black_box(cache.get(&key(n)).is_some());
    })
}

fn get_text(name: &'static str, policy: Policy) -> Contender {
    let resident = move || {
        let (cache, texts) = (cache(policy, CAPACITY, Duration::MAX), Texts::new());
        for (text, page) in texts.entries() {
            cache.insert(text, page);
        }
        (cache, texts)
    };
    Contender::operation(name, resident, |(cache, texts), n| {
        black_box(cache.get(texts.at(n)).is_some());
    })
}

fn put(name: &'static str, policy: Policy) -> Contender {
    let full = move || {
        let cache = cache(policy, CAPACITY, Duration::MAX);
        fill(|key| cache.insert(key, key));
        cache
    };
    Contender::operation(name, full, |cache, n| {
        black_box(cache.insert(n, n));
    })
}

fn load_hit(name: &'static str, policy: Policy) -> Contender {
    let resident = move || resident(policy, Duration::MAX);
    Contender::future(name, resident, async |cache, n| {
        black_box(cache.get_or_load(key(n), load).await.is_ok());
    })
}

fn load_miss(name: &'static str, policy: Policy) -> Contender {
    let empty = move || cache(policy, CAPACITY, Duration::MAX);
    Contender::future(name, empty, async |cache, n| {
        black_box(cache.get_or_load(n, load).await.is_ok());
        black_box(cache.invalidate(&n));
    })
}

fn stampede(name: &'static str, policy: Policy) -> Contender {
    let loaded = move || {
        let cache = cache(policy, CAPACITY, Duration::MAX);
        // So that no shard has its first load while it is measured.
        residents(|key| finish(cache.get_or_load(key + (1 << 60), load)).is_ok());
        cache
    };
    Contender::stampede(name, loaded, |cache, n| {
        let cache = cache.clone();
        async move { cache.get_or_load(n, |&key| soon(Ok::<_, Infallible>(key))).await.is_ok() }
    })
}

/// What our caches hold and take in.
#[must_use]
pub fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    for (policy, _, name) in POLICIES {
        let many = move || {
            let (cache, held) = measure::held(|| {
                let cache = cache(policy, MANY, Duration::MAX);
                crowd(|key| cache.insert(key, key));
                cache
            });
            let stats = cache.stats();
            (per_entry(held, stats.entries as u64), stats.weight as f64 / stats.entries as f64)
        };
        facts.push(Fact::new(name, BYTES, move || many().0));
        facts.push(Fact::new(name, CLAIMED, move || Some(many().1)));
        facts.push(Fact::new(name, LARGEST, move || {
            Some(largest(|weight| {
                let config = Config::default().max_weight(NonZeroU64::new(WEIGHT_LIMIT));
                let cache = Cache::<u64, u64>::new("bench", config).policy(policy).weigh(|_, &weight| weight);
                cache.insert(0, weight);
                cache.get(&0).is_some()
            }))
        }));
    }
    facts.push(Fact::new(STAMPEDE, POLLS, || {
        let cache = cache(Policy::Drf, CAPACITY, Duration::MAX);
        let call = || {
            let cache = cache.clone();
            async move { cache.get_or_load(0, |&key| later(Ok::<_, Infallible>(key))).await.is_ok() }
        };
        Some(Stampede::new().run(call) as f64)
    }));
    facts
}

fn cache<K, V>(policy: Policy, capacity: NonZeroUsize, ttl: Duration) -> Cache<K, V>
where
    K: Send + Sync + 'static,
    V: Send + 'static,
{
    Cache::new("bench", Config::default().max_entries(capacity).ttl(ttl)).policy(policy)
}

fn resident(policy: Policy, ttl: Duration) -> Cache<u64, u64> {
    let cache = cache(policy, CAPACITY, ttl);
    residents(|key| cache.insert(key, key));
    cache
}

fn get_or_put(cache: &Cache<u64, u64>, key: u64) {
    if black_box(cache.get(&key).is_none()) {
        cache.insert(key, key);
    }
}

fn load(&key: &u64) -> std::future::Ready<Result<u64, Infallible>> {
    ready(Ok(key))
}

/// The key of a call that hits: [`RESIDENT`] of them, in no order that a processor could foresee.
#[must_use]
#[inline]
pub fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RESIDENT.ilog2())
}

/// Puts in what [`key`] asks for.
pub fn residents<T>(put: impl FnMut(u64) -> T) {
    (0..RESIDENT).map(put).for_each(drop);
}

/// Puts in twice as much as [`CAPACITY`], and nothing that a call puts in.
pub fn fill<T>(put: impl FnMut(u64) -> T) {
    (0..2 * CAPACITY.get() as u64).map(|key| u64::MAX - key).map(put).for_each(drop);
}

/// Keys of 24 bytes and what they are the keys of.
#[derive(Debug)]
pub struct Texts(Vec<String>);

impl Texts {
    /// Makes as many as [`key`] asks for.
    #[must_use]
    pub fn new() -> Self {
        Self((0..RESIDENT).map(|key| format!("/customers/{key:013}")).collect())
    }

    /// What is to be put in; the values are of 1 KiB, and cloning one is to count it.
    pub fn entries(&self) -> impl Iterator<Item = (String, Arc<[u8]>)> {
        self.0.iter().map(|text| (text.clone(), page()))
    }

    /// The key of a call.
    #[must_use]
    #[inline]
    pub fn at(&self, n: u64) -> &str {
        &self.0[key(n) as usize]
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that has a text in it.
#[derive(Debug)]
pub struct Text(Arc<Texts>, u64);

impl Text {
    /// The text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.at(self.1)
    }
}

/// Asks a service for the text of each call.
pub fn asked<S>(texts: Texts, service: S) -> impl Service<u64> + Clone + Send + 'static
where
    S: Service<Text> + Clone + Send + 'static,
{
    let texts = Arc::new(texts);
    service.map_request(move |n| Text(Arc::clone(&texts), n))
}

/// The service under a layer that is asked for texts: it answers each with a page of its own, like
/// [`Texts::entries`].
#[must_use]
pub fn pages<E>() -> impl Service<Text, Response = Arc<[u8]>, Error = E, Future: Send> + Clone + Send + 'static
where
    E: Send + 'static,
{
    service_fn(|_| ready(Ok(page())))
}

fn page() -> Arc<[u8]> {
    Arc::from([0; 1024])
}

/// One of a million keys by Zipf's law with an exponent of 0.99, drawn by the number of a call: the smaller, the
/// more often.
#[must_use]
#[inline]
pub fn zipf(n: u64) -> u64 {
    // A million to the power of 0.01, less one.
    const SPAN: f64 = 0.148_153_621_496_882_8;
    // SplitMix64.
    let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let drawn = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    // The law as if keys were continuous, turned round: (1 + drawn * span) to the power of 1 / 0.01.
    let p1 = 1.0 + drawn * SPAN;
    let p2 = p1 * p1;
    let p4 = p2 * p2;
    let p8 = p4 * p4;
    let p16 = p8 * p8;
    let p32 = p16 * p16;
    (p32 * p32 * p32 * p4) as u64
}

/// Asks often enough that a cache of [`MIXED_CAPACITY`] is full and has chosen.
pub fn warm(get_or_put: impl FnMut(u64)) {
    (0..600_000).map(|n| zipf(u64::MAX - n)).for_each(get_or_put);
}

/// Columns of facts: bytes on the heap per entry of a full cache, without its key and value, after twice as much
/// was put in ..
pub const BYTES: &str = "bytes per entry";
/// .. what the cache says that an entry weighs ..
pub const CLAIMED: &str = "weight claimed";
/// .. the heaviest single entry that an empty cache takes in, as a share of its limit ..
pub const LARGEST: &str = "largest entry";
/// .. and how many polls a thousand callers get whose load answers in the hundredth round of polls.
pub const POLLS: &str = "polls in 100 rounds";

/// How many entries are weighed.
pub const MANY: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("not zero");

/// Puts in twice as much as [`MANY`].
pub fn crowd<T>(put: impl FnMut(u64) -> T) {
    (0..2 * MANY.get() as u64).map(put).for_each(drop);
}

/// The fact of [`BYTES`], for keys and values of 8 bytes.
#[must_use]
pub fn per_entry(held: Option<u64>, entries: u64) -> Option<f64> {
    held.map(|bytes| bytes as f64 / entries as f64 - 16.0)
}

/// The limit in the fact of [`LARGEST`].
pub const WEIGHT_LIMIT: u64 = 1 << 20;

/// The fact of [`LARGEST`]; `takes` says whether an empty cache takes in an entry of a weight.
#[must_use]
pub fn largest(takes: impl Fn(u64) -> bool) -> f64 {
    let (mut most, mut too_much) = (0, WEIGHT_LIMIT + 1);
    while too_much - most > 1 {
        let middle = most.midpoint(too_much);
        if takes(middle) {
            most = middle;
        } else {
            too_much = middle;
        }
    }
    most as f64 / WEIGHT_LIMIT as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn all_residents_are_asked_for_and_nobody_else() {
        let mut asked: Vec<_> = (0..20 * RESIDENT).map(key).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked, (0..RESIDENT).collect::<Vec<_>>());
    }

    #[test]
    fn the_law_is_zipfs() {
        let mut counts = HashMap::new();
        const DRAWS: u64 = 1_000_000;
        (0..DRAWS).map(zipf).for_each(|key| *counts.entry(key).or_insert(0_u64) += 1);
        assert!(counts.keys().all(|key| (1..=1_000_000).contains(key)));
        // A key at x has the share of x to x + 1 of the law: for large x that is in proportion to x^-0.99.
        let share = |from: u64, to: u64| {
            (from..to).filter_map(|key| counts.get(&key)).sum::<u64>() as f64 / DRAWS as f64
        };
        let expected = |from: f64, to: f64| (to.powf(0.01) - from.powf(0.01)) / (1e6_f64.powf(0.01) - 1.0);
        for (from, to) in [(1, 2), (2, 10), (10, 1000), (1000, 100_000), (100_000, 1_000_001)] {
            let (found, expected) = (share(from, to), expected(from as f64, to as f64));
            assert!((found - expected).abs() < 0.002, "{from}..{to}: {found} for {expected}");
        }
    }

    #[test]
    fn an_entry_as_heavy_as_the_limit_is_found() {
        assert_eq!(largest(|_| true), 1.0);
        assert_eq!(largest(|_| false), 0.0);
        assert_eq!(largest(|weight| weight <= WEIGHT_LIMIT / 8), 0.125);
    }

    #[test]
    fn a_stampede_is_one_load() {
        let cache = cache(Policy::Drf, CAPACITY, Duration::MAX);
        let mut stampede = Stampede::new();
        for key in 0..3 {
            let polls = stampede.run(|| {
                let cache = cache.clone();
                async move { cache.get_or_load(key, |&key| soon(Ok::<_, Infallible>(key))).await.is_ok() }
            });
            assert_eq!((polls, cache.stats().loads), (2000, key + 1));
        }
    }
}
