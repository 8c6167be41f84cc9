//! Which names there can be.

use crate::error::RegisterError;
use buttress_core::Metric;
use std::collections::HashSet;

/// What a family shows; also the word of Prometheus for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A total that never falls.
    Counter,
    /// A value that moves both ways.
    Gauge,
    /// Values by their size.
    Histogram,
}

impl Kind {
    /// The kind in one word, as Prometheus writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// What the names of this kind's samples end in, beside the family's own name; OpenMetrics reserves them.
    pub(crate) const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total", "_created"],
            Self::Gauge => &[],
            Self::Histogram => &["_bucket", "_sum", "_count", "_created"],
        }
    }
}

/// Whether it is a word of letters, digits and underscores that no digit begins, nor two underscores: those are
/// Prometheus' own.
pub(crate) fn is_word(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.starts_with("__")
}

/// Whether a label can have this name: `le` and `quantile` are Prometheus' own too.
pub(crate) fn is_label(name: &str) -> bool {
    is_word(name) && name != "le" && name != "quantile"
}

/// The name without what only its samples carry.
pub(crate) fn base(name: &str, kind: Kind) -> &str {
    match kind {
        Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    }
}

/// Every name that a sample of this family may have, in one format or the other.
pub(crate) fn samples(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let base = base(name, kind).to_owned();
    let suffixes = [""].iter().chain(kind.suffixes());
    suffixes.map(move |suffix| format!("{base}{suffix}"))
}

/// Whether the name says the unit, as OpenMetrics demands of a family that has one.
pub(crate) fn says_unit(base: &str, unit: &str) -> bool {
    base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

/// Whether a family can be called so.
pub(crate) fn check(metric: &Metric, kind: Kind) -> Result<(), RegisterError> {
    let Metric { name, unit, .. } = *metric;
    let base = base(name, kind);
    if !is_word(name) || !is_word(base) {
        return Err(RegisterError::Name { name: name.into() });
    }
    if name.ends_with("_total") != (kind == Kind::Counter) {
        return Err(RegisterError::Total { name: name.into(), kind });
    }
    if !(unit.is_empty() || is_word(unit) && says_unit(base, unit)) {
        return Err(RegisterError::Unit { name: name.into(), unit: unit.into() });
    }
    Ok(())
}

/// Whether a family can have these labels: open ones by their names, closed ones with their values.
pub(crate) fn check_labels(
    metric: &str,
    open: &[&str],
    closed: &[(&str, &[&str])],
) -> Result<(), RegisterError> {
    let names: Vec<_> = open.iter().copied().chain(closed.iter().map(|(name, _)| *name)).collect();
    let wrong = names.iter().copied().find(|name| !is_label(name));
    let wrong = wrong.or_else(|| repeated(&names));
    match wrong.or_else(|| closed.iter().find_map(|(_, values)| repeated(values))) {
        None => Ok(()),
        Some(label) => Err(RegisterError::Label { name: metric.into(), label: label.into() }),
    }
}

/// The first word that is there twice.
fn repeated<'a>(words: &[&'a str]) -> Option<&'a str> {
    let mut before = HashSet::new();
    words.iter().copied().find(|word| !before.insert(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &'static str, unit: &'static str, kind: Kind) -> Result<(), String> {
        check(&Metric { name, unit, help: "" }, kind).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_prometheus_or_openmetrics_would_refuse_are_refused_here() {
        for (name, unit, kind, says) in [
            ("jobs_total", "", Kind::Counter, ""),
            ("cpu_seconds_total", "seconds", Kind::Counter, ""),
            ("a", "", Kind::Gauge, ""),
            ("_a", "", Kind::Gauge, ""),
            ("took_seconds", "seconds", Kind::Histogram, ""),
            ("", "", Kind::Gauge, "no name"),
            ("9a", "", Kind::Gauge, "no name"),
            ("a:b", "", Kind::Gauge, "no name"),
            ("a.b", "", Kind::Gauge, "no name"),
            ("ä", "", Kind::Gauge, "no name"),
            ("__a", "", Kind::Gauge, "no name"),
            ("_total", "", Kind::Counter, "no name"),
            ("__total", "", Kind::Counter, "no name"),
            ("jobs", "", Kind::Counter, "`_total`"),
            ("jobs_total", "", Kind::Gauge, "`_total`"),
            ("jobs_total", "", Kind::Histogram, "`_total`"),
            ("took", "seconds", Kind::Histogram, "`seconds`"),
            ("tookseconds", "seconds", Kind::Histogram, "`seconds`"),
            ("seconds", "seconds", Kind::Histogram, "`seconds`"),
            ("cpu_total_seconds", "total", Kind::Gauge, "`total`"),
            ("took_ms/s", "ms/s", Kind::Gauge, "no name"),
        ] {
            match checked(name, unit, kind) {
                Ok(()) => assert_eq!(says, "", "{name} {unit}"),
                Err(error) => assert!(!says.is_empty() && error.contains(says), "{name} {unit}: {error}"),
            }
        }
    }

    #[test]
    fn labels_that_are_reserved_malformed_or_there_twice_are_refused() {
        let checked = |names: &[&str], values: &[&str]| check_labels("m", names, &[("closed", values)]);
        assert_eq!(checked(&["a", "b_2", "_c"], &["", "x", "y"]), Ok(()));
        for names in [&["le"][..], &["quantile"], &["__a"], &["a", "a"], &["a-b"], &["1"], &[""], &["closed"]]
        {
            assert!(checked(names, &[]).is_err(), "{names:?}");
        }
        assert!(checked(&["a"], &["x", "x"]).is_err(), "two variants of one word would be one series twice");
    }
}
