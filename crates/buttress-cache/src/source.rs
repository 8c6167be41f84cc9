//! Where values come from: a service and a request, or a closure and a key.

use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};
use tower_service::Service;

/// Something that can be readied, and then called once.
///
/// There is nothing to implement: it only gives what is before a cache a name.
pub trait Source<K>: Sized {
    #[doc(hidden)]
    type Request;
    #[doc(hidden)]
    type Value;
    #[doc(hidden)]
    type Error;
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Value, Self::Error>>;

    #[doc(hidden)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;
    /// What a rule may look at first. There is no key where a request goes past the cache.
    #[doc(hidden)]
    fn request<'a>(&'a self, key: Option<&'a K>) -> &'a Self::Request;
    #[doc(hidden)]
    fn call(self, key: Option<&K>) -> Self::Future;
}

/// A clone of a service, and what it is to be called with.
#[derive(Clone, Debug)]
pub struct Serve<S, Req> {
    pub(crate) inner: S,
    pub(crate) request: Req,
}

impl<S: Service<Req>, Req, K> Source<K> for Serve<S, Req> {
    type Request = Req;
    type Value = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn request<'a>(&'a self, _: Option<&'a K>) -> &'a Req {
        &self.request
    }

    #[inline]
    fn call(mut self, _: Option<&K>) -> S::Future {
        self.inner.call(self.request)
    }
}

/// A closure that loads a key.
#[derive(Clone, Copy)]
pub struct Load<F>(pub(crate) F);

impl<K, V, E, F, L> Source<K> for Load<F>
where
    F: FnOnce(&K) -> L,
    L: Future<Output = Result<V, E>>,
{
    type Request = K;
    type Value = V;
    type Error = E;
    type Future = L;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn request<'a>(&'a self, key: Option<&'a K>) -> &'a K {
        key.expect("only requests go past a cache")
    }

    #[inline]
    fn call(self, key: Option<&K>) -> L {
        (self.0)(key.expect("only requests go past a cache"))
    }
}

impl<F> fmt::Debug for Load<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load(..)")
    }
}
