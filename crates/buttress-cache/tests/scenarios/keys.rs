//! Keys are compared as a whole; a hash only finds them.

use super::*;
use buttress_cache::{Digest, Found};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::hash::{Hash, Hasher};
use tower::{Layer, service_fn};

/// All have the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Collides(u64);

impl Hash for Collides {
    fn hash<H: Hasher>(&self, state: &mut H) {
        7_u64.hash(state);
    }
}

#[tokio::test(start_paused = true)]
async fn c31_keys_of_one_hash_are_different_keys() {
    let cache: Cache<Collides, u64> = Cache::new("colliding", Config::default());
    let load = |key: &Collides| {
        let key = key.0;
        async move {
            sleep(MS).await;
            if key % 10 == 9 { Err("failed") } else { Ok(key) }
        }
    };
    let loader = cache.loader().remember_errors(|_: &&str| Some(SECOND));
    let found = join_all((0..100).map(|key| loader.get_or_load(Collides(key), load))).await;
    for (key, found) in found.into_iter().enumerate() {
        let expected = if key % 10 == 9 { Err(Error::Inner("failed")) } else { Ok(key as u64) };
        assert_eq!(found.map(Found::into_value), expected);
    }
    assert_eq!((cache.stats().loads, cache.stats().coalesced, cache.stats().entries), (100, 0, 90));
    assert_eq!(cache.invalidate(&Collides(3)), Some(3));
    for key in 0..100 {
        assert_eq!(cache.get(&Collides(key)).is_some(), key % 10 != 9 && key != 3, "{key}");
    }
    // A load of one is not the load of another, and neither is its failure.
    let mut hangs = Box::pin(loader.get_or_load(Collides(3), |_: &Collides| pending::<Result<u64, &str>>()));
    assert!((&mut hangs).now_or_never().is_none());
    cache.invalidate(&Collides(4));
    assert_eq!(cache.stats().loading, 1);
    assert_eq!(loader.get_or_load(Collides(4), load).await.map(Found::into_value), Ok(4));
    let refused = loader.get_or_load(Collides(19), load).now_or_never();
    assert!(matches!(refused, Some(Err(Error::Rejected(_)))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn c31_a_digest_of_many_parts_is_a_key() {
    let cache: Cache<Digest, String> = Cache::new("digests", Config::default());
    let inner = service_fn(|(user, page): (u64, &'static str)| async move {
        Ok::<_, TestError>(format!("{user} {page}"))
    });
    let layer = CacheLayer::new(&cache, |(user, page): &(u64, &'static str)| {
        Some(Digest::of("page").number(*user).text(page).finish())
    });
    let service = layer.layer(inner);
    for _ in 0..2 {
        for request in [(1, "2"), (12, ""), (1, ""), (2, "1")] {
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer, format!("{} {}", request.0, request.1));
        }
    }
    assert_eq!((cache.stats().entries, cache.stats().hits), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_goes_past_and_is_not_counted() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
    let mark = |page: &mut Page, served| page.served = Some(served);
    let service = CacheLayer::new(&cache, |request: &u64| (*request != 7).then_some(*request))
        .mark(mark)
        .layer(origin.service());
    for _ in 0..3 {
        assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
    }
    let stats = cache.stats();
    assert_eq!((origin.calls(), stats.hits + stats.misses, stats.entries), (3, 0, 0));
}
