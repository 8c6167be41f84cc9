//! What is not ours may panic: wakers, drops, clones, closures, the service. Nobody here is to blame, and nobody else is
//! to suffer.

use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// The result, unless it panics.
#[inline]
pub(crate) fn guarded<T>(foreign: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(foreign)).ok()
}

pub(crate) fn discard<T>(what: T) {
    if needs_drop::<T>() {
        let _ = guarded(|| drop(what));
    }
}

/// Wakes them all, whoever of them panics.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = guarded(|| waker.wake());
    }
}

/// One by one: where two of them panic in one unwinding, the process ends.
pub(crate) fn discard_all<T>(all: &mut Vec<T>) {
    if needs_drop::<T>() {
        all.drain(..).for_each(discard);
    } else {
        all.clear();
    }
}
