//! The lock that loom must see. Under `--cfg buttress_loom` it is loom's.
//!
//! There is no atomic with a protocol beside it: the locks publish everything.

#[cfg(buttress_loom)]
pub(crate) use buttress_core::__loom::Mutex;
#[cfg(not(buttress_loom))]
pub(crate) use parking_lot::Mutex;
