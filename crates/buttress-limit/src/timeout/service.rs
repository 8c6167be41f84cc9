use super::future::ResponseFuture;
use super::layer::{Deadline, Shared};
use buttress_core::{Lanes, Rejected};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower_service::Service;

/// Ends the calls of `S` that take too long; made by [`TimeoutLayer`](super::TimeoutLayer).
///
/// In place: readiness is the inner service's own, and a clone holds nothing.
///
/// # Panics
///
/// `call` panics outside a tokio runtime with timers, unless there is no limit.
#[derive(Clone, Debug)]
pub struct Timeout<S, D = ()> {
    inner: S,
    lanes: Lanes<Arc<Shared>>,
    deadline: D,
}

impl<S, D> Timeout<S, D> {
    pub(super) fn new(inner: S, lanes: Lanes<Arc<Shared>>, deadline: D) -> Self {
        Self { inner, lanes, deadline }
    }
}

impl<S, D, Req> Service<Req> for Timeout<S, D>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    D: Deadline<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let lane = Arc::clone(self.lanes.here());
        let own = self.deadline.deadline(&req).map(Instant::from_std);
        // No limit, or one too far away to be one, is `None`.
        let limit = lane.limit().and_then(|limit| Instant::now().checked_add(limit));
        let until = [limit, own].into_iter().flatten().min();
        ResponseFuture::new(self.inner.call(req), until, lane)
    }
}
