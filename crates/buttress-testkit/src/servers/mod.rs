//! Real servers, each private to the test that starts it.
//!
//! A server listens on a loopback port of its own and lives in a temporary directory of its own. Dropped, also by a
//! panic, it ends and its directory is removed; a test that is killed takes its servers with it. Each signal is told on
//! stderr with the processes that got it.
//!
//! # Examples
//!
//! ```no_run
//! use buttress_testkit::servers::Redis;
//!
//! # async fn example() {
//! let mut redis = Redis::start().await;
//! println!("{}", redis.url());
//! redis.kill();
//! redis.restart().await; // on the same port
//! # }
//! ```

mod directory;
mod postgres;
mod process;
mod programs;
mod prometheus;
mod redis;

pub use postgres::PostgresProgram;
pub use prometheus::PrometheusProgram;
pub use redis::RedisProgram;

use directory::Directory;
use process::Process;
use rustix::process::Signal;
use std::fmt::{self, Display};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A redis-server that keeps nothing: started again, it is empty.
pub type Redis = Server<RedisProgram>;

/// A PostgreSQL server with the user `postgres`, who needs no password; started again, it has its data.
pub type Postgres = Server<PostgresProgram>;

/// A Prometheus server that scrapes [what it is told](Server::scrape).
pub type Prometheus = Server<PrometheusProgram>;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a kind of server is started, and how one sees that it answers.
pub trait Program: Sized {
    /// What it is called where a test fails.
    const NAME: &'static str;
    /// Ends it when nobody looks any more.
    const END: Signal;

    /// Finds what is to be started, and makes in its directory what it needs there.
    ///
    /// # Errors
    ///
    /// In words for the one whose test fails.
    fn prepare(directory: &Path) -> Result<Self, String>;

    /// Starts it in the foreground. It writes nothing to its standard output.
    fn command(&self, directory: &Path, port: u16) -> Command;

    /// Whether the process with this id, and not another server, serves clients at this address.
    fn answers(directory: &Path, at: SocketAddr, pid: u32) -> impl Future<Output = bool> + Send;

    /// Where clients find it.
    fn url(at: SocketAddr) -> String;

    /// Removes what one that was killed has left to the system.
    fn clear(directory: &Path) {
        let _ = directory;
    }
}

/// A server that ends when this is dropped.
#[derive(Debug)]
pub struct Server<P: Program> {
    process: Option<Process>,
    directory: Directory,
    program: P,
    port: u16,
}

impl<P: Program> Server<P> {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it is not installed, or does not answer within a minute.
    pub async fn start() -> Self {
        let directory = Directory::new(P::NAME);
        let program = P::prepare(directory.path()).unwrap_or_else(|why| panic!("{why}"));
        loop {
            let port = next_port();
            match launch(&program, &directory, port).await {
                Ok(process) => return Self { process: Some(process), directory, program, port },
                Err(why) if why.port_is_taken() => {}
                Err(why) => panic!("{} does not start: {why}", P::NAME),
            }
        }
    }

    /// Starts it again on the same port and in the same directory, and waits until it answers. Kills it before if it runs.
    ///
    /// # Panics
    ///
    /// If it does not answer within a minute.
    pub async fn restart(&mut self) {
        self.kill();
        let until = Instant::now() + PATIENCE;
        while self.process.is_none() {
            match launch(&self.program, &self.directory, self.port).await {
                Ok(process) => self.process = Some(process),
                // Others may have the port for a moment.
                Err(why) if why.port_is_taken() && Instant::now() < until => sleep(PAUSE).await,
                Err(why) => panic!("{} does not start again: {why}", P::NAME),
            }
        }
    }

    /// Sends it and the processes that it has started a SIGKILL, and waits until they are gone.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends it and the processes that it has started a SIGSTOP: connects are taken by the system, and nothing answers.
    ///
    /// # Panics
    ///
    /// If it was killed.
    pub fn stop(&mut self) {
        self.process.as_mut().expect("a server that was killed cannot be stopped").stop();
    }

    /// Sends all that were stopped a SIGCONT.
    ///
    /// # Panics
    ///
    /// If it was killed.
    pub fn cont(&mut self) {
        self.process.as_mut().expect("a server that was killed cannot go on").cont();
    }

    /// Its process, unless it was killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Its port, which it keeps.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, which it keeps.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        at(self.port)
    }

    /// What a client is told, such as `redis://127.0.0.1:20123`.
    #[must_use]
    pub fn url(&self) -> String {
        P::url(self.addr())
    }

    /// Where it lives.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl<P: Program> Drop for Server<P> {
    fn drop(&mut self) {
        drop(self.process.take());
        P::clear(self.directory.path());
    }
}

/// Between two looks at whether a server answers.
const PAUSE: Duration = Duration::from_millis(2);

/// Why a server did not start: what it said.
struct Silent(String);

impl Silent {
    fn port_is_taken(&self) -> bool {
        self.0.contains("already in use")
    }
}

impl Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

async fn launch<P: Program>(program: &P, directory: &Directory, port: u16) -> Result<Process, Silent> {
    let log = directory.new_log();
    let command = program.command(directory.path(), port);
    let mut process = Process::start(P::NAME, P::END, command, log, directory.path())
        .map_err(|error| Silent(format!("it cannot be run: {error}")))?;
    let until = Instant::now() + PATIENCE;
    loop {
        // Another may listen there that answers nothing.
        let answers = P::answers(directory.path(), at(port), process.pid());
        if timeout(PATIENCE / 500, answers).await == Ok(true) {
            return Ok(process);
        }
        let why = match process.ended() {
            Some(status) => format!("it ended ({status})"),
            None if Instant::now() < until => {
                sleep(PAUSE).await;
                continue;
            }
            None => format!("it does not answer within {PATIENCE:?}"),
        };
        return Err(Silent(format!("{why} and said:\n{}", directory.log())));
    }
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that is probably free; the server finds out.
///
/// Below the ports that systems give to clients: one that is connecting to a server that is away could be given the very
/// port, would be connected to itself, and the server could not come back.
fn next_port() -> u16 {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test programs that run side by side start some ports apart. Relaxed: nothing but the number is told.
    let next = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    u16::try_from(FIRST + next % PORTS).expect("the sum is less than 32,000")
}
