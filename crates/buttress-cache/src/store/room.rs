//! The limit that holds for all shards together, at every moment.

use super::{Inner, Locked, Store, Stored};
use crate::Config;
use crate::policy::MAX_WEIGHT;
use crate::primitive::MutexGuard;
use crate::shard::Evicted;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

type LockedShard<'a, K, V> = MutexGuard<'a, Inner<K, V>>;

/// What keeps lent capacity from being lent on, and what had to go for it, to be dropped after the locks.
pub(super) type Lending<'a, K, V> = (MutexGuard<'a, ()>, Vec<Evicted<K, Stored<V>>>);

/// The weight that all entries may have together.
pub(super) fn limit(config: &Config) -> u64 {
    config.max_weight.map_or(config.max_entries.get() as u64, NonZeroU64::get)
}

/// The capacity of one of so many shards, and the most entries that it may hold.
pub(super) fn parts(config: &Config, index: usize, shards: usize) -> (u64, usize) {
    // What does not divide goes to the first ones, so that the sum is the whole.
    let part = |whole: u64| whole / shards as u64 + u64::from((index as u64) < whole % shards as u64);
    let capacity = part(limit(config));
    match config.max_weight {
        Some(_) => (capacity, part(config.max_entries.get() as u64) as usize),
        // Each weighs one: the capacity is the limit.
        None => (capacity, usize::MAX),
    }
}

impl<K, V> Store<K, V> {
    /// How many shards there are, which is the least number of entries that it can be limited to.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Goes by another configuration from now on. What is there keeps the times that it has. Hands out what has to go.
    #[must_use = "drop it after the lock"]
    pub(crate) fn reconfigure(&self, config: &Config) -> impl Sized + use<K, V> {
        let times = super::Times::new(config);
        if times.need_a_clock() {
            self.timed.store(true, Ordering::Relaxed);
        }
        self.weighed.store(config.max_weight.is_some(), Ordering::Relaxed);
        let lending = self.lending.lock();
        let limit = limit(config);
        self.limit.store(limit, Ordering::Relaxed);
        let mut gone = Vec::new();
        let mut resize = |at_most: bool| {
            for (index, shard) in self.shards.iter().enumerate() {
                let (part, most) = parts(config, index, self.shards.len());
                let shard = &mut *shard.0.lock();
                shard.times = times;
                let capacity = if at_most { part.min(shard.entries.capacity()) } else { part };
                let before = shard.entries.len();
                gone.push(shard.entries.set_capacity(capacity));
                gone.extend(shard.entries.set_most(most));
                shard.counts.left.size += (before - shard.entries.len()) as u64;
            }
        };
        // First those that get less, so that their sum is never over both limits.
        resize(true);
        resize(false);
        if let Some(adaptor) = &self.adaptor {
            adaptor.set_limits(limit, config.max_weight.map(|_| config.max_entries.get()));
        }
        drop(lending);
        gone
    }

    /// The shard, locked, with room for an entry of this weight: if it has not enough, the others lend it some, and
    /// the guard that comes with it keeps it from being lent on meanwhile, and is to be dropped after the shard's.
    pub(super) fn lock_for(
        &self,
        hash: u64,
        weight: u64,
    ) -> (LockedShard<'_, K, V>, Option<Lending<'_, K, V>>) {
        let shard = self.shard(hash).lock();
        if shard.entries.admits(weight.max(1)) || weight > self.limit.load(Ordering::Relaxed).min(MAX_WEIGHT)
        {
            return (shard, None);
        }
        drop(shard);
        let lending = self.lend_for(self.index(hash), weight.max(1));
        (self.shard(hash).lock(), Some(lending))
    }

    #[cold]
    fn lend_for(&self, own: usize, weight: u64) -> Lending<'_, K, V> {
        let lending = self.lending.lock();
        // Its whole weight, if there is so much: what is in its shard already is to keep its room.
        let capacity = self.shards[own].0.lock().entries.capacity();
        let mut needed = weight.min(self.limit.load(Ordering::Relaxed).saturating_sub(capacity));
        let mut gone = Vec::new();
        let mut lent = 0;
        // First what is free, then from whoever has most entries: one more heavy one is not to go for a light one.
        let mut take = |shard: &Locked<K, V>, most: fn(&Inner<K, V>) -> u64| {
            let mut shard = shard.0.lock();
            let given = most(&shard).min(needed);
            needed -= given;
            lent += given;
            let capacity = shard.entries.capacity();
            let evicted = shard.entries.set_capacity(capacity - given);
            shard.counts.left.size += evicted.len() as u64;
            if evicted.len() > 0 {
                gone.push(evicted);
            }
            needed == 0
        };
        let others =
            || self.shards.iter().enumerate().filter(|(index, _)| *index != own).map(|(_, shard)| shard);
        let free = |shard: &Inner<K, V>| shard.entries.capacity() - shard.entries.weight();
        if !others().any(|shard| take(shard, free)) {
            let mut others: Vec<_> = others().map(|shard| (shard.0.lock().entries.len(), shard)).collect();
            others.sort_unstable_by_key(|(entries, _)| std::cmp::Reverse(*entries));
            others.iter().any(|(_, shard)| take(shard, |shard| shard.entries.capacity()));
        }
        let mut shard = self.shards[own].0.lock();
        let capacity = shard.entries.capacity();
        let _none = shard.entries.set_capacity(capacity + lent);
        drop(shard);
        (lending, gone)
    }

    /// Lets shards have their own part of the capacity again, once what needed more has gone.
    pub(super) fn give_back(&self) {
        let _one_at_a_time = self.lending.lock();
        let part = self.limit.load(Ordering::Relaxed) / self.shards.len() as u64;
        let mut spare = 0;
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            let (capacity, weight) = (shard.entries.capacity(), shard.entries.weight());
            let keeps = weight.max(part);
            if capacity > keeps + 1 {
                // Nothing has to go for it: it holds no more than it keeps.
                let _none = shard.entries.set_capacity(keeps);
                spare += capacity - keeps;
            }
        }
        for shard in self.shards.iter().cycle().take(2 * self.shards.len()) {
            if spare == 0 {
                return;
            }
            let mut shard = shard.0.lock();
            let capacity = shard.entries.capacity();
            let given = part.saturating_sub(capacity).min(spare);
            let _none = shard.entries.set_capacity(capacity + given);
            spare -= given;
        }
        let mut first = self.shards[0].0.lock();
        let capacity = first.entries.capacity();
        let _none = first.entries.set_capacity(capacity + spare);
    }
}
