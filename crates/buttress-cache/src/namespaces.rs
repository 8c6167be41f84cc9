use crate::{Cache, Stats};
use buttress_core::{Inspect, Name};
use parking_lot::Mutex;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Caches of several types that belong together: invalidated by name, by tag, or all at once, and inspected together.
///
/// A namespace is a [`Cache`] with keys, values, limits and times of its own; equal keys in two of them are two
/// entries, and none takes room from another. Cheap to clone; clones are the same.
///
/// # Examples
///
/// ```
/// use buttress_cache::{Cache, Config, Keep, Namespaces};
/// use std::time::Duration;
///
/// let assistant = Namespaces::new();
/// let conversations: Cache<u64, String> = assistant.add(Cache::new("conversation", Config::default()))?;
/// let config = Config::default().ttl(Duration::from_secs(3600));
/// let answers: Cache<String, String> = assistant.add(Cache::new("answer", config))?;
///
/// conversations.insert_with(7, "Hello".into(), &Keep::default().tag("user:1"));
/// answers.insert_with("7".into(), "Hi".into(), &Keep::default().tag("user:1"));
/// assert_eq!(assistant.invalidate("conversation"), Some(1));
/// assert_eq!(answers.stats().entries, 1);
/// assert_eq!(assistant.invalidate_tag("user:1"), 1);
/// assert_eq!(assistant.invalidate("no such"), None);
/// # Ok::<_, buttress_cache::NameTaken>(())
/// ```
#[derive(Clone, Default)]
pub struct Namespaces {
    spaces: Arc<Mutex<Vec<Arc<dyn Space>>>>,
}

/// A cache of whatever types.
trait Space: Inspect {
    fn stats(&self) -> Stats;
    fn invalidate_tag(&self, tag: &str) -> u64;
    fn invalidate_all(&self) -> u64;
    fn as_inspect(self: Arc<Self>) -> Arc<dyn Inspect>;
}

impl<K, V> Space for Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + 'static,
{
    fn stats(&self) -> Stats {
        self.stats()
    }

    fn invalidate_tag(&self, tag: &str) -> u64 {
        self.invalidate_tag(tag)
    }

    fn invalidate_all(&self) -> u64 {
        self.invalidate_all()
    }

    fn as_inspect(self: Arc<Self>) -> Arc<dyn Inspect> {
        self
    }
}

impl Namespaces {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cache under the name that it has, and gives it back.
    ///
    /// # Errors
    ///
    /// If there is one of that name.
    pub fn add<K, V>(&self, cache: Cache<K, V>) -> Result<Cache<K, V>, NameTaken>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + 'static,
    {
        let mut spaces = self.spaces.lock();
        if spaces.iter().any(|space| space.name() == cache.name()) {
            return Err(NameTaken(cache.name()));
        }
        spaces.push(Arc::new(cache.clone()));
        Ok(cache)
    }

    /// Takes out every entry of the cache of this name, and says how many there were; `None` if there is no such.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate(&self, name: &str) -> Option<u64> {
        self.each()
            .into_iter()
            .find(|space| space.name().as_str() == name)
            .map(|space| space.invalidate_all())
    }

    /// Takes out every entry of every cache that has this tag, and says how many there were.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_tag(&self, tag: &str) -> u64 {
        self.each().iter().map(|space| space.invalidate_tag(tag)).sum()
    }

    /// Takes out every entry of every cache, and says how many there were.
    #[allow(clippy::must_use_candidate, reason = "done for its effect")]
    pub fn invalidate_all(&self) -> u64 {
        self.each().iter().map(|space| space.invalidate_all()).sum()
    }

    /// What each cache holds and has counted, in the order in which they were added.
    #[must_use]
    pub fn stats(&self) -> Vec<(Name, Stats)> {
        self.each().iter().map(|space| (space.name(), space.stats())).collect()
    }

    /// Each cache, for whatever reads counts.
    #[must_use]
    pub fn inspect(&self) -> Vec<Arc<dyn Inspect>> {
        self.each().into_iter().map(Space::as_inspect).collect()
    }

    /// No cache is worked on under the lock.
    fn each(&self) -> Vec<Arc<dyn Space>> {
        self.spaces.lock().clone()
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.each().iter().map(|space| space.name())).finish()
    }
}

/// There is a cache of this name; see [`Namespaces::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTaken(Name);

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is a namespace `{}` already", self.0)
    }
}

impl std::error::Error for NameTaken {}
