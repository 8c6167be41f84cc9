//! `cargo xtask compare pool-scenarios`: what each pool does when something goes wrong, as a table in Markdown.

use super::contended::{Load, TASKS};
use super::scripted::{Does, Script, Server};
use super::{Bb8, Deadpool, Lends, Mobc, Ours, Refused, Settings, on_runtime};
use buttress_benches::pool::Free;
use std::panic;
use std::thread;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// One line, for all pools.
struct Scenario {
    what: &'static str,
    should: &'static str,
    did: [fn() -> String; 4],
}

macro_rules! scenario {
    ($play:ident, $what:literal, $should:literal) => {
        Scenario {
            what: $what,
            should: $should,
            did: [
                || on_runtime(2, $play::<Ours<Server>>()),
                || on_runtime(2, $play::<Bb8<Server>>()),
                || on_runtime(2, $play::<Deadpool<Server>>()),
                || on_runtime(2, $play::<Mobc<Server>>()),
            ],
        }
    };
}

const SCENARIOS: [Scenario; 11] = [
    scenario!(
        down,
        "The server is down from the start; two gets, limit 2 s",
        "the cause, in milliseconds, then at once"
    ),
    scenario!(
        hung_connects,
        "The first two connects never end; at most 2 connections, two gets, limit 500 ms, then more",
        "both places come back"
    ),
    scenario!(
        panicking_connects,
        "The first two connects panic; at most 2 connections, two gets, limit 500 ms, then more",
        "both places come back"
    ),
    scenario!(
        slow_connect,
        "One of 2 connections comes back after 20 ms, a connect takes 1 s; one get",
        "20 ms"
    ),
    scenario!(
        black_hole,
        "8 idle connections answer nothing any more, new ones work; one get, limit 500 ms, then 11",
        "no get over its limit, and 11 of 11"
    ),
    scenario!(queue, "All 4 connections are out; 200 gets, limit 300 ms", "an error after 300 ms"),
    scenario!(
        lifetimes,
        "8 connections live for 1 s, a connect takes 150 ms; 4 tasks for 6 s",
        "no get waits for a connect"
    ),
    scenario!(
        cancelled_check,
        "A get is dropped while its connection is checked, which answers in order and late; one get more",
        "no answer for the wrong question"
    ),
    scenario!(burst, "64 gets on an empty pool of 64, a connect takes 20 ms", "a few connects at a time"),
    scenario!(
        off_runtime,
        "The only connection is dropped broken, on a thread without a runtime; at least one",
        "as anywhere else"
    ),
    Scenario {
        what: "64 tasks on 8 connections, each keeps one for 1 ms and at once asks again, for 2 s; gets of a task",
        should: "as many for all",
        did: [turns::<Ours<Free>>, turns::<Bb8<Free>>, turns::<Deadpool<Free>>, turns::<Mobc<Free>>],
    },
];

/// Those with a text in what happens.
pub fn run(only: &str) -> Result<(), String> {
    let scenarios: Vec<_> = SCENARIOS.iter().filter(|scenario| scenario.what.contains(only)).collect();
    if scenarios.is_empty() {
        return Err(format!("nothing with `{only}` in it happens"));
    }
    // Some pools let a panic through, and a backtrace takes longer than what is timed.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    println!("| what happens | what should | buttress | bb8 | deadpool | mobc |\n|---|---|---|---|---|---|");
    for Scenario { what, should, did } in scenarios {
        println!("| {what} | {should} | {} |", did.map(|did| did()).join(" | "));
    }
    Ok(())
}

async fn down<P: Lends<Server>>() -> String {
    let server = Server::new(Script { connect: Does::Fails, ..Script::default() });
    let pool = P::make(server, &Settings::new(0, 8, ms(2000))).await;
    let (first, second) = (told(pool.get()).await, told(pool.get()).await);
    format!("{first}, then {second}")
}

async fn hung_connects<P: Lends<Server>>() -> String {
    bad_connects::<P>(Does::Hangs).await
}

async fn panicking_connects<P: Lends<Server>>() -> String {
    bad_connects::<P>(Does::Panics).await
}

async fn bad_connects<P: Lends<Server>>(does: Does) -> String {
    let server = Server::new(Script { exceptions: (2, does), ..Script::default() });
    let pool = P::make(server, &Settings::new(0, 2, ms(500))).await;
    let get = || {
        let pool = pool.clone();
        tokio::spawn(async move { told(pool.get()).await })
    };
    let (one, other) = (get(), get());
    // Whoever connects in its caller's task takes that with it.
    let did = |outcome: Result<String, _>| outcome.unwrap_or_else(|_| "the caller panics".to_owned());
    let (one, other) = (did(one.await), did(other.await));
    format!("{one}; {other}; then {}", until_served(&pool).await)
}

async fn slow_connect<P: Lends<Server>>() -> String {
    let server = Server::default();
    let pool = P::make(server.clone(), &Settings::new(0, 2, ms(5000))).await;
    let lease = pool.get().await.expect("the server is up");
    server.change(|script| script.connect_time = ms(1000));
    let back = async {
        sleep(ms(20)).await;
        drop(lease);
    };
    tokio::join!(told(pool.get()), back).0
}

async fn black_hole<P: Lends<Server>>() -> String {
    let server = Server::default();
    let pool = P::make(server.clone(), &Settings::new(8, 8, ms(500))).await;
    fill(&pool, 8).await;
    // Longer than any of them takes a connection for good.
    sleep(ms(700)).await;
    server.change(|script| script.dead_before = script.made);
    let first = told(pool.get()).await;
    let (mut served, mut worst) = (0, Duration::ZERO);
    for _ in 0..11 {
        let (outcome, took) = timed(pool.get()).await;
        served += u32::from(outcome.is_ok());
        worst = worst.max(took);
    }
    format!("{first}, then {served} of 11, the slowest after {}", show(worst))
}

async fn queue<P: Lends<Server>>() -> String {
    let pool = P::make(Server::default(), &Settings::new(0, 4, ms(300))).await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.get().await.expect("the server is up"));
    }
    let mut gets = JoinSet::new();
    for _ in 0..200 {
        let pool = pool.clone();
        gets.spawn(async move {
            let (outcome, took) = timed(pool.get()).await;
            (outcome.map(drop), took)
        });
    }
    let mut ends = gets.join_all().await;
    ends.sort_by_key(|(_, took)| *took);
    let last = ends.last().expect("there are 200");
    format!("{} after {} to {}", outcome(&last.0), show(ends[0].1), show(last.1))
}

async fn lifetimes<P: Lends<Server>>() -> String {
    if !P::HAS_LIFETIMES {
        return "it has no lifetimes".to_owned();
    }
    let server = Server::new(Script { connect_time: ms(150), ..Script::default() });
    let settings = Settings { lifetime: ms(1000), ..Settings::new(8, 8, ms(5000)) };
    let pool = P::make(server, &settings).await;
    fill(&pool, 8).await;
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..4 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while start.elapsed() < ms(6000) {
                let (lease, took) = timed(pool.get()).await;
                waits.push(took);
                sleep(ms(1)).await;
                drop(lease);
                sleep(ms(3)).await;
            }
            waits
        });
    }
    let waits = tasks.join_all().await.concat();
    let long = waits.iter().filter(|wait| **wait > ms(50)).count();
    let longest = waits.iter().max().expect("each gets one at least");
    format!("{long} of {} over 50 ms, the slowest after {}", waits.len(), show(*longest))
}

async fn cancelled_check<P: Lends<Server>>() -> String {
    let server = Server::new(Script { check_time: ms(50), ..Script::default() });
    let pool = P::make(server.clone(), &Settings::new(1, 1, ms(1000))).await;
    fill(&pool, 1).await;
    sleep(ms(700)).await;
    if timeout(ms(10), pool.get()).await.is_ok() {
        return "it does not check".to_owned();
    }
    let outcome = match pool.get().await {
        Ok(mut lease) => lease.ask().await.map_or("refused", |()| "served").to_owned(),
        Err(refused) => refused.to_string(),
    };
    match server.change(|script| script.mixed_up) {
        0 => format!("no wrong answer; {outcome}"),
        mixed_up => format!("{mixed_up} wrong answer; {outcome}"),
    }
}

async fn burst<P: Lends<Server>>() -> String {
    let server = Server::new(Script { connect_time: ms(20), ..Script::default() });
    let pool = P::make(server.clone(), &Settings::new(0, 64, ms(5000))).await;
    let (start, mut gets) = (Instant::now(), JoinSet::new());
    for _ in 0..64 {
        let pool = pool.clone();
        gets.spawn(async move {
            let lease = pool.get().await;
            sleep(ms(1)).await;
            lease.is_ok()
        });
    }
    let served = gets.join_all().await.into_iter().filter(|served| *served).count();
    let most = server.change(|script| script.most_running);
    format!("{most} at a time; {served} served within {}", show(start.elapsed()))
}

async fn off_runtime<P: Lends<Server>>() -> String {
    let pool = P::make(Server::default(), &Settings::new(1, 1, ms(500))).await;
    let mut lease = pool.get().await.expect("the server is up");
    lease.is_broken = true;
    let dropped = thread::scope(|scope| scope.spawn(|| drop(lease)).join());
    let how = if dropped.is_ok() { "dropped" } else { "the drop panics" };
    format!("{how}, then {}", until_served(&pool).await)
}

fn turns<P: Lends<Free>>() -> String {
    let load = Load { title: "", workers: 2, hold: Some(ms(1)), time: ms(2000) };
    let round = load.play(P::make(Free, &Settings::new(0, 8, ms(10_000))));
    let (least, most) = (round.ops.iter().min(), round.ops.iter().max());
    let (least, most) = least.zip(most).unwrap_or((&0, &0));
    assert_eq!(round.ops.len(), TASKS);
    format!("{least} to {most}")
}

/// Takes all connections out at once, so that they are there.
async fn fill<P: Lends<Server>>(pool: &P, connections: usize) {
    let mut leases = Vec::new();
    for _ in 0..connections {
        leases.push(pool.get().await.expect("the server is up"));
    }
}

/// Asks again and again until a get is served.
async fn until_served<P: Lends<Server>>(pool: &P) -> String {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if pool.get().await.is_ok() {
            return format!("served after {}", show(start.elapsed()));
        }
        sleep(ms(5)).await;
    }
    format!("never served again in {}", show(PATIENCE))
}

async fn told<L>(get: impl Future<Output = Result<L, Refused>>) -> String {
    let (got, took) = timed(get).await;
    format!("{} after {}", outcome(&got), show(took))
}

fn outcome<L>(got: &Result<L, Refused>) -> String {
    got.as_ref().map_or_else(ToString::to_string, |_| "served".to_owned())
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (future.await, start.elapsed())
}

fn show(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.001 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.0} \u{b5}s", seconds * 1e6),
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
