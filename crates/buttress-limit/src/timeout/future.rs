//! The future that [`Timeout`](super::Timeout) returns.

use super::layer::Shared;
use buttress_core::{Lane, Reason, Rejected};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::time::{self, Instant, timeout_at};

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
        limited: Limited<F>,
        lane: Arc<Lane<Arc<Shared>>>,
    }
}

pin_project! {
    #[project = LimitedProj]
    #[derive(Debug)]
    enum Limited<F> {
        // tokio's, and not a `Sleep` beside the future: it fires even if the future has used up the budget that
        // tokio gives a task for one turn.
        Until { #[pin] inner: time::Timeout<F> },
        Never { #[pin] inner: F },
    }
}

impl<F: Future> ResponseFuture<F> {
    pub(super) fn new(inner: F, until: Option<Instant>, lane: Arc<Lane<Arc<Shared>>>) -> Self {
        let limited = match until {
            Some(until) => Limited::Until { inner: timeout_at(until, inner) },
            None => Limited::Never { inner },
        };
        Self { limited, lane }
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
        // The response is asked for first: one that is there at this poll is never thrown away.
        let in_time = match this.limited.project() {
            LimitedProj::Until { inner } => ready!(inner.poll(cx)),
            LimitedProj::Never { inner } => return inner.poll(cx),
        };
        Poll::Ready(in_time.unwrap_or_else(|_| {
            this.lane.timed_out.fetch_add(1, Ordering::Relaxed);
            Err(Rejected::new("timeout", this.lane.name, Reason::TimedOut).into())
        }))
    }
}
