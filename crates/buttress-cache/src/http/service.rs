use super::answer::{Form, answer};
use super::body::Body;
use super::cache::HttpCache;
use super::client::{Sort, look};
use super::future::{ResponseFuture, Trip};
use super::mode::Drive;
use super::policy::Verdict;
use super::status::CacheStatus;
use crate::flow::Here;
use buttress_core::Rejected;
use bytes::Bytes;
use http::{Request, Response};
use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service behind an [`HttpCache`]. Made by [`HttpCacheLayer`](super::HttpCacheLayer).
///
/// It defers: it is always ready, and a call that needs the inner service readies a clone of it in its own future.
pub struct HttpCached<S, M = Here> {
    inner: S,
    cache: HttpCache,
    mode: PhantomData<fn() -> M>,
}

impl<S, M> HttpCached<S, M> {
    pub(crate) fn new(inner: S, cache: HttpCache) -> Self {
        Self { inner, cache, mode: PhantomData }
    }

    /// The cache before it.
    pub fn cache(&self) -> &HttpCache {
        &self.cache
    }
}

impl<S, M, Q, B> Service<Request<Q>> for HttpCached<S, M>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Q, S::Future, B, M>;

    /// Always ready: only a call that is not answered by the cache needs the inner service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let mut sort = Sort::of(&self.cache, &request);
        if let Ok((key, head, ranged)) = &mut sort.way {
            let now = self.cache.now();
            let form = Form { headers: request.headers(), head: *head, ranged: *ranged };
            let found = look(&self.cache, std::mem::take(key), form, &sort.directives, now, false);
            if let Some((stored, verdict @ (Verdict::Fresh | Verdict::MaxStale))) = &found.stored {
                let ttl = stored.policy.ttl_seconds(now);
                let status = CacheStatus { detail: verdict.detail(), ..CacheStatus::hit(ttl) };
                return ResponseFuture::answered(answer(&self.cache, form, stored, now, &status));
            }
            *key = found.key.into_uri();
        }
        let client = sort.client(&request);
        ResponseFuture::begin(Trip::new(self.cache.clone(), self.inner.clone(), request, client))
    }
}

impl<S: Clone, M> Clone for HttpCached<S, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.cache.clone())
    }
}

impl<S: fmt::Debug, M> fmt::Debug for HttpCached<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCached").field("inner", &self.inner).field("cache", &self.cache).finish()
    }
}
