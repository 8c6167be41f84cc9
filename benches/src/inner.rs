use buttress_core::{Error, Reason, Rejected};
use std::fmt;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::task::{Context, Poll};
use tower::Service;

/// What [`Inner`] answers when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed as told")
    }
}

impl std::error::Error for Failed {}

/// The smallest error that can carry a refusal, as an application's own might: what failed, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Small {
    /// The service failed.
    Failed,
    /// A layer refused.
    Refused(Reason),
}

impl From<Failed> for Small {
    fn from(_: Failed) -> Self {
        Self::Failed
    }
}

impl From<Rejected> for Small {
    fn from(rejected: Rejected) -> Self {
        Self::Refused(rejected.reason())
    }
}

impl From<Failed> for Error<Failed> {
    fn from(failed: Failed) -> Self {
        Error::Inner(failed)
    }
}

/// Which of the requests, numbered from 1, fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// None.
    Never,
    /// Every 4th.
    Quarter,
    /// Every 8192nd.
    Seldom,
    /// All.
    Always,
}

/// The service under every contender: always ready, answers at once.
///
/// The error type is a parameter, since ours must take a refusal and the opponents' need not: each
/// contender moves no larger error about than it has to. Where a refusal is what is measured, ours carries all of
/// it.
#[derive(Debug)]
pub struct Inner<E = Small> {
    /// A request with all of these bits fails. Data and not a type, so that the compiler cannot know the
    /// answer, and one and the same test for all contenders.
    mask: u64,
    error: PhantomData<fn() -> E>,
}

impl<E> Inner<E> {
    /// Makes a service whose requests fail as told.
    #[must_use]
    pub fn new(fails: Fails) -> Self {
        let mask = match fails {
            Fails::Never => u64::MAX,
            Fails::Quarter => 3,
            Fails::Seldom => 8191,
            Fails::Always => 0,
        };
        Self { mask, error: PhantomData }
    }
}

impl<E> Clone for Inner<E> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<E: From<Failed>> Service<u64> for Inner<E> {
    type Response = u64;
    type Error = E;
    type Future = Ready<Result<u64, E>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        ready(if request & self.mask == self.mask { Err(Failed.into()) } else { Ok(request) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_fail_as_told() {
        let failures = |fails| {
            let mut inner = Inner::<Failed>::new(fails);
            (1..=8192).filter(|request| inner.call(*request).into_inner().is_err()).count()
        };
        let found = [Fails::Never, Fails::Quarter, Fails::Seldom, Fails::Always].map(failures);
        assert_eq!(found, [0, 2048, 1, 8192]);
    }
}
