//! Every part there is, in one registry.
#![cfg(all(
    feature = "batcher",
    feature = "breaker",
    feature = "cache",
    feature = "http",
    feature = "limit",
    feature = "metrics",
    feature = "pool"
))]

use buttress::batcher::{self, BatchLayer};
use buttress::breaker::{self, BreakerLayer, Breakers};
use buttress::cache::http::{HttpCache, HttpOptions};
use buttress::cache::{self, Cache};
use buttress::limit::TimeoutLayer;
use buttress::metrics::http::HttpMetricsLayer;
use buttress::metrics::{self, Buckets, Collector, Description, MetricsLayer, Registry, Snapshot};
use buttress::pool::http::HttpPoolLayer;
use buttress::pool::{self, Manager, Pool};
use buttress::{Inspect, Metric, Name};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tower::{BoxError, Layer, ServiceExt, service_fn};

struct Numbers;

impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn check(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

/// One of each. Where two are of a kind their names differ.
fn parts(name: &str) -> Vec<Arc<dyn Inspect>> {
    let (name, other) = (Name::new(name), Name::new(&format!("{name}, other")));
    let pool = Pool::new(name, pool::Config::default(), Numbers);
    vec![
        Arc::new(TimeoutLayer::new(name, Duration::from_secs(1)).handle()),
        Arc::new(BreakerLayer::new(name, breaker::Config::default()).handle()),
        Arc::new(Breakers::<String>::new(other, breaker::Config::default())),
        Arc::new(Cache::<u64, u64>::new(name, cache::Config::default())),
        Arc::new(HttpCache::new(other, cache::Config::default(), HttpOptions::default())),
        Arc::new(pool.db_client()),
        Arc::new(pool),
        Arc::new(HttpPoolLayer::new(name, pool::http::Config::default()).handle()),
        Arc::new(BatchLayer::<u64>::new(name, batcher::Config::default()).handle()),
    ]
}

/// The families, and how many series there are.
#[derive(Default)]
struct Shown {
    families: Vec<Description>,
    series: usize,
}

impl Shown {
    fn has(&self, name: &str) -> bool {
        self.families.iter().any(|family| family.name.starts_with(name))
    }
}

impl Collector for Shown {
    fn family(&mut self, family: &Description) {
        self.families.push(family.clone());
    }

    fn counter(&mut self, _: &[(&str, &str)], _: u64) {
        self.series += 1;
    }

    fn gauge(&mut self, _: &[(&str, &str)], _: f64) {
        self.series += 1;
    }

    fn histogram(&mut self, _: &[(&str, &str)], _: &Snapshot) {
        self.series += 1;
    }
}

fn shown(registry: &Registry) -> Shown {
    let mut shown = Shown::default();
    registry.collect(&mut shown);
    shown
}

#[test]
fn every_part_of_the_house_can_be_shown_beside_every_other() {
    let registry = Registry::new();
    let register = |part| registry.register(part).unwrap_or_else(|error| panic!("{error}"));
    parts("one").into_iter().for_each(register);
    let first = shown(&registry);
    for kind in ["timeout_", "breaker_", "cache_", "pool_", "db_client_", "http_pool_", "batcher_"] {
        assert!(first.has(kind), "{kind}: {:?}", first.families);
    }
    assert!(!first.has("buttress_metrics_dropped"), "something was left out: {:?}", first.families);

    parts("two").into_iter().for_each(register);
    let both = shown(&registry);
    assert_eq!((&both.families, both.series), (&first.families, 2 * first.series));
}

const WRONG: Metric = Metric { name: "wrong", unit: "", help: "of a test" };

/// What has to happen first so that there is something to show: a call of each layer that measures, a breaker that opens,
/// a number that is none.
async fn measure(registry: &Registry) {
    let breaker = breaker::Config::default().consecutive_failures(NonZeroU32::new(1));
    let breaker = BreakerLayer::new("open", breaker);
    registry.register(Arc::new(breaker.handle())).expect("the name is free");
    let fails = breaker.layer(service_fn(|()| async { Err::<(), _>(BoxError::from("as scripted")) }));
    fails.oneshot(()).await.expect_err("it was scripted");
    let wrong = registry.histogram(&WRONG, &Buckets::default());
    wrong.expect("the name is free").record(f64::NAN);

    let calls = MetricsLayer::new("calls", metrics::Config::default(), registry).expect("the names are free");
    let calls = calls.layer(service_fn(|()| async { Ok::<_, Infallible>(()) }));
    calls.oneshot(()).await.expect("it cannot fail");
    let config = metrics::http::Config::default().body_sizes(true);
    for layer in
        [HttpMetricsLayer::server(config.clone(), registry), HttpMetricsLayer::client(config, registry)]
    {
        let service = layer.expect("the names are free").layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("answer")))
        }));
        let request = Request::new(Full::from("question"));
        let response = service.oneshot(request).await.expect("it cannot fail");
        response.into_body().collect().await.expect("it cannot fail");
    }
}

#[tokio::test]
async fn the_guide_has_every_metric_and_no_other() {
    let registry = Registry::new();
    parts("one").into_iter().for_each(|part| registry.register(part).expect("the names are free"));
    measure(&registry).await;

    let families = shown(&registry).families;
    let families = families.iter().filter(|family| family.name != WRONG.name);
    let rows: Vec<_> = families
        .map(|family| format!("| `{}` | {} | {} |", family.name, family.kind.as_str(), family.help))
        .collect();
    let guide = include_str!("../docs/metrics.md");
    let (_, table) = guide.split_once("| --- | --- | --- |\n").expect("it has a table");
    let table: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows == table, "the table is to be:\n{}", rows.join("\n"));
}
