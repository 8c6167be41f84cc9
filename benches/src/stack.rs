//! All layers together, in the order in which they belong: metrics, cache, batcher, breaker, timeout, pool.

use crate::cache::{self, CAPACITY};
use crate::http_cache::{self, Asked, NOT_STORED, Origin, Reader, SMALL, STORED};
use crate::pool::{CONNECTIONS, Free, filled};
use crate::{Contender, Failed, Fails, Inner};
use ::http::Response;
use buttress_batcher::BatchLayer;
use buttress_breaker::BreakerLayer;
use buttress_cache::http::{HttpCache, HttpCacheLayer, HttpOptions};
use buttress_cache::{Cache, CacheLayer, Policy};
use buttress_core::Error;
use buttress_limit::TimeoutLayer;
use buttress_metrics::http::{self, HttpMetricsLayer};
use buttress_metrics::{MetricsLayer, Registry};
use buttress_pool::{Config, Lease, Pool, PoolLayer};
use bytes::Bytes;
use http_body::Body;
use std::future::ready;
use std::hint::black_box;
use std::ops::Range;
use std::thread;
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

/// What is there.
pub const HIT: &str = "buttress: hit";
/// What is not there, and is stored.
pub const MISS: &str = "buttress: miss, no batcher";
/// What is not there, and is refused by a breaker.
pub const REFUSED: &str = "buttress: refused, no batcher";
/// [`HIT`] over HTTP: a page of a kilobyte.
pub const HTTP_HIT: &str = "buttress: HTTP, hit";
/// A page that may not be stored.
pub const HTTP_MISS: &str = "buttress: HTTP, miss";
/// [`REFUSED`] over HTTP.
pub const HTTP_REFUSED: &str = "buttress: HTTP, refused";

/// How long a call may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Our stacks, and services without one that are called in the same way.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    let mut contenders =
        vec![Contender::tasks("bare, in a task", 1, || Inner::<E>::new(Fails::Never), ask_all)];
    let names = [HIT, "buttress: miss", MISS, "buttress: refused", REFUSED];
    // What a key costs in the store is up to the seed of its hash.
    contenders.extend(stacks(Policy::Drf, names).into_iter().map(Contender::ungated));
    contenders.extend(http());
    contenders
}

/// What [`contenders`] do under the default policy of the cache, under one that takes no samples: these cost the same on
/// every run.
#[must_use]
pub fn unsampled() -> Vec<Contender> {
    let names = [
        "buttress: stack, hit",
        "buttress: stack, miss",
        "buttress: stack, miss, no batcher",
        "buttress: stack, refused",
        "buttress: stack, refused, no batcher",
    ];
    stacks(Policy::S3Fifo, names).into()
}

type E = Error<Failed>;
type Numbers = Cache<u64, u64>;

fn stacks(
    policy: Policy,
    [hit, miss, miss_alone, refused, refused_alone]: [&'static str; 5],
) -> [Contender; 5] {
    let full = move || {
        let cache = store(policy);
        cache::fill(|key| cache.insert(key, key));
        cache
    };
    let resident = move || {
        let cache = store(policy);
        cache::residents(|key| cache.insert(key, key));
        cache
    };
    [
        // Nothing comes as far as to the batcher.
        Contender::new(hit, move || batched(&resident(), cache::key, Fails::Never)),
        // A batcher's task lives where its first call was made.
        Contender::tasks(miss, 1, move || batched(&full(), same, Fails::Never), ask_all),
        Contender::new(miss_alone, move || alone(&full(), same, Fails::Never)),
        Contender::tasks(refused, 1, move || batched(&full(), same, Fails::Always), ask_all),
        Contender::new(refused_alone, move || alone(&full(), same, Fails::Always)),
    ]
}

fn same(number: u64) -> u64 {
    number
}

fn store(policy: Policy) -> Numbers {
    Cache::new("bench", buttress_cache::Config::default().max_entries(CAPACITY)).policy(policy)
}

/// What a caller does: asks for each, one after the other.
async fn ask_all(mut service: impl Service<u64>, numbers: Range<u64>) {
    for number in numbers {
        let Ok(ready) = service.ready().await else { panic!("it does not fail to be ready") };
        black_box(ready.call(number).await.is_ok());
    }
}

fn batched(
    cache: &Numbers,
    key: fn(u64) -> u64,
    fails: Fails,
) -> impl Service<u64, Response = u64, Error = E, Future: Send> + Clone + Send + use<> {
    ServiceBuilder::new()
        .layer(measured())
        .layer(CacheLayer::new(cache, move |number: &u64| Some(key(*number))))
        .layer(BatchLayer::new("bench", buttress_batcher::Config::default()).each_error(|error: &E| *error))
        .layer(BreakerLayer::new("bench", buttress_breaker::Config::default()))
        .layer(TimeoutLayer::new("bench", LIMIT))
        .layer(PoolLayer::new(&pool()))
        .service(service_fn(move |(_lease, numbers): (Lease<Free>, Vec<u64>)| async move {
            match fails {
                Fails::Always => Err(Error::Inner(Failed)),
                _ => Ok(numbers.into_iter().map(Ok).collect::<Vec<Result<u64, E>>>()),
            }
        }))
}

/// Without a batcher, as everybody else.
fn alone(
    cache: &Numbers,
    key: fn(u64) -> u64,
    fails: Fails,
) -> impl Service<u64, Response = u64, Error = E, Future: Send> + Clone + Send + use<> {
    let mut inner = Inner::<E>::new(fails);
    ServiceBuilder::new()
        .layer(measured())
        .layer(CacheLayer::new(cache, move |number: &u64| Some(key(*number))))
        .layer(BreakerLayer::new("bench", buttress_breaker::Config::default()))
        .layer(TimeoutLayer::new("bench", LIMIT))
        .layer(PoolLayer::new(&pool()))
        .service(service_fn(move |(_lease, number): (Lease<Free>, u64)| inner.call(number)))
}

fn measured() -> MetricsLayer {
    let layer = MetricsLayer::new("bench", buttress_metrics::Config::default(), &Registry::new());
    layer.expect("nothing else is called so")
}

/// Made on a thread of its own: it waits for its connections, and the caller may be in a runtime.
fn pool() -> Pool<Free> {
    let make = || filled(CONNECTIONS, |size| Pool::new("bench", Config::default().size(size), Free));
    thread::scope(|scope| scope.spawn(make).join().expect("nothing fails to be made"))
}

/// Over HTTP, without a batcher.
fn http() -> [Contender; 4] {
    [
        Contender::new(http_cache::BARE, || Reader::new(Origin::new(SMALL, STORED))),
        Contender::new(HTTP_HIT, || Reader::new(over_http(STORED, Fails::Never))),
        Contender::new(HTTP_MISS, || Reader::new(over_http(NOT_STORED, Fails::Never))),
        Contender::new(HTTP_REFUSED, || Reader::new(over_http(STORED, Fails::Always))),
    ]
    .map(Contender::ungated)
}

fn over_http(
    directives: &'static str,
    fails: Fails,
) -> impl Service<Asked, Response = Response<impl Body<Data = Bytes>>, Error = BoxError, Future: Send> + Clone + Send
{
    let metrics = HttpMetricsLayer::server(http::Config::default(), &Registry::new());
    let metrics = metrics.expect("nothing else is called so").route(route).boxed_errors();
    let pages = HttpCache::new("bench", buttress_cache::Config::default(), HttpOptions::default());
    let mut origin = Origin::new(SMALL, directives);
    ServiceBuilder::new()
        .layer(metrics)
        .layer(HttpCacheLayer::new(&pages))
        .layer(BreakerLayer::new("bench", buttress_breaker::Config::default()))
        .layer(TimeoutLayer::new("bench", LIMIT))
        .layer(PoolLayer::new(&pool()))
        .service(service_fn(move |(_lease, asked): (Lease<Free>, Asked)| match fails {
            Fails::Never => origin.call(asked),
            _ => ready(Err(Failed.into())),
        }))
}

fn route(_: &Asked) -> Option<&str> {
    Some("/pages/{page}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Rejected;

    /// The last of many answers: breakers that shall be open are.
    async fn last<S: Service<Req>, Req>(
        mut service: S,
        ask: impl Fn(u64) -> Req,
    ) -> Result<S::Response, S::Error> {
        for number in 0..99 {
            let _ = service.ready().await?.call(ask(number)).await;
        }
        service.ready().await?.call(ask(99)).await
    }

    #[tokio::test]
    async fn a_stack_answers_or_its_breaker_refuses() {
        let cache = || store(Policy::Drf);
        assert_eq!(last(batched(&cache(), same, Fails::Never), same).await, Ok(99));
        assert_eq!(last(alone(&cache(), same, Fails::Never), same).await, Ok(99));
        for refused in [
            last(batched(&cache(), same, Fails::Always), same).await,
            last(alone(&cache(), same, Fails::Always), same).await,
        ] {
            let Err(Error::Rejected(rejected)) = refused else { panic!("{refused:?}") };
            assert_eq!(rejected.layer(), "breaker");
        }
    }

    #[tokio::test]
    async fn so_does_one_over_http() {
        let ask = |number| http_cache::asked(&http_cache::page(number), None);
        assert!(last(over_http(NOT_STORED, Fails::Never), ask).await.is_ok());
        let Err(refused) = last(over_http(STORED, Fails::Always), ask).await else { panic!("it is down") };
        assert_eq!(Rejected::find(&*refused).map(|rejected| rejected.layer()), Some("breaker"));
    }
}
