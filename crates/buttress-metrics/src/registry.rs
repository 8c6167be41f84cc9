use crate::collect::{Collector, Description};
use crate::counter::Counter;
use crate::drops::{Drops, Observer};
use crate::error::RegisterError;
use crate::event::Event;
use crate::family::{Family, Instrument, Open, OpenFamily, Series, Source};
use crate::gauge::Gauge;
use crate::histogram::{Buckets, Histogram, Value};
use crate::label::LabelSet;
use crate::name::{self, Kind};
use buttress_core::{Metric, Observe};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
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

#[derive(Default)]
struct Families {
    by_name: BTreeMap<Arc<str>, Registered>,
    /// Every name that a sample may have, and the family that it belongs to.
    claims: HashMap<String, Arc<str>>,
}

struct Registered {
    source: Arc<dyn Source>,
    drops: Arc<Drops>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { families: Mutex::default(), observer: Arc::default() }))
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

    /// Shows everything to `collector`: families by their names, each with its series in an order that stays.
    ///
    /// No two series have the same name and the same labels, and no two families share a name that their samples would
    /// have in a text format.
    pub fn collect(&self, collector: &mut dyn Collector) {
        // The lock is only held for this: what a collector does is not ours.
        let mut sources: BTreeMap<Arc<str>, Arc<dyn Source>> = BTreeMap::new();
        let mut dropped = Vec::new();
        for (name, Registered { source, drops }) in &self.0.families.lock().by_name {
            sources.insert(Arc::clone(name), Arc::clone(source));
            dropped.push(Arc::clone(drops));
        }
        let mut sources = sources.into_iter().peekable();
        while let Some((_, source)) = sources.next_if(|(name, _)| **name < *DROPPED.name) {
            source.collect(collector);
        }
        collect_dropped(&dropped, collector);
        sources.for_each(|(_, source)| source.collect(collector));
    }

    fn closed<M: Instrument, L: LabelSet>(
        &self,
        metric: &Metric,
        plan: M::Plan,
    ) -> Result<Family<M, L>, RegisterError> {
        let open = Open { names: [], cap: 1 };
        Ok(self.open::<M, 0, L>(metric, open, plan)?.with([]).clone())
    }

    fn open<M: Instrument, const N: usize, L: LabelSet>(
        &self,
        metric: &Metric,
        open: Open<N>,
        plan: M::Plan,
    ) -> Result<OpenFamily<M, N, L>, RegisterError> {
        name::check(metric, M::KIND)?;
        name::check_labels(metric.name, &open.names, L::LABELS)?;
        let description = Description {
            name: metric.name.into(),
            kind: M::KIND,
            unit: metric.unit.into(),
            help: metric.help.into(),
        };
        let mut families = self.0.families.lock();
        if let Some(there) = families.by_name.get(metric.name) {
            let same = Arc::clone(&there.source).as_any().downcast::<Series<M, N, L>>().ok();
            let same = same.filter(|series| {
                series.description == description && series.open == open && series.shape.plan == plan
            });
            return same
                .map(OpenFamily)
                .ok_or_else(|| RegisterError::Taken { name: metric.name.into(), by: metric.name.into() });
        }
        let name = families.claim(metric.name, M::KIND)?;
        let drops = Arc::new(Drops::new(Arc::clone(&name), Arc::clone(&self.0.observer)));
        let series = Arc::new(Series::new(description, open, plan, Arc::clone(&drops)));
        let source = Arc::clone(&series) as Arc<dyn Source>;
        families.by_name.insert(name, Registered { source, drops });
        Ok(OpenFamily(series))
    }
}

impl Families {
    /// Keeps all names that samples of this family may have, or none.
    fn claim(&mut self, name: &str, kind: Kind) -> Result<Arc<str>, RegisterError> {
        let base = name::base(name, kind);
        let all = kind.suffixes().iter().map(|suffix| format!("{base}{suffix}")).chain([base.to_owned()]);
        let all: Vec<_> = all.collect();
        let ours = (name == DROPPED.name).then_some(DROPPED.name);
        if let Some(by) = all.iter().find_map(|name| self.claims.get(name).map(|by| &**by)).or(ours) {
            return Err(RegisterError::Taken { name: name.into(), by: by.into() });
        }
        let owner: Arc<str> = name.into();
        self.claims.extend(all.into_iter().map(|name| (name, Arc::clone(&owner))));
        Ok(owner)
    }
}

const DROPPED: Metric = Metric {
    name: "buttress_metrics_dropped_total",
    unit: "",
    help: "what was not recorded or shown as it was given, by metric and reason",
};

fn collect_dropped(all: &[Arc<Drops>], collector: &mut dyn Collector) {
    let mut begun = false;
    for drops in all {
        for (reason, total) in drops.counted() {
            if !std::mem::replace(&mut begun, true) {
                collector.family(&Description {
                    name: DROPPED.name.into(),
                    kind: Kind::Counter,
                    unit: DROPPED.unit.into(),
                    help: DROPPED.help.into(),
                });
            }
            collector.counter(&[("metric", drops.metric()), ("reason", reason.as_str())], total);
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.families.lock().by_name.keys().cloned().collect();
        f.debug_struct("Registry").field("families", &names).finish_non_exhaustive()
    }
}
