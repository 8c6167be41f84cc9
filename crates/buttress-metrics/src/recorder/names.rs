//! What the macros of `metrics` call things, as Prometheus can have it.

use crate::drops::Dropped;
use crate::name::{Kind, is_label, is_word};
use crate::table::LONGEST;
use metrics::Key;

/// The most labels that one series may have.
const MOST_LABELS: usize = 32;

/// The name of a family: dots and the like become underscores, and a counter ends in `_total`.
pub(super) fn metric(name: &str, kind: Kind) -> Result<String, Dropped> {
    let mut name = word(name);
    if kind == Kind::Counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    if is_word(&name) && is_word(crate::name::base(&name, kind)) && name.len() <= LONGEST {
        Ok(name)
    } else {
        Err(Dropped::Name)
    }
}

/// The labels of a series, in their order by name, so that equal ones are the same series. Empty ones are none.
pub(super) fn labels<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(String, &'a str)>, Dropped> {
    let mut sorted = Vec::new();
    for (name, value) in labels.filter(|(_, value)| !value.is_empty()) {
        let name = word(name);
        if !is_label(&name) || sorted.len() == MOST_LABELS {
            return Err(Dropped::Label);
        }
        sorted.push((name, value));
    }
    sorted.sort_unstable();
    let is_repeated = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if is_repeated { Err(Dropped::Label) } else { Ok(sorted) }
}

/// Whether a key takes no more than those of series do: labels without a value may be as many and as long as they like.
pub(super) fn is_short(key: &Key) -> bool {
    key.labels().len() <= MOST_LABELS && key.labels().all(|label| label.key().len() <= LONGEST)
}

/// Puts an underscore for what no name has, and before a digit that would begin it.
fn word(name: &str) -> String {
    let is_led = name.starts_with(|first: char| first.is_ascii_digit());
    let replaced = name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' });
    is_led.then_some('_').into_iter().chain(replaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_such_as_prometheus_has_or_are_refused() {
        for (name, kind, expected) in [
            ("http.requests", Kind::Counter, Ok("http_requests_total")),
            ("http_requests_total", Kind::Counter, Ok("http_requests_total")),
            ("queue-length", Kind::Gauge, Ok("queue_length")),
            ("memory_total", Kind::Gauge, Ok("memory_total")),
            ("5xx", Kind::Gauge, Ok("_5xx")),
            ("a:b", Kind::Gauge, Ok("a_b")),
            ("größe", Kind::Gauge, Ok("gr__e")),
            ("", Kind::Gauge, Err(Dropped::Name)),
            ("", Kind::Counter, Err(Dropped::Name)),
            ("__own", Kind::Gauge, Err(Dropped::Name)),
            ("..", Kind::Gauge, Err(Dropped::Name)),
        ] {
            assert_eq!(metric(name, kind), expected.map(str::to_owned), "{name}");
        }
        assert_eq!(metric(&"x".repeat(LONGEST + 1), Kind::Gauge), Err(Dropped::Name));
    }

    #[test]
    fn labels_in_any_order_are_the_same_and_reserved_ones_are_refused() {
        let labels = |labels: &[(&'static str, &'static str)]| labels_of(labels);
        let both = Ok(vec![("a_b".to_owned(), "1"), ("c".to_owned(), "2")]);
        assert_eq!(labels(&[("a.b", "1"), ("c", "2")]), both);
        assert_eq!(labels(&[("c", "2"), ("d", ""), ("a.b", "1")]), both);
        for wrong in ["le", "quantile", "__name__", ""] {
            assert_eq!(labels(&[(wrong, "1")]), Err(Dropped::Label), "{wrong}");
        }
        assert_eq!(labels(&[("a.b", "1"), ("a_b", "2")]), Err(Dropped::Label));
        assert_eq!(labels(&[("a", "1"); MOST_LABELS + 1]), Err(Dropped::Label));
    }

    fn labels_of(pairs: &[(&'static str, &'static str)]) -> Result<Vec<(String, &'static str)>, Dropped> {
        labels(pairs.iter().copied())
    }
}
