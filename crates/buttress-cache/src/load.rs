//! `get_or_load`: one load per key, whatever the number of callers.

use crate::cache::{Cache, Shared, now};
use crate::flight::{Flight, Look, Outcome};
use crate::store::Begun;
use buttress_core::{Error, Reason, Rejected};
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// A fresh value of `key`, loaded if there is none: by one caller, while all others wait.
    ///
    /// The value is stored for as long as [`Config::ttl`](crate::Config::ttl) says, unless the key was invalidated
    /// or put in meanwhile; then its loader and those who wait have it, and nobody after them. Errors are not
    /// stored: the next call after one loads anew.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] is this caller's own load, failed. [`Error::Rejected`] with
    /// [`Reason::Failed`] is the load of another, for which this one waited; nobody retries on its behalf.
    ///
    /// # Cancel safety
    ///
    /// A caller that waits just leaves. If the one that loads is dropped, its load is, and the one that has waited
    /// longest loads instead, with its own `load`; so it is when a load panics. If that one panics too, all who wait
    /// are refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_cache::{Cache, Config};
    /// use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let squares: Cache<u64, u64> = Cache::new("squares", Config::default());
    /// let load = |key: &u64| std::future::ready(Ok::<_, Infallible>(key * key));
    /// let (one, two) = tokio::join!(squares.get_or_load(12, load), squares.get_or_load(12, load));
    /// assert_eq!((one.ok(), two.ok()), (Some(144), Some(144)));
    /// assert_eq!(squares.stats().loads, 1);
    /// # }
    /// ```
    pub async fn get_or_load<E, F, L>(&self, key: K, load: F) -> Result<V, Error<E>>
    where
        F: FnOnce(&K) -> L,
        L: Future<Output = Result<V, E>>,
    {
        let mut key = key;
        loop {
            let lead = match self.begin(key) {
                Begun::Hit(value) => return Ok(value),
                Begun::Lead(lead) => lead,
                Begun::Wait(waiter, own) => match waiter.await_turn().await {
                    Turn::Done(Outcome::Loaded(value)) => return Ok(value),
                    Turn::Done(Outcome::Failed) => return Err(self.failed().into()),
                    Turn::Done(Outcome::Moved) => {
                        key = own;
                        continue;
                    }
                    Turn::Lead(lead) => lead,
                },
            };
            let result = lead.run(|| load(&lead.flight.key)).await;
            return match result {
                Ok(value) => Ok(lead.complete(value)),
                Err(error) => {
                    lead.fail();
                    Err(Error::Inner(error))
                }
            };
        }
    }

    fn begin(&self, key: K) -> Begun<K, V> {
        self.shared.store.begin(key, now, &self.shared)
    }

    fn failed(&self) -> Rejected {
        Rejected::new("cache", self.shared.name, Reason::Failed)
    }
}

/// The duty to end a flight. Dropped, it hands over to the one that has waited longest.
pub(crate) struct Lead<K, V> {
    shared: Arc<Shared<K, V>>,
    flight: Arc<Flight<K, V>>,
    ended: bool,
}

impl<K, V> Lead<K, V> {
    pub(crate) fn new(shared: Arc<Shared<K, V>>, flight: Arc<Flight<K, V>>) -> Self {
        Self { shared, flight, ended: false }
    }

    /// Runs a load. Should it panic, the flight hears of it at once.
    async fn run<L: Future>(&self, load: impl FnOnce() -> L) -> L::Output {
        struct OnPanic<'a, K, V>(&'a Lead<K, V>);
        impl<K, V> Drop for OnPanic<'_, K, V> {
            fn drop(&mut self) {
                self.0.panicked();
            }
        }
        let guard = OnPanic(self);
        let load = load();
        mem::forget(guard);
        let mut load = pin!(load);
        poll_fn(|cx| {
            let guard = OnPanic(self);
            let poll = load.as_mut().poll(cx);
            mem::forget(guard);
            poll
        })
        .await
    }

    fn panicked(&self) {
        let again = self.flight.state.lock().panics_again();
        if again {
            self.end(Outcome::Failed);
        }
        // The first one is handed over by the drop that follows.
    }

    fn fail(mut self) {
        self.ended = true;
        self.shared.store.count_failure(self.flight.hash);
        self.end(Outcome::Failed);
    }

    /// Ends the flight with nothing to store.
    fn end(&self, outcome: Outcome<V>) {
        let (wake, unused, unlisted) = self.shared.store.unlist(&self.flight, |state| state.end(outcome));
        drop((unused, unlisted));
        wake.all();
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Lead<K, V> {
    /// Ends the flight with a value, and stores it if the flight is still listed.
    fn complete(mut self, value: V) -> V {
        let weight = self.shared.weigh(&self.flight.key, &value);
        let ttl = self.shared.config.ttl;
        // Whatever is not ours and may panic comes first: until here nothing has changed, and a drop hands over.
        let (key, stored) = (self.flight.key.clone(), value.clone());
        let for_waiters = self.flight.state.lock().has_waiters().then(|| value.clone());
        let wake = self.shared.store.complete(&self.flight, key, stored, for_waiters, weight, ttl, now);
        self.ended = true;
        wake.all();
        value
    }
}

impl<K, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.store.hand_over(&self.flight).all();
        }
    }
}

/// A place among those who wait for a flight. Dropped, it leaves; if it was to take over, the next one is.
pub(crate) struct Waiter<K, V> {
    shared: Arc<Shared<K, V>>,
    flight: Arc<Flight<K, V>>,
    id: u64,
}

/// What came of waiting.
enum Turn<K, V> {
    Done(Outcome<V>),
    Lead(Lead<K, V>),
}

impl<K, V> Waiter<K, V> {
    pub(crate) fn new(shared: Arc<Shared<K, V>>, flight: Arc<Flight<K, V>>, id: u64) -> Self {
        Self { shared, flight, id }
    }
}

impl<K: Hash + Eq, V: Clone> Waiter<K, V> {
    async fn await_turn(self) -> Turn<K, V> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Turn<K, V>> {
        loop {
            let (look, old) = self.flight.state.lock().look(self.id, cx.waker());
            drop(old); // after the lock
            match look {
                Look::Wait => return Poll::Pending,
                Look::Done(outcome) => return Poll::Ready(Turn::Done(outcome)),
                // It leads, or finds that the flight has ended meanwhile, and looks again.
                Look::Heir => {
                    if self.shared.store.take_over(&self.flight, self.id, now) {
                        let lead = Lead::new(Arc::clone(&self.shared), Arc::clone(&self.flight));
                        return Poll::Ready(Turn::Lead(lead));
                    }
                }
            }
        }
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
