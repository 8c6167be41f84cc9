//! Instructions per call, counted by valgrind's callgrind.

use crate::{Contender, Runner, Suite};
use std::env;
use std::fmt;
use std::process::{Command, ExitCode, Stdio};

/// The first argument of a run that valgrind counts; see [`serve`].
const ARGUMENT: &str = "calls";
/// How many calls are counted.
const CALLS: u64 = 2000;
/// Instructions are counted inside this function only: the start and the warm-up may differ from run to run, by the
/// seeds of hashes.
const COUNTED: &str = "--toggle-collect=*callgrind::counted*";

/// Why there is no count.
#[derive(Debug)]
pub enum Unknown {
    /// valgrind is not installed.
    Missing,
    /// valgrind or what it ran went wrong: its own words.
    Failed(String),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Missing => {
                f.write_str("valgrind is not installed: `cargo xtask setup compare` installs it")
            }
            Unknown::Failed(words) => write!(f, "valgrind failed: {words}"),
        }
    }
}

impl std::error::Error for Unknown {}

/// Finds out whether valgrind is there.
///
/// # Errors
///
/// If it is not, or does not work.
pub fn available() -> Result<(), Unknown> {
    run(Command::new("valgrind").arg("--version")).map(drop)
}

/// Instructions per call of `contender`, by running this program under callgrind. The program must begin with
/// [`serve`].
///
/// # Errors
///
/// If valgrind is missing or fails.
pub fn instructions(suite: &str, contender: &Contender) -> Result<f64, Unknown> {
    let calls = contender.weighed(CALLS);
    let program = env::current_exe().map_err(|error| Unknown::Failed(error.to_string()))?;
    let output = run(Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED])
        .arg(program)
        .args([ARGUMENT, suite, contender.name(), &calls.to_string()]))?;
    match parse(&output) {
        Some(0) => Err(Unknown::Failed("no instructions: it did not make the calls".to_owned())),
        Some(collected) => Ok(collected as f64 / calls as f64),
        None => Err(Unknown::Failed(format!("no count in {output:?}"))),
    }
}

/// Reads `==1234== Collected : 5678`.
fn parse(output: &str) -> Option<u64> {
    let (_, after) = output.split_once("Collected :")?;
    after.split_whitespace().next()?.parse().ok()
}

/// Standard error of a command that must succeed.
fn run(command: &mut Command) -> Result<String, Unknown> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Unknown::Missing,
        _ => Unknown::Failed(error.to_string()),
    })?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(words) } else { Err(Unknown::Failed(words)) }
}

/// Plays the part that valgrind counts, if this process was started for it: makes the calls and is done.
/// `None`: it was not.
#[must_use]
pub fn serve(arguments: &[String], suites: &[Suite]) -> Option<ExitCode> {
    let [first, suite, name, calls] = arguments else { return None };
    let calls = calls.parse().ok().filter(|_| first == ARGUMENT)?;
    let suite = suites.iter().find(|found| found.name == suite)?;
    let contender = suite.contenders.iter().find(|found| found.name() == name)?;
    counted(&mut contender.warm(), calls);
    Some(ExitCode::SUCCESS)
}

/// See [`COUNTED`].
#[inline(never)]
fn counted(runner: &mut Runner, calls: u64) {
    runner.run(calls);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_valgrind_says() {
        let output =
            "==7== Events    : Ir\n==7== Collected : 3521880\n==7== \n==7== I   refs:      3,521,880\n";
        assert_eq!(parse(output), Some(3_521_880));
        assert_eq!(parse("==7== valgrind: out of luck"), None);
    }
}
