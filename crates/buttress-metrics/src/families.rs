//! Who has which name, and where the numbers come from.

use crate::collect::{Collector, Description};
use crate::drops::{Dropped, Drops, Observer};
use crate::error::RegisterError;
use crate::family::Source;
use crate::name::{self, Kind};
use crate::parts::{Gathered, Id, Part, Shown};
use buttress_core::Metric;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What the registry shows of itself.
pub(crate) const DROPPED: Metric = Metric {
    name: "buttress_metrics_dropped_total",
    unit: "",
    help: "what was not recorded or shown as it was given, by metric and reason",
};

/// All families of a registry. No two could have samples of one name.
pub(crate) struct Families {
    by_name: BTreeMap<Arc<str>, Registered>,
    /// Every name that a sample may have, and the family that it belongs to.
    claims: HashMap<String, Arc<str>>,
    /// By kind and name.
    parts: Vec<Part>,
    /// What each family has left out, also if it is gone and others have its name: a counter does not fall.
    dropped: BTreeMap<Arc<str>, Arc<Drops>>,
    observer: Observer,
    /// For what has no family that it could be counted for.
    drops: Arc<Drops>,
}

struct Registered {
    kind: Kind,
    /// `None` for what parts show.
    source: Option<Arc<dyn Source>>,
    /// The parts that have shown it.
    by: BTreeSet<Id>,
}

/// Where the numbers of a family are, now that somebody looks.
pub(crate) enum Origin {
    Source(Arc<dyn Source>),
    Parts(Shown),
    Drops(Vec<Arc<Drops>>),
}

impl Families {
    pub(crate) fn new(observer: Observer) -> Self {
        let drops = Arc::new(Drops::new("".into(), Arc::clone(&observer)));
        let (by_name, claims, parts, dropped) = Default::default();
        let mut families = Self { by_name, claims, parts, dropped, observer, drops };
        families.claim(DROPPED.name, Kind::Counter).expect("there is nothing yet");
        families
    }

    /// Where the numbers of a family come from, if it is there and they are not those of parts.
    pub(crate) fn source(&self, name: &str) -> Option<&Arc<dyn Source>> {
        self.by_name.get(name)?.source.as_ref()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Keeps the names of a family, or none of them; its numbers come from parts, unless it is [given](Self::give) a source.
    pub(crate) fn insert(&mut self, name: &str, kind: Kind) -> Result<Arc<Drops>, RegisterError> {
        let name = self.claim(name, kind)?;
        let new = || Arc::new(Drops::new(Arc::clone(&name), Arc::clone(&self.observer)));
        let drops = Arc::clone(self.dropped.entry(Arc::clone(&name)).or_insert_with(new));
        self.by_name.insert(name, Registered { kind, source: None, by: BTreeSet::new() });
        Ok(drops)
    }

    /// Says where the numbers of a family that was inserted come from.
    pub(crate) fn give(&mut self, name: &str, source: Arc<dyn Source>) {
        if let Some(registered) = self.by_name.get_mut(name) {
            registered.source = Some(source);
        }
    }

    /// Where it is counted what this family leaves out, or what has none.
    pub(crate) fn drops(&self, name: &str) -> &Arc<Drops> {
        self.dropped.get(name).unwrap_or(&self.drops)
    }

    fn claim(&mut self, name: &str, kind: Kind) -> Result<Arc<str>, RegisterError> {
        self.check_free(name, kind)?;
        let owner: Arc<str> = name.into();
        self.claims.extend(name::samples(name, kind).map(|name| (name, Arc::clone(&owner))));
        Ok(owner)
    }

    /// Whether no other family has one of the names that a family's samples may have.
    pub(crate) fn check_free(&self, name: &str, kind: Kind) -> Result<(), RegisterError> {
        let taken = name::samples(name, kind).find_map(|name| self.claims.get(&name));
        taken.map_or(Ok(()), |by| Err(RegisterError::Taken { name: name.into(), by: by.to_string() }))
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(Registered { kind, .. }) = self.by_name.remove(name) {
            name::samples(name, kind).for_each(|name| drop(self.claims.remove(&name)));
            // Whoever has it may be about to count.
            let is_unused =
                |drops: &Arc<Drops>| Arc::strong_count(drops) == 1 && drops.counted().next().is_none();
            if self.dropped.get(name).is_some_and(is_unused) {
                self.dropped.remove(name);
            }
        }
    }

    /// Lets go of the parts that were dropped, and of the names that nobody else has shown. To be called before something
    /// is registered.
    pub(crate) fn sweep(&mut self) {
        let before = self.parts.len();
        self.parts.retain(Part::is_alive);
        if self.parts.len() == before {
            return;
        }
        let mut free = Vec::new();
        for (name, family) in &mut self.by_name {
            family.by.retain(|part| is_among(&self.parts, *part));
            if family.source.is_none() && family.by.is_empty() {
                free.push(Arc::clone(name));
            }
        }
        free.iter().for_each(|name| self.remove(name));
    }

    /// Makes room for what a part shows, unless other parts show it already. Whether there was something to do.
    fn insert_shown(&mut self, Description { name, kind, .. }: &Description) -> Result<bool, RegisterError> {
        match self.by_name.get(&**name) {
            Some(there) if there.source.is_none() && there.kind == *kind => Ok(false),
            _ => self.insert(name, *kind).map(|_| true),
        }
    }

    /// Adds a part, which shows this now. One that is refused is not dropped here: there is a lock.
    pub(crate) fn add(&mut self, part: &Part, shown: &Gathered) -> Result<(), RegisterError> {
        let (kind, name) = (part.kind, part.name);
        if let Some((metric, reason)) = shown.dropped.first() {
            return Err(RegisterError::Shown { kind, name, metric: metric.clone(), reason: *reason });
        }
        self.sweep();
        if is_among(&self.parts, part.id()) {
            return Err(RegisterError::Part { kind, name });
        }
        let mut inserted = Vec::new();
        for description in shown.families.values().map(|shown| &shown.description) {
            match self.insert_shown(description) {
                Ok(true) => inserted.push(&description.name),
                Ok(false) => {}
                Err(error) => {
                    inserted.into_iter().for_each(|name| self.remove(name));
                    return Err(error);
                }
            }
        }
        shown.families.values().for_each(|shown| self.keep(&shown.description.name, [part.id()]));
        self.parts.push(part.clone());
        self.parts.sort_by_key(Part::id);
        Ok(())
    }

    /// Keeps the name of a family for as long as there is one of these parts.
    fn keep(&mut self, name: &str, by: impl IntoIterator<Item = Id>) {
        if let Some(family) = self.by_name.get_mut(name) {
            family.by.extend(by);
        }
    }

    /// Everything there is by name, with what parts show now; and what cannot be shown of that, to be counted when no
    /// lock is held.
    pub(crate) fn all(&mut self, gathered: Gathered) -> (Vec<Origin>, Vec<(Arc<Drops>, Dropped)>) {
        let Gathered { families, mut dropped } = gathered;
        let mut all = BTreeMap::new();
        self.sweep();
        for ((name, _), mut shown) in families {
            // Some may be gone since they were asked, and would never let go of it.
            let by = std::mem::take(&mut shown.by);
            let by: Vec<_> = by.into_iter().filter(|part| is_among(&self.parts, *part)).collect();
            if by.is_empty() {
                continue;
            }
            // It may show what it did not when it was registered.
            if self.insert_shown(&shown.description).is_ok() {
                self.keep(&name, by);
                all.insert(Arc::from(name), Origin::Parts(shown));
            } else {
                dropped.push((name, Dropped::Taken));
            }
        }
        for (name, Registered { source, .. }) in &self.by_name {
            if let Some(source) = source {
                all.insert(Arc::clone(name), Origin::Source(Arc::clone(source)));
            }
        }
        let drops = [&self.drops].into_iter().chain(self.dropped.values()).cloned().collect();
        all.insert(DROPPED.name.into(), Origin::Drops(drops));
        let dropped =
            dropped.into_iter().map(|(name, reason)| (Arc::clone(self.drops(&name)), reason)).collect();
        (all.into_values().collect(), dropped)
    }
}

/// Whether a part is among those, which are in order.
fn is_among(parts: &[Part], id: Id) -> bool {
    parts.binary_search_by_key(&id, Part::id).is_ok()
}

impl Origin {
    pub(crate) fn collect(&self, into: &mut dyn Collector) {
        match self {
            Self::Source(source) => source.collect(into),
            Self::Parts(shown) => shown.collect(into),
            Self::Drops(drops) => collect_drops(drops, into),
        }
    }
}

fn collect_drops(all: &[Arc<Drops>], into: &mut dyn Collector) {
    let mut begun = false;
    for drops in all {
        for (reason, total) in drops.counted() {
            if !std::mem::replace(&mut begun, true) {
                into.family(&Description::new(&DROPPED, Kind::Counter));
            }
            let labels = [("metric", &**drops.metric()), ("reason", reason.as_str())];
            let named = if drops.metric().is_empty() { &labels[1..] } else { &labels };
            into.counter(named, total);
        }
    }
}
