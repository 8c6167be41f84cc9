use crate::core::Place;
use crate::event::Event;
use crate::future::{Call, ResponseFuture};
use crate::gate::Gate;
use crate::now;
use crate::state::{Refusal, Ticket};
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
    lanes: Lanes<Place>,
    mode: Mode,
    classify: C,
    observe: O,
}

/// How calls that would be refused are kept out.
pub(crate) enum Mode {
    /// Lets them come, and refuses; holds what `poll_ready` has decided for the next call.
    Reject(Option<Refusal>),
    /// Keeps them waiting.
    Gate(Gate),
}

impl Mode {
    pub(crate) fn reject() -> Self {
        Mode::Reject(None)
    }

    pub(crate) fn gate() -> Self {
        Mode::Gate(Gate::default())
    }
}

impl<S, C, O> Breaker<S, C, O> {
    pub(crate) fn new(inner: S, lanes: Lanes<Place>, mode: Mode, classify: C, observe: O) -> Self {
        Self { inner, lanes, mode, classify, observe }
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
        let core = &self.lanes.here().core;
        if core.admits_all() {
            // Whatever an earlier poll has decided, or waits for, is out of date.
            match &mut self.mode {
                Mode::Reject(refusal) => *refusal = None,
                Mode::Gate(gate) => gate.stop_waiting(core),
            }
            return self.inner.poll_ready(cx);
        }
        self.poll_ready_rare(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        // What is not ours may panic, and so comes before there is anything to lose.
        let (classify, observe) = (self.classify.clone(), self.observe.clone());
        let place = self.lanes.here();
        let (ticket, event) = match (&self.mode, place.core.admit(now)) {
            (Mode::Reject(None) | Mode::Gate(_), Some(ticket)) => (ticket, None),
            _ => match self.admit_rare() {
                Ok(admitted) => admitted,
                Err(refusal) => return ResponseFuture::refused(self.lanes.here().core.name(), refusal),
            },
        };
        let place = Arc::clone(self.lanes.here());
        let mut call = Call::new(Some(place), ticket, classify, observe);
        call.tell(event);
        let inner = call.run(|| self.inner.call(req));
        ResponseFuture::admitted(inner, call)
    }
}

impl<S, C, O> Breaker<S, C, O> {
    /// Readiness of a breaker that does not simply let everything pass.
    #[inline(never)]
    fn poll_ready_rare<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
        O: Observe<Event>,
    {
        let core = &self.lanes.here().core;
        match &mut self.mode {
            Mode::Reject(refusal) => {
                *refusal = core.would_refuse(now);
                if refusal.is_some() { Poll::Ready(Ok(())) } else { self.inner.poll_ready(cx) }
            }
            Mode::Gate(gate) => {
                let inner = &mut self.inner;
                gate.poll_ready(core, cx, |cx| inner.poll_ready(cx), |event| self.observe.observe(event))
            }
        }
    }

    /// Admission of a call that something speaks against, or that was reserved.
    #[inline(never)]
    fn admit_rare(&mut self) -> Result<(Ticket, Option<Event>), Refusal> {
        let place = self.lanes.here();
        match &mut self.mode {
            Mode::Reject(refusal) => {
                // Refused even if it has closed in between: the inner service was not readied.
                if let Some(refusal) = refusal.take() {
                    place.core.refused(place.lane, refusal, now);
                    return Err(refusal);
                }
            }
            Mode::Gate(gate) => {
                if let Some(ticket) = gate.take_reserved(&place.core) {
                    return Ok((ticket, None));
                }
            }
        }
        place.core.admit_rare(place.lane, now)
    }
}

impl<S: Clone, C: Clone, O: Clone> Clone for Breaker<S, C, O> {
    fn clone(&self) -> Self {
        // Written by hand: what poll_ready has reserved or decided stays with the original.
        let mode = match self.mode {
            Mode::Reject(_) => Mode::reject(),
            Mode::Gate(_) => Mode::gate(),
        };
        Self::new(self.inner.clone(), self.lanes.clone(), mode, self.classify.clone(), self.observe.clone())
    }
}

impl<S, C, O> Drop for Breaker<S, C, O> {
    fn drop(&mut self) {
        if let Mode::Gate(gate) = &mut self.mode {
            gate.leave(&self.lanes.here().core);
        }
    }
}

impl<S: fmt::Debug, C, O> fmt::Debug for Breaker<S, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("core", &self.lanes.here().core)
            .finish_non_exhaustive()
    }
}
