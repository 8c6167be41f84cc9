//! A waker that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

/// Counts how often it was woken; a clone of its waker only counts up a reference.
///
/// # Examples
///
/// ```
/// use buttress_testkit::waker::CountingWaker;
///
/// let counting = CountingWaker::new();
/// counting.waker().clone().wake();
/// assert_eq!(counting.wakes(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct CountingWaker {
    wakes: Arc<Wakes>,
    waker: Waker,
}

/// Relaxed: a count, read where the wake itself has already been seen or on the same thread.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl CountingWaker {
    /// A waker that nobody has woken.
    #[must_use]
    pub fn new() -> Self {
        let wakes = Arc::<Wakes>::default();
        Self { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    /// The waker, to be cloned or borrowed.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// A context to poll with.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// How often it was woken.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

impl Default for CountingWaker {
    fn default() -> Self {
        Self::new()
    }
}
