use crate::run::{cargo, output, run, target};
use crate::{Command, Failure, Outcome};
use std::{env, process};

pub(crate) const COMMAND: Command = Command {
    name: "loom",
    usage: "loom [arguments of cargo test]",
    about: "Runs the models that check every interleaving of threads",
    details: "
Builds `buttress-breaker` with `--cfg buttress_loom` in a folder of its own below the target folder and runs
the tests that have `loom` in their names. Up to LOOM_MAX_PREEMPTIONS (default 2) preemptions are tried; set it higher to look deeper.",
    run: command,
};

fn command(_: &Command, arguments: &[String]) -> Outcome {
    let models = output(loom_test().args(["--", "--list"]))?;
    if !models.lines().any(|line| line.ends_with(": test")) {
        return Err(Failure::new("there is no test with `loom` in its name: nothing was checked"));
    }
    run(loom_test().args(arguments))
}

fn loom_test() -> process::Command {
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags += " --cfg buttress_loom";
    let mut command = cargo();
    command
        .env("RUSTFLAGS", flags.trim_start())
        .env("LOOM_MAX_PREEMPTIONS", env::var("LOOM_MAX_PREEMPTIONS").unwrap_or_else(|_| "2".to_owned()))
        .args(["test", "--package", "buttress-breaker", "--lib", "loom", "--target-dir"])
        .arg(target().join("loom"));
    command
}
