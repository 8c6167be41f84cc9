//! The future that [`HttpMeasured`](super::HttpMeasured) returns.

use super::body::Body;
use super::exchange::Exchanged;
use super::request_body::{BodySize, Declared};
use crate::call::Call;
use crate::outcome::Judge;
use http::Response;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// Ends with the inner response, whose body goes on being measured, or with the inner error.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the inner future, and counts the request as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, J, N = Declared>
    where
        N: BodySize,
    {
        // First: it is dropped before the request is counted.
        #[pin]
        pub(super) inner: F,
        pub(super) call: Call<Exchanged<N>>,
        pub(super) judge: J,
    }
}

impl<F, J, N, D, E> Future for ResponseFuture<F, J, N>
where
    F: Future<Output = Result<Response<D>, E>>,
    D: http_body::Body,
    J: Judge<Response<D>, E>,
    N: BodySize,
{
    type Output = Result<Response<Body<D, N>>, E>;

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
        let (result, outcome) = ready!(polled);
        Poll::Ready(match result {
            Ok(response) => {
                let mut call = this.call.take();
                let is_sent = call.change(|exchanged| exchanged.answered(response.status())).unwrap_or(false);
                Ok(response.map(|body| Body::new(body, call, outcome, is_sent)))
            }
            Err(error) => {
                this.call.end(outcome);
                Err(error)
            }
        })
    }
}

impl<F, J, N: BodySize> fmt::Debug for ResponseFuture<F, J, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
