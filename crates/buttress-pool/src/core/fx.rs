//! What is left to do after the lock is released.

use super::Nanos;
use std::panic::Location;
use std::task::Waker;

/// Mostly none or one, and nothing is allocated for that.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push(item);
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

/// A lease that is out for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) by: &'static Location<'static>,
    pub(crate) out_for: Nanos,
}

/// What a person would log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News<E> {
    Leaked(Leak),
    /// Connects fail from now on, and so many connections are left.
    Down {
        cause: E,
        left: u32,
    },
    /// A connect succeeded, so long after the first one that failed.
    Up(Nanos),
}

/// To be done in this order: notify the driver, wake, tell, drop. What is dropped runs foreign code.
#[derive(Debug)]
#[must_use = "wakers are to be woken, and connections closed, after the lock"]
pub(crate) struct Fx<H, E> {
    /// The driver has something to do, or to be sooner.
    pub(crate) kick: bool,
    /// The pool is closed, and nothing of it is out any more.
    pub(crate) drained: bool,
    pub(crate) wake: Few<Waker>,
    pub(crate) handles: Few<H>,
    pub(crate) stale: Few<Waker>,
    pub(crate) causes: Few<E>,
    pub(crate) news: Few<News<E>>,
}

impl<H, E> Default for Fx<H, E> {
    fn default() -> Self {
        Self {
            kick: false,
            drained: false,
            wake: Few::default(),
            handles: Few::default(),
            stale: Few::default(),
            causes: Few::default(),
            news: Few::default(),
        }
    }
}
