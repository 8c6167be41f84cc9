use crate::Manager;
use ::bb8::ManageConnection;
use std::fmt;

/// Pools what a manager of the `bb8` crate makes.
///
/// Its `is_valid` is the check, its `has_broken` says what is not taken back. A manager whose `has_broken` always says no
/// leaves the finding of dead connections to checks, and those are skipped for what was used a moment ago: with such a one
/// (`bb8-redis`) set [`Config::check_after`](field@crate::Config::check_after) to zero, or mark the lease
/// [dirty](crate::Lease::mark_dirty) when the connection fails.
///
/// # Examples
///
/// ```
/// use bb8::ManageConnection;
/// use buttress_pool::{Bb8, Config, Pool};
///
/// fn pooled<M: ManageConnection>(manager: M) -> Pool<Bb8<M>> {
///     Pool::new("inventory", Config::default(), Bb8(manager))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Bb8<M>(pub M);

impl<M: ManageConnection> Manager for Bb8<M> {
    type Connection = M::Connection;
    type Error = Bb8Error;

    async fn connect(&self) -> Result<M::Connection, Bb8Error> {
        self.0.connect().await.map_err(Bb8Error::new)
    }

    async fn check(&self, connection: &mut M::Connection) -> Result<(), Bb8Error> {
        self.0.is_valid(connection).await.map_err(Bb8Error::new)
    }

    fn is_broken(&self, connection: &mut M::Connection) -> bool {
        self.0.has_broken(connection)
    }
}

impl<M> fmt::Debug for Bb8<M> {
    /// Not the manager: it may know secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bb8").finish_non_exhaustive()
    }
}

/// Why a manager of `bb8` failed: the `Debug` text of its error, which is all that `bb8` asks of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Bb8Error(Box<str>);

impl Bb8Error {
    /// Made at once: the error need not be `Sync`, so that it cannot be kept.
    fn new(error: impl fmt::Debug) -> Self {
        Self(format!("{error:?}").into())
    }
}

impl fmt::Display for Bb8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Bb8Error {
    /// The text as it is: it was made for this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Bb8Error {}
