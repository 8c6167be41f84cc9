//! What records metrics and shows them to Prometheus, each at its best settings: handles that are kept where there are
//! handles, labels that need no allocation where they may be borrowed for ever, the same bounds for all histograms.

use axum_prometheus::BaseMetricLayer;
use buttress_benches::http_cache::{Asked, Reader};
use buttress_benches::metrics::{
    self as ours, BYTES, COUNTER, HISTOGRAM, HTTP, LABELLED, ROUTE, SCRAPE, SCRAPE_HISTOGRAMS, answer,
    each_series, name, page, recorded, scraped, took, valued,
};
use buttress_benches::{Contender, Fact, reference};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry::{KeyValue, global};
use opentelemetry_instrumentation_tower::http::{extractors::FnRouteExtractor, server::LayerBuilder};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};
use prometheus_client::metrics::{counter, family, histogram};
use std::sync::LazyLock;
use tower::Layer;
use tower::util::MapRequest;
use tower_http::metrics::InFlightRequestsLayer;

/// Those of OpenTelemetry, as ours.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(ours::contenders());
    contenders.extend(exporter());
    contenders.extend(prometheus_client());
    contenders.extend(tikv());
    contenders.extend(opentelemetry());
    contenders.extend(layers());
    contenders
}

pub fn facts() -> Vec<Fact> {
    let mut facts = ours::facts();
    facts.extend(exporter_facts());
    facts.extend(prometheus_client_facts());
    facts.extend(tikv_facts());
    facts.extend(opentelemetry_facts());
    facts
}

/// The exporter of `metrics`, which keeps every sample of a histogram until somebody looks, or tells it to count them.
struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);

impl Exporter {
    fn new() -> Self {
        let recorder = exporter_builder().build_recorder();
        Self { handle: recorder.handle(), recorder }
    }

    fn counter(&self, labels: Vec<Label>) -> metrics::Counter {
        self.recorder.register_counter(&Key::from_parts("jobs_total", labels), &METADATA)
    }

    fn histogram(&self, labels: Vec<Label>) -> metrics::Histogram {
        self.recorder.register_histogram(&Key::from_parts("job_duration_seconds", labels), &METADATA)
    }

    fn counters() -> Self {
        let exporter = Self::new();
        each_series(|value, n| exporter.counter(vec![Label::new("tenant", value.to_owned())]).increment(n));
        exporter
    }

    fn histograms() -> Self {
        let exporter = Self::new();
        each_series(|value, n| {
            exporter.histogram(vec![Label::new("tenant", value.to_owned())]).record(took(n));
        });
        exporter
    }
}

fn exporter_builder() -> PrometheusBuilder {
    PrometheusBuilder::new().set_buckets(&BOUNDS).expect("there are bounds")
}

/// Where the macros of `metrics` record.
pub fn installed() -> &'static PrometheusHandle {
    static HANDLE: LazyLock<PrometheusHandle> =
        LazyLock::new(|| exporter_builder().install_recorder().expect("there is no other"));
    &HANDLE
}

/// Its samples are counted in its own time, often enough that they do not pile up, and that no burst goes without.
pub fn upkeep(n: u64, handle: &PrometheusHandle) {
    if n % 1024 == 0 {
        handle.run_upkeep();
    }
}

const MACRO_LABELLED: &str = "metrics: counter!, label";
const EXPORTED: &str = "metrics: histogram";
const EXPORTER_SCRAPE: &str = "metrics: scrape, counters";
const EXPORTER_SCRAPE_HISTOGRAMS: &str = "metrics: scrape, histograms";

fn exporter() -> [Contender; 7] {
    [
        Contender::operation(
            "metrics: counter",
            || Exporter::new().counter(Vec::new()),
            |jobs, _| {
                jobs.increment(1);
            },
        )
        .against(COUNTER),
        Contender::operation("metrics: counter!", installed, |_, _| {
            metrics::counter!("jobs_total").increment(1);
        })
        .against(COUNTER),
        Contender::operation(MACRO_LABELLED, installed, |_, n| {
            metrics::counter!("tenant_jobs_total", "tenant" => name(n)).increment(1);
        })
        .against(LABELLED),
        Contender::operation(
            EXPORTED,
            || {
                let exporter = Exporter::new();
                (exporter.histogram(Vec::new()), exporter.handle)
            },
            |(job, handle), n| {
                job.record(took(n));
                upkeep(n, handle);
            },
        )
        .against(HISTOGRAM),
        Contender::operation("metrics: histogram!", installed, |handle, n| {
            metrics::histogram!("job_duration_seconds").record(took(n));
            upkeep(n, handle);
        })
        .against(HISTOGRAM),
        scraped(EXPORTER_SCRAPE, Exporter::counters, |exporter| exporter.handle.render().len())
            .against(SCRAPE),
        scraped(EXPORTER_SCRAPE_HISTOGRAMS, Exporter::histograms, |exporter| exporter.handle.render().len())
            .against(SCRAPE_HISTOGRAMS),
    ]
}

fn exporter_facts() -> [Fact; 4] {
    [
        Fact::new(EXPORTER_SCRAPE, BYTES, || Some(Exporter::counters().handle.render().len() as f64)),
        Fact::new(EXPORTER_SCRAPE_HISTOGRAMS, BYTES, || {
            Some(Exporter::histograms().handle.render().len() as f64)
        }),
        recorded(
            EXPORTED,
            || {
                let exporter = Exporter::new();
                (exporter.histogram(Vec::new()), exporter)
            },
            |(job, _), took| job.record(took),
        ),
        valued(MACRO_LABELLED, Exporter::new, |exporter, value| {
            exporter.counter(vec![Label::new("tenant", value.to_owned())]).increment(1);
        }),
    ]
}

type Named<T> = [(&'static str, T); 1];
type ClientCounters<T> = family::Family<Named<T>, counter::Counter>;
type ClientHistograms = family::Family<Named<String>, histogram::Histogram, fn() -> histogram::Histogram>;

const CLIENT_LABELLED: &str = "prometheus-client: counter by label";
const CLIENT_HISTOGRAM: &str = "prometheus-client: histogram";
const CLIENT_SCRAPE: &str = "prometheus-client: scrape, counters";
const CLIENT_SCRAPE_HISTOGRAMS: &str = "prometheus-client: scrape, histograms";

fn prometheus_client() -> [Contender; 5] {
    [
        Contender::operation("prometheus-client: counter", counter::Counter::<u64>::default, |jobs, _| {
            jobs.inc();
        })
        .against(COUNTER),
        Contender::operation(CLIENT_LABELLED, ClientCounters::<&'static str>::default, |jobs, n| {
            jobs.get_or_create(&[("tenant", name(n))]).inc();
        })
        .against(LABELLED),
        Contender::operation(CLIENT_HISTOGRAM, client_histogram, |job, n| job.observe(took(n).as_secs_f64()))
            .against(HISTOGRAM),
        scraped(CLIENT_SCRAPE, client_counters, client_text).against(SCRAPE),
        scraped(CLIENT_SCRAPE_HISTOGRAMS, client_histograms, client_text).against(SCRAPE_HISTOGRAMS),
    ]
}

fn client_histogram() -> histogram::Histogram {
    histogram::Histogram::new(BOUNDS)
}

fn client_counters() -> prometheus_client::registry::Registry {
    let (mut registry, jobs) = (prometheus_client::registry::Registry::default(), ClientCounters::default());
    each_series(|value, n| {
        jobs.get_or_create(&[("tenant", value.to_owned())]).inc_by(n);
    });
    registry.register("jobs", "jobs that were done", jobs);
    registry
}

fn client_histograms() -> prometheus_client::registry::Registry {
    let mut registry = prometheus_client::registry::Registry::default();
    let job = ClientHistograms::new_with_constructor(client_histogram);
    each_series(|value, n| job.get_or_create(&[("tenant", value.to_owned())]).observe(took(n).as_secs_f64()));
    registry.register("job_duration_seconds", "how long jobs took", job);
    registry
}

fn client_text(registry: &prometheus_client::registry::Registry) -> usize {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("a String takes all");
    text.len()
}

fn prometheus_client_facts() -> [Fact; 4] {
    [
        Fact::new(CLIENT_SCRAPE, BYTES, || Some(client_text(&client_counters()) as f64)),
        Fact::new(CLIENT_SCRAPE_HISTOGRAMS, BYTES, || Some(client_text(&client_histograms()) as f64)),
        recorded(CLIENT_HISTOGRAM, client_histogram, |job, took| job.observe(took.as_secs_f64())),
        valued(CLIENT_LABELLED, ClientCounters::default, |jobs, value| {
            jobs.get_or_create(&[("tenant", value.to_owned())]).inc();
        }),
    ]
}

const TIKV_LABELLED: &str = "prometheus: counter by label";
const TIKV_HISTOGRAM: &str = "prometheus: histogram";
const TIKV_SCRAPE: &str = "prometheus: scrape, counters";
const TIKV_SCRAPE_HISTOGRAMS: &str = "prometheus: scrape, histograms";

fn tikv() -> [Contender; 5] {
    [
        Contender::operation(
            "prometheus: counter",
            || tikv_jobs().with_label_values(&["acme"]),
            |jobs, _| {
                jobs.inc();
            },
        )
        .against(COUNTER),
        Contender::operation(TIKV_LABELLED, tikv_jobs, |jobs, n| jobs.with_label_values(&[name(n)]).inc())
            .against(LABELLED),
        Contender::operation(TIKV_HISTOGRAM, tikv_histogram, |job, n| job.observe(took(n).as_secs_f64()))
            .against(HISTOGRAM),
        scraped(TIKV_SCRAPE, tikv_counters, tikv_text).against(SCRAPE),
        scraped(TIKV_SCRAPE_HISTOGRAMS, tikv_histograms, tikv_text).against(SCRAPE_HISTOGRAMS),
    ]
}

fn tikv_jobs() -> IntCounterVec {
    let jobs = Opts::new("jobs_total", "jobs that were done");
    IntCounterVec::new(jobs, &["tenant"]).expect("a name that may be")
}

fn tikv_job() -> HistogramVec {
    let job = HistogramOpts::new("job_duration_seconds", "how long jobs took").buckets(BOUNDS.to_vec());
    HistogramVec::new(job, &["tenant"]).expect("a name that may be")
}

fn tikv_histogram() -> prometheus::Histogram {
    tikv_job().with_label_values(&["acme"])
}

fn tikv_counters() -> prometheus::Registry {
    let (registry, jobs) = (prometheus::Registry::new(), tikv_jobs());
    each_series(|value, n| jobs.with_label_values(&[value]).inc_by(n));
    registry.register(Box::new(jobs)).expect("nothing else is called so");
    registry
}

fn tikv_histograms() -> prometheus::Registry {
    let (registry, job) = (prometheus::Registry::new(), tikv_job());
    each_series(|value, n| job.with_label_values(&[value]).observe(took(n).as_secs_f64()));
    registry.register(Box::new(job)).expect("nothing else is called so");
    registry
}

fn tikv_text(registry: &prometheus::Registry) -> usize {
    prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("a String takes all").len()
}

fn tikv_facts() -> [Fact; 4] {
    [
        Fact::new(TIKV_SCRAPE, BYTES, || Some(tikv_text(&tikv_counters()) as f64)),
        Fact::new(TIKV_SCRAPE_HISTOGRAMS, BYTES, || Some(tikv_text(&tikv_histograms()) as f64)),
        recorded(TIKV_HISTOGRAM, tikv_histogram, |job, took| job.observe(took.as_secs_f64())),
        valued(TIKV_LABELLED, tikv_jobs, |jobs, value| jobs.with_label_values(&[value]).inc()),
    ]
}

/// OpenTelemetry's own SDK, read by Prometheus.
struct Otel {
    registry: prometheus::Registry,
    provider: SdkMeterProvider,
}

impl Otel {
    fn new() -> Self {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build();
        let exporter = exporter.expect("nothing else is in its registry");
        Self { registry, provider: SdkMeterProvider::builder().with_reader(exporter).build() }
    }

    fn meter(&self) -> Meter {
        self.provider.meter("bench")
    }

    fn jobs(&self) -> Counter<u64> {
        self.meter().u64_counter("jobs").with_description("jobs that were done").build()
    }

    fn job(&self) -> Histogram<f64> {
        let meter = self.meter();
        let job = meter.f64_histogram("job.duration").with_unit("s");
        job.with_description("how long jobs took").with_boundaries(BOUNDS.to_vec()).build()
    }

    fn counters() -> Self {
        let otel = Self::new();
        let jobs = otel.jobs();
        each_series(|value, n| jobs.add(n, &[KeyValue::new("tenant", value.to_owned())]));
        otel
    }

    fn histograms() -> Self {
        let otel = Self::new();
        let job = otel.job();
        each_series(|value, n| {
            job.record(took(n).as_secs_f64(), &[KeyValue::new("tenant", value.to_owned())]);
        });
        otel
    }

    fn text(&self) -> usize {
        tikv_text(&self.registry)
    }
}

const OTEL_LABELLED: &str = "opentelemetry: counter by label";
const OTEL_HISTOGRAM: &str = "opentelemetry: histogram";
const OTEL_SCRAPE: &str = "opentelemetry: scrape, counters";
const OTEL_SCRAPE_HISTOGRAMS: &str = "opentelemetry: scrape, histograms";

fn opentelemetry() -> [Contender; 5] {
    let jobs = || {
        let otel = Otel::new();
        (otel.jobs(), otel)
    };
    [
        Contender::operation("opentelemetry: counter", jobs, |(jobs, _), _| jobs.add(1, &[]))
            .against(COUNTER),
        Contender::operation(OTEL_LABELLED, jobs, |(jobs, _), n| {
            jobs.add(1, &[KeyValue::new("tenant", name(n))]);
        })
        .against(LABELLED),
        Contender::operation(OTEL_HISTOGRAM, otel_histogram, |(job, _), n| {
            job.record(took(n).as_secs_f64(), &[]);
        })
        .against(HISTOGRAM),
        scraped(OTEL_SCRAPE, Otel::counters, Otel::text).against(SCRAPE),
        scraped(OTEL_SCRAPE_HISTOGRAMS, Otel::histograms, Otel::text).against(SCRAPE_HISTOGRAMS),
    ]
}

fn otel_histogram() -> (Histogram<f64>, Otel) {
    let otel = Otel::new();
    (otel.job(), otel)
}

fn opentelemetry_facts() -> [Fact; 4] {
    [
        Fact::new(OTEL_SCRAPE, BYTES, || Some(Otel::counters().text() as f64)),
        Fact::new(OTEL_SCRAPE_HISTOGRAMS, BYTES, || Some(Otel::histograms().text() as f64)),
        recorded(OTEL_HISTOGRAM, otel_histogram, |(job, _), took| job.record(took.as_secs_f64(), &[])),
        valued(
            OTEL_LABELLED,
            || {
                let otel = Otel::new();
                (otel.jobs(), otel)
            },
            |(jobs, _), value| jobs.add(1, &[KeyValue::new("tenant", value.to_owned())]),
        ),
    ]
}

/// Round the same service over HTTP. What a route is, is said as simply as it can be.
fn layers() -> [Contender; 3] {
    [
        Contender::new("axum-prometheus", || {
            let handle = installed();
            MapRequest::new(Reader::of(BaseMetricLayer::new().layer(answer()), page()), move |n| {
                upkeep(n, handle);
                n
            })
        })
        .against(HTTP),
        // Without spans. Where nobody has set a provider, it records nothing.
        Contender::new("opentelemetry-instrumentation-tower", || {
            static PROVIDER: LazyLock<Otel> = LazyLock::new(|| {
                let otel = Otel::new();
                global::set_meter_provider(otel.provider.clone());
                otel
            });
            LazyLock::force(&PROVIDER);
            let route = FnRouteExtractor::new(|_: &Asked| Some(ROUTE.to_owned()));
            let layer = LayerBuilder::builder().with_route_extractor(route).with_tracing(false).build();
            Reader::of(layer.expect("nothing is wrong with it").layer(answer()), page())
        })
        .against(HTTP),
        // How many are in flight, and nothing else.
        Contender::new("tower-http: in flight", || {
            Reader::of(InFlightRequestsLayer::pair().0.layer(answer()), page())
        })
        .against(HTTP),
    ]
}
