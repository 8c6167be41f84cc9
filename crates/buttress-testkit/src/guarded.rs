//! Values that may not be dropped under a lock.

use std::cell::Cell;
use std::thread::panicking;

thread_local!(static LOCKED: Cell<bool> = const { Cell::new(false) });

/// Panics if it is dropped within [`locked`].
///
/// # Examples
///
/// ```
/// use buttress_testkit::guarded::{Guarded, locked};
///
/// let mut slot = Some(Guarded(7));
/// drop(locked(|| slot.take()));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Guarded(pub u64);

impl Drop for Guarded {
    fn drop(&mut self) {
        assert!(!LOCKED.get() || panicking(), "dropped under the lock");
    }
}

/// Does a step as it would be done under a lock: no [`Guarded`] may be dropped in it.
///
/// # Panics
///
/// If one is.
pub fn locked<T>(step: impl FnOnce() -> T) -> T {
    struct Unlock;
    impl Drop for Unlock {
        fn drop(&mut self) {
            LOCKED.set(false);
        }
    }
    LOCKED.set(true);
    let _unlock = Unlock;
    step()
}
