//! What other crates record with the macros of [`metrics`], in a registry of ours and under its caps.
//!
//! [`Recorder`] takes it; [`Mirror`] hands what a registry shows to a recorder of somebody else's.

mod facade;
mod handles;
mod mirror;
mod names;
#[cfg(all(test, feature = "exporter"))]
mod tests;

pub use mirror::Mirror;

use crate::counter::Counter;
use crate::drops::Dropped;
use crate::family::Instrument;
use crate::gauge::Gauge;
use crate::histogram::{Buckets, Grid, Histogram};
use crate::name::Kind;
use crate::registry::Registry;
use facade::{Described, Facade};
use foldhash::fast::RandomState;
use metrics::{Key, KeyName, Metadata, SetRecorderError, SharedString, Unit};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How many keys are remembered with their series; what is not is looked for each time.
const REMEMBERED: usize = 10_000;

/// Takes what is recorded with `counter!`, `gauge!` and `histogram!`: a `metrics::Recorder`.
///
/// Such calls cannot fail, and their labels may be anything. So there are caps: on the series of a family, of which the
/// rest share one that is labelled `_overflow="true"`, and on the families themselves. What breaks a rule (a label `le`,
/// a gauge that is called as a counter) is left out, counted in `buttress_metrics_dropped_total`, and told to the registry's
/// [observer](Registry::observe) once. Dots and the like in names become underscores, and counters end in `_total`.
///
/// A histogram has the bounds that were [set](Self::buckets) for it; or else, by the unit that it was described with
/// before it was first recorded, those for seconds or for bytes; or else those of [`Buckets<f64>`](Buckets).
///
/// # Examples
///
/// ```
/// use buttress_metrics::{Registry, expose::Format, recorder::Recorder};
/// use metrics::{counter, with_local_recorder};
///
/// let registry = Registry::new();
/// let recorder = Recorder::new(&registry);
/// // In a program: `recorder.install()?`, once.
/// with_local_recorder(&recorder, || counter!("http.requests", "method" => "GET").increment(1));
/// assert!(registry.encode(Format::Text).contains("http_requests_total{method=\"GET\"} 1\n"));
/// ```
pub struct Recorder {
    registry: Registry,
    cap: usize,
    buckets: HashMap<String, Arc<Grid>>,
    forward: Option<Box<dyn metrics::Recorder + Send + Sync>>,
    /// How many more families there may be.
    room: Mutex<usize>,
    described: Mutex<HashMap<String, Described>>,
    counters: Known<Counter>,
    gauges: Known<Gauge>,
    histograms: Known<Histogram<f64>>,
}

type Known<M> = RwLock<HashMap<Key, M, RandomState>>;

impl Recorder {
    /// Records in this registry: 100 series for each family, and 1000 families.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            cap: 100,
            buckets: HashMap::new(),
            forward: None,
            room: Mutex::new(1000),
            described: Mutex::default(),
            counters: RwLock::default(),
            gauges: RwLock::default(),
            histograms: RwLock::default(),
        }
    }

    /// Sets how many series a family may have: 65,536 at most.
    #[must_use]
    pub fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }

    /// Sets how many families there may be.
    #[must_use]
    pub fn families(mut self, families: usize) -> Self {
        self.room = Mutex::new(families);
        self
    }

    /// Sets the bounds of one histogram, by the name that it is recorded with.
    #[must_use]
    pub fn buckets(mut self, name: &str, buckets: &Buckets<f64>) -> Self {
        if let Ok(name) = names::metric(name, Kind::Histogram) {
            self.buckets.insert(name, Arc::new(buckets.grid()));
        }
        self
    }

    /// Hands everything to another recorder too, as it comes: also what is left out here.
    #[must_use]
    pub fn forward_to(mut self, other: impl metrics::Recorder + Send + Sync + 'static) -> Self {
        self.forward = Some(Box::new(other));
        self
    }

    /// Makes it the one that the macros of this process record in.
    ///
    /// # Errors
    ///
    /// If there is one already.
    #[expect(clippy::result_large_err, reason = "what comes back is the recorder itself")]
    pub fn install(self) -> Result<(), SetRecorderError<Self>> {
        metrics::set_global_recorder(self)
    }

    /// The series of a key, or nothing if it cannot be had.
    fn series<M: Instrument>(
        &self,
        key: &Key,
        known: &Known<M>,
        plan: impl FnOnce(&str) -> M::Plan,
    ) -> Option<M> {
        if let Some(series) = known.read().get(key) {
            return Some(series.clone());
        }
        let made = self.make(key, plan).map_err(|(name, reason)| self.registry.dropped(&name, reason));
        let (series, is_overflow): (M, bool) = made.ok()?;
        // What has no room is counted each time.
        if !is_overflow && names::is_short(key) {
            let mut known = known.write();
            if known.len() < REMEMBERED {
                known.insert(key.clone(), series.clone());
            }
        }
        Some(series)
    }

    #[cold]
    fn make<M: Instrument>(
        &self,
        key: &Key,
        plan: impl FnOnce(&str) -> M::Plan,
    ) -> Result<(M, bool), (String, Dropped)> {
        let name = names::metric(key.name(), M::KIND).map_err(|reason| (String::new(), reason))?;
        let labels = names::labels(key.labels().map(|label| (label.key(), label.value())));
        let labels = labels.map_err(|reason| (name.clone(), reason))?;
        let family = self.family::<M>(&name, plan).map_err(|reason| (name, reason))?;
        let (series, is_overflow) = family.series(&labels);
        Ok((series.clone(), is_overflow))
    }

    fn family<M: Instrument>(
        &self,
        name: &str,
        plan: impl FnOnce(&str) -> M::Plan,
    ) -> Result<Arc<Facade<M>>, Dropped> {
        let described = self.described(name);
        self.registry.find_or_insert(name, M::KIND, |drops| {
            let mut room = self.room.lock();
            *room = room.checked_sub(1).ok_or(Dropped::Families)?;
            Ok(Facade::new(name.to_owned(), described.unwrap_or_default(), plan(name), drops, self.cap))
        })
    }

    /// What a family is described with, or will be; nothing if there are more than there may be families.
    fn described(&self, name: &str) -> Option<Described> {
        const MOST: usize = 10_000;
        let mut described = self.described.lock();
        if let Some(described) = described.get(name) {
            return Some(Arc::clone(described));
        }
        (described.len() < MOST).then(|| Arc::clone(described.entry(name.to_owned()).or_default()))
    }

    fn describe(&self, name: &KeyName, kind: Kind, unit: Option<Unit>, help: &SharedString) {
        let Ok(name) = names::metric(name.as_str(), kind) else { return };
        if let Some(described) = self.described(&name) {
            // The first one stays.
            let _ = described.set((unit.map_or("", |unit| unit.as_str()), help.to_string()));
        }
    }

    fn grid(&self, name: &str) -> Arc<Grid> {
        if let Some(grid) = self.buckets.get(name) {
            return Arc::clone(grid);
        }
        let described = self.described(name);
        let unit = described.as_ref().and_then(|described| described.get()).map_or("", |(unit, _)| unit);
        Arc::new(match unit {
            "seconds" => Buckets::seconds().grid(),
            "bytes" => Buckets::bytes().grid(),
            _ => Buckets::<f64>::default().grid(),
        })
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Counter, unit, &help);
        self.forward.iter().for_each(|to| to.describe_counter(name.clone(), unit, help.clone()));
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Gauge, unit, &help);
        self.forward.iter().for_each(|to| to.describe_gauge(name.clone(), unit, help.clone()));
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Histogram, unit, &help);
        self.forward.iter().for_each(|to| to.describe_histogram(name.clone(), unit, help.clone()));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Counter {
        let ours = self.series(key, &self.counters, |_| ());
        let theirs = self.forward.as_ref().map(|to| to.register_counter(key, metadata));
        handles::counter(ours, theirs)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Gauge {
        let ours = self.series(key, &self.gauges, |_| ());
        let theirs = self.forward.as_ref().map(|to| to.register_gauge(key, metadata));
        handles::gauge(ours, theirs)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Histogram {
        let ours = self.series(key, &self.histograms, |name| self.grid(name));
        let theirs = self.forward.as_ref().map(|to| to.register_histogram(key, metadata));
        handles::histogram(ours, theirs)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("registry", &self.registry)
            .field("cap", &self.cap)
            .finish_non_exhaustive()
    }
}
