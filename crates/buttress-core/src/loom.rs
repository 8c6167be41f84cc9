//! What the models of several crates need. Only there under `--cfg buttress_loom`.

/// loom's mutex with parking_lot's signature.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("a panic inside a model ends the model")
    }
}
