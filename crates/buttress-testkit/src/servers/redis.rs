use super::{Program, programs};
use rustix::process::Signal;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts `redis-server`, or `valkey-server`, which some systems have in its place.
#[derive(Debug)]
pub struct RedisProgram(PathBuf);

impl Program for RedisProgram {
    const NAME: &'static str = "redis-server";
    const END: Signal = Signal::KILL;

    fn prepare(_: &Path) -> Result<Self, String> {
        let path = programs::path();
        let found = [Self::NAME, "valkey-server"].iter().find_map(|name| {
            let directory = programs::with_all(&path, &[name])?;
            Some(Self(directory.join(name)))
        });
        found.ok_or_else(|| programs::missing(Self::NAME))
    }

    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(directory).args(["--logfile", "log"]);
        command
    }

    async fn answers(_: &Path, at: SocketAddr, pid: u32) -> bool {
        info(at).await.is_ok_and(|info| {
            // Another may have the port already.
            info.lines().any(|line| line.strip_prefix("process_id:") == Some(&pid.to_string()))
        })
    }

    fn url(at: SocketAddr) -> String {
        format!("redis://{at}")
    }
}

/// What it says about itself. When this returns it no longer counts us among its clients.
async fn info(at: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(b"INFO server\r\nQUIT\r\n").await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}
