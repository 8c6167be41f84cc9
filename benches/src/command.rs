//! What the comparison's program does on the command line; `cargo xtask compare` is what people type.

#[cfg(feature = "allocations")]
use crate::Fact;
use crate::table::{Row, Table};
use crate::{Contender, Facts, Suite, callgrind, measure};
use std::collections::HashMap;
use std::process::ExitCode;

/// Runs the comparison's program over its suites.
///
/// It is run twice, since counting allocations slows down who allocates: `allocations SUITE ONLY`, with
/// the feature of that name, prints what it counts, and the facts; `compare SUITE ONLY FILE` reads that from a
/// file and prints the table, with the facts under it. `ONLY` is a part of the names of the rows that are wanted.
#[must_use]
pub fn run(suites: &[Suite]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = callgrind::serve(&arguments, suites) {
        return code;
    }
    match answer(suites, &arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(suites: &[Suite], arguments: &[&str]) -> Result<String, String> {
    match *arguments {
        #[cfg(feature = "allocations")]
        ["allocations", suite, only] => {
            let (suite, contenders) = chosen(suites, suite, only)?;
            let counts = contenders
                .iter()
                .map(|contender| format!("{}\t{}\n", contender.name(), measure::allocations(contender)));
            let facts = suite.facts.iter().filter(|fact| fact.row().contains(only)).map(Fact::to_line);
            Ok(counts.chain(facts).collect())
        }
        ["compare", suite, only, file] => {
            let (suite, contenders) = chosen(suites, suite, only)?;
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            Ok(format!("{}{}", compare(suite, &contenders, &allocations(&text)), Facts::parse(&text)))
        }
        _ => Err("this is the comparison's own program; start it with `cargo xtask compare`".to_owned()),
    }
}

fn chosen<'a>(
    suites: &'a [Suite],
    name: &str,
    only: &str,
) -> Result<(&'a Suite, Vec<&'a Contender>), String> {
    let suite = suites.iter().find(|suite| suite.name == name);
    let suite = suite.ok_or_else(|| format!("there is no suite `{name}`"))?;
    let contenders: Vec<_> = suite.contenders.iter().filter(|found| found.name().contains(only)).collect();
    if contenders.is_empty() {
        return Err(format!("no row of `{name}` has `{only}` in its name"));
    }
    Ok((suite, contenders))
}

/// Reads what `allocations` printed.
fn allocations(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(name, count)| Some((name, count.parse().ok()?))).collect()
}

/// Measures, and says on standard error how far it is.
fn compare(suite: &Suite, contenders: &[&Contender], allocations: &HashMap<&str, f64>) -> Table {
    let callgrind = callgrind::available();
    if let Err(unknown) = &callgrind {
        eprintln!("no instructions: {unknown}");
    }
    let mut rows = Vec::with_capacity(contenders.len());
    for (index, contender) in contenders.iter().enumerate() {
        let name = contender.name();
        eprintln!("[{}/{}] {name}", index + 1, contenders.len());
        let instructions = callgrind.is_ok().then(|| callgrind::instructions(suite.name, contender));
        rows.push(Row {
            name,
            nanoseconds: measure::nanoseconds(contender),
            instructions: instructions.and_then(|count| {
                count.map_err(|unknown| eprintln!("no instructions of {name}: {unknown}")).ok()
            }),
            allocations: allocations.get(name).copied(),
            two_threads: measure::two_threads(contender),
            against: contender.counterpart(),
        });
    }
    Table { rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn what_is_not_there_is_said() {
        let suites = [Suite { name: "reference", contenders: reference::contenders(), facts: Vec::new() }];
        let error = |arguments: &[&str]| answer(&suites, arguments).expect_err("nothing to measure");
        assert_eq!(error(&["compare", "else", "", "unread"]), "there is no suite `else`");
        let no_row = "no row of `reference` has `blue` in its name";
        assert_eq!(error(&["compare", "reference", "blue", "unread"]), no_row);
        assert!(
            error(&["compare", "reference", "", "/no/such/file"]).starts_with("cannot read /no/such/file")
        );
        assert!(error(&["--help"]).contains("cargo xtask compare"));
    }

    #[test]
    fn allocations_are_read_back() {
        let read = allocations("a row\t3\nanother\t0.25\n");
        assert_eq!((read["a row"], read["another"]), (3.0, 0.25));
    }
}
