use super::body::Body;
use super::families::Shared;
use super::future::ResponseFuture;
use super::judge::Statuses;
use crate::call::Call;
use crate::outcome::Judge;
use crate::request::{TraceOf, WordOf};
use http::{Request, Response};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Measures the requests to `S`; made by [`HttpMetricsLayer`](super::HttpMetricsLayer).
///
/// In place: readiness is the inner service's own, and a clone holds nothing.
#[derive(Clone)]
pub struct HttpMeasured<S, W = (), J = Statuses, T = ()> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared>,
    pub(super) route: W,
    pub(super) judge: J,
    pub(super) trace: T,
}

impl<S, W, J, T, B, D> Service<Request<B>> for HttpMeasured<S, W, J, T>
where
    S: Service<Request<B>, Response = Response<D>>,
    B: http_body::Body,
    D: http_body::Body,
    W: WordOf<Request<B>>,
    J: Judge<Response<D>, S::Error> + Clone,
    T: TraceOf<Request<B>>,
{
    type Response = Response<Body<D>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, J>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (route, trace) = Call::prepare(
            || (self.route.word_of(&request), self.trace.trace_of(&request)),
            || self.shared.begin(&request, None, None),
        );
        let mut call = Call::begin(self.shared.begin(&request, route, trace));
        let judge = self.judge.clone();
        let inner = call.guard(|| self.inner.call(request));
        ResponseFuture { inner, call, judge }
    }
}

impl<S: fmt::Debug, W, J, T> fmt::Debug for HttpMeasured<S, W, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpMeasured");
        debug.field("inner", &self.inner).field("shared", &self.shared).finish_non_exhaustive()
    }
}
