//! One caller, and as many as go into a batch, on one thread.

use crate::batchers::rivals::{Channel, Control, Graphql, Ultra};
use buttress_benches::batcher::{
    self, Asks, Backend, Cost, LONE, LONE_BARE, MANY, MANY_BARE, SIZE, ask_all, many,
};
use buttress_benches::{Contender, reference};
use std::time::Duration;

/// What is not full waits so long, where there is no way to have it go at once: the shortest there is.
const DELAY: Duration = Duration::from_millis(1);
/// A lone call that waits is as long as so many that do not.
const WAITS: u64 = 1000;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = vec![reference::bare()];
    contenders.extend(batcher::contenders());
    // Nor does that measure anything.
    let channel = || Channel::new(backend(), Duration::ZERO);
    contenders.push(lone("mpsc + oneshot: lone caller", channel).weight(1).against(LONE_BARE));
    contenders.push(full("mpsc + oneshot: 64 callers", channel).against(MANY_BARE));
    contenders.push(lone("DataLoader, 1 ms: lone caller", || Graphql::new(backend(), DELAY)));
    contenders.push(full("DataLoader, 1 ms: 64 callers", || Graphql::new(backend(), DELAY)));
    contenders.push(lone("tower-batch-control, 1 ms: lone caller", || Control::new(backend(), DELAY)));
    contenders.push(full("tower-batch-control, 1 ms: 64 callers", || Control::new(backend(), DELAY)));
    contenders.push(lone("ultra-batch, 1 ms: lone caller", || Ultra::new(&backend(), DELAY)));
    contenders.push(full("ultra-batch, 1 ms: 256 callers", || Ultra::new(&backend(), DELAY)));
    contenders
}

fn lone<B: Asks>(name: &'static str, make: fn() -> B) -> Contender {
    Contender::tasks(name, 1, make, ask_all).against(LONE).weight(WAITS)
}

fn full<B: Asks>(name: &'static str, make: fn() -> B) -> Contender {
    many(Contender::tasks(name, SIZE, make, ask_all)).against(MANY)
}

fn backend() -> Backend {
    Backend::new(Cost::Nothing)
}
