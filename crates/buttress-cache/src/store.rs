//! The shards under their locks: the limit that holds for all of them together, and time.

use crate::Config;
mod flights;

pub(crate) use flights::Begun;

use crate::adaptor::Adaptor;
use crate::flight::Flight;
use crate::policy::{MAX_WEIGHT, Policy};
use crate::shard::{Evicted, Shard};
use crate::stats::{Counts, Stats};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Nanoseconds since the store's own beginning of time.
type Nanos = u64;
const NEVER: Nanos = u64::MAX;

pub(crate) struct Store<K, V> {
    shards: Box<[Locked<K, V>]>,
    hasher: RandomState,
    /// Only the default policy has one.
    adaptor: Option<Adaptor>,
    /// Weight that the entries of all shards may have together.
    limit: u64,
    /// Held while shards lend each other capacity: the sum of their capacities is the limit at every moment.
    lending: Mutex<()>,
    /// Whether any entry expires. Relaxed: it is set before the first such entry is put in, under whose shard's
    /// lock it is read.
    timed: AtomicBool,
    base: Instant,
}

/// One shard, on cache lines of its own.
#[repr(align(128))]
struct Locked<K, V>(Mutex<Inner<K, V>>);

struct Inner<K, V> {
    entries: Shard<K, Stored<V>>,
    /// Loads whose results may be stored, by key.
    flights: HashTable<Arc<Flight<K, V>>>,
    /// The most entries this shard may hold, whatever they weigh.
    most: usize,
    counts: Counts,
}

/// A value, and until when it is fresh.
struct Stored<V> {
    value: V,
    expires: Nanos,
}

/// The least number of entries for which a shard of its own pays: with fewer the policy sees too little.
const ENTRIES_PER_SHARD: usize = 256;

impl<K, V> Store<K, V> {
    pub(crate) fn new(config: &Config, policy: Policy, now: Instant) -> Self {
        let entries = config.max_entries.get();
        let limit = config.max_weight.map_or(entries as u64, NonZeroU64::get);
        let cores = available_parallelism().map_or(1, usize::from);
        let shards =
            (entries / ENTRIES_PER_SHARD).clamp(1, (8 * cores).next_power_of_two()).min(limit as usize);
        let shards = (shards + 1).next_power_of_two() / 2; // the power of two that is not more
        // What does not divide goes to the first ones, so that the sum is the limit.
        let part = |whole: u64, index: usize| {
            whole / shards as u64 + u64::from((index as u64) < whole % shards as u64)
        };
        let shard = |index| {
            let (capacity, most) = (part(limit, index), part(entries as u64, index) as usize);
            let entries = Shard::new(policy, capacity, most);
            let flights = HashTable::new();
            Locked(Mutex::new(Inner { entries, flights, most, counts: Counts::default() }))
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: RandomState::default(),
            adaptor: (policy == Policy::Drf).then(|| Adaptor::new(limit, entries)),
            limit,
            lending: Mutex::new(()),
            timed: AtomicBool::new(false),
            base: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now),
        }
    }

    #[inline]
    fn nanos(&self, now: Instant) -> Nanos {
        // 584 years fit.
        now.saturating_duration_since(self.base).as_nanos() as u64
    }

    /// Chosen by bits that are mixed anew: the hash's own all have another use below.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (self.shards.len() - 1)
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Inner<K, V>> {
        &self.shards[self.index(hash)].0
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            let shard = shard.0.lock();
            stats.add(shard.entries.len(), shard.entries.weight(), &shard.counts);
        }
        stats
    }

    /// Whether anything in it will expire.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    /// Frees what has expired, a part at a time, so that nobody waits long for a lock.
    pub(crate) fn sweep(&self, now: Instant) {
        const PART: usize = 1024;
        let now = self.nanos(now);
        for shard in &self.shards {
            let mut from = Some(0);
            while let Some(start) = from {
                let mut expired = Vec::new();
                {
                    let mut shard = shard.0.lock();
                    from =
                        shard.entries.extract(start, PART, |_, stored| stored.expires <= now, &mut expired);
                    shard.counts.left.expired += expired.len() as u64;
                }
                drop(expired); // values are dropped after the lock
            }
        }
        self.give_back();
    }

    /// Takes out everything that `which` says, and says how much that was.
    pub(crate) fn remove_if(&self, mut which: impl FnMut(&K, &V) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let removed = {
                let mut shard = shard.0.lock();
                let removed = shard.entries.retain(|key, stored| !which(key, &stored.value));
                shard.counts.left.explicit += removed.len() as u64;
                // What is being loaded is not known yet, and may be what is to go.
                (removed, std::mem::take(&mut shard.flights))
            };
            count += removed.0.len() as u64;
        }
        count
    }

    /// Lets shards have their own part of the capacity again, once what needed more has gone.
    fn give_back(&self) {
        let part = self.limit / self.shards.len() as u64;
        let _one_at_a_time = self.lending.lock();
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

impl<K: Hash + Eq, V> Store<K, V> {
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A fresh value of `key`, or none.
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q, clock: impl FnOnce() -> Instant) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        let now = if self.is_timed() { self.nanos(clock()) } else { 0 };
        let sampling = self.adaptor.as_ref().filter(|adaptor| adaptor.sampled(hash));
        let mut shard = self.shard(hash).lock();
        let (found, weight, expired) = shard.find(hash, key, now, sampling.is_some());
        drop(shard);
        drop(expired); // after the lock: a value's drop may run anything
        if let Some(adaptor) = sampling {
            adaptor.on_get(hash, weight);
        }
        found
    }

    /// Puts a value in for as long as `ttl` says, and answers whether it is there now. One that may not be stored
    /// takes the older one with it all the same. A load that is under way will not be stored: this is newer.
    pub(crate) fn insert(
        &self,
        key: K,
        value: V,
        weight: u64,
        ttl: Duration,
        clock: impl FnOnce() -> Instant,
    ) -> bool {
        let hash = self.hash(&key);
        let stored = self.storable(value, weight, ttl, clock);
        let is_stored = stored.is_ok();
        let weight = stored.as_ref().map_or(0, |(_, weight)| *weight);
        let (mut shard, lending) = self.lock_for(hash, weight);
        let unlisted = shard.unlist(hash, |flight| flight.key == key);
        let gone = shard.put(hash, key, stored, self.adaptor.as_ref());
        drop((shard, lending));
        drop((unlisted, gone)); // after the lock
        is_stored
    }

    /// What is to be stored and its weight, or why nothing is.
    fn storable(
        &self,
        value: V,
        weight: u64,
        ttl: Duration,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(Stored<V>, u64), Unstored> {
        if ttl.is_zero() {
            return Err(Unstored::NotWanted);
        }
        if weight > self.limit.min(MAX_WEIGHT) {
            return Err(Unstored::TooHeavy);
        }
        let expires = match ttl {
            Duration::MAX => NEVER,
            ttl => {
                self.timed.store(true, Ordering::Relaxed);
                self.nanos(clock()).saturating_add(ttl.as_nanos().try_into().unwrap_or(NEVER))
            }
        };
        // What weighs nothing must still be somewhere in the policy's queues.
        Ok((Stored { value, expires }, weight.max(1)))
    }

    /// The shard, locked, with room for an entry of this weight: if it has not enough, the others lend it some, and
    /// the guard that comes with it keeps it from being lent on meanwhile.
    fn lock_for(&self, hash: u64, weight: u64) -> (MutexGuard<'_, Inner<K, V>>, Option<MutexGuard<'_, ()>>) {
        let shard = self.shard(hash).lock();
        if shard.entries.admits(weight) {
            return (shard, None);
        }
        drop(shard);
        let lending = self.lend_for(self.index(hash), weight);
        (self.shard(hash).lock(), Some(lending))
    }

    #[cold]
    fn lend_for(&self, own: usize, weight: u64) -> MutexGuard<'_, ()> {
        let lending = self.lending.lock();
        // Its whole weight, if there is so much: what is in its shard already is to keep its room.
        let mut needed = weight.min(self.limit - self.shards[own].0.lock().entries.capacity());
        let mut lent = 0;
        // First what is free, then from whoever has most entries: one more heavy one is not to go for a light one.
        let mut take = |shard: &Locked<K, V>, most: fn(&Inner<K, V>) -> u64| {
            let evicted = {
                let mut shard = shard.0.lock();
                let given = most(&shard).min(needed);
                needed -= given;
                lent += given;
                let capacity = shard.entries.capacity();
                let evicted = shard.entries.set_capacity(capacity - given);
                shard.counts.left.size += evicted.len() as u64;
                evicted
            };
            drop(evicted);
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
        lending
    }

    /// Takes out the value of `key`.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let unlisted;
        let removed = {
            let mut shard = self.shard(hash).lock();
            let removed = shard.entries.remove(hash, |other| other.borrow() == key);
            shard.counts.left.explicit += u64::from(removed.is_some());
            unlisted = shard.unlist(hash, |flight| flight.key.borrow() == key);
            removed
        };
        drop(unlisted);
        if let Some(adaptor) = self.adaptor.as_ref().filter(|adaptor| adaptor.sampled(hash)) {
            adaptor.on_remove(hash);
        }
        removed.map(|(_, stored)| stored.value)
    }
}

/// Why a value is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unstored {
    /// It has no time to live.
    NotWanted,
    TooHeavy,
}

/// What an insertion has pushed out, to be dropped after the lock.
type Gone<K, V> = (Option<(K, Stored<V>)>, Evicted<K, Stored<V>>, Vec<Evicted<K, Stored<V>>>);

impl<K, V> Inner<K, V> {
    /// Takes a flight off the list: what it loads will not be stored.
    fn unlist(&mut self, hash: u64, is: impl Fn(&Flight<K, V>) -> bool) -> Option<Arc<Flight<K, V>>> {
        if self.flights.is_empty() {
            return None;
        }
        Some(self.flights.find_entry(hash, |flight| is(flight)).ok()?.remove().0)
    }

    fn unlist_this(&mut self, flight: &Arc<Flight<K, V>>) -> Option<Arc<Flight<K, V>>> {
        let found = self.flights.find_entry(flight.hash, |listed| Arc::ptr_eq(listed, flight));
        Some(found.ok()?.remove().0)
    }

    fn is_listed(&self, flight: &Arc<Flight<K, V>>) -> bool {
        self.flights.find(flight.hash, |listed| Arc::ptr_eq(listed, flight)).is_some()
    }

    fn list(&mut self, flight: Arc<Flight<K, V>>) {
        self.flights.insert_unique(flight.hash, flight, |flight| flight.hash);
    }
}

impl<K, V: Clone> Inner<K, V> {
    /// A fresh value, counted as a hit, and its weight if that is asked for; or else a miss, and what has expired.
    #[inline]
    fn find<Q>(&mut self, hash: u64, key: &Q, now: Nanos, weigh: bool) -> Found<K, V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.entries.find(hash, |other| other.borrow() == key);
        let mut expired = None;
        if let Some(at) = at {
            let fresh = self.entries.entry(at).filter(|(_, stored)| now < stored.expires);
            if let Some(value) = fresh.map(|(_, stored)| stored.value.clone()) {
                self.entries.touch(at);
                self.counts.hits += 1;
                return (Some(value), weigh.then(|| self.entries.weight_of(at)), None);
            }
            expired = self.entries.remove_at(at);
            self.counts.left.expired += 1;
        }
        self.counts.misses += 1;
        (None, None, expired)
    }

    /// A fresh value, without a trace.
    fn peek(&self, hash: u64, key: &K, now: Nanos) -> Option<V>
    where
        K: Eq,
    {
        let stored = self.entries.peek(hash, |other| other == key)?;
        (now < stored.expires).then(|| stored.value.clone())
    }
}

type Found<K, V> = (Option<V>, Option<u64>, Option<(K, Stored<V>)>);

impl<K: Eq, V> Inner<K, V> {
    fn put(
        &mut self,
        hash: u64,
        key: K,
        stored: Result<(Stored<V>, u64), Unstored>,
        adaptor: Option<&Adaptor>,
    ) -> Gone<K, V> {
        let (stored, weight) = match stored {
            Ok(stored) => stored,
            Err(why) => {
                self.counts.too_heavy += u64::from(why == Unstored::TooHeavy);
                let removed = self.entries.remove(hash, |other| *other == key);
                self.counts.left.replaced += u64::from(removed.is_some());
                return (removed, Evicted::NONE, vec![]);
            }
        };
        if let Some(adaptor) = adaptor {
            if adaptor.sampled(hash) {
                adaptor.on_insert(hash, weight);
            }
            self.entries.steer(adaptor.mode());
        }
        // Entries may be fewer than the weight allows. Before the newcomer is there, since it is not to go for itself.
        let mut rest = Vec::new();
        let mut size = 0;
        while self.entries.len() >= self.most && self.entries.find(hash, |other| *other == key).is_none() {
            let evicted = self.entries.shrink(self.entries.weight() - 1);
            size += evicted.len();
            rest.push(evicted);
        }
        let inserted = self.entries.insert(hash, key, stored, weight);
        size += inserted.evicted.len();
        self.counts.inserted += 1;
        self.counts.left.replaced += u64::from(inserted.replaced.is_some());
        self.counts.left.size += size as u64;
        (inserted.replaced, inserted.evicted, rest)
    }
}
