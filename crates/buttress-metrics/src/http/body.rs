use super::exchange::{Exchanged, exact};
use super::request_body::{BodySize, Declared};
use crate::call::Call;
use crate::outcome::Outcome;
use bytes::Buf;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A response's body, measured until it ends, fails or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, it counts the request as cancelled; unless nothing of it is to be sent, as for `HEAD`.
    pub struct Body<D, N = Declared>
    where
        N: BodySize,
    {
        // First: it is dropped before the request is counted.
        #[pin]
        inner: D,
        tally: Tally<N>,
    }
}

/// How far a body has come.
struct Tally<N: BodySize> {
    call: Call<Exchanged<N>>,
    /// As what the request counts if all of it arrives.
    outcome: Outcome,
    /// How large it will be, or unknown.
    expected: u64,
    /// Whether there is nothing more to come, whoever asks.
    is_whole: bool,
}

impl<D: http_body::Body, N: BodySize> Body<D, N> {
    pub(super) fn new(inner: D, call: Call<Exchanged<N>>, outcome: Outcome, is_sent: bool) -> Self {
        let expected = exact(&inner);
        let is_whole = !is_sent || inner.is_end_stream();
        Self { inner, tally: Tally { call, outcome, expected, is_whole } }
    }
}

impl<N: BodySize> Drop for Tally<N> {
    fn drop(&mut self) {
        let Self { call, outcome, expected, is_whole } = self;
        // A server that has sent as much as it has promised does not ask for more.
        let is_whole = *is_whole || call.record().is_some_and(|exchanged| exchanged.received() == *expected);
        call.end(if is_whole { *outcome } else { Outcome::Cancelled });
    }
}

impl<D: http_body::Body, N: BodySize> http_body::Body for Body<D, N> {
    type Data = D::Data;
    type Error = D::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<D::Data>, D::Error>>> {
        let this = self.project();
        let (mut inner, tally) = (this.inner, this.tally);
        let frame = ready!(tally.call.guard(|| inner.as_mut().poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                tally.call.change(|exchanged| exchanged.add(bytes));
                // Nothing comes after trailers, and servers know that.
                tally.is_whole |= frame.is_trailers() || inner.is_end_stream();
            }
            Some(Err(_)) => tally.call.end(Outcome::Error),
            None => tally.call.end(tally.outcome),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<D: fmt::Debug, N: BodySize> fmt::Debug for Body<D, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("inner", &self.inner).finish_non_exhaustive()
    }
}
