//! What was left out, and why: counted for each family, and told once.

use crate::event::Event;
use buttress_core::Observe;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Why something was not recorded or not shown as it was given.
///
/// The registry shows how often as `buttress_metrics_dropped_total{metric, reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// Label values for which a family has no room, or that are too long. What is recorded for them is in the series
    /// whose label values are `_overflow`.
    Overflow,
    /// A value for a histogram that is not a number.
    Nan,
    /// A value for a histogram that is negative.
    Negative,
    /// A name that no metric can have.
    Name,
    /// A label that cannot be: reserved, malformed, or there twice.
    Label,
    /// A name that another metric has, of another kind or from elsewhere.
    Taken,
    /// A new metric, where there are as many as may be.
    Families,
    /// A second number with the same labels.
    Duplicate,
    /// What a part would have shown that panicked when it was asked.
    Panicked,
}

impl Dropped {
    const ALL: [Self; 9] = [
        Self::Overflow,
        Self::Nan,
        Self::Negative,
        Self::Name,
        Self::Label,
        Self::Taken,
        Self::Families,
        Self::Duplicate,
        Self::Panicked,
    ];

    /// The reason in one word, as the label `reason` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Nan => "nan",
            Self::Negative => "negative",
            Self::Name => "name",
            Self::Label => "label",
            Self::Taken => "taken",
            Self::Families => "families",
            Self::Duplicate => "duplicate",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is told; set once at most.
pub(crate) type Observer = Arc<OnceLock<Box<dyn Observe<Event> + Send + Sync>>>;

/// What one family has left out.
pub struct Drops {
    metric: Arc<str>,
    counts: [AtomicU64; Dropped::ALL.len()],
    observer: Observer,
}

impl Drops {
    pub(crate) fn new(metric: Arc<str>, observer: Observer) -> Self {
        Self { metric, counts: std::array::from_fn(|_| AtomicU64::new(0)), observer }
    }

    /// Counts one. The first of its kind is told to the observer: call it without a lock.
    pub(crate) fn count(&self, reason: Dropped) {
        self.add(reason, 1);
    }

    /// Counts so many; as [`count`](Self::count).
    pub(crate) fn add(&self, reason: Dropped, times: u64) {
        // Relaxed: a count, which publishes nothing.
        if self.counts[reason as usize].fetch_add(times, Ordering::Relaxed) > 0 {
            return;
        }
        if let Some(observer) = self.observer.get() {
            observer.observe(Event::Dropped { metric: Arc::clone(&self.metric), reason });
        }
    }

    /// The reasons that there were, with how often.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Dropped::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn metric(&self) -> &Arc<str> {
        &self.metric
    }
}

impl fmt::Debug for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.counted()).finish()
    }
}
