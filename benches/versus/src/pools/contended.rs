//! `cargo xtask compare pool-contended`: many tasks on few connections.

use super::{Lends, on_runtime};
use crate::suites::pool::{LIMIT, bb8, buttress, deadpool, mobc};
use buttress_benches::measure::process_cpu_time;
use buttress_benches::pool::{CONNECTIONS, Free, bare};
use buttress_benches::table::Aligned;
use buttress_core::{Distribution, Ratio};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Eight for each connection.
pub const TASKS: usize = 64;

/// So many quiet rounds are made of each, if not even these take too long. In each all rivals have their turn, so that what
/// else the machine does hits none of them alone.
const QUIET: usize = 8;
const ROUNDS: usize = 24;
const TIME: Duration = Duration::from_millis(250);
/// A round is quiet if other programs had no more than this share of the processors.
const OTHERS: f64 = 0.05;
/// One get in so many is timed, the first of each task among them: clocks would cost as much as a get.
const TIMED: u64 = 8;

/// What a task does with a connection before it gives it back and at once asks for the next, and where.
#[derive(Clone, Copy)]
pub struct Load {
    pub title: &'static str,
    pub workers: usize,
    /// How long it sleeps; `None`: it yields once.
    pub hold: Option<Duration>,
    pub time: Duration,
}

const LOADS: [Load; 3] = [
    Load { title: "yields once, one worker", workers: 1, hold: None, time: TIME },
    Load { title: "yields once, two workers", workers: 2, hold: None, time: TIME },
    Load { title: "sleeps 1 ms, two workers", workers: 2, hold: Some(Duration::from_millis(1)), time: TIME },
];

type Play = fn(Load) -> Round;

const RIVALS: [(&str, Play); 8] = [
    ("buttress: bare", |load| load.play(buttress(bare()))),
    ("buttress", |load| load.play(buttress(Default::default()))),
    ("bb8: no test", |load| load.play(bb8(CONNECTIONS, false))),
    ("bb8: test", |load| load.play(bb8(CONNECTIONS, true))),
    ("deadpool: no timeouts", |load| load.play(deadpool(CONNECTIONS, None))),
    ("deadpool: 3 timeouts", |load| load.play(deadpool(CONNECTIONS, Some(LIMIT)))),
    ("mobc: no timeout", |load| load.play(mobc(CONNECTIONS, None))),
    ("mobc: timeout", |load| load.play(mobc(CONNECTIONS, Some(LIMIT)))),
];

/// The table of each load, for the rivals with a text in their names.
pub fn run(only: &str) -> Result<(), String> {
    let rivals: Vec<_> = RIVALS.iter().filter(|(name, _)| name.contains(only)).collect();
    if rivals.is_empty() {
        return Err(format!("no pool has `{only}` in its name"));
    }
    for load in LOADS {
        let mut rounds = vec![Vec::new(); rivals.len()];
        let is_enough = |rounds: &Vec<Round>| rounds.iter().filter(|round| round.is_quiet()).count() >= QUIET;
        for _ in 0..ROUNDS {
            for ((_, play), rounds) in rivals.iter().zip(&mut rounds).filter(|(_, rounds)| !is_enough(rounds))
            {
                rounds.push(play(load));
            }
        }
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        lines.extend(rivals.iter().zip(&rounds).map(|((name, _), rounds)| line(name, rounds)));
        println!("\n{TASKS} tasks on {CONNECTIONS} connections, each {}\n{}", load.title, Aligned(&lines));
    }
    Ok(())
}

const HEAD: [&str; 8] =
    ["", "ops/s", "ops/CPU s", "p50 \u{b5}s", "p99 \u{b5}s", "max \u{b5}s", "max/min", "quiet"];

/// Of the quiet rounds, or of all if there is none, the best for each figure: what disturbs a round makes it worse.
fn line(name: &str, rounds: &[Round]) -> Vec<String> {
    let (quiet, all) = (rounds.iter().filter(|round| round.is_quiet()).count(), rounds.len());
    let rounds = || rounds.iter().filter(move |round| quiet == 0 || round.is_quiet());
    let most = |figure: fn(&Round) -> f64| rounds().map(figure).max_by(f64::total_cmp).unwrap_or(f64::NAN);
    let least = |figure: fn(&Round) -> f64| rounds().map(figure).min_by(f64::total_cmp).unwrap_or(f64::NAN);
    vec![
        name.to_owned(),
        format!("{:.0}", most(|round| round.per(round.took))),
        format!("{:.0}", most(|round| round.per(round.cpu))),
        format!("{:.1}", least(|round| round.wait(50))),
        format!("{:.1}", least(|round| round.wait(99))),
        format!("{:.0}", least(|round| round.wait(100))),
        format!("{:.2}", least(Round::unfairness)),
        format!("{quiet}/{all}"),
    ]
}

/// What came of one pool under one load.
#[derive(Clone)]
pub struct Round {
    took: Duration,
    /// Of the whole process, and of all others; `None` where that is not known.
    cpu: Duration,
    others: Option<Duration>,
    /// Of each task.
    pub ops: Vec<u64>,
    waits: Distribution,
}

impl Round {
    fn is_quiet(&self) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let all = self.took.as_secs_f64() * processors as f64;
        self.others.is_some_and(|others| others.as_secs_f64() <= OTHERS * all)
    }

    fn per(&self, time: Duration) -> f64 {
        self.ops.iter().sum::<u64>() as f64 / time.as_secs_f64()
    }

    /// Microseconds.
    fn wait(&self, percent: u32) -> f64 {
        self.waits.quantile(Ratio::percent(percent)).unwrap_or_default().as_secs_f64() * 1e6
    }

    /// How often the one that had most had as much as the one that had least; who had nothing counts as if it had one.
    fn unfairness(&self) -> f64 {
        let (most, least) = (self.ops.iter().max(), self.ops.iter().min());
        most.map_or(0.0, |&most| most as f64) / least.map_or(1.0, |&least| least.max(1) as f64)
    }
}

impl Load {
    pub fn play<P: Lends<Free>>(self, make: impl Future<Output = P>) -> Round {
        // The thread that calls this only waits.
        on_runtime(self.workers, async {
            let (pool, is_over) = (make.await, Arc::new(AtomicBool::new(false)));
            let (start, cpu, busy) = (Instant::now(), process_cpu_time(), busy_time());
            let task = |_| tokio::spawn(self.task(pool.clone(), Arc::clone(&is_over)));
            let tasks: Vec<_> = (0..TASKS).map(task).collect();
            sleep(self.time).await;
            // Relaxed: it only has to be seen some time.
            is_over.store(true, Ordering::Relaxed);
            let (mut ops, mut waits) = (Vec::new(), Distribution::new());
            for task in tasks {
                let (of_task, waited) = task.await.expect("no task panics");
                ops.push(of_task);
                waits.merge(&waited);
            }
            let (took, cpu) = (start.elapsed(), process_cpu_time() - cpu);
            let busy = busy_time().zip(busy).map(|(end, start)| end.saturating_sub(start));
            Round { took, cpu, others: busy.map(|busy| busy.saturating_sub(cpu)), ops, waits }
        })
    }

    async fn task<P: Lends<Free>>(self, pool: P, is_over: Arc<AtomicBool>) -> (u64, Distribution) {
        let (mut ops, mut waits) = (0, Distribution::new());
        while !is_over.load(Ordering::Relaxed) {
            let asked = (ops % TIMED == 0).then(Instant::now);
            let lease = pool.get().await.expect("nobody waits for as long as its limit");
            if let Some(asked) = asked {
                waits.record(asked.elapsed());
            }
            match self.hold {
                Some(hold) => sleep(hold).await,
                None => yield_now().await,
            }
            drop(lease);
            ops += 1;
        }
        (ops, waits)
    }
}

/// How long all processors together have worked for anybody, other virtual machines included; `None` where the system does
/// not tell.
fn busy_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    busy_ticks(&stat).map(|ticks| Duration::from_millis(10 * ticks))
}

/// Of the line `cpu user nice system idle iowait irq ..`, whose unit is 10 ms, all but the idle ones. What guests had is in
/// `user` already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8).map(str::parse);
    let ticks = ticks.collect::<Result<Vec<u64>, _>>().ok()?;
    Some(ticks.iter().sum::<u64>() - ticks.get(3..5)?.iter().sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_nobody_used_is_not_busy() {
        assert_eq!(busy_ticks("cpu  10 20 30 4000 500 1 2 3 700 80\ncpu0 5"), Some(66));
        assert_eq!(
            (busy_ticks(""), busy_ticks("cpu  1 2 3"), busy_ticks("cpu  1 2 x 4 5")),
            (None, None, None)
        );
    }

    #[test]
    fn who_starves_is_seen() {
        let round = |ops: &[u64]| Round {
            took: TIME,
            cpu: TIME,
            others: None,
            ops: ops.to_vec(),
            waits: Distribution::new(),
        };
        assert_eq!((round(&[9, 3]).unfairness(), round(&[9, 0]).unfairness()), (3.0, 9.0));
        assert_eq!(round(&[4, 6]).per(Duration::from_secs(2)), 5.0);
    }
}
