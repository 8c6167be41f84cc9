//! The upstream fails, stalls, is killed, and comes back.

use super::{Gateway, Http, PATIENCE, Status};
use http::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The breaker lets go quickly, so that the tests are quick.
const QUICK: [&str; 6] = ["--open-for", "300ms", "--open-max", "300ms", "--attempt-timeout", "250ms"];

#[tokio::test]
async fn failures_open_the_breaker_and_a_probe_closes_it() {
    let gateway = Gateway::start(&["--failures", "3", "--open-for", "2s"]).await;
    assert_eq!(gateway.get("/memories").await.status, 200);
    gateway.chaos(json!({ "mode": "fail", "status": 500 })).await;
    for _ in 0..3 {
        gateway.get("/memories").await.assert_problem(500); // the upstream's own answer, passed on
    }
    let opened = gateway.status().await;
    assert_eq!((opened.breaker(), opened.calls("failure"), opened.arrived()), ("open", 3, 4));

    // Meanwhile the upstream is left alone.
    for _ in 0..20 {
        gateway.get("/memories").await.assert_refused();
    }
    let refused = gateway.status().await;
    assert_eq!((refused.calls("refused"), refused.arrived()), (20, 4));

    gateway.chaos(json!({ "mode": "ok" })).await;
    gateway
        .until("time for a probe", |status| {
            status.part("upstream")["notes"]["state"] == "open, due for a probe"
        })
        .await;
    assert_eq!(gateway.get("/memories").await.status, 200);
    let closed = gateway.status().await;
    assert_eq!((closed.breaker(), closed.arrived()), ("closed", 5));
    assert!(closed.idle());
    gateway.stop().await;
}

#[tokio::test]
async fn the_upstream_says_how_long_to_leave_it_alone() {
    let gateway = Gateway::start(&["--failures", "1", "--open-for", "1s", "--open-max", "10m"]).await;
    gateway.chaos(json!({ "mode": "fail", "retry_after": 120 })).await;
    let own = gateway.get("/memories").await;
    assert_eq!((own.status.as_u16(), own.retry_after()), (503, 120));
    let refused = gateway.get("/memories").await;
    refused.assert_refused();
    assert!((60..=120).contains(&refused.retry_after()), "{refused:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stalled_upstream_is_a_failed_one() {
    let gateway = Gateway::start(&["--failures", "2", "--attempt-timeout", "250ms"]).await;
    gateway.chaos(json!({ "mode": "stall" })).await;
    for _ in 0..2 {
        let answer = gateway.get("/memories").await;
        answer.assert_problem(504);
        assert_eq!(answer.body["name"], "attempt");
    }
    gateway.get("/memories").await.assert_refused();
    // The upstream notices that nobody waits any longer.
    let status = gateway.until("let go", |status| status.stalled() == 0.0 && status.idle()).await;
    assert_eq!((status.breaker(), status.arrived()), ("open", 2));
    gateway.stop().await;
}

/// The show: the upstream is told to fail, to stall and to recover, while requests go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_it_opens_probes_and_closes() {
    let gateway = Gateway::start(&QUICK).await;
    let load = Load::start(&gateway);
    load.until("healthy", |seen| seen.count("200") >= 100).await;
    load.print("healthy").await;

    for (mode, answer) in [("fail", "503"), ("stall", "504")] {
        gateway.chaos(json!({ "mode": mode })).await;
        let opened = gateway.until("open", open).await.opened();
        gateway.until("still open after probes", |status| status.opened() >= opened + 2).await;
        load.until("refused", |seen| seen.refused.len() >= 100 && seen.count(answer) >= 1).await;
        gateway.chaos(json!({ "mode": "ok" })).await;
        gateway.until("closed", closed).await;
        load.print(mode).await;
        load.until("healthy again", |seen| seen.count("200") >= 100).await;
    }

    load.stop().await;
    let end = gateway.until("idle", |status| status.idle() && status.stalled() == 0.0).await;
    println!("{:#}", end.part("upstream"));
    gateway.stop().await;
}

/// The same with an upstream that dies and is started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_it_survives_the_death_of_its_upstream() {
    let upstream = Gateway::start(&[]).await;
    let url = upstream.url.clone();
    let gateway = Gateway::start(&[&QUICK[..], &["--upstream", &url]].concat()).await;
    let load = Load::start(&gateway);
    load.until("healthy", |seen| seen.count("200") >= 100).await;

    upstream.kill().await;
    let opened = gateway.until("open", open).await.opened();
    gateway.until("still open after probes", |status| status.opened() >= opened + 2).await;
    load.until("refused", |seen| seen.refused.len() >= 100 && seen.count("502") >= 1).await;

    // Meanwhile somebody else may have the port for a moment.
    let address = url.trim_start_matches("http://");
    let begin = Instant::now();
    let upstream = loop {
        match Gateway::try_start(address, &[]).await {
            Ok(upstream) => break upstream,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
    };
    gateway.until("closed", closed).await;
    load.print("killed").await;
    load.until("healthy again", |seen| seen.count("200") >= 100).await;

    load.stop().await;
    gateway.until("idle", Status::idle).await;
    gateway.stop().await;
    upstream.stop().await;
}

fn open(status: &Status) -> bool {
    status.breaker() == "open"
}

fn closed(status: &Status) -> bool {
    status.breaker() == "closed"
}

/// Clients that ask until they are told to stop.
struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

/// The answers since the last line that was printed.
#[derive(Default)]
struct Seen {
    /// By status; refusals apart.
    answers: BTreeMap<String, usize>,
    /// How long refusals took, over a socket.
    refused: Vec<Duration>,
}

impl Seen {
    fn count(&self, status: &str) -> usize {
        self.answers.get(status).copied().unwrap_or_default()
    }
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let mut load = Self { seen: Arc::default(), stop: Arc::default(), clients: JoinSet::new() };
        for _ in 0..8 {
            let (http, url) = (Http::new(), format!("{}/memories", gateway.url));
            load.clients.spawn(ask(http, url, Arc::clone(&load.seen), Arc::clone(&load.stop)));
        }
        load
    }

    /// Waits until the clients have seen what is wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) {
        let begin = Instant::now();
        let mut pause = interval(Duration::from_millis(5));
        while !wanted(&*self.seen.lock().await) {
            assert!(begin.elapsed() < PATIENCE, "never {what}");
            pause.tick().await;
        }
    }

    async fn print(&self, phase: &str) {
        let Seen { answers, mut refused } = std::mem::take(&mut *self.seen.lock().await);
        refused.sort_unstable();
        let median = refused.get(refused.len() / 2).copied().unwrap_or_default();
        let fastest = refused.first().copied().unwrap_or_default();
        let count = refused.len();
        println!("{phase}: {answers:?}, {count} refused, median {median:?}, fastest {fastest:?}");
        // A tenth of it would do. What a refusal must never do is wait for the upstream's 250 ms.
    }

    async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("every request got an answer");
        }
    }
}

async fn ask(http: Http, url: String, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    let mut pace = interval(Duration::from_millis(2));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let answer = http.ask(Method::GET, &url, None).await;
        let took = begin.elapsed();
        if answer.body["layer"] == "breaker" {
            answer.assert_refused();
            seen.lock().await.refused.push(took);
        } else {
            let status = answer.status.as_u16();
            if status != 200 {
                answer.assert_problem(status);
            }
            assert!([200, 502, 503, 504].contains(&status), "{answer:?}");
            *seen.lock().await.answers.entry(status.to_string()).or_default() += 1;
        }
        pace.tick().await;
    }
}
