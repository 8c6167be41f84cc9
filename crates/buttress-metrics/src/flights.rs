//! How many there are of what is held: a gauge that nobody counts.

use crate::collect::Collector;
use crate::drops::Drops;
use crate::family::{Instrument, sealed};
use crate::name::Kind;
use buttress_core::Lanes;
use std::fmt;
use std::sync::Arc;

/// Each call holds a lane, which lends it what calls share. How many hold one is what the gauge shows, however a call
/// ends, and no thread writes what another reads.
pub(crate) struct Flights<T>(pub(crate) Lanes<Arc<T>>);

/// What is lent; the same only if it is the same one.
pub(crate) struct Lent<T>(pub(crate) Arc<T>);

impl<T> PartialEq for Lent<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: Send + Sync + 'static> Instrument for Flights<T> {}

impl<T: Send + Sync + 'static> sealed::Sealed for Flights<T> {
    const KIND: Kind = Kind::Gauge;
    type Plan = Lent<T>;

    fn make(lent: &Lent<T>, _: &Arc<Drops>) -> Self {
        Self(Lanes::new(|_| Arc::clone(&lent.0)))
    }

    fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector) {
        into.gauge(labels, self.0.held() as f64);
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flights").field(&self.0.held()).finish()
    }
}
