//! Who is asked: each looks every key up, and puts it in if it is missing. All entries weigh the same.

use super::opt;
use super::trace::Trace;
use buttress_cache::simulate::{simulate, simulate_fixed_window};
use buttress_cache::{Cache, Config, Policy};
use moka::policy::EvictionPolicy;
use std::num::NonZeroUsize;
use std::time::Duration;

/// One row of the table.
pub struct Row {
    pub name: &'static str,
    /// It takes microseconds per request: not asked about long traces, unless told to.
    pub slow: bool,
    /// How often a cache of that many entries hits.
    pub hits: fn(&Trace, NonZeroUsize) -> u64,
}

pub const LRU: &str = "buttress: Lru";
/// What our LRU must do exactly as.
pub const LRU_ORACLE: &str = "lru";
pub const OPT: &str = "optimal (Belady)";

pub const ROWS: [Row; 13] = [
    row("buttress: Drf", |trace, capacity| ours(Policy::Drf, trace, capacity)),
    row("buttress: Drf, Cache", real),
    row("buttress: Drf, window 5 %", |trace, capacity| {
        simulate_fixed_window(50, capacity.get(), 1, keys(trace)).0
    }),
    row("buttress: S3Fifo", |trace, capacity| ours(Policy::S3Fifo, trace, capacity)),
    row("buttress: Lfu", |trace, capacity| ours(Policy::Lfu, trace, capacity)),
    row(LRU, |trace, capacity| ours(Policy::Lru, trace, capacity)),
    row("buttress: Fifo", |trace, capacity| ours(Policy::Fifo, trace, capacity)),
    row("quick_cache: sync", |trace, capacity| {
        let cache = quick_cache::sync::Cache::new(capacity.get());
        count(trace, |key| cache.get(&key).is_some(), |key| cache.insert(key, ()))
    }),
    row("quick_cache: unsync", quick_unsync),
    slow("moka: tiny_lfu", |trace, capacity| moka(EvictionPolicy::tiny_lfu(), trace, capacity)),
    slow("moka: lru", |trace, capacity| moka(EvictionPolicy::lru(), trace, capacity)),
    row(LRU_ORACLE, lru),
    row(OPT, |trace, capacity| opt::hits(&trace.keys, trace.unique, capacity.get())),
];

const fn row(name: &'static str, hits: fn(&Trace, NonZeroUsize) -> u64) -> Row {
    Row { name, slow: false, hits }
}

const fn slow(name: &'static str, hits: fn(&Trace, NonZeroUsize) -> u64) -> Row {
    Row { name, slow: true, hits }
}

fn keys(trace: &Trace) -> impl Iterator<Item = u64> {
    trace.keys.iter().map(|&key| u64::from(key))
}

fn count(trace: &Trace, get: impl Fn(u32) -> bool, put: impl Fn(u32)) -> u64 {
    let mut hits = 0;
    for &key in &trace.keys {
        if get(key) {
            hits += 1;
        } else {
            put(key);
        }
    }
    hits
}

/// One shard, which is the policy as such.
fn ours(policy: Policy, trace: &Trace, capacity: NonZeroUsize) -> u64 {
    simulate(policy, capacity.get(), 1, keys(trace)).0
}

/// With as many shards as a cache of that size has on this machine, and a new seed for each run.
fn real(trace: &Trace, capacity: NonZeroUsize) -> u64 {
    let config = Config::default().max_entries(capacity).ttl(Duration::MAX);
    let cache = Cache::new("trace", config);
    let put = |key| {
        cache.insert(key, ());
    };
    count(trace, |key| cache.get(&key).is_some(), put)
}

fn quick_unsync(trace: &Trace, capacity: NonZeroUsize) -> u64 {
    let mut cache = quick_cache::unsync::Cache::new(capacity.get());
    let mut hits = 0;
    for &key in &trace.keys {
        if cache.get(&key).is_some() {
            hits += 1;
        } else {
            cache.insert(key, ());
        }
    }
    hits
}

fn moka(policy: EvictionPolicy, trace: &Trace, capacity: NonZeroUsize) -> u64 {
    let cache = moka::sync::Cache::builder()
        .max_capacity(capacity.get() as u64)
        .eviction_policy(policy)
        .build_with_hasher(foldhash::fast::RandomState::default());
    count(trace, |key| cache.get(&key).is_some(), |key| cache.insert(key, ()))
}

fn lru(trace: &Trace, capacity: NonZeroUsize) -> u64 {
    let mut cache = lru::LruCache::new(capacity);
    let mut hits = 0;
    for &key in &trace.keys {
        if cache.get(&key).is_some() {
            hits += 1;
        } else {
            cache.put(key, ());
        }
    }
    hits
}
