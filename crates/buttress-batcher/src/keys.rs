//! Which requests may be in one batch, and which share one result.

use crate::state::Keyed;
use foldhash::quality::RandomState;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// Says which requests may be in a batch together: all of them ([`Whole`]), or those with equal keys ([`By`]).
///
/// There is nothing to implement; [`BatchLayer::partition_by`](crate::BatchLayer::partition_by) sets it.
pub trait Partition<Req>: sealed::Sealed {
    #[doc(hidden)]
    type Key: Eq + Send + 'static;
    #[doc(hidden)]
    const IS_PARTITIONED: bool;

    #[doc(hidden)]
    fn key(&self, request: &Req) -> sealed::Hashed<Self::Key>;
}

/// Says which requests share a result: none ([`Apart`]), or those with equal keys ([`Shared`]).
///
/// There is nothing to implement; [`BatchLayer::dedup_by`](crate::BatchLayer::dedup_by) sets it.
#[diagnostic::on_unimplemented(
    message = "results `{T}` cannot be shared",
    note = "with `.dedup_by(..)` the response and the error of a request are `Clone`: each caller gets its own"
)]
pub trait Share<Req, T>: sealed::Sealed {
    #[doc(hidden)]
    type Key: Eq + Send + 'static;
    #[doc(hidden)]
    const TWIN: Option<fn(&T) -> T>;

    #[doc(hidden)]
    fn key(&self, request: &Req) -> Option<sealed::Hashed<Self::Key>>;
}

/// Any requests may be in a batch together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole;

/// Requests with equal keys may be in a batch together.
#[derive(Clone)]
pub struct By<F>(F, RandomState);

/// Each request has a result of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apart;

/// Requests with equal keys get clones of one result.
#[derive(Clone)]
pub struct Shared<F>(F, RandomState);

impl<F> By<F> {
    pub(crate) fn new(key: F) -> Self {
        Self(key, RandomState::default())
    }
}

impl<F> Shared<F> {
    pub(crate) fn new(key: F) -> Self {
        Self(key, RandomState::default())
    }
}

fn hashed<K: Hash>(hasher: &RandomState, key: K) -> Keyed<K> {
    Keyed { hash: hasher.hash_one(&key), key }
}

impl<Req> Partition<Req> for Whole {
    type Key = ();

    const IS_PARTITIONED: bool = false;

    #[inline]
    fn key(&self, _: &Req) -> sealed::Hashed<()> {
        sealed::Hashed(Keyed { hash: 0, key: () })
    }
}

impl<Req, K, F> Partition<Req> for By<F>
where
    F: Fn(&Req) -> K,
    K: Hash + Eq + Send + 'static,
{
    type Key = K;

    const IS_PARTITIONED: bool = true;

    #[inline]
    fn key(&self, request: &Req) -> sealed::Hashed<K> {
        sealed::Hashed(hashed(&self.1, (self.0)(request)))
    }
}

impl<Req, T> Share<Req, T> for Apart {
    type Key = Infallible;

    const TWIN: Option<fn(&T) -> T> = None;

    #[inline]
    fn key(&self, _: &Req) -> Option<sealed::Hashed<Infallible>> {
        None
    }
}

impl<Req, T, D, F> Share<Req, T> for Shared<F>
where
    T: Clone,
    F: Fn(&Req) -> Option<D>,
    D: Hash + Eq + Send + 'static,
{
    type Key = D;

    const TWIN: Option<fn(&T) -> T> = Some(T::clone);

    #[inline]
    fn key(&self, request: &Req) -> Option<sealed::Hashed<D>> {
        (self.0)(request).map(|key| sealed::Hashed(hashed(&self.1, key)))
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}

impl<F> fmt::Debug for Shared<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}

    impl Sealed for super::Whole {}
    impl<F> Sealed for super::By<F> {}
    impl Sealed for super::Apart {}
    impl<F> Sealed for super::Shared<F> {}

    /// A key with its hash, which the public traits give and nobody else can look into.
    #[derive(Debug)]
    pub struct Hashed<K>(pub(crate) crate::state::Keyed<K>);
}
