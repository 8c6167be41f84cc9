//! `cargo xtask compare batcher-load`: ten thousand callers, and one.

use super::median;
use super::rivals::{Channel, Control, Graphql, QUEUE, Ultra, Unbatched};
use crate::pools::on_runtime;
use buttress_batcher::Config;
use buttress_benches::Fact;
use buttress_benches::batcher::{Asks, Backend, Cost, bare, batcher};
use buttress_benches::measure::{process_allocations, process_cpu_time};
use buttress_benches::table::Aligned;
use buttress_core::{Distribution, Ratio};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CALLERS: u64 = 10_000;

/// In each all rivals have their turn, so that what else the machine does hits none of them alone.
const ROUNDS: usize = 3;
/// Before callers are counted, and while they are.
const WARM: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_millis(250);
/// For as long a lone caller asks without a pause, and so often with one, which is longer.
const TIGHT: Duration = Duration::from_millis(30);
const COLD: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// The shortest that tokio's timers know: what has to wait for more waits so long.
const DELAY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
struct Load {
    title: &'static str,
    cost: Cost,
    workers: usize,
}

const LOADS: [Load; 6] = [
    Load { title: "there at once, one worker", cost: Cost::Nothing, workers: 1 },
    Load { title: "there at once, two workers", cost: Cost::Nothing, workers: 2 },
    Load { title: "pending once, one worker", cost: Cost::Turn, workers: 1 },
    Load { title: "pending once, two workers", cost: Cost::Turn, workers: 2 },
    Load { title: "1 ms and 10 \u{b5}s for each item, one worker", cost: Cost::Time, workers: 1 },
    Load { title: "1 ms and 10 \u{b5}s for each item, two workers", cost: Cost::Time, workers: 2 },
];

type Play = fn(Load) -> Round;

const OURS: &str = "buttress";

const RIVALS: [(&str, Play); 11] = [
    (OURS, |load| load.play(|backend| batcher(queue(Config::default()), backend))),
    ("buttress, bare", |load| load.play(|backend| batcher(queue(bare()), backend))),
    ("buttress, 1024 places", |load| load.play(|backend| batcher(Config::default(), backend))),
    ("mpsc + oneshot", |load| load.play(|backend| Channel::new(backend, Duration::ZERO))),
    ("mpsc + oneshot, 1 ms", |load| load.play(|backend| Channel::new(backend, DELAY))),
    ("DataLoader, 0 ms", |load| load.play(|backend| Graphql::new(backend, Duration::ZERO))),
    ("DataLoader, 1 ms", |load| load.play(|backend| Graphql::new(backend, DELAY))),
    ("tower-batch-control, 0 ms", |load| load.play(|backend| Control::new(backend, Duration::ZERO))),
    ("tower-batch-control, 1 ms", |load| load.play(|backend| Control::new(backend, DELAY))),
    ("ultra-batch x 4, 0 ms", |load| load.play(|backend| Ultra::new(&backend, Duration::ZERO))),
    ("ultra-batch x 4, 1 ms", |load| load.play(|backend| Ultra::new(&backend, DELAY))),
];

fn queue(config: Config) -> Config {
    config.queue(NonZeroU32::new(QUEUE))
}

/// Where an answer is no wait, a caller would never let another one have its turn.
const UNBATCHED: (&str, Play) = ("unbatched", |load| load.play(Unbatched));

/// The table of each load, for the rivals with a text in their names.
pub fn run(only: &str) -> Result<(), String> {
    for load in LOADS {
        let unbatched = (load.cost == Cost::Time).then_some(&UNBATCHED);
        let rivals: Vec<_> = RIVALS.iter().chain(unbatched).filter(|(name, _)| name.contains(only)).collect();
        if rivals.is_empty() {
            return Err(format!("no batcher has `{only}` in its name"));
        }
        let mut rounds = vec![Vec::new(); rivals.len()];
        for _ in 0..ROUNDS {
            for ((_, play), rounds) in rivals.iter().zip(&mut rounds) {
                rounds.push(play(load));
            }
        }
        let ours = rivals.iter().position(|(name, _)| *name == OURS).map(|ours| &rounds[ours][..]);
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        lines.extend(rivals.iter().zip(&rounds).map(|((name, _), rounds)| line(name, rounds, ours)));
        println!("\n{CALLERS} callers, and one; a batch is {}\n{}", load.title, Aligned(&lines));
    }
    Ok(())
}

/// What is allocated for an item, with the list of results that the backend makes of each batch.
pub fn facts() -> Vec<Fact> {
    let columns = [("10,000 callers, one worker: allocs/item", LOADS[0]), ("two workers", LOADS[1])];
    let facts = RIVALS.iter().flat_map(|&(name, play)| {
        columns.map(|(column, load)| {
            Fact::new(name, column, move || {
                let Round { items, allocations, .. } = play(load);
                Some(allocations? as f64 / items)
            })
        })
    });
    facts.collect()
}

const HEAD: [&str; 10] = [
    "",
    "items/s",
    "of ours",
    "CPU ns/item",
    "of ours",
    "average batch",
    "lone p50 \u{b5}s",
    "p99 \u{b5}s",
    "cold p50 \u{b5}s",
    "p99 \u{b5}s",
];

/// The median of each figure; ratios are those of medians.
fn line(name: &str, rounds: &[Round], ours: Option<&[Round]>) -> Vec<String> {
    let middle = |rounds: &[Round], figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let figure = |of| middle(rounds, of);
    let ratio = |of| {
        let ratio = |ours| format!("{:.2}", figure(of) / middle(ours, of));
        ours.map_or_else(|| "-".to_owned(), ratio)
    };
    vec![
        name.to_owned(),
        format!("{:.0}", figure(Round::rate)),
        ratio(Round::rate),
        format!("{:.0}", figure(Round::cpu_per_item)),
        ratio(Round::cpu_per_item),
        format!("{:.1}", figure(|round| round.items_sent / round.batches)),
        format!("{:.1}", figure(|round| micros(&round.tight, 50))),
        format!("{:.1}", figure(|round| micros(&round.tight, 99))),
        format!("{:.1}", figure(|round| micros(&round.cold, 50))),
        format!("{:.1}", figure(|round| micros(&round.cold, 99))),
    ]
}

fn micros(times: &Distribution, percent: u32) -> f64 {
    times.quantile(Ratio::percent(percent)).unwrap_or_default().as_secs_f64() * 1e6
}

/// What came of one batcher under one load.
#[derive(Clone)]
struct Round {
    took: Duration,
    /// Of the whole process.
    cpu: Duration,
    /// Answered to callers ..
    items: f64,
    /// .. and come to the backend, in so many batches, which are counted at other moments.
    items_sent: f64,
    batches: f64,
    /// Of the whole process; `None` where nobody counts.
    allocations: Option<u64>,
    tight: Distribution,
    cold: Distribution,
}

impl Round {
    fn rate(&self) -> f64 {
        self.items / self.took.as_secs_f64()
    }

    /// Nanoseconds.
    fn cpu_per_item(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.items
    }
}

/// How many answers a caller has had. On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Count(AtomicU64);

impl Load {
    fn play<B: Asks>(self, make: impl FnOnce(Backend) -> B) -> Round {
        // The thread that calls this only waits.
        on_runtime(self.workers, async {
            let backend = Backend::new(self.cost);
            let batcher = make(backend.clone());
            let lone = tokio::spawn(lone(batcher.clone()));
            let (tight, cold) = lone.await.expect("no task panics");

            let counts: Arc<[Count]> = (0..CALLERS).map(|_| Count::default()).collect();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                callers.spawn(call(batcher.clone(), caller, Arc::clone(&counts)));
            }
            let seen = || {
                let items: u64 = counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
                (Instant::now(), process_cpu_time(), items, backend.counted())
            };
            sleep(WARM).await;
            let (start, cpu, items, (batches, items_sent)) = seen();
            let allocations = process_allocations();
            sleep(TIME).await;
            let (end, cpu_then, items_then, (batches_then, items_sent_then)) = seen();
            let allocations = process_allocations().zip(allocations).map(|(then, before)| then - before);
            // Before what would answer them ends.
            callers.shutdown().await;
            Round {
                took: end - start,
                cpu: cpu_then - cpu,
                items: (items_then - items) as f64,
                items_sent: (items_sent_then - items_sent) as f64,
                batches: (batches_then - batches) as f64,
                allocations,
                tight,
                cold,
            }
        })
    }
}

/// Asks for ever.
async fn call(mut batcher: impl Asks, caller: u64, counts: Arc<[Count]>) {
    let count = &counts[caller as usize].0;
    for done in 1.. {
        batcher.ask((caller << 32) + done).await;
        // Relaxed: a count, which nobody else writes.
        count.store(done, Ordering::Relaxed);
    }
}

/// How long answers take that come at once after the one before, and those that come after a pause.
async fn lone(mut batcher: impl Asks) -> (Distribution, Distribution) {
    let (mut tight, mut cold, mut number) = (Distribution::new(), Distribution::new(), u64::MAX);
    let mut ask = async |times: &mut Distribution| {
        number -= 1;
        let start = Instant::now();
        batcher.ask(number).await;
        times.record(start.elapsed());
    };
    // Whatever the first of all has to set up is in nobody's time.
    ask(&mut Distribution::new()).await;
    let start = Instant::now();
    while start.elapsed() < TIGHT {
        ask(&mut tight).await;
    }
    for _ in 0..COLD {
        sleep(PAUSE).await;
        ask(&mut cold).await;
    }
    (tight, cold)
}
