//! `buttress-batcher`.

use crate::stampede::soon;
use crate::{Contender, Small};
use buttress_batcher::{Batch, BatchLayer, Config, batch_fn};
use std::convert::Infallible;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower::{Layer, Service, ServiceExt};

/// One caller, who waits for each answer: a batch of one, and two changes of task.
pub const LONE: &str = "buttress: batch, lone caller";
/// As many callers as go into a batch.
pub const MANY: &str = "buttress: batch, 64 callers";
/// [`LONE`] where nobody measures how long requests wait: no clock is read.
pub const LONE_BARE: &str = "buttress: batch, lone caller, bare";
/// [`MANY`] where nobody measures how long requests wait.
pub const MANY_BARE: &str = "buttress: batch, 64 callers, bare";

/// The most that go into a batch, and so many callers fill one.
pub const SIZE: u64 = 64;
/// How many batches run at a time.
pub const IN_FLIGHT: usize = 4;

/// Our batcher.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    let make = || batcher(Config::default(), Backend::new(Cost::Nothing));
    let bare = || batcher(bare(), Backend::new(Cost::Nothing));
    vec![
        Contender::tasks(LONE_BARE, 1, bare, ask_all),
        Contender::tasks(LONE, 1, make, ask_all),
        many(Contender::tasks(MANY_BARE, SIZE, bare, ask_all)),
        many(Contender::tasks(MANY, SIZE, make, ask_all)),
    ]
}

/// No part on that costs something where nothing is wrong.
#[must_use]
pub fn bare() -> Config {
    Config::default().measure(false)
}

/// In whole batches.
#[must_use]
pub fn many(contender: Contender) -> Contender {
    contender.burst(80 * SIZE)
}

/// Our batcher before a backend.
#[must_use]
pub fn batcher(config: Config, backend: Backend) -> Batch<u64, u64, Small> {
    BatchLayer::new("bench", config).layer(batch_fn(move |numbers: Vec<u64>| {
        let backend = backend.clone();
        async move {
            backend.work(numbers.len()).await;
            Ok::<_, Infallible>(numbers.into_iter().map(Ok).collect())
        }
    }))
}

/// A way to a backend that answers numbers, in batches: the answer to a number is itself.
pub trait Asks: Clone + Send + 'static {
    /// Asks, and waits for the answer.
    fn ask(&mut self, number: u64) -> impl Future<Output = u64> + Send;
}

impl Asks for Batch<u64, u64, Small> {
    async fn ask(&mut self, number: u64) -> u64 {
        let ready = self.ready().await.expect("nobody closes it");
        ready.call(number).await.expect("every batch is answered")
    }
}

/// What a caller does: asks for each, one after the other.
///
/// # Panics
///
/// If an answer is another one's.
pub async fn ask_all(mut batcher: impl Asks, numbers: Range<u64>) {
    for number in numbers {
        assert_eq!(batcher.ask(number).await, number);
    }
}

/// What a batch costs behind the batchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It is there at once.
    Nothing,
    /// It is pending once, and there when it is polled again.
    Turn,
    /// 1 ms, and 10 µs for each item, on a processor that is not this machine's; [`IN_FLIGHT`] run at a time.
    Time,
}

/// What is behind all batchers, and counts what reaches it.
#[derive(Clone, Debug)]
pub struct Backend {
    cost: Cost,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    slots: Semaphore,
    // Relaxed, both: counts that publish nothing.
    batches: AtomicU64,
    items: AtomicU64,
}

impl Backend {
    /// Makes one.
    #[must_use]
    pub fn new(cost: Cost) -> Self {
        let (batches, items) = Default::default();
        Self { cost, shared: Arc::new(Shared { slots: Semaphore::new(IN_FLIGHT), batches, items }) }
    }

    /// Takes as long as a batch of so many takes, and counts it.
    pub async fn work(&self, items: usize) {
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        self.shared.items.fetch_add(items as u64, Ordering::Relaxed);
        match self.cost {
            Cost::Nothing => {}
            Cost::Turn => soon(()).await,
            Cost::Time => {
                let _slot = self.shared.slots.acquire().await.expect("nobody closes it");
                let time = Duration::from_micros(1000 + 10 * items as u64);
                // It fails only where the runtime ends.
                let _ = spawn_blocking(move || block(time)).await;
            }
        }
    }

    /// How many batches came so far, and how many items in them.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        (self.shared.batches.load(Ordering::Relaxed), self.shared.items.load(Ordering::Relaxed))
    }
}

/// tokio's timers have whole milliseconds: a batch would cost as much as its first item.
#[expect(
    clippy::disallowed_methods,
    reason = "the time itself is what is asked for, on a thread that is for that"
)]
fn block(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_batches_of_one_and_of_64() {
        let cases =
            [(1, Cost::Nothing, 1000), (SIZE, Cost::Nothing, 1000 / SIZE), (SIZE, Cost::Turn, 1000 / SIZE)];
        for (tasks, cost, batches) in cases {
            let backend = Arc::new(Backend::new(cost));
            let made = Arc::clone(&backend);
            let make = move || batcher(Config::default(), (*made).clone());
            let contender = Contender::tasks("test", tasks, make, ask_all);
            contender.runners(1)[0].run(1000 - 1000 % tasks);
            let (found, items) = backend.counted();
            assert_eq!((found, items), (batches, batches * tasks), "{tasks} {cost:?}");
        }
    }
}
