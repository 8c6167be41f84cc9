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
}

impl Encoder {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, out: String::new(), name: String::new() }
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out += "# EOF\n";
        }
        self.out
    }

    /// Everything up to the value: `name_suffix{labels}`, and a space.
    fn begin(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>) {
        let Self { out, name, .. } = self;
        out.push_str(name);
        out.push_str(suffix);
        let mut opening = '{';
        for (name, value) in labels {
            out.push(std::mem::replace(&mut opening, ','));
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
        }
        if let Some(bound) = bound {
            out.push(std::mem::replace(&mut opening, ','));
            write(out, format_args!("le=\"{}\"", Number(bound)));
        }
        out.push_str(if opening == '{' { " " } else { "} " });
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
        self.begin(if self.format == Format::OpenMetrics { "_total" } else { "" }, labels, None);
        write(&mut self.out, format_args!("{total}\n"));
    }

    fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        self.begin("", labels, None);
        write(&mut self.out, format_args!("{}\n", Number(value)));
    }

    fn histogram(&mut self, labels: &[(&str, &str)], snapshot: &Snapshot) {
        let mut exemplars = snapshot.exemplars().iter();
        for bucket in snapshot.buckets() {
            self.begin("_bucket", labels, Some(bucket.bound));
            write(&mut self.out, format_args!("{}", bucket.count));
            if let (Some(Some(exemplar)), Format::OpenMetrics) = (exemplars.next(), self.format) {
                self.exemplar(exemplar);
            }
            self.out.push('\n');
        }
        self.begin("_sum", labels, None);
        write(&mut self.out, format_args!("{}\n", Number(snapshot.sum())));
        self.begin("_count", labels, None);
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
