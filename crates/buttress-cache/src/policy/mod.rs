//! Which entry goes when room is needed.
//!
//! A policy is pure: it knows indices, hashes and weights, never a key, a value or the time. Every step is
//! O(1), averaged over the entries that it evicts, and the weights are within the capacity after each of them.

mod drf;
mod ghost;
mod lfu;
mod nodes;
mod queue;
mod s3_fifo;
mod sketch;

pub(crate) use drf::Mode;
pub(crate) use nodes::{MAX_WEIGHT, Nodes};

use drf::Drf;
use lfu::Lfu;
use nodes::List;
use queue::{Fifo, Lru};
use s3_fifo::S3Fifo;

/// Which entry leaves a full cache.
///
/// All of them heed weights and take constant time per use, however large the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Duelled-return FIFO, the default: made for mixed traffic, and a hit only counts.
    ///
    /// A small window takes newcomers; the main queue keeps what was used again. A key that returns after
    /// its eviction must beat the next victim, by recency blended with frequency, to be let into the main
    /// queue at once. Small samples of the traffic run beside it with other settings, and the best takes over.
    ///
    /// On the traces OLTP, P3 and P12 of the ARC paper it hits 47.9, 34.7 and 30.5 % on the mean of all capacities:
    /// S3-FIFO 46.7, 33.4 and 30.0, W-TinyLFU 43.4, 32.6 and 29.2, LRU 42.1, 25.6 and 21.6
    /// (`cargo xtask compare hit-ratio --traces DIR`; benches/README.md has all cells). It loses to others where a loop
    /// turns into something else, which it takes a while to notice, in caches of less than a hundred entries, where
    /// [`Policy::Lfu`] can do better, and a little of its lead where entries of very different weights are limited by
    /// their number.
    #[default]
    Drf,
    /// S3-FIFO as published: a small queue, a main queue, and a memory of what left the small one.
    S3Fifo,
    /// The least recently used entry goes. A scan longer than the cache empties it.
    Lru,
    /// W-TinyLFU as published, with a window of 1 %: a newcomer must have been asked for more often than
    /// the entry it would push out. Frequencies fade.
    Lfu,
    /// The oldest entry goes, used or not.
    Fifo,
}

/// What a shard asks of a policy.
///
/// An index is in the policy from `insert` until it is in `evicted` or was removed. Its hash and weight are
/// in `nodes` before `insert`. A weight over the capacity is the caller's mistake.
pub(crate) trait Evict {
    /// For a capacity in weight, and so many entries to begin with: with more it grows.
    fn new(capacity: u64, entries: usize) -> Self;

    /// The entry was asked for.
    fn hit(&mut self, nodes: &mut Nodes, index: u32);

    /// Makes room, then takes the entry in.
    fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>);

    /// The entry was invalidated or has expired: it goes without a trace.
    #[inline]
    fn remove(&mut self, nodes: &mut Nodes, index: u32) {
        self.queue(nodes.queue(index)).unlink(nodes, index);
    }

    /// Changes an entry's weight. It stays; others may have to go, and then it counts as the youngest of
    /// its queue.
    fn reweigh(&mut self, nodes: &mut Nodes, index: u32, weight: u64, evicted: &mut Vec<u32>) {
        let queue = nodes.queue(index);
        if self.weight() - nodes.weight(index) <= self.capacity().saturating_sub(weight) {
            return self.queue(queue).reweigh(nodes, index, weight);
        }
        self.remove(nodes, index);
        nodes.set_weight(index, weight);
        self.make_room(nodes, weight, queue, evicted);
        self.queue(queue).push(nodes, index);
    }

    /// Evicts until an entry of this weight fits into this queue.
    #[inline]
    fn make_room(&mut self, nodes: &mut Nodes, weight: u64, _queue: u8, evicted: &mut Vec<u32>) {
        self.shrink(nodes, self.capacity().saturating_sub(weight), evicted);
    }

    /// Evicts until at most `weight` is left.
    fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>);

    /// Changes the capacity, and evicts what no longer fits.
    fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>);

    /// Acts as if full but for a newcomer without its last unit of weight, so that one entry has to go for it. What is
    /// there fits.
    fn bind(&mut self, nodes: &mut Nodes, newcomer: u64, evicted: &mut Vec<u32>) {
        self.set_capacity(nodes, self.weight() + newcomer - 1, evicted);
    }

    /// The queue whose entries carry `id`.
    fn queue(&mut self, id: u8) -> &mut List;

    /// The most that all entries may weigh.
    fn capacity(&self) -> u64;

    /// The sum over all entries.
    fn weight(&self) -> u64;
}

/// A policy chosen at run time, dispatched by `match`.
// The tag is a byte of its own: read on every hit, and cheaper than a niche.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Engine {
    Drf(Drf),
    S3Fifo(S3Fifo),
    Lru(Lru),
    Lfu(Lfu),
    Fifo(Fifo),
}

macro_rules! each {
    ($engine:expr, $policy:ident => $do:expr) => {
        match $engine {
            Engine::Drf($policy) => $do,
            Engine::S3Fifo($policy) => $do,
            Engine::Lru($policy) => $do,
            Engine::Lfu($policy) => $do,
            Engine::Fifo($policy) => $do,
        }
    };
}

impl Engine {
    pub(crate) fn new(policy: Policy, capacity: u64, entries: usize) -> Self {
        match policy {
            Policy::Drf => Self::Drf(Drf::new(capacity, entries)),
            Policy::S3Fifo => Self::S3Fifo(S3Fifo::new(capacity, entries)),
            Policy::Lru => Self::Lru(Lru::new(capacity, entries)),
            Policy::Lfu => Self::Lfu(Lfu::new(capacity, entries)),
            Policy::Fifo => Self::Fifo(Fifo::new(capacity, entries)),
        }
    }

    /// Sets how [`Policy::Drf`] divides its capacity; the others have nothing to set.
    #[inline]
    pub(crate) fn steer(&mut self, mode: Mode) {
        if let Self::Drf(drf) = self {
            drf.steer(mode);
        }
    }

    /// Where a hit is only counted there is one way for all, inlined. FIFO does not look at the count.
    #[inline]
    pub(crate) fn hit(&mut self, nodes: &mut Nodes, index: u32) {
        match self {
            Self::Drf(_) | Self::S3Fifo(_) | Self::Fifo(_) => nodes.count_hit(index),
            Self::Lru(_) | Self::Lfu(_) => self.reorder(nodes, index),
        }
    }

    #[inline(never)]
    fn reorder(&mut self, nodes: &mut Nodes, index: u32) {
        each!(self, policy => policy.hit(nodes, index));
    }

    #[inline]
    pub(crate) fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        each!(self, policy => policy.insert(nodes, index, evicted));
    }

    pub(crate) fn remove(&mut self, nodes: &mut Nodes, index: u32) {
        each!(self, policy => policy.remove(nodes, index));
    }

    pub(crate) fn reweigh(&mut self, nodes: &mut Nodes, index: u32, weight: u64, evicted: &mut Vec<u32>) {
        each!(self, policy => policy.reweigh(nodes, index, weight, evicted));
    }

    pub(crate) fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>) {
        each!(self, policy => policy.shrink(nodes, weight, evicted));
    }

    pub(crate) fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>) {
        each!(self, policy => policy.set_capacity(nodes, capacity, evicted));
    }

    pub(crate) fn bind(&mut self, nodes: &mut Nodes, newcomer: u64, evicted: &mut Vec<u32>) {
        each!(self, policy => policy.bind(nodes, newcomer, evicted));
    }

    pub(crate) fn weight(&self) -> u64 {
        each!(self, policy => policy.weight())
    }
}

/// A hash, all of whose bits depend on `i`, and that is the same on every run.
#[cfg(test)]
fn scattered(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
