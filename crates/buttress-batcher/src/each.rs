use std::fmt;

/// Says what the callers of a batch get when the service fails it as a whole.
///
/// There is nothing to implement: [`Refuse`] is the default, [`Each`] is what
/// [`BatchLayer::each_error`](crate::BatchLayer::each_error) sets.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not turn a batch's `{B}` into a request's `{E}`",
    note = "`.each_error(|error: &{B}| ..)` on the layer says what each caller gets of it"
)]
pub trait EachError<B, E>: sealed::Sealed {
    #[doc(hidden)]
    fn each(&self, error: &B) -> Option<E>;
}

/// Each caller is refused with [`Reason::Failed`](buttress_core::Reason::Failed).
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuse;

/// Each caller gets what a closure makes of the error.
#[derive(Clone, Copy)]
pub struct Each<F>(pub(crate) F);

impl<F> fmt::Debug for Each<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Each(..)")
    }
}

impl<B, E> EachError<B, E> for Refuse {
    fn each(&self, _: &B) -> Option<E> {
        None
    }
}

impl<B, E, F: Fn(&B) -> E> EachError<B, E> for Each<F> {
    fn each(&self, error: &B) -> Option<E> {
        Some((self.0)(error))
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::Refuse {}
    impl<F> Sealed for super::Each<F> {}
}
