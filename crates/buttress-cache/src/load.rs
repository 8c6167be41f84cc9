//! The two parts in a load: the one that leads it, and those who wait.

use crate::cache::{Cache, Shared};
use crate::flight::{Flight, Look, Outcome, Wake};
use crate::rules::{Found, Keep, SharedError, Touch};
use crate::store::{Ended, Nanos};
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The duty to end a flight. Dropped, it hands over to the one that has waited longest.
pub struct Lead<K, V> {
    shared: Arc<Shared<K, V>>,
    flight: Arc<Flight<K, V>>,
    began: Nanos,
    /// Nobody takes what it ends with from its own future: who waits looks for itself.
    apart: bool,
    ended: bool,
}

impl<K, V> Lead<K, V> {
    pub(crate) fn new(shared: Arc<Shared<K, V>>, flight: Arc<Flight<K, V>>, began: Nanos) -> Self {
        Self { shared, flight, began, apart: false, ended: false }
    }

    /// Is led by a task.
    pub(crate) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<K, V>> {
        &self.shared
    }

    pub(crate) fn key(&self) -> &K {
        &self.flight.key
    }

    /// Its load has panicked. The first one is handed over; a second ends the flight, or a key that always panics
    /// would take its callers one after the other.
    pub(crate) fn panicked(mut self) {
        self.shared.store.count_failure(self.flight.hash);
        let again = self.flight.state.lock().panics_again();
        if again {
            self.ended = true;
            self.shared.store.end(&self.flight, Outcome::Failed(None)).all();
        }
    }

    /// Waits for it like others do: for one that has its load run apart.
    pub(crate) fn join(&self) -> Waiter<K, V> {
        let id = self.shared.store.join(&self.flight);
        Waiter::new(Arc::clone(&self.shared), Arc::clone(&self.flight), id)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Lead<K, V> {
    /// Ends the flight with a value, and stores it if it may still be stored.
    pub(crate) fn complete(self, value: V, keep: &Keep) -> V {
        self.store(&value, keep);
        value
    }

    /// As [`complete`](Self::complete), and says whether it is stored now.
    pub(crate) fn store(self, value: &V, keep: &Keep) -> bool {
        self.end_by(|lead| {
            let Lead { shared, flight, began, .. } = lead;
            let weight = shared.weigh(&flight.key, value);
            let (key, stored) = (flight.key.clone(), value.clone());
            let ended = shared.store.complete(flight, key, stored, weight, keep, *began);
            shared.keep_swept();
            ended
        })
    }

    /// Ends the flight with an answer that is not stored; where it is a failure, gives what to serve in its place.
    pub(crate) fn share(self, value: &V, failed: bool) -> Option<Found<V>> {
        self.finish(&Ended::Answered { value, failed })
    }

    /// Ends the flight with an answer that is for the caller alone.
    pub(crate) fn scatter(self) {
        self.finish(&Ended::Refused);
    }

    /// Ends the flight with a failure, and gives what to serve in its place.
    pub(crate) fn fail(self, error: Option<SharedError>, remember: Option<Duration>) -> Option<Found<V>> {
        self.finish(&Ended::Failed(error, remember))
    }

    fn finish(self, ended: &Ended<'_, V>) -> Option<Found<V>> {
        self.end_by(|Lead { shared, flight, apart, .. }| {
            let ended = shared.store.finish(flight, ended, !apart);
            shared.keep_swept();
            ended
        })
    }

    /// Until `end` returns nothing has changed: where what is not ours panics, the flight is handed over.
    fn end_by<T>(self, end: impl FnOnce(&Self) -> (T, Wake)) -> T {
        let guard = OnPanic::new(Who::Lead(self));
        let Who::Lead(lead) = guard.who() else { unreachable!("it was put in the line before") };
        let (outcome, wake) = end(lead);
        if let Who::Lead(mut lead) = guard.disarm() {
            lead.ended = true;
        }
        wake.all();
        outcome
    }
}

impl<K, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.store.hand_over(&self.flight).all();
        }
    }
}

impl<K, V> fmt::Debug for Lead<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("cache", &self.shared.name).finish_non_exhaustive()
    }
}

/// A place among those who wait for a flight. Dropped, it leaves; if it was to take over, the next one is.
pub(crate) struct Waiter<K, V> {
    shared: Arc<Shared<K, V>>,
    flight: Arc<Flight<K, V>>,
    id: u64,
}

/// What came of waiting.
pub(crate) enum Turn<K, V> {
    Done(Outcome<V>),
    /// The one that led has left, and it is this one's turn.
    Lead(Lead<K, V>),
}

impl<K, V> Waiter<K, V> {
    pub(crate) fn new(shared: Arc<Shared<K, V>>, flight: Arc<Flight<K, V>>, id: u64) -> Self {
        Self { shared, flight, id }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<K, V>> {
        &self.shared
    }

    #[cfg(feature = "http")]
    pub(crate) fn key(&self) -> &K {
        &self.flight.key
    }

    /// Whether a load of this flight has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.flight.state.lock().has_panicked()
    }

    /// Lets nobody else wait for this load.
    pub(crate) fn detach(&self) {
        self.shared.store.detach(&self.flight);
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Waiter<K, V> {
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Turn<K, V>> {
        loop {
            let (look, old) = self.flight.state.lock().look(self.id, cx.waker());
            drop(old); // after the lock
            match look {
                Look::Wait => return Poll::Pending,
                Look::Done(outcome) => return Poll::Ready(Turn::Done(outcome)),
                // It leads, or finds that the flight has ended meanwhile, and looks again.
                Look::Heir => {
                    if let Some(began) = self.shared.store.take_over(&self.flight, self.id) {
                        let lead = Lead::new(Arc::clone(&self.shared), Arc::clone(&self.flight), began);
                        return Poll::Ready(Turn::Lead(lead));
                    }
                }
            }
        }
    }

    /// What can be served to it instead of what it waits for.
    pub(crate) fn fallback(&self) -> Option<Found<V>> {
        self.shared.store.fallback(&self.flight)
    }
}

impl<K, V> Drop for Waiter<K, V> {
    fn drop(&mut self) {
        let (old, wake) = self.flight.state.lock().leave(self.id);
        match wake {
            Some(wake) => wake.all(),
            // It was to take over and there is nobody else.
            None => self.shared.store.abandon(&self.flight),
        }
        drop(old);
    }
}

impl<K, V> fmt::Debug for Waiter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("cache", &self.shared.name).finish_non_exhaustive()
    }
}

/// On whose behalf a call is made.
#[derive(Debug)]
pub(crate) enum Who<K, V> {
    /// All who wait for it.
    Lead(Lead<K, V>),
    /// The caller's own: it has waited, and was told that the answer was not for it.
    Alone(Waiter<K, V>),
    /// The caller's own, past the cache.
    Past,
    /// The caller's own, which writes.
    Write(Write<K, V>),
}

impl<K, V> Who<K, V> {
    pub(crate) fn key(&self) -> Option<&K> {
        match self {
            Who::Lead(lead) => Some(&lead.flight.key),
            Who::Alone(waiter) => Some(&waiter.flight.key),
            Who::Past | Who::Write(_) => None,
        }
    }
}

/// A write. Dropped once it was begun, it invalidates what it touches, however it has ended.
pub(crate) struct Write<K, V> {
    pub(crate) cache: Cache<K, V>,
    pub(crate) touches: Vec<Touch<K>>,
    pub(crate) begun: bool,
    pub(crate) invalidate: fn(&Cache<K, V>, Vec<Touch<K>>),
}

impl<K, V> Drop for Write<K, V> {
    fn drop(&mut self) {
        if self.begun {
            (self.invalidate)(&self.cache, mem::take(&mut self.touches));
        }
    }
}

impl<K, V> fmt::Debug for Write<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Hears of it if what runs beside it panics, and ends the flight then at once: its future may be kept alive.
pub(crate) struct OnPanic<K, V>(Option<Who<K, V>>);

impl<K, V> OnPanic<K, V> {
    pub(crate) fn new(who: Who<K, V>) -> Self {
        Self(Some(who))
    }

    pub(crate) fn who(&self) -> &Who<K, V> {
        self.0.as_ref().unwrap_or(&Who::Past)
    }

    /// What is called now may write from here on, also if it panics.
    pub(crate) fn begin(&mut self) {
        if let Some(Who::Write(write)) = &mut self.0 {
            write.begun = true;
        }
    }

    pub(crate) fn disarm(mut self) -> Who<K, V> {
        let who = self.0.take();
        mem::forget(self);
        who.unwrap_or(Who::Past)
    }
}

impl<K, V> Drop for OnPanic<K, V> {
    fn drop(&mut self) {
        if let Some(Who::Lead(lead)) = self.0.take() {
            lead.panicked();
        }
    }
}
