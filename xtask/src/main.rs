//! Chores that plain cargo has no command for; `cargo xtask` lists them.

mod compare;
mod conformance;
mod features;
mod fuzz;
mod loom;
mod run;
mod running;
mod servers;
mod setup;
mod test;

use std::fmt;
use std::process::ExitCode;

/// One line for people. Empty where the command that failed has said enough itself.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// The arguments make no sense: `--help` says what would.
    pub(crate) fn usage(command: &Command, message: impl fmt::Display) -> Self {
        Self { message: format!("{message}\nusage: cargo xtask {}", command.usage), code: 2 }
    }

    /// A program that was run has failed and said why.
    pub(crate) fn quiet(code: u8) -> Self {
        Self { message: String::new(), code }
    }
}

/// One chore.
pub(crate) struct Command {
    name: &'static str,
    usage: &'static str,
    /// One line.
    about: &'static str,
    /// The rest of `--help`.
    details: &'static str,
    run: fn(&Command, &[String]) -> Outcome,
}

const COMMANDS: [&Command; 7] = [
    &setup::COMMAND,
    &test::COMMAND,
    &compare::COMMAND,
    &conformance::COMMAND,
    &loom::COMMAND,
    &fuzz::COMMAND,
    &features::COMMAND,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("xtask: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(arguments: &[String]) -> Outcome {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", overview());
        return Ok(());
    };
    if is_help(name) {
        match rest.first().and_then(|name| find(name)) {
            Some(command) => print!("{}", help(command)),
            None => print!("{}", overview()),
        }
        return Ok(());
    }
    let Some(command) = find(name) else {
        let names = COMMANDS.map(|command| command.name).join(", ");
        return Err(Failure {
            message: format!("there is no command `{name}`; there are: {names}"),
            code: 2,
        });
    };
    // What comes after `--` is for the program behind.
    if rest.iter().take_while(|argument| *argument != "--").any(|argument| is_help(argument)) {
        print!("{}", help(command));
        return Ok(());
    }
    (command.run)(command, rest)
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.into_iter().find(|command| command.name == name)
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "-h" | "--help" | "help")
}

fn overview() -> String {
    let mut text = "Chores that plain cargo has no command for.\n\n".to_owned();
    for command in COMMANDS {
        text += &format!("  cargo xtask {:<11} {}\n", command.name, command.about);
    }
    text + "\n`cargo xtask <command> --help` says more.\n"
}

fn help(command: &Command) -> String {
    format!("{}\n\nusage: cargo xtask {}\n\n{}\n", command.about, command.usage, command.details.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(arguments: &[&str]) -> u8 {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        dispatch(&arguments).map_or_else(|failure| failure.code, |()| 0)
    }

    #[test]
    fn help_is_help_and_nonsense_is_a_usage_error() {
        let table: [(&[&str], u8); 11] = [
            (&[], 0),
            (&["--help"], 0),
            (&["help", "compare"], 0),
            (&["compare", "--help"], 0),
            (&["dance"], 2),
            (&["setup", "dance"], 2),
            (&["compare", "breaker", "limit"], 2),
            (&["compare", "--bless"], 2),
            (&["compare", "pool-outages", "--slow"], 2),
            (&["conformance", "grpc"], 2),
            (&["features", "all"], 2),
        ];
        for (arguments, expected) in table {
            assert_eq!(code(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn every_command_says_what_it_is() {
        for command in COMMANDS {
            assert!(command.usage.starts_with(command.name), "{}", command.name);
            assert!(overview().contains(command.about));
        }
    }
}
