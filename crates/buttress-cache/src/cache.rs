use crate::store::Store;
use crate::{Config, Policy, Stats};
use buttress_core::{Inspect, Name, Sink};
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Keeps values for a while, within limits. Cloning it is cheap and gives the same cache.
///
/// Spawns a task that frees expired entries, if something that expires is put in inside a tokio runtime; it ends with
/// the last clone. Without a runtime they are freed when they are found.
///
/// Values are cloned out, so put what is large behind an `Arc` or in `Bytes`. `Hash`, `Eq` of keys and `Clone` of
/// values run under a shard's lock, and must not use the same cache; drops run after it.
///
/// # Examples
///
/// ```
/// use buttress_cache::{Cache, Config};
/// use std::sync::Arc;
///
/// let users: Cache<u64, Arc<str>> = Cache::new("users", Config::default());
/// users.insert(7, "Ada".into());
/// assert_eq!(users.get(&7).as_deref(), Some("Ada"));
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
    pub(crate) config: Config,
    policy: Policy,
    weigh: Option<Weigh<K, V>>,
    pub(crate) store: Store<K, V>,
    /// Whether a sweeper is running. Relaxed: only one of those who change it may spawn, and that is all.
    swept: AtomicBool,
}

impl<K, V> Shared<K, V> {
    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        self.weigh.as_ref().map_or(1, |weigh| weigh(key, value))
    }
}

type Weigh<K, V> = Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>;

impl<K, V> Cache<K, V> {
    /// Makes an empty cache with the default policy, in which every entry weighs one.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        Self::make(name.into(), config, Policy::default(), None)
    }

    fn make(name: Name, config: Config, policy: Policy, weigh: Option<Weigh<K, V>>) -> Self {
        let store = Store::new(&config, policy, now());
        Self {
            shared: Arc::new(Shared { name, config, policy, weigh, store, swept: AtomicBool::new(false) }),
        }
    }

    /// Chooses which entry leaves when it is full. To be said first: it gives an empty cache.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        let Shared { name, config, weigh, .. } = &*self.shared;
        Self::make(*name, config.clone(), policy, weigh.clone())
    }

    /// Weighs each entry as it is put in, in the unit of [`Config::max_weight`]. To be said first: it gives an empty
    /// cache.
    #[must_use]
    pub fn weigh(self, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        let Shared { name, config, policy, .. } = &*self.shared;
        Self::make(*name, config.clone(), *policy, Some(Arc::new(weigh)))
    }

    /// What it holds and has counted. Each shard is looked at under its lock, one after the other.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.store.stats()
    }

    /// Takes out every entry, and says how many there were.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_all(&self) -> u64 {
        self.invalidate_if(|_, _| true)
    }

    /// Takes out every entry that `which` says, and says how many there were. Looks at all of them, a shard at a
    /// time and under its lock.
    pub fn invalidate_if(&self, which: impl FnMut(&K, &V) -> bool) -> u64 {
        self.shared.store.remove_if(which)
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq,
{
    /// A fresh value of `key`. The key is not cloned.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.shared.store.get(key, now)
    }

    /// Takes out the value of `key`, whether it is fresh or not.
    pub fn invalidate<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.store.remove(key)
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + 'static,
{
    /// Puts a value in, for as long as [`Config::ttl`] says. Answers whether it is there now: one that weighs more
    /// than the whole cache may hold is not, and neither is the older value of its key.
    pub fn insert(&self, key: K, value: V) -> bool {
        self.insert_for(key, value, self.shared.config.ttl)
    }

    /// Puts a value in for as long as `ttl` says, by the rules of [`Config::ttl`].
    pub fn insert_for(&self, key: K, value: V, ttl: Duration) -> bool {
        let weight = self.shared.weigh(&key, &value);
        let stored = self.shared.store.insert(key, value, weight, ttl, now);
        if self.shared.store.is_timed() && !self.shared.swept.load(Ordering::Relaxed) {
            self.sweep();
        }
        stored
    }

    /// Starts the sweeper, where there is a runtime to start it on.
    #[cold]
    fn sweep(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.shared.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let sweeping = Sweeping(Arc::downgrade(&self.shared));
        let every = self.shared.config.sweep_every.max(Duration::from_millis(1));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                match sweeping.0.upgrade() {
                    Some(shared) => shared.store.sweep(now()),
                    None => return,
                }
            }
        });
    }
}

/// A sweeper; when it ends with its runtime, another may be started on the next one.
struct Sweeping<K, V>(Weak<Shared<K, V>>);

impl<K, V> Drop for Sweeping<K, V> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.swept.store(false, Ordering::Relaxed);
        }
    }
}

impl<K: Send + Sync, V: Send> Inspect for Cache<K, V> {
    fn kind(&self) -> &'static str {
        "cache"
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
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// The one clock: tokio's, so that paused time drives everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
