//! Single flight: who loads, who waits, and what may be stored. Lists of flights are beside the entries, under the
//! same lock.

use super::inner::{Lookup, Put};
use super::{Freshness, Inner, Nanos, Store, TIMELESS};
use crate::cache::Shared;
use crate::flight::{Flight, Outcome, Wake};
use crate::load::{Lead, Waiter};
use crate::rules::{Found, Keep, Served, SharedError};
use crate::setbacks::{Kind, Setback};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a caller asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Whether it is counted: not if it was before.
    pub(crate) count: bool,
    /// Whether it can have a load run apart, so that it need not wait for a refresh.
    pub(crate) apart: bool,
    /// Whether it has drawn an early refresh.
    pub(crate) early: bool,
    /// Whether nothing that is there satisfies it: it leads, or waits for what is loaded.
    pub(crate) reload: bool,
}

/// How long a caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) soft: Duration,
    pub(crate) hard: Duration,
}

impl Patience {
    pub(crate) fn new(soft: Duration, hard: Duration) -> Option<Self> {
        (soft.min(hard) != Duration::MAX).then_some(Self { soft, hard })
    }
}

/// What a caller finds that wants a value loaded if there is none.
pub(crate) enum Begun<K, V> {
    Answer(Found<V>),
    /// There is an answer, and the caller has it loaded again apart.
    Refresh(Found<V>, Lead<K, V>),
    /// A load has failed not long ago.
    Failed(Option<SharedError>, Duration),
    /// Nobody loads it: the caller does.
    Lead(Lead<K, V>, Option<Patience>),
    /// Somebody does; the key comes back.
    Wait(Waiter<K, V>, K, Option<Patience>),
}

/// What there is to do once what was found is known.
enum Plan<K, V> {
    Answer(Found<V>),
    Refresh(Found<V>),
    Failed(Option<SharedError>, Nanos),
    Lead,
    Wait(Arc<Flight<K, V>>),
}

/// How a load ended that is not stored.
pub(crate) enum Ended<'a, V> {
    /// The answer is for those who wait, unless it is a failure and there is something stale to serve.
    Answered { value: &'a V, failed: bool },
    /// The answer is for the caller alone.
    Refused,
    /// With the error, if it is shared, and for how long it is remembered.
    Failed(Option<SharedError>, Option<Duration>),
}

impl<K, V> Store<K, V> {
    /// Takes a flight off the list, so that nobody else waits for it and nothing that it loads is stored.
    pub(crate) fn detach(&self, flight: &Arc<Flight<K, V>>) {
        let unlisted = self.shard(flight.hash).lock().unlist_this(flight);
        drop(unlisted); // after the lock
    }

    /// Ends a flight for which nothing is to be stored.
    pub(crate) fn end(&self, flight: &Arc<Flight<K, V>>, outcome: Outcome<V>) -> Wake {
        let (wake, unused, unlisted);
        {
            let mut shard = self.shard(flight.hash).lock();
            unlisted = shard.unlist_this(flight);
            (wake, unused) = flight.state.lock().end(outcome);
        }
        drop((unused, unlisted));
        wake
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

    /// Joins a flight as one of those who wait, together with the right to be the first.
    pub(crate) fn join(&self, flight: &Arc<Flight<K, V>>) -> u64 {
        let shard = self.shard(flight.hash).lock();
        let joined = shard.log.position();
        flight.state.lock().join(joined)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Store<K, V> {
    /// Looks once more, and leads or waits.
    pub(crate) fn begin(&self, key: K, ask: Ask, shared: &Arc<Shared<K, V>>) -> Begun<K, V> {
        let hash = self.hash(&key);
        let now = self.now();
        let sampling = if ask.count { self.sampling(hash) } else { None };
        let mut guard = self.shard(hash).lock();
        let shard = &mut *guard;
        let Lookup { mut found, weight, gone } = shard.find(hash, &key, now, sampling.is_some());
        let plan = shard.plan(hash, &key, &mut found, ask, now);
        shard.count(&plan, ask);
        let begun = match plan {
            Plan::Answer(found) => Begun::Answer(found),
            Plan::Refresh(found) => Begun::Refresh(found, shard.lead(key, hash, now, shared, ask.reload)),
            Plan::Failed(error, until) => Begun::Failed(error, Duration::from_nanos(until - now)),
            Plan::Lead => Begun::Lead(shard.lead(key, hash, now, shared, ask.reload), shard.times.patience()),
            Plan::Wait(flight) => {
                let id = flight.state.lock().join(shard.log.position());
                Begun::Wait(Waiter::new(Arc::clone(shared), flight, id), key, shard.times.patience())
            }
        };
        drop(guard);
        drop((found, gone)); // after the lock
        if let Some(adaptor) = sampling {
            adaptor.on_get(hash, weight);
        }
        begun
    }

    /// Whether a load of `key` has failed not long ago, so that it is not tried again where something can be served.
    #[cfg(feature = "http")]
    pub(crate) fn is_set_back(&self, key: &K) -> bool {
        let (hash, now) = (self.hash(key), self.now());
        self.shard(hash).lock().setbacks.find(hash, |other| other == key, now).is_some()
    }

    /// Counts a value that was served in place of a failure by one who knows better what is fresh.
    #[cfg(feature = "http")]
    pub(crate) fn count_stale(&self, key: &K) {
        self.shard(self.hash(key)).lock().counts.stale += 1;
    }

    /// The chosen waiter takes over, and learns when; unless the flight has ended, or what it is for is there.
    pub(crate) fn take_over(&self, flight: &Arc<Flight<K, V>>, id: u64) -> Option<Nanos> {
        let now = self.now();
        let mut guard = self.shard(flight.hash).lock();
        let shard = &mut *guard;
        let mut state = flight.state.lock();
        if state.has_ended() {
            return None;
        }
        // What is stale is dropped at the end, after the locks.
        let mut found = shard.peek(flight.hash, &flight.key, now);
        let fresh = found.take_if(|(_, stale)| stale.is_none() && !flight.reload);
        let is_listed = shard.is_listed(flight);
        let younger =
            !is_listed && shard.flights.find(flight.hash, |other| other.key == flight.key).is_some();
        let outcome = match fresh {
            Some((value, _)) => Outcome::loaded(value),
            None if younger => Outcome::Moved,
            None => {
                if !is_listed {
                    shard.list(Arc::clone(flight));
                }
                shard.counts.loads += 1;
                // Its load begins now, after whatever was invalidated before: it may be stored.
                state.start = shard.log.position();
                let old = state.take_over(id);
                drop((state, guard));
                drop(old);
                return Some(now);
            }
        };
        let unlisted = shard.unlist_this(flight);
        let (wake, unused) = state.end(outcome);
        drop((state, guard));
        drop((unlisted, unused));
        wake.all();
        None
    }

    /// Ends a flight with a value, which is stored if the flight is listed and none of its tags was invalidated
    /// meanwhile. Says whether it is stored.
    pub(crate) fn complete(
        &self,
        flight: &Arc<Flight<K, V>>,
        key: K,
        value: V,
        weight: u64,
        keep: &Keep,
        began: Nanos,
    ) -> (bool, Wake) {
        let tags = self.tags_of(keep);
        let now = self.now_for(keep);
        let (mut shard, lending) = self.lock_for(flight.hash, weight);
        let mut state = flight.state.lock();
        // Should this panic, nothing has changed.
        let for_waiters = state.has_waiters().then(|| value.clone());
        let invalidated = shard.log.first_hit(state.start, &tags);
        let unlisted = shard.unlist_this(flight);
        let (mut gone, mut unstored, mut is_stored) = (None, None, false);
        if unlisted.is_some() && invalidated.is_none() {
            // What began when nothing depended on the time has no beginning, and took none.
            let took = Duration::from_nanos(if began > TIMELESS { now.saturating_sub(began) } else { 0 });
            let put = Put { hash: flight.hash, value, weight, keep, tags: &tags, took, now };
            let put = shard.put(key, put, self.adaptor.as_ref());
            is_stored = put.0;
            gone = Some(put.1);
        } else {
            unstored = Some((key, value));
        }
        let until = invalidated.unwrap_or(u64::MAX);
        let outcome = for_waiters.map_or(Outcome::Moved, |value| Outcome::Loaded { value, until });
        let (wake, unused) = state.end(outcome);
        drop((state, shard, lending));
        drop((unlisted, gone, unstored, unused));
        (is_stored, wake)
    }

    /// Ends a flight whose answer is not stored. Where it is a failure, gives what can be served in its place, which is
    /// counted if it is `heard`.
    pub(crate) fn finish(
        &self,
        flight: &Arc<Flight<K, V>>,
        ended: &Ended<'_, V>,
        heard: bool,
    ) -> (Option<Found<V>>, Wake) {
        let failed = matches!(ended, Ended::Failed(..) | Ended::Answered { failed: true, .. });
        // For what it may leave behind. Before the locks, as all that is not ours.
        let mut key = failed.then(|| flight.key.clone());
        if let Ended::Failed(_, Some(_)) = ended {
            self.timed.store(true, Ordering::Relaxed);
        }
        let now = self.now();
        let mut guard = self.shard(flight.hash).lock();
        let shard = &mut *guard;
        let mut state = flight.state.lock();
        // Should a clone panic, nothing has changed.
        let instead = if failed { shard.instead(flight, now) } else { None };
        let outcome = match ended {
            Ended::Refused => Outcome::Scattered,
            Ended::Failed(error, _) => Outcome::Failed(error.clone()),
            Ended::Answered { .. } if instead.is_some() => Outcome::Failed(None),
            Ended::Answered { value, .. } if state.has_waiters() => Outcome::loaded((*value).clone()),
            Ended::Answered { .. } => Outcome::Moved,
        };
        let unlisted = shard.unlist_this(flight);
        let mut setback = None;
        if failed {
            shard.counts.load_failures += 1;
            shard.count_served(instead.as_ref().filter(|_| heard));
            // What was invalidated may do better next time.
            let until = if unlisted.is_some() { shard.set_back(ended, instead.is_some(), now) } else { None };
            setback = until
                .zip(key.take())
                .map(|(until, key)| shard.setbacks.put(flight.hash, key, until, shard.most_setbacks()));
        }
        let (wake, unused) = state.end(outcome);
        drop((state, guard));
        drop((unlisted, unused, setback, key));
        (instead, wake)
    }

    /// What can be served to one who does not wait any longer, or for whom a load has failed.
    pub(crate) fn fallback(&self, flight: &Arc<Flight<K, V>>) -> Option<Found<V>> {
        let now = self.now();
        let mut shard = self.shard(flight.hash).lock();
        let found = shard.instead(flight, now);
        shard.count_served(found.as_ref());
        found
    }
}

impl<K, V> Inner<K, V> {
    fn lead(
        &mut self,
        key: K,
        hash: u64,
        now: Nanos,
        shared: &Arc<Shared<K, V>>,
        reload: bool,
    ) -> Lead<K, V> {
        self.counts.loads += 1;
        let flight = Arc::new(Flight { reload, ..Flight::new(key, hash, self.log.position()) });
        self.list(Arc::clone(&flight));
        Lead::new(Arc::clone(shared), flight, now)
    }

    fn count(&mut self, plan: &Plan<K, V>, ask: Ask) {
        match plan {
            Plan::Answer(found) | Plan::Refresh(found) => {
                self.counts.hits += u64::from(ask.count);
                self.count_served(Some(found));
            }
            Plan::Failed(..) => {
                self.counts.hits += u64::from(ask.count);
                self.counts.remembered += u64::from(ask.count);
            }
            Plan::Lead => self.counts.misses += u64::from(ask.count),
            Plan::Wait(_) => {
                self.counts.misses += u64::from(ask.count);
                self.counts.coalesced += u64::from(ask.count);
            }
        }
    }

    /// A sixteenth as many as entries fit in.
    fn most_setbacks(&self) -> usize {
        let most = usize::try_from(self.entries.capacity()).unwrap_or(usize::MAX).min(self.entries.most());
        (most / 16).max(1)
    }

    fn count_served<T>(&mut self, found: Option<&Found<T>>) {
        self.counts.stale += u64::from(found.is_some_and(|found| found.served.is_stale()));
    }

    /// What a load that has failed leaves behind: until then it is not tried again.
    fn set_back(&self, ended: &Ended<'_, V>, can_serve: bool, now: Nanos) -> Option<Setback> {
        match ended {
            Ended::Failed(error, Some(time)) if !time.is_zero() => {
                let until = now.saturating_add(time.as_nanos().try_into().unwrap_or(Nanos::MAX));
                Some(Setback { until, kind: Kind::Remembered(error.clone()) })
            }
            _ if can_serve => {
                self.times.retry_from(now).map(|until| Setback { until, kind: Kind::Throttled })
            }
            _ => None,
        }
    }
}

impl<K: Eq, V: Clone> Inner<K, V> {
    /// Takes what it found if that is the answer.
    fn plan(
        &self,
        hash: u64,
        key: &K,
        found: &mut Option<(V, Freshness)>,
        ask: Ask,
        now: Nanos,
    ) -> Plan<K, V> {
        // What most callers find comes first.
        if let (Some((_, Freshness::Fresh)), false) = (&found, ask.early || ask.reload) {
            if let Some((value, _)) = found.take() {
                return Plan::Answer(Found { value, served: Served::Hit });
            }
        }
        let listed = self.flights.find(hash, |flight| flight.key == *key);
        if ask.reload {
            return listed.map_or(Plan::Lead, |flight| Plan::Wait(Arc::clone(flight)));
        }
        let setback = self.setbacks.find(hash, |other| other == key, now);
        let is_tried = listed.is_some() || setback.is_some();
        let served = match found {
            Some((_, Freshness::Fresh | Freshness::Early)) => Some(Served::Hit),
            Some((_, Freshness::Stale { by, at_once })) if *at_once || setback.is_some() => {
                Some(Served::Stale(Duration::from_nanos(*by)))
            }
            _ => None,
        };
        let Some(served) = served else {
            return match (listed, setback) {
                (Some(flight), _) => Plan::Wait(Arc::clone(flight)),
                (None, Some(Setback { until, kind: Kind::Remembered(error) })) => {
                    Plan::Failed(error.clone(), *until)
                }
                (None, _) => Plan::Lead,
            };
        };
        if served.is_stale() && !is_tried && !ask.apart {
            return Plan::Lead;
        }
        match found.take() {
            Some((value, _)) if ask.apart && !is_tried => Plan::Refresh(Found { value, served }),
            Some((value, _)) => Plan::Answer(Found { value, served }),
            None => Plan::Lead,
        }
    }

    /// What may be served instead of what a flight was to bring.
    fn instead(&self, flight: &Flight<K, V>, now: Nanos) -> Option<Found<V>> {
        let (value, stale) = self.peek(flight.hash, &flight.key, now)?;
        let served = stale.map_or(Served::Hit, |by| Served::Stale(Duration::from_nanos(by)));
        Some(Found { value, served })
    }
}
