//! What became of a row, by the suite's own rule.

use crate::{Failure, Outcome};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What it means to fail a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The RFCs are not kept.
    Required,
    /// The cache could do more.
    Optimal,
    /// Nothing: caches differ here.
    Check,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Required, Self::Optimal, Self::Check];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optimal => "optimal",
            Self::Check => "check",
        }
    }
}

/// A row of the suite that was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    Yes,
    No,
    /// What the row is about was not reached.
    Setup,
    /// A request was sent twice, so that nothing can be said.
    Retry,
    /// A row that it builds on is no pass.
    Dependency,
    Untested,
}

impl Verdict {
    pub(super) fn is_pass(self) -> bool {
        matches!(self, Self::Pass | Self::Yes)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Yes => "yes",
            Self::No => "no",
            Self::Setup => "setup",
            Self::Retry => "retry",
            Self::Dependency => "dependency",
            Self::Untested => "untested",
        }
    }
}

/// What the suite's client printed.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) version: String,
    /// Those that were asked for, in the suite's order.
    pub(super) rows: Vec<Row>,
    /// These and those that they build on.
    known: BTreeMap<String, (Kind, Vec<String>)>,
    results: Map<String, Value>,
}

impl Report {
    pub(super) fn parse(printed: &str) -> Outcome<Self> {
        let strange = |what: &str| Failure::new(format_args!("the suite's client printed no report: {what}"));
        let value: Value = serde_json::from_str(printed).map_err(|error| strange(&error.to_string()))?;
        let text = |value: &Value, what| value.as_str().map(str::to_owned).ok_or_else(|| strange(what));
        let (mut rows, mut known) = (Vec::new(), BTreeMap::new());
        for row in value["rows"].as_array().ok_or_else(|| strange("no rows"))? {
            let id = text(&row["id"], "a row without an id")?;
            let kind = text(&row["kind"], "a row without a kind")?;
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
            let kind = kind.ok_or_else(|| strange("a row of an unknown kind"))?;
            let needs = row["depends_on"].as_array().into_iter().flatten();
            let needs = needs.map(|id| text(id, "a dependency that is no id")).collect::<Outcome<_>>()?;
            if row["asked"] == true {
                rows.push(Row { id: id.clone(), kind });
            }
            known.insert(id, (kind, needs));
        }
        let results = value["results"].as_object().cloned().ok_or_else(|| strange("no results"))?;
        Ok(Self { version: text(&value["version"], "no version")?, rows, known, results })
    }

    /// A row that builds on one that is no pass says nothing, whatever its own result.
    pub(super) fn verdict(&self, id: &str) -> Verdict {
        let (Some(result), Some((kind, needs))) = (self.results.get(id), self.known.get(id)) else {
            return Verdict::Untested;
        };
        if !needs.iter().all(|id| self.verdict(id).is_pass()) {
            return Verdict::Dependency;
        }
        if result[0] == "Setup" {
            return if result[1] == "retry" { Verdict::Retry } else { Verdict::Setup };
        }
        match (*result == true, kind) {
            (true, Kind::Required | Kind::Optimal) => Verdict::Pass,
            (false, Kind::Required | Kind::Optimal) => Verdict::Fail,
            (true, Kind::Check) => Verdict::Yes,
            (false, Kind::Check) => Verdict::No,
        }
    }

    /// Why it is no pass, in the suite's words; empty where there are none.
    pub(super) fn said(&self, id: &str) -> String {
        if self.verdict(id) == Verdict::Dependency {
            let needs = self.known.get(id).into_iter().flat_map(|(_, needs)| needs);
            let missing: Vec<_> =
                needs.filter(|id| !self.verdict(id).is_pass()).map(String::as_str).collect();
            return format!("builds on {}", missing.join(", "));
        }
        match self.results.get(id).map(|result| &result[1]) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(said)) => said.split_whitespace().collect::<Vec<_>>().join(" "),
            Some(other) => other.to_string(),
        }
    }

    /// How many rows of a kind passed, and how many there are.
    pub(super) fn count(&self, kind: Kind) -> (usize, usize) {
        let of = self.rows.iter().filter(|row| row.kind == kind);
        (of.clone().filter(|row| self.verdict(&row.id).is_pass()).count(), of.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(rows: &Value, results: &Value) -> Report {
        let printed = json!({ "version": "1", "rows": rows, "results": results });
        Report::parse(&printed.to_string()).expect("a report")
    }

    #[test]
    fn a_row_is_judged_by_its_kind_and_its_result() {
        let (failed, setup) = (json!(["Assertion", "from cache"]), json!(["Setup", "status is 500"]));
        let (retried, broken) = (json!(["Setup", "retry"]), json!(["FetchError", "network timeout"]));
        let table = [
            ("required", json!(true), Verdict::Pass),
            ("required", failed.clone(), Verdict::Fail),
            ("required", broken, Verdict::Fail),
            ("required", setup.clone(), Verdict::Setup),
            ("required", retried.clone(), Verdict::Retry),
            ("optimal", json!(true), Verdict::Pass),
            ("optimal", failed.clone(), Verdict::Fail),
            ("check", json!(true), Verdict::Yes),
            ("check", failed, Verdict::No),
            ("check", setup, Verdict::Setup),
            ("check", retried, Verdict::Retry),
        ];
        for (kind, result, expected) in table {
            let rows = json!([{ "id": "a", "kind": kind, "depends_on": [], "asked": true }]);
            let report = report(&rows, &json!({ "a": result }));
            assert_eq!(report.verdict("a"), expected, "{kind} {result}");
            let passed = usize::from(expected.is_pass());
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).expect("known");
            assert_eq!(report.count(kind), (passed, 1));
        }
    }

    #[test]
    fn a_row_that_builds_on_no_pass_says_nothing() {
        let row =
            |id, kind, needs: &[&str]| json!({ "id": id, "kind": kind, "depends_on": needs, "asked": true });
        let rows = json!([
            row("no", "check", &[]),
            row("yes", "check", &[]),
            row("good", "required", &["yes"]),
            row("first", "required", &["yes", "no"]),
            row("second", "optimal", &["first"]),
            row("browsers", "optimal", &["never-run"]),
        ]);
        let results = json!({
            "no": ["Assertion", "not stored"], "yes": true, "good": true, "first": true,
            "second": ["Setup", "status is 500"], "browsers": true,
        });
        let report = report(&rows, &results);
        assert_eq!(report.verdict("good"), Verdict::Pass);
        assert_eq!(report.verdict("first"), Verdict::Dependency, "though its own result is good");
        assert_eq!(report.said("first"), "builds on no");
        assert_eq!(report.verdict("second"), Verdict::Dependency, "at one remove");
        assert_eq!(report.verdict("never-run"), Verdict::Untested);
        assert_eq!(report.verdict("browsers"), Verdict::Dependency, "an untested row is no pass");
        assert_eq!(report.count(Kind::Required), (1, 2));
        assert_eq!(report.count(Kind::Optimal), (0, 2));
    }

    #[test]
    fn rows_that_were_not_asked_for_are_not_counted() {
        let rows = json!([
            { "id": "a", "kind": "required", "depends_on": ["b"], "asked": true },
            { "id": "b", "kind": "required", "depends_on": [], "asked": false },
        ]);
        let report = report(&rows, &json!({ "a": true, "b": true }));
        assert_eq!(report.verdict("a"), Verdict::Pass);
        assert_eq!(report.count(Kind::Required), (1, 1));
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        let row =
            |kind: &str| json!({ "version": "1", "rows": [{ "id": "a", "kind": kind }], "results": {} });
        assert!(Report::parse(&row("check").to_string()).is_ok());
        for printed in [
            "Running".to_owned(),
            "{}".to_owned(),
            json!({ "version": "1", "rows": [] }).to_string(),
            row("nice").to_string(),
        ] {
            assert!(Report::parse(&printed).is_err(), "{printed}");
        }
    }
}
