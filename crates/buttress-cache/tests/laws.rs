//! The laws of deferring layers.

use buttress_cache::{Cache, CacheLayer, Config, Fate, Served};
use buttress_testkit::laws;
use std::time::Duration;

fn cache() -> Cache<u64, u64> {
    Cache::new("laws", Config::default())
}

#[test]
fn a_cache_keeps_the_laws() {
    laws::deferring!(CacheLayer::new(&cache(), |request: &u64| Some(*request)));
}

#[test]
fn a_cache_with_borrowed_keys_keeps_the_laws() {
    laws::deferring!(
        CacheLayer::by_ref(&Cache::<String, u64>::new("laws", Config::default()), |request: &String| {
            Some(request.as_str())
        }),
        request: |n: u64| n.to_string(),
        respond: |request: String| request.parse().unwrap_or(0),
    );
}

#[test]
fn a_cache_that_stores_nothing_keeps_the_laws() {
    let cache = || Cache::new("laws", Config::default().ttl(Duration::ZERO));
    // The flight, and the inner service's own.
    laws::deferring!(CacheLayer::new(&cache(), |request: &u64| Some(*request)), allocations: 1);
}

#[test]
fn a_cache_that_is_passed_by_keeps_the_laws() {
    laws::deferring!(CacheLayer::new(&cache(), |_: &u64| None));
}

#[test]
fn a_cache_with_rules_keeps_the_laws() {
    laws::deferring!(
        CacheLayer::new(&cache(), |request: &u64| Some(*request))
            .rule(|_: &u64| Fate::store().tag("law").into())
            .share_errors()
            .mark(|_: &mut u64, _: Served| {})
    );
}

#[test]
fn a_cache_in_the_background_keeps_the_laws() {
    laws::deferring!(CacheLayer::new(&cache(), |request: &u64| Some(*request)).background());
}
