use crate::Rejected;
use std::error::Error as StdError;
use std::fmt;

/// Puts a foreign error under a stack of layers: either a layer refused, or the service itself failed.
///
/// Use it as the innermost step, `.map_err(buttress::Error::Inner)`, where the service's error is neither
/// yours to extend nor a boxed error. A boxed error takes a [`Rejected`] as it is and needs no wrapping.
///
/// # Examples
///
/// ```
/// use buttress_core::{Error, Reason, Rejected};
/// use std::io;
///
/// let failed: Error<io::Error> = Error::Inner(io::Error::other("disk gone"));
/// assert_eq!(failed.to_string(), "disk gone");
///
/// let refused: Error<io::Error> = Rejected::new("breaker", "disk".into(), Reason::Unavailable).into();
/// assert!(Rejected::find(&refused).is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error<E> {
    /// A layer refused the call; the service may never have seen it.
    Rejected(Rejected),
    /// The service failed; printed and explained as if it stood here alone.
    Inner(E),
}

impl<E> Error<E> {
    /// The refusal, if a layer refused.
    #[must_use]
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            Error::Rejected(rejected) => Some(rejected),
            Error::Inner(_) => None,
        }
    }
}

impl<E> From<Rejected> for Error<E> {
    fn from(rejected: Rejected) -> Self {
        Error::Rejected(rejected)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The details are the source's to print; a reporter that walks the chain shows both.
            Error::Rejected(_) => f.write_str("refused"),
            Error::Inner(inner) => inner.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Rejected(rejected) => Some(rejected),
            Error::Inner(inner) => inner.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn a_refusal_prints_short_and_explains_itself_as_its_source() {
        let refused = Rejected::new("breaker", "db".into(), Reason::Unavailable);
        let error = Error::<std::fmt::Error>::from(refused);
        assert_eq!(error.to_string(), "refused");
        assert_eq!(error.source().map(ToString::to_string), Some(refused.to_string()));
    }

    #[test]
    fn an_inner_error_is_transparent() {
        let error = Error::Inner(std::io::Error::other("disk gone"));
        assert_eq!(error.to_string(), "disk gone");
        assert!(error.source().is_none());
    }
}
