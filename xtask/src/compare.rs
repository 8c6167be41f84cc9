mod gateway;

use crate::run::{cargo, output, root, run, rust_files, target};
use crate::running::{Running, Voice};
use crate::{Command, Failure, Outcome, setup};
use std::time::Duration;
use std::{fs, path, process};

pub(crate) const COMMAND: Command = Command {
    name: "compare",
    usage: "compare [crate] [--only TEXT] | compare --gate [--bless] | compare gateway
       cargo xtask compare batcher-load|batcher-postgres|pool-contended|pool-outages|pool-scenarios [--only TEXT]
       cargo xtask compare hit-ratio --traces DIR [--capacity N].. [--only TEXT] [--slow]",
    about: "Measures ours against the alternatives, or against what is recorded",
    details: "
  cargo xtask compare                        every crate that has opponents
  cargo xtask compare breaker                one
  cargo xtask compare breaker --only failing only rows with that in their names
  cargo xtask compare stack                  all layers together, and what others have of them
  cargo xtask compare --gate                 fails if instructions (\u{b1} 5 %) or allocations per call of our own
                                             contenders differ from benches/gate.tsv
  cargo xtask compare --gate --bless         records them there
  cargo xtask compare gateway                the example beside a bare handler and nginx, and what its clients see
                                             while its upstream answers, fails and is gone; needs wrk and nginx
  cargo xtask compare batcher-load           batchers under ten thousand callers, and under one
  cargo xtask compare batcher-postgres       rows of a PostgreSQL server, in batches and one by one; `compare batcher`
                                             ends with these two
  cargo xtask compare pool-contended         pools under many tasks: throughput, waits, fairness
  cargo xtask compare pool-outages           pools of connections to a redis-server that is killed, restarted and
                                             stopped; `compare pool` ends with these two
  cargo xtask compare pool-scenarios         what each pool did when something went wrong, as the docs have it
  cargo xtask compare hit-ratio --traces DIR hit ratios of our cache's policies and others on every *.lis and
                                             *.lis.zst in DIR, whose lines are `start count _ _`; --capacity N,
                                             as often as wanted, instead of those that fit the trace; --slow:
                                             moka on long traces too

Instructions need valgrind: `cargo xtask setup compare`. Times mean something on an idle machine only. What is
measured, and how, is in benches/README.md.",
    run: command,
};

const SUITES: &str = "benches/versus/src/suites";
/// What batchers and pools do besides what a table of costs per call can say.
const PARTS: [&str; 5] = ["batcher-load", POSTGRES, "pool-contended", OUTAGES, "pool-scenarios"];
const POSTGRES: &str = "batcher-postgres";
const OUTAGES: &str = "pool-outages";
const GATE: &str = "benches/gate.tsv";

fn command(command: &Command, arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["gateway"] => gateway::compare(),
        ["hit-ratio", ref rest @ ..] => hit_ratio(&Traces::parse(command, rest)?),
        [name] if PARTS.contains(&name) => part(name, ""),
        [name, "--only", only] if PARTS.contains(&name) => part(name, only),
        ["--gate"] => gate("check"),
        ["--gate", "--bless"] => gate("bless"),
        [] => compare(&suites(), ""),
        ["--only", only] => compare(&suites(), only),
        [suite] if !suite.starts_with('-') => compare(&[known(suite)?], ""),
        [suite, "--only", only] if !suite.starts_with('-') => compare(&[known(suite)?], only),
        _ => Err(Failure::usage(command, format_args!("cannot make sense of `{}`", words.join(" ")))),
    }
}

/// Each is a file of its name, but for the dashes.
fn suites() -> Vec<String> {
    rust_files(SUITES).iter().map(|name| name.replace('_', "-")).collect()
}

fn known(suite: &str) -> Outcome<String> {
    let name = suite.strip_prefix("buttress-").unwrap_or(suite);
    let all = suites();
    if all.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let all = [all, ["gateway", "hit-ratio"].map(str::to_owned).to_vec(), PARTS.map(str::to_owned).to_vec()];
    let all = all.concat().join(", ");
    Err(Failure::new(format_args!("`{suite}` has no opponents here; these have: {all}")))
}

/// Two programs, since counting allocations slows down who allocates.
fn compare(suites: &[String], only: &str) -> Outcome {
    for suite in suites {
        println!("{suite}");
        let parts = if only.is_empty() { parts(suite) } else { &[] };
        parts.iter().try_for_each(|name| require(name))?;
        let counted = output(versus(&["--features", "testkit"]).args(["--", "allocations", suite, only]))?;
        let file = target().join("versus").join("allocations.tsv");
        fs::write(&file, counted)
            .map_err(|error| Failure::new(format_args!("cannot write {}: {error}", file.display())))?;
        run(versus(&[]).args(["--", "compare", suite, only]).arg(&file))?;
        parts.iter().try_for_each(|name| part(name, only))?;
    }
    Ok(())
}

/// Those that the comparison of a suite ends with.
fn parts(suite: &str) -> &'static [&'static str] {
    match suite {
        "batcher" => &["batcher-load", POSTGRES],
        "pool" => &["pool-contended", OUTAGES],
        _ => &[],
    }
}

fn require(part: &str) -> Outcome {
    match part {
        POSTGRES => setup::require("compare", "PostgreSQL"),
        OUTAGES => setup::require("compare", "redis-server"),
        _ => Ok(()),
    }
}

/// The testkit starts the servers; its allocator and its clock would be in the way where nanoseconds count.
fn part(name: &str, only: &str) -> Outcome {
    require(name)?;
    match name {
        POSTGRES => on_postgres(only),
        OUTAGES => run(versus(&["--features", "testkit"]).args(["--", name, only])),
        _ => run(versus(&[]).args(["--", name, only])),
    }
}

/// The server is of another program than the one that asks it.
fn on_postgres(only: &str) -> Outcome {
    /// It may have to be built before.
    const START: Duration = Duration::from_secs(3600);
    let mut command = versus(&["--features", "testkit"]);
    let server =
        Running::start("the PostgreSQL server", command.args(["--", "batcher-server"]), &Voice::Output)?;
    let place = server.line_with("postgres://", START)?;
    run(versus(&[]).args(["--", POSTGRES, only, &place]))
}

/// What `hit-ratio` is asked for.
#[derive(Debug, PartialEq)]
struct Traces {
    /// Absolute: the program behind runs in the root.
    folder: path::PathBuf,
    only: String,
    capacities: Vec<String>,
    slow: bool,
}

impl Traces {
    fn parse(command: &Command, words: &[&str]) -> Outcome<Self> {
        let (mut folder, mut only, mut capacities, mut slow) = (None, String::new(), Vec::new(), false);
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--slow" {
                slow = true;
                continue;
            }
            let value = words.next().filter(|value| !value.starts_with("--"));
            match (word, value) {
                ("--traces", Some(value)) => folder = Some(*value),
                ("--only", Some(value)) => only = (*value).to_owned(),
                ("--capacity", Some(value)) if value.parse::<u32>().is_ok_and(|entries| entries > 0) => {
                    capacities.push((*value).to_owned());
                }
                ("--capacity", Some(value)) => {
                    return Err(Failure::usage(
                        command,
                        format_args!("`{value}` is not a number of entries"),
                    ));
                }
                ("--traces" | "--only" | "--capacity", None) => {
                    return Err(Failure::usage(command, format_args!("`{word}` needs a value")));
                }
                _ => return Err(Failure::usage(command, format_args!("cannot make sense of `{word}`"))),
            }
        }
        let folder = folder.ok_or_else(|| Failure::usage(command, "`hit-ratio` needs `--traces DIR`"))?;
        let folder = path::absolute(folder)
            .map_err(|error| Failure::usage(command, format_args!("`{folder}`: {error}")))?;
        Ok(Self { folder, only, capacities, slow })
    }
}

fn hit_ratio(traces: &Traces) -> Outcome {
    let Traces { folder, only, capacities, slow } = traces;
    let pace = if *slow { "all" } else { "quick" };
    run(versus(&["--", "hit-ratio"]).arg(folder).args([only.as_str(), pace]).args(capacities))
}

fn versus(arguments: &[&str]) -> process::Command {
    let mut command = cargo();
    command
        .args(["run", "--release", "--manifest-path"])
        .arg(root().join("benches/versus/Cargo.toml"))
        .arg("--target-dir")
        .arg(target().join("versus"))
        .args(arguments);
    command
}

/// In the dev profile, which optimises the crates that are counted.
fn gate(what: &str) -> Outcome {
    let gate = ["--package", "buttress-benches", "--features", "allocations", "--bin", "gate"];
    // Incremental builds cut the code into other units, and with them the counts.
    run(cargo().env("CARGO_INCREMENTAL", "0").args(["run", "--quiet"]).args(gate).args(["--", what, GATE]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about_traces_is_understood() {
        let parse = |words: &[&str]| Traces::parse(&COMMAND, words);
        let full = ["--capacity", "10", "--traces", "/t", "--slow", "--only", "Drf", "--capacity", "20"];
        let expected = Traces {
            folder: "/t".into(),
            only: "Drf".to_owned(),
            capacities: vec!["10".to_owned(), "20".to_owned()],
            slow: true,
        };
        assert_eq!(parse(&full).expect("sense"), expected);
        let nonsense: [&[&str]; 6] = [
            &[],
            &["--traces"],
            &["--traces", "--slow"],
            &["--traces", "/t", "--capacity", "0"],
            &["--traces", "/t", "--capacity", "ten"],
            &["--traces", "/t", "fast"],
        ];
        for words in nonsense {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
