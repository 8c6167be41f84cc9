use crate::book::Book;
use crate::driver::{Driver, Observer};
use crate::each::{Each, EachError, Refuse};
use crate::engine::{Batching, Deadline, Engine, Terms, Weigh};
use crate::event::Event;
use crate::keys::{Apart, By, Partition, Share, Shared, Whole};
use crate::{Batch, Config, Handle};
use buttress_core::{Name, Observe, Rejected};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// Makes a service over single requests of one over batches.
///
/// Each service that it makes has a queue and a driver of its own, since what is below them differs; clones of a service
/// share them. Counts and the handle are the layer's. See the [crate] for when to use it and for examples.
pub struct BatchLayer<Req, P = Whole, D = Apart, X = Refuse> {
    book: Arc<Book>,
    partition: P,
    share: D,
    weigh: Option<Weigh<Req>>,
    deadline: Option<Deadline<Req>>,
    each: X,
    observe: Option<Observer>,
}

impl<Req> BatchLayer<Req> {
    /// Makes a layer that may put any requests into a batch together, and refuses the callers of one that fails.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        Self {
            book: Arc::new(Book::new(name.into(), config)),
            partition: Whole,
            share: Apart,
            weigh: None,
            deadline: None,
            each: Refuse,
            observe: None,
        }
    }
}

impl<Req, P, D, X> BatchLayer<Req, P, D, X> {
    /// Puts only requests with equal keys into a batch together. [`Config::in_flight`] is for each key then, so that one
    /// whose batches hang holds no other as long as there are places: those of [`Config::queue`] are common to all, and so is
    /// the readiness of the service.
    ///
    /// A key costs memory as long as a request of it waits or runs; the last one that was asked for is remembered.
    #[must_use]
    pub fn partition_by<K, F>(self, key: F) -> BatchLayer<Req, By<F>, D, X>
    where
        F: Fn(&Req) -> K,
        K: Hash + Eq + Send + 'static,
    {
        let Self { book, share, weigh, deadline, each, observe, .. } = self;
        BatchLayer { book, partition: By::new(key), share, weigh, deadline, each, observe }
    }

    /// Sends one of the requests with equal keys that wait in a partition, and gives its result to all of them; a request
    /// without a key is sent in any case. Asks for results that are `Clone`.
    ///
    /// Only what waits is shared: a request that comes after its key was sent is sent again, so a read that comes after a
    /// write sees it. Each caller keeps a place of its own.
    #[must_use]
    pub fn dedup_by<K, F>(self, key: F) -> BatchLayer<Req, P, Shared<F>, X>
    where
        F: Fn(&Req) -> Option<K>,
        K: Hash + Eq + Send + 'static,
    {
        let Self { book, partition, weigh, deadline, each, observe, .. } = self;
        BatchLayer { book, partition, share: Shared::new(key), weigh, deadline, each, observe }
    }

    /// Says what a request weighs, for [`Config::max_weight`]. By default nothing.
    #[must_use]
    pub fn weigh<F>(mut self, weigh: F) -> Self
    where
        F: Fn(&Req) -> u64 + Send + Sync + 'static,
    {
        self.weigh = Some(Arc::new(weigh));
        self
    }

    /// Says when it is too late for a request: if it has not been sent by then it is not sent, and refused with
    /// [`Reason::TimedOut`](buttress_core::Reason::TimedOut). A batch that waits for more goes a millisecond before
    /// the first deadline in it. Once sent, a request has all the time that the service takes.
    ///
    /// Needs a runtime with timers; on another one everybody is refused, as if it had ended.
    #[must_use]
    pub fn deadline<F>(mut self, deadline: F) -> Self
    where
        F: Fn(&Req) -> Option<Instant> + Send + Sync + 'static,
    {
        self.deadline = Some(Arc::new(deadline));
        self
    }

    /// Says what each caller gets of an error that the service answers to a batch as a whole, or to `poll_ready`; where
    /// it is of one type with the errors of requests, that is `E::clone`. Called once for each caller. Without it they
    /// are refused with [`Reason::Failed`](buttress_core::Reason::Failed).
    #[must_use]
    pub fn each_error<B, E, F>(self, each: F) -> BatchLayer<Req, P, D, Each<F>>
    where
        F: Fn(&B) -> E,
    {
        let Self { book, partition, share, weigh, deadline, observe, .. } = self;
        BatchLayer { book, partition, share, weigh, deadline, each: Each(each), observe }
    }

    /// Tells an observer what a person would log. It is called by the driver, so it should be quick; if it panics the
    /// driver goes on.
    #[must_use]
    pub fn observe(mut self, observe: impl Observe<Event> + Send + Sync + 'static) -> Self {
        self.observe = Some(Arc::new(observe));
        self
    }

    /// Reads and steers all services of this layer, from anywhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.book))
    }
}

impl<S, Req, Res, E, P, D, X> Layer<S> for BatchLayer<Req, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>> + Send + 'static,
    S::Future: Send,
    Req: Send + 'static,
    Res: Send + 'static,
    E: From<Rejected> + Send + 'static,
    P: Partition<Req> + Clone + Send + Sync + 'static,
    D: Share<Req, Result<Res, E>> + Clone + Send + Sync + 'static,
    X: EachError<S::Error, E> + Clone + Send + 'static,
{
    type Service = Batch<Req, Res, E>;

    fn layer(&self, inner: S) -> Self::Service {
        let engine = self.book.enrol(|config| {
            let terms = Terms {
                partition: self.partition.clone(),
                share: self.share.clone(),
                weigh: self.weigh.clone(),
                deadline: self.deadline.clone(),
            };
            let (each, observe) = (self.each.clone(), self.observe.clone());
            let start = Box::new(move |engine| Box::pin(Driver::new(engine, inner, each, observe)) as _);
            Engine::new(Arc::clone(&self.book), config, terms, start)
        });
        Batch::new(&(engine as Arc<dyn Batching<Req, Res, E>>))
    }
}

impl<Req, P: Clone, D: Clone, X: Clone> Clone for BatchLayer<Req, P, D, X> {
    fn clone(&self) -> Self {
        Self {
            book: Arc::clone(&self.book),
            partition: self.partition.clone(),
            share: self.share.clone(),
            weigh: self.weigh.clone(),
            deadline: self.deadline.clone(),
            each: self.each.clone(),
            observe: self.observe.clone(),
        }
    }
}

impl<Req, P, D, X> fmt::Debug for BatchLayer<Req, P, D, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLayer")
            .field("name", &self.book.name)
            .field("config", &self.book.config())
            .finish_non_exhaustive()
    }
}
