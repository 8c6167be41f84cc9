//! One call under observation, from its beginning to whatever end it has.

use crate::outcome::Outcome;
use std::mem;
use std::time::Duration;
use tokio::time::Instant;

/// What is recorded of a call, once.
pub(crate) trait Record {
    fn record(self, outcome: Outcome, took: Duration);
}

/// Records one call when it ends: as it was told, or as cancelled if it is dropped first.
pub(crate) struct Call<R: Record> {
    /// `None` once it has ended.
    record: Option<R>,
    start: Instant,
}

impl<R: Record> Call<R> {
    #[inline]
    pub(crate) fn begin(record: R) -> Self {
        Self { record: Some(record), start: Instant::now() }
    }

    /// Reads what is needed before a call begins. If that panics, there was a call all the same: what `record` makes, and it
    /// has panicked.
    #[inline]
    pub(crate) fn prepare<T>(read: impl FnOnce() -> T, record: impl FnOnce() -> R) -> T {
        let guard = Unbegun(Some(record));
        let done = read();
        mem::forget(guard);
        done
    }

    /// Makes a step that may panic; if it does, that is how the call has ended.
    #[inline]
    pub(crate) fn guard<T>(&mut self, step: impl FnOnce() -> T) -> T {
        // A guard on the stack is free, and exact where `thread::panicking()` in `Drop` is not: a future may be dropped by
        // another panic than its own.
        let guard = OnPanic(self);
        let done = step();
        mem::forget(guard);
        done
    }

    #[inline]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if let Some(record) = self.record.take() {
            record.record(outcome, self.start.elapsed());
        }
    }

    /// The call, to be ended elsewhere.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        Self { record: self.record.take(), start: self.start }
    }

    /// What will be recorded.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn record(&self) -> Option<&R> {
        self.record.as_ref()
    }

    /// Changes what will be recorded, unless it was.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.record.as_mut().map(change)
    }
}

impl<R: Record> Drop for Call<R> {
    #[inline]
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

struct OnPanic<'a, R: Record>(&'a mut Call<R>);

impl<R: Record> Drop for OnPanic<'_, R> {
    fn drop(&mut self) {
        self.0.end(Outcome::Panicked);
    }
}

/// What it forgets borrows and owns nothing.
struct Unbegun<R: Record, F: FnOnce() -> R>(Option<F>);

impl<R: Record, F: FnOnce() -> R> Drop for Unbegun<R, F> {
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            Call::begin(record()).end(Outcome::Panicked);
        }
    }
}
