use super::body::Body;
use super::exchange::Exchanged;
use super::families::Shared;
use super::future::ResponseFuture;
use super::judge::Statuses;
use super::request_body::{BodySize, Counted, Declared, RequestBody};
use crate::call::Call;
use crate::outcome::Judge;
use crate::request::{TraceOf, WordOf};
use http::{Request, Response};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Measures the requests to `S`; made by [`HttpMetricsLayer`](super::HttpMetricsLayer).
///
/// In place: readiness is the inner service's own, and a clone holds nothing.
#[derive(Clone)]
pub struct HttpMeasured<S, W = (), J = Statuses, T = (), N = Declared> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared>,
    pub(super) route: W,
    pub(super) judge: J,
    pub(super) trace: T,
    pub(super) size: PhantomData<N>,
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
        let call = self.begin(&request);
        self.measure(call, |inner| inner.call(request))
    }
}

/// What [counts bodies](super::HttpMetricsLayer::count_request_bodies).
impl<S, W, J, T, B, D> Service<Request<B>> for HttpMeasured<S, W, J, T, Counted>
where
    S: Service<Request<RequestBody<B>>, Response = Response<D>>,
    B: http_body::Body,
    D: http_body::Body,
    W: WordOf<Request<B>>,
    J: Judge<Response<D>, S::Error> + Clone,
    T: TraceOf<Request<B>>,
{
    type Response = Response<Body<D, Counted>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, J, Counted>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.begin(&request);
        let size = call.record().map(Exchanged::sent);
        let request = request.map(|body| RequestBody::new(body, size));
        self.measure(call, |inner| inner.call(request))
    }
}

impl<S, W, J: Clone, T, N: BodySize> HttpMeasured<S, W, J, T, N> {
    #[inline]
    fn begin<B>(&self, request: &Request<B>) -> Call<Exchanged<N>>
    where
        B: http_body::Body,
        W: WordOf<Request<B>>,
        T: TraceOf<Request<B>>,
    {
        let (route, trace) = Call::prepare(
            || (self.route.word_of(request), self.trace.trace_of(request)),
            || self.shared.begin::<B, N>(request, None, None),
        );
        Call::begin(self.shared.begin(request, route, trace))
    }

    #[inline]
    fn measure<F>(
        &mut self,
        mut call: Call<Exchanged<N>>,
        send: impl FnOnce(&mut S) -> F,
    ) -> ResponseFuture<F, J, N> {
        let judge = self.judge.clone();
        let inner = call.guard(|| send(&mut self.inner));
        ResponseFuture { inner, call, judge }
    }
}

impl<S: fmt::Debug, W, J, T, N> fmt::Debug for HttpMeasured<S, W, J, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpMeasured");
        debug.field("inner", &self.inner).field("shared", &self.shared).finish_non_exhaustive()
    }
}
