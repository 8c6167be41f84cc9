use crate::acquire::Acquire;
use crate::future::ResponseFuture;
use crate::lease::Lease;
use crate::manager::Manager;
use crate::pool::Pool;
use buttress_core::Rejected;
use std::fmt;
use std::mem;
use std::panic::Location;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service whose requests each have a connection. Made by [`PoolLayer`](crate::PoolLayer).
///
/// It defers: readiness is a place in the pool's queue and the inner service's own, and the readied instance waits in the
/// response future for its connection, while a clone takes its turn here (`S: Clone`). Without a place it is ready at once,
/// does not ask the inner service, and refuses the call. A clone has no place.
pub struct Pooled<S, M: Manager> {
    inner: S,
    pool: Pool<M>,
    by: &'static Location<'static>,
    /// The get of the next call, which has a place.
    placed: Option<Acquire<M>>,
}

impl<S, M: Manager> Pooled<S, M> {
    pub(crate) fn new(inner: S, pool: Pool<M>, by: &'static Location<'static>) -> Self {
        Self { inner, pool, by, placed: None }
    }

    /// Where the connections come from.
    pub fn pool(&self) -> &Pool<M> {
        &self.pool
    }
}

impl<S, M, Req> Service<Req> for Pooled<S, M>
where
    S: Service<(Lease<M>, Req)> + Clone,
    S::Error: From<Rejected>,
    M: Manager,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, M, Req, S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.placed.is_none() {
            self.placed = self.pool.placed(self.by);
            if self.placed.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
        let ready = self.inner.poll_ready(cx);
        if let Poll::Ready(Err(_)) = ready {
            self.placed = None; // there will be no call
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let Some(get) = self.placed.take() else {
            return ResponseFuture::refused(self.pool.turn_away());
        };
        let fresh = self.inner.clone();
        let readied = mem::replace(&mut self.inner, fresh);
        ResponseFuture::waiting(self.pool.name(), get, readied, request)
    }
}

impl<S: Clone, M: Manager> Clone for Pooled<S, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.pool.clone(), self.by)
    }
}

impl<S: fmt::Debug, M: Manager> fmt::Debug for Pooled<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled")
            .field("inner", &self.inner)
            .field("pool", &self.pool)
            .field("has_place", &self.placed.is_some())
            .finish_non_exhaustive()
    }
}
