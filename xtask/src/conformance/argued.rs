//! The rows that are missed on purpose. The page that gives the reasons is the list.

use super::verdict::{Kind, Report};
use crate::run::root;
use crate::{Failure, Outcome};
use std::fs;

pub(super) const PAGE: &str = "examples/gateway/CONFORMANCE.md";

pub(super) fn read() -> Outcome<String> {
    fs::read_to_string(root().join(PAGE))
        .map_err(|error| Failure::new(format_args!("cannot read {PAGE}: {error}")))
}

/// The ids in the page's tables: their first cells, where those are code.
fn ids(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0))
}

/// Fails if a required or optimal row is no pass and not argued, or is argued and passes.
///
/// With `whole`, the report is of the whole suite: all that is argued must be in it, and the page must give its counts.
pub(super) fn judge(report: &Report, page: &str, whole: bool) -> Outcome {
    let argued: Vec<_> = ids(page).collect();
    let mut wrong = Vec::new();
    for row in report.rows.iter().filter(|row| row.kind != Kind::Check) {
        match (report.verdict(&row.id).is_pass(), argued.contains(&row.id.as_str())) {
            (false, false) => wrong.push(format!("{} is no pass and is not argued there", row.id)),
            (true, true) => wrong.push(format!("{} is argued there and passes", row.id)),
            (true, false) | (false, true) => {}
        }
    }
    if whole {
        let is_row = |id: &str| report.rows.iter().any(|row| row.id == id && row.kind != Kind::Check);
        for id in argued.iter().filter(|id| !is_row(id)) {
            wrong.push(format!("{id} is argued there and is no required or optimal row"));
        }
        for kind in [Kind::Required, Kind::Optimal] {
            let (passed, of) = report.count(kind);
            let line = format!("| {} | {passed}/{of} |", kind.name());
            if !page.lines().any(|known| known.starts_with(&line)) {
                wrong.push(format!("the counts there have no line `{line}`"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format_args!("{PAGE} does not say what happened:\n  {}", wrong.join("\n  "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_is_judged_in_both_directions() {
        let row = |id, kind| json!({ "id": id, "kind": kind, "depends_on": [], "asked": true });
        let rows =
            [row("good", "required"), row("bad", "required"), row("slow", "optimal"), row("no", "check")];
        let missed = json!(["Assertion", "from cache"]);
        let results = json!({ "good": true, "bad": missed, "slow": missed, "no": missed });
        let report = json!({ "version": "1", "rows": rows, "results": results }).to_string();
        let report = Report::parse(&report).expect("a report");

        let page =
            "| required | 1/2 |\n| optimal | 0/1 |\n\n| row | why |\n| `bad` | so |\n| `slow` | so |\n";
        let table = [
            (page.to_owned(), true, None),
            (page.replace("1/2", "2/2"), true, Some("no line `| required | 1/2 |`")),
            (page.replace("0/1", "1/1"), false, None),
            (page.replace("| `bad` |", "| bad |"), true, Some("bad is no pass and is not argued")),
            (page.replace("| `slow` | so |", ""), true, Some("slow is no pass and is not argued")),
            (format!("{page}| `good` | so |"), true, Some("good is argued there and passes")),
            (format!("{page}| `gone` | so |"), true, Some("gone is argued there and is no")),
            (format!("{page}| `gone` | so |"), false, None),
            (format!("{page}| `no` | so |"), true, Some("no is argued there and is no")),
        ];
        for (page, whole, expected) in table {
            let failure = judge(&report, &page, whole).err().map(|failure| failure.message);
            match expected {
                None => assert_eq!(failure, None, "{page}"),
                Some(part) => assert!(failure.as_ref().is_some_and(|all| all.contains(part)), "{failure:?}"),
            }
        }
    }

    #[test]
    fn the_kept_page_argues_each_row_once() {
        let page = read().expect("a page");
        let mut ids: Vec<_> = ids(&page).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
