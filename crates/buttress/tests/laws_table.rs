//! The laws on every layer of the house and on every specimen, as one table:
//! `cargo test -p buttress --all-features --test laws_table -- --nocapture`.
#![cfg(all(
    feature = "batcher",
    feature = "breaker",
    feature = "cache",
    feature = "http",
    feature = "limit",
    feature = "metrics",
    feature = "pool"
))]

use buttress::Ratio;
use buttress::batcher::BatchLayer;
use buttress::breaker::{BreakerLayer, Breakers, Config, KeyedBreakerLayer};
use buttress::cache::{Cache, CacheLayer, Fate, Served};
use buttress::limit::TimeoutLayer;
use buttress::metrics::http::{HttpMetricsLayer, RequestBody};
use buttress::metrics::{self, MetricsLayer, Registry};
use buttress::pool::{Lease, Manager, Pool, PoolLayer};
use buttress_testkit::laws::{self, Table};
use buttress_testkit::scripted::Fault;
use buttress_testkit::specimens::{DeferringFlaw, DeferringLayer, InPlaceFlaw, InPlaceLayer};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::time::Duration;

/// One row per layer; each has to keep all laws.
fn layers() -> Table {
    let limit = Duration::from_secs(1);
    Table::new()
        .row("Timeout", laws::report_in_place!(TimeoutLayer::new("laws", limit)))
        .row(
            "Timeout, deadline",
            laws::report_in_place!(TimeoutLayer::new("laws", limit).deadline(|_: &u64| None)),
        )
        .row("Timeout, no limit", laws::report_in_place!(TimeoutLayer::new("laws", Duration::MAX)))
        .row("Breaker", laws::report_in_place!(BreakerLayer::new("laws", Config::default())))
        .row("Breaker, half-open", laws::report_in_place!(half_open(BreakerLayer::new("laws", probing()))))
        .row("Breaker, gate", laws::report_in_place!(half_open(BreakerLayer::new("laws", probing()).gate())))
        .row(
            "KeyedBreaker",
            laws::report_in_place!(KeyedBreakerLayer::new(
                &Breakers::new("laws", Config::default()),
                |request: &u64| Some(*request % 2)
            )),
        )
        .row("Cached", laws::report_deferring!(CacheLayer::new(&cache(LONG), |n: &u64| Some(*n))))
        .row(
            "Cached, borrowed keys",
            laws::report_deferring!(
                CacheLayer::by_ref(&texts(), |text: &String| Some(text.as_str())),
                request: |n: u64| n.to_string(),
                respond: |text: String| text.parse().unwrap_or(0),
            ),
        )
        .row(
            "Cached, nothing stored",
            // The flight is the one allocation of a miss.
            laws::report_deferring!(
                CacheLayer::new(&cache(Duration::ZERO), |n: &u64| Some(*n)),
                allocations: 1
            ),
        )
        .row("Cached, passed by", laws::report_deferring!(CacheLayer::new(&cache(LONG), |_: &u64| None)))
        .row(
            "Cached, background",
            // Outside a runtime: in one, its tasks end when they end.
            laws::report_deferring!(CacheLayer::new(&cache(LONG), |n: &u64| Some(*n)).background()),
        )
        .row(
            "Cached, rules",
            laws::report_deferring!(
                CacheLayer::new(&cache(LONG), |n: &u64| Some(*n))
                    .rule(|_: &u64| Fate::store().tag("law").into())
                    .share_errors()
                    .mark(|_: &mut u64, _: Served| {})
            ),
        )
        .row("Pooled", laws::report_deferring!(PoolLayer::new(&pool()), respond: used))
        .row("Pooled, shared", laws::report_deferring!(PoolLayer::new(&shared()), respond: used))
        .row(
            "Batch",
            // The one allocation is the batch.
            laws::report_deferring!(
                BatchLayer::new("laws", buttress::batcher::Config::default()).each_error(Fault::clone),
                respond: echo,
                allocations: 1,
            ),
        )
        .row(
            "Batch, keys",
            laws::report_deferring!(
                BatchLayer::new("laws", buttress::batcher::Config::default())
                    .partition_by(|n: &u64| n % 3)
                    .dedup_by(|n: &u64| Some(*n))
                    .each_error(Fault::clone),
                respond: echo,
                allocations: 1,
            ),
        )
        .row("Measured", laws::report_in_place!(measured()))
        .row("Measured, operations", laws::report_in_place!(measured().operation(|_: &u64| Some("any"))))
        .row(
            "HttpMeasured, server",
            laws::report_in_place!(
                HttpMetricsLayer::server(metrics::http::Config::default(), &Registry::new())
                    .expect("the names are free"),
                request: request,
                respond: respond,
            ),
        )
        .row(
            "HttpMeasured, client",
            laws::report_in_place!(
                HttpMetricsLayer::client(metrics::http::Config::default().body_sizes(true), &Registry::new())
                    .expect("the names are free"),
                request: request,
                respond: respond,
            ),
        )
        .row(
            "HttpMeasured, counting bodies",
            laws::report_in_place!(
                HttpMetricsLayer::server(metrics::http::Config::default().body_sizes(true), &Registry::new())
                    .expect("the names are free")
                    .count_request_bodies(),
                request: request,
                respond: respond::<RequestBody<Full<Bytes>>>,
            ),
        )
        .row("sound, in place", laws::report_in_place!(InPlaceLayer::sound()))
        .row("sound, deferring", laws::report_deferring!(DeferringLayer::sound()))
}

/// What a service over batches answers.
fn echo(batch: Vec<u64>) -> Vec<Result<u64, Fault>> {
    batch.into_iter().map(Ok).collect()
}

const LONG: Duration = Duration::from_secs(300);

fn cache(ttl: Duration) -> Cache<u64, u64> {
    Cache::new("laws", buttress::cache::Config::default().ttl(ttl))
}

fn texts() -> Cache<String, u64> {
    Cache::new("laws", buttress::cache::Config::default())
}

fn measured() -> MetricsLayer {
    MetricsLayer::new("laws", metrics::Config::default(), &Registry::new()).expect("the names are free")
}

fn request(n: u64) -> Request<Full<Bytes>> {
    Request::get(format!("http://localhost/{n}")).body(Full::from("question")).expect("it makes sense")
}

fn respond<B>(_: Request<B>) -> Response<Full<Bytes>> {
    Response::new(Full::from("answer"))
}

/// Connections that are numbers.
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

fn pool() -> Pool<Numbers> {
    Pool::new("laws", buttress::pool::Config::default(), Numbers)
}

fn shared() -> Pool<Numbers> {
    Pool::shared("laws", buttress::pool::Config::default(), Numbers, NonZeroU32::new(4).expect("not zero"))
}

fn used((_, n): (Lease<Numbers>, u64)) -> u64 {
    n
}

/// So many probes at a time, and so many results before anything is decided, that the laws stay half-open.
fn probing() -> Config {
    Config::default().probes(NonZeroU8::MAX).probe_results(NonZeroU16::MAX).probe_ratio(Ratio::percent(50))
}

fn half_open(layer: BreakerLayer) -> BreakerLayer {
    layer.handle().force_open();
    layer.handle().auto();
    layer
}

/// One row per layer that is broken on purpose, and the laws they are to break, in the same order.
fn specimens() -> (Table, Vec<&'static str>) {
    let (mut table, mut laws) = (Table::new(), Vec::new());
    for flaw in InPlaceFlaw::ALL {
        table = table.row(format!("{flaw:?}, in place"), laws::report_in_place!(InPlaceLayer::with(flaw)));
        laws.push(flaw.law());
    }
    for flaw in DeferringFlaw::ALL {
        table =
            table.row(format!("{flaw:?}, deferring"), laws::report_deferring!(DeferringLayer::with(flaw)));
        laws.push(flaw.law());
    }
    (table, laws)
}

#[test]
fn laws_table() {
    let layers = layers();
    let (specimens, expected) = specimens();
    println!("layers\n\n{layers}\nspecimens\n\n{specimens}\n{layers:#}\n{specimens:#}");
    for (layer, report) in layers.rows() {
        report.assert_kept(layer);
    }
    for ((specimen, report), law) in specimens.rows().iter().zip(expected) {
        assert_eq!(report.broken(), [law], "{specimen}");
    }
}
