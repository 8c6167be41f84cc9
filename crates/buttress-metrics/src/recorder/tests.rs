//! Beside `metrics-exporter-prometheus`: what is recorded in both, or handed over from ours to it, is the same in both.

use super::{Mirror, Recorder};
use crate::expose::{Format, check};
use crate::histogram::Buckets;
use crate::registry::Registry;
use crate::{exporter, trace::TraceId};
use buttress_core::{Metric, Ratio};
use metrics::{Key, Label};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const BOUNDS: [f64; 4] = [0.1, 1.0, 2.5, 10.0];
const METADATA: metrics::Metadata<'_> = metrics::Metadata::new("test", metrics::Level::INFO, None);

fn exporter() -> PrometheusRecorder {
    let buckets = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full("sizes".into()), &BOUNDS);
    buckets.expect("they are bounds").build_recorder()
}

/// Name, labels and value of each sample.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// What an exposition holds. That of the exporter is not strict enough for a strict reader: it has empty lines, and
/// numbers that are written like ours only sometimes.
fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let sample =
                check::read_sample(line, Format::Text).unwrap_or_else(|error| panic!("{error}: {line}"));
            let mut labels = sample.labels;
            // It writes whole bounds as whole numbers.
            if let Some(le) = labels.get_mut("le").filter(|le| *le != "+Inf") {
                *le = format!("{:?}", le.parse::<f64>().expect("a bound is a number"));
            }
            ((sample.name, labels), sample.value.parse().expect("it was checked"))
        })
        .collect()
}

fn ours(registry: &Registry) -> Samples {
    let text = registry.encode(Format::Text);
    check::read(&text, Format::Text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    samples(&text)
}

/// Sums may be added up in another order.
fn equal(ours: &Samples, theirs: &Samples, sums_within: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for ((key, ours), theirs) in ours.iter().zip(theirs.values()) {
        let within = if key.0.ends_with("_sum") { sums_within * ours.abs() } else { 0.0 };
        prop_assert!((ours - theirs).abs() <= within, "{:?}: {} and {}", key, ours, theirs);
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Call {
    Increment(u64),
    Absolute(u64),
    Set(f64),
    Change(f64),
    Record(f64),
    RecordMany(f64, usize),
}

fn calls() -> impl Strategy<Value = Vec<(Call, Vec<(String, String)>)>> {
    let number = || prop_oneof![0.0..20.0_f64, (0..20_u32).prop_map(f64::from)];
    let call = prop_oneof![
        (0..100_u64).prop_map(Call::Increment),
        (0..1000_u64).prop_map(Call::Absolute),
        number().prop_map(Call::Set),
        (-9..9_i32).prop_map(|change| Call::Change(change.into())),
        number().prop_map(Call::Record),
        (number(), 0..9_usize).prop_map(|(value, count)| Call::RecordMany(value, count)),
    ];
    // Neither backslashes, which the exporter does not tell apart, nor what its names do to labels.
    let labels = vec(("[ab]", "[ab\"\n/ä]{1,3}"), 0..3).prop_map(|mut labels| {
        labels.dedup_by(|one, other| one.0 == other.0);
        labels
    });
    vec((call, labels), 0..40)
}

fn make(recorder: &impl metrics::Recorder, call: &Call, labels: &[(String, String)]) {
    let labels: Vec<_> = labels.iter().map(|(name, value)| Label::new(name.clone(), value.clone())).collect();
    let key = |name: &'static str| Key::from_parts(name, labels);
    match *call {
        Call::Increment(by) => recorder.register_counter(&key("calls_total"), &METADATA).increment(by),
        Call::Absolute(to) => recorder.register_counter(&key("pulled_total"), &METADATA).absolute(to),
        Call::Set(to) => recorder.register_gauge(&key("level"), &METADATA).set(to),
        Call::Change(by) if by < 0.0 => recorder.register_gauge(&key("moves"), &METADATA).decrement(-by),
        Call::Change(by) => recorder.register_gauge(&key("moves"), &METADATA).increment(by),
        Call::Record(value) => recorder.register_histogram(&key("sizes"), &METADATA).record(value),
        Call::RecordMany(value, count) => {
            recorder.register_histogram(&key("sizes"), &METADATA).record_many(value, count);
        }
    }
}

proptest! {
    #[test]
    fn what_is_recorded_in_both_is_the_same_in_both(calls in calls()) {
        let (registry, other) = (Registry::new(), exporter());
        let handle = other.handle();
        let buckets = Buckets::new(&BOUNDS).expect("they are bounds");
        let recorder = Recorder::new(&registry).buckets("sizes", &buckets).forward_to(other);
        for (call, labels) in &calls {
            make(&recorder, call, labels);
        }
        equal(&ours(&registry), &samples(&handle.render()), 1e-9)?;
    }

    #[test]
    fn what_is_handed_over_arrives(calls in vec(calls(), 1..4)) {
        let registry = Registry::new();
        let recorder = Recorder::new(&registry).buckets("sizes", &Buckets::new(&BOUNDS).expect("they are bounds"));
        let other = exporter();
        let handle = other.handle();
        let mut mirror = Mirror::new(other);
        for calls in calls {
            for (call, labels) in &calls {
                make(&recorder, call, labels);
            }
            mirror.push(&registry);
            // What is in the lowest cells, from nothing to a ten thousandth, has a middle that is far from most of it.
            let ours = ours(&registry);
            let mut theirs = samples(&handle.render());
            theirs.iter_mut().filter(|(key, _)| key.0.ends_with("_sum")).for_each(|(key, sum)| {
                if (*sum - ours[key]).abs() < 1e-2 {
                    *sum = ours[key];
                }
            });
            equal(&ours, &theirs, 1.0 / 64.0)?;
        }
    }
}

#[test]
fn native_histograms_and_those_of_parts_are_handed_over_with_their_bounds() {
    const TOOK: Metric = Metric { name: "job_seconds", unit: "seconds", help: "how long jobs take" };
    let registry = Registry::new();
    let took = registry.histogram(&TOOK, &Buckets::<Duration>::default()).unwrap();
    took.record_traced(Duration::from_millis(5), TraceId::new(1).unwrap());
    let other = exporter::with_buckets(PrometheusBuilder::new(), &registry).unwrap().build_recorder();
    let handle = other.handle();
    let mut mirror = Mirror::new(other);
    mirror.push(&registry);
    took.record(Duration::from_secs(7000));
    mirror.push(&registry);
    mirror.push(&registry);
    assert_eq!(took.snapshot().quantile(Ratio::percent(50)), Some(0.005));
    let (ours, theirs) = (ours(&registry), samples(&handle.render()));
    equal(&ours, &theirs, 1.0).unwrap();
    let text = handle.render();
    assert!(text.contains("# HELP job_seconds how long jobs take\n"), "{text}");
}
