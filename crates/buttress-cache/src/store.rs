//! The shards under their locks: what is found, what is put in, and time. Lists of flights and invalidations have
//! files of their own, and so has the limit that holds for all shards together.

mod flights;
mod inner;
mod invalidate;
mod room;
mod times;

pub(crate) use flights::{Ask, Begun, Ended, Patience};

use self::inner::{IsThere, Lookup, Put};
use self::times::{Draws, Extra, Freshness, Times};
use crate::Config;
use crate::adaptor::Adaptor;
use crate::cache::now;
use crate::flight::Flight;
use crate::policy::Policy;
use crate::primitive::{Mutex, MutexGuard};
use crate::rules::{Found, Keep, Served};
use crate::setbacks::Setbacks;
use crate::shard::{At, Shard};
use crate::stats::{Counts, Stats};
use crate::tags;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Nanoseconds since the store's own beginning of time.
pub(crate) type Nanos = u64;
pub(crate) const NEVER: Nanos = u64::MAX;
/// What the time is as long as nothing depends on it.
const TIMELESS: Nanos = 1;

pub struct Store<K, V> {
    shards: Box<[Locked<K, V>]>,
    hasher: RandomState,
    /// Only the default policy has one.
    adaptor: Option<Adaptor>,
    /// Weight that the entries of all shards may have together. Changed under `lending` alone; relaxed, since
    /// who acts on it looks again at what its shard admits.
    limit: AtomicU64,
    /// Held while shards lend each other capacity: the sum of their capacities is the limit at every moment.
    lending: Mutex<()>,
    /// Whether anything depends on the time. Relaxed: it is set before the first such thing is put in, under whose
    /// shard's lock it is read.
    timed: AtomicBool,
    /// Whether entries are weighed, or count one each. Relaxed: an entry has the weight that it was put in with.
    weighed: AtomicBool,
    base: Instant,
}

/// One shard, on cache lines of its own.
#[repr(align(128))]
struct Locked<K, V>(Mutex<Inner<K, V>>);

struct Inner<K, V> {
    entries: Shard<K, Stored<V>>,
    times: Times,
    counts: Counts,
    /// Loads whose results may be stored, by key.
    flights: HashTable<Arc<Flight<K, V>>>,
    /// Loads that have failed and are not tried again for a while.
    setbacks: Setbacks<K>,
    /// Tags that were invalidated since the oldest flight began.
    log: tags::Log,
    tags: tags::Index,
    /// What some entries have beside their values, at the places that they have in the shard. As long as no entry
    /// needs it, nobody pays for it.
    extras: Vec<Extra>,
    draws: Draws,
}

/// A value, and until when it is fresh. The zero that this is not makes room for a place that is empty.
struct Stored<V> {
    value: V,
    expires: NonZeroU64,
}

/// The least number of entries for which a shard of its own pays: with fewer the policy sees too little.
const ENTRIES_PER_SHARD: usize = 256;

/// How many shards a cache of that many entries has, if each weighs one.
pub(crate) fn shards_for(entries: usize, limit: u64) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let shards = (entries / ENTRIES_PER_SHARD).clamp(1, (8 * cores).next_power_of_two()).min(most);
    (shards + 1).next_power_of_two() / 2 // the power of two that is not more
}

impl<K, V> Store<K, V> {
    pub(crate) fn new(config: &Config, policy: Policy, seed: u64, now: Instant) -> Self {
        let entries = config.max_entries.get();
        let limit = room::limit(config);
        let shards = shards_for(entries, limit);
        let shard = |index| {
            let (capacity, most) = room::parts(config, index, shards);
            let expected = most.min(usize::try_from(capacity).unwrap_or(usize::MAX));
            let mut entries = Shard::new(policy, capacity, expected);
            let _none = entries.set_most(most);
            Locked(Mutex::new(Inner {
                entries,
                times: Times::new(config),
                counts: Counts::default(),
                flights: HashTable::new(),
                setbacks: Setbacks::new(),
                log: tags::Log::new(),
                tags: tags::Index::new(),
                extras: Vec::new(),
                draws: Draws::new(seed, index),
            }))
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: RandomState::default(),
            adaptor: (policy == Policy::Drf)
                .then(|| Adaptor::new(limit, entries, config.max_weight.is_some())),
            limit: AtomicU64::new(limit),
            lending: Mutex::new(()),
            timed: AtomicBool::new(Times::new(config).need_a_clock()),
            weighed: AtomicBool::new(config.max_weight.is_some()),
            base: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now),
        }
    }

    /// At least one, since a place that is empty is told by the zero.
    #[inline]
    fn nanos(&self, now: Instant) -> Nanos {
        // 584 years fit.
        (now.saturating_duration_since(self.base).as_nanos() as u64).max(1)
    }

    /// The time, if anything depends on it.
    #[inline]
    fn now(&self) -> Nanos {
        if self.is_timed() { self.nanos(now()) } else { TIMELESS }
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

    #[inline]
    fn sampling(&self, hash: u64) -> Option<&Adaptor> {
        self.adaptor.as_ref().filter(|adaptor| adaptor.sampled(hash))
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            let shard = shard.0.lock();
            stats.add(shard.entries.len(), shard.entries.weight(), shard.flights.len(), &shard.counts);
        }
        stats
    }

    /// Whether anything depends on the time.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    pub(crate) fn is_weighed(&self) -> bool {
        self.weighed.load(Ordering::Relaxed)
    }

    /// Frees what has expired, a part at a time, so that nobody waits long for a lock.
    pub(crate) fn sweep(&self, now: Instant) {
        const PART: usize = 1024;
        let now = self.nanos(now);
        for shard in &self.shards {
            let setbacks = shard.0.lock().setbacks.retain(|_, setback| now < setback.until);
            drop(setbacks);
            let mut from = Some(0);
            while let Some(start) = from {
                let mut expired = Vec::new();
                {
                    let shard = &mut *shard.0.lock();
                    let (times, extras) = (&shard.times, &shard.extras);
                    let is_gone = |at: At, _: &K, stored: &Stored<V>| {
                        times.is_gone(extras.get(at.index()), stored.expires.get(), now)
                    };
                    from = shard.entries.extract(start, PART, is_gone, &mut expired);
                    shard.counts.left.expired += expired.len() as u64;
                }
                drop(expired); // values are dropped after the lock
            }
        }
        self.give_back();
    }
}

impl<K: Hash + Eq, V> Store<K, V> {
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A value of `key` that is fresh, or stale and good enough to be served at once.
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Found<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let (hash, now) = (self.hash(key), self.now());
        let mut shard = self.shard(hash).lock();
        match shard.fresh(hash, key, now) {
            Ok((at, value)) => {
                self.sample(shard, hash, at);
                Some(Found { value, served: Served::Hit })
            }
            Err(_) => self.get_else(shard, hash, key, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_else<Q>(
        &self,
        mut shard: MutexGuard<'_, Inner<K, V>>,
        hash: u64,
        key: &Q,
        now: Nanos,
    ) -> Option<Found<V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        let sampling = self.sampling(hash);
        let Lookup { found, weight, gone } = shard.find(hash, key, now, sampling.is_some());
        let (found, unserved) = match found {
            Some((value, Freshness::Fresh | Freshness::Early)) => {
                shard.counts.hits += 1;
                (Some(Found { value, served: Served::Hit }), None)
            }
            other => shard.count_stale(other),
        };
        drop(shard);
        drop((unserved, gone)); // after the lock: a value's drop may run anything
        if let Some(adaptor) = sampling {
            adaptor.on_get(hash, weight);
        }
        found
    }

    /// A value of `key`, for one who knows better what is fresh. `is_hit` says whether it is counted as a hit, and if so,
    /// whether as a stale one; it runs under the shard's lock.
    #[cfg(feature = "http")]
    pub(crate) fn look<Q>(&self, key: &Q, is_hit: impl FnOnce(&V) -> Option<bool>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let (hash, now) = (self.hash(key), self.now());
        let sampling = self.sampling(hash);
        let mut shard = self.shard(hash).lock();
        let Lookup { found, weight, gone } = shard.find(hash, key, now, sampling.is_some());
        let is_hit = found.as_ref().and_then(|(value, _)| is_hit(value));
        shard.counts.hits += u64::from(is_hit.is_some());
        shard.counts.stale += u64::from(is_hit == Some(true));
        drop(shard);
        drop(gone);
        if let (Some(adaptor), Some(_)) = (sampling, is_hit) {
            adaptor.on_get(hash, weight);
        }
        found.map(|(value, _)| value)
    }

    /// A fresh value of `key`, for a caller that does not stop here if there is none: nothing is counted then.
    #[inline]
    pub(crate) fn seek<Q>(&self, key: &Q) -> Sought<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let (hash, now) = (self.hash(key), self.now());
        let mut shard = self.shard(hash).lock();
        match shard.fresh(hash, key, now) {
            Ok((at, value)) => {
                self.sample(shard, hash, at);
                Sought::Fresh(value)
            }
            Err(IsThere(false)) => Sought::Else,
            Err(IsThere(true)) => self.seek_else(shard, hash, key, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn seek_else<Q>(
        &self,
        mut shard: MutexGuard<'_, Inner<K, V>>,
        hash: u64,
        key: &Q,
        now: Nanos,
    ) -> Sought<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        let Lookup { found, weight, gone } = shard.find(hash, key, now, true);
        let sought = match found {
            Some((value, Freshness::Fresh)) => {
                shard.counts.hits += 1;
                Sought::Fresh(value)
            }
            Some((_, Freshness::Early)) => Sought::Early,
            _ => Sought::Else,
        };
        drop(shard);
        drop(gone);
        if let (Sought::Fresh(_), Some(adaptor)) = (&sought, self.sampling(hash)) {
            adaptor.on_get(hash, weight);
        }
        sought
    }

    /// Lets go of the shard, and shows a hit to the adaptor if that wants to know of it.
    #[inline]
    fn sample(&self, shard: MutexGuard<'_, Inner<K, V>>, hash: u64, at: At) {
        if let Some(adaptor) = self.sampling(hash) {
            let weight = shard.entries.weight_of(at);
            drop(shard);
            adaptor.on_get(hash, Some(weight));
        }
    }

    /// Puts a value in, and answers whether it is there now. One that may not be stored takes the older one with it
    /// all the same. A load that is under way will not be stored: this is newer.
    pub(crate) fn insert(&self, key: K, value: V, weight: u64, keep: &Keep) -> bool {
        let hash = self.hash(&key);
        let tags = self.tags_of(keep);
        let now = self.now_for(keep);
        let (mut shard, lending) = self.lock_for(hash, weight);
        let unlisted = shard.unlist(hash, |flight| flight.key == key);
        let put = Put { hash, value, weight, keep, tags: &tags, took: Duration::ZERO, now };
        let (is_stored, gone) = shard.put(key, put, self.adaptor.as_ref());
        drop((shard, lending));
        drop((unlisted, gone)); // after the lock
        is_stored
    }

    /// The time, if what is to be kept needs it, or anything else.
    fn now_for(&self, keep: &Keep) -> Nanos {
        if keep.ttl.is_some_and(|ttl| ttl != Duration::MAX) {
            self.timed.store(true, Ordering::Relaxed);
        }
        self.now()
    }

    fn tags_of(&self, keep: &Keep) -> Vec<u64> {
        if keep.tags.is_empty() {
            return Vec::new();
        }
        keep.tags.iter().map(|tag| self.tag(tag)).collect()
    }

    /// Tags that share a hash are invalidated together, which is once in 2⁶⁴ and harms nobody.
    fn tag(&self, tag: &str) -> u64 {
        self.hasher.hash_one(tag)
    }
}

impl<K, V> fmt::Debug for Store<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// What [`Store::seek`] finds.
pub(crate) enum Sought<V> {
    Fresh(V),
    /// It is fresh, and to be loaded again early.
    Early,
    /// None, or one that is stale.
    Else,
}
