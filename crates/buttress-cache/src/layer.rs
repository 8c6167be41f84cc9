use crate::flow::{Apart, Here};
use crate::key::{Borrowed, Owned};
use crate::rules::{By, ByRequest, Cloned, Fate, Rules, Served, Touch};
use crate::{Cache, Cached};
use buttress_core::KeyOf;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tower_layer::Layer;

/// Puts a [`Cache`] before a service: answers what is there, and loads the rest through it.
///
/// It is always ready and asks the inner service for readiness only where it calls it, so that what is there is
/// answered whatever the service does. See the [crate] for when to use it and for examples.
///
/// It knows nothing of HTTP: for responses there is [`http::HttpCacheLayer`](crate::http::HttpCacheLayer) (feature
/// `http`).
pub struct CacheLayer<K, V, F, P = Rules, M = Here> {
    cache: Cache<K, V>,
    key: F,
    rules: P,
    mode: PhantomData<fn() -> M>,
}

impl<K, V, F> CacheLayer<K, V, Owned<F>> {
    /// Stores into `cache` what the service answers, by a key that `key` makes of each request; a request without one
    /// goes past the cache. Say what the request is: `|request: &Request| Some(request.id)`.
    #[must_use]
    pub fn new<Req>(cache: &Cache<K, V>, key: F) -> Self
    where
        F: KeyOf<Req, Key = K>,
    {
        Self { cache: cache.clone(), key: Owned(key), rules: Rules::new(), mode: PhantomData }
    }
}

impl<K, V, F, Q: ?Sized> CacheLayer<K, V, Borrowed<F, Q>> {
    /// As [`new`](CacheLayer::new), by a key that is borrowed from the request, and made of that only where it is not
    /// found: `|request: &Request| Some(request.path())` for keys that are `String` or `Arc<str>`.
    #[must_use]
    pub fn by_ref<Req>(cache: &Cache<K, V>, key: F) -> Self
    where
        F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
        K: for<'a> From<&'a Q>,
    {
        Self { cache: cache.clone(), key: Borrowed(key, PhantomData), rules: Rules::new(), mode: PhantomData }
    }
}

impl<K, V, F, P, M> CacheLayer<K, V, F, P, M> {
    /// Goes by rules that were made apart.
    #[must_use]
    pub fn rules<Q>(self, rules: Q) -> CacheLayer<K, V, F, Q, M> {
        CacheLayer { cache: self.cache, key: self.key, rules, mode: PhantomData }
    }

    /// Runs each load in a task of its own: a caller that leaves does not end it, a stale value is served at once
    /// while it is loaded again, and so are [`Config::early_refresh`](crate::Config::early_refresh) and
    /// [`Config::soft_timeout`](crate::Config::soft_timeout) made good. Asks for more: services, requests and their
    /// futures are `Send + 'static`, and requests `Clone`.
    ///
    /// Spawns. Each task ends with its load; outside a tokio runtime there is none, and loads run as without this.
    #[must_use]
    pub fn background(self) -> CacheLayer<K, V, F, P, Apart> {
        CacheLayer { cache: self.cache, key: self.key, rules: self.rules, mode: PhantomData }
    }
}

#[expect(clippy::type_complexity, reason = "the types say which rules are set")]
impl<K, V, F, R, X, N, W, M, D> CacheLayer<K, V, F, Rules<R, X, N, W, M>, D> {
    fn with<Q>(self, rules: impl FnOnce(Rules<R, X, N, W, M>) -> Q) -> CacheLayer<K, V, F, Q, D> {
        CacheLayer { cache: self.cache, key: self.key, rules: rules(self.rules), mode: PhantomData }
    }

    /// As [`Rules::rule`].
    #[must_use]
    pub fn rule<G: Fn(&V) -> Fate>(self, rule: G) -> CacheLayer<K, V, F, Rules<By<G>, X, N, W, M>, D> {
        self.with(|rules| rules.rule(rule))
    }

    /// As [`Rules::rule_by`].
    #[must_use]
    pub fn rule_by<Req, G, J>(self, rule: G) -> CacheLayer<K, V, F, Rules<ByRequest<G>, X, N, W, M>, D>
    where
        G: Fn(&Req) -> J,
        J: FnOnce(&V) -> Fate,
    {
        self.with(|rules| rules.rule_by(rule))
    }

    /// As [`Rules::share_errors`].
    #[must_use]
    pub fn share_errors(self) -> CacheLayer<K, V, F, Rules<R, Cloned, N, W, M>, D> {
        self.with(Rules::share_errors)
    }

    /// As [`Rules::remember_errors`].
    #[must_use]
    pub fn remember_errors<E, G>(self, remember: G) -> CacheLayer<K, V, F, Rules<R, X, By<G>, W, M>, D>
    where
        G: Fn(&E) -> Option<Duration>,
    {
        self.with(|rules| rules.remember_errors(remember))
    }

    /// As [`Rules::invalidate_on`].
    #[must_use]
    pub fn invalidate_on<Req, G>(self, writes: G) -> CacheLayer<K, V, F, Rules<R, X, N, By<G>, M>, D>
    where
        G: Fn(&Req) -> Vec<Touch<K>>,
    {
        self.with(|rules| rules.invalidate_on(writes))
    }

    /// As [`Rules::mark`].
    #[must_use]
    pub fn mark<G: Fn(&mut V, Served)>(self, mark: G) -> CacheLayer<K, V, F, Rules<R, X, N, W, By<G>>, D> {
        self.with(|rules| rules.mark(mark))
    }
}

impl<S, K, V, F: Clone, P: Clone, M> Layer<S> for CacheLayer<K, V, F, P, M> {
    type Service = Cached<S, K, V, F, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Cached::new(inner, self.cache.clone(), self.key.clone(), self.rules.clone())
    }
}

impl<K, V, F: Clone, P: Clone, M> Clone for CacheLayer<K, V, F, P, M> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            key: self.key.clone(),
            rules: self.rules.clone(),
            mode: PhantomData,
        }
    }
}

impl<K, V, F, P, M> fmt::Debug for CacheLayer<K, V, F, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("cache", &self.cache).finish_non_exhaustive()
    }
}
