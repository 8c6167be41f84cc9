use super::entry::{Entry, HttpKey, tag_of, weight, without_scheme};
use super::key::Target;
use super::options::HttpOptions;
use crate::cache::now;
use crate::{Cache, Config, Stats, TooFewEntries};
use buttress_core::{Inspect, Name, Sink};
use http::{HeaderMap, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Stores responses, and forgets them when told to. Cloning it is cheap and gives the same cache.
///
/// [`HttpCacheLayer`](super::HttpCacheLayer) puts it before a service. Each response says itself how long it is fresh; of
/// [`Config`] count the limits, `hard_timeout`, `retry_after`, `idle_ttl` and `sweep_every`. A response weighs about as
/// many bytes as it takes. The wall clock is read once, when it is made, and goes on with tokio's.
///
/// # Examples
///
/// ```
/// use buttress_cache::Config;
/// use buttress_cache::http::{HttpCache, HttpOptions};
/// use std::num::NonZeroU64;
///
/// let config = Config::default().max_weight(NonZeroU64::new(256 << 20));
/// let pages = HttpCache::new("pages", config, HttpOptions::default());
/// assert_eq!(pages.purge("https://example.org/news"), 0);
/// ```
#[derive(Clone)]
pub struct HttpCache {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Cache<HttpKey, Entry>,
    options: HttpOptions,
    name: Name,
    /// The same moment by both clocks.
    wall: SystemTime,
    began: Instant,
}

impl HttpCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config, options: HttpOptions) -> Self {
        let name = name.into();
        let rules = options.clone();
        let cache = Cache::new(name, config).weigh(move |key, entry| weight(key, entry, &rules));
        Self { inner: Arc::new(Inner { cache, options, name, wall: SystemTime::now(), began: now() }) }
    }

    /// What it does where the RFC leaves it the choice.
    #[must_use]
    pub fn options(&self) -> &HttpOptions {
        &self.inner.options
    }

    /// What it was made with, or reconfigured to.
    #[must_use]
    pub fn config(&self) -> Config {
        self.inner.cache.config()
    }

    /// Goes by another configuration from now on; see [`Cache::reconfigure`].
    ///
    /// # Errors
    ///
    /// If there are to be fewer entries than the cache has shards: nothing changes then.
    pub fn reconfigure(&self, config: Config) -> Result<(), TooFewEntries> {
        self.inner.cache.reconfigure(config)
    }

    /// What it holds and has counted. What a response varies on is an entry too.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.cache.stats()
    }

    /// Forgets all responses of a URI, and says how many entries that were. What is being loaded is not stored.
    ///
    /// The scheme does not count, and may be left out: `//host/path`. Servers often get a path and `Host` only.
    /// What is no URI, or has no host, is the URI of no response: that is 0.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn purge(&self, uri: &str) -> u64 {
        self.key_of(uri).map_or(0, |key| self.forget(&key))
    }

    /// Forgets all responses that have a tag, from a field of [`HttpOptions::tag_headers`].
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn purge_tag(&self, tag: &str) -> u64 {
        self.inner.cache.invalidate_tag(tag)
    }

    /// Forgets all responses whose URI begins so, of which the scheme does not count. Looks at all of them.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn purge_prefix(&self, prefix: &str) -> u64 {
        let rest = without_scheme(prefix);
        self.inner.cache.invalidate_keys(|key| {
            let uri = key.uri();
            uri.starts_with(prefix) || without_scheme(uri).starts_with(rest)
        })
    }

    /// Forgets everything.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn purge_all(&self) -> u64 {
        self.inner.cache.invalidate_all()
    }

    fn key_of(&self, uri: &str) -> Option<String> {
        let canonical = self.inner.options.canonical_query;
        // `Uri` has no words for it.
        let (text, scheme) = match uri.strip_prefix("//") {
            Some(rest) => (format!("x://{rest}"), "x:".len()),
            None => (uri.to_owned(), 0),
        };
        let uri: Uri = text.parse().ok()?;
        let key = Target::of(&uri, &HeaderMap::new())?.key(canonical);
        Some(key[scheme..].to_owned())
    }

    /// Forgets what is stored under a key, and what is being loaded for it.
    pub(crate) fn forget(&self, uri: &str) -> u64 {
        let keys = [HttpKey::whole(uri.to_owned()), HttpKey::part(uri.to_owned())];
        let primary = keys.iter().filter(|key| self.inner.cache.invalidate(key).is_some()).count();
        primary as u64 + self.inner.cache.invalidate_tag(&tag_of(uri))
    }

    pub(crate) fn cache(&self) -> &Cache<HttpKey, Entry> {
        &self.inner.cache
    }

    pub(crate) fn name(&self) -> &'static str {
        self.inner.name.as_str()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.inner.wall + now().saturating_duration_since(self.inner.began)
    }
}

impl Inspect for HttpCache {
    fn kind(&self) -> &'static str {
        self.inner.cache.kind()
    }

    fn name(&self) -> Name {
        self.inner.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        self.inner.cache.inspect(sink);
        sink.note("mode", &format_args!("{:?}", self.inner.options.mode));
    }
}

impl fmt::Debug for HttpCache {
    /// What is stored is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCache")
            .field("name", &self.inner.name)
            .field("config", &self.config())
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
