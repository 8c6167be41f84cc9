//! The stack of [`buttress_benches::stack`], as far as it can be built of what others have: tower-resilience has a cache,
//! a breaker, a time limit and a bulkhead where ours has a pool; over HTTP tower-http-cache stores and axum-prometheus
//! measures. Nobody has a batcher.

use super::metrics::{installed, upkeep};
use axum_prometheus::BaseMetricLayer;
use buttress_benches::cache::{self, CAPACITY};
use buttress_benches::http_cache::{Asked, NOT_STORED, Origin, Reader, SMALL, STORED};
use buttress_benches::pool::CONNECTIONS;
use buttress_benches::stack::{self, HIT, HTTP_HIT, HTTP_MISS, HTTP_REFUSED, LIMIT, MISS, REFUSED};
use buttress_benches::{Contender, Failed, Fails, Inner, reference};
use std::future::ready;
use std::time::Duration;
use tower::util::MapRequest;
use tower::{Service, ServiceBuilder, service_fn};
use tower_http_cache::layer::CacheLayer as HttpCacheLayer;
use tower_http_cache::prelude::InMemoryBackend;
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_cache::CacheLayer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(stack::contenders());
    contenders.extend(tower_resilience());
    contenders.extend(over_http());
    contenders
}

/// No listeners, no metrics.
fn tower_resilience() -> [Contender; 3] {
    let row = |name, key: fn(u64) -> u64, fails: Fails| {
        Contender::new(name, move || {
            let cache = CacheLayer::<u64, u64>::builder().max_size(CAPACITY.get());
            let cache =
                cache.key_extractor(move |number| key(*number)).build().expect("a valid configuration");
            ServiceBuilder::new().layer(cache).service(guarded(Inner::<Failed>::new(fails)))
        })
    };
    [
        row("tower-resilience: hit", cache::key, Fails::Never).against(HIT),
        row("tower-resilience: miss", |number| number, Fails::Never).against(MISS),
        row("tower-resilience: refused", |number| number, Fails::Always).against(REFUSED),
    ]
}

/// Spans and logs are off.
fn over_http() -> [Contender; 3] {
    let row = |name, directives, fails: Fails| {
        Contender::new(name, move || {
            let (mut origin, handle) = (Origin::new(SMALL, directives), installed());
            let pages = HttpCacheLayer::builder(InMemoryBackend::new(ENTRIES)).ttl(OPEN_FOR).build();
            let inner = service_fn(move |asked: Asked| match fails {
                Fails::Never => ready(Ok(origin.call(asked).into_inner().expect("it answers"))),
                _ => ready(Err(Failed)),
            });
            let stack =
                ServiceBuilder::new().layer(BaseMetricLayer::new()).layer(pages).service(guarded(inner));
            MapRequest::new(Reader::new(stack), move |n| {
                upkeep(n, handle);
                n
            })
        })
    };
    [
        row("axum-prometheus and so on: HTTP, hit", STORED, Fails::Never).against(HTTP_HIT),
        row("axum-prometheus and so on: HTTP, miss", NOT_STORED, Fails::Never).against(HTTP_MISS),
        row("axum-prometheus and so on: HTTP, refused", STORED, Fails::Always).against(HTTP_REFUSED),
    ]
}

/// As many responses as ours has room for.
const ENTRIES: u64 = 10_000;
/// Long enough that an open breaker stays open, and a stored response fresh, while they are measured.
const OPEN_FOR: Duration = Duration::from_secs(3600);

/// What all have below their caches.
fn guarded<S, Req>(
    inner: S,
) -> impl Service<Req, Response = S::Response, Error: std::error::Error + Send + Sync, Future: Send> + Clone + Send
where
    S: Service<Req, Error = Failed, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
    Req: Send + 'static,
{
    let breaker = CircuitBreakerLayer::builder().sliding_window_size(100).failure_rate_threshold(0.5);
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(CONNECTIONS as usize);
    ServiceBuilder::new()
        .layer(breaker.wait_duration_in_open(OPEN_FOR).build().expect("a valid configuration"))
        .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
        .layer(bulkhead.build().expect("a valid configuration"))
        .service(inner)
}
