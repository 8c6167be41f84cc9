use crate::glob::Glob;
use crate::rules::{Found, Keep, Touch};
use crate::store::Store;
use crate::{Config, Policy, Stats};
use buttress_core::{Inspect, Name, Reason, Rejected, Sink};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Keeps values for a while, within limits. Cloning it is cheap and gives the same cache.
///
/// Spawns a task that frees expired entries, if something that expires is put in inside a tokio runtime; it ends with
/// the last clone. Without a runtime that has timers they are freed when they are found.
///
/// Values are cloned out, so put what is large behind an `Arc` or in `Bytes`. `Hash`, `Eq` of keys and `Clone` of
/// values run under a shard's lock, and must not use the same cache; drops run after it.
///
/// For HTTP responses there is [`http::HttpCache`](crate::http::HttpCache) with its layer (feature `http`).
///
/// # Examples
///
/// ```
/// use buttress_cache::{Cache, Config};
/// use std::sync::Arc;
///
/// let users: Cache<u64, Arc<str>> = Cache::new("users", Config::default());
/// users.insert(7, "Ada".into());
/// assert_eq!(users.get(&7).map(|found| found.to_uppercase()).as_deref(), Some("ADA"));
/// users.invalidate(&7);
/// assert_eq!(users.get(&7), None);
/// assert_eq!((users.stats().hits, users.stats().misses), (1, 1));
/// ```
pub struct Cache<K, V> {
    pub(crate) shared: Arc<Shared<K, V>>,
}

/// What all clones of a cache share.
pub(crate) struct Shared<K, V> {
    pub(crate) name: Name,
    config: Mutex<Config>,
    policy: Policy,
    weigh: Option<Weigh<K, V>>,
    seed: u64,
    pub(crate) store: Store<K, V>,
    /// Whether a sweeper is running. Relaxed: only one of those who change it may spawn, and that is all.
    swept: AtomicBool,
    /// Ends the sweeper.
    sweeper: Mutex<Option<AbortHandle>>,
    /// A function, since only those who make a cache know that it may be sent to a task.
    sweep: fn(&Arc<Self>, &Handle) -> AbortHandle,
}

impl<K, V> Shared<K, V> {
    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        match &self.weigh {
            Some(weigh) if self.store.is_weighed() => weigh(key, value),
            _ => 1,
        }
    }

    pub(crate) fn rejected(&self, reason: Reason) -> Rejected {
        Rejected::new(KIND, self.name, reason)
    }

    /// Starts the sweeper if it is needed and does not run, and there is a runtime to start it on.
    #[inline]
    pub(crate) fn keep_swept(self: &Arc<Self>) {
        if self.store.is_timed() && !self.swept.load(Ordering::Relaxed) {
            self.start_sweeping();
        }
    }

    #[cold]
    fn start_sweeping(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.swept.swap(true, Ordering::Relaxed) {
            *self.sweeper.lock() = Some((self.sweep)(self, &runtime));
        }
    }
}

/// What it is called where it refuses and where it is inspected.
const KIND: &str = "cache";

type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

impl<K: Send + Sync + 'static, V: Send + 'static> Cache<K, V> {
    /// Makes an empty cache with the default policy.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        Self::make(name.into(), config, Policy::default(), None, RandomState::default().hash_one(()))
    }

    fn make(name: Name, config: Config, policy: Policy, weigh: Option<Weigh<K, V>>, seed: u64) -> Self {
        let store = Store::new(&config, policy, seed, now());
        let (config, swept, sweeper) = (Mutex::new(config), AtomicBool::new(false), Mutex::new(None));
        Self { shared: Arc::new(Shared { name, config, policy, weigh, seed, store, swept, sweeper, sweep }) }
    }

    /// Chooses which entry leaves when it is full. To be said first: it gives an empty cache.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        let Shared { name, weigh, seed, .. } = &*self.shared;
        Self::make(*name, self.config(), policy, weigh.clone(), *seed)
    }

    /// Weighs each entry as it is put in, in the unit of [`Config::max_weight`]. To be said first: it gives an empty
    /// cache.
    #[must_use]
    pub fn weigh(self, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        let Shared { name, policy, seed, .. } = &*self.shared;
        Self::make(*name, self.config(), *policy, Some(Arc::new(weigh)), *seed)
    }

    /// Seeds what is drawn by chance, jitter and early refreshes, so that a test can repeat it. To be said first: it
    /// gives an empty cache. Default a random seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        let Shared { name, policy, weigh, .. } = &*self.shared;
        Self::make(*name, self.config(), *policy, weigh.clone(), seed)
    }
}

impl<K, V> Cache<K, V> {
    /// What it was made with, or [reconfigured](Self::reconfigure) to.
    #[must_use]
    pub fn config(&self) -> Config {
        self.shared.config.lock().clone()
    }

    /// Goes by another configuration from now on.
    ///
    /// Entries stay, with the times that they were put in with, and the weights; those for which there is no room any
    /// more are evicted. Loads that are under way end by the new one. A clone of this cache, a layer and a
    /// [`Loader`](crate::Loader) are the same cache, and go by it too.
    ///
    /// # Errors
    ///
    /// If there are to be fewer entries than the cache has shards, which it was made with: nothing changes then.
    pub fn reconfigure(&self, config: Config) -> Result<(), TooFewEntries> {
        let shards = self.shared.store.shards();
        if config.max_entries.get() < shards {
            return Err(TooFewEntries { max_entries: config.max_entries.get(), shards });
        }
        let mut current = self.shared.config.lock();
        let gone = self.shared.store.reconfigure(&config);
        *current = config;
        drop(current);
        drop(gone); // after the lock: a value's drop may run anything
        Ok(())
    }

    /// What it holds and has counted. Each shard is looked at under its lock, one after the other.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.store.stats()
    }

    /// Takes out every entry, and says how many there were.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_all(&self) -> u64 {
        self.shared.store.remove_if(|_, _| true)
    }

    /// Takes out every entry that `which` says, and says how many there were. Looks at all of them, a shard at a
    /// time and under its lock.
    ///
    /// What is being loaded meanwhile is not stored, whatever it is: it cannot be asked yet.
    pub fn invalidate_if(&self, mut which: impl FnMut(&K, &V) -> bool) -> u64 {
        self.shared.store.remove_if(|key, value| value.is_none_or(|value| which(key, value)))
    }

    /// Takes out every entry whose key `which` says, and says how many there were. Looks at all of them, a shard at a
    /// time and under its lock.
    pub fn invalidate_keys(&self, mut which: impl FnMut(&K) -> bool) -> u64 {
        self.shared.store.remove_if(|key, _| which(key))
    }

    /// Takes out every entry whose key matches, and says how many there were. Looks at all of them, as
    /// [`invalidate_keys`](Self::invalidate_keys) does, which is for keys that are not text.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_cache::{Cache, Config, Glob};
    ///
    /// let cache: Cache<String, u32> = Cache::new("users", Config::default());
    /// cache.insert("user:7".into(), 1);
    /// cache.insert("user2:7".into(), 2);
    /// assert_eq!(cache.invalidate_glob(&Glob::new("user:*")?), 1);
    /// # Ok::<_, buttress_cache::BadGlob>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_glob(&self, glob: &Glob) -> u64
    where
        K: AsRef<str>,
    {
        self.invalidate_keys(|key| glob.matches(key.as_ref()))
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq,
{
    /// A value of `key` that is fresh, or stale and within
    /// [`Config::stale_while_revalidate`]. The key is not cloned.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<Found<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.shared.store.get(key)
    }

    /// Takes out the value of `key`, whether it is fresh or not.
    pub fn invalidate<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.store.remove(key)
    }

    /// Takes out every entry that has this tag, and says how many there were. It costs as much as they are many, and
    /// a lock of each shard.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_cache::{Cache, Config, Keep};
    ///
    /// let pages: Cache<&str, &str> = Cache::new("pages", Config::default());
    /// pages.insert_with("/ada", "<h1>", &Keep::default().tag("author:7").tag("people"));
    /// assert_eq!(pages.invalidate_tag("author:7"), 1);
    /// assert_eq!(pages.get("/ada"), None);
    /// ```
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_tag(&self, tag: &str) -> u64 {
        self.shared.store.remove_tag(tag)
    }

    /// Does what a write says of itself.
    pub(crate) fn touch(&self, touches: Vec<Touch<K>>) {
        for touch in touches {
            match touch {
                Touch::Key(key) => drop(self.invalidate(&key)),
                Touch::Tag(tag) => drop(self.invalidate_tag(&tag)),
                Touch::All => drop(self.invalidate_all()),
            }
        }
    }

    /// Puts a value in, for as long as [`Config::ttl`] says. Answers whether it is there now: one that weighs more
    /// than the whole cache may hold is not, and neither is the older value of its key.
    pub fn insert(&self, key: K, value: V) -> bool {
        self.insert_with(key, value, &Keep::USUAL)
    }

    /// Puts a value in for as long as `ttl` says, by the rules of [`Config::ttl`].
    pub fn insert_for(&self, key: K, value: V, ttl: Duration) -> bool {
        self.insert_with(key, value, &Keep::default().ttl(ttl))
    }

    /// Puts a value in, with times and tags of its own.
    pub fn insert_with(&self, key: K, value: V, keep: &Keep) -> bool {
        let weight = self.shared.weigh(&key, &value);
        let is_stored = self.shared.store.insert(key, value, weight, keep);
        self.shared.keep_swept();
        is_stored
    }
}

/// Spawns the sweeper of a cache.
fn sweep<K: Send + Sync + 'static, V: Send + 'static>(
    shared: &Arc<Shared<K, V>>,
    runtime: &Handle,
) -> AbortHandle {
    let mut sweeping = Sweeping { shared: Arc::downgrade(shared), has_slept: false };
    let sweeper = runtime.spawn(async move {
        loop {
            let Some(every) = sweeping.shared.upgrade().map(|shared| shared.config.lock().sweep_every) else {
                return;
            };
            tokio::time::sleep(every.max(Duration::from_millis(1))).await;
            sweeping.has_slept = true;
            if let Some(shared) = sweeping.shared.upgrade() {
                shared.store.sweep(now());
            }
        }
    });
    sweeper.abort_handle()
}

impl<K, V> Drop for Shared<K, V> {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get_mut().take() {
            sweeper.abort(); // it may sleep for long
        }
    }
}

/// A sweeper; when it ends with its runtime, another may be started on the next one.
struct Sweeping<K, V> {
    shared: Weak<Shared<K, V>>,
    has_slept: bool,
}

impl<K, V> Drop for Sweeping<K, V> {
    fn drop(&mut self) {
        // Where there are no timers the next one would panic as well.
        let has_timers = self.has_slept || !std::thread::panicking();
        if let Some(shared) = self.shared.upgrade().filter(|_| has_timers) {
            shared.swept.store(false, Ordering::Relaxed);
        }
    }
}

/// A cache cannot be limited to so few entries; see [`Cache::reconfigure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewEntries {
    max_entries: usize,
    shards: usize,
}

impl fmt::Display for TooFewEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_entries, shards } = self;
        write!(f, "max_entries {max_entries} is less than the cache's {shards} shards, which cannot change")
    }
}

impl std::error::Error for TooFewEntries {}

impl<K: Send + Sync, V: Send> Inspect for Cache<K, V> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.shared.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        self.stats().write(sink);
        sink.note("policy", &format_args!("{:?}", self.shared.policy));
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    /// Keys and values are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.shared.name)
            .field("policy", &self.shared.policy)
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}

/// The one clock: tokio's, so that paused time drives everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
