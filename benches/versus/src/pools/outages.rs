//! `cargo xtask compare pool-outages`: a real server that is killed and comes back, and one that stands still.

use super::resp::Resp;
use super::{Bb8, Deadpool, Lends, Mobc, Ours, Settings, on_runtime};
use buttress_benches::table::Aligned;
use buttress_testkit::servers::Redis;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const TASKS: u64 = 32;
const CONNECTIONS: u32 = 8;
/// Of each get, and of each question to the server.
const LIMIT: Duration = Duration::from_millis(500);
const SETTINGS: Settings = Settings::new(CONNECTIONS, CONNECTIONS, LIMIT);
/// Between the answer to a task and its next get, whatever the answer was.
const PAUSE: Duration = Duration::from_millis(1);
/// What is not back by then is not coming back.
const PATIENCE: Duration = Duration::from_secs(5);

const DOWN: [Duration; 3] = [Duration::from_millis(700), Duration::from_secs(2), Duration::from_secs(5)];
/// Of each outage; the table has the best and the worst.
const SAMPLES: usize = 3;

struct Rival {
    name: &'static str,
    kill: fn(Duration) -> Outage,
    stop: fn() -> Stop,
}

const RIVALS: [Rival; 4] = [
    Rival { name: "buttress", kill: kill::<Ours<Resp>>, stop: stop::<Ours<Resp>> },
    Rival { name: "bb8", kill: kill::<Bb8<Resp>>, stop: stop::<Bb8<Resp>> },
    Rival { name: "deadpool", kill: kill::<Deadpool<Resp>>, stop: stop::<Deadpool<Resp>> },
    Rival { name: "mobc", kill: kill::<Mobc<Resp>>, stop: stop::<Mobc<Resp>> },
];

/// The tables, for the pools with a text in their names.
pub fn run(only: &str) -> Result<(), String> {
    let rivals: Vec<_> = RIVALS.iter().filter(|rival| rival.name.contains(only)).collect();
    if rivals.is_empty() {
        return Err(format!("no pool has `{only}` in its name"));
    }
    for down in DOWN {
        let head = [
            "",
            "first ok ms",
            "failed connects",
            "longest op ms",
            "wrong answers",
            "errors while down, all samples",
        ];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for Rival { name, kill, .. } in &rivals {
            let outages: Vec<_> = (0..SAMPLES).map(|_| kill(down)).collect();
            lines.push(Outage::line(name, &outages));
        }
        println!(
            "\n{TASKS} tasks on {CONNECTIONS} connections, the server is killed and back after {down:?}"
        );
        println!("{}", Aligned(&lines));
    }
    let mut lines = vec![["", "first get ms", "after it goes on"].map(str::to_owned).to_vec()];
    lines.extend(rivals.iter().map(|Rival { name, stop, .. }| stop().line(name)));
    println!("\nOne get while the server stands still, limit {LIMIT:?}, then 11 when it goes on");
    println!("{}", Aligned(&lines));
    Ok(())
}

/// What came of an outage.
struct Outage {
    /// From the moment when the server answers until the first operation succeeds; `None` if none did in time.
    recovery: Option<Duration>,
    failed_connects: u64,
    longest: Duration,
    wrong: u64,
    /// How many ended so, until the server was back.
    errors: BTreeMap<String, u64>,
}

impl Outage {
    fn line(name: &str, outages: &[Self]) -> Vec<String> {
        let millis = |time: Duration| time.as_millis() as u64;
        let range = |figure: &dyn Fn(&Self) -> u64| {
            let figures = || outages.iter().map(figure);
            let (least, most) = (figures().min().unwrap_or(0), figures().max().unwrap_or(0));
            if least == most { least.to_string() } else { format!("{least}..{most}") }
        };
        let recovery = if outages.iter().all(|outage| outage.recovery.is_some()) {
            range(&|outage| outage.recovery.map_or(0, millis))
        } else {
            format!("never in {PATIENCE:?}")
        };
        let mut errors = BTreeMap::new();
        for (kind, count) in outages.iter().flat_map(|outage| &outage.errors) {
            *errors.entry(kind).or_insert(0_u64) += count;
        }
        let errors: Vec<_> = errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        vec![
            name.to_owned(),
            recovery,
            range(&|outage| outage.failed_connects),
            range(&|outage| millis(outage.longest)),
            range(&|outage| outage.wrong),
            errors.join(", "),
        ]
    }
}

/// What the tasks have seen since the server was killed.
#[derive(Default)]
struct Seen {
    is_down: bool,
    errors: BTreeMap<String, u64>,
    longest: Duration,
    wrong: u64,
    /// When one succeeded that had begun after the kill, for the first time.
    first_ok: Option<Instant>,
}

fn kill<P: Lends<Resp>>(down: Duration) -> Outage {
    on_runtime(2, async {
        let mut redis = Redis::start().await;
        let manager = Resp::new(redis.addr());
        let pool = P::make(manager.clone(), &SETTINGS).await;
        let (seen, is_over) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(task, pool.clone(), Arc::clone(&seen), Arc::clone(&is_over)));
        }
        sleep(LIMIT).await;

        let before = manager.failed();
        *seen.lock() = Some(Seen { is_down: true, ..Seen::default() });
        redis.kill();
        sleep(down).await;
        redis.restart().await;
        let up = Instant::now();
        if let Some(seen) = &mut *seen.lock() {
            seen.is_down = false;
        }
        let is_served = || seen.lock().as_ref().is_some_and(|seen| seen.first_ok.is_some());
        while !is_served() && up.elapsed() < PATIENCE {
            sleep(PAUSE).await;
        }
        // Those who still wait are served by then, or never.
        sleep(2 * LIMIT).await;
        is_over.store(true, Ordering::Relaxed);
        tasks.join_all().await;
        let seen = seen.lock().take().expect("it was set above");
        Outage {
            recovery: seen.first_ok.map(|at| at.saturating_duration_since(up)),
            failed_connects: manager.failed() - before,
            longest: seen.longest,
            wrong: seen.wrong,
            errors: seen.errors,
        }
    })
}

async fn work<P: Lends<Resp>>(task: u64, pool: P, seen: Arc<Mutex<Option<Seen>>>, is_over: Arc<AtomicBool>) {
    let mut number = task << 32;
    // Relaxed: it only has to be seen some time.
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        number += 1;
        let result = match pool.get().await {
            Ok(mut connection) => match timeout(LIMIT, connection.echo(number)).await {
                Ok(answer) => answer.map_err(|error| error.kind().to_string()),
                Err(_) => Err("no answer".to_owned()),
            },
            Err(refused) => Err(refused.to_string()),
        };
        let end = Instant::now();
        if let Some(seen) = &mut *seen.lock() {
            seen.longest = seen.longest.max(end - start);
            match result {
                // What succeeds while it is down had its answer before the kill.
                Ok(()) if seen.is_down => {}
                Ok(()) => seen.first_ok = seen.first_ok.or(Some(end)),
                Err(kind) => {
                    seen.wrong += u64::from(kind == ErrorKind::InvalidData.to_string());
                    if seen.is_down {
                        *seen.errors.entry(kind).or_default() += 1;
                    }
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// What came of a server that stood still.
struct Stop {
    first: Duration,
    served: usize,
    slowest: Duration,
}

impl Stop {
    fn line(&self, name: &str) -> Vec<String> {
        let Self { first, served, slowest } = self;
        let then = format!("{served} of 11, the slowest after {} ms", slowest.as_millis());
        vec![name.to_owned(), first.as_millis().to_string(), then]
    }
}

fn stop<P: Lends<Resp>>() -> Stop {
    on_runtime(2, async {
        let mut redis = Redis::start().await;
        let pool = P::make(Resp::new(redis.addr()), &SETTINGS).await;
        let mut leases = Vec::new();
        for _ in 0..CONNECTIONS {
            leases.push(pool.get().await.expect("the server is up"));
        }
        drop(leases);
        // Longer than any of them takes a connection for good without asking.
        sleep(Duration::from_millis(700)).await;
        redis.stop();
        let start = Instant::now();
        drop(pool.get().await);
        let first = start.elapsed();
        redis.cont();
        let (mut served, mut slowest) = (0, Duration::ZERO);
        for number in 0..11 {
            let start = Instant::now();
            if let Ok(mut connection) = pool.get().await {
                let answer = timeout(LIMIT, connection.echo(number)).await;
                served += usize::from(matches!(answer, Ok(Ok(()))));
            }
            slowest = slowest.max(start.elapsed());
        }
        Stop { first, served, slowest }
    })
}
