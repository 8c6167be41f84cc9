use super::Breakers;
use crate::event::{Event, Keyed};
use crate::future::{Call, ResponseFuture};
use crate::now;
use crate::state::Ticket;
use buttress_core::{AnyError, Classify, KeyOf, Observe, Outcome, Rejected};
use std::fmt;
use std::hash::Hash;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Puts the breakers of a [`Breakers`] before a service, one per key.
///
/// See the [module](super) for when to use it and for an example.
pub struct KeyedBreakerLayer<K, F, C = AnyError, O = ()> {
    breakers: Breakers<K>,
    key: F,
    classify: C,
    observe: O,
}

impl<K, F> KeyedBreakerLayer<K, F> {
    /// Finds the key by a closure `|req: &Req| -> Option<K>`; `None` lets a request pass unwatched.
    #[must_use]
    pub fn new<Req>(breakers: &Breakers<K>, key: F) -> Self
    where
        F: Fn(&Req) -> Option<K>,
    {
        Self::with_key(breakers, key)
    }

    /// Finds the key by a value of a type.
    #[must_use]
    pub fn with_key(breakers: &Breakers<K>, key: F) -> Self {
        Self { breakers: breakers.clone(), key, classify: AnyError, observe: () }
    }
}

impl<K, F, C, O> KeyedBreakerLayer<K, F, C, O> {
    /// Judges results by a closure `|result| -> Outcome`. Where it calls methods of the response or the error, say what
    /// they are: `|result: Result<&_, &io::Error>|`.
    #[must_use]
    pub fn classify<T, E, D>(self, classify: D) -> KeyedBreakerLayer<K, F, D, O>
    where
        D: Fn(Result<&T, &E>) -> Outcome,
    {
        self.classify_with(classify)
    }

    /// Judges results by a value of a type, such as `buttress::http::ServerErrors`.
    #[must_use]
    pub fn classify_with<D>(self, classify: D) -> KeyedBreakerLayer<K, F, D, O> {
        KeyedBreakerLayer { breakers: self.breakers, key: self.key, classify, observe: self.observe }
    }

    /// Tells a closure of each [`Event`] and the key it happened to. The key is cloned for the event alone.
    #[must_use]
    pub fn observe<P: Fn(Keyed<K>)>(self, observe: P) -> KeyedBreakerLayer<K, F, C, P> {
        self.observe_with(observe)
    }

    /// Tells a value of a type of each [`Event`] and the key it happened to.
    #[must_use]
    pub fn observe_with<P: Observe<Keyed<K>>>(self, observe: P) -> KeyedBreakerLayer<K, F, C, P> {
        KeyedBreakerLayer { breakers: self.breakers, key: self.key, classify: self.classify, observe }
    }
}

impl<S, K, F: Clone, C: Clone, O: Clone> Layer<S> for KeyedBreakerLayer<K, F, C, O> {
    type Service = KeyedBreaker<S, K, F, C, O>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedBreaker { inner, layer: self.clone() }
    }
}

impl<K, F: Clone, C: Clone, O: Clone> Clone for KeyedBreakerLayer<K, F, C, O> {
    fn clone(&self) -> Self {
        Self {
            breakers: self.breakers.clone(),
            key: self.key.clone(),
            classify: self.classify.clone(),
            observe: self.observe.clone(),
        }
    }
}

impl<K, F, C, O> fmt::Debug for KeyedBreakerLayer<K, F, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakerLayer").field("breakers", &self.breakers).finish_non_exhaustive()
    }
}

/// Stops calling `S` for a key while it fails for that key; made by [`KeyedBreakerLayer`].
///
/// In place: it asks for nothing beyond `Service`, readiness is the inner service's own, and a clone holds
/// nothing.
pub struct KeyedBreaker<S, K, F, C = AnyError, O = ()> {
    inner: S,
    layer: KeyedBreakerLayer<K, F, C, O>,
}

impl<S, K, F, C, O, Req> Service<Req> for KeyedBreaker<S, K, F, C, O>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    F: KeyOf<Req, Key = K>,
    K: Hash + Eq + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    O: Observe<Keyed<K>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, ForKey<K, O>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let layer = &self.layer;
        let key = layer.key.key_of(&req);
        // What is not ours may panic, and so comes before there is anything to lose.
        let (classify, observe) = (layer.classify.clone(), layer.observe.clone());
        let place = key.as_ref().and_then(|key| layer.breakers.entry(key));
        let (ticket, event) = match &place {
            None => (Ticket::UNWATCHED, None),
            Some(place) => match place.core.admit(now) {
                Some(ticket) => (ticket, None),
                None => match place.core.admit_rare(place.lane, now) {
                    Ok(admitted) => admitted,
                    Err(refusal) => return ResponseFuture::refused(layer.breakers.name(), refusal),
                },
            },
        };
        let mut call = Call::new(place, ticket, classify, ForKey { key, observe });
        call.tell(event);
        let inner = call.run(|| self.inner.call(req));
        ResponseFuture::admitted(inner, call)
    }
}

impl<S: Clone, K, F: Clone, C: Clone, O: Clone> Clone for KeyedBreaker<S, K, F, C, O> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, K, F, C, O> fmt::Debug for KeyedBreaker<S, K, F, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreaker")
            .field("inner", &self.inner)
            .field("breakers", &self.layer.breakers)
            .finish_non_exhaustive()
    }
}

/// Tells an observer of keyed events what happens in one call.
pub struct ForKey<K, O> {
    key: Option<K>,
    observe: O,
}

impl<K: Clone, O: Observe<Keyed<K>>> Observe<Event> for ForKey<K, O> {
    fn observe(&self, event: Event) {
        if let Some(key) = &self.key {
            self.observe.observe(Keyed { key: key.clone(), event });
        }
    }
}

impl<K, O> fmt::Debug for ForKey<K, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForKey").finish_non_exhaustive()
    }
}
