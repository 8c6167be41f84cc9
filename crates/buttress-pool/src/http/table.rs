//! Who has a lease on which key, and who waits for one: no clock, no lock.
//!
//! Beside the engine, which has much to say about connects and checks, there is nothing to keep here but numbers. A
//! semaphore of tokio's per key would do for those; this has the queue of the engine instead, so that a wait allocates
//! nothing, a limit can be changed, and every count is exact at every moment.

use super::{Config, Stats};
use crate::core::{Few, NEVER, Nanos, Queue, State, Ticket};
use buttress_core::Distribution;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::task::Waker;
use std::time::Duration;

/// Keys that have neither leases nor waiters are not in it.
pub(super) struct Table<K> {
    pub(super) config: Config,
    /// Hashed with a secret, as clients may choose the keys.
    places: HashMap<K, Place>,
    counts: Counts,
    wait: Distribution,
    used: Distribution,
}

/// Nobody waits as long as there are fewer leases than there may be.
struct Place {
    /// What was granted and not taken yet is among them.
    leases: u32,
    queue: Queue<()>,
}

/// Totals. `gets` is the sum of the others, of who waits, and of who was granted a lease and has not taken it yet.
#[derive(Clone, Copy, Default)]
struct Counts {
    gets: u64,
    served: u64,
    timeouts: u64,
    cancelled: u64,
    refused_full: u64,
}

/// What becomes of one that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Took {
    Leased,
    /// [`Table::poll`] or [`Table::leave`] follows.
    Waits(u32),
    Full,
    TimedOut,
}

/// What became of one that waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Leased,
    TimedOut,
    Still,
}

impl<K: Hash + Eq> Table<K> {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            places: HashMap::new(),
            counts: Counts::default(),
            wait: Distribution::new(),
            used: Distribution::new(),
        }
    }

    /// A lease, or a place at the end of the queue.
    pub(super) fn take(&mut self, key: K, now: Nanos, waker: &Waker) -> Took {
        let Config { max_connections, max_waiters, acquire_timeout } = self.config;
        self.counts.gets += 1;
        let place = match self.places.entry(key) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(free) => free.insert(Place { leases: 0, queue: Queue::new() }),
        };
        if place.leases < max_connections.get() {
            place.leases += 1;
            self.counts.served += 1;
            self.wait.record(Duration::ZERO);
            return Took::Leased;
        }
        if place.queue.len >= max_waiters.get() {
            self.counts.refused_full += 1;
            return Took::Full;
        }
        if acquire_timeout.is_zero() {
            self.counts.timeouts += 1;
            return Took::TimedOut;
        }
        // The end of the wait is the waiter's business.
        let ticket = Ticket { number: self.counts.gets, since: now, until: NEVER };
        Took::Waits(place.queue.push(ticket, waker.clone()))
    }

    /// What became of one that waits. A lease that was granted before it was seen that the time is over is taken.
    pub(super) fn poll(
        &mut self,
        key: &K,
        id: u32,
        now: Nanos,
        is_over: bool,
        waker: &Waker,
    ) -> (Waited, Option<Waker>) {
        let queue = &mut self.place(key).queue;
        if let State::Waiting(_) = queue.state(id) {
            if !is_over {
                return (Waited::Still, queue.rewake(id, waker));
            }
            let stale = queue.resolve(id, State::Free);
            queue.take(id);
            self.counts.timeouts += 1;
            return (Waited::TimedOut, stale);
        }
        let since = queue.ticket(id).since;
        queue.take(id);
        self.counts.served += 1;
        self.wait.record(Duration::from_nanos(now.saturating_sub(since)));
        (Waited::Leased, None)
    }

    /// One that waited will not come back. Wakes the one that what it was granted goes to; the second waker is its own.
    pub(super) fn leave(&mut self, key: &K, id: u32) -> (Option<Waker>, Option<Waker>) {
        self.counts.cancelled += 1;
        let queue = &mut self.place(key).queue;
        if let State::Waiting(_) = queue.state(id) {
            let stale = queue.resolve(id, State::Free);
            queue.take(id);
            return (None, stale);
        }
        queue.take(id);
        (self.release(key), None)
    }

    /// Takes a lease back, and wakes the one that it goes to.
    pub(super) fn put(&mut self, key: &K, taken: Nanos, now: Nanos) -> Option<Waker> {
        self.used.record(Duration::from_nanos(now.saturating_sub(taken)));
        self.release(key)
    }

    fn release(&mut self, key: &K) -> Option<Waker> {
        let max = self.config.max_connections.get();
        let place = self.place(key);
        place.leases -= 1;
        let next = place.grant(max);
        if place.leases == 0 {
            self.places.remove(key);
        }
        next
    }

    fn place(&mut self, key: &K) -> &mut Place {
        self.places.get_mut(key).expect("there as long as somebody has a lease or waits")
    }

    /// Puts other limits in force, and wakes those who are let in by them. Leases over the new limit run to their end.
    pub(super) fn reconfigure(&mut self, config: Config) -> Few<Waker> {
        let mut wake = Few::default();
        for place in self.places.values_mut() {
            while let Some(waker) = place.grant(config.max_connections.get()) {
                wake.push(waker);
            }
        }
        self.config = config;
        wake
    }

    pub(super) fn stats(&self, now: Nanos) -> Stats {
        let places = || self.places.values();
        let oldest = places().filter_map(|place| place.queue.oldest()).min();
        let Counts { gets, served, timeouts, cancelled, refused_full } = self.counts;
        Stats {
            authorities: self.places.len(),
            in_use: places().map(|place| u64::from(place.leases)).sum(),
            waiters: places().map(|place| u64::from(place.queue.len)).sum(),
            oldest_wait: oldest.map(|since| Duration::from_nanos(now.saturating_sub(since))),
            gets,
            served,
            timeouts,
            cancelled,
            refused_full,
            wait: self.wait.clone(),
            used: self.used.clone(),
        }
    }
}

impl Place {
    /// Gives the one that has waited longest a lease, if there is one to give.
    fn grant(&mut self, max: u32) -> Option<Waker> {
        if self.leases >= max {
            return None;
        }
        let id = self.queue.front()?;
        self.leases += 1;
        self.queue.resolve(id, State::Granted(0))
    }
}
