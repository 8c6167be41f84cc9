//! Slower, older, but never without an answer: a cache before a pool, driven and printed:
//! `cargo run --release --example degraded`.
//!
//! A stack of cache, breaker and pool asks a server. When all connections are taken, and when the server is gone, what
//! is known is answered as it was, marked as stale, and what is not known is refused within a bounded time, or at once.
//! When the server is back, the pool finds it, and answers are fresh again.

mod server;

use buttress::breaker::{self, BreakerLayer};
use buttress::cache::{self, Cache, CacheLayer, Served};
use buttress::pool::{self, Lease, Manager, Pool, PoolLayer, Size};
use server::Server;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

/// So short that the example need not wait long for anything.
const FRESH: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the cache does not ask again where it can serve what is stale.
const RETRY: Duration = Duration::from_millis(100);

/// What callers get.
#[derive(Clone, Debug)]
struct Answer {
    text: Arc<str>,
    is_stale: bool,
}

type Error = buttress::Error<Arc<io::Error>>;
type Answers = BoxCloneSyncService<String, Answer, Error>;

/// Connections to the server: a line there, a line back.
struct Lines(SocketAddr);

impl Manager for Lines {
    type Connection = BufReader<TcpStream>;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        Ok(BufReader::new(TcpStream::connect(self.0).await?))
    }

    async fn check(&self, server: &mut BufReader<TcpStream>) -> io::Result<()> {
        ask(server, "ping").await.map(|_| ())
    }
}

/// An answer that its asker has left would be the next one's.
async fn ask(server: &mut BufReader<TcpStream>, question: &str) -> io::Result<String> {
    server.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    match server.read_line(&mut answer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim_end().to_owned()),
    }
}

/// The service at the end of the stack.
async fn answer((mut server, question): (Lease<Lines>, String)) -> Result<Answer, Error> {
    // Until the answer is there, nobody else may have this connection: the future may be dropped at any moment.
    server.mark_dirty();
    let text = ask(&mut server, &question).await.map_err(|error| Error::Inner(Arc::new(error)))?;
    server.mark_clean();
    Ok(Answer { text: text.into(), is_stale: false })
}

/// The way of a question, outermost layer first.
fn stack(pool: &Pool<Lines>) -> Answers {
    let config =
        cache::Config::default().ttl(FRESH).stale_if_error(Duration::from_secs(600)).retry_after(RETRY);
    let cache = CacheLayer::new(&Cache::new("answers", config), |question: &String| Some(question.clone()))
        .mark(|answer: &mut Answer, served: Served| answer.is_stale = served.is_stale());
    // A pool that is exhausted counts as a failure, too: who cannot be served need not queue.
    let breaker = BreakerLayer::new("server", breaker::Config::default());
    let pool = PoolLayer::new(pool);
    let answers = ServiceBuilder::new().layer(cache).layer(breaker).layer(pool).service_fn(answer);
    BoxCloneSyncService::new(answers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const SIZE: Size = Size::new(1, 1).unwrap();
    let config = pool::Config::default().size(SIZE).acquire_timeout(PATIENCE);
    let server = Server::start((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let address = server.address();
    let pool = Pool::new("server", config, Lines(address));
    let answers = stack(&pool);

    println!("all is well");
    tell(&answers, "tea").await;

    println!("all connections are taken");
    let taken = pool.get().await?;
    sleep(2 * FRESH).await;
    tell(&answers, "tea").await;
    tell(&answers, "milk").await;
    drop(taken);
    println!("one is back");
    sleep(2 * FRESH).await;
    tell(&answers, "tea").await;

    println!("the server is gone");
    drop(server);
    sleep(2 * FRESH).await;
    tell(&answers, "tea").await;
    tell(&answers, "milk").await;
    if let Some((_, cause)) = pool.last_error() {
        println!("  the pool knows why: {cause}");
    }

    println!("the server is back");
    let _server = Server::start(address).await?;
    while pool.stats().down_for.is_some() {
        sleep(PATIENCE).await;
    }
    sleep(RETRY).await;
    tell(&answers, "tea").await;
    tell(&answers, "milk").await;
    Ok(())
}

/// Asks, and prints what was answered.
async fn tell(answers: &Answers, question: &str) {
    match answers.clone().oneshot(question.to_owned()).await {
        Ok(Answer { text, is_stale }) => {
            println!("  {question}: {text}{}", if is_stale { ", stale" } else { "" });
        }
        Err(Error::Rejected(rejected)) => println!("  {question}: {rejected}"),
        Err(Error::Inner(error)) => println!("  {question}: {error}"),
    }
}
