use crate::cache::Cache;
use crate::flow::{Apart, FlowOf, Here, Mode};
use crate::rules::{By, ByRequest, Cloned, Fate, Found, Rules, Served, Terms};
use crate::source::Load;
use crate::store::{Ask, Sought};
use buttress_core::Error;
use futures_util::stream::{self, StreamExt};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Loads what a [`Cache`] does not have, by [`Rules`]: what [`Cache::get_or_load`] does, and more. Cheap to clone.
///
/// # Examples
///
/// ```
/// use buttress_cache::{Cache, Config, Fate, Served};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), buttress_core::Error<&'static str>> {
/// let config = Config::default().stale_while_revalidate(Duration::from_secs(60));
/// let people = Cache::<u64, String>::new("people", config)
///     .loader()
///     .rule_by(|id: &u64| {
///         let tag = format!("team:{}", id / 100);
///         move |_: &String| Fate::store().tag(tag).into()
///     })
///     .share_errors()
///     .background();
/// let found = people.get_or_load(7, |_: &u64| async { Ok::<_, &str>("Ada".to_owned()) }).await?;
/// assert_eq!((found.as_str(), found.served), ("Ada", Served::Loaded));
/// assert_eq!(people.cache().invalidate_tag("team:0"), 1);
/// # Ok(())
/// # }
/// ```
pub struct Loader<K, V, P = Rules, M = Here> {
    cache: Cache<K, V>,
    rules: P,
    mode: PhantomData<fn() -> M>,
}

impl<K, V> Cache<K, V> {
    /// Loads with [`Rules`].
    #[must_use]
    pub fn loader(&self) -> Loader<K, V> {
        Loader { cache: self.clone(), rules: Rules::new(), mode: PhantomData }
    }
}

impl<K, V, P, M> Loader<K, V, P, M> {
    /// The cache that it loads for.
    pub fn cache(&self) -> &Cache<K, V> {
        &self.cache
    }

    /// Goes by rules that were made apart.
    #[must_use]
    pub fn rules<Q>(self, rules: Q) -> Loader<K, V, Q, M> {
        Loader { cache: self.cache, rules, mode: PhantomData }
    }

    /// Runs each load in a task of its own: a caller that leaves does not end it, a stale value is served at once
    /// while it is loaded again, and so are [`Config::early_refresh`](crate::Config::early_refresh) and
    /// [`Config::soft_timeout`](crate::Config::soft_timeout) made good.
    ///
    /// Spawns. Each task ends with its load; outside a tokio runtime there is none, and loads run as without this.
    #[must_use]
    pub fn background(self) -> Loader<K, V, P, Apart> {
        Loader { cache: self.cache, rules: self.rules, mode: PhantomData }
    }
}

impl<K, V, P, M> Loader<K, V, P, M>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// A value of `key` that is fresh, or stale as the cache's configuration allows, loaded if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] is this caller's own load, failed; after
    /// [`share_errors`](Self::share_errors) also a clone of another's. [`Error::Rejected`] with
    /// [`Reason::Failed`](buttress_core::Reason::Failed) is the load of another, or one of which the failure is
    /// remembered; with [`Reason::TimedOut`](buttress_core::Reason::TimedOut) one that took too long.
    ///
    /// # Cancel safety
    ///
    /// As [`Cache::get_or_load`]; in the [background](Self::background) the load goes on.
    pub async fn get_or_load<F, L, E>(&self, key: K, load: F) -> Result<Found<V>, Error<E>>
    where
        F: FnOnce(&K) -> L,
        L: Future<Output = Result<V, E>>,
        P: Terms<K, K, V, E> + Clone,
        M: Mode<K, V, Load<F>, P>,
    {
        let ask = match self.cache.seek(&key) {
            Ok(found) => return Ok(found),
            Err(ask) => ask,
        };
        let shared = Arc::clone(&self.cache.shared);
        FlowOf::<K, V, Load<F>, P, M>::ask(shared, key, Load(load), self.rules.clone(), ask).await
    }
}

#[expect(clippy::type_complexity, reason = "the types say which rules are set")]
impl<K, V, R, X, N, W, M, D> Loader<K, V, Rules<R, X, N, W, M>, D> {
    /// As [`Rules::rule`].
    #[must_use]
    pub fn rule<F: Fn(&V) -> Fate>(self, rule: F) -> Loader<K, V, Rules<By<F>, X, N, W, M>, D> {
        Loader { cache: self.cache, rules: self.rules.rule(rule), mode: PhantomData }
    }

    /// As [`Rules::rule_by`], by the key.
    #[must_use]
    pub fn rule_by<F, J>(self, rule: F) -> Loader<K, V, Rules<ByRequest<F>, X, N, W, M>, D>
    where
        F: Fn(&K) -> J,
        J: FnOnce(&V) -> Fate,
    {
        Loader { cache: self.cache, rules: self.rules.rule_by(rule), mode: PhantomData }
    }

    /// As [`Rules::share_errors`].
    #[must_use]
    pub fn share_errors(self) -> Loader<K, V, Rules<R, Cloned, N, W, M>, D> {
        Loader { cache: self.cache, rules: self.rules.share_errors(), mode: PhantomData }
    }

    /// As [`Rules::remember_errors`].
    #[must_use]
    pub fn remember_errors<E, F>(self, remember: F) -> Loader<K, V, Rules<R, X, By<F>, W, M>, D>
    where
        F: Fn(&E) -> Option<Duration>,
    {
        Loader { cache: self.cache, rules: self.rules.remember_errors(remember), mode: PhantomData }
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// A value of `key` that is fresh, or stale as the configuration allows, loaded if there is none: by one caller,
    /// while all others wait.
    ///
    /// The value is stored for as long as [`Config::ttl`](crate::Config::ttl) says, unless the key was invalidated
    /// or put in meanwhile; then its loader and those who wait have it, and nobody after them. Errors are not
    /// stored: the next call after one loads anew. [`loader`](Self::loader) can do all of that differently.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] is this caller's own load, failed. [`Error::Rejected`] with
    /// [`Reason::Failed`](buttress_core::Reason::Failed) is the load of another, for which this one waited; nobody
    /// retries on its behalf. With [`Reason::TimedOut`](buttress_core::Reason::TimedOut) it took longer than
    /// [`Config::hard_timeout`](crate::Config::hard_timeout).
    ///
    /// # Cancel safety
    ///
    /// A caller that waits just leaves. If the one that loads is dropped, its load is, and the one that has waited
    /// longest loads instead, with its own `load`; so it is when a load panics. If that one panics too, all who wait
    /// are refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_cache::{Cache, Config};
    /// use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let squares: Cache<u64, u64> = Cache::new("squares", Config::default());
    /// let load = |key: &u64| std::future::ready(Ok::<_, Infallible>(key * key));
    /// let (one, two) = tokio::join!(squares.get_or_load(12, load), squares.get_or_load(12, load));
    /// assert_eq!((*one.unwrap(), *two.unwrap()), (144, 144));
    /// assert_eq!(squares.stats().loads, 1);
    /// # }
    /// ```
    pub async fn get_or_load<E, F, L>(&self, key: K, load: F) -> Result<Found<V>, Error<E>>
    where
        F: FnOnce(&K) -> L,
        L: Future<Output = Result<V, E>>,
    {
        let ask = match self.seek(&key) {
            Ok(found) => return Ok(found),
            Err(ask) => ask,
        };
        let shared = Arc::clone(&self.shared);
        FlowOf::<_, _, _, _, Here>::ask(shared, key, Load(load), Rules::new(), ask).await
    }

    /// A fresh value, or how to ask for one.
    #[inline]
    fn seek(&self, key: &K) -> Result<Found<V>, Ask> {
        match self.shared.store.seek(key) {
            Sought::Fresh(value) => Ok(Found { value, served: Served::Hit }),
            Sought::Early => Err(Ask { early: true, ..ASKED }),
            Sought::Else => Err(ASKED),
        }
    }

    /// Loads keys that it does not have, so many at a time, in this future. What was put in or invalidated while a
    /// key was loaded stays as it is: a load never overwrites what is newer. It counts as loads, and neither as hits
    /// nor misses.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends the loads that are under way, and keeps what was loaded.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_cache::{Cache, Config};
    /// use std::num::NonZeroUsize;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let squares: Cache<u64, u64> = Cache::new("squares", Config::default());
    /// squares.insert(2, 5);
    /// let load = |key: &u64| std::future::ready(key.checked_mul(*key).ok_or("too large"));
    /// let warmed = squares.warm([1, 2, 3, u64::MAX], NonZeroUsize::MIN, load).await;
    /// assert_eq!((warmed.loaded, warmed.present, warmed.failed), (2, 1, 1));
    /// assert_eq!(squares.get(&2).as_deref(), Some(&5));
    /// # }
    /// ```
    pub async fn warm<E, F, L>(
        &self,
        keys: impl IntoIterator<Item = K>,
        concurrency: NonZeroUsize,
        load: F,
    ) -> Warmed<E>
    where
        F: Fn(&K) -> L,
        L: Future<Output = Result<V, E>>,
    {
        let ask = Ask { count: false, ..ASKED };
        let load = &load;
        let one = |key| {
            let source = Load(move |key: &K| load(key));
            FlowOf::<_, _, _, _, Here>::ask(Arc::clone(&self.shared), key, source, Rules::new(), ask)
        };
        let mut warming = pin!(stream::iter(keys).map(one).buffer_unordered(concurrency.get()));
        let mut warmed = Warmed { loaded: 0, present: 0, failed: 0, error: None };
        while let Some(result) = warming.next().await {
            match result {
                Ok(Found { served: Served::Loaded, .. }) => warmed.loaded += 1,
                Ok(Found { served: Served::Stale(_), .. }) => warmed.failed += 1,
                Ok(_) => warmed.present += 1,
                Err(error) => {
                    warmed.failed += 1;
                    warmed.error.get_or_insert(error);
                }
            }
        }
        warmed
    }
}

const ASKED: Ask = Ask { count: true, apart: false, early: false, reload: false };

/// What came of [`Cache::warm`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Warmed<E> {
    /// Keys that were loaded.
    pub loaded: u64,
    /// Keys that were there, or that another loaded meanwhile.
    pub present: u64,
    /// Keys that could not be loaded, also where that left a value that is stale.
    pub failed: u64,
    /// The first failure of which nothing stale has taken the place.
    pub error: Option<Error<E>>,
}

impl<K, V, P: Clone, M> Clone for Loader<K, V, P, M> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), rules: self.rules.clone(), mode: PhantomData }
    }
}

impl<K, V, P, M> fmt::Debug for Loader<K, V, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("cache", &self.cache).finish_non_exhaustive()
    }
}
