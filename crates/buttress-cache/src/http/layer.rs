use super::cache::HttpCache;
use super::service::HttpCached;
use crate::flow::{Apart, Here};
use std::fmt;
use std::marker::PhantomData;
use tower_layer::Layer;

/// Puts an [`HttpCache`] before a service: answers what is stored, and stores what may be.
///
/// See the [module](super) for what it does and an example.
pub struct HttpCacheLayer<M = Here> {
    cache: HttpCache,
    mode: PhantomData<fn() -> M>,
}

impl HttpCacheLayer {
    /// Stores into `cache` what the service answers.
    #[must_use]
    pub fn new(cache: &HttpCache) -> Self {
        Self { cache: cache.clone(), mode: PhantomData }
    }
}

impl<M> HttpCacheLayer<M> {
    /// Serves what is stale at once where that is allowed, and revalidates it in a task; reads bodies that are to be
    /// stored in tasks too, as fast as they come, so that a slow client keeps nobody waiting and one that leaves ends
    /// nothing. Asks for more: services, bodies and their futures are `Send + 'static`, and request bodies have a
    /// default.
    ///
    /// Spawns. Each task ends with its body, also if its client has left: what stalls for ever is waited for as long, so
    /// bound the time of bodies inside. Outside a tokio runtime there are none, and all is as without this. What a client has
    /// not read of a body that is to be stored is kept for it, up to [`HttpOptions::max_body`](super::HttpOptions::max_body),
    /// and is not weighed.
    #[must_use]
    pub fn background(self) -> HttpCacheLayer<Apart> {
        HttpCacheLayer { cache: self.cache, mode: PhantomData }
    }
}

impl<S, M> Layer<S> for HttpCacheLayer<M> {
    type Service = HttpCached<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpCached::new(inner, self.cache.clone())
    }
}

impl<M> Clone for HttpCacheLayer<M> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), mode: PhantomData }
    }
}

impl<M> fmt::Debug for HttpCacheLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheLayer").field("cache", &self.cache).finish()
    }
}
