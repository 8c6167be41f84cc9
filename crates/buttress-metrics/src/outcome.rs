use crate::label::Label;
use buttress_core::{Reason, Rejected};
use std::error::Error as StdError;
use std::fmt;

/// How a call ended, as the label `outcome` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// It was answered that the caller has done something wrong (4xx), also 429.
    ClientError,
    /// It was answered that the service has failed (5xx), also 503.
    ServerError,
    /// It failed without an answer.
    Error,
    /// A layer refused it.
    Rejected,
    /// Its time was over.
    Timeout,
    /// Nobody waited for its end: it was dropped, or its body was.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl Outcome {
    /// What an error says: of a [`Rejected`] anywhere among its sources, whether a layer refused or its time was over.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        match Rejected::find(error).map(|rejected| rejected.reason()) {
            Some(Reason::TimedOut) => Self::Timeout,
            // What was made for several callers has failed: that is no refusal.
            Some(Reason::Failed) | None => Self::Error,
            Some(_) => Self::Rejected,
        }
    }

    /// The outcome in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::VALUES[self as usize]
    }
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";
    const VALUES: &'static [&'static str] =
        &["ok", "client_error", "server_error", "error", "rejected", "timeout", "cancelled", "panicked"];

    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says how a call ended that was not cancelled and did not panic.
///
/// A closure `|result| ..` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say how a `Result<&{T}, &{E}>` ended",
    label = "does not read this error",
    note = "for a boxed error, add `.boxed_errors()` to the layer",
    note = "for any other that does not implement `std::error::Error`, add `.judge(|result| ..)`"
)]
pub trait Judge<T, E> {
    /// Judges one result.
    fn judge(&self, result: Result<&T, &E>) -> Outcome;
}

impl<T, E, F: Fn(Result<&T, &E>) -> Outcome> Judge<T, E> for F {
    fn judge(&self, result: Result<&T, &E>) -> Outcome {
        self(result)
    }
}

/// Takes every answer as it should be, and reads errors by [`Outcome::of`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors;

impl<T, E: StdError + 'static> Judge<T, E> for Errors {
    #[inline]
    fn judge(&self, result: Result<&T, &E>) -> Outcome {
        result.err().map_or(Outcome::Ok, |error| Outcome::of(error))
    }
}

/// As [`Errors`], for boxed errors, which are none themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoxedErrors;

impl<T> Judge<T, Box<dyn StdError + Send + Sync>> for BoxedErrors {
    #[inline]
    fn judge(&self, result: Result<&T, &Box<dyn StdError + Send + Sync>>) -> Outcome {
        result.err().map_or(Outcome::Ok, |error| Outcome::of(&**error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::{Error, Name};

    #[test]
    fn a_refusal_is_read_however_deep_it_lies() {
        for (reason, outcome) in [
            (Reason::TimedOut, Outcome::Timeout),
            (Reason::Failed, Outcome::Error),
            (Reason::Overloaded, Outcome::Rejected),
            (Reason::Unavailable, Outcome::Rejected),
            (Reason::RateLimited, Outcome::Rejected),
        ] {
            let error: Error<fmt::Error> = Rejected::new("pool", Name::from("db"), reason).into();
            assert_eq!(Judge::<(), _>::judge(&Errors, Err(&error)), outcome, "{reason}");
            let boxed: Box<dyn StdError + Send + Sync> = std::io::Error::other(error).into();
            assert_eq!(Judge::<(), _>::judge(&BoxedErrors, Err(&boxed)), outcome, "{reason}");
        }
        assert_eq!(Judge::<(), _>::judge(&Errors, Err(&fmt::Error)), Outcome::Error);
        assert_eq!(Judge::<_, fmt::Error>::judge(&Errors, Ok(&())), Outcome::Ok);
    }
}
