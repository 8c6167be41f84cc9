use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A process that runs, and with it all that it has started; ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    end: Signal,
    child: Child,
    /// At its end when all are gone that have it: the process and what it has started.
    held: ChildStdout,
    watch: Watch,
    /// All of them, the process itself last.
    stopped: Vec<Pid>,
}

impl Process {
    pub(super) fn start(
        name: &'static str,
        end: Signal,
        mut command: Command,
        log: File,
        directory: &Path,
    ) -> io::Result<Self> {
        // In a group of its own, so that ^C ends the test first, and the test its servers.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn()?;
        let held = child.stdout.take().expect("it was asked for");
        let watch = match Watch::start(child.id(), end, directory) {
            Ok(watch) => watch,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self { name, end, child, held, watch, stopped: Vec::new() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child that nobody else waits for")
    }

    pub(super) fn kill(mut self) {
        if self.ended().is_none() {
            // Stopped first, so that it starts nobody who is not in the list.
            let all = self.stop_first();
            self.watch.dismiss();
            self.send(Signal::KILL, &all);
        }
        self.wait();
    }

    pub(super) fn stop(&mut self) {
        if self.ended().is_none() {
            self.stopped = self.stop_first();
            let others = self.stopped.len() - 1;
            self.send(Signal::STOP, &self.stopped[..others]);
        }
    }

    pub(super) fn cont(&mut self) {
        let stopped = std::mem::take(&mut self.stopped);
        if self.ended().is_none() {
            self.send(Signal::CONT, &stopped);
        }
    }

    fn own(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Stops the process itself; returns those that it has started, and itself last.
    fn stop_first(&self) -> Vec<Pid> {
        let pid = self.own();
        self.send(Signal::STOP, &[pid]);
        // A signal is not at once: this returns when it has stopped.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), options).expect("it is a child that nobody else waits for");
        let mut all = started_by(pid);
        all.push(pid);
        all
    }

    fn send(&self, signal: Signal, pids: &[Pid]) {
        if pids.is_empty() {
            return;
        }
        let numbers: Vec<_> = pids.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
        eprintln!("{}: {} to {}", self.name, name(signal), numbers.join(", "));
        for pid in pids {
            // It fails only for one that has ended.
            let _ = kill_process(*pid, signal);
        }
    }

    fn wait(&mut self) {
        let _ = self.child.wait();
        let _ = self.held.read_to_end(&mut Vec::new());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.cont();
            self.watch.dismiss();
            self.send(self.end, &[self.own()]);
        }
        self.wait();
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::KILL => "SIGKILL",
        Signal::STOP => "SIGSTOP",
        Signal::CONT => "SIGCONT",
        Signal::QUIT => "SIGQUIT",
        _ => "a signal",
    }
}

/// The processes that this one has started and that have not ended.
fn started_by(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    // Not all systems have this file, and not all have the program.
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_else(|_| {
        let found = Command::new("pgrep").args(["-P", &pid.to_string()]).output();
        let found = found.expect("where the system does not list processes, pgrep does");
        String::from_utf8_lossy(&found.stdout).into_owned()
    });
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Ends a process and removes its directory when the one that made this is killed, and has no chance to.
#[derive(Debug)]
struct Watch(Child);

impl Watch {
    fn start(pid: u32, end: Signal, directory: &Path) -> io::Result<Self> {
        // Its input ends when the last process is gone that could write to it, which is ours alone.
        const SCRIPT: &str = r#"
            read -r _
            kill -CONT "$1"
            kill -"$2" "$1"
            # Again, for what it made as it ended.
            for _ in 1 2 3; do rm -rf "$3"; sleep 1; done"#;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watch", &pid.to_string(), &end.as_raw().to_string()]).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(command.spawn()?))
    }

    fn dismiss(&mut self) {
        // It fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Before its input is closed, which would tell it to act.
        self.dismiss();
    }
}
