//! Single flight: who loads, who waits, and what may be stored. Lists of flights are beside the entries, under the
//! same lock.

use super::Store;
use crate::cache::Shared;
use crate::flight::{self, Flight, Outcome, Wake};
use crate::load::{Lead, Waiter};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a caller finds that wants a value loaded if there is none.
pub(crate) enum Begun<K, V> {
    Hit(V),
    /// Nobody loads it: the caller does.
    Lead(Lead<K, V>),
    /// Somebody does; the key comes back.
    Wait(Waiter<K, V>, K),
}

impl<K, V> Store<K, V> {
    /// Takes a flight off the list and does something to it, under both locks.
    pub(crate) fn unlist<T, U>(
        &self,
        flight: &Arc<Flight<K, V>>,
        act: impl FnOnce(&mut flight::State<V>) -> (T, U),
    ) -> (T, U, Option<Arc<Flight<K, V>>>) {
        let mut shard = self.shard(flight.hash).lock();
        let unlisted = shard.unlist_this(flight);
        let (one, two) = act(&mut flight.state.lock());
        (one, two, unlisted)
    }

    pub(crate) fn count_failure(&self, hash: u64) {
        self.shard(hash).lock().counts.load_failures += 1;
    }

    /// The one that loads has left: the one that has waited longest takes over, or the flight is over.
    pub(crate) fn hand_over(&self, flight: &Arc<Flight<K, V>>) -> Wake {
        let unlisted;
        let mut shard = self.shard(flight.hash).lock();
        let mut state = flight.state.lock();
        if state.has_ended() {
            return Wake::NOBODY;
        }
        match state.hand_over() {
            Some(wake) => wake,
            None => {
                unlisted = shard.unlist_this(flight);
                drop((state, shard));
                drop(unlisted);
                Wake::NOBODY
            }
        }
    }

    /// The one that was to take over has left, and nobody else waited then.
    pub(crate) fn abandon(&self, flight: &Arc<Flight<K, V>>) {
        // Somebody may have joined meanwhile.
        self.hand_over(flight).all();
    }
}

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    /// Looks once more, and leads or waits.
    pub(crate) fn begin(
        &self,
        key: K,
        clock: impl FnOnce() -> Instant,
        shared: &Arc<Shared<K, V>>,
    ) -> Begun<K, V> {
        let hash = self.hash(&key);
        let now = if self.is_timed() { self.nanos(clock()) } else { 0 };
        let sampling = self.adaptor.as_ref().filter(|adaptor| adaptor.sampled(hash));
        let mut shard = self.shard(hash).lock();
        let (found, weight, expired) = shard.find(hash, &key, now, sampling.is_some());
        let begun = match found {
            Some(value) => Begun::Hit(value),
            None => {
                let listed = shard.flights.find(hash, |flight| flight.key == key).cloned();
                match listed {
                    Some(flight) => {
                        shard.counts.coalesced += 1;
                        let id = flight.state.lock().join();
                        Begun::Wait(Waiter::new(Arc::clone(shared), flight, id), key)
                    }
                    None => {
                        shard.counts.loads += 1;
                        let flight = Arc::new(Flight::new(key, hash));
                        shard.list(Arc::clone(&flight));
                        Begun::Lead(Lead::new(Arc::clone(shared), flight))
                    }
                }
            }
        };
        drop(shard);
        drop(expired);
        if let Some(adaptor) = sampling {
            adaptor.on_get(hash, weight);
        }
        begun
    }

    /// The chosen waiter takes over, unless the flight has ended or what it is for is there.
    pub(crate) fn take_over(
        &self,
        flight: &Arc<Flight<K, V>>,
        id: u64,
        clock: impl FnOnce() -> Instant,
    ) -> bool {
        let now = if self.is_timed() { self.nanos(clock()) } else { 0 };
        let mut shard = self.shard(flight.hash).lock();
        let mut state = flight.state.lock();
        if state.has_ended() {
            return false;
        }
        let fresh = shard.peek(flight.hash, &flight.key, now);
        let is_listed = shard.is_listed(flight);
        let younger =
            !is_listed && shard.flights.find(flight.hash, |other| other.key == flight.key).is_some();
        let outcome = match fresh {
            Some(value) => Outcome::Loaded(value),
            None if younger => Outcome::Moved,
            None => {
                if !is_listed {
                    // Its load begins now, after whatever took the flight off the list: it may be stored.
                    shard.list(Arc::clone(flight));
                }
                shard.counts.loads += 1;
                let old = state.take_over(id);
                drop((state, shard));
                drop(old);
                return true;
            }
        };
        let unlisted = shard.unlist_this(flight);
        let (wake, unused) = state.end(outcome);
        drop((state, shard));
        drop((unlisted, unused));
        wake.all();
        false
    }

    /// Ends a flight with a value, which is stored if the flight is listed.
    #[expect(
        clippy::too_many_arguments,
        reason = "everything that one step under two locks needs, cloned before"
    )]
    pub(crate) fn complete(
        &self,
        flight: &Arc<Flight<K, V>>,
        key: K,
        value: V,
        for_waiters: Option<V>,
        weight: u64,
        ttl: Duration,
        clock: impl FnOnce() -> Instant,
    ) -> Wake {
        let stored = self.storable(value, weight, ttl, clock);
        let weight = stored.as_ref().map_or(0, |(_, weight)| *weight);
        let (mut shard, lending) = self.lock_for(flight.hash, weight);
        let mut state = flight.state.lock();
        let unlisted = shard.unlist_this(flight);
        let mut gone = None;
        let mut unstored = None;
        if unlisted.is_some() {
            gone = Some(shard.put(flight.hash, key, stored, self.adaptor.as_ref()));
        } else {
            unstored = Some((key, stored));
        }
        // Whoever joined since the value was cloned has found the flight unended, and looks again: there is a fresh
        // value, or a younger flight.
        let (wake, unused) = match for_waiters {
            Some(value) => state.end(Outcome::Loaded(value)),
            None => state.end(Outcome::Moved),
        };
        drop((state, shard, lending));
        drop((unlisted, gone, unstored, unused));
        wake
    }
}
