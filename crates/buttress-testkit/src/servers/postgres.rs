use super::{Program, programs};
use rustix::process::{Signal, geteuid};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Starts `postgres`, in a cluster that `initdb` made.
#[derive(Debug)]
pub struct PostgresProgram {
    programs: PathBuf,
    /// Whose process it is, where we are root: it refuses to be root's.
    account: Option<(u32, u32)>,
}

impl PostgresProgram {
    fn run(&self, program: &str, directory: &Path) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // In English, and in a directory that its user may read.
        command.env("LC_ALL", "C").current_dir(directory).arg("-D").arg(directory.join(DATA));
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    fn init(&self, directory: &Path) -> io::Result<()> {
        if let Some((user, group)) = self.account {
            chown(directory, Some(user), Some(group))?;
        }
        let mut command = self.run("initdb", directory);
        command.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-locale"]);
        // What is written ahead comes in parts of 16 MB else.
        command.args(["--no-sync", "--wal-segsize", "1"]);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
    }
}

impl Program for PostgresProgram {
    const NAME: &'static str = "postgres";
    // Killed, it would leave its shared memory to the system.
    const END: Signal = Signal::QUIT;

    fn prepare(directory: &Path) -> Result<Self, String> {
        let directories = programs::of_postgres();
        let programs = programs::with_all(&directories, &["postgres", "initdb"]);
        let programs = programs.ok_or_else(|| programs::missing("PostgreSQL"))?.to_owned();
        let account = if geteuid().is_root() {
            let account = ["postgres", "nobody"].iter().find_map(|name| programs::account(name));
            Some(account.ok_or("root cannot run PostgreSQL, and there is neither `postgres` nor `nobody`")?)
        } else {
            None
        };
        let program = Self { programs, account };
        program.init(directory).map_err(|error| format!("initdb fails: {error}"))?;
        Ok(program)
    }

    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = self.run("postgres", directory);
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-k"]).arg(directory);
        // What it has committed survives it, and need not survive the machine.
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"]);
        // In files of its directory, which are removed with it.
        command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        command
    }

    async fn answers(directory: &Path, _: SocketAddr, pid: u32) -> bool {
        // The file says when clients are served. An earlier process, killed, has left its own.
        let Ok(file) = fs::read_to_string(directory.join(FILE)) else { return false };
        let (pid, mut lines) = (pid.to_string(), file.lines());
        lines.next() == Some(&pid) && lines.any(|line| line.trim_end() == "ready")
    }

    fn url(at: SocketAddr) -> String {
        format!("postgres://postgres@{at}/postgres")
    }

    fn clear(directory: &Path) {
        // By this line the next to start would find it. There is no file where it was not killed.
        let file = fs::read_to_string(directory.join(FILE)).unwrap_or_default();
        let shared_memory = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(id) = shared_memory {
            let _ = Command::new("ipcrm").args(["-m", id]).status();
        }
    }
}

/// In the server's directory.
const DATA: &str = "data";
/// What it tells of itself as long as it runs.
const FILE: &str = "data/postmaster.pid";
