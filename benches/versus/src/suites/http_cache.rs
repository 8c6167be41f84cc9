//! HTTP caches, each in memory and at its best settings: no logs, no compression, no metrics.

use ::http_cache::MokaManager;
use buttress_benches::http_cache::{
    self, HIT, HIT_LARGE, LARGE, LARGE_WEIGHT, LOOPBACK, NOT_STORED, Origin, PASS, Reader, SMALL, STORED,
    copied, loopback,
};
use buttress_benches::{Contender, Fact};
use http_cache_tower::{HttpCacheLayer, HttpCacheService};
use std::time::Duration;
use tower::{BoxError, Layer, ServiceExt};
use tower_http_cache::layer::{CacheLayer, CacheService};
use tower_http_cache::prelude::InMemoryBackend;

/// As many responses as ours has room for.
const ENTRIES: u64 = 10_000;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = http_cache::contenders();
    contenders.extend([
        Contender::new("tower-http-cache: hit, 1 kB", || Reader::new(tower_http_cache(SMALL, STORED)))
            .against(HIT),
        Contender::new("tower-http-cache: hit, 1 MB", || Reader::new(tower_http_cache(LARGE, STORED)))
            .weight(LARGE_WEIGHT)
            .against(HIT_LARGE),
        Contender::new("tower-http-cache: no-store, 1 kB", || {
            Reader::new(tower_http_cache(SMALL, NOT_STORED))
        })
        .against(PASS),
        loopback("tower-http-cache: loopback, hit, 1 kB", || tower_http_cache(SMALL, STORED))
            .against(LOOPBACK),
        Contender::new("http-cache-tower: hit, 1 kB", || Reader::new(http_cache_tower(SMALL, STORED)))
            .against(HIT),
        Contender::new("http-cache-tower: hit, 1 MB", || Reader::new(http_cache_tower(LARGE, STORED)))
            .weight(LARGE_WEIGHT)
            .against(HIT_LARGE),
        Contender::new("http-cache-tower: no-store, 1 kB", || {
            Reader::new(http_cache_tower(SMALL, NOT_STORED))
        })
        .against(PASS),
        loopback("http-cache-tower: loopback, hit, 1 kB", || {
            http_cache_tower(SMALL, STORED).map_err(BoxError::from)
        })
        .against(LOOPBACK),
    ]);
    contenders
}

pub fn facts() -> Vec<Fact> {
    let mut facts = http_cache::facts();
    for (row, length) in [("tower-http-cache: hit, 1 kB", SMALL), ("tower-http-cache: hit, 1 MB", LARGE)] {
        facts.push(copied(row, length, |origin| with_tower_http_cache(origin.clone())));
    }
    for (row, length) in [("http-cache-tower: hit, 1 kB", SMALL), ("http-cache-tower: hit, 1 MB", LARGE)] {
        facts.push(copied(row, length, |origin| with_http_cache_tower(origin.clone())));
    }
    facts
}

fn tower_http_cache(length: usize, directives: &'static str) -> CacheService<Origin, InMemoryBackend> {
    with_tower_http_cache(Origin::new(length, directives))
}

/// Bodies of a megabyte are more than it stores by default.
fn with_tower_http_cache(origin: Origin) -> CacheService<Origin, InMemoryBackend> {
    CacheLayer::builder(InMemoryBackend::new(ENTRIES))
        .ttl(Duration::from_secs(3600))
        .max_body_size(Some(4 << 20))
        .build()
        .layer(origin)
}

fn http_cache_tower(length: usize, directives: &'static str) -> HttpCacheService<Origin, MokaManager> {
    with_http_cache_tower(Origin::new(length, directives))
}

fn with_http_cache_tower(origin: Origin) -> HttpCacheService<Origin, MokaManager> {
    HttpCacheLayer::new(MokaManager::new(moka::future::Cache::new(ENTRIES))).layer(origin)
}
