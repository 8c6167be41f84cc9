//! The future that caches return.

use crate::flow::{Flow, FlowOf, Mode};
use crate::rules::Terms;
use crate::source::Source;
use buttress_core::Rejected;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// Ends with what the cache has, or what the inner service answers, or with the refusal of one that waited.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves those who wait. If it runs the load that others wait for, the load is dropped too, and the
    /// one that has waited longest makes its own call; with
    /// [`background`](crate::CacheLayer::background) the load goes on. A write that was begun invalidates what it
    /// touches.
    ///
    /// # Panics
    ///
    /// If it is polled again after it has ended. A panic of the inner service passes through, and whoever waited
    /// makes a call of its own; after a second one they are refused. With timeouts, outside a tokio runtime with
    /// timers.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<K, V, C, F, E, J, P, M> {
        #[pin]
        state: State<K, V, C, F, E, J, P, M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<K, V, C, F, E, J, P, M> {
        Hit { value: Option<V> },
        Asked { #[pin] flow: Flow<K, V, C, F, E, J, P, M> },
    }
}

impl<K, V, C, F, E, J, P, M> ResponseFuture<K, V, C, F, E, J, P, M> {
    #[inline]
    pub(crate) fn hit(value: V) -> Self {
        Self { state: State::Hit { value: Some(value) } }
    }

    #[inline]
    pub(crate) fn asked(flow: Flow<K, V, C, F, E, J, P, M>) -> Self {
        Self { state: State::Asked { flow } }
    }
}

impl<K, V, C, P, M> Future for ResponseFuture<K, V, C, C::Future, C::Error, P::Judge, P, M>
where
    K: Hash + Eq + Clone,
    V: Clone,
    C: Source<K, Value = V>,
    C::Error: From<Rejected>,
    P: Terms<C::Request, K, V, C::Error>,
    M: Mode<K, V, C, P>,
{
    type Output = Result<V, C::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Hit { value } => Poll::Ready(Ok(value.take().expect("not polled after it has ended"))),
            StateProj::Asked { flow } => {
                let flow: Pin<&mut FlowOf<K, V, C, P, M>> = flow;
                flow.poll_marked(cx)
            }
        }
    }
}

impl<K, V, C, F, E, J, P, M> fmt::Debug for ResponseFuture<K, V, C, F, E, J, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_hit = matches!(self.state, State::Hit { .. });
        f.debug_struct("ResponseFuture").field("is_hit", &is_hit).finish_non_exhaustive()
    }
}
