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
use buttress::metrics::{Collector, Description, Registry, Snapshot};
use buttress::pool::http::HttpPoolLayer;
use buttress::pool::{self, Manager, Pool};
use buttress::{Inspect, Name};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

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

/// The names of the families, and how many series there are.
#[derive(Default)]
struct Shown {
    families: Vec<String>,
    series: usize,
}

impl Collector for Shown {
    fn family(&mut self, family: &Description) {
        self.families.push(family.name.to_string());
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
        assert!(first.families.iter().any(|family| family.starts_with(kind)), "{kind}: {:?}", first.families);
    }
    // What is left out would be a family of its own.
    assert!(!first.families.iter().any(|family| family.contains("dropped")), "{:?}", first.families);

    parts("two").into_iter().for_each(register);
    let both = shown(&registry);
    assert_eq!((&both.families, both.series), (&first.families, 2 * first.series));
}
