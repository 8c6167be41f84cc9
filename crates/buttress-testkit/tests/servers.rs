//! Real servers are killed, stopped and started again, and leave nothing behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_testkit::servers::{Postgres, Program, Prometheus, Redis, Server};
use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What does not come within this does not come; what does come is waited for without a limit.
const NOTHING: Duration = Duration::from_millis(200);

/// One who asks a server of either kind.
struct Client(TcpStream);

impl Client {
    async fn of<P: Program>(server: &Server<P>) -> io::Result<Self> {
        let mut client = Self(TcpStream::connect(server.addr()).await?);
        if server.url().starts_with("postgres") {
            let about = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
            client.0.write_all(&(4 + about.len() as u32).to_be_bytes()).await?;
            client.0.write_all(about).await?;
            client.answer().await?;
        }
        Ok(client)
    }

    async fn redis(&mut self, command: &str) -> io::Result<String> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = [0; 100];
        let read = self.0.read(&mut answer).await?;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(text(&answer[..read])) }
    }

    async fn postgres(&mut self, query: &str) -> io::Result<String> {
        self.0.write_u8(b'Q').await?;
        self.0.write_u32(4 + query.len() as u32 + 1).await?;
        self.0.write_all(format!("{query}\0").as_bytes()).await?;
        self.answer().await
    }

    /// All that it says until it is ready for a query.
    async fn answer(&mut self) -> io::Result<String> {
        let mut said = String::new();
        loop {
            let kind = self.0.read_u8().await?;
            let mut message = vec![0; self.0.read_u32().await? as usize - 4];
            self.0.read_exact(&mut message).await?;
            match kind {
                b'Z' => return Ok(said),
                b'E' => return Err(io::Error::other(text(&message))),
                _ => said += &text(&message),
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many processes work in this directory, where the system tells.
fn living_in(directory: &Path) -> Option<usize> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let is_there = |link: PathBuf| {
        let link = link.to_string_lossy().into_owned();
        link.strip_prefix(&*directory.to_string_lossy())
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    Some(
        processes
            .filter_map(|process| process.path().join("cwd").read_link().ok())
            .filter(|link| is_there(link.clone()))
            .count(),
    )
}

async fn is_there(directory: &Path, at: SocketAddr) -> bool {
    living_in(directory).is_some_and(|processes| processes > 0) || TcpStream::connect(at).await.is_ok()
}

fn assert_gone(directory: &Path, at: SocketAddr) {
    assert!(!directory.exists(), "{}", directory.display());
    assert!(matches!(living_in(directory), None | Some(0)));
    assert_eq!(std::net::TcpStream::connect(at).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_killed_redis_hangs_up_and_comes_back_empty_on_the_same_port() {
    let mut redis = Redis::start().await;
    let (at, pid) = (redis.addr(), redis.pid());
    let mut client = Client::of(&redis).await.unwrap();
    assert_eq!(client.redis("SET key value").await.unwrap(), "+OK\r\n");
    redis.kill();
    assert!(client.redis("PING").await.is_err());
    assert_eq!(Client::of(&redis).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(redis.pid(), None);

    redis.restart().await;
    assert_eq!((redis.addr(), redis.port()), (at, at.port()));
    assert!(redis.pid().is_some() && redis.pid() != pid);
    assert_eq!(Client::of(&redis).await.unwrap().redis("GET key").await.unwrap(), "$-1\r\n");
}

#[tokio::test]
async fn a_killed_postgres_hangs_up_and_comes_back_with_its_data_on_the_same_port() {
    let mut postgres = Postgres::start().await;
    let (at, pid) = (postgres.addr(), postgres.pid());
    let mut client = Client::of(&postgres).await.unwrap();
    client.postgres("create table kept as select 42 as answer").await.unwrap();
    postgres.kill();
    assert!(client.postgres("select 1").await.is_err());
    assert_eq!(Client::of(&postgres).await.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert!(matches!(living_in(postgres.directory()), None | Some(0)));

    postgres.restart().await;
    assert_eq!(postgres.addr(), at);
    assert!(postgres.pid().is_some() && postgres.pid() != pid);
    let mut client = Client::of(&postgres).await.unwrap();
    assert!(client.postgres("select answer from kept").await.unwrap().contains("42"));
    // One that runs is killed first.
    postgres.restart().await;
    assert!(client.postgres("select 1").await.is_err());
    Client::of(&postgres).await.unwrap();
}

#[tokio::test]
async fn a_stopped_redis_answers_when_it_goes_on() {
    let mut redis = Redis::start().await;
    let mut client = Client::of(&redis).await.unwrap();
    redis.stop();
    {
        let mut answer = Box::pin(client.redis("PING"));
        assert!(timeout(NOTHING, &mut answer).await.is_err());
        redis.cont();
        assert_eq!(answer.await.unwrap(), "+PONG\r\n");
    }
    // Killed as it stands still.
    redis.stop();
    redis.kill();
    assert!(client.redis("PING").await.is_err());
}

#[tokio::test]
async fn a_stopped_postgres_answers_neither_those_who_come_nor_those_who_are_there() {
    let mut postgres = Postgres::start().await;
    let mut client = Client::of(&postgres).await.unwrap();
    postgres.stop();
    {
        let mut answer = Box::pin(client.postgres("select 6 * 7"));
        let mut newcomer = Box::pin(Client::of(&postgres));
        assert!(timeout(NOTHING, &mut answer).await.is_err());
        assert!(timeout(NOTHING, &mut newcomer).await.is_err());
        drop(newcomer);
        postgres.cont();
        assert!(answer.await.unwrap().contains("42"));
    }
    postgres.stop();
    postgres.kill();
    assert!(client.postgres("select 1").await.is_err());
}

#[tokio::test]
async fn prometheus_answers_comes_back_and_leaves_nothing_behind() {
    let mut prometheus = Prometheus::start().await;
    let (directory, at) = (prometheus.directory().to_owned(), prometheus.addr());
    let targets = prometheus.get("/api/v1/targets").await.unwrap();
    assert!(targets.contains("\"activeTargets\":[]"), "{targets}");
    let refused = prometheus.get("/api/v1/query?query=(").await.unwrap_err().to_string();
    assert!(refused.starts_with("HTTP/1.0 400"), "{refused}");
    prometheus.kill();
    prometheus.get("/-/ready").await.unwrap_err();
    prometheus.restart().await;
    assert_eq!(prometheus.url(), format!("http://{at}"));
    prometheus.get("/-/ready").await.unwrap();
    drop(prometheus);
    assert_gone(&directory, at);
}

#[tokio::test]
async fn two_side_by_side_know_nothing_of_each_other() {
    let (mut one, other) = (Redis::start().await, Redis::start().await);
    assert_ne!(one.port(), other.port());
    assert_ne!(one.directory(), other.directory());
    one.kill();
    assert_eq!(Client::of(&other).await.unwrap().redis("PING").await.unwrap(), "+PONG\r\n");

    let (one, mut other) = (Postgres::start().await, Postgres::start().await);
    other.kill();
    Client::of(&one).await.unwrap().postgres("select 1").await.unwrap();
}

#[tokio::test]
async fn one_that_is_dropped_leaves_no_process_and_no_directory() {
    let redis = Redis::start().await;
    let (directory, at) = (redis.directory().to_owned(), redis.addr());
    assert!(matches!(living_in(&directory), None | Some(1)));
    drop(redis);
    assert_gone(&directory, at);

    for does in [|_: &mut Postgres| {}, Server::stop, Server::kill] {
        let mut postgres = Postgres::start().await;
        let (directory, at) = (postgres.directory().to_owned(), postgres.addr());
        assert!(living_in(&directory).is_none_or(|count| count > 1), "it starts others");
        does(&mut postgres);
        drop(postgres);
        assert_gone(&directory, at);
    }
}

#[tokio::test]
async fn a_panic_leaves_no_process_and_no_directory() {
    let redis = Redis::start().await;
    let (directory, at) = (redis.directory().to_owned(), redis.addr());
    let panics = tokio::spawn(async move {
        let _redis = redis;
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_gone(&directory, at);
}

#[tokio::test]
async fn a_port_that_is_taken_is_passed_over_by_one_that_starts_and_waited_for_by_one_that_comes_back() {
    let mut first = Redis::start().await;
    let taken = (1..=8).filter_map(|next| TcpListener::bind(("127.0.0.1", first.port() + next)).ok());
    let taken: Vec<_> = taken.collect();
    let second = Redis::start().await;
    assert!(taken.iter().all(|taken| taken.local_addr().unwrap() != second.addr()));

    first.kill();
    let taken = TcpListener::bind(first.addr()).unwrap();
    let mut restart = Box::pin(first.restart());
    assert!(timeout(NOTHING, &mut restart).await.is_err());
    drop(taken);
    restart.await;
    drop(first);
}

/// This test alone, in a process of its own, where it plays a part.
fn played(part: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_part_in_another_test", "--nocapture"]).env(PART, part);
    command
}

const PART: &str = "BUTTRESS_TEST_PART";

#[tokio::test]
async fn a_part_in_another_test() {
    match env::var(PART).as_deref() {
        Ok("redis") => show(Redis::start().await).await,
        Ok("postgres") => show(Postgres::start().await).await,
        _ => {}
    }
}

async fn show<P: Program>(server: Server<P>) {
    println!("server {} {}", server.addr(), server.directory().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_test_that_is_killed_takes_its_servers_with_it() {
    for part in ["redis", "postgres"] {
        let mut test = played(part).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
        let shown = lines.find_map(|line| line.split_once("server ").map(|(_, shown)| shown.to_owned()));
        let shown = shown.unwrap();
        let (at, directory) = shown.split_once(' ').unwrap();
        let (at, directory): (SocketAddr, _) = (at.parse().unwrap(), Path::new(directory));
        assert!(TcpStream::connect(at).await.is_ok() && directory.exists());
        test.kill().unwrap();
        test.wait().unwrap();
        let gone = async {
            // It is told to end, and its directory is removed: either may be the first to be done.
            while directory.exists() || is_there(directory, at).await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), gone).await.unwrap();
        assert_gone(directory, at);
    }
}

#[test]
fn a_server_that_is_not_installed_fails_the_test_with_the_command_that_installs_it() {
    let output = played("redis").env("PATH", "/nowhere").output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("redis-server is not installed: `cargo xtask setup` installs it"), "{said}");
}
