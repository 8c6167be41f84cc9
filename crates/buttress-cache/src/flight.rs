//! One load per key: who loads, who waits, and who takes over.
//!
//! A [`Flight`] is a load that is under way. As long as it is *listed* in its shard, beside the entries and under
//! the same lock, its result may be stored: an invalidation takes the entry **and** unlists the flight, and that is
//! all that makes it final. Nothing is read or written for it on the way of a hit.
//!
//! Locks are taken in the order shard, flight. Under them runs no code that is not ours but `Hash`, `Eq` and
//! `Clone`; wakers are called and values dropped after both are released.

use crate::primitive::Mutex;
use crate::rules::SharedError;
use std::collections::VecDeque;
use std::task::Waker;

/// A load that is under way, or was.
#[derive(Debug)]
pub(crate) struct Flight<K, V> {
    pub(crate) key: K,
    pub(crate) hash: u64,
    /// It is for those whom what is there does not satisfy, however fresh: who takes over loads it all the same.
    pub(crate) reload: bool,
    pub(crate) state: Mutex<State<V>>,
}

#[derive(Debug)]
pub(crate) struct State<V> {
    outcome: Option<Outcome<V>>,
    /// Where in the shard's log of tags the load began that is under way.
    pub(crate) start: u64,
    /// Those who wait, oldest first; `None` has left. The first has the number `first`.
    waiters: VecDeque<Option<Waiting>>,
    first: u64,
    /// The waiter who is to take over.
    heir: Option<u64>,
    /// A load has panicked; another that does fails the flight.
    panicked: bool,
}

/// One who waits: where the log of tags was when it joined, and how to wake it.
#[derive(Clone, Debug)]
struct Waiting {
    joined: u64,
    waker: Waker,
}

/// What came of a flight, for those who waited.
#[derive(Clone, Debug)]
pub(crate) enum Outcome<V> {
    /// For those who joined before one of the value's tags was invalidated, if one was; the others ask again.
    Loaded { value: V, until: u64 },
    /// With the error, if it is shared.
    Failed(Option<SharedError>),
    /// The answer was for the one that loaded: everybody makes a call of its own.
    Scattered,
    /// A younger flight has the place, or the value is not for this one: ask again.
    Moved,
}

impl<V> Outcome<V> {
    pub(crate) fn loaded(value: V) -> Self {
        Self::Loaded { value, until: u64::MAX }
    }
}

/// What a waiter is told when it looks.
pub(crate) enum Look<V> {
    Done(Outcome<V>),
    /// It is to take over.
    Heir,
    Wait,
}

/// Wakers to call once the locks are released.
#[must_use]
pub(crate) struct Wake(Vec<Waker>);

impl Wake {
    pub(crate) const NOBODY: Self = Self(Vec::new());

    pub(crate) fn all(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl<K, V> Flight<K, V> {
    pub(crate) fn new(key: K, hash: u64, start: u64) -> Self {
        let waiters = VecDeque::new();
        let state = State { outcome: None, start, waiters, first: 0, heir: None, panicked: false };
        Self { key, hash, reload: false, state: Mutex::new(state) }
    }
}

impl<V> State<V> {
    /// Joins those who wait, at this place of the log of tags.
    pub(crate) fn join(&mut self, joined: u64) -> u64 {
        self.waiters.push_back(Some(Waiting { joined, waker: Waker::noop().clone() }));
        self.first + self.waiters.len() as u64 - 1
    }

    fn waiter(&mut self, id: u64) -> Option<&mut Option<Waiting>> {
        let index = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.waiters.get_mut(index)
    }

    /// What there is for the waiter `id`; leaves the waker if there is nothing yet, and hands out the old one to be
    /// dropped later.
    pub(crate) fn look(&mut self, id: u64, waker: &Waker) -> (Look<V>, Option<Waker>)
    where
        V: Clone,
    {
        let joined = self.waiter(id).and_then(|place| place.as_ref().map(|it| it.joined));
        if let Some(outcome) = &self.outcome {
            let outcome = match outcome {
                Outcome::Loaded { until, .. } if joined.is_none_or(|joined| joined > *until) => {
                    Outcome::Moved
                }
                outcome => outcome.clone(),
            };
            return (Look::Done(outcome), None);
        }
        if self.heir == Some(id) {
            return (Look::Heir, None);
        }
        let old = match self.waiter(id) {
            Some(Some(it)) if !it.waker.will_wake(waker) => {
                Some(std::mem::replace(&mut it.waker, waker.clone()))
            }
            _ => None,
        };
        (Look::Wait, old)
    }

    /// Leaves; if it was the heir, the next one is, and is woken. `None`: there is nobody to take over.
    pub(crate) fn leave(&mut self, id: u64) -> (Option<Waker>, Option<Wake>) {
        let old = self.depart(id);
        if self.heir != Some(id) || self.outcome.is_some() {
            return (old, Some(Wake::NOBODY));
        }
        (old, self.hand_over())
    }

    /// Chooses the oldest waiter as heir; `None` if nobody waits.
    pub(crate) fn hand_over(&mut self) -> Option<Wake> {
        let oldest = self.waiters.iter().position(Option::is_some);
        self.heir = oldest.map(|index| self.first + index as u64);
        let waiting = self.waiters.get(oldest?)?.as_ref();
        Some(Wake(waiting.map(|it| it.waker.clone()).into_iter().collect()))
    }

    /// The heir takes over: it is no longer among those who wait.
    pub(crate) fn take_over(&mut self, id: u64) -> Option<Waker> {
        self.heir = None;
        self.depart(id)
    }

    fn depart(&mut self, id: u64) -> Option<Waker> {
        let old = self.waiter(id).and_then(Option::take);
        while let Some(None) = self.waiters.front() {
            self.waiters.pop_front();
            self.first += 1;
        }
        old.map(|it| it.waker)
    }

    /// Whether anybody waits for it.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.iter().any(Option::is_some)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Ends it. What has ended before stays as it is.
    pub(crate) fn end(&mut self, outcome: Outcome<V>) -> (Wake, Option<Outcome<V>>) {
        if self.outcome.is_some() {
            return (Wake::NOBODY, Some(outcome));
        }
        self.outcome = Some(outcome);
        if self.waiters.is_empty() {
            return (Wake::NOBODY, None);
        }
        // They stay in their places, from which they leave by themselves.
        let mut wakers = Vec::with_capacity(self.waiters.len());
        wakers.extend(self.waiters.iter().flatten().map(|it| it.waker.clone()));
        (Wake(wakers), None)
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// A load has panicked. The first one is handed over; a second fails everybody, or a key that always panics
    /// would take its callers one after the other.
    pub(crate) fn panics_again(&mut self) -> bool {
        std::mem::replace(&mut self.panicked, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_as_it_has() {
        let flight = Flight::new((), 0, 0);
        let mut state = flight.state.lock();
        let id = state.join(0);
        assert!(state.end(Outcome::loaded(1)).1.is_none());
        assert!(matches!(state.end(Outcome::Moved).1, Some(Outcome::Moved)), "handed back");
        let (Look::Done(Outcome::Loaded { value, .. }), None) = state.look(id, Waker::noop()) else {
            panic!("it has not ended, or otherwise");
        };
        assert_eq!(value, 1);
    }
}
