//! Drives the `gateway` example as its users do: the real program, real sockets, real signals.
//!
//! The tests wait for what they want to see on `/status`, each for at most [`PATIENCE`]; no test sleeps and
//! hopes. `cargo test -p buttress-examples --test gateway -- --nocapture` prints what the load saw.
#![cfg(unix)]

mod caching;
mod database;
mod drain;
mod flags;
mod metrics;
mod outage;
mod prometheus;
mod proxying;
mod service;
#[path = "../support/mod.rs"]
mod support;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

/// How long anything may take before a test gives up. Everything here takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The example, built once.
static BINARY: LazyLock<PathBuf> = LazyLock::new(|| support::built("gateway"));

/// The program with these flags, not yet started; it is killed with the test.
fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(&*BINARY);
    command.env_remove("DATABASE_URL"); // of whoever runs the tests
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A running gateway.
struct Gateway {
    child: Child,
    /// `http://127.0.0.1:port`
    url: String,
    upstream: String,
    /// Where it is asked about itself: its own URL unless told otherwise.
    admin: String,
    client: Http,
}

impl Gateway {
    /// Starts one on a free port.
    async fn start(flags: &[&str]) -> Self {
        let started = Self::try_start("127.0.0.1:0", flags).await;
        started.unwrap_or_else(|error| panic!("the gateway did not start: {error}"))
    }

    /// Starts one at `address`, or returns what it printed instead.
    async fn try_start(address: &str, flags: &[&str]) -> Result<Self, String> {
        Self::run(command(&[&["--listen", address], flags].concat())).await
    }

    async fn run(mut command: Command) -> Result<Self, String> {
        let mut child = command.spawn().expect("it can be run");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        let read = timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
        read.expect("it says something at once").expect("its output can be read");
        // gateway on http://127.0.0.1:1, upstream http://127.0.0.1:2 (embedded), admin on http://127.0.0.1:3
        let mut urls = line.split([' ', ',', '\n']).filter(|word| word.starts_with("http://"));
        let (Some(url), Some(upstream)) = (urls.next(), urls.next()) else {
            return Err(stderr(&mut child).await);
        };
        let admin = urls.next().unwrap_or(url);
        Ok(Self {
            url: url.into(),
            upstream: upstream.into(),
            admin: admin.into(),
            child,
            client: Http::new(),
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.ask(Method::GET, &format!("{}{path}", self.url), None).await
    }

    async fn post(&self, path: &str, json: Value) -> Answer {
        self.client.ask(Method::POST, &format!("{}{path}", self.url), Some(json)).await
    }

    /// Tells the embedded upstream what to do, without asking the gateway, whose breaker may be open.
    async fn chaos(&self, mode: Value) {
        let answer = self.client.ask(Method::POST, &format!("{}/chaos", self.upstream), Some(mode)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn status(&self) -> Status {
        let answer = self.client.ask(Method::GET, &format!("{}/status", self.admin), None).await;
        assert_eq!(answer.status, 200);
        Status(answer.body)
    }

    /// Reads `/status` until it shows what is wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let begin = Instant::now();
        let mut pause = interval(Duration::from_millis(5));
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "never {what}: {:#}", status.0);
            pause.tick().await;
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        // `kill` is built into every shell, and not a program everywhere.
        let sent =
            std::process::Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status();
        assert!(sent.expect("there is a shell").success());
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for the program to end by itself; returns how, and what it wrote.
    async fn end(mut self) -> (ExitStatus, String) {
        let written = stderr(&mut self.child).await;
        (timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it can be waited for"), written)
    }

    /// Stops the program and checks that nothing panicked in it.
    async fn stop(self) {
        self.signal("TERM");
        let (status, written) = self.end().await;
        assert!(status.success(), "{status}: {written}");
        assert!(!written.contains("panicked"), "{written}");
    }
}

/// Everything that the program writes to standard error until it ends.
async fn stderr(child: &mut Child) -> String {
    let mut written = String::new();
    let pipe = child.stderr.as_mut().expect("stderr is piped");
    timeout(PATIENCE, pipe.read_to_string(&mut written)).await.expect("it ends").expect("it writes UTF-8");
    written
}

/// A client that always comes back with an answer, or fails the test.
#[derive(Clone)]
struct Http(Client<HttpConnector, Body>);

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// Null if it is not JSON.
    body: Value,
}

impl Http {
    fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    async fn ask(&self, method: Method, url: &str, json: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(url).header("content-type", "application/json");
        let request = request.body(json.map_or(Body::empty(), |json| Body::from(json.to_string())));
        let request = request.expect("it makes sense");
        let response = timeout(PATIENCE, self.0.request(request)).await.expect("no request hangs");
        let (head, body) = response.expect("the gateway is there").into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("no body hangs").expect("a body is whole");
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        Answer { status: head.status, headers: head.headers, body }
    }
}

impl Answer {
    #[track_caller]
    fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
    }

    /// A refusal by the breaker says when to come back.
    #[track_caller]
    fn assert_refused(&self) {
        self.assert_problem(503);
        assert_eq!(self.body["layer"], "breaker", "{self:?}");
        assert!(self.retry_after() >= 1, "{self:?}");
    }

    fn retry_after(&self) -> u64 {
        let seconds = self.headers["retry-after"].to_str().ok().and_then(|value| value.parse().ok());
        seconds.unwrap_or_else(|| panic!("not whole seconds: {self:?}"))
    }
}

/// What `/status` says.
struct Status(Value);

impl Status {
    fn part(&self, name: &str) -> &Value {
        let parts = self.0["parts"].as_array().expect("there are parts");
        parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name}: {:#}", self.0))
    }

    /// `closed`, `open` or `half_open`.
    fn breaker(&self) -> &str {
        self.part("upstream")["states"]["state"].as_str().expect("the breaker has a state")
    }

    fn calls(&self, outcome: &str) -> u64 {
        let key = format!("calls_total{{outcome={outcome}}}");
        self.part("upstream")["counters"][&key].as_u64().unwrap_or_else(|| panic!("no {key}: {:#}", self.0))
    }

    /// Times that the breaker opened, also after failed probes.
    fn opened(&self) -> u64 {
        self.part("upstream")["counters"]["opened_total"].as_u64().expect("they are counted")
    }

    /// Requests for memories that reached the embedded upstream.
    fn arrived(&self) -> u64 {
        self.part("memories")["counters"]["requests_total"].as_u64().expect("they are counted")
    }

    fn stalled(&self) -> f64 {
        self.part("memories")["gauges"]["stalled"].as_f64().expect("they are counted")
    }

    fn idle(&self) -> bool {
        ["deadline", "upstream", "attempt"].iter().all(|part| self.part(part)["gauges"]["in_flight"] == 0.0)
    }
}
