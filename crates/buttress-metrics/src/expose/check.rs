//! A strict reader of both formats: takes nothing that a parser somewhere refuses, and no series twice, which the
//! parsers themselves let pass. It shares nothing with the writer.

use super::Format;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::str::Chars;

/// A family as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// The name after `# TYPE`.
    pub name: String,
    /// The word after it.
    pub kind: String,
    /// What `# UNIT` says.
    pub unit: String,
    /// What `# HELP` says.
    pub help: String,
    /// In the order in which they come.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The whole name.
    pub name: String,
    /// Its labels, `le` among them.
    pub labels: BTreeMap<String, String>,
    /// Its value, as it stands there.
    pub value: String,
    /// The exemplar's labels and value.
    pub exemplar: Option<(BTreeMap<String, String>, f64)>,
}

type Checked<T> = Result<T, String>;

/// Reads a whole exposition.
///
/// # Errors
///
/// Where it is not what the format says, or not what a server can keep.
pub fn read(text: &str, format: Format) -> Checked<Vec<Family>> {
    let mut lines = text.split('\n').collect::<Vec<_>>();
    ensure(lines.pop() == Some(""), "the last line does not end")?;
    if format == Format::OpenMetrics {
        ensure(lines.pop() == Some("# EOF"), "it does not end in EOF")?;
    }
    let mut families: Vec<Family> = Vec::new();
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            read_comment(comment, format, &mut families).map_err(|error| format!("{error}: {line}"))?;
        } else {
            let family = families.last_mut().ok_or("a sample before any family")?;
            let sample = read_sample(line, format).map_err(|error| format!("{error}: {line}"))?;
            ensure(family.may_have(&sample, format), "a sample that is not its family's")?;
            family.samples.push(sample);
        }
    }
    check(&families, format)?;
    Ok(families)
}

fn ensure(holds: bool, otherwise: &str) -> Checked<()> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// `TYPE` begins a family; `UNIT` and `HELP` follow it, once.
fn read_comment(comment: &str, format: Format, families: &mut Vec<Family>) -> Checked<()> {
    let mut words = comment.splitn(3, ' ');
    let (keyword, name) = (words.next().unwrap_or(""), words.next().ok_or("a comment without a name")?);
    let rest = words.next().ok_or("a comment without a content")?;
    ensure(is_name(name), "not a name")?;
    if keyword == "TYPE" {
        ensure(["counter", "gauge", "histogram"].contains(&rest), "not a type")?;
        families.push(Family { name: name.into(), kind: rest.into(), ..Family::default() });
        return Ok(());
    }
    let family = families.last_mut().filter(|family| family.name == name).ok_or("of another family")?;
    ensure(family.samples.is_empty(), "it comes after samples")?;
    match keyword {
        "UNIT" => {
            ensure(format == Format::OpenMetrics && family.unit.is_empty(), "not here")?;
            ensure(name.ends_with(&format!("_{rest}")), "the name does not end in its unit")?;
            family.unit = rest.into();
        }
        "HELP" => {
            ensure(family.help.is_empty(), "a second help")?;
            let mut rest = rest.chars();
            family.help = unescape(&mut rest, format == Format::OpenMetrics, None)?;
        }
        _ => return Err("not a comment that means anything".into()),
    }
    Ok(())
}

pub(crate) fn read_sample(line: &str, format: Format) -> Checked<Sample> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    ensure(is_name(name), "not a name")?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => {
            let mut rest = rest.chars();
            (read_labels(&mut rest)?, rest.as_str())
        }
        None => (BTreeMap::new(), rest),
    };
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (value, exemplar) = match rest.split_once(" # {") {
        Some((value, exemplar)) => (value, Some(read_exemplar(exemplar, format)?)),
        None => (rest, None),
    };
    number(value)?;
    Ok(Sample { name: name.into(), labels, value: value.into(), exemplar })
}

/// Up to the closing brace.
fn read_labels(rest: &mut Chars<'_>) -> Checked<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.as_str().split_once("=\"").ok_or("no value of a label")?;
        ensure(is_name(name) && !name.contains(':') && !name.starts_with("__"), "not a label")?;
        *rest = after.chars();
        let value = unescape(rest, true, Some('"'))?;
        ensure(!value.is_empty(), "an empty label, which is none")?;
        ensure(labels.insert(name.to_owned(), value).is_none(), "a label twice")?;
        match rest.next() {
            Some(',') => {}
            Some('}') => return Ok(labels),
            _ => return Err("no end of the labels".into()),
        }
    }
}

fn read_exemplar(exemplar: &str, format: Format) -> Checked<(BTreeMap<String, String>, f64)> {
    ensure(format == Format::OpenMetrics, "an exemplar in a format that has none")?;
    let mut rest = exemplar.chars();
    let labels = read_labels(&mut rest)?;
    let length: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    ensure(length <= 128, "an exemplar that is too long")?;
    let mut numbers = rest.as_str().strip_prefix(' ').ok_or("no value of an exemplar")?.split(' ');
    let value = number(numbers.next().unwrap_or(""))?;
    let at = numbers.next().map_or(Ok(0.0), number)?;
    ensure(at >= 0.0 && numbers.next().is_none(), "more than a time after an exemplar")?;
    Ok((labels, value))
}

/// Reads up to `end`, or to the end.
fn unescape(rest: &mut Chars<'_>, quotes: bool, end: Option<char>) -> Checked<String> {
    let mut text = String::new();
    loop {
        match rest.next() {
            None if end.is_none() => return Ok(text),
            None => return Err("a label without an end".into()),
            Some(char) if Some(char) == end => return Ok(text),
            Some('"') if quotes => return Err("a quote that is not escaped".into()),
            Some('\\') => text.push(match rest.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                _ => return Err("an escape that is none".into()),
            }),
            Some(char) => text.push(char),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is =
        |at: usize, byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || at > 0 && byte.is_ascii_digit();
    !name.is_empty() && name.bytes().enumerate().all(|(at, byte)| is(at, byte))
}

/// A float, with the words of Prometheus and no others.
fn number(text: &str) -> Checked<f64> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte)) => {
            text.parse().map_err(|_| format!("not a number: {text}"))
        }
        _ => Err(format!("not a number: {text}")),
    }
}

impl Family {
    fn may_have(&self, sample: &Sample, format: Format) -> bool {
        let Some(suffix) = sample.name.strip_prefix(&self.name) else { return false };
        let (suffixes, exemplars): (&[&str], _) = match (&*self.kind, format) {
            ("counter", Format::OpenMetrics) => (&["_total"], true),
            ("histogram", _) => (&["_bucket", "_sum", "_count"], suffix == "_bucket"),
            _ => (&[""], false),
        };
        suffixes.contains(&suffix) && (exemplars || sample.exemplar.is_none())
    }

    /// The names that its samples may have.
    fn names(&self) -> Vec<String> {
        let suffixes: &[&str] = match &*self.kind {
            "counter" => &["", "_total", "_created"],
            "histogram" => &["", "_bucket", "_sum", "_count", "_created"],
            _ => &[""],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect()
    }
}

/// What no grammar demands and every server needs.
fn check(families: &[Family], format: Format) -> Checked<()> {
    let (mut names, mut series) = (BTreeSet::new(), HashSet::new());
    for family in families {
        for name in family.names() {
            ensure(
                names.insert(name),
                &format!("two families could have samples called as `{}`'s", family.name),
            )?;
        }
        ensure(!family.samples.is_empty(), "a family without samples")?;
        for sample in &family.samples {
            ensure(
                series.insert((&sample.name, &sample.labels)),
                &format!("twice: {} {:?}", sample.name, sample.labels),
            )?;
            let is_total = family.kind == "counter";
            ensure(!is_total || number(&sample.value)? >= 0.0, "a counter that is negative or not a number")?;
            ensure(
                family.kind == "histogram" && sample.name.ends_with("_bucket")
                    || !sample.labels.contains_key("le"),
                "`le` where there is no bucket",
            )?;
        }
        if family.kind == "histogram" {
            check_histogram(family, format)?;
        }
    }
    Ok(())
}

/// Each series comes as a whole: rising buckets to infinity, then sum and count.
fn check_histogram(family: &Family, format: Format) -> Checked<()> {
    let mut samples = family.samples.iter().peekable();
    while let Some(first) = samples.peek() {
        let mut labels = first.labels.clone();
        labels.remove("le");
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0);
        while let Some(bucket) = samples.next_if(|sample| sample.name.ends_with("_bucket")) {
            let mut own = bucket.labels.clone();
            let le = own.remove("le").ok_or("a bucket without a bound")?;
            ensure(le == "+Inf" || le.contains(['.', 'e']), "a bound that is not written as a float")?;
            let (upper, up_to) = (number(&le)?, whole(&bucket.value)?);
            ensure(own == labels, "a bucket of another series")?;
            ensure(upper > bound && up_to >= count, "buckets that do not rise")?;
            let exemplar = bucket.exemplar.as_ref();
            ensure(
                exemplar.is_none_or(|(_, value)| *value <= upper && *value > bound || *value == 0.0),
                "an exemplar of another bucket",
            )?;
            (bound, count) = (upper, up_to);
        }
        ensure(bound == f64::INFINITY, "no bucket for all")?;
        let sum = samples.next().filter(|sample| sample.name.ends_with("_sum")).ok_or("no sum")?;
        ensure(sum.labels == labels && number(&sum.value)?.is_finite(), "a sum of another, or infinite")?;
        let all = samples.next().filter(|sample| sample.name.ends_with("_count")).ok_or("no count")?;
        ensure(
            all.labels == labels && whole(&all.value)? == count,
            "the buckets do not hold what is counted",
        )?;
    }
    let exemplars = family.samples.iter().any(|sample| sample.exemplar.is_some());
    ensure(!exemplars || format == Format::OpenMetrics, "an exemplar in a format that has none")
}

fn whole(text: &str) -> Checked<u64> {
    text.parse().map_err(|_| format!("not a whole number: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_cannot_read_or_keep_is_refused() {
        const HISTOGRAM: &str = "# TYPE h histogram\n";
        for (text, says) in [
            ("# TYPE a gauge\na 1", "does not end"),
            ("a 1\n", "before any family"),
            ("# TYPE a gauge\n", "without samples"),
            ("# TYPE a gauge\na 1\na 2\n", "twice"),
            ("# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n", "twice"),
            ("# TYPE a gauge\na 1\n# TYPE a gauge\na{x=\"1\"} 1\n", "two families"),
            ("# TYPE a gauge\na 1\n# HELP a late\n", "after samples"),
            ("# TYPE a gauge\nb 1\n", "not its family's"),
            ("# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n", "a label twice"),
            ("# TYPE a gauge\na{x=\"\\t\"} 1\n", "escape that is none"),
            ("# TYPE a gauge\na{x=\"\"} 1\n", "empty label"),
            ("# TYPE a gauge\na{__x=\"1\"} 1\n", "not a label"),
            ("# TYPE a gauge\na{le=\"1.0\"} 1\n", "no bucket"),
            ("# TYPE a gauge\na inf\n", "not a number"),
            ("# TYPE a_total counter\na_total NaN\n", "negative or not"),
            ("# TYPE h histogram\nh_count 1\n", "no bucket for all"),
        ] {
            let error = read(text, Format::Text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        for (buckets, says) in [
            ("h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", ""),
            ("h_bucket{le=\"1.0\"} 1\nh_sum 1\nh_count 1\n", "for all"),
            ("h_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", "do not rise"),
            ("h_bucket{le=\"1.0\"} 0\nh_bucket{le=\"0.5\"} 0\nh_bucket{le=\"+Inf\"} 1\n", "do not rise"),
            ("h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_sum 1\nh_count 0\n", "as a float"),
            ("h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n", "do not hold"),
            ("h_bucket{le=\"+Inf\"} 1\nh_sum NaN\nh_count 1\n", "infinite"),
            ("h_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n", "no sum"),
            (
                "h_bucket{le=\"1.0\",a=\"b\"} 0\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
                "another series",
            ),
        ] {
            match read(&format!("{HISTOGRAM}{buckets}"), Format::Text) {
                Ok(_) => assert_eq!(says, "", "{buckets}"),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{buckets}: {error}"),
            }
        }
        for (text, says) in [
            ("# TYPE a counter\na_total 1\n# EOF\n", ""),
            ("# TYPE a counter\na_total 1\n", "EOF"),
            ("# TYPE a counter\na 1\n# EOF\n", "not its family's"),
            ("# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n", "its unit"),
        ] {
            match read(text, Format::OpenMetrics) {
                Ok(_) => assert_eq!(says, "", "{text}"),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{text}: {error}"),
            }
        }
    }
}
