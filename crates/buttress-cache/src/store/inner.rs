//! One shard under its lock: what is found in it, and what is put in.

use super::times::{Extra, Freshness};
use super::{Inner, Nanos, Stored};
use crate::adaptor::Adaptor;
use crate::flight::Flight;
use crate::rules::{Found, Keep, Served};
use crate::setbacks::Setback;
use crate::shard::{At, Evicted};
use std::borrow::Borrow;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// Whether a key that is not fresh has an entry all the same.
pub(super) struct IsThere(pub(super) bool);

/// What [`Inner::find`] finds: a value, its weight if that was asked for, and what was no longer to be there.
pub(super) struct Lookup<K, V> {
    pub(super) found: Option<(V, Freshness)>,
    pub(super) weight: Option<u64>,
    pub(super) gone: Option<(K, Stored<V>)>,
}

/// What is put in, but for its key.
pub(super) struct Put<'a, V> {
    pub(super) hash: u64,
    pub(super) value: V,
    pub(super) weight: u64,
    pub(super) keep: &'a Keep,
    pub(super) tags: &'a [u64],
    /// How long it took to load.
    pub(super) took: Duration,
    pub(super) now: Nanos,
}

/// What an insertion has pushed out, to be dropped after the lock.
pub(super) struct Gone<K, V> {
    _replaced: Option<(K, Stored<V>)>,
    _evicted: Evicted<K, Stored<V>>,
    /// What there seldom is: a value that was not stored while another went, and a setback.
    _rare: Option<Box<Rare<K, V>>>,
}

type Rare<K, V> = (Option<(K, Stored<V>)>, Option<(K, Setback)>);

impl<K, V> Inner<K, V> {
    /// Takes a flight off the list: what it loads will not be stored.
    pub(super) fn unlist(
        &mut self,
        hash: u64,
        is: impl Fn(&Flight<K, V>) -> bool,
    ) -> Option<Arc<Flight<K, V>>> {
        if self.flights.is_empty() {
            return None;
        }
        let unlisted = self.flights.find_entry(hash, |flight| is(flight)).ok()?.remove().0;
        self.trim();
        Some(unlisted)
    }

    pub(super) fn unlist_this(&mut self, flight: &Arc<Flight<K, V>>) -> Option<Arc<Flight<K, V>>> {
        self.unlist(flight.hash, |listed| std::ptr::eq(listed, &**flight))
    }

    pub(super) fn is_listed(&self, flight: &Arc<Flight<K, V>>) -> bool {
        self.flights.find(flight.hash, |listed| Arc::ptr_eq(listed, flight)).is_some()
    }

    pub(super) fn list(&mut self, flight: Arc<Flight<K, V>>) {
        self.flights.insert_unique(flight.hash, flight, |flight| flight.hash);
    }

    /// Without loads in the air nobody reads the log.
    pub(super) fn trim(&mut self) {
        if self.flights.is_empty() {
            self.log.trim();
        }
    }

    /// Keeps what an entry has beside its value.
    pub(super) fn note(&mut self, at: At, extra: Extra) {
        if let Some(place) = self.extras.get_mut(at.index()) {
            *place = extra;
        } else if extra != Extra::NONE {
            self.extras.resize(at.index() + 1, Extra::NONE);
            self.extras[at.index()] = extra;
        }
    }

    /// How fresh an entry is; `None` if it is gone. What a shard of which nothing special is asked does not need.
    #[cold]
    #[inline(never)]
    pub(super) fn judge(&mut self, at: At, expires: Nanos, now: Nanos) -> Option<Freshness> {
        let extra = self.extras.get(at.index());
        let freshness = self.times.judge(extra, expires, now, &mut self.draws)?;
        if let Some(idle) = self.times.idle_from(now) {
            let extra = extra.copied().unwrap_or(Extra::NONE);
            self.note(at, extra.idle(idle));
        }
        Some(freshness)
    }

    /// Counts an answer that may be stale, and gives it if it may be given at once, or else back.
    pub(super) fn count_stale(&mut self, found: Option<(V, Freshness)>) -> (Option<Found<V>>, Option<V>) {
        if let Some((value, Freshness::Stale { by, at_once: true })) = found {
            self.counts.hits += 1;
            self.counts.stale += 1;
            return (Some(Found { value, served: Served::Stale(Duration::from_nanos(by)) }), None);
        }
        self.counts.misses += 1;
        (None, found.map(|(value, _)| value))
    }
}

impl<K, V: Clone> Inner<K, V> {
    /// A value that is fresh, counted as a hit: what most callers find. If there is something else, says so.
    #[inline(always)]
    pub(super) fn fresh<Q>(&mut self, hash: u64, key: &Q, now: Nanos) -> Result<(At, V), IsThere>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.entries.find(hash, |other| other.borrow() == key);
        let Some((at, stored)) = at.and_then(|at| Some((at, self.entries.entry(at)?.1))) else {
            return Err(IsThere(false));
        };
        if now >= stored.expires.get() || self.times.is_rich() {
            return Err(IsThere(true));
        }
        let value = stored.value.clone();
        self.entries.touch(at);
        self.counts.hits += 1;
        Ok((at, value))
    }

    /// A value that is not gone, without a count of it.
    #[inline]
    pub(super) fn find<Q>(&mut self, hash: u64, key: &Q, now: Nanos, weigh: bool) -> Lookup<K, V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.entries.find(hash, |other| other.borrow() == key);
        let Some((at, expires)) = at.and_then(|at| Some((at, self.entries.entry(at)?.1.expires.get())))
        else {
            return Lookup { found: None, weight: None, gone: None };
        };
        let freshness = if now < expires && !self.times.is_rich() {
            Some(Freshness::Fresh)
        } else {
            self.judge(at, expires, now)
        };
        let Some(freshness) = freshness else {
            self.counts.left.expired += 1;
            return Lookup { found: None, weight: None, gone: self.entries.remove_at(at) };
        };
        let value = self.entries.entry(at).map(|(_, stored)| stored.value.clone());
        self.entries.touch(at);
        let weight = weigh.then(|| self.entries.weight_of(at));
        Lookup { found: value.map(|value| (value, freshness)), weight, gone: None }
    }

    /// A value that is not gone, without a trace.
    pub(super) fn peek<Q>(&self, hash: u64, key: &Q, now: Nanos) -> Option<(V, Option<Nanos>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let at = self.entries.find(hash, |other| other.borrow() == key)?;
        let (_, stored) = self.entries.entry(at)?;
        let expires = stored.expires.get();
        if self.times.is_gone(self.extras.get(at.index()), expires, now) {
            return None;
        }
        Some((stored.value.clone(), now.checked_sub(expires)))
    }
}

impl<K: Eq, V> Inner<K, V> {
    /// Puts a value in, if it is to be stored and its shard has room for it.
    #[inline(always)]
    pub(super) fn put(&mut self, key: K, put: Put<'_, V>, adaptor: Option<&Adaptor>) -> (bool, Gone<K, V>) {
        let Put { hash, value, weight, keep, tags, took, now } = put;
        let setback = if self.setbacks.is_empty() {
            None
        } else {
            self.setbacks.remove(hash, |other| *other == key).map(|setback| Box::new((None, Some(setback))))
        };
        let ttl = self.times.ttl(keep, &mut self.draws);
        // What weighs nothing must still be somewhere in the policy's queues.
        let weight = weight.max(1);
        let is_too_heavy = !self.entries.admits(weight);
        if ttl == 0 || is_too_heavy {
            self.counts.too_heavy += u64::from(ttl != 0);
            let removed = self.entries.remove(hash, |other| *other == key);
            self.counts.left.replaced += u64::from(removed.is_some());
            let unstored = Some((key, Stored { value, expires: NonZeroU64::MIN }));
            let (replaced, rare) = match removed {
                None => (unstored, setback),
                removed => {
                    let mut rare = setback.unwrap_or_default();
                    rare.0 = unstored;
                    (removed, Some(rare))
                }
            };
            return (false, Gone { _replaced: replaced, _evicted: Evicted::NONE, _rare: rare });
        }
        if let Some(adaptor) = adaptor {
            if adaptor.sampled(hash) {
                adaptor.on_insert(hash, weight);
            }
            self.entries.steer(adaptor.mode());
        }
        let expires = now.saturating_add(ttl).max(1);
        let stored = Stored { value, expires: NonZeroU64::new(expires).unwrap_or(NonZeroU64::MIN) };
        let inserted = self.entries.insert(hash, key, stored, weight);
        let extra = self.times.extra(keep, expires, took, now);
        self.note(inserted.at, extra);
        if self.tags.in_use() || !tags.is_empty() {
            self.tags.set(inserted.at.index() as u32, tags);
        }
        self.counts.inserted += 1;
        self.counts.left.replaced += u64::from(inserted.replaced.is_some());
        self.counts.left.size += inserted.evicted.len() as u64;
        let (replaced, evicted) = (inserted.replaced, inserted.evicted);
        (true, Gone { _replaced: replaced, _evicted: evicted, _rare: setback })
    }
}
