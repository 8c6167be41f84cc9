//! `cargo xtask compare batcher-postgres`: rows that are read and rows that are written, one by one and in batches, by as
//! many callers on as many connections.

use super::median;
use crate::pools::on_runtime;
use buttress_batcher::{BatchLayer, Config};
use buttress_benches::measure::process_cpu_time;
use buttress_benches::table::Aligned;
use buttress_core::{Distribution, Error, Ratio};
use buttress_pool::postgres::{self, Postgres};
use buttress_pool::{self as pool, Lease, Manager, Pool, PoolLayer, Size};
use std::collections::HashMap;
use std::fs;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_postgres::Statement;
use tower::{Service, ServiceBuilder, ServiceExt};

const CALLERS: u64 = 256;
const CONNECTIONS: u32 = 8;
/// Those that are read.
const ROWS: i64 = 100_000;

/// In each all have their turn, so that what else the machine does hits none of them alone.
const ROUNDS: usize = 7;
/// Before callers are counted, and while they are.
const WARM: Duration = Duration::from_millis(200);
const TIME: Duration = Duration::from_millis(700);

type Failure = Error<tokio_postgres::Error>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Reads,
    Inserts,
}

/// How many batches run at a time; `None`: no batches.
type Ways = [Option<u32>; 4];
const WAYS: Ways = [None, Some(CONNECTIONS), Some(4), Some(2)];

const WORKS: [(Work, &str); 2] =
    [(Work::Reads, "rows are read by number"), (Work::Inserts, "rows are inserted")];

/// The tables with a text in what happens, on the server with this URL and process.
pub fn run(only: &str, server: &str) -> Result<(), String> {
    let (url, pid) = server.split_once(' ').ok_or("it is told a URL and a process")?;
    let place = Place { url: url.parse().map_err(|_| "that is no URL")?, pid: pid.to_owned() };
    place.prepare().map_err(|error| format!("the server is not as it should be: {error}"))?;
    for (work, title) in WORKS.iter().filter(|(_, title)| title.contains(only)) {
        let mut rounds = WAYS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (way, rounds) in WAYS.iter().zip(&mut rounds) {
                rounds.push(place.play(*work, *way)?);
            }
        }
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        let [alone, ..] = &rounds;
        lines.extend(WAYS.iter().zip(&rounds).map(|(way, rounds)| line(*way, rounds, alone)));
        println!(
            "\n{CALLERS} callers on {CONNECTIONS} connections, two workers; {title}\n{}",
            Aligned(&lines)
        );
    }
    Ok(())
}

const HEAD: [&str; 10] = [
    "",
    "items/s",
    "of one by one",
    "average batch",
    "p50 ms",
    "p99 ms",
    "CPU \u{b5}s/item: here",
    "server",
    "both",
    "of one by one",
];

/// The median of each figure; ratios are those of medians.
fn line(way: Option<u32>, rounds: &[Round], alone: &[Round]) -> Vec<String> {
    let figure = |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let own = |of: fn(&Round) -> f64| figure(rounds, of);
    let ratio = |of: fn(&Round) -> f64| figure(rounds, of) / figure(alone, of);
    let name = way.map_or_else(|| "one by one".to_owned(), |most| format!("batches, {most} in flight"));
    vec![
        name,
        format!("{:.0}", own(Round::rate)),
        format!("{:.2}", ratio(Round::rate)),
        format!("{:.1}", own(|round| round.batch)),
        format!("{:.1}", own(|round| round.millis(50))),
        format!("{:.1}", own(|round| round.millis(99))),
        format!("{:.1}", own(|round| round.per_item(round.cpu))),
        format!("{:.1}", own(|round| round.per_item(round.server_cpu))),
        format!("{:.1}", own(|round| round.per_item(round.cpu + round.server_cpu))),
        format!("{:.2}", ratio(|round| round.per_item(round.cpu + round.server_cpu))),
    ]
}

struct Round {
    took: Duration,
    items: u64,
    batch: f64,
    times: Distribution,
    /// Of this process, and of the server's.
    cpu: Duration,
    server_cpu: Duration,
}

impl Round {
    fn rate(&self) -> f64 {
        self.items as f64 / self.took.as_secs_f64()
    }

    fn millis(&self, percent: u32) -> f64 {
        self.times.quantile(Ratio::percent(percent)).unwrap_or_default().as_secs_f64() * 1e3
    }

    /// Microseconds.
    fn per_item(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.items as f64
    }
}

/// Where the server is.
struct Place {
    url: tokio_postgres::Config,
    pid: String,
}

impl Place {
    fn prepare(&self) -> Result<(), tokio_postgres::Error> {
        let make = format!(
            "CREATE TABLE read (id bigint PRIMARY KEY, text text NOT NULL);
             CREATE TABLE written (id bigint PRIMARY KEY, text text NOT NULL);
             INSERT INTO read SELECT id, repeat('x', 100) FROM generate_series(0, {}) AS id;
             ANALYZE read",
            ROWS - 1
        );
        on_runtime(1, self.run(make))
    }

    async fn run(&self, statements: impl AsRef<str>) -> Result<(), tokio_postgres::Error> {
        let client = Postgres::new(self.url.clone()).connect().await?;
        client.batch_execute(statements.as_ref()).await
    }

    fn play(&self, work: Work, way: Option<u32>) -> Result<Round, String> {
        on_runtime(2, async {
            self.run("TRUNCATE written; CHECKPOINT").await.map_err(|error| error.to_string())?;
            const SIZE: Size = Size::new(CONNECTIONS, CONNECTIONS).unwrap();
            let manager = Prepared(Postgres::new(self.url.clone()));
            let pool = Pool::new("rows", pool::Config::default().size(SIZE), manager);
            Ok(match (work, way.and_then(NonZeroU32::new)) {
                (Work::Reads, None) => {
                    let reads = ServiceBuilder::new().layer(PoolLayer::new(&pool)).service_fn(read);
                    self.count(work, reads, || (0, 0)).await
                }
                (Work::Inserts, None) => {
                    let inserts = ServiceBuilder::new().layer(PoolLayer::new(&pool)).service_fn(insert);
                    self.count(work, inserts, || (0, 0)).await
                }
                (Work::Reads, Some(in_flight)) => {
                    let batches = BatchLayer::new("reads", Config::default().in_flight(in_flight));
                    let handle = batches.handle();
                    let reads = ServiceBuilder::new().layer(batches).layer(PoolLayer::new(&pool));
                    self.count(work, reads.service_fn(read_all), || {
                        (handle.stats().batches(), handle.stats().sent)
                    })
                    .await
                }
                (Work::Inserts, Some(in_flight)) => {
                    let batches = BatchLayer::new("inserts", Config::default().in_flight(in_flight));
                    let handle = batches.handle();
                    let inserts = ServiceBuilder::new().layer(batches).layer(PoolLayer::new(&pool));
                    self.count(work, inserts.service_fn(insert_all), || {
                        (handle.stats().batches(), handle.stats().sent)
                    })
                    .await
                }
            })
        })
    }

    /// Lets all call, and counts what is done.
    async fn count<S>(&self, work: Work, service: S, sent: impl Fn() -> (u64, u64)) -> Round
    where
        S: Service<i64, Error = Failure> + Clone + Send + 'static,
        S::Future: Send,
    {
        let (is_counted, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let caller =
            |n| tokio::spawn(call(service.clone(), work, n, Arc::clone(&is_counted), Arc::clone(&is_over)));
        let callers: Vec<_> = (0..CALLERS).map(caller).collect();
        sleep(WARM).await;
        let (start, cpu, server_cpu, (batches, items)) =
            (Instant::now(), process_cpu_time(), self.cpu(), sent());
        // Relaxed, both: they only have to be seen some time.
        is_counted.store(true, Ordering::Relaxed);
        sleep(TIME).await;
        is_over.store(true, Ordering::Relaxed);
        let (took, cpu, server_cpu) =
            (start.elapsed(), process_cpu_time() - cpu, since(&server_cpu, &self.cpu()));
        let (batches, items) = {
            let now = sent();
            (now.0 - batches, now.1 - items)
        };
        let mut times = Distribution::new();
        for caller in callers {
            times.merge(&caller.await.expect("no caller panics"));
        }
        let batch = if batches == 0 { 1.0 } else { items as f64 / batches as f64 };
        Round { took, items: times.count(), batch, times, cpu, server_cpu }
    }

    /// How long each of the server's processes has been on a processor; none where the system does not tell.
    fn cpu(&self) -> HashMap<String, Duration> {
        let pid = &self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let on_cpu = |child: &str| {
            let stat = fs::read_to_string(format!("/proc/{child}/schedstat")).ok()?;
            let nanos = stat.split_whitespace().next()?.parse().ok()?;
            Some((child.to_owned(), Duration::from_nanos(nanos)))
        };
        children.split_whitespace().filter_map(on_cpu).collect()
    }
}

/// What all have had more, and those that have started.
fn since(start: &HashMap<String, Duration>, end: &HashMap<String, Duration>) -> Duration {
    let more =
        |(pid, time): (&String, &Duration)| time.saturating_sub(start.get(pid).copied().unwrap_or_default());
    end.iter().map(more).sum()
}

async fn call<S>(
    mut service: S,
    work: Work,
    caller: u64,
    is_counted: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
) -> Distribution
where
    S: Service<i64, Error = Failure>,
{
    let (mut times, mut number) = (Distribution::new(), (caller << 32) as i64);
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        number += 1;
        // In no order.
        let row = match work {
            Work::Reads => (number.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) as u64 >> 16) as i64 % ROWS,
            Work::Inserts => number,
        };
        let ready = service.ready().await.expect("nobody closes it");
        ready.call(row).await.expect("the server answers");
        if is_counted.load(Ordering::Relaxed) && !is_over.load(Ordering::Relaxed) {
            times.record(start.elapsed());
        }
    }
    times
}

async fn read((session, id): (Lease<Prepared>, i64)) -> Result<Option<String>, Failure> {
    let row = session.client.query_opt(&session.read, &[&id]).await.map_err(Error::Inner)?;
    Ok(row.map(|row| row.get(1)))
}

async fn read_all(
    (session, ids): (Lease<Prepared>, Vec<i64>),
) -> Result<Vec<Result<Option<String>, Failure>>, Failure> {
    let rows = session.client.query(&session.read_all, &[&ids]).await.map_err(Error::Inner)?;
    let rows: HashMap<i64, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(ids.iter().map(|id| Ok(rows.get(id).cloned())).collect())
}

async fn insert((session, id): (Lease<Prepared>, i64)) -> Result<(), Failure> {
    session.client.execute(&session.insert, &[&id, &TEXT]).await.map_err(Error::Inner)?;
    Ok(())
}

async fn insert_all(
    (session, ids): (Lease<Prepared>, Vec<i64>),
) -> Result<Vec<Result<(), Failure>>, Failure> {
    let texts = vec![TEXT; ids.len()];
    session.client.execute(&session.insert_all, &[&ids, &texts]).await.map_err(Error::Inner)?;
    Ok(ids.iter().map(|_| Ok(())).collect())
}

const TEXT: &str =
    "of about as many letters as there are in one line of a text that somebody has written to be read";

/// Makes connections whose statements are prepared.
struct Prepared(Postgres);

struct Session {
    client: postgres::Connection,
    read: Statement,
    read_all: Statement,
    insert: Statement,
    insert_all: Statement,
}

impl Manager for Prepared {
    type Connection = Session;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        let client = self.0.connect().await?;
        let read = client.prepare("SELECT id, text FROM read WHERE id = $1").await?;
        let read_all = client.prepare("SELECT id, text FROM read WHERE id = ANY($1)").await?;
        let insert = client.prepare("INSERT INTO written VALUES ($1, $2)").await?;
        let insert_all = "INSERT INTO written SELECT * FROM unnest($1::bigint[], $2::text[])";
        let insert_all = client.prepare(insert_all).await?;
        Ok(Session { client, read, read_all, insert, insert_all })
    }

    async fn check(&self, session: &mut Session) -> Result<(), tokio_postgres::Error> {
        self.0.check(&mut session.client).await
    }

    fn is_broken(&self, session: &mut Session) -> bool {
        self.0.is_broken(&mut session.client)
    }
}
