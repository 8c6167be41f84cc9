//! What the clients of the gateway see while its upstream answers, fails and is gone; see `cargo xtask compare gateway`.
//!
//! The gateway, a process of its own, is started before an upstream that takes 5 ms for each answer. An answer is
//! fresh for 2 s, may be served for 2 s more while it is revalidated, and for a minute if that fails.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const URIS: u64 = 512;
const CLIENTS: u64 = 16;
/// Of each client in a phase, but for the first, in which each URI is asked for once.
const REQUESTS: u64 = 2000;
const TAKES: Duration = Duration::from_millis(5);
const DIRECTIVES: &str = "max-age=2, stale-while-revalidate=2, stale-if-error=60";

#[tokio::main]
async fn main() -> Outcome {
    let program = std::env::args().nth(1).ok_or("usage: phases PATH-OF-THE-GATEWAY")?;
    let upstream = Upstream::start()?;
    let gateway = Gateway::start(&program, upstream.address)?;
    println!(
        "{:<32}{:>9}{:>8}{:>8}{:>8}{:>10}{:>11}{:>11}",
        "", "requests", "hits", "stale", "errors", "upstream", "median µs", "p99 µs"
    );

    let mut gateway = Phases { gateway, upstream };
    gateway.phase("cold: each URI once", URIS / CLIENTS).await?;
    gateway.phase("warm", REQUESTS).await?;
    sleep(Duration::from_secs(2)).await;
    gateway.phase("revalidating, in the background", REQUESTS).await?;
    sleep(Duration::from_secs(5)).await;
    gateway.phase("revalidating, before the answer", REQUESTS).await?;
    sleep(Duration::from_secs(5)).await;
    gateway.upstream.fails.store(true, Ordering::Relaxed);
    gateway.phase("failing: 503", REQUESTS).await?;
    gateway.upstream.kill();
    gateway.phase("dead", REQUESTS).await?;
    Ok(())
}

struct Phases {
    gateway: Gateway,
    upstream: Upstream,
}

impl Phases {
    /// All clients at once, each over all URIs in an order of its own. Prints a line.
    async fn phase(&mut self, name: &str, requests: u64) -> Outcome {
        let before = self.upstream.calls.load(Ordering::Relaxed);
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (http, address) = (self.gateway.http.clone(), self.gateway.address.clone());
            clients.spawn(async move {
                let mut seen = Seen::default();
                for request in 0..requests {
                    // In the first phase, which is shorter, no two ask for the same.
                    let uri = (client + request * CLIENTS) % URIS;
                    seen.ask(&http, &format!("{address}/{uri}")).await?;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(seen)
            });
        }
        let mut all = Seen::default();
        while let Some(seen) = clients.join_next().await {
            all.add(seen??);
        }
        let calls = self.upstream.calls.load(Ordering::Relaxed) - before;
        all.took.sort_unstable();
        let total = all.took.len();
        let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / total as f64);
        let micros = |rank: usize| all.took.get(rank).map_or(0, Duration::as_micros);
        println!(
            "{name:<32}{total:>9}{:>8}{:>8}{:>8}{calls:>10}{:>11}{:>11}",
            share(all.hits),
            all.stale,
            all.errors,
            micros(total / 2),
            micros(total * 99 / 100),
        );
        Ok(())
    }
}

/// What clients were answered.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    /// From the cache, without waiting for the upstream.
    hits: usize,
    /// Said to be stale.
    stale: usize,
    errors: usize,
}

impl Seen {
    async fn ask(&mut self, http: &Client<HttpConnector, Body>, uri: &str) -> Outcome {
        let request = Request::get(uri).body(Body::empty())?;
        let began = Instant::now();
        let response = http.request(request).await?;
        let (status, said) = (response.status(), said(&response));
        response.into_body().collect().await?;
        self.took.push(began.elapsed());
        self.hits += usize::from(said.contains("; hit"));
        self.stale += usize::from(said.contains("; detail=stale"));
        self.errors += usize::from(status != StatusCode::OK);
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.hits += other.hits;
        self.stale += other.stale;
        self.errors += other.errors;
    }
}

fn said<B>(response: &Response<B>) -> String {
    let said = response.headers().get("cache-status").and_then(|said| said.to_str().ok());
    said.unwrap_or_default().to_owned()
}

/// Has threads of its own, so that it can be gone at once with all its connections.
struct Upstream {
    address: SocketAddr,
    calls: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

impl Upstream {
    fn start() -> Outcome<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (calls, fails) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (counted, failing) = (Arc::clone(&calls), Arc::clone(&fails));
        let answer = async move |request: HeaderMap| {
            counted.fetch_add(1, Ordering::Relaxed);
            sleep(TAKES).await;
            let about = [(CACHE_CONTROL, DIRECTIVES), (ETAG, "\"1\"")];
            if failing.load(Ordering::Relaxed) {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            } else if request.contains_key(IF_NONE_MATCH) {
                (StatusCode::NOT_MODIFIED, about).into_response()
            } else {
                (about, "x".repeat(1024)).into_response()
            }
        };
        let router = Router::new().fallback(answer);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        });
        Ok(Self { address, calls, fails, runtime: Some(runtime) })
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Gateway {
    process: Child,
    /// `http://127.0.0.1:port`
    address: String,
    http: Client<HttpConnector, Body>,
}

impl Gateway {
    fn start(program: &str, upstream: SocketAddr) -> Outcome<Self> {
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--upstream", &format!("http://{upstream}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It says when its breaker opens.
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = &mut process.stdout {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.split([' ', ',']).find(|word| word.starts_with("http://"));
        let address = address.ok_or("the gateway did not start")?.to_owned();
        Ok(Self { process, address, http: Client::builder(TokioExecutor::new()).build_http() })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // If it has ended already there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
