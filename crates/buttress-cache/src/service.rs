use crate::Cache;
#[cfg(doc)]
use crate::CacheLayer;
use crate::flow::{Flow, Here, Mode};
use crate::future::ResponseFuture;
use crate::key::{Probe, Seek};
use crate::load::{Who, Write};
use crate::rules::{Rules, Served, Terms, Touch};
use crate::source::Serve;
use crate::store::Ask;
use buttress_core::Rejected;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service behind a [`Cache`]. Made by [`CacheLayer`].
///
/// It defers: it is always ready, and a call that needs the inner service readies a clone of it in its own future.
pub struct Cached<S, K, V, F, P = Rules, M = Here> {
    inner: S,
    cache: Cache<K, V>,
    key: F,
    rules: P,
    mode: PhantomData<fn() -> M>,
}

impl<S, K, V, F, P, M> Cached<S, K, V, F, P, M> {
    pub(crate) fn new(inner: S, cache: Cache<K, V>, key: F, rules: P) -> Self {
        Self { inner, cache, key, rules, mode: PhantomData }
    }

    /// The cache before it.
    pub fn cache(&self) -> &Cache<K, V> {
        &self.cache
    }
}

impl<S, K, V, F, P, M, Req> Service<Req> for Cached<S, K, V, F, P, M>
where
    S: Service<Req, Response = V> + Clone,
    S::Error: From<Rejected>,
    F: Probe<Req, K>,
    K: Hash + Eq + Clone,
    V: Clone,
    P: Terms<Req, K, V, S::Error> + Clone,
    M: Mode<K, V, Serve<S, Req>, P>,
{
    type Response = V;
    type Error = S::Error;
    type Future = ResponseFuture<K, V, Serve<S, Req>, S::Future, S::Error, P::Judge, P, M>;

    /// Always ready: only a call that is not answered by the cache needs the inner service.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let touches = self.rules.touches(&request);
        if !touches.is_empty() {
            return self.write(request, touches);
        }
        match self.key.seek(&self.cache.shared.store, &request) {
            Seek::Fresh(mut value) => {
                self.rules.mark(&mut value, Served::Hit);
                ResponseFuture::hit(value)
            }
            Seek::Ask { key, early } => self.ask(request, key, early),
            Seek::Past => {
                ResponseFuture::asked(Flow::past(Who::Past, self.source(request), self.rules.clone()))
            }
        }
    }
}

impl<S: Clone, K, V, F, P: Clone, M> Cached<S, K, V, F, P, M> {
    fn source<Req>(&self, request: Req) -> Serve<S, Req> {
        Serve { inner: self.inner.clone(), request }
    }

    /// Out of line: a hit should not carry the code.
    #[inline(never)]
    fn ask<Req, G, E, J>(
        &self,
        request: Req,
        key: K,
        early: bool,
    ) -> ResponseFuture<K, V, Serve<S, Req>, G, E, J, P, M> {
        let ask = Ask { count: true, apart: false, early, reload: false };
        let shared = Arc::clone(&self.cache.shared);
        ResponseFuture::asked(Flow::ask(shared, key, self.source(request), self.rules.clone(), ask))
    }

    #[cold]
    fn write<Req, G, E, J>(
        &self,
        request: Req,
        touches: Vec<Touch<K>>,
    ) -> ResponseFuture<K, V, Serve<S, Req>, G, E, J, P, M>
    where
        K: Hash + Eq,
    {
        let cache = self.cache.clone();
        let who = Who::Write(Write { cache, touches, begun: false, invalidate: Cache::touch });
        ResponseFuture::asked(Flow::past(who, self.source(request), self.rules.clone()))
    }
}

impl<S: Clone, K, V, F: Clone, P: Clone, M> Clone for Cached<S, K, V, F, P, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.cache.clone(), self.key.clone(), self.rules.clone())
    }
}

impl<S: fmt::Debug, K, V, F, P, M> fmt::Debug for Cached<S, K, V, F, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("inner", &self.inner)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
