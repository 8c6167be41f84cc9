//! The lock that loom must see. Under `--cfg buttress_loom` it is loom's.
//!
//! There is no atomic with a protocol beside it: the locks publish everything.

#[cfg(buttress_loom)]
pub(crate) use self::modelled::Mutex;
#[cfg(not(buttress_loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(buttress_loom)]
mod modelled {
    /// loom's mutex with parking_lot's signature.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a panic inside a model ends the model")
        }
    }
}
