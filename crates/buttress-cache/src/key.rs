//! How the key of a request is found: made, or borrowed.

use crate::store::{Sought, Store};
use buttress_core::KeyOf;
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

/// Finds the key of a request.
///
/// There is nothing to implement: it only gives [`Owned`] and [`Borrowed`] a name.
pub trait Probe<Req, K>: sealed::Sealed {
    /// Looks for the request's key. Where there is no answer, the key is there to be owned.
    #[doc(hidden)]
    fn seek<V: Clone>(&self, store: &Store<K, V>, request: &Req) -> Seek<K, V>;
}

/// What a request finds.
#[doc(hidden)]
#[derive(Debug)]
pub enum Seek<K, V> {
    Fresh(V),
    /// Nothing that can be given at once, or something that is to be loaded again early.
    Ask {
        key: K,
        early: bool,
    },
    /// It has no key.
    Past,
}

/// Makes the key of each request.
#[derive(Clone, Copy)]
pub struct Owned<F>(pub(crate) F);

/// Borrows the key from the request, and makes one where it is not found.
pub struct Borrowed<F, Q: ?Sized>(pub(crate) F, pub(crate) PhantomData<fn(&Q)>);

mod sealed {
    pub trait Sealed {}
    impl<F> Sealed for super::Owned<F> {}
    impl<F, Q: ?Sized> Sealed for super::Borrowed<F, Q> {}
}

impl<Req, K, F> Probe<Req, K> for Owned<F>
where
    F: KeyOf<Req, Key = K>,
    K: Hash + Eq,
{
    #[inline]
    fn seek<V: Clone>(&self, store: &Store<K, V>, request: &Req) -> Seek<K, V> {
        let Some(key) = self.0.key_of(request) else { return Seek::Past };
        match store.seek(&key) {
            Sought::Fresh(value) => Seek::Fresh(value),
            Sought::Early => Seek::Ask { key, early: true },
            Sought::Else => Seek::Ask { key, early: false },
        }
    }
}

impl<Req, K, F, Q> Probe<Req, K> for Borrowed<F, Q>
where
    F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
    K: Borrow<Q> + for<'a> From<&'a Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    #[inline]
    fn seek<V: Clone>(&self, store: &Store<K, V>, request: &Req) -> Seek<K, V> {
        let Some(key) = self.0(request) else { return Seek::Past };
        match store.seek(key) {
            Sought::Fresh(value) => Seek::Fresh(value),
            Sought::Early => Seek::Ask { key: key.into(), early: true },
            Sought::Else => Seek::Ask { key: key.into(), early: false },
        }
    }
}

impl<F: Clone, Q: ?Sized> Clone for Borrowed<F, Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<F> fmt::Debug for Owned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owned(..)")
    }
}

impl<F, Q: ?Sized> fmt::Debug for Borrowed<F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Borrowed(..)")
    }
}
