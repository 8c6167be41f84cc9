//! Series that belong together: one name, one kind, and labels that tell them apart.

use crate::collect::{Collector, Description};
use crate::counter::Counter;
use crate::drops::{Dropped, Drops};
use crate::gauge::Gauge;
use crate::histogram::{Grid, Histogram, Value};
use crate::label::{LabelSet, backwards, combinations};
use crate::name::Kind;
use crate::table::Table;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// What a family is made of: [`Counter`], [`Gauge`] or [`Histogram`].
///
/// There is nothing to implement.
pub trait Instrument: sealed::Sealed + Clone + fmt::Debug + Send + Sync + 'static {}

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl<V: Value> Instrument for Histogram<V> {}

pub(crate) mod sealed {
    use super::*;

    pub trait Sealed: Sized {
        const KIND: Kind;
        /// What makes the instruments of one family alike.
        type Plan: PartialEq + Send + Sync + 'static;
        fn make(plan: &Self::Plan, drops: &Arc<Drops>) -> Self;
        fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector);
    }

    impl Sealed for Counter {
        const KIND: Kind = Kind::Counter;
        type Plan = ();

        fn make((): &(), _: &Arc<Drops>) -> Self {
            Self::new()
        }

        fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector) {
            into.counter(labels, self.total());
        }
    }

    impl Sealed for Gauge {
        const KIND: Kind = Kind::Gauge;
        type Plan = ();

        fn make((): &(), _: &Arc<Drops>) -> Self {
            Self::new()
        }

        fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector) {
            into.gauge(labels, self.value());
        }
    }

    impl<V: Value> Sealed for Histogram<V> {
        const KIND: Kind = Kind::Histogram;
        type Plan = Arc<Grid>;

        fn make(grid: &Arc<Grid>, drops: &Arc<Drops>) -> Self {
            Self::new(Arc::clone(grid), Arc::clone(drops))
        }

        fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector) {
            into.histogram(labels, &self.snapshot());
        }
    }
}

/// A family whose labels are all closed: one series for each combination of their values. Clones are the same family.
///
/// A series is shown from when it was first asked for.
pub struct Family<M: Instrument, L = ()> {
    group: Arc<Group<M>>,
    labels: PhantomData<fn(L)>,
}

/// So many series share an allocation, which is made when the first of them is asked for.
const CHUNK: usize = 16;

struct Group<M: Instrument> {
    shape: Arc<Shape<M>>,
    chunks: Box<[OnceLock<Chunk<M>>]>,
}

type Chunk<M> = Box<[OnceLock<M>]>;

/// What makes the series of a family alike.
pub(crate) struct Shape<M: Instrument> {
    pub(crate) plan: M::Plan,
    pub(crate) drops: Arc<Drops>,
}

impl<M: Instrument, L: LabelSet> Family<M, L> {
    fn new(shape: Arc<Shape<M>>) -> Self {
        let chunks = (0..combinations::<L>().div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Self { group: Arc::new(Group { shape, chunks }), labels: PhantomData }
    }

    /// The series of these labels.
    ///
    /// # Panics
    ///
    /// If a label's [`index`](crate::Label::index) is not below the number of its values.
    #[inline]
    pub fn get(&self, labels: L) -> &M {
        let place = labels.place();
        let chunk = self.group.chunks[place / CHUNK].get_or_init(|| {
            let rest = combinations::<L>() - place / CHUNK * CHUNK;
            (0..rest.min(CHUNK)).map(|_| OnceLock::new()).collect()
        });
        let shape = &self.group.shape;
        chunk[place % CHUNK].get_or_init(|| M::make(&shape.plan, &shape.drops))
    }

    /// The series that were asked for, by the places of their labels.
    fn all(&self) -> impl Iterator<Item = (usize, &M)> {
        let chunks = self.group.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.get()?)));
        chunks.flat_map(|(at, chunk)| {
            let series = chunk.iter().enumerate();
            series.filter_map(move |(index, series)| Some((at * CHUNK + index, series.get()?)))
        })
    }
}

impl<M: Instrument, L> Clone for Family<M, L> {
    fn clone(&self) -> Self {
        Self { group: Arc::clone(&self.group), labels: PhantomData }
    }
}

impl<M: Instrument, L: LabelSet> fmt::Debug for Family<M, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("series", &self.all().count()).finish_non_exhaustive()
    }
}

/// Labels whose values are not known ahead, and how many combinations of them get series of their own.
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::{Counter, Open, OpenFamily, Registry};
///
/// const LOGINS: Metric = Metric { name: "logins_total", unit: "", help: "logins, by tenant" };
///
/// let registry = Registry::new();
/// let logins: OpenFamily<Counter, 1> = registry.open_counters(&LOGINS, Open::new(["tenant"]).cap(2))?;
/// for tenant in ["acme", "initech", "umbrella", "hooli"] {
///     logins.get([tenant]).inc();
/// }
/// // Two have series of their own; the rest share one, and nothing is lost.
/// assert_eq!(logins.get(["acme"]).total(), 1);
/// assert_eq!(logins.get(["hooli"]).total(), 2);
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<const N: usize> {
    /// What the labels are called.
    pub names: [&'static str; N],
    /// How many combinations of values get series of their own. Default 100, at most 65,536. Where labels are closed too,
    /// each of these has as many series as there are combinations of those.
    pub cap: usize,
}

impl<const N: usize> Open<N> {
    /// These labels, with 100 combinations at most.
    #[must_use]
    pub const fn new(names: [&'static str; N]) -> Self {
        Self { names, cap: 100 }
    }

    /// Sets [`Open::cap`](field@Self::cap).
    #[must_use]
    pub const fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }
}

impl<const N: usize> From<[&'static str; N]> for Open<N> {
    fn from(names: [&'static str; N]) -> Self {
        Self::new(names)
    }
}

/// A family with `N` labels that take any value, and perhaps closed ones beside them. Clones are the same family.
///
/// There are no more series than [`Open::cap`] says. Whatever has no room is recorded all the same, in the one whose open
/// labels are all `_overflow`, and is counted in `buttress_metrics_dropped_total`. Values over 256 bytes never have room.
/// What has a series keeps it.
pub struct OpenFamily<M: Instrument, const N: usize, L = ()>(pub(crate) Arc<Series<M, L>>);

/// All that a family has to show.
pub(crate) struct Series<M: Instrument, L> {
    pub(crate) description: Description,
    pub(crate) names: Box<[&'static str]>,
    pub(crate) cap: usize,
    pub(crate) shape: Arc<Shape<M>>,
    table: Table<Family<M, L>>,
    overflow: OnceLock<Family<M, L>>,
}

/// The value of the open labels of what has no room.
pub(crate) const OVERFLOW: &str = "_overflow";

/// Where the family of some open labels stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    const OVERFLOW: Self = Self(u32::MAX);

    fn new(place: usize) -> Self {
        // A table that large would be one of 64 GB.
        u32::try_from(place).map_or(Self::OVERFLOW, Self)
    }
}

impl<M: Instrument, L: LabelSet> Series<M, L> {
    pub(crate) fn new(
        description: Description,
        names: &[&'static str],
        cap: usize,
        plan: M::Plan,
        drops: Arc<Drops>,
    ) -> Self {
        let shape = Arc::new(Shape { plan, drops });
        Self {
            description,
            names: names.into(),
            cap,
            shape,
            table: Table::new(cap),
            overflow: OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn with(&self, labels: &[&str]) -> &Family<M, L> {
        match self.table.find(labels) {
            Some((_, family)) => family,
            None => self.make(labels).1,
        }
    }

    /// Where [`at`](Self::at) finds the family of these labels.
    #[inline]
    pub(crate) fn place(&self, labels: &[&str]) -> Place {
        match self.table.find(labels) {
            Some((place, _)) => Place::new(place),
            None => self.make(labels).0,
        }
    }

    #[inline]
    pub(crate) fn at(&self, place: Place) -> &Family<M, L> {
        match self.table.at(place.0 as usize) {
            Some(family) => family,
            None => self.overflow(),
        }
    }

    #[cold]
    fn make(&self, labels: &[&str]) -> (Place, &Family<M, L>) {
        // Its labels are those of the overflow: there must not be two series of them.
        let is_overflow = !labels.is_empty() && labels.iter().all(|label| *label == OVERFLOW);
        let make = || Family::new(Arc::clone(&self.shape));
        match if is_overflow { None } else { self.table.find_or_make(labels, make) } {
            Some((place, family)) => (Place::new(place), family),
            None => {
                if !is_overflow {
                    self.shape.drops.count(Dropped::Overflow);
                }
                (Place::OVERFLOW, self.overflow())
            }
        }
    }

    #[cold]
    fn overflow(&self) -> &Family<M, L> {
        self.overflow.get_or_init(|| Family::new(Arc::clone(&self.shape)))
    }

    /// Visits each series with its labels, in an order that stays.
    pub(crate) fn each<'a>(&'a self, mut visit: impl FnMut(&M, &mut Vec<(&'a str, &'a str)>)) {
        let sorted = self.table.sorted();
        let own =
            sorted.into_iter().map(|entry| (entry.key.iter().map(|value| &**value).collect(), &entry.value));
        let overflow = self.overflow.get().map(|family| (vec![OVERFLOW; self.names.len()], family));
        for (open, family) in own.chain(overflow) {
            let open: Vec<&str> = open;
            for (place, series) in family.all() {
                let mut labels: Vec<(&str, &str)> = backwards::<L>(place).collect();
                labels.extend(self.names.iter().copied().zip(open.iter().copied()).rev());
                labels.reverse();
                // An empty value is as good as none, and says less.
                labels.retain(|(_, value)| !value.is_empty());
                visit(series, &mut labels);
            }
        }
    }
}

/// What a registry can ask for all that it has.
pub(crate) trait Source: Send + Sync {
    fn collect(&self, into: &mut dyn Collector);
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<M: Instrument, L: LabelSet> Source for Series<M, L> {
    fn collect(&self, into: &mut dyn Collector) {
        let mut begun = false;
        self.each(|series, labels| {
            if !std::mem::replace(&mut begun, true) {
                into.family(&self.description);
            }
            series.collect(labels, into);
        });
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl<M: Instrument, const N: usize, L: LabelSet> OpenFamily<M, N, L> {
    /// The series of these values of the open labels, one for each combination of the closed ones. A clone of what it
    /// lends can be kept, and then nothing is looked for any longer.
    #[inline]
    #[must_use]
    pub fn with(&self, labels: [&str; N]) -> &Family<M, L> {
        self.0.with(&labels)
    }
}

impl<M: Instrument, const N: usize> OpenFamily<M, N> {
    /// The series of these labels. A clone of what it lends can be kept, and then nothing is looked for any longer.
    #[inline]
    #[must_use]
    pub fn get(&self, labels: [&str; N]) -> &M {
        self.0.with(&labels).get(())
    }
}

impl<M: Instrument, const N: usize, L> Clone for OpenFamily<M, N, L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Instrument, const N: usize, L: LabelSet> fmt::Debug for OpenFamily<M, N, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFamily")
            .field("name", &self.0.description.name)
            .field("series", &self.0.table.sorted().len())
            .finish_non_exhaustive()
    }
}
