use crate::run::{cargo, run, rust_files, succeeds};
use crate::{Command, Failure, Outcome, setup};
use std::process;

pub(crate) const COMMAND: Command = Command {
    name: "fuzz",
    usage: "fuzz [target] [seconds]",
    about: "Feeds random input to the targets in fuzz/",
    details: "
Runs each target, or the one that is named, for 60 seconds or as long as told. Works with a stable toolchain,
since no sanitizer is used: there is no unsafe code to sanitize. What it finds is in fuzz/artifacts.",
    run: command,
};

const VERSION: &str = "0.13.2";
const TARGETS: &str = "fuzz/fuzz_targets";

fn command(command: &Command, arguments: &[String]) -> Outcome {
    let (target, seconds) = parse(command, arguments)?;
    let all = rust_files(TARGETS);
    let chosen = match target {
        None if all.is_empty() => {
            return Err(Failure::new(format_args!("there are no targets in {TARGETS}")));
        }
        None => all,
        Some(target) if all.contains(&target) => vec![target],
        Some(target) => {
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            return Err(Failure::new(format_args!("there is no target `{target}`; there are: {all}")));
        }
    };
    if !succeeds(&cargo().get_program().to_string_lossy(), &["fuzz", "--version"]) {
        return Err(Failure::new(format_args!(
            "cargo-fuzz is missing: `cargo install cargo-fuzz --locked --version {VERSION}`"
        )));
    }
    setup::ensure("fuzz")?;
    for target in chosen {
        println!("{target}: {seconds} s");
        run(&mut fuzz(&target, seconds))?;
    }
    Ok(())
}

/// A target, how many seconds, both, or neither.
fn parse(command: &Command, arguments: &[String]) -> Outcome<(Option<String>, u32)> {
    let seconds = |text: &String| text.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    match arguments {
        [] => Ok((None, 60)),
        [one] => Ok(match seconds(one) {
            Some(seconds) => (None, seconds),
            None => (Some(one.clone()), 60),
        }),
        [target, time] => match seconds(time) {
            Some(seconds) => Ok((Some(target.clone()), seconds)),
            None => Err(Failure::usage(command, format_args!("`{time}` is no number of seconds"))),
        },
        _ => Err(Failure::usage(command, "too many arguments")),
    }
}

fn fuzz(target: &str, seconds: u32) -> process::Command {
    let mut command = cargo();
    command
        .args(["fuzz", "run", "--sanitizer", "none", target, "--"])
        .arg(format!("-max_total_time={seconds}"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_a_time() {
        let parse = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            parse(&COMMAND, &arguments).map_err(drop)
        };
        assert_eq!(parse(&[]), Ok((None, 60)));
        assert_eq!(parse(&["5"]), Ok((None, 5)));
        assert_eq!(parse(&["state"]), Ok((Some("state".to_owned()), 60)));
        assert_eq!(parse(&["state", "5"]), Ok((Some("state".to_owned()), 5)));
        assert_eq!(parse(&["state", "0"]), Err(()));
        assert_eq!(parse(&["state", "5", "6"]), Err(()));
    }
}
