//! What may not change unnoticed: instructions and allocations per call of our own contenders, recorded in
//! `benches/gate.tsv`. Never time.
//!
//! Runs in the dev profile, which optimises the crates that are counted.

use crate::{
    Contender, Suite, batcher, breaker, cache, callgrind, limit, measure, metrics, pool, reference, stack,
};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Instructions may differ by this share ..
const SHARE: f64 = 0.05;
/// .. and by this many where the share is less than that.
const AT_LEAST: f64 = 2.0;
/// Allocations are counted, not estimated; the file has two decimals.
const ALLOCATIONS: f64 = 0.006;

/// What is gated: our contenders that cost the same on every run, and the bare service, which shows a change
/// of the harness.
#[must_use]
pub fn suite() -> Suite {
    let mut contenders = vec![reference::bare(), reference::histogram()];
    contenders.extend(limit::contenders());
    contenders.extend(breaker::contenders());
    contenders.extend(cache::contenders());
    contenders.extend(cache::unsampled());
    contenders.extend(pool::contenders());
    contenders.extend(batcher::contenders());
    contenders.extend(metrics::contenders());
    contenders.extend(stack::unsampled());
    contenders.retain(Contender::is_gated);
    Suite { name: "gate", contenders, facts: Vec::new() }
}

/// Compares `suite` with the file at `path`, and says what it found.
///
/// # Errors
///
/// If something differs, or the file cannot be read.
pub fn check(suite: &Suite, path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}; `--bless` makes it", path.display()))?;
    let recorded = Record::parse(&text)?;
    let unknown = match (callgrind::available(), rustc()?) {
        (Err(unknown), _) => Some(unknown.to_string()),
        (Ok(()), rustc) if rustc != recorded.rustc => {
            Some(format!("recorded with {}, this is {rustc}", recorded.rustc))
        }
        _ => None,
    };
    let found = measure_all(suite, unknown.is_none())?;
    let differences = recorded.differences(&found);
    if !differences.is_empty() {
        let list = differences.join("\n  ");
        return Err(format!(
            "cost differs from {}:\n  {list}\nif that is meant: `cargo xtask compare --gate --bless`",
            path.display()
        ));
    }
    let what = match unknown {
        None => "instructions and allocations as recorded".to_owned(),
        Some(why) => format!("allocations as recorded; INSTRUCTIONS WERE NOT GATED: {why}"),
    };
    Ok(format!("{} contenders: {what}", found.len()))
}

/// Writes what `suite` costs now to the file at `path`.
///
/// # Errors
///
/// If instructions cannot be counted here, or the file cannot be written.
pub fn bless(suite: &Suite, path: &Path) -> Result<String, String> {
    callgrind::available().map_err(|unknown| unknown.to_string())?;
    let record = Record { rustc: rustc()?, rows: measure_all(suite, true)? };
    std::fs::write(path, record.to_text())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(format!("{} contenders recorded", record.rows.len()))
}

fn measure_all(suite: &Suite, with_instructions: bool) -> Result<Vec<Cost>, String> {
    let cost = |contender: &Contender| {
        let instructions = with_instructions
            .then(|| callgrind::instructions(suite.name, contender))
            .transpose()
            .map_err(|unknown| format!("{}: {unknown}", contender.name()))?;
        let allocations = measure::allocations(contender);
        Ok(Cost { contender: contender.name().to_owned(), instructions, allocations })
    };
    suite.contenders.iter().map(cost).collect()
}

/// The compiler and what it compiles for: both decide how many instructions there are.
fn rustc() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| format!("cannot run rustc: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(format!("{version} {}-{}", std::env::consts::ARCH, std::env::consts::OS))
}

/// The file.
#[derive(Debug, PartialEq)]
struct Record {
    rustc: String,
    rows: Vec<Cost>,
}

#[derive(Debug, PartialEq)]
struct Cost {
    contender: String,
    /// `None`: not counted this time.
    instructions: Option<f64>,
    allocations: f64,
}

const ABOUT: &str = "# Cost per call, written by `cargo xtask compare --gate --bless`.\n# ";
const COLUMNS: &str = "contender\tinstructions\tallocations\n";

impl Record {
    fn to_text(&self) -> String {
        let mut text = format!("{ABOUT}{}\n{COLUMNS}", self.rustc);
        for Cost { contender, instructions, allocations } in &self.rows {
            let instructions = instructions.unwrap_or(f64::NAN);
            writeln!(text, "{contender}\t{instructions:.0}\t{allocations:.2}").expect("a String takes all");
        }
        text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_prefix(ABOUT).and_then(|rest| rest.split_once('\n'));
        let (rustc, table) = body.ok_or("the gate's file does not begin as it should: `--bless` it")?;
        let lines = table.strip_prefix(COLUMNS).ok_or("the gate's file has other columns: `--bless` it")?;
        let row = |line: &str| {
            let mut cells = line.split('\t');
            let contender = cells.next()?.to_owned();
            let instructions = Some(cells.next()?.parse().ok()?);
            let allocations = cells.next()?.parse().ok()?;
            Some(Cost { contender, instructions, allocations })
        };
        let rows =
            lines.lines().map(|line| row(line).ok_or_else(|| format!("not a row of the gate: {line:?}")));
        Ok(Self { rustc: rustc.to_owned(), rows: rows.collect::<Result<_, _>>()? })
    }

    fn differences(&self, found: &[Cost]) -> Vec<String> {
        let mut differences = Vec::new();
        for now in found {
            let name = &now.contender;
            let Some(then) = self.rows.iter().find(|then| then.contender == *name) else {
                differences.push(format!("{name}: not recorded"));
                continue;
            };
            if let (Some(then), Some(now)) = (then.instructions, now.instructions) {
                if (now - then).abs() > (then * SHARE).max(AT_LEAST) {
                    differences.push(format!(
                        "{name}: {now:.0} instructions, recorded {then:.0} ({:+.1} %)",
                        100.0 * (now - then) / then
                    ));
                }
            }
            let (then, now) = (then.allocations, now.allocations);
            if (now - then).abs() > ALLOCATIONS {
                differences.push(format!("{name}: {now:.2} allocations, recorded {then:.2}"));
            }
        }
        let gone = self.rows.iter().filter(|then| found.iter().all(|now| now.contender != then.contender));
        differences.extend(gone.map(|then| format!("{}: recorded, but no longer there", then.contender)));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(contender: &str, instructions: impl Into<Option<f64>>, allocations: f64) -> Cost {
        Cost { contender: contender.to_owned(), instructions: instructions.into(), allocations }
    }

    fn record(rows: Vec<Cost>) -> Record {
        Record { rustc: "rustc 1.2.3 z80-cpm".to_owned(), rows }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = record(vec![cost("a thing", 115.0, 0.0), cost("b", 30.0, 1.25)]);
        assert_eq!(Record::parse(&written.to_text()), Ok(written));
        assert!(Record::parse("").is_err());
        assert!(Record::parse(&record(Vec::new()).to_text().replace("instr", "time")).is_err());
        assert!(Record::parse(&(record(Vec::new()).to_text() + "a\tmany\t0.00\n")).is_err());
    }

    #[test]
    fn five_in_a_hundred_are_allowed_and_no_allocation() {
        let recorded = record(vec![cost("a", 100.0, 0.0)]);
        let table = [
            (cost("a", 105.0, 0.0), 0),
            (cost("a", 95.0, 0.0), 0),
            (cost("a", 105.1, 0.0), 1),
            (cost("a", 94.9, 0.0), 1),
            (cost("a", 100.0, 0.01), 1),
            (cost("a", 120.0, 1.0), 2),
            (cost("a", None, 0.0), 0),
            (cost("a", None, 1.0), 1),
            (cost("b", 100.0, 0.0), 2),
        ];
        for (found, expected) in table {
            let differences = recorded.differences(std::slice::from_ref(&found));
            assert_eq!(differences.len(), expected, "{found:?}: {differences:?}");
        }
    }

    #[test]
    fn a_short_row_may_differ_by_two_instructions() {
        let recorded = record(vec![cost("a", 20.0, 0.0)]);
        assert_eq!(recorded.differences(&[cost("a", 22.0, 0.0)]).len(), 0);
        assert_eq!(recorded.differences(&[cost("a", 22.1, 0.0)]).len(), 1);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = suite().contenders.iter().map(Contender::name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
