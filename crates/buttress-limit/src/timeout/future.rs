//! The future that [`Timeout`](super::Timeout) returns.

use super::layer::Shared;
use buttress_core::{Lane, Reason, Rejected};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

pin_project! {
    /// Ends with the inner response, or with a refusal when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner future and takes the call out of the layer's count of calls in flight.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        lane: Arc<Lane<Arc<Shared>>>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, sleep: Option<Sleep>, lane: Arc<Lane<Arc<Shared>>>) -> Self {
        Self { inner, sleep, lane }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The response first: one that is there in time for this poll is never thrown away.
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result);
        }
        let Some(sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
        ready!(sleep.poll(cx));
        this.lane.timed_out.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(Rejected::new("timeout", this.lane.name, Reason::TimedOut).into()))
    }
}
