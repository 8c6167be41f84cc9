//! What is written reads back as what was shown, whatever it is.

use super::Format;
use super::check::{Family, Sample, read};
use crate::collect::{Collector, Description};
use crate::family::{Instrument, Open, OpenFamily};
use crate::gauge::Gauge;
use crate::histogram::{Buckets, Histogram, Snapshot};
use crate::registry::Registry;
use crate::trace::TraceId;
use buttress_core::{Metric, Name};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

/// A family to register, and what to record in it.
#[derive(Clone, Debug)]
struct Spec {
    kind: usize,
    name: String,
    help: String,
    labels: [String; 2],
    /// Values of the labels, and a number to record.
    records: Vec<([String; 2], f64)>,
}

/// Texts with all that has to be escaped, and letters of any length.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z/ ]{0,4}",
        Just("\\".to_owned()),
        Just("\\\\n".to_owned()),
        Just("\n".to_owned()),
        Just("\"".to_owned()),
        Just("},le=\"0\"} 1\n# EOF\n".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        0.0..20.0_f64,
        (0..50_u32).prop_map(f64::from),
        Just(f64::INFINITY),
        Just(f64::NAN)
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let name = "[a-c_]{1,3}(_total|_sum|_count|_bucket|_created|_seconds)?";
    let label = "[a-cA_]{1,2}";
    let records = vec(([text(), text()], numbers()), 1..6);
    (0..4_usize, name, text(), [label, label], records).prop_map(|(kind, name, help, labels, records)| Spec {
        kind,
        name,
        help,
        labels,
        records,
    })
}

fn leaked(text: &str) -> &'static str {
    Name::new(text).as_str()
}

impl Spec {
    /// Registers and records, if the registry takes it.
    fn record(&self, registry: &Registry) {
        let unit = if self.name.ends_with("_seconds") { "seconds" } else { "" };
        let metric = Metric { name: leaked(&self.name), unit, help: leaked(&self.help) };
        let open = Open::new([leaked(&self.labels[0]), leaked(&self.labels[1])]).cap(3);
        match self.kind {
            0 => {
                self.each(registry.open_counters(&metric, open), |counter, number| {
                    counter.add(number as u64);
                });
            }
            1 => self.each(registry.open_gauges(&metric, open), Gauge::set),
            2 => {
                let took = registry.open_histograms(&metric, open, &Buckets::<Duration>::default());
                self.each(took, |histogram, number| {
                    if let Ok(took) = Duration::try_from_secs_f64(number) {
                        histogram.record_traced(took, TraceId::new(number.to_bits().max(1).into()).unwrap());
                    }
                });
            }
            _ => {
                let buckets = Buckets::<f64>::default();
                let values = registry.open_histograms(&metric, open, &buckets);
                self.each(values, Histogram::record);
            }
        }
    }

    fn each<M: Instrument>(
        &self,
        family: Result<OpenFamily<M, 2>, crate::RegisterError>,
        record: impl Fn(&M, f64),
    ) {
        let Ok(family) = family else { return };
        for ([one, other], number) in &self.records {
            record(family.get([one, other]), *number);
        }
    }
}

/// Registries that are full of what is hard to write.
pub(super) fn registries() -> impl Strategy<Value = Registry> {
    vec(spec(), 1..8).prop_map(|specs| {
        let registry = Registry::new();
        specs.iter().for_each(|spec| spec.record(&registry));
        registry
    })
}

/// What a reader of the format should find.
pub(super) struct Expected {
    format: Format,
    pub(super) families: Vec<Family>,
}

impl Expected {
    pub(super) fn of(registry: &Registry, format: Format) -> Vec<Family> {
        let mut expected = Self { format, families: Vec::new() };
        registry.collect(&mut expected);
        expected.families
    }

    fn push(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<f64>, value: String) {
        let family = self.families.last_mut().expect("a family begins before its series");
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels = labels.chain(le.map(|le| ("le".to_owned(), number(le)))).collect();
        let name = format!("{}{suffix}", family.name);
        family.samples.push(Sample { name, labels, value, exemplar: None });
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value:?}")
}

impl Collector for Expected {
    fn family(&mut self, family: &Description) {
        let is_open = self.format == Format::OpenMetrics;
        let name = if is_open { family.name.trim_end_matches("_total") } else { &family.name };
        self.families.push(Family {
            name: name.to_owned(),
            kind: family.kind.as_str().to_owned(),
            unit: if is_open { family.unit.to_string() } else { String::new() },
            help: family.help.to_string(),
            samples: Vec::new(),
        });
    }

    fn counter(&mut self, labels: &[(&str, &str)], total: u64) {
        let suffix = if self.format == Format::OpenMetrics { "_total" } else { "" };
        self.push(suffix, labels, None, total.to_string());
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.push("", labels, None, number(value));
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        for (index, bucket) in snapshot.buckets().iter().enumerate() {
            self.push("_bucket", labels, Some(bucket.bound), bucket.count.to_string());
            let exemplar = snapshot.exemplars().get(index).copied().flatten();
            if let (Some(exemplar), Format::OpenMetrics) = (exemplar, self.format) {
                let labels = BTreeMap::from([("trace_id".to_owned(), exemplar.trace.to_string())]);
                let sample = self.families.last_mut().and_then(|family| family.samples.last_mut());
                sample.expect("it was just pushed").exemplar = Some((labels, exemplar.value));
            }
        }
        self.push("_sum", labels, None, number(snapshot.sum()));
        self.push("_count", labels, None, snapshot.count().to_string());
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_what_was_shown(registry in registries()) {
        for format in FORMATS {
            let text = registry.encode(format);
            let found = read(&text, format).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(found, Expected::of(&registry, format));
            prop_assert_eq!(registry.encode(format), text, "the order stays");
        }
    }
}

#[test]
fn the_text_is_what_the_formats_say() {
    const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs, by \"end\" \\ tenant\n" };
    const TOOK: Metric = Metric { name: "took_seconds", unit: "seconds", help: "" };
    const LOAD: Metric = Metric { name: "load", unit: "", help: "" };
    let registry = Registry::new();
    let jobs: OpenFamily<crate::Counter, 1> = registry.open_counters(&JOBS, ["tenant"]).unwrap();
    jobs.get(["a\\b"]).inc();
    jobs.get(["a\\\\b"]).add(2);
    jobs.get(["say \"hi\"\n"]).add(u64::MAX);
    let load: OpenFamily<crate::Gauge, 1> = registry.open_gauges(&LOAD, ["of"]).unwrap();
    for (of, value) in [("a", 1e-300), ("b", f64::NAN), ("c", f64::NEG_INFINITY), ("d", 0.1), ("e", 3.0)] {
        load.get([of]).set(value);
    }
    let bounds = Buckets::new(&[Duration::from_millis(5), Duration::from_secs(1)]).unwrap();
    let took = registry.histogram(&TOOK, &bounds).unwrap();
    took.record(Duration::from_millis(5));
    took.record_traced(Duration::from_millis(6), TraceId::new(0x1f).unwrap());

    let text = r#"# TYPE jobs_total counter
# HELP jobs_total jobs, by "end" \\ tenant\n
jobs_total{tenant="a\\\\b"} 2
jobs_total{tenant="a\\b"} 1
jobs_total{tenant="say \"hi\"\n"} 18446744073709551615
# TYPE load gauge
load{of="a"} 1e-300
load{of="b"} NaN
load{of="c"} -Inf
load{of="d"} 0.1
load{of="e"} 3.0
# TYPE took_seconds histogram
took_seconds_bucket{le="0.005"} 1
took_seconds_bucket{le="1.0"} 2
took_seconds_bucket{le="+Inf"} 2
took_seconds_sum 0.011
took_seconds_count 2
"#;
    assert_eq!(registry.encode(Format::Text), text);
    let exemplar = took.snapshot().exemplars()[1].unwrap();
    let at = exemplar.at.duration_since(std::time::UNIX_EPOCH).unwrap();
    let exemplar = format!(
        "2 # {{trace_id=\"0000000000000000000000000000001f\"}} 0.006 {}.{:03}\n",
        at.as_secs(),
        at.subsec_millis()
    );
    let open_metrics = text
        .replace("# TYPE jobs_total", "# TYPE jobs")
        .replace("# HELP jobs_total jobs, by \"end\"", "# HELP jobs jobs, by \\\"end\\\"")
        .replace("histogram\n", "histogram\n# UNIT took_seconds seconds\n")
        .replace("{le=\"1.0\"} 2\n", &format!("{{le=\"1.0\"}} {exemplar}"))
        + "# EOF\n";
    assert_eq!(registry.encode(Format::OpenMetrics), open_metrics);
}
