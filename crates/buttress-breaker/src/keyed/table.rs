use crate::core::{Core, Place};
use crate::handle::{State, Stats, Totals, metrics};
use crate::primitive::Mutex;
use crate::{Config, KIND, now};
use buttress_core::{Inspect, Lane, Metric, Name, Sink};
use hashlink::LinkedHashMap;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The breakers of all keys. Cloning it is cheap and gives the same breakers.
///
/// The table is behind a lock, which is held while a key is hashed, compared and cloned. These must neither panic
/// nor use the same table. Keys are dropped after it.
///
/// See the [module](super) for when to use it and for an example.
pub struct Breakers<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    name: Name,
    table: Mutex<Table<K>>,
    /// One new configuration at a time, so that all breakers end with the same one.
    reconfiguring: Mutex<()>,
}

/// One breaker, with a single lane: keys are many, and calls for one key few. Calls hold this `Arc`, and nobody
/// else but the table does; readers hold the core's.
type Entry = Arc<Lane<Place>>;

struct Table<K> {
    config: Config,
    max_keys: usize,
    /// Breakers that may be forgotten, as far as is known; the one that has been idle longest comes first.
    /// Hashed with a secret, as clients may choose the keys.
    idle: LinkedHashMap<K, Entry, RandomState>,
    /// Breakers that were found busy, open, probing or held when one was looked for that could be forgotten.
    pinned: HashMap<K, Pinned>,
    /// When to look at the pinned ones again; as many as there are.
    release: BTreeMap<Release, K>,
    last_release: u64,
    untracked: u64,
    evicted: u64,
    /// What forgotten breakers had counted, so that no total falls.
    retired: Totals,
}

/// When to look again, and a number that tells those of one moment apart.
type Release = (Instant, u64);

struct Pinned {
    entry: Entry,
    release: Release,
}

/// The most breakers that one call looks at to make room, so that nobody waits long for the table.
const LOOKS: usize = 256;

/// How long a closed breaker that has calls in flight is left alone before it is looked at again.
const BUSY: Duration = Duration::from_secs(1);

/// What the breakers of all keys are doing and have counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// Keys that have a breaker.
    pub keys: usize,
    /// Those of them that are open.
    pub open: usize,
    /// Those that are probing.
    pub half_open: usize,
    /// Those that are held open or closed by an operator.
    pub held: usize,
    /// Calls that are running and watched.
    pub in_flight: usize,
    /// What all breakers have counted, also those that were forgotten since.
    pub totals: Totals,
    /// Calls that were admitted without being watched, because no breaker could be forgotten for them.
    pub untracked: u64,
    /// Breakers that were forgotten to make room.
    pub evicted: u64,
}

impl<K: Hash + Eq + Clone> Breakers<K> {
    /// Makes an empty table; every key's breaker follows `config`.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        let table = Table {
            config,
            max_keys: 10_000,
            idle: LinkedHashMap::with_hasher(RandomState::new()),
            pinned: HashMap::new(),
            release: BTreeMap::new(),
            last_release: 0,
            untracked: 0,
            evicted: 0,
            retired: Totals::NONE,
        };
        let (table, reconfiguring) = (Mutex::new(table), Mutex::new(()));
        Self { shared: Arc::new(Shared { name: name.into(), table, reconfiguring }) }
    }

    /// Bounds the number of keys; 10,000 unless told. Fewer than there are now forgets none at once.
    #[must_use]
    pub fn max_keys(self, max_keys: NonZeroUsize) -> Self {
        self.shared.table.lock().max_keys = max_keys.get();
        self
    }

    /// The breaker of `key`, made if need be; `None` if there is no room for it.
    pub(super) fn entry(&self, key: &K) -> Option<Entry> {
        let mut forgotten = Forgotten::default();
        let mut table = self.shared.table.lock();
        let entry = match table.find(key, &mut forgotten) {
            Some(entry) => Some(entry),
            None => {
                table.make_room(now(), &mut forgotten);
                if table.keys() < table.max_keys {
                    Some(table.insert(key, self.shared.name))
                } else {
                    table.untracked += 1;
                    None
                }
            }
        };
        drop(table);
        drop(forgotten); // after the lock: a key's drop may run anything
        entry
    }

    /// Does something to the breaker of `key`, under the table's lock, so that it is not forgotten meanwhile.
    fn with(&self, key: &K, make: bool, act: impl FnOnce(&Core)) {
        let mut forgotten = Forgotten::default();
        let mut table = self.shared.table.lock();
        let entry = match table.find(key, &mut forgotten) {
            None if make => Some(table.insert(key, self.shared.name)),
            found => found,
        };
        if let Some(entry) = entry {
            act(&entry.core);
            // Whether it may be forgotten now is asked when it comes to that.
            forgotten.keys.extend(table.unpin(key));
        }
        drop(table);
        drop(forgotten);
    }

    /// What the breaker of `key` is doing; `None` if the key has none, which is as good as closed.
    #[must_use]
    pub fn state(&self, key: &K) -> Option<State> {
        self.stats_of(key).map(|stats| stats.state)
    }

    /// What the breaker of `key` has counted; `None` if the key has none. Looking at it is no use of it: it does
    /// not keep it from being forgotten.
    #[must_use]
    pub fn stats_of(&self, key: &K) -> Option<Stats> {
        let (core, in_flight) = {
            let table = self.shared.table.lock();
            look(table.idle.get(key).or_else(|| table.pinned.get(key).map(|pinned| &pinned.entry))?)
        };
        Some(Stats { in_flight, ..core.view(now()) })
    }

    /// What all of them are doing and have counted. Looks at each, so it takes some 100 ns per key.
    #[must_use]
    pub fn stats(&self) -> KeyedStats {
        let (mut all, cores) = {
            let table = self.shared.table.lock();
            let all = KeyedStats {
                keys: table.keys(),
                open: 0,
                half_open: 0,
                held: 0,
                in_flight: 0,
                totals: table.retired,
                untracked: table.untracked,
                evicted: table.evicted,
            };
            (all, table.entries().map(look).collect::<Vec<_>>())
        };
        for (core, in_flight) in cores {
            let one = core.view(now());
            all.totals += one.totals;
            all.in_flight += in_flight;
            match one.state {
                State::Open { .. } => all.open += 1,
                State::HalfOpen => all.half_open += 1,
                State::ForcedOpen | State::ForcedClosed => all.held += 1,
                State::Closed | State::Recovering { .. } => {}
            }
        }
        all
    }

    /// Refuses every call for `key` until told otherwise; as [`Handle::force_open`](crate::Handle::force_open).
    ///
    /// The key gets a breaker if it has none, also beyond [`Breakers::max_keys`]. What an operator does is not
    /// told to observers: they belong to the layers, and the operator knows.
    pub fn force_open(&self, key: &K) {
        self.with(key, true, |core| {
            core.force_open();
        });
    }

    /// Admits every call for `key` until told otherwise; as
    /// [`Handle::force_closed`](crate::Handle::force_closed).
    pub fn force_closed(&self, key: &K) {
        self.with(key, true, |core| {
            core.force_closed();
        });
    }

    /// Ends a hold; as [`Handle::auto`](crate::Handle::auto). Nothing happens where there is none.
    pub fn auto(&self, key: &K) {
        self.with(key, false, |core| {
            core.auto(now());
        });
    }

    /// Closes the breaker of `key` and lets it forget; as [`Handle::reset`](crate::Handle::reset).
    pub fn reset(&self, key: &K) {
        self.with(key, false, |core| {
            core.reset(now());
        });
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.shared.table.lock().config.clone()
    }

    /// Puts another configuration in force, for all keys; as
    /// [`Handle::reconfigure`](crate::Handle::reconfigure). Each breaker changes as a whole, one after the
    /// other.
    pub fn reconfigure(&self, config: Config) {
        let _one_at_a_time = self.shared.reconfiguring.lock();
        // Keys that come from here on follow the new one; those that are there already are told.
        let (config, cores) = {
            let mut table = self.shared.table.lock();
            table.config = config;
            (table.config.clone(), table.entries().map(|entry| Arc::clone(&entry.core)).collect::<Vec<_>>())
        };
        for core in cores {
            core.reconfigure(config.clone(), now());
        }
    }

    pub(super) fn name(&self) -> Name {
        self.shared.name
    }
}

/// What to read of a breaker once the table's lock is released, and how many calls hold it now.
fn look(entry: &Entry) -> (Arc<Core>, usize) {
    (Arc::clone(&entry.core), Arc::strong_count(entry) - 1)
}

/// What the table has let go of, to be dropped after its lock.
struct Forgotten<K> {
    breakers: Vec<(K, Entry)>,
    keys: Vec<K>,
}

impl<K> Default for Forgotten<K> {
    fn default() -> Self {
        Self { breakers: Vec::new(), keys: Vec::new() }
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn keys(&self) -> usize {
        self.idle.len() + self.pinned.len()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.idle.values().chain(self.pinned.values().map(|pinned| &pinned.entry))
    }

    /// The breaker of `key`, which from now on has been idle for the shortest time.
    fn find(&mut self, key: &K, forgotten: &mut Forgotten<K>) -> Option<Entry> {
        if let Some(entry) = self.idle.to_back(key) {
            return Some(Arc::clone(entry));
        }
        let entry = &self.pinned.get(key)?.entry;
        let is_idle = entry.core.admits_all() && Arc::strong_count(entry) == 1;
        let entry = Arc::clone(entry);
        if is_idle {
            forgotten.keys.extend(self.unpin(key));
        }
        Some(entry)
    }

    fn insert(&mut self, key: &K, name: Name) -> Entry {
        let core = Arc::new(Core::new(name, self.config.clone(), 1, fastrand::u64(..), now()));
        let entry = Arc::new(Lane::new(Place { core, lane: 0 }));
        self.idle.insert(key.clone(), Arc::clone(&entry));
        entry
    }

    fn pin(&mut self, key: K, entry: Entry, until: Instant) {
        self.last_release += 1;
        let release = (until, self.last_release);
        self.release.insert(release, key.clone());
        self.pinned.insert(key, Pinned { entry, release });
    }

    /// Puts a breaker back among those that may be forgotten, as the one used last. Whether it really may be is
    /// asked when it comes to that. Hands out the second copy of the key, to be dropped after the lock.
    fn unpin(&mut self, key: &K) -> Option<K> {
        let (key, Pinned { entry, release }) = self.pinned.remove_entry(key)?;
        self.idle.insert(key, entry);
        self.release.remove(&release)
    }

    /// Forgets breakers until there is room for one more, if it can: those that may be forgotten, and of them
    /// the one that has been idle longest first. Looks at so many, and leaves the rest to the next call.
    fn make_room(&mut self, now: Instant, forgotten: &mut Forgotten<K>) {
        if self.keys() < self.max_keys {
            return;
        }
        for _ in 0..LOOKS {
            let Some(due) = self.release.first_key_value().filter(|(release, _)| release.0 <= now) else {
                break;
            };
            let key = due.1.clone();
            forgotten.keys.extend(self.unpin(&key));
            forgotten.keys.push(key);
        }
        for _ in 0..LOOKS {
            if self.keys() < self.max_keys {
                return;
            }
            let Some((key, entry)) = self.idle.pop_front() else { return };
            // Nobody can begin a call while the table is locked, so what is idle now stays so.
            let busy = (Arc::strong_count(&entry) > 1).then(|| now + BUSY);
            match entry.core.pinned_until(now).or(busy) {
                Some(until) => self.pin(key, entry, until),
                None => {
                    self.evicted += 1;
                    self.retired += entry.core.view(now).totals;
                    forgotten.breakers.push((key, entry));
                }
            }
        }
    }
}

impl<K: Hash + Eq + Clone + Send> Inspect for Breakers<K> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.shared.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        const KEYS: Metric =
            Metric { name: "keys", unit: "", help: "keys that have a breaker, by its state" };
        const UNTRACKED: Metric = Metric {
            name: "untracked_total",
            unit: "",
            help: "calls admitted unwatched because the table was full of breakers that must not be forgotten",
        };
        const EVICTED: Metric =
            Metric { name: "evicted_total", unit: "", help: "breakers forgotten to make room" };
        let stats = self.stats();
        let (open, half_open, held) = (stats.open, stats.half_open, stats.held);
        let closed = stats.keys.saturating_sub(open + half_open + held);
        for (state, keys) in [("closed", closed), ("open", open), ("half_open", half_open), ("held", held)] {
            sink.gauge(&KEYS, &[("state", state)], keys as f64);
        }
        metrics::totals(sink, &stats.totals);
        sink.gauge(&metrics::IN_FLIGHT, &[], stats.in_flight as f64);
        sink.counter(&UNTRACKED, &[], stats.untracked);
        sink.counter(&EVICTED, &[], stats.evicted);
    }
}

impl<K> Clone for Breakers<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for Breakers<K> {
    /// Keys are not printed: they are often names of customers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
