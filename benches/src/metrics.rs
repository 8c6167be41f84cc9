//! `buttress-metrics`.

use crate::http_cache::{Asked, Reader};
use crate::{Contender, Fact, Failed, Fails, Inner, measure};
use ::http::{Response, Uri};
use buttress_core::Metric;
use buttress_metrics::expose::Format;
use buttress_metrics::http::{self, HttpMetricsLayer};
use buttress_metrics::{
    Buckets, Config, Counter, Family, Histogram, Label, MetricsLayer, Open, OpenFamily, Registry,
};
use bytes::Bytes;
use http_body_util::Full;
use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::time::Duration;
use tower::{Layer, Service, service_fn};

/// A counter that is at hand.
pub const COUNTER: &str = "buttress: counter";
/// A counter by a label of any value, which is looked for.
pub const LABELLED: &str = "buttress: counter by label";
/// A histogram that is at hand.
pub const HISTOGRAM: &str = "buttress: histogram";
/// A request over HTTP, by itself.
pub const BARE_HTTP: &str = "bare HTTP service";
/// A request over HTTP, measured under its route.
pub const HTTP: &str = "buttress: HTTP layer, route";
/// All of [`SERIES`] counters, as text.
pub const SCRAPE: &str = "buttress: scrape, counters";
/// All of [`SERIES`] histograms, as text.
pub const SCRAPE_HISTOGRAMS: &str = "buttress: scrape, histograms";

/// How many series a scrape has.
pub const SERIES: u64 = 1000;
/// Column: how long the text of a scrape is.
pub const BYTES: &str = "bytes per scrape";
/// Column: what 5 million durations leave on the heap when nobody has looked.
pub const RECORDED: &str = "MiB after 5 M records";
/// Column: what 10,000 values of one label leave on the heap.
pub const LABELS: &str = "MiB after 10,000 label values";

const RECORDS: u64 = 5_000_000;
const VALUES: u64 = 10_000;

/// What the path and the route of a request are.
pub const ROUTE: &str = "/items";

const NAMES: [&str; 16] = [
    "acme",
    "initech",
    "umbrella",
    "hooli",
    "stark",
    "wayne",
    "tyrell",
    "cyberdyne",
    "soylent",
    "aperture",
    "massive",
    "globex",
    "wonka",
    "oscorp",
    "vandelay",
    "monsters",
];

const MILLIS: [u64; 16] = [1, 3, 7, 15, 40, 60, 80, 150, 300, 600, 900, 2_000, 3_000, 6_000, 8_000, 20_000];

/// The value of a label, one of a few.
#[must_use]
pub fn name(n: u64) -> &'static str {
    NAMES[n as usize % NAMES.len()]
}

/// A duration, one of a few that lie in all buckets.
#[must_use]
pub fn took(n: u64) -> Duration {
    const TOOK: [Duration; 16] = {
        let (mut took, mut index) = ([Duration::ZERO; 16], 0);
        while index < took.len() {
            took[index] = Duration::from_millis(MILLIS[index]);
            index += 1;
        }
        took
    };
    TOOK[n as usize % TOOK.len()]
}

#[derive(Clone, Copy)]
enum End {
    Done,
    Failed,
}

impl Label for End {
    const NAME: &'static str = "end";
    const VALUES: &'static [&'static str] = &["done", "failed"];

    fn index(self) -> usize {
        self as usize
    }
}

const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
const JOB: Metric = Metric { name: "job_duration_seconds", unit: "seconds", help: "how long jobs took" };

/// Our counters, histograms, layers and scrapes.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender::operation(COUNTER, || fresh(|registry| registry.counter(&JOBS)), |jobs, _| jobs.inc()),
        Contender::operation(
            "buttress: counter by enum",
            || fresh(|registry| registry.counters(&JOBS)),
            |jobs: &Family<Counter, End>, n| jobs.get(if n % 4 == 0 { End::Failed } else { End::Done }).inc(),
        ),
        // Where a name lies in the table, and so how many are looked at, is up to the seed of its hash.
        Contender::operation(LABELLED, labelled, |jobs, n| jobs.get([name(n)]).inc()).ungated(),
        Contender::operation(HISTOGRAM, histogram, |job, n| job.record(took(n))),
        Contender::new("buttress: layer", || layer().layer(Inner::<Failed>::new(Fails::Never))),
        Contender::new(BARE_HTTP, || Reader::of(answer(), page())),
        Contender::new("buttress: HTTP layer", || {
            let layer = fresh(|registry| HttpMetricsLayer::server(http::Config::default(), registry));
            Reader::of(layer.layer(answer()), page())
        }),
        Contender::new(HTTP, || {
            let layer = fresh(|registry| HttpMetricsLayer::server(http::Config::default(), registry));
            let layer = layer.route(|request: &Asked| (request.uri().path() == ROUTE).then_some(ROUTE));
            Reader::of(layer.layer(answer()), page())
        }),
        scrape(SCRAPE, counters),
        scrape(SCRAPE_HISTOGRAMS, histograms),
    ]
}

/// What our scrapes and memory come to.
#[must_use]
pub fn facts() -> Vec<Fact> {
    vec![
        Fact::new(SCRAPE, BYTES, || Some(counters().encode(Format::Text).len() as f64)),
        Fact::new(SCRAPE_HISTOGRAMS, BYTES, || Some(histograms().encode(Format::Text).len() as f64)),
        recorded(HISTOGRAM, histogram, Histogram::record),
        valued(LABELLED, labelled, |jobs, value| jobs.get([value]).inc()),
    ]
}

fn layer() -> MetricsLayer {
    fresh(|registry| MetricsLayer::new("bench", Config::default(), registry))
}

fn labelled() -> OpenFamily<Counter, 1> {
    fresh(|registry| registry.open_counters(&JOBS, ["tenant"]))
}

fn histogram() -> Histogram {
    fresh(|registry| registry.histogram(&JOB, &Buckets::default()))
}

fn counters() -> Registry {
    let registry = Registry::new();
    let jobs: OpenFamily<Counter, 1> = known(registry.open_counters(&JOBS, room()));
    each_series(|value, n| jobs.get([value]).add(n));
    registry
}

fn histograms() -> Registry {
    let registry = Registry::new();
    let job: OpenFamily<Histogram, 1> = known(registry.open_histograms(&JOB, room(), &Buckets::default()));
    each_series(|value, n| job.get([value]).record(took(n)));
    registry
}

fn room() -> Open<1> {
    Open::new(["tenant"]).cap(SERIES as usize)
}

fn fresh<T, E: std::fmt::Debug>(register: impl FnOnce(&Registry) -> Result<T, E>) -> T {
    known(register(&Registry::new()))
}

fn known<T, E: std::fmt::Debug>(registered: Result<T, E>) -> T {
    registered.expect("nothing else is called so")
}

fn scrape(name: &'static str, make: fn() -> Registry) -> Contender {
    scraped(name, make, |registry| registry.encode(Format::Text).len())
}

/// A row of a scrape that returns the length of its text.
pub fn scraped<S: Send + Sync + 'static>(
    name: &'static str,
    make: impl Fn() -> S + Send + Sync + 'static,
    scrape: impl Fn(&S) -> usize + Copy + Send + Sync + 'static,
) -> Contender {
    let scrape = move |shared: &S, _| {
        black_box(scrape(shared));
    };
    Contender::operation(name, make, scrape).weight(1000)
}

/// Fills so many series as a scrape has: tells each one's label, and a number that is its own.
pub fn each_series(mut fill: impl FnMut(&str, u64)) {
    for n in 1..=SERIES {
        fill(&format!("tenant-{n}"), n);
    }
}

/// What is on the heap after many durations that nobody has looked at.
pub fn recorded<S: 'static>(
    row: &'static str,
    make: impl Fn() -> S + 'static,
    record: fn(&S, Duration),
) -> Fact {
    Fact::new(row, RECORDED, move || {
        let shared = make();
        record(&shared, took(0));
        mebibytes(|| (0..RECORDS).for_each(|n| record(&shared, took(n))))
    })
}

/// What is on the heap after many values of a label, each of which was counted once.
pub fn valued<S: 'static>(row: &'static str, make: impl Fn() -> S + 'static, count: fn(&S, &str)) -> Fact {
    Fact::new(row, LABELS, move || {
        let shared = make();
        mebibytes(|| (0..VALUES).for_each(|n| count(&shared, &format!("tenant-{n}"))))
    })
}

fn mebibytes(fill: impl FnOnce()) -> Option<f64> {
    let ((), bytes) = measure::held(fill);
    bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
}

/// A service over HTTP that answers at once.
#[must_use]
pub fn answer()
-> impl Service<Asked, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(|_: Asked| ready(Ok(Response::new(Full::new(Bytes::from_static(b"an item"))))))
}

/// What is asked for: one page, whose URI threads do not share.
#[must_use]
pub fn page() -> Uri {
    Uri::from_static(ROUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scraped_are_so_many_series() {
        let lines = |registry: Registry| registry.encode(Format::Text).lines().count() as u64;
        // TYPE and HELP; a histogram has 15 buckets, its sum and its count.
        assert_eq!((lines(counters()), lines(histograms())), (2 + SERIES, 2 + 17 * SERIES));
    }

    #[test]
    fn durations_lie_in_all_buckets() {
        let job = histogram();
        (0..16).for_each(|n| job.record(took(n)));
        let snapshot = job.snapshot();
        let counts: Vec<_> = snapshot.buckets().iter().map(|bucket| bucket.count).collect();
        assert!(counts[0] > 0 && counts.windows(2).all(|pair| pair[0] < pair[1]), "{counts:?}");
    }

    #[test]
    fn requests_are_counted_under_their_route() {
        let registry = Registry::new();
        let layer = known(HttpMetricsLayer::server(http::Config::default(), &registry));
        let layer = layer.route(|request: &Asked| (request.uri().path() == ROUTE).then_some(ROUTE));
        let contender = Contender::new("test", move || Reader::of(layer.layer(answer()), page()));
        contender.runners(1)[0].run(7);
        let text = registry.encode(Format::Text);
        let count = text.lines().find(|line| line.contains("_count{http_route=\"/items\""));
        assert!(count.is_some_and(|line| line.ends_with(" 7")), "{text}");
    }
}
