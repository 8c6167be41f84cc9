#[cfg(doc)]
use crate::Ramp;
use crate::core::{Core, Place};
use crate::event::Event;
use crate::{Breaker, Config, Handle, now};
use buttress_core::{AnyError, Lanes, Name, Observe, Outcome};
use std::fmt;
use std::sync::Arc;
use tower_layer::Layer;

/// Makes [`Breaker`] services that share one state: they open and close together.
///
/// See the [crate] for when to use it and for examples.
pub struct BreakerLayer<C = AnyError, O = ()> {
    lanes: Lanes<Place>,
    gate: bool,
    classify: C,
    observe: O,
}

impl BreakerLayer {
    /// Makes a layer that counts every `Err` as a failure, is watched by nobody, and rejects while open.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        let lanes = Lanes::<Place>::count();
        let core = Arc::new(Core::new(name.into(), config, lanes, fastrand::u64(..), now()));
        let lanes = Lanes::new(|lane| Place { core: Arc::clone(&core), lane });
        Self { lanes, gate: false, classify: AnyError, observe: () }
    }
}

impl<C, O> BreakerLayer<C, O> {
    /// Judges results by a closure `|result| -> Outcome`. Where it calls methods of the response or the error, say what
    /// they are: `|result: Result<&_, &io::Error>|`.
    #[must_use]
    pub fn classify<T, E, F>(self, classify: F) -> BreakerLayer<F, O>
    where
        F: Fn(Result<&T, &E>) -> Outcome,
    {
        self.classify_with(classify)
    }

    /// Judges results by a value of a type, such as `buttress::http::ServerErrors`.
    #[must_use]
    pub fn classify_with<F>(self, classify: F) -> BreakerLayer<F, O> {
        BreakerLayer { lanes: self.lanes, gate: self.gate, classify, observe: self.observe }
    }

    /// Tells a closure of each [`Event`].
    #[must_use]
    pub fn observe<F: Fn(Event)>(self, observe: F) -> BreakerLayer<C, F> {
        self.observe_with(observe)
    }

    /// Tells a value of a type of each [`Event`].
    #[must_use]
    pub fn observe_with<P: Observe<Event>>(self, observe: P) -> BreakerLayer<C, P> {
        BreakerLayer { lanes: self.lanes, gate: self.gate, classify: self.classify, observe }
    }

    /// Makes `poll_ready` wait while the breaker would refuse, instead of letting `call` refuse: for services
    /// behind a balancer, which then sends its requests elsewhere.
    ///
    /// In half-open `poll_ready` reserves the probe. Those who wait are woken by time and by each probe that
    /// ends. A call still refuses where the breaker opened after it was readied, and where a [`Ramp`] is running.
    ///
    /// # Panics
    ///
    /// `poll_ready` panics outside a tokio runtime with timers, while there is something to wait for.
    #[must_use]
    pub fn gate(mut self) -> Self {
        self.gate = true;
        self
    }
}

impl<C, O> BreakerLayer<C, O>
where
    O: Observe<Event> + Clone + Send + Sync + 'static,
{
    /// Reads and steers the breaker, from anywhere, for all services of this layer. What an operator does with
    /// it is told to the observer that the layer has now, so ask for it last.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.lanes.clone(), Arc::new(self.observe.clone()))
    }
}

impl<S, C: Clone, O: Clone> Layer<S> for BreakerLayer<C, O> {
    type Service = Breaker<S, C, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker::new(inner, self.lanes.clone(), self.gate, self.classify.clone(), self.observe.clone())
    }
}

impl<C: Clone, O: Clone> Clone for BreakerLayer<C, O> {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
            gate: self.gate,
            classify: self.classify.clone(),
            observe: self.observe.clone(),
        }
    }
}

impl<C, O> fmt::Debug for BreakerLayer<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("core", &self.lanes.here().core)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
