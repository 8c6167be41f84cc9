use crate::run::{cargo, output, run, target};
use crate::{Command, Failure, Outcome};
use std::{env, process};

pub(crate) const COMMAND: Command = Command {
    name: "loom",
    usage: "loom [arguments of cargo test]",
    about: "Runs the models that check every interleaving of threads",
    details: "
Builds `buttress-core`, `buttress-breaker`, `buttress-cache`, `buttress-metrics` and `buttress-batcher` with `--cfg
buttress_loom` in a folder of their own below the target folder and runs the tests that have `loom` in their names. Up to
LOOM_MAX_PREEMPTIONS (default 2) preemptions are tried; set it higher to look deeper. With `-- --nocapture` the models of
cache and batcher say how much each of them was.",
    run: command,
};

const PACKAGES: [&str; 5] =
    ["buttress-core", "buttress-breaker", "buttress-cache", "buttress-metrics", "buttress-batcher"];

fn command(_: &Command, arguments: &[String]) -> Outcome {
    for package in PACKAGES {
        let models = output(loom_test(package).args(["--", "--list"]))?;
        if !models.lines().any(|line| line.ends_with(": test")) {
            let what = format!("{package} has no test with `loom` in its name: nothing was checked");
            return Err(Failure::new(&what));
        }
        run(loom_test(package).args(arguments))?;
    }
    Ok(())
}

fn loom_test(package: &str) -> process::Command {
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags += " --cfg buttress_loom";
    let mut command = cargo();
    command
        .env("RUSTFLAGS", flags.trim_start())
        .env("LOOM_MAX_PREEMPTIONS", env::var("LOOM_MAX_PREEMPTIONS").unwrap_or_else(|_| "2".to_owned()))
        .args(["test", "--package", package, "--all-features", "--lib", "loom", "--target-dir"])
        .arg(target().join("loom"));
    command
}
