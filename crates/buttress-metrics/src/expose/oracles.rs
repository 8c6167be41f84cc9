//! The same texts before the parsers that others read them with: `promtool`, which is Prometheus' own, and the two of
//! `prometheus_client`, of which the one for `OpenMetrics` is as strict as the standard.

use super::Format;
use super::check::Family;
use super::tests::{Expected, FORMATS, registries};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("oracle.py");
/// The first one may be another than the one that packages are installed for.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// A Python that has the parsers, for many texts.
struct Python {
    child: Child,
    /// `None` when it is to end.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Self {
        let has_parsers = |python: &&str| {
            let mut import = Command::new(python);
            import.args(["-c", "import prometheus_client"]).stdout(Stdio::null()).stderr(Stdio::null());
            import.status().is_ok_and(|status| status.success())
        };
        let python = PYTHONS
            .into_iter()
            .find(has_parsers)
            .expect("there is no prometheus_client for Python here: `cargo xtask setup` installs it");
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just started with other arguments");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, to, from }
    }

    /// Reads a text, and gives its samples: by name and labels, value and exemplar.
    fn read(&mut self, text: &str, format: Format) -> Result<Samples, String> {
        let to = self.to.as_mut().expect("it is taken at the end only");
        write!(to, "{format:?} {}\n{text}", text.len()).and_then(|()| to.flush()).expect("it reads");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("it answers in JSON");
        let Some(samples) = answer["samples"].as_array() else { return Err(answer["error"].to_string()) };
        Ok(samples.iter().map(sample).collect())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

type Labels = BTreeMap<String, String>;
/// Value and exemplar.
type Shown = (String, Option<(Labels, String)>);
type Samples = BTreeMap<(String, Labels), Shown>;

fn sample(sample: &Value) -> ((String, Labels), Shown) {
    let labels = |value: &Value| -> Labels {
        let labels = value.as_object().into_iter().flatten();
        labels.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let exemplar = sample[3].as_array().map(|exemplar| (labels(&exemplar[0]), bits(&text(&exemplar[1]))));
    ((text(&sample[0]), labels(&sample[1])), (bits(&text(&sample[2])), exemplar))
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

/// A number as it is compared: all NaN are one, and nothing else is rounded.
fn bits(number: &str) -> String {
    let number: f64 = number.parse().expect("it is a number");
    if number.is_nan() { "NaN".to_owned() } else { format!("{:x}", number.to_bits()) }
}

fn expected(families: &[Family]) -> Samples {
    let samples = families.iter().flat_map(|family| &family.samples);
    samples
        .map(|sample| {
            let exemplar = sample.exemplar.clone();
            let exemplar = exemplar.map(|(labels, value)| (labels, bits(&value.to_string())));
            ((sample.name.clone(), sample.labels.clone()), (bits(&sample.value), exemplar))
        })
        .collect()
}

#[test]
fn the_parsers_of_prometheus_client_find_what_was_shown() {
    let python = RefCell::new(Python::start());
    let mut runner = TestRunner::new(Config { cases: 128, failure_persistence: None, ..Config::default() });
    let result = runner.run(&registries(), |registry| {
        for format in FORMATS {
            let text = registry.encode(format);
            let found = python.borrow_mut().read(&text, format);
            let found = found.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            let expected = expected(&Expected::of(&registry, format));
            if found != expected {
                return Err(TestCaseError::fail(format!("{found:#?}\n{expected:#?}\n{text}")));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn promtool_takes_every_text() {
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let result = runner.run(&registries(), |registry| {
        let text = registry.encode(Format::Text);
        let mut child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is missing: `cargo xtask setup` installs it with Prometheus");
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        // 3: it parses, and could be named better, which is not ours to judge here.
        if ![Some(0), Some(3)].contains(&output.status.code()) {
            return Err(TestCaseError::fail(format!("{}\n{text}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
