//! Labels, helps and numbers of any bytes: both formats read back as what was shown, and no series is there twice.
//!
//! The input is records: a byte that chooses a family and how it is counted, a number, and two label values that end
//! where a zero is.
#![no_main]

use buttress_core::{Metric, Name};
use buttress_metrics::expose::{Format, check};
use buttress_metrics::{Buckets, Collector, Counter, Description, Gauge, Histogram, Open, OpenFamily};
use buttress_metrics::{Registry, Snapshot, TraceId};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

fuzz_target!(|input: &[u8]| {
    let (help, mut rest) = text(input);
    // Interned for good: one of a few.
    let help = ["", "a \"help\" \\ of two\nlines", "\\n", "\u{feff}é"][help.len() % 4];
    let families = Families::new(Name::new(help).as_str());
    while let Some((&choice, after)) = rest.split_first() {
        let Some((number, after)) = after.split_first_chunk() else { break };
        let ((one, after), number) = (text(after), f64::from_le_bytes(*number));
        let (other, after) = text(after);
        families.record(choice, [&one, &other], number);
        rest = after;
    }
    for format in FORMATS {
        let encoded = families.registry.encode(format);
        let found = check::read(&encoded, format).unwrap_or_else(|error| panic!("{error}\n{encoded}"));
        let mut shown = Shown::default();
        families.registry.collect(&mut shown);
        assert_eq!(samples(&found, format), shown.0, "{encoded}");
        assert!(found.iter().all(|family| family.help == help || family.name.starts_with("buttress")));
    }
});

/// A text up to a zero, and what is behind it.
fn text(input: &[u8]) -> (String, &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    (String::from_utf8_lossy(&input[..end]).into_owned(), input.get(end + 1..).unwrap_or_default())
}

struct Families {
    registry: Registry,
    counts: OpenFamily<Counter, 2>,
    levels: OpenFamily<Gauge, 2>,
    sizes: OpenFamily<Histogram<f64>, 2>,
}

impl Families {
    fn new(help: &'static str) -> Self {
        let metric = |name| Metric { name, unit: "", help };
        let open = Open::new(["one", "other"]).cap(4);
        let registry = Registry::new();
        Self {
            counts: registry.open_counters(&metric("counts_total"), open).expect("it is a name"),
            levels: registry.open_gauges(&metric("levels"), open).expect("it is a name"),
            sizes: registry
                .open_histograms(&metric("sizes"), open, &Buckets::default())
                .expect("it is a name"),
            registry,
        }
    }

    fn record(&self, choice: u8, labels: [&str; 2], number: f64) {
        match choice % 5 {
            0 => self.counts.get(labels).add(number as u64),
            1 => self.levels.get(labels).set(number),
            2 => self.levels.get(labels).add(number),
            3 => self.sizes.get(labels).record(number),
            _ => match TraceId::new(number.to_bits().into()) {
                Some(trace) => self.sizes.get(labels).record_traced(number, trace),
                None => self.sizes.get(labels).record(number),
            },
        }
    }
}

/// Name, labels and number of every sample; numbers by their bits, all NaN as one.
type Samples = BTreeMap<(String, BTreeMap<String, String>), u64>;

fn bits(number: f64) -> u64 {
    if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() }
}

fn samples(families: &[check::Family], format: Format) -> Samples {
    let all = families.iter().flat_map(|family| family.samples.iter().map(move |sample| (family, sample)));
    all.map(|(family, sample)| {
        let number = match &*sample.value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => number.parse().expect("it was checked"),
        };
        let is_total = family.kind == "counter" && format == Format::Text;
        assert!(!is_total || sample.name.ends_with("_total"));
        ((sample.name.clone(), sample.labels.clone()), bits(number))
    })
    .collect()
}

/// The same, from the registry.
#[derive(Default)]
struct Shown(Samples, String);

impl Shown {
    fn push(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>, number: f64) {
        let le = bound.map(|bound| if bound == f64::INFINITY { "+Inf".into() } else { format!("{bound:?}") });
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels = labels.chain(le.map(|le| ("le".to_owned(), le))).collect();
        let before = self.0.insert((format!("{}{suffix}", self.1), labels), bits(number));
        assert_eq!(before, None, "a series twice");
    }
}

impl Collector for Shown {
    fn family(&mut self, family: &Description) {
        self.1 = family.name.to_string();
    }

    fn counter(&mut self, labels: &[(&str, &str)], total: u64) {
        self.push("", labels, None, total as f64);
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.push("", labels, None, value);
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        for bucket in snapshot.buckets() {
            self.push("_bucket", labels, Some(bucket.bound), bucket.count as f64);
        }
        self.push("_sum", labels, None, snapshot.sum());
        self.push("_count", labels, None, snapshot.count() as f64);
    }
}
