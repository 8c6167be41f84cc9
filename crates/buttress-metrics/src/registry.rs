use crate::collect::{Collector, Description};
use crate::counter::Counter;
use crate::drops::Observer;
use crate::error::RegisterError;
use crate::event::Event;
use crate::families::Families;
use crate::family::{Family, Instrument, Open, OpenFamily, Series};
use crate::gauge::Gauge;
use crate::histogram::{Buckets, Histogram, Value};
use crate::label::LabelSet;
use crate::name::{self, Kind};
use crate::parts::{Gathered, Part};
#[cfg(any(feature = "http", feature = "recorder"))]
use crate::{
    drops::{Dropped, Drops},
    family::Source,
};
use buttress_core::{Inspect, Metric, Observe};
use parking_lot::Mutex;
#[cfg(any(feature = "http", feature = "recorder"))]
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Holds all that a program measures about itself. Clones are the same registry.
///
/// It is a value and not a global: a test, a tenant or an admin port can have one of its own. Registering is for the
/// start of a program and takes a lock; what is recorded afterwards goes through the handle that it gave, and never
/// meets the registry again.
///
/// To register the same metric again, with the same labels and bounds, gives the same series.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::Registry;
///
/// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
///
/// let registry = Registry::new();
/// registry.counter(&JOBS)?.inc();
/// assert_eq!(registry.counter(&JOBS)?.total(), 1); // the same one
/// assert!(registry.gauge(&JOBS).is_err()); // a gauge is not called so
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    families: Mutex<Families>,
    observer: Observer,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        let observer = Observer::default();
        let families = Mutex::new(Families::new(Arc::clone(&observer)));
        Self(Arc::new(Inner { families, observer }))
    }

    /// Tells an observer what a person would log. The first one that is set stays. It must not panic: whoever's call it
    /// is that is observed would.
    #[must_use]
    pub fn observe(self, observe: impl Observe<Event> + Send + Sync + 'static) -> Self {
        let _ = self.0.observer.set(Box::new(observe));
        self
    }

    /// A counter without labels.
    ///
    /// # Errors
    ///
    /// As all that follow: if the metric or a label cannot be called so, or if the name is taken. See [`RegisterError`].
    pub fn counter(&self, metric: &Metric) -> Result<Counter, RegisterError> {
        Ok(self.counters::<()>(metric)?.get(()).clone())
    }

    /// Counters by closed labels.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn counters<L: LabelSet>(&self, metric: &Metric) -> Result<Family<Counter, L>, RegisterError> {
        self.closed(metric, ())
    }

    /// Counters by labels of any value, and perhaps closed ones beside them.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn open_counters<const N: usize, L: LabelSet>(
        &self,
        metric: &Metric,
        open: impl Into<Open<N>>,
    ) -> Result<OpenFamily<Counter, N, L>, RegisterError> {
        self.open(metric, open.into(), ())
    }

    /// A gauge without labels.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn gauge(&self, metric: &Metric) -> Result<Gauge, RegisterError> {
        Ok(self.gauges::<()>(metric)?.get(()).clone())
    }

    /// Gauges by closed labels.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn gauges<L: LabelSet>(&self, metric: &Metric) -> Result<Family<Gauge, L>, RegisterError> {
        self.closed(metric, ())
    }

    /// Gauges by labels of any value, and perhaps closed ones beside them.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn open_gauges<const N: usize, L: LabelSet>(
        &self,
        metric: &Metric,
        open: impl Into<Open<N>>,
    ) -> Result<OpenFamily<Gauge, N, L>, RegisterError> {
        self.open(metric, open.into(), ())
    }

    /// A histogram without labels.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn histogram<V: Value>(
        &self,
        metric: &Metric,
        buckets: &Buckets<V>,
    ) -> Result<Histogram<V>, RegisterError> {
        Ok(self.histograms::<V, ()>(metric, buckets)?.get(()).clone())
    }

    /// Histograms by closed labels.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn histograms<V: Value, L: LabelSet>(
        &self,
        metric: &Metric,
        buckets: &Buckets<V>,
    ) -> Result<Family<Histogram<V>, L>, RegisterError> {
        self.closed(metric, Arc::new(buckets.grid()))
    }

    /// Histograms by labels of any value, and perhaps closed ones beside them.
    ///
    /// # Errors
    ///
    /// See [`Registry::counter`].
    pub fn open_histograms<V: Value, const N: usize, L: LabelSet>(
        &self,
        metric: &Metric,
        open: impl Into<Open<N>>,
        buckets: &Buckets<V>,
    ) -> Result<OpenFamily<Histogram<V>, N, L>, RegisterError> {
        self.open(metric, open.into(), Arc::new(buckets.grid()))
    }

    /// Shows a part's own numbers, for as long as there is this registry: those of a breaker's, cache's or pool's handle.
    /// They are read when somebody looks, and cost nothing in between.
    ///
    /// A metric is called as the part's [`kind`](Inspect::kind) and the metric's own name say, as in `breaker_calls_total`,
    /// and has a label `name` with the part's. A state is one gauge for each there is, of which one is 1.
    ///
    /// A part is asked once, now; what it will show later is not known. If that is against the rules, or by a name that is
    /// taken, it is left out and counted as [dropped](crate::Dropped), and whoever has the name is shown.
    ///
    /// # Errors
    ///
    /// If there is a part of this kind and name already, or a metric that it shows is called as one from elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_limit::TimeoutLayer;
    /// use buttress_metrics::{Registry, expose::Format};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let registry = Registry::new();
    /// let layer = TimeoutLayer::new("search", Duration::from_secs(1));
    /// registry.register(Arc::new(layer.handle()))?;
    /// assert!(registry.encode(Format::Text).contains("timeout_timed_out_total{name=\"search\"} 0\n"));
    /// # Ok::<_, buttress_metrics::RegisterError>(())
    /// ```
    pub fn register(&self, part: Arc<dyn Inspect>) -> Result<(), RegisterError> {
        self.add(&Part::strong(part))
    }

    /// Shows a part's own numbers, until the part is dropped. Otherwise as [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register). A part that was dropped is in nobody's way: its name and those of its metrics are
    /// free.
    pub fn register_weak(&self, part: &Arc<dyn Inspect>) -> Result<(), RegisterError> {
        self.add(&Part::weak(part))
    }

    fn add(&self, part: &Part) -> Result<(), RegisterError> {
        // Asked once now, so that what cannot be shown is an error here and not a gap later.
        let shown = Gathered::of(std::slice::from_ref(part));
        self.0.families.lock().add(part, &shown)
    }

    /// Shows everything to `collector`: families by their names, each with its series in an order that stays.
    ///
    /// No two series have the same name and the same labels, and no two families share a name that their samples would
    /// have in a text format.
    pub fn collect(&self, collector: &mut dyn Collector) {
        // No lock is held while parts are asked, nor while an observer or the collector is at work: they are not ours.
        let parts = self.0.families.lock().parts().to_vec();
        let gathered = Gathered::of(&parts);
        let (all, dropped) = self.0.families.lock().all(gathered);
        dropped.into_iter().for_each(|(drops, reason)| drops.count(reason));
        all.into_iter().for_each(|origin| origin.collect(collector));
    }

    /// Whether families that are registered together can be. They are there together or not at all: where the first one
    /// is not, whoever has the name of another is somebody else, and then none of them is to be kept.
    pub(crate) fn check_together(&self, all: &[(&Metric, Kind)]) -> Result<(), RegisterError> {
        let mut families = self.0.families.lock();
        families.sweep();
        if all.first().is_some_and(|(first, _)| families.source(first.name).is_some()) {
            return Ok(());
        }
        all.iter().try_for_each(|(metric, kind)| families.check_free(metric.name, *kind))
    }

    /// A family that is found by its name alone, and made by whoever is the first to ask.
    #[cfg(any(feature = "http", feature = "recorder"))]
    pub(crate) fn find_or_insert<S: Source + Any>(
        &self,
        name: &str,
        kind: Kind,
        make: impl FnOnce(Arc<Drops>) -> Result<S, Dropped>,
    ) -> Result<Arc<S>, Dropped> {
        let mut families = self.0.families.lock();
        if let Some(source) = families.source(name) {
            return Arc::clone(source).as_any().downcast().map_err(|_| Dropped::Taken);
        }
        families.sweep();
        let drops = families.insert(name, kind).map_err(|_| Dropped::Taken)?;
        match make(drops) {
            Ok(source) => {
                let source = Arc::new(source);
                families.give(name, Arc::clone(&source) as _);
                Ok(source)
            }
            Err(reason) => {
                families.remove(name);
                Err(reason)
            }
        }
    }

    /// Counts what was left out, for the family of this name if there is one.
    #[cfg(feature = "recorder")]
    pub(crate) fn dropped(&self, name: &str, reason: Dropped) {
        let drops = Arc::clone(self.0.families.lock().drops(name));
        drops.count(reason);
    }

    fn closed<M: Instrument, L: LabelSet>(
        &self,
        metric: &Metric,
        plan: M::Plan,
    ) -> Result<Family<M, L>, RegisterError> {
        Ok(self.series::<M, L>(metric, &[], 1, plan)?.with(&[]).clone())
    }

    fn open<M: Instrument, const N: usize, L: LabelSet>(
        &self,
        metric: &Metric,
        open: Open<N>,
        plan: M::Plan,
    ) -> Result<OpenFamily<M, N, L>, RegisterError> {
        self.series(metric, &open.names, open.cap, plan).map(OpenFamily)
    }

    /// A family by its open labels and closed ones, or the same one if it is there.
    pub(crate) fn series<M: Instrument, L: LabelSet>(
        &self,
        metric: &Metric,
        names: &[&'static str],
        cap: usize,
        plan: M::Plan,
    ) -> Result<Arc<Series<M, L>>, RegisterError> {
        name::check(metric, M::KIND)?;
        name::check_labels(metric.name, names, L::LABELS)?;
        let description = Description::new(metric, M::KIND);
        let taken = || RegisterError::Taken { name: metric.name.into(), by: metric.name.into() };
        let mut families = self.0.families.lock();
        if let Some(source) = families.source(metric.name) {
            let same = Arc::clone(source).as_any().downcast::<Series<M, L>>().map_err(|_| taken())?;
            let is_same = same.description == description
                && (&*same.names, same.cap) == (names, cap)
                && same.shape.plan == plan;
            return if is_same { Ok(same) } else { Err(taken()) };
        }
        families.sweep();
        let drops = families.insert(metric.name, M::KIND)?;
        let series = Arc::new(Series::new(description, names, cap, plan, drops));
        families.give(metric.name, Arc::clone(&series) as _);
        Ok(series)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.families.lock().names().cloned().collect();
        f.debug_struct("Registry").field("families", &names).finish_non_exhaustive()
    }
}
