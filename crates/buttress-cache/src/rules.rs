//! What is to be done with an answer: whether it is stored, for how long, and who else gets it.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of an answer. A rule says so for each load that has succeeded; see [`Rules::rule`].
///
/// # Examples
///
/// ```
/// use buttress_cache::Fate;
/// use std::time::Duration;
///
/// struct Page { status: u16, private: bool, author: u64 }
///
/// let rule = |page: &Page| match page.status {
///     _ if page.private => Fate::Refuse,
///     200 => Fate::store().tag(format!("author:{}", page.author)).into(),
///     404 => Fate::store().ttl(Duration::from_secs(5)).into(),
///     500.. => Fate::Failed,
///     _ => Fate::Share,
/// };
/// assert_eq!(rule(&Page { status: 302, private: false, author: 7 }), Fate::Share);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is stored, and given to all who wait for it.
    Store(Keep),
    /// It is given to all who wait for it, and not stored. It has no tags: also to those who began to wait after an
    /// invalidation by tag.
    Share,
    /// It is for the caller alone: all who waited make their own calls, side by side.
    Refuse,
    /// It is a failure, though not an `Err`, such as a response with status 500: a stale value is served in its place,
    /// if there is one. Else all who wait get it, and it is not stored.
    Failed,
}

impl Fate {
    /// An answer to store, as the cache's configuration says unless the [`Keep`] says more.
    #[must_use]
    pub fn store() -> Keep {
        Keep::default()
    }
}

impl From<Keep> for Fate {
    fn from(keep: Keep) -> Self {
        Fate::Store(keep)
    }
}

/// How long a value is kept, and which tags it has. What is not said is as the cache's
/// [`Config`](crate::Config) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// Instead of [`Config::ttl`](crate::Config::ttl). It is not jittered.
    pub ttl: Option<Duration>,
    /// Instead of [`Config::stale_while_revalidate`](crate::Config::stale_while_revalidate).
    pub stale_while_revalidate: Option<Duration>,
    /// Instead of [`Config::stale_if_error`](crate::Config::stale_if_error).
    pub stale_if_error: Option<Duration>,
    /// Names by which it can be invalidated together with others; see
    /// [`Cache::invalidate_tag`](crate::Cache::invalidate_tag).
    pub tags: Vec<Cow<'static, str>>,
}

impl Keep {
    /// As the cache's configuration says.
    pub(crate) const USUAL: Self =
        Self { ttl: None, stale_while_revalidate: None, stale_if_error: None, tags: Vec::new() };

    /// Sets [`Keep::ttl`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets [`Keep::stale_while_revalidate`].
    #[must_use]
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// Sets [`Keep::stale_if_error`].
    #[must_use]
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Cow<'static, str>>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// A value, and where it came from. Derefs to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<V> {
    /// The value.
    pub value: V,
    /// Where it came from.
    pub served: Served,
}

impl<V> Found<V> {
    /// The value alone.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V> Deref for Found<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It was there, and fresh.
    Hit,
    /// This caller has loaded it.
    Loaded,
    /// This caller has waited for a load that another had begun.
    Waited,
    /// It was there, and has not been fresh for so long.
    Stale(Duration),
}

impl Served {
    /// Whether it is no longer fresh.
    #[must_use]
    pub fn is_stale(self) -> bool {
        matches!(self, Served::Stale(_))
    }
}

/// What a request invalidates that writes; see [`Rules::invalidate_on`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Touch<K> {
    /// The value of one key.
    Key(K),
    /// All that have this tag.
    Tag(Cow<'static, str>),
    /// Everything.
    All,
}

/// What is done with answers and errors, by closures. The default stores every answer as the cache's configuration
/// says, shares no errors and remembers none.
///
/// [`CacheLayer`](crate::CacheLayer) and [`Loader`](crate::Loader) have these methods too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<R = (), X = (), N = (), W = (), M = ()> {
    rule: R,
    share: X,
    remember: N,
    writes: W,
    mark: M,
}

impl Rules {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<R, X, N, W, M> Rules<R, X, N, W, M> {
    /// Says what becomes of an answer by looking at it.
    #[must_use]
    pub fn rule<V, F: Fn(&V) -> Fate>(self, rule: F) -> Rules<By<F>, X, N, W, M> {
        let Self { share, remember, writes, mark, .. } = self;
        Rules { rule: By(rule), share, remember, writes, mark }
    }

    /// Says what becomes of an answer by looking at the request first, and then at the answer: a closure that
    /// returns a closure. The request of a [`Loader`](crate::Loader) is its key.
    #[must_use]
    pub fn rule_by<Req, V, F, J>(self, rule: F) -> Rules<ByRequest<F>, X, N, W, M>
    where
        F: Fn(&Req) -> J,
        J: FnOnce(&V) -> Fate,
    {
        let Self { share, remember, writes, mark, .. } = self;
        Rules { rule: ByRequest(rule), share, remember, writes, mark }
    }

    /// Gives those who waited for a load that has failed a clone of its error, instead of a refusal.
    #[must_use]
    pub fn share_errors(self) -> Rules<R, Cloned, N, W, M> {
        let Self { rule, remember, writes, mark, .. } = self;
        Rules { rule, share: Cloned, remember, writes, mark }
    }

    /// Remembers some errors, each for the time that is said: until then whoever asks for the key is refused at once,
    /// or gets a clone of the error after [`share_errors`](Self::share_errors). At most a sixteenth as many errors
    /// are remembered as entries fit in; older ones make room.
    #[must_use]
    pub fn remember_errors<E, F>(self, remember: F) -> Rules<R, X, By<F>, W, M>
    where
        F: Fn(&E) -> Option<Duration>,
    {
        let Self { rule, share, writes, mark, .. } = self;
        Rules { rule, share, remember: By(remember), writes, mark }
    }

    /// Says what a request invalidates because it writes; nothing for one that reads. Such a request goes past the
    /// cache, and what it touches is invalidated when it has ended, however it ends: with an error, or dropped
    /// half-way, it may have written all the same.
    #[must_use]
    pub fn invalidate_on<Req, K, F>(self, writes: F) -> Rules<R, X, N, By<F>, M>
    where
        F: Fn(&Req) -> Vec<Touch<K>>,
    {
        let Self { rule, share, remember, mark, .. } = self;
        Rules { rule, share, remember, writes: By(writes), mark }
    }

    /// Marks each value that is handed out with where it came from. It is called on the caller's own clone.
    #[must_use]
    pub fn mark<V, F: Fn(&mut V, Served)>(self, mark: F) -> Rules<R, X, N, W, By<F>> {
        let Self { rule, share, remember, writes, .. } = self;
        Rules { rule, share, remember, writes, mark: By(mark) }
    }
}

/// A closure that looks at one thing.
#[derive(Clone, Copy)]
pub struct By<F>(F);

/// A closure that looks at the request, and returns one that looks at the answer.
#[derive(Clone, Copy)]
pub struct ByRequest<F>(F);

/// Errors are cloned for those who waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cloned;

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}

impl<F> fmt::Debug for ByRequest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByRequest(..)")
    }
}

/// An error that does not say what it is, since a cache does not know which services are before it.
pub type SharedError = Arc<dyn Any + Send + Sync>;

/// What [`Rules`] decide for requests `Req`, keys `K`, values `V` and errors `E`.
///
/// There is nothing to implement: it only gives [`Rules`] with the right closures a name.
pub trait Terms<Req, K, V, E>: sealed::Sealed {
    /// What judges the answer to a request.
    type Judge: FnOnce(&V) -> Fate;

    #[doc(hidden)]
    fn judge(&self, request: &Req) -> Self::Judge;
    #[doc(hidden)]
    fn share(&self, error: &E) -> Option<SharedError>;
    #[doc(hidden)]
    fn unshare(&self, shared: &SharedError) -> Option<E>;
    #[doc(hidden)]
    fn remember(&self, error: &E) -> Option<Duration>;
    #[doc(hidden)]
    fn touches(&self, request: &Req) -> Vec<Touch<K>>;
    #[doc(hidden)]
    fn mark(&self, value: &mut V, served: Served);
}

impl<Req, K, V, E, R, X, N, W, M> Terms<Req, K, V, E> for Rules<R, X, N, W, M>
where
    R: sealed::Rule<Req, V>,
    X: sealed::Share<E>,
    N: sealed::Remember<E>,
    W: sealed::Writes<Req, K>,
    M: sealed::Mark<V>,
{
    type Judge = R::Judge;

    #[inline]
    fn judge(&self, request: &Req) -> Self::Judge {
        self.rule.judge(request)
    }

    fn share(&self, error: &E) -> Option<SharedError> {
        self.share.share(error)
    }

    fn unshare(&self, shared: &SharedError) -> Option<E> {
        self.share.unshare(shared)
    }

    fn remember(&self, error: &E) -> Option<Duration> {
        self.remember.remember(error)
    }

    #[inline]
    fn touches(&self, request: &Req) -> Vec<Touch<K>> {
        self.writes.touches(request)
    }

    #[inline]
    fn mark(&self, value: &mut V, served: Served) {
        self.mark.mark(value, served);
    }
}

mod sealed {
    use super::{Arc, By, ByRequest, Cloned, Duration, Fate, Keep, Rules, Served, SharedError, Touch};

    pub trait Sealed {}

    impl<R, X, N, W, M> Sealed for Rules<R, X, N, W, M> {}

    pub trait Rule<Req, V> {
        type Judge: FnOnce(&V) -> Fate;
        fn judge(&self, request: &Req) -> Self::Judge;
    }

    impl<Req, V> Rule<Req, V> for () {
        type Judge = fn(&V) -> Fate;

        #[inline]
        fn judge(&self, _: &Req) -> Self::Judge {
            |_| Fate::Store(Keep::USUAL)
        }
    }

    impl<Req, V, F: Fn(&V) -> Fate + Clone> Rule<Req, V> for By<F> {
        type Judge = F;

        #[inline]
        fn judge(&self, _: &Req) -> F {
            self.0.clone()
        }
    }

    impl<Req, V, F, J> Rule<Req, V> for ByRequest<F>
    where
        F: Fn(&Req) -> J,
        J: FnOnce(&V) -> Fate,
    {
        type Judge = J;

        #[inline]
        fn judge(&self, request: &Req) -> J {
            (self.0)(request)
        }
    }

    pub trait Share<E> {
        fn share(&self, error: &E) -> Option<SharedError>;
        fn unshare(&self, shared: &SharedError) -> Option<E>;
    }

    impl<E> Share<E> for () {
        fn share(&self, _: &E) -> Option<SharedError> {
            None
        }

        fn unshare(&self, _: &SharedError) -> Option<E> {
            None
        }
    }

    impl<E: Clone + Send + Sync + 'static> Share<E> for Cloned {
        fn share(&self, error: &E) -> Option<SharedError> {
            Some(Arc::new(error.clone()))
        }

        fn unshare(&self, shared: &SharedError) -> Option<E> {
            shared.downcast_ref().cloned()
        }
    }

    pub trait Remember<E> {
        fn remember(&self, error: &E) -> Option<Duration>;
    }

    impl<E> Remember<E> for () {
        fn remember(&self, _: &E) -> Option<Duration> {
            None
        }
    }

    impl<E, F: Fn(&E) -> Option<Duration>> Remember<E> for By<F> {
        fn remember(&self, error: &E) -> Option<Duration> {
            (self.0)(error)
        }
    }

    pub trait Writes<Req, K> {
        fn touches(&self, request: &Req) -> Vec<Touch<K>>;
    }

    impl<Req, K> Writes<Req, K> for () {
        #[inline]
        fn touches(&self, _: &Req) -> Vec<Touch<K>> {
            Vec::new()
        }
    }

    impl<Req, K, F: Fn(&Req) -> Vec<Touch<K>>> Writes<Req, K> for By<F> {
        #[inline]
        fn touches(&self, request: &Req) -> Vec<Touch<K>> {
            (self.0)(request)
        }
    }

    pub trait Mark<V> {
        fn mark(&self, value: &mut V, served: Served);
    }

    impl<V> Mark<V> for () {
        #[inline]
        fn mark(&self, _: &mut V, _: Served) {}
    }

    impl<V, F: Fn(&mut V, Served)> Mark<V> for By<F> {
        #[inline]
        fn mark(&self, value: &mut V, served: Served) {
            (self.0)(value, served);
        }
    }
}
