//! Instructions per call, counted by valgrind's callgrind.

use crate::{Contender, Suite};
use std::env;
use std::fmt;
use std::process::{Command, ExitCode, Stdio};

/// The first argument of a run that valgrind counts; see [`serve`].
const ARGUMENT: &str = "calls";
/// What two runs of different lengths have in common, such as the start and the warm-up, cancels out.
const CALLS: [u64; 2] = [1000, 3000];

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

/// Instructions per call of `contender`, by running this program twice under callgrind. The program must
/// begin with [`serve`].
///
/// # Errors
///
/// If valgrind is missing or fails.
pub fn instructions(suite: &str, contender: &Contender) -> Result<f64, Unknown> {
    let count = |calls| collected(suite, contender.name(), calls);
    // One after the other would take twice the time.
    let [short, long] = std::thread::scope(|scope| {
        CALLS
            .map(|calls| scope.spawn(move || count(calls)))
            .map(|thread| thread.join().expect("starting a process does not panic"))
    });
    let [short, long] = [short?, long?];
    if long <= short {
        return Err(Unknown::Failed(format!("{short} and {long} instructions: it did not make the calls")));
    }
    Ok((long as f64 - short as f64) / (CALLS[1] - CALLS[0]) as f64)
}

fn collected(suite: &str, name: &str, calls: u64) -> Result<u64, Unknown> {
    let program = env::current_exe().map_err(|error| Unknown::Failed(error.to_string()))?;
    let output = run(Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([ARGUMENT, suite, name, &calls.to_string()]))?;
    parse(&output).ok_or_else(|| Unknown::Failed(format!("no count in {output:?}")))
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
    contender.warm().run(calls);
    Some(ExitCode::SUCCESS)
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
