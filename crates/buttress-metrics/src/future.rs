//! The future that [`Measured`](crate::Measured) returns.

use crate::call::{Call, Record};
use crate::family::Place;
use crate::layer::Durations;
use crate::outcome::{Judge, Outcome};
use crate::trace::TraceId;
use buttress_core::Lane;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pin_project! {
    /// Ends with the inner result, and is counted then.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner future, and counts the call as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, J> {
        // First: it is dropped before the call is counted.
        #[pin]
        pub(crate) inner: F,
        pub(crate) call: Call<Counted>,
        pub(crate) judge: J,
    }
}

/// Where a call is counted.
pub(crate) struct Counted {
    pub(crate) lane: Arc<Lane<Arc<Durations>>>,
    pub(crate) place: Place,
    pub(crate) trace: Option<TraceId>,
}

impl Record for Counted {
    #[inline]
    fn record(self, outcome: Outcome, took: Duration) {
        let durations = self.lane.at(self.place).get(outcome);
        match self.trace {
            None => durations.record(took),
            Some(trace) => durations.record_traced(took, trace),
        }
    }
}

impl<F, J, T, E> Future for ResponseFuture<F, J>
where
    F: Future<Output = Result<T, E>>,
    J: Judge<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let judge = this.judge;
        let polled = this.call.guard(|| {
            this.inner.poll(cx).map(|result| {
                let outcome = judge.judge(result.as_ref());
                (result, outcome)
            })
        });
        polled.map(|(result, outcome)| {
            this.call.end(outcome);
            result
        })
    }
}

impl<F, J> fmt::Debug for ResponseFuture<F, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
