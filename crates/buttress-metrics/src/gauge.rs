use crate::primitive::{AtomicU64, Ordering};
use buttress_core::Lane;
use std::fmt;
use std::sync::Arc;

/// Shows a value that moves both ways. Clones are the same gauge.
///
/// What is set is shown, NaN and infinities too. What is added to it and is not a finite number is left out, so that
/// one wrong sum does not spoil all that follow.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::Registry;
///
/// const OPEN: Metric = Metric { name: "files_open", unit: "", help: "files that are open" };
///
/// let registry = Registry::new();
/// let open = registry.gauge(&OPEN)?;
/// let file = open.hold(); // given back however this scope is left
/// assert_eq!(open.value(), 1.0);
/// drop(file);
/// open.set(7.0);
/// assert_eq!(open.value(), 7.0);
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
#[derive(Clone)]
pub struct Gauge(pub(crate) Arc<Level>);

/// On a cache line of its own, as a counter's total is.
pub(crate) struct Level(Lane<AtomicU64>);

impl Level {
    #[inline]
    pub(crate) fn set(&self, value: f64) {
        // Relaxed, here and below: a value, which publishes nothing.
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn add(&self, more: f64) {
        if more.is_finite() {
            change(&self.0, |value| value + more);
        }
    }
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Level(Lane::new(AtomicU64::new(0_f64.to_bits())))))
    }

    /// Shows this value from now on.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Adds to the value; a negative number takes away from it.
    #[inline]
    pub fn add(&self, more: f64) {
        self.0.add(more);
    }

    /// Takes away from the value.
    #[inline]
    pub fn sub(&self, less: f64) {
        self.add(-less);
    }

    /// Adds one until what it returns is dropped.
    #[inline]
    pub fn hold(&self) -> Held {
        self.add(1.0);
        Held(self.clone())
    }

    /// The value now.
    #[must_use]
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.0.load(Ordering::Relaxed))
    }
}

/// Changes a number that is kept as bits. Nobody's change is lost.
#[inline]
pub(crate) fn change(bits: &AtomicU64, to: impl Fn(f64) -> f64) {
    let mut old = bits.load(Ordering::Relaxed);
    loop {
        let new = to(f64::from_bits(old)).to_bits();
        match bits.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(other) => old = other,
        }
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.value()).finish()
    }
}

/// One that was added to a [`Gauge`], and is taken away when this is dropped.
#[must_use = "it is taken away at once if it is not kept"]
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.sub(1.0);
    }
}
