use std::time::Duration;

/// What one result says about the service that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service did what it is there for.
    Success,
    /// The service failed.
    Failure,
    /// The service failed and asks for this much time before the next call (`Retry-After`).
    FailureFor(Duration),
    /// Says nothing about the service's health: neither a success nor a failure.
    Ignore,
}

/// Says what a result means for the health of the service behind it.
///
/// A closure `|result| ..` is one; [`AnyError`] is the default everywhere.
///
/// # Examples
///
/// A missing row is not the database's fault:
///
/// ```
/// use buttress_core::{Classify, Outcome};
/// use std::io::{Error, ErrorKind};
///
/// let rule = |result: Result<&String, &Error>| match result {
///     Err(error) if error.kind() == ErrorKind::NotFound => Outcome::Success,
///     Err(_) => Outcome::Failure,
///     Ok(_) => Outcome::Success,
/// };
/// assert_eq!(rule.classify(Err(&Error::from(ErrorKind::NotFound))), Outcome::Success);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot judge a `Result<&{T}, &{E}>`",
    label = "not a classifier for this response and error",
    note = "pass a closure to `.classify(..)`, such as `|result| if result.is_ok() {{ Outcome::Success }} else {{ Outcome::Failure }}`",
    note = "or a value that implements `Classify<{T}, {E}>` to `.classify_with(..)`"
)]
pub trait Classify<T, E> {
    /// Judges one result.
    fn classify(&self, result: Result<&T, &E>) -> Outcome;
}

/// Counts every `Err` as a failure, also the refusal of a layer below, and every `Ok` as a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AnyError;

impl<T, E> Classify<T, E> for AnyError {
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(Result<&T, &E>) -> Outcome,
{
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        self(result)
    }
}
