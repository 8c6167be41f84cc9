use super::Format;
use crate::collect::{Collector, Description};
use crate::histogram::{Exemplar, Snapshot};
use crate::name;
use std::fmt::{self, Write};
use std::time::UNIX_EPOCH;

/// Writes a text format, series by series.
pub(crate) struct Encoder {
    format: Format,
    out: String,
    /// The name that a family's samples begin with: in the text format the whole, in `OpenMetrics` without `_total`.
    name: String,
    /// The labels of the series that is written, which has many lines if it is a histogram.
    labels: String,
    /// The bounds of the last histogram, and how they are written: those of a family are the same.
    bounds: Vec<(f64, String)>,
}

impl Encoder {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, out: String::new(), name: String::new(), labels: String::new(), bounds: Vec::new() }
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out += "# EOF\n";
        }
        self.out
    }

    /// Begins a series: its labels are those of the lines that follow.
    fn series(&mut self, labels: &[(&str, &str)]) {
        self.labels.clear();
        for (name, value) in labels {
            if !self.labels.is_empty() {
                self.labels.push(',');
            }
            self.labels.push_str(name);
            self.labels.push_str("=\"");
            escape(&mut self.labels, value, true);
            self.labels.push('"');
        }
    }

    /// Everything up to the value: `name_suffix{labels}`, and a space.
    fn begin(&mut self, suffix: &str) {
        let Self { out, name, labels, .. } = self;
        out.push_str(name);
        out.push_str(suffix);
        if !labels.is_empty() {
            out.push('{');
            out.push_str(labels);
            out.push('}');
        }
        out.push(' ');
    }

    /// Everything up to the count of a bucket: that at `index`.
    fn begin_bucket(&mut self, index: usize, bound: f64) {
        if self.bounds.get(index).is_none_or(|(known, _)| known.to_bits() != bound.to_bits()) {
            self.bounds.truncate(index);
            self.bounds.push((bound, Bound(bound).to_string()));
        }
        let Self { out, name, labels, bounds, .. } = self;
        out.push_str(name);
        out.push_str("_bucket{");
        out.push_str(labels);
        out.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
        out.push_str(&bounds[index].1);
        out.push_str("\"} ");
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let Exemplar { trace, value, at } = exemplar;
        write(&mut self.out, format_args!(" # {{trace_id=\"{trace}\"}} {}", Number(*value)));
        // A clock before 1970 has no time that is worth showing.
        if let Ok(since) = at.duration_since(UNIX_EPOCH) {
            write(&mut self.out, format_args!(" {}.{:03}", since.as_secs(), since.subsec_millis()));
        }
    }
}

impl Collector for Encoder {
    fn family(&mut self, family: &Description) {
        let Description { name, kind, unit, help } = family;
        let base = name::base(name, *kind);
        let name = if self.format == Format::OpenMetrics { base } else { name };
        name.clone_into(&mut self.name);
        write(&mut self.out, format_args!("# TYPE {name} {}\n", kind.as_str()));
        if self.format == Format::OpenMetrics && !unit.is_empty() && name::says_unit(base, unit) {
            write(&mut self.out, format_args!("# UNIT {name} {unit}\n"));
        }
        if !help.is_empty() {
            write(&mut self.out, format_args!("# HELP {name} "));
            // Only OpenMetrics has quotes escaped here too.
            escape(&mut self.out, help, self.format == Format::OpenMetrics);
            self.out.push('\n');
        }
    }

    fn counter(&mut self, labels: &[(&str, &str)], total: u64) {
        self.series(labels);
        self.begin(if self.format == Format::OpenMetrics { "_total" } else { "" });
        write(&mut self.out, format_args!("{total}\n"));
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.series(labels);
        self.begin("");
        write(&mut self.out, format_args!("{}\n", Number(value)));
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        self.series(labels);
        let mut exemplars = snapshot.exemplars().iter();
        for (index, bucket) in snapshot.buckets().iter().enumerate() {
            self.begin_bucket(index, bucket.bound);
            write(&mut self.out, format_args!("{}", bucket.count));
            if let (Some(Some(exemplar)), Format::OpenMetrics) = (exemplars.next(), self.format) {
                self.exemplar(exemplar);
            }
            self.out.push('\n');
        }
        self.begin("_sum");
        write(&mut self.out, format_args!("{}\n", Number(snapshot.sum())));
        self.begin("_count");
        write(&mut self.out, format_args!("{}\n", snapshot.count()));
    }
}

fn write(out: &mut String, what: fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes everything");
}

/// Writes a text so that it reads back as itself.
fn escape(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(|byte| matches!(byte, '\\' | '\n') || quotes && byte == '"') {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// The shortest decimal that reads back as the same float, with the words of Prometheus for those that have none.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            // With an exponent where it is shorter: 1e-300 has 300 digits without.
            value => write!(f, "{value:?}"),
        }
    }
}

/// A float as `OpenMetrics` wants a label to have it, and as Go writes it: else one bound would be two labels.
struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bound) = *self;
        if bound.is_infinite() || (1e-4..1e6).contains(&bound) {
            return Number(bound).fmt(f);
        }
        let text = format!("{bound:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        write!(f, "{digits}e{sign}{exponent:0>2}")
    }
}
