//! What parts show of themselves, read when somebody looks.

use crate::collect::{Collector, Description};
use crate::drops::Dropped;
use crate::histogram::Snapshot;
use crate::name::{self, Kind, is_label};
use buttress_core::{Distribution, Inspect, Labels, Metric, Name, Sink};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

/// The label that tells parts of one kind apart.
const INSTANCE: &str = "name";

/// Tells parts apart: what kind of part, and its name.
pub(crate) type Id = (&'static str, Name);

/// A part, and what it is called.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) kind: &'static str,
    pub(crate) name: Name,
    held: Held,
}

#[derive(Clone)]
enum Held {
    Strong(Arc<dyn Inspect>),
    Weak(Weak<dyn Inspect>),
}

impl Part {
    pub(crate) fn strong(part: Arc<dyn Inspect>) -> Self {
        Self { kind: part.kind(), name: part.name(), held: Held::Strong(part) }
    }

    pub(crate) fn weak(part: &Arc<dyn Inspect>) -> Self {
        Self { kind: part.kind(), name: part.name(), held: Held::Weak(Arc::downgrade(part)) }
    }

    pub(crate) fn id(&self) -> Id {
        (self.kind, self.name)
    }

    pub(crate) fn is_alive(&self) -> bool {
        match &self.held {
            Held::Strong(_) => true,
            Held::Weak(part) => part.strong_count() > 0,
        }
    }

    fn part(&self) -> Option<Arc<dyn Inspect>> {
        match &self.held {
            Held::Strong(part) => Some(Arc::clone(part)),
            Held::Weak(part) => part.upgrade(),
        }
    }
}

/// What all parts show, by the names of the families.
#[derive(Default)]
pub(crate) struct Gathered {
    /// By their kind, too: parts may call different things by one name, and only who has that name can keep it.
    pub(crate) families: BTreeMap<(String, Kind), Shown>,
    /// What could not be shown, and of which family if that has a name.
    pub(crate) dropped: Vec<(String, Dropped)>,
}

/// One family, of one or more parts.
pub(crate) struct Shown {
    pub(crate) description: Description,
    pub(crate) by: BTreeSet<Id>,
    rows: Vec<Row>,
    seen: HashSet<RowLabels>,
}

type RowLabels = Arc<[(&'static str, String)]>;

struct Row {
    labels: RowLabels,
    value: Value,
}

enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Box<Snapshot>),
}

impl Value {
    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

impl Gathered {
    /// Asks all parts that are alive. One that panics shows nothing, and the others do.
    pub(crate) fn of(parts: &[Part]) -> Self {
        let mut all = Self::default();
        for part in parts {
            let Some(held) = part.part() else { continue };
            let mut own = Reader { part: part.id(), gathered: Self::default() };
            match catch_unwind(AssertUnwindSafe(|| held.inspect(&mut own))) {
                Ok(()) => all.add(part.id(), own.gathered),
                Err(_) => all.dropped.push((String::new(), Dropped::Panicked)),
            }
        }
        all
    }

    fn add(&mut self, part: Id, more: Self) {
        self.dropped.extend(more.dropped);
        for shown in more.families.into_values() {
            for row in shown.rows {
                self.push(part, &shown.description, row);
            }
        }
    }

    fn push(&mut self, part: Id, description: &Description, row: Row) {
        let name = description.name.clone().into_owned();
        let shown = self.families.entry((name.clone(), description.kind)).or_insert_with(|| Shown {
            description: description.clone(),
            by: BTreeSet::new(),
            rows: Vec::new(),
            seen: HashSet::new(),
        });
        shown.by.insert(part);
        if shown.seen.insert(Arc::clone(&row.labels)) {
            shown.rows.push(row);
        } else {
            self.dropped.push((name, Dropped::Duplicate));
        }
    }
}

impl Shown {
    pub(crate) fn collect(&self, into: &mut dyn Collector) {
        into.family(&self.description);
        for Row { labels, value } in &self.rows {
            let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
            match value {
                Value::Counter(total) => into.counter(&labels, *total),
                Value::Gauge(value) => into.gauge(&labels, *value),
                Value::Histogram(snapshot) => into.histogram(&labels, snapshot),
            }
        }
    }
}

/// Takes what one part shows.
struct Reader {
    part: Id,
    gathered: Gathered,
}

impl Reader {
    fn push(&mut self, metric: &Metric, labels: Labels<'_>, value: Value) {
        let kind = value.kind();
        let (prefix, instance) = self.part;
        let name = format!("{prefix}_{}", metric.name);
        if let Err(reason) = check(&name, kind, labels) {
            let name = if reason == Dropped::Name { String::new() } else { name };
            self.gathered.dropped.push((name, reason));
            return;
        }
        let own = [(INSTANCE, instance.as_str())];
        // In another order they are the same series.
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let labels = own.iter().chain(&labels).filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| (*name, (*value).to_owned())).collect();
        let description =
            Description { name: Cow::Owned(name), kind, unit: metric.unit.into(), help: metric.help.into() };
        self.gathered.push(self.part, &description, Row { labels, value });
    }
}

fn check(name: &str, kind: Kind, labels: Labels<'_>) -> Result<(), Dropped> {
    // A unit that the name does not say is left away where the text is written.
    let is_total = name.ends_with("_total") == (kind == Kind::Counter);
    if !is_total || !name::is_word(name) || !name::is_word(name::base(name, kind)) {
        return Err(Dropped::Name);
    }
    let repeated = |index: usize, name: &str| labels[..index].iter().any(|(other, _)| *other == name);
    let wrong = labels
        .iter()
        .enumerate()
        .any(|(index, (name, _))| !is_label(name) || *name == INSTANCE || repeated(index, name));
    if wrong { Err(Dropped::Label) } else { Ok(()) }
}

impl Sink for Reader {
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64) {
        self.push(metric, labels, Value::Counter(total));
    }

    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.push(metric, labels, Value::Gauge(value));
    }

    fn state(&mut self, metric: &Metric, all: &[&'static str], now: usize) {
        for (index, state) in all.iter().enumerate() {
            let is_now = if index == now { 1.0 } else { 0.0 };
            self.push(metric, &[(metric.name, state)], Value::Gauge(is_now));
        }
    }

    fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, durations: &Distribution) {
        self.push(metric, labels, Value::Histogram(Box::new(durations.into())));
    }

    fn note(&mut self, _: &'static str, _: &dyn Display) {}
}
