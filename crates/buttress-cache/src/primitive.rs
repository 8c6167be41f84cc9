//! The locks that loom must see. Under `--cfg buttress_loom` they are loom's.
//!
//! The atomics beside them are hints without a protocol: the locks publish everything.

#[cfg(buttress_loom)]
pub(crate) use buttress_core::__loom::Mutex;
#[cfg(buttress_loom)]
pub(crate) use loom::sync::MutexGuard;
#[cfg(not(buttress_loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
