use crate::call::Call;
use crate::future::{Counted, ResponseFuture};
use crate::layer::Shared;
use crate::outcome::{Errors, Judge};
use crate::request::{TraceOf, WordOf};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Measures the calls of `S`; made by [`MetricsLayer`](crate::MetricsLayer).
///
/// In place: readiness is the inner service's own, and a clone holds nothing.
#[derive(Clone)]
pub struct Measured<S, W = (), J = Errors, T = ()> {
    pub(crate) inner: S,
    pub(crate) shared: Shared,
    pub(crate) word: W,
    pub(crate) judge: J,
    pub(crate) trace: T,
}

impl<S, W, J, T, Req> Service<Req> for Measured<S, W, J, T>
where
    S: Service<Req>,
    W: WordOf<Req>,
    J: Judge<S::Response, S::Error> + Clone,
    T: TraceOf<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, J>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let lane = Arc::clone(self.shared.lanes.here());
        let (place, trace) = Call::prepare(
            || (self.shared.place(&lane, &self.word, &request), self.trace.trace_of(&request)),
            || Counted { lane: Arc::clone(&lane), place: self.shared.unnamed, trace: None },
        );
        let mut call = Call::begin(Counted { lane, place, trace });
        let judge = self.judge.clone();
        let inner = call.guard(|| self.inner.call(request));
        ResponseFuture { inner, call, judge }
    }
}

impl<S: fmt::Debug, W, J, T> fmt::Debug for Measured<S, W, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Measured");
        debug.field("inner", &self.inner).field("shared", &self.shared).finish_non_exhaustive()
    }
}
