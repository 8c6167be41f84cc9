//! The future that breakers return.

use crate::core::Place;
use crate::event::Event;
use crate::now;
use crate::state::{End, Refusal, Ticket};
use buttress_core::{Classify, Lane, Name, Observe, Outcome, Rejected};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

pin_project! {
    /// Ends with the inner result, once the breaker has judged it, or with the breaker's refusal.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner future, gives back the place of a probe, and tells the breaker that the
    /// call was cancelled, which means what [`Config::cancelled`](crate::Config::cancelled) says.
    ///
    /// # Panics
    ///
    /// If a refusal is polled again after it was returned. A panic of the inner future passes through; the
    /// breaker has counted it by then, as [`Config::panicked`](crate::Config::panicked) says.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C, O>
    where
        O: Observe<Event>,
    {
        #[pin]
        state: State<F, C, O>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C, O>
    where
        O: Observe<Event>,
    {
        // The inner future first: it is dropped before the call gives back its place.
        Admitted { #[pin] inner: F, call: Call<C, O> },
        Refused { name: Name, refusal: Option<Refusal> },
    }
}

impl<F, C, O: Observe<Event>> ResponseFuture<F, C, O> {
    #[inline]
    pub(crate) fn admitted(inner: F, call: Call<C, O>) -> Self {
        Self { state: State::Admitted { inner, call } }
    }

    pub(crate) fn refused(name: Name, refusal: Refusal) -> Self {
        Self { state: State::Refused { name, refusal: Some(refusal) } }
    }
}

impl<F, C, O, T, E> Future for ResponseFuture<F, C, O>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
    C: Classify<T, E>,
    O: Observe<Event>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Admitted { inner, call } => {
                let (result, outcome) = {
                    let guard = OnPanic(call);
                    let Poll::Ready(result) = inner.poll(cx) else {
                        mem::forget(guard);
                        return Poll::Pending;
                    };
                    let outcome = guard.0.judge(&result);
                    mem::forget(guard);
                    (result, outcome)
                };
                call.judged(outcome);
                Poll::Ready(result)
            }
            StateProj::Refused { name, refusal } => {
                let Refusal { reason, after } = refusal.take().expect("not polled after it has ended");
                let rejected = Rejected::new(crate::KIND, *name, reason);
                Poll::Ready(Err(after.map_or(rejected, |wait| rejected.after(wait)).into()))
            }
        }
    }
}

impl<F, C, O: Observe<Event>> fmt::Debug for ResponseFuture<F, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("ResponseFuture");
        match &self.state {
            State::Admitted { call, .. } => tuple.field(call),
            State::Refused { refusal, .. } => tuple.field(refusal),
        };
        tuple.finish()
    }
}

/// One admitted call: brings its end to the breaker, whatever that is.
pub(crate) struct Call<C, O: Observe<Event>> {
    /// `None` once it has ended, and for a call that no breaker watches.
    place: Option<Arc<Lane<Place>>>,
    ticket: Ticket,
    classify: C,
    observe: O,
}

impl<C, O: Observe<Event>> Call<C, O> {
    #[inline]
    pub(crate) fn new(place: Option<Arc<Lane<Place>>>, ticket: Ticket, classify: C, observe: O) -> Self {
        Self { place, ticket, classify, observe }
    }

    /// Tells the observer what admitting this call has brought about.
    #[inline]
    pub(crate) fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.observe.observe(event);
        }
    }

    /// Makes the inner call. Should it panic, the breaker hears of it.
    #[inline]
    pub(crate) fn run<F>(&mut self, call: impl FnOnce() -> F) -> F {
        let guard = OnPanic(self);
        let inner = call();
        mem::forget(guard);
        inner
    }

    #[inline]
    fn judge<T, E>(&self, result: &Result<T, E>) -> Outcome
    where
        C: Classify<T, E>,
    {
        if self.place.is_some() { self.classify.classify(result.as_ref()) } else { Outcome::Ignore }
    }

    #[inline]
    fn judged(&mut self, outcome: Outcome) {
        let Some(place) = self.place.take() else { return };
        let read = match outcome {
            Outcome::Success => match place.core.succeed(place.lane, self.ticket, now) {
                Ok(()) => return,
                Err(read) => read,
            },
            _ => None,
        };
        self.finish(&place, End::Judged(outcome), read);
    }

    /// Everything but a success that changes nothing. Out of line: what is rare must not make room for itself
    /// in the frame of what is not.
    #[inline(never)]
    fn finish(&mut self, place: &Place, end: End, read: Option<Instant>) {
        let event = place.core.finish(self.ticket, end, || read.unwrap_or_else(now));
        self.tell(event);
    }

    #[cold]
    fn abandoned(&mut self, end: End) {
        if let Some(place) = self.place.take() {
            self.finish(&place, end, None);
        }
    }
}

impl<C, O: Observe<Event>> Drop for Call<C, O> {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.abandoned(End::Cancelled);
        }
    }
}

impl<C, O: Observe<Event>> fmt::Debug for Call<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("place", &self.place)
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// Tells the breaker of a panic unless it is forgotten. A guard on the stack is free, and exact where
/// `thread::panicking()` in `Drop` is not: a future may be dropped by another panic than its own.
struct OnPanic<'a, C, O: Observe<Event>>(&'a mut Call<C, O>);

impl<C, O: Observe<Event>> Drop for OnPanic<'_, C, O> {
    fn drop(&mut self) {
        self.0.abandoned(End::Panicked);
    }
}
