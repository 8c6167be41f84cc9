//! The real shard and naive ones, driven through the same history.
//!
//! The naive policies keep plain vectors, oldest first, unwrapped time and floating point, and share no
//! function with the real ones. What the two evict must be the same, in the same order.

mod adaptor;
mod drf;
mod lfu;
mod queues;

use crate::policy::{Mode, Policy};
use crate::shard::Shard;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

#[derive(Clone, Debug)]
struct Entry {
    key: u64,
    hash: u64,
    weight: u64,
    hits: u32,
    score: i64,
}

fn sum(queue: &[Entry]) -> u64 {
    queue.iter().map(|entry| entry.weight).sum()
}

fn position(queue: &[Entry], key: u64) -> Option<usize> {
    queue.iter().position(|entry| entry.key == key)
}

/// What goes because of a step, in order.
type Gone = Vec<u64>;

trait Naive {
    fn hit(&mut self, key: u64);
    fn insert(&mut self, entry: Entry) -> Gone;
    fn remove(&mut self, key: u64);
    fn reweigh(&mut self, key: u64, weight: u64) -> Gone;
    fn shrink(&mut self, weight: u64) -> Gone;
    fn set_capacity(&mut self, capacity: u64) -> Gone;
    fn steer(&mut self, _: Mode) {}
}

fn naive(policy: Policy, capacity: u64, entries: usize) -> Box<dyn Naive> {
    match policy {
        Policy::Drf => Box::new(drf::Naive::new(capacity, entries)),
        Policy::S3Fifo => Box::new(queues::S3Fifo::new(capacity, entries)),
        Policy::Lru => Box::new(queues::Queue::new(capacity, true)),
        Policy::Lfu => Box::new(lfu::Naive::new(capacity, entries)),
        Policy::Fifo => Box::new(queues::Queue::new(capacity, false)),
    }
}

/// What naive policies remember of the past: as many buckets of eight as there are fours of entries.
#[derive(Debug)]
struct Memory(Vec<Vec<Option<(u64, i64)>>>);

impl Memory {
    fn new(entries: usize) -> Self {
        Self(vec![vec![None; 8]; usize::max(entries / 4, 1)])
    }

    fn find(&self, hash: u64) -> (usize, u64) {
        let low = u128::from(hash % (1 << 32));
        let bucket = low * self.0.len() as u128 / (1 << 32);
        let print = hash / (1 << 40) % (1 << 16);
        (bucket as usize, if print % 2 == 0 { print + 1 } else { print })
    }

    fn take(&mut self, hash: u64) -> Option<i64> {
        let (bucket, print) = self.find(hash);
        let slot = self.0[bucket].iter_mut().find(|slot| slot.is_some_and(|(other, _)| other == print))?;
        slot.take().map(|(_, stamp)| stamp)
    }

    fn put(&mut self, hash: u64, stamp: i64) {
        let (bucket, print) = self.find(hash);
        let bucket = &mut self.0[bucket];
        let empty = bucket.iter().position(Option::is_none);
        let oldest = (0..8).min_by_key(|&lane| bucket[lane].map(|(_, stamp)| stamp)).unwrap();
        bucket[empty.unwrap_or(oldest)] = Some((print, stamp));
    }

    fn double(&mut self) {
        self.0 = (0..self.0.len() * 2).map(|bucket| self.0[bucket / 2].clone()).collect();
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Get, and insert what is missing: what a cache does most.
    Use(u64, u64),
    Get(u64),
    Insert(u64, u64),
    Remove(u64),
    Reweigh(u64, u64),
    Extract(u64),
    Retain(u64),
    Shrink(u64),
    SetCapacity(u64),
    Steer(u16),
}

fn op(keys: u64, weights: u64) -> impl Strategy<Value = Op> {
    let (key, weight) = (0..keys, 0..=weights);
    prop_oneof![
        60 => (key.clone(), weight.clone()).prop_map(|(key, weight)| Op::Use(key, weight)),
        15 => key.clone().prop_map(Op::Get),
        6 => (key.clone(), weight.clone()).prop_map(|(key, weight)| Op::Insert(key, weight)),
        3 => key.clone().prop_map(Op::Remove),
        3 => (key.clone(), weight).prop_map(|(key, weight)| Op::Reweigh(key, weight)),
        1 => (0..keys).prop_map(Op::Extract),
        1 => (2..9u64).prop_map(Op::Retain),
        1 => (0..200u64).prop_map(Op::Shrink),
        1 => (0..200u64).prop_map(Op::SetCapacity),
        2 => (0..4u16).prop_map(|mode| Op::Steer([0, 10, 100, 300][usize::from(mode)])),
    ]
}

/// A history: unit weights or mixed ones, few keys or many, good hashes or all keys in three of them.
fn history() -> impl Strategy<Value = (u64, usize, u64, Vec<Op>)> {
    let shape = (1..120u64, 0..60usize, 4..200u64, prop_oneof![Just(1u64), Just(3), Just(20)]);
    (shape, prop_oneof![9 => Just(u64::MAX), 1 => Just(3u64)]).prop_flat_map(
        |((capacity, entries, keys, weights), hashes)| {
            let ops = prop::collection::vec(op(keys, weights), 0..600);
            ops.prop_map(move |ops| (capacity, entries, hashes, ops))
        },
    )
}

fn hash(key: u64, hashes: u64) -> u64 {
    let mixed = (key % hashes + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// A key that is compared by its number and dropped in the open.
type Value = (u64, usize);

struct Pair {
    hashes: u64,
    shard: Shard<u64, Value>,
    naive: Box<dyn Naive>,
    /// What is in them, with its weight.
    present: BTreeMap<u64, (Value, u64)>,
    step: usize,
}

impl Pair {
    fn get(&mut self, key: u64) -> bool {
        let found = self.shard.get(hash(key, self.hashes), |&other| other == key).copied();
        assert_eq!(found, self.present.get(&key).map(|&(value, _)| value));
        if found.is_some() {
            self.naive.hit(key);
        }
        found.is_some()
    }

    fn insert(&mut self, key: u64, weight: u64) {
        if !self.shard.admits(weight) {
            return;
        }
        let hash = hash(key, self.hashes);
        let value = (key, self.step);
        let inserted = self.shard.insert(hash, key, value, weight);
        let old = self.present.insert(key, (value, weight));
        assert_eq!(inserted.replaced, old.map(|(value, _)| (key, value)));
        let gone = if old.is_some() {
            self.naive.hit(key);
            self.naive.reweigh(key, weight)
        } else {
            self.naive.insert(Entry { key, hash, weight, hits: 0, score: 0 })
        };
        self.evicted(inserted.evicted, &gone);
        assert!(self.present.contains_key(&key), "what was just inserted is there");
    }

    fn evicted(&mut self, evicted: impl IntoIterator<Item = (u64, Value)>, expected: &[u64]) {
        let mut keys = Vec::new();
        for (key, value) in evicted {
            assert_eq!(self.present.remove(&key).map(|(value, _)| value), Some(value));
            keys.push(key);
        }
        keys.reverse();
        assert_eq!(keys, expected);
    }

    fn removed(&mut self, removed: impl IntoIterator<Item = (u64, Value)>) {
        for (key, value) in removed {
            assert_eq!(self.present.remove(&key).map(|(value, _)| value), Some(value));
            self.naive.remove(key);
        }
    }

    fn apply(&mut self, op: &Op) {
        self.step += 1;
        match *op {
            Op::Use(key, weight) => {
                if !self.get(key) {
                    self.insert(key, weight);
                }
            }
            Op::Get(key) => {
                self.get(key);
            }
            Op::Insert(key, weight) => self.insert(key, weight),
            Op::Remove(key) => {
                let removed = self.shard.remove(hash(key, self.hashes), |&other| other == key);
                assert_eq!(removed.is_some(), self.present.contains_key(&key));
                self.removed(removed);
            }
            Op::Reweigh(key, weight) => {
                let found = self.shard.find(hash(key, self.hashes), |&other| other == key);
                if let Some(at) = found.filter(|_| self.shard.admits(weight)) {
                    assert_eq!(self.shard.weight_of(at), self.present[&key].1);
                    let evicted = self.shard.reweigh(at, weight);
                    self.present.get_mut(&key).unwrap().1 = weight;
                    let gone = self.naive.reweigh(key, weight);
                    self.evicted(evicted, &gone);
                }
            }
            Op::Extract(from) => {
                let mut removed = Vec::new();
                let next = self.shard.extract(from as usize, 5, |_, key, _| key % 2 == 0, &mut removed);
                assert!(next.is_none_or(|next| next == from as usize + 5));
                self.removed(removed);
            }
            Op::Retain(divisor) => {
                let removed = self.shard.retain(|key, _| key % divisor != 0);
                self.removed(removed);
                assert!(self.present.keys().all(|key| key % divisor != 0));
            }
            Op::Shrink(weight) => {
                let evicted = self.shard.shrink(weight);
                let gone = self.naive.shrink(weight);
                self.evicted(evicted, &gone);
                assert!(self.shard.weight() <= weight);
            }
            Op::SetCapacity(capacity) => {
                let evicted = self.shard.set_capacity(capacity);
                let gone = self.naive.set_capacity(capacity);
                self.evicted(evicted, &gone);
            }
            Op::Steer(mode) => {
                self.shard.steer(Mode::from_bits(mode));
                self.naive.steer(Mode::from_bits(mode));
            }
        }
    }

    fn check(&self) {
        let weight: u64 = self.present.values().map(|&(_, weight)| weight).sum();
        assert_eq!((self.shard.weight(), self.shard.len()), (weight, self.present.len()));
        assert!(weight <= self.shard.capacity());
        let mut all: Vec<_> = self.shard.iter().map(|(&key, &value)| (key, value)).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(self.present.iter().map(|(&key, &(value, _))| (key, value))));
        for (&key, &(mut value, _)) in &self.present {
            let hash = hash(key, self.hashes);
            assert_eq!(self.shard.peek(hash, |&other| other == key), Some(&value));
            let at = self.shard.find(hash, |&other| other == key).unwrap();
            assert_eq!(self.shard.entry(at), Some((&key, &mut value as &Value)));
        }
    }
}

fn run(policy: Policy, (capacity, entries, hashes, ops): (u64, usize, u64, Vec<Op>)) {
    let mut pair = Pair {
        hashes,
        shard: Shard::new(policy, capacity, entries),
        naive: naive(policy, capacity, entries),
        present: BTreeMap::new(),
        step: 0,
    };
    for op in &ops {
        pair.apply(op);
        assert!(pair.shard.weight() <= pair.shard.capacity());
        if pair.step % 16 == 0 {
            pair.check();
        }
    }
    pair.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn drf_evicts_what_the_naive_one_does(history in history()) {
        run(Policy::Drf, history);
    }

    #[test]
    fn s3_fifo_evicts_what_the_naive_one_does(history in history()) {
        run(Policy::S3Fifo, history);
    }

    #[test]
    fn lru_evicts_what_the_naive_one_does(history in history()) {
        run(Policy::Lru, history);
    }

    #[test]
    fn lfu_evicts_what_the_naive_one_does(history in history()) {
        run(Policy::Lfu, history);
    }

    #[test]
    fn fifo_evicts_what_the_naive_one_does(history in history()) {
        run(Policy::Fifo, history);
    }

    #[test]
    fn lru_is_the_lru_crates(capacity in 1..40usize, ops in prop::collection::vec((any::<bool>(), 0..100u64), 0..800)) {
        let mut shard = Shard::new(Policy::Lru, capacity as u64, capacity);
        let mut oracle = lru::LruCache::new(NonZeroUsize::new(capacity).unwrap());
        for (i, (get, key)) in ops.into_iter().enumerate() {
            if get {
                assert_eq!(shard.get(hash(key, u64::MAX), |&other| other == key), oracle.get(&key));
                continue;
            }
            let inserted = shard.insert(hash(key, u64::MAX), key, i, 1);
            let gone: Vec<_> = inserted.replaced.into_iter().chain(inserted.evicted).collect();
            assert_eq!(gone, Vec::from_iter(oracle.push(key, i)));
        }
    }
}
