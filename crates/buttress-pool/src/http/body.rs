use super::shared::Lease;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// The body of a response, with the lease that its request took. That is given back as soon as the body has ended or
    /// failed, or is dropped.
    pub struct Leased<B> {
        #[pin]
        body: B,
        lease: Option<Lease>,
    }
}

impl<B: Body> Leased<B> {
    pub(super) fn new(body: B, lease: Option<Lease>) -> Self {
        // Whoever gets a body that is empty may never look into it.
        let lease = lease.filter(|_| !body.is_end_stream());
        Self { body, lease }
    }
}

impl<B> Leased<B> {
    /// The body as it came; the lease is given back.
    #[must_use]
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body> Body for Leased<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.lease = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Default> Default for Leased<B> {
    /// Without a lease.
    fn default() -> Self {
        Self { body: B::default(), lease: None }
    }
}

impl<B: fmt::Debug> fmt::Debug for Leased<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased").field("body", &self.body).field("is_leased", &self.lease.is_some()).finish()
    }
}
