use std::sync::Arc;

/// Is told of the moments of a layer that a person would log; counts are read through
/// [`Inspect`](crate::Inspect) instead.
///
/// A closure `|event| ..` is one. `()` watches nothing and costs nothing. Layers tell it after they have
/// released their locks, so it may call back into the layer; two events of two threads may therefore
/// arrive in either order.
///
/// An observer must not panic. If it does, the layer's state is already up to date and nothing leaks, but
/// the panic reaches the caller whose call caused the event; and if that call was panicking already, a second
/// panic aborts the process, as it does everywhere in Rust.
///
/// # Examples
///
/// ```
/// use buttress_core::Observe;
/// use std::sync::{Arc, mpsc};
///
/// let (tx, rx) = mpsc::channel();
/// let shared: Arc<dyn Observe<u32> + Send + Sync> = Arc::new(move |event| { let _ = tx.send(event); });
/// shared.observe(7);
/// assert_eq!(rx.recv(), Ok(7));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot observe a `{E}`",
    label = "not an observer of these events",
    note = "pass a closure to `.observe(..)`, such as `|event| tracing::info!(?event)`",
    note = "or a value that implements `Observe<{E}>` to `.observe_with(..)`"
)]
pub trait Observe<E> {
    /// Takes one event. Called where the event happened, so it should be quick.
    fn observe(&self, event: E);
}

impl<E> Observe<E> for () {
    fn observe(&self, _: E) {}
}

impl<E, F: Fn(E)> Observe<E> for F {
    fn observe(&self, event: E) {
        self(event);
    }
}

impl<E> Observe<E> for Arc<dyn Observe<E> + Send + Sync> {
    fn observe(&self, event: E) {
        (**self).observe(event);
    }
}
