//! Programs that run beside this one.

use crate::{Failure, Outcome};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// A program that is killed when this is dropped.
pub(crate) struct Running {
    what: &'static str,
    child: Child,
    lines: Receiver<String>,
    /// Asks it to end, and its own programs with it.
    farewell: Option<Command>,
}

/// Where a program says that it is ready.
pub(crate) enum Voice {
    Output,
    Errors,
}

impl Running {
    /// The other stream is the user's.
    pub(crate) fn start(what: &'static str, command: &mut Command, voice: &Voice) -> Outcome<Self> {
        match voice {
            Voice::Output => command.stdout(Stdio::piped()),
            Voice::Errors => command.stderr(Stdio::piped()),
        };
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format_args!("cannot run {what}: {error}")))?;
        let pipe: Option<Box<dyn Read + Send>> = match voice {
            Voice::Output => child.stdout.take().map(|pipe| Box::new(pipe) as _),
            Voice::Errors => child.stderr.take().map(|pipe| Box::new(pipe) as _),
        };
        let pipe = pipe.expect("it was asked for");
        let (say, lines) = channel();
        // Reads on when nobody listens: a program that nobody reads would stand still.
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        Ok(Self { what, child, lines, farewell: None })
    }

    /// Has a command end it in place of a kill, which would leave its own programs running.
    pub(crate) fn ended_by(mut self, farewell: Command) -> Self {
        self.farewell = Some(farewell);
        self
    }

    /// The first line with `part` in it, if none takes longer than `patience`.
    pub(crate) fn line_with(&self, part: &str, patience: Duration) -> Outcome<String> {
        let mut said = String::new();
        loop {
            let why = match self.lines.recv_timeout(patience) {
                Ok(line) if line.contains(part) => return Ok(line),
                Ok(line) => {
                    said = said + "\n  " + &line;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => "ended".to_owned(),
                Err(RecvTimeoutError::Timeout) => format!("said nothing for {} s", patience.as_secs()),
            };
            return Err(Failure::new(format_args!("{} {why} before it said `{part}`{said}", self.what)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let farewell = self.farewell.as_mut().map(Command::status);
        if farewell.is_some_and(|status| status.is_ok_and(|status| status.success())) {
            let _ = self.child.wait();
            return;
        }
        // It fails only where the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, voice: &Voice) -> Running {
        Running::start("the shell", Command::new("sh").args(["-c", script]), voice).expect("a shell")
    }

    #[test]
    fn a_program_is_heard_on_the_stream_that_was_chosen() {
        let long = Duration::from_secs(60);
        let heard = shell("echo one; echo two", &Voice::Output).line_with("tw", long);
        assert_eq!(heard.expect("a line"), "two");
        let heard = shell("echo three >&2", &Voice::Errors).line_with("three", long);
        assert_eq!(heard.expect("a line"), "three");
    }

    #[test]
    fn a_program_that_ends_early_is_quoted() {
        let failure = shell("echo bad luck", &Voice::Output).line_with("ready", Duration::from_secs(60));
        let message = failure.expect_err("it never was").message;
        assert_eq!(message, "the shell ended before it said `ready`\n  bad luck");
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let failure = shell("exec sleep 600", &Voice::Output).line_with("ready", Duration::ZERO);
        assert!(failure.expect_err("it sleeps").message.contains("said nothing for 0 s"));
    }

    #[test]
    fn a_program_that_is_dropped_is_gone() {
        let mut running = shell("echo ready; exec sleep 600", &Voice::Output);
        running.line_with("ready", Duration::from_secs(60)).expect("a line");
        let lines = std::mem::replace(&mut running.lines, channel().1);
        drop(running);
        // Only a program that has ended lets go of its stream.
        assert_eq!(lines.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected));
    }
}
