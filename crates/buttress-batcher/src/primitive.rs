//! The lock and the atomic that loom must see. Under `--cfg buttress_loom` they are loom's.

#[cfg(buttress_loom)]
pub(crate) use buttress_core::__loom::Mutex;
#[cfg(buttress_loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, Ordering};
#[cfg(not(buttress_loom))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(buttress_loom))]
pub(crate) use std::sync::atomic::{AtomicI64, Ordering};
