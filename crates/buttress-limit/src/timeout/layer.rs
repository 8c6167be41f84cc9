use super::{Config, Handle, Timeout};
use buttress_core::{Lanes, Name};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tower_layer::Layer;

/// Makes [`Timeout`] services that share one limit and one set of counts.
///
/// See the [module](super) for when to use it and for examples.
#[derive(Clone, Debug)]
pub struct TimeoutLayer<D = ()> {
    lanes: Lanes<Arc<Shared>>,
    deadline: D,
}

/// What all services of one layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Name,
    /// Nanoseconds; `u64::MAX` is no limit. Relaxed: a call reads whichever limit it finds.
    limit: AtomicU64,
    /// Relaxed: a count, which publishes nothing.
    pub(super) timed_out: AtomicU64,
}

impl Shared {
    /// `None` is no limit.
    pub(super) fn limit(&self) -> Option<Duration> {
        match self.limit.load(Ordering::Relaxed) {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    pub(super) fn set_limit(&self, limit: Duration) {
        // What does not fit is more than 584 years.
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.limit.store(nanos, Ordering::Relaxed);
    }
}

impl TimeoutLayer {
    /// Makes a layer; a plain `Duration` is a configuration too.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: impl Into<Config>) -> Self {
        let shared = Arc::new(Shared {
            name: name.into(),
            limit: AtomicU64::new(u64::MAX),
            timed_out: AtomicU64::new(0),
        });
        shared.set_limit(config.into().limit);
        Self { lanes: Lanes::new(|_| Arc::clone(&shared)), deadline: () }
    }

    /// Reads a deadline from each request; the earlier of it and the limit counts. `None` leaves the limit
    /// alone. A deadline that has passed refuses whatever does not answer at once.
    #[must_use]
    pub fn deadline<Req, D: Fn(&Req) -> Option<Instant>>(self, deadline: D) -> TimeoutLayer<D> {
        self.deadline_with(deadline)
    }

    /// Reads a deadline from each request by a value of a type; see [`TimeoutLayer::deadline`].
    #[must_use]
    pub fn deadline_with<D>(self, deadline: D) -> TimeoutLayer<D> {
        TimeoutLayer { lanes: self.lanes, deadline }
    }
}

impl<D> TimeoutLayer<D> {
    /// Reads counts and changes the limit, from anywhere, for all services of this layer.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.lanes.clone())
    }
}

impl<S, D: Clone> Layer<S> for TimeoutLayer<D> {
    type Service = Timeout<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(inner, self.lanes.clone(), self.deadline.clone())
    }
}

/// Finds a request's own deadline. A closure `|req| Option<Instant>` is one; `()` finds none.
pub trait Deadline<Req> {
    /// When the answer must be there, or `None` if the request does not say.
    fn deadline(&self, req: &Req) -> Option<Instant>;
}

impl<Req> Deadline<Req> for () {
    fn deadline(&self, _: &Req) -> Option<Instant> {
        None
    }
}

impl<Req, F: Fn(&Req) -> Option<Instant>> Deadline<Req> for F {
    fn deadline(&self, req: &Req) -> Option<Instant> {
        self(req)
    }
}
