//! Caches, each at its best settings: no listeners, no metrics, a fast hash, and shards by default. In front of
//! `lru` is one lock, as its users put it there.

use buttress_benches::cache::{
    self, BYTES, CAPACITY, CLAIMED, LARGEST, MANY, MIXED_CAPACITY, POLLS, TTL, Text, Texts, WEIGHT_LIMIT,
    key, zipf,
};
use buttress_benches::stampede::{Stampede, finish, later, soon};
use buttress_benches::{Contender, Fact, Failed, Fails, Inner, measure, reference};
use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;
use quick_cache::Weighter;
use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, Service, service_fn};
use tower_resilience_cache::CacheLayer;
use tower_resilience_coalesce::CoalesceLayer;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(cache::contenders());
    contenders.extend(quick_cache());
    contenders.extend(moka_sync());
    contenders.extend(moka_future());
    contenders.extend(lru());
    contenders.extend(tower_resilience());
    contenders
}

pub fn facts() -> Vec<Fact> {
    let mut facts = cache::facts();
    facts.extend(quick_cache_facts());
    facts.extend(moka_facts());
    facts.push(Fact::new("lru", BYTES, || {
        let (cache, held) = measure::held(|| {
            let mut cache = LruCache::new(MANY);
            cache::crowd(|key| cache.put(key, key));
            cache
        });
        cache::per_entry(held, cache.len() as u64)
    }));
    facts.push(Fact::new(COALESCE, POLLS, || {
        let service = coalesce(later);
        Some(Stampede::new().run(|| service.clone().call(0)) as f64)
    }));
    facts
}

/// Its hash is foldhash, as it comes.
fn quick_cache() -> [Contender; 7] {
    type Quick = quick_cache::sync::Cache<u64, u64>;
    fn get_or_put(cache: &Quick, key: u64) {
        if black_box(cache.get(&key).is_none()) {
            cache.insert(key, key);
        }
    }
    let load = async |&key: &u64| Ok::<_, Infallible>(key);
    let empty = || Quick::new(CAPACITY.get());
    let resident = move || {
        let cache = empty();
        cache::residents(|key| cache.insert(key, key));
        cache
    };
    [
        Contender::operation("quick_cache: get", resident, |cache, n| {
            black_box(cache.get(&key(n)).is_some());
        })
        .against(cache::GET),
        Contender::operation(
            "quick_cache: get, String to Arc",
            || {
                let (cache, texts) = (quick_cache::sync::Cache::new(CAPACITY.get()), Texts::new());
                texts.entries().for_each(|(text, page): (String, Arc<[u8]>)| cache.insert(text, page));
                (cache, texts)
            },
            |(cache, texts), n| {
                black_box(cache.get(texts.at(n)).is_some());
            },
        )
        .against(cache::GET_TEXT),
        Contender::operation(
            "quick_cache: put",
            move || {
                let cache = empty();
                cache::fill(|key| cache.insert(key, key));
                cache
            },
            |cache, n| cache.insert(n, n),
        )
        .against(cache::PUT),
        Contender::operation(
            "quick_cache: zipf, get or put",
            || {
                let cache = Quick::new(MIXED_CAPACITY.get());
                cache::warm(|key| get_or_put(&cache, key));
                cache
            },
            |cache, n| get_or_put(cache, zipf(n)),
        )
        .against(cache::MIXED),
        Contender::future("quick_cache: load, hit", resident, async move |cache, n| {
            let key = key(n);
            black_box(cache.get_or_insert_async(&key, load(&key)).await.is_ok());
        })
        .against(cache::LOAD_HIT),
        Contender::future("quick_cache: load, invalidate", empty, async move |cache, n| {
            black_box(cache.get_or_insert_async(&n, load(&n)).await.is_ok());
            black_box(cache.remove(&n).is_some());
        })
        .against(cache::LOAD_MISS),
        Contender::stampede(
            QUICK_STAMPEDE,
            move || Arc::new(empty()),
            |cache, n| {
                let cache = Arc::clone(cache);
                async move { cache.get_or_insert_async(&n, soon(Ok::<_, Infallible>(n))).await.is_ok() }
            },
        )
        .against(cache::STAMPEDE),
    ]
}

const QUICK_STAMPEDE: &str = "quick_cache: 1000 callers";

fn quick_cache_facts() -> [Fact; 4] {
    #[derive(Clone)]
    struct ByValue;
    impl Weighter<u64, u64> for ByValue {
        fn weight(&self, _: &u64, value: &u64) -> u64 {
            *value
        }
    }
    let many = || {
        let (cache, held) = measure::held(|| {
            let cache = quick_cache::sync::Cache::new(MANY.get());
            cache::crowd(|key| cache.insert(key, key));
            cache
        });
        let entries = cache.len() as u64;
        (cache::per_entry(held, entries), cache.weight() as f64 / entries as f64)
    };
    [
        Fact::new("quick_cache", BYTES, move || many().0),
        Fact::new("quick_cache", CLAIMED, move || Some(many().1)),
        Fact::new("quick_cache", LARGEST, || {
            Some(cache::largest(|weight| {
                // It is asked how many entries to expect: as many as ours holds by default.
                let cache = quick_cache::sync::Cache::with_weighter(10_000, WEIGHT_LIMIT, ByValue);
                cache.insert(0, weight);
                cache.get(&0).is_some()
            }))
        }),
        Fact::new(QUICK_STAMPEDE, POLLS, || {
            let cache = Arc::new(quick_cache::sync::Cache::new(CAPACITY.get()));
            let call = || {
                let cache = Arc::clone(&cache);
                async move { cache.get_or_insert_async(&0, later(Ok::<_, Infallible>(0))).await.is_ok() }
            };
            Some(Stampede::new().run(call) as f64)
        }),
    ]
}

type Moka<K, V> = moka::sync::Cache<K, V, RandomState>;

fn moka<K, V>(capacity: NonZeroUsize, ttl: Option<Duration>) -> Moka<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = moka::sync::Cache::builder().max_capacity(capacity.get() as u64);
    let builder = ttl.into_iter().fold(builder, |builder, ttl| builder.time_to_live(ttl));
    builder.build_with_hasher(RandomState::default())
}

/// Does what it has put off.
fn moka_resident(ttl: Option<Duration>) -> Moka<u64, u64> {
    let cache = moka(CAPACITY, ttl);
    cache::residents(|key| cache.insert(key, key));
    cache.run_pending_tasks();
    cache
}

fn moka_sync() -> [Contender; 5] {
    fn get_or_put(cache: &Moka<u64, u64>, key: u64) {
        if black_box(cache.get(&key).is_none()) {
            cache.insert(key, key);
        }
    }
    let get = |cache: &Moka<u64, u64>, n| {
        black_box(cache.get(&key(n)).is_some());
    };
    [
        Contender::operation("moka sync: get", || moka_resident(None), get).against(cache::GET),
        Contender::operation("moka sync: get, TTL", || moka_resident(Some(TTL)), get).against(cache::GET_TTL),
        Contender::operation(
            "moka sync: get, String to Arc",
            || {
                let (cache, texts) = (moka(CAPACITY, None), Texts::new());
                texts.entries().for_each(|(text, page): (String, Arc<[u8]>)| cache.insert(text, page));
                cache.run_pending_tasks();
                (cache, texts)
            },
            |(cache, texts), n| {
                black_box(cache.get(texts.at(n)).is_some());
            },
        )
        .against(cache::GET_TEXT),
        Contender::operation(
            "moka sync: put",
            || {
                let cache = moka(CAPACITY, None);
                cache::fill(|key| cache.insert(key, key));
                cache
            },
            |cache, n| cache.insert(n, n),
        )
        .against(cache::PUT),
        Contender::operation(
            "moka sync: zipf, get or put",
            || {
                let cache = moka(MIXED_CAPACITY, None);
                cache::warm(|key| get_or_put(&cache, key));
                cache
            },
            |cache, n| get_or_put(cache, zipf(n)),
        )
        .against(cache::MIXED),
    ]
}

type MokaFuture = moka::future::Cache<u64, u64, RandomState>;

fn moka_future() -> [Contender; 4] {
    let resident = || {
        let cache = empty_future();
        finish(async {
            for key in 0..cache::RESIDENT {
                cache.insert(key, key).await;
            }
            cache.run_pending_tasks().await;
        });
        cache
    };
    [
        Contender::future("moka future: get", resident, async |cache: &MokaFuture, n| {
            black_box(cache.get(&key(n)).await.is_some());
        })
        .against(cache::GET),
        Contender::future("moka future: load, hit", resident, async |cache: &MokaFuture, n| {
            let key = key(n);
            black_box(cache.get_with(key, async { key }).await);
        })
        .against(cache::LOAD_HIT),
        Contender::future("moka future: load, invalidate", empty_future, async |cache: &MokaFuture, n| {
            black_box(cache.get_with(n, async { n }).await);
            cache.invalidate(&n).await;
        })
        .against(cache::LOAD_MISS),
        Contender::stampede(MOKA_STAMPEDE, empty_future, |cache, n| {
            let cache = cache.clone();
            async move { cache.get_with(n, soon(n)).await }
        })
        .against(cache::STAMPEDE),
    ]
}

const MOKA_STAMPEDE: &str = "moka future: 1000 callers";

fn empty_future() -> MokaFuture {
    moka::future::Cache::builder()
        .max_capacity(CAPACITY.get() as u64)
        .build_with_hasher(RandomState::default())
}

fn moka_facts() -> [Fact; 4] {
    let many = || {
        let (cache, held) = measure::held(|| {
            let cache = moka(MANY, None);
            cache::crowd(|key| cache.insert(key, key));
            cache.run_pending_tasks();
            cache
        });
        let entries = cache.entry_count();
        (cache::per_entry(held, entries), cache.weighted_size() as f64 / entries as f64)
    };
    [
        Fact::new("moka", BYTES, move || many().0),
        Fact::new("moka", CLAIMED, move || Some(many().1)),
        Fact::new("moka", LARGEST, || {
            Some(cache::largest(|weight| {
                let cache = moka::sync::Cache::builder()
                    .max_capacity(WEIGHT_LIMIT)
                    .weigher(|_: &u64, weight: &u64| *weight as u32)
                    .build();
                cache.insert(0, weight);
                cache.run_pending_tasks();
                cache.get(&0).is_some()
            }))
        }),
        Fact::new(MOKA_STAMPEDE, POLLS, || {
            let cache = empty_future();
            let call = || {
                let cache = cache.clone();
                async move { cache.get_with(0, later(0)).await }
            };
            Some(Stampede::new().run(call) as f64)
        }),
    ]
}

/// Its hash is foldhash, as it comes.
fn lru() -> [Contender; 4] {
    type Locked = Mutex<LruCache<u64, u64>>;
    fn get_or_put(cache: &Locked, key: u64) {
        let mut cache = cache.lock();
        if black_box(cache.get(&key).is_none()) {
            cache.put(key, key);
        }
    }
    [
        Contender::operation(
            "Mutex<lru>: get",
            || {
                let mut cache = LruCache::new(CAPACITY);
                cache::residents(|key| cache.put(key, key));
                Mutex::new(cache)
            },
            |cache: &Locked, n| {
                black_box(cache.lock().get(&key(n)).copied().is_some());
            },
        )
        .against(cache::GET),
        Contender::operation(
            "Mutex<lru>: get, String to Arc",
            || {
                let (mut cache, texts) = (LruCache::<String, Arc<[u8]>>::new(CAPACITY), Texts::new());
                for (text, page) in texts.entries() {
                    cache.put(text, page);
                }
                (Mutex::new(cache), texts)
            },
            |(cache, texts), n| {
                let found = cache.lock().get(texts.at(n)).cloned();
                black_box(found.is_some());
            },
        )
        .against(cache::GET_TEXT),
        Contender::operation(
            "Mutex<lru>: put",
            || {
                let mut cache = LruCache::new(CAPACITY);
                cache::fill(|key| cache.put(key, key));
                Mutex::new(cache)
            },
            |cache: &Locked, n| {
                cache.lock().put(n, n);
            },
        )
        .against(cache::PUT_LRU),
        Contender::operation(
            "Mutex<lru>: zipf, get or put",
            || {
                let cache = Mutex::new(LruCache::new(MIXED_CAPACITY));
                cache::warm(|key| get_or_put(&cache, key));
                cache
            },
            |cache, n| get_or_put(cache, zipf(n)),
        )
        .against(cache::MIXED),
    ]
}

const COALESCE: &str = "tower-resilience: 1000 callers";

/// It has no store to be asked, only a layer, and its keys are owned.
fn tower_resilience() -> [Contender; 5] {
    let hit = |name, ttl: Option<Duration>| {
        Contender::new(name, move || {
            let builder = CacheLayer::<u64, u64>::builder().max_size(CAPACITY.get());
            let builder = ttl.into_iter().fold(builder, |builder, ttl| builder.ttl(ttl));
            let layer = builder.key_extractor(|&n| key(n)).build().expect("a valid configuration");
            layer.layer(Inner::<Failed>::new(Fails::Never))
        })
    };
    [
        hit("tower-resilience: hit", None).against(cache::HIT),
        hit("tower-resilience: hit, TTL", Some(TTL)).against(cache::HIT_TTL),
        Contender::new("tower-resilience: hit, String", || {
            let builder = CacheLayer::<Text, String>::builder().max_size(CAPACITY.get());
            let layer = builder.key_extractor(|text| text.as_str().to_owned()).build();
            cache::asked(Texts::new(), layer.expect("a valid configuration").layer(cache::pages::<Failed>()))
        })
        .against(cache::HIT_TEXT),
        // Always new keys.
        Contender::new("tower-resilience: miss", || {
            let builder = CacheLayer::<u64, u64>::builder().max_size(CAPACITY.get());
            let layer = builder.key_extractor(|&n| n).build().expect("a valid configuration");
            layer.layer(Inner::<Failed>::new(Fails::Never))
        })
        .against(cache::MISS),
        Contender::stampede(COALESCE, || coalesce(soon), |service, n| service.clone().call(n))
            .against(cache::STAMPEDE),
    ]
}

fn coalesce<F>(
    load: fn(u64) -> F,
) -> impl Service<u64, Future: Future + Send + 'static> + Clone + Send + Sync + 'static
where
    F: Future<Output = u64> + Send + 'static,
{
    let inner = service_fn(move |n| {
        let load = load(n);
        async move { Ok::<_, Infallible>(load.await) }
    });
    CoalesceLayer::new(|&n: &u64| n).layer(inner)
}
