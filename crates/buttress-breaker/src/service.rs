use crate::core::{Core, Place};
use crate::event::Event;
use crate::future::{Call, ResponseFuture};
use crate::gate::Gate;
use crate::now;
use crate::state::Refusal;
use buttress_core::{AnyError, Classify, Lanes, Observe, Rejected};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Stops calling `S` while it fails; made by [`BreakerLayer`](crate::BreakerLayer).
///
/// In place: it asks for nothing beyond `Service`, so services that are neither `Send` nor `Clone` work. A
/// clone shares the breaker and holds nothing of the original's: no reservation, no place in a queue.
pub struct Breaker<S, C = AnyError, O = ()> {
    inner: S,
    core: Arc<Core>,
    lanes: Lanes<Place>,
    /// What `poll_ready` has decided for the next call, if that is to be refused.
    refusal: Option<Refusal>,
    /// Keeps calls that would be refused waiting; without it they come, and are refused. Boxed: few have one.
    gate: Option<Box<Gate>>,
    classify: C,
    observe: O,
}

impl<S, C, O> Breaker<S, C, O> {
    pub(crate) fn new(inner: S, lanes: Lanes<Place>, gate: bool, classify: C, observe: O) -> Self {
        let core = Arc::clone(&lanes.here().core);
        Self { inner, core, lanes, refusal: None, gate: gate.then(Box::default), classify, observe }
    }
}

impl<S, C, O, Req> Service<Req> for Breaker<S, C, O>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error> + Clone,
    O: Observe<Event> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, O>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !self.core.admits_all() {
            return self.poll_ready_rare(cx);
        }
        self.refusal = None; // what an earlier poll has decided is out of date
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        match self.core.admit(now) {
            Some(ticket) if self.refusal.is_none() => {
                let (classify, observe) = (self.classify.clone(), self.observe.clone());
                self.make(req, Call::new(Some(Arc::clone(self.lanes.here())), ticket, classify, observe))
            }
            _ => self.call_rare(req),
        }
    }
}

impl<S, C, O> Breaker<S, C, O> {
    #[inline]
    fn make<Req>(&mut self, req: Req, mut call: Call<C, O>) -> ResponseFuture<S::Future, C, O>
    where
        S: Service<Req>,
        O: Observe<Event>,
    {
        let inner = call.run(|| self.inner.call(req));
        ResponseFuture::admitted(inner, call)
    }

    /// Readiness of a breaker that does not simply let everything pass. What is rare is out of line, so that the
    /// compiler makes no room for it in the frame of what is not.
    #[inline(never)]
    fn poll_ready_rare<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
        O: Observe<Event>,
    {
        let inner = &mut self.inner;
        match &mut self.gate {
            None => {
                self.refusal = self.core.would_refuse(now);
                if self.refusal.is_some() { Poll::Ready(Ok(())) } else { inner.poll_ready(cx) }
            }
            Some(gate) => {
                let observe = |event| self.observe.observe(event);
                gate.poll_ready(&self.core, cx, |cx| inner.poll_ready(cx), observe)
            }
        }
    }

    /// A call that something speaks against, or that has a reservation.
    #[inline(never)]
    fn call_rare<Req>(&mut self, req: Req) -> ResponseFuture<S::Future, C, O>
    where
        S: Service<Req>,
        C: Clone,
        O: Observe<Event> + Clone,
    {
        let lane = self.lanes.here().lane;
        // Refused even if it has closed in between: the inner service was not readied.
        if let Some(refusal) = self.refusal.take() {
            self.core.refused(lane, refusal, now);
            return ResponseFuture::refused(self.core.name(), refusal);
        }
        // What is not ours may panic, and so is cloned before there is the place of a probe to lose.
        let (classify, observe) = (self.classify.clone(), self.observe.clone());
        let reserved = self.gate.as_mut().and_then(|gate| gate.take_reserved(&self.core));
        let admitted = match reserved {
            Some(ticket) => Ok((ticket, None)),
            None => self.core.admit_rare(lane, now),
        };
        match admitted {
            Ok((ticket, event)) => {
                let place = Some(Arc::clone(self.lanes.here()));
                let call = Call::new(place, ticket, classify, observe);
                call.tell(event);
                self.make(req, call)
            }
            Err(refusal) => ResponseFuture::refused(self.core.name(), refusal),
        }
    }
}

impl<S: Clone, C: Clone, O: Clone> Clone for Breaker<S, C, O> {
    fn clone(&self) -> Self {
        // Written by hand: what poll_ready has reserved or decided stays with the original.
        let (classify, observe) = (self.classify.clone(), self.observe.clone());
        Self::new(self.inner.clone(), self.lanes.clone(), self.gate.is_some(), classify, observe)
    }
}

impl<S, C, O> Drop for Breaker<S, C, O> {
    fn drop(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.leave(&self.core);
        }
    }
}

impl<S: fmt::Debug, C, O> fmt::Debug for Breaker<S, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}
