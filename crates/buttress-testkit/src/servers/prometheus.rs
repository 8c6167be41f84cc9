use super::{Program, Server, programs};
use rustix::process::Signal;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts `prometheus`, which scrapes four times a second what it is told, and keeps exemplars.
#[derive(Debug)]
pub struct PrometheusProgram(PathBuf);

/// Scrapes are cut off after their interval: far longer than one takes.
const CONFIG: &str = "
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
scrape_configs:
  - job_name: test
    file_sd_configs:
      - files: [targets.json]
";
/// What is scraped, in its directory.
const TARGETS: &str = "targets.json";

impl Program for PrometheusProgram {
    const NAME: &'static str = "prometheus";
    const END: Signal = Signal::KILL;

    fn prepare(directory: &Path) -> Result<Self, String> {
        let path = programs::path();
        let found =
            programs::with_all(&path, &[Self::NAME]).ok_or_else(|| programs::missing("Prometheus"))?;
        fs::write(directory.join("prometheus.yml"), CONFIG)
            .map_err(|error| format!("its configuration cannot be written: {error}"))?;
        Ok(Self(found.join(Self::NAME)))
    }

    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = Command::new(&self.0);
        // It says where it is as it was told, and not by another way to the same place.
        command.current_dir(directory).env("PWD", directory);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]);
        command.arg("--enable-feature=exemplar-storage");
        command.arg(format!("--web.listen-address={}", super::at(port)));
        command
    }

    async fn answers(directory: &Path, at: SocketAddr, _: u32) -> bool {
        // It knows no process id, but where it lives, and nobody else does.
        let own = format!("\"CWD\":\"{}\"", directory.display());
        get(at, "/api/v1/status/runtimeinfo").await.is_ok_and(|info| info.contains(&own))
    }

    fn url(at: SocketAddr) -> String {
        format!("http://{at}")
    }
}

impl Server<PrometheusProgram> {
    /// Has it scrape `/metrics` at this address, and nothing else. It begins within five seconds: that is how often it
    /// looks.
    ///
    /// # Panics
    ///
    /// If its directory cannot be written to.
    pub fn scrape(&self, at: SocketAddr) {
        let new = self.directory().join("targets.new");
        let written = fs::write(&new, format!("[{{\"targets\": [\"{at}\"]}}]"));
        // At once, so that it reads no half of it.
        let renamed = written.and_then(|()| fs::rename(&new, self.directory().join(TARGETS)));
        renamed.unwrap_or_else(|error| panic!("cannot tell prometheus what to scrape: {error}"));
    }

    /// What it answers to a GET, such as of `/api/v1/targets`.
    ///
    /// # Errors
    ///
    /// If it does not answer, or with another status than 200, which is then told with the answer.
    pub async fn get(&self, path: &str) -> io::Result<String> {
        get(self.addr(), path).await
    }
}

async fn get(at: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    // In this version an answer ends with its connection, and does not come in pieces.
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}
