use super::exchange::UNKNOWN;
use crate::primitive::{AtomicU64, Ordering};
use bytes::Buf;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Says how large the body of a request is: [`Declared`] or [`Counted`].
///
/// There is nothing to implement.
pub trait BodySize: sealed::Sealed {}

/// Takes the length that a request's head says, and no size if it says none.
#[derive(Clone, Copy, Debug)]
pub enum Declared {}

/// Takes the length that a request's head says, and otherwise counts what the inner service reads; see
/// [`count_request_bodies`](super::HttpMetricsLayer::count_request_bodies).
#[derive(Clone, Copy, Debug)]
pub enum Counted {}

impl BodySize for Declared {}
impl BodySize for Counted {}

pub(crate) mod sealed {
    pub trait Sealed {
        /// What goes along with the exchange.
        type Size: Size;
    }

    pub trait Size {
        /// Of a body whose size nobody wants.
        fn unwanted() -> Self;
        /// Of a body of this length, or of unknown length.
        fn of(length: u64) -> Self;
        /// In bytes, or unknown, now that the exchange has ended.
        fn bytes(&self) -> u64;
    }
}

impl sealed::Sealed for Declared {
    type Size = u64;
}

impl sealed::Size for u64 {
    #[inline]
    fn unwanted() -> Self {
        UNKNOWN
    }

    #[inline]
    fn of(length: u64) -> Self {
        length
    }

    #[inline]
    fn bytes(&self) -> u64 {
        *self
    }
}

impl sealed::Sealed for Counted {
    type Size = Counting;
}

/// The size of a body that is counted if its length is not known.
#[derive(Debug)]
pub enum Counting {
    Known(u64),
    /// How much has passed.
    Passed(Arc<AtomicU64>),
}

impl sealed::Size for Counting {
    #[inline]
    fn unwanted() -> Self {
        Self::Known(UNKNOWN)
    }

    #[inline]
    fn of(length: u64) -> Self {
        match length {
            UNKNOWN => Self::Passed(Arc::new(AtomicU64::new(0))),
            length => Self::Known(length),
        }
    }

    #[inline]
    fn bytes(&self) -> u64 {
        match self {
            Self::Known(length) => *length,
            // Relaxed: nothing else is read by it.
            Self::Passed(passed) => passed.load(Ordering::Relaxed),
        }
    }
}

pin_project! {
    /// A request's body, whose bytes are counted as they are read if it does not say how many there are. In all else it
    /// is as `B`.
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        // Shared with the exchange; `None` if the length is known, or nobody wants it.
        passed: Option<Arc<AtomicU64>>,
    }
}

impl<B> RequestBody<B> {
    #[inline]
    pub(super) fn new(inner: B, size: Option<&Counting>) -> Self {
        let passed = match size {
            Some(Counting::Passed(passed)) => Some(Arc::clone(passed)),
            _ => None,
        };
        Self { inner, passed }
    }
}

impl<B: http_body::Body> http_body::Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(passed), Some(Ok(frame))) = (this.passed, &frame) {
            let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            // Relaxed: a count, which publishes nothing.
            passed.fetch_add(bytes, Ordering::Relaxed);
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

impl<B: fmt::Debug> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}
