use crate::run::{cargo, output, root, run, rust_files, target};
use crate::{Command, Failure, Outcome};
use std::{fs, process};

pub(crate) const COMMAND: Command = Command {
    name: "compare",
    usage: "compare [crate] [--only TEXT] | compare --gate [--bless]",
    about: "Measures ours against the alternatives, or against what is recorded",
    details: "
  cargo xtask compare                        every crate that has opponents
  cargo xtask compare breaker                one
  cargo xtask compare breaker --only failing only rows with that in their names
  cargo xtask compare --gate                 fails if instructions (\u{b1} 5 %) or allocations per call of our own
                                             contenders differ from benches/gate.tsv
  cargo xtask compare --gate --bless         records them there

Instructions need valgrind: `cargo xtask setup compare`. Times mean something on an idle machine only. What is
measured, and how, is in benches/README.md.",
    run: command,
};

const SUITES: &str = "benches/versus/src/suites";
const GATE: &str = "benches/gate.tsv";

fn command(command: &Command, arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--gate"] => gate("check"),
        ["--gate", "--bless"] => gate("bless"),
        [] => compare(&rust_files(SUITES), ""),
        ["--only", only] => compare(&rust_files(SUITES), only),
        [suite] if !suite.starts_with('-') => compare(&[known(suite)?], ""),
        [suite, "--only", only] if !suite.starts_with('-') => compare(&[known(suite)?], only),
        _ => Err(Failure::usage(command, format_args!("cannot make sense of `{}`", words.join(" ")))),
    }
}

fn known(suite: &str) -> Outcome<String> {
    let name = suite.strip_prefix("buttress-").unwrap_or(suite);
    let all = rust_files(SUITES);
    if all.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(Failure::new(format_args!("`{suite}` has no opponents here; these have: {}", all.join(", "))))
}

/// Two programs, since counting allocations slows down who allocates.
fn compare(suites: &[String], only: &str) -> Outcome {
    for suite in suites {
        println!("{suite}");
        let counted =
            output(versus(&["--features", "allocations"]).args(["--", "allocations", suite, only]))?;
        let file = target().join("versus").join("allocations.tsv");
        fs::write(&file, counted)
            .map_err(|error| Failure::new(format_args!("cannot write {}: {error}", file.display())))?;
        run(versus(&[]).args(["--", "compare", suite, only]).arg(&file))?;
    }
    Ok(())
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
    run(cargo().args(["run", "--quiet"]).args(gate).args(["--", what, GATE]))
}
