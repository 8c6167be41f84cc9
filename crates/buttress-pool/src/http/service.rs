use super::Leased;
use super::future::ResponseFuture;
use super::shared::Shared;
use buttress_core::Rejected;
use http::{Request, Response};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Lets so many requests to each authority into `S` at a time; made by [`HttpPoolLayer`](super::HttpPoolLayer).
///
/// It defers: readiness is the inner service's own, and a call takes the instance that was readied along while it waits.
#[derive(Clone)]
pub struct HttpPool<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> HttpPool<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, Q, B> Service<Request<Q>> for HttpPool<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: From<Rejected>,
    B: http_body::Body,
{
    type Response = Response<Leased<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Q, S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let clone = self.inner.clone();
        let readied = mem::replace(&mut self.inner, clone);
        ResponseFuture::new(Arc::clone(&self.shared), readied, request)
    }
}

impl<S: fmt::Debug> fmt::Debug for HttpPool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPool")
            .field("inner", &self.inner)
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
