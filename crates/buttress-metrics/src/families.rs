//! Who has which name, and where the numbers come from.

use crate::collect::{Collector, Description};
use crate::drops::{Dropped, Drops, Observer};
use crate::error::RegisterError;
use crate::family::Source;
use crate::name::{self, Kind};
use crate::parts::{Gathered, Part, Shown};
use buttress_core::Metric;
use std::collections::{BTreeMap, HashMap};
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
    observer: Observer,
    /// For what has no family that it could be counted for.
    drops: Arc<Drops>,
}

pub(crate) struct Registered {
    kind: Kind,
    /// `None` for what parts show.
    pub(crate) source: Option<Arc<dyn Source>>,
    drops: Arc<Drops>,
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
        let (by_name, claims, parts) = Default::default();
        let mut families = Self { by_name, claims, parts, observer, drops };
        families.claim(DROPPED.name, Kind::Counter).expect("there is nothing yet");
        families
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Registered> {
        self.by_name.get(name)
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
        let drops = Arc::new(Drops::new(Arc::clone(&name), Arc::clone(&self.observer)));
        let registered = Registered { kind, source: None, drops: Arc::clone(&drops) };
        self.by_name.insert(name, registered);
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
        self.find(name).map_or(&self.drops, |family| &family.drops)
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
        }
    }

    /// Makes room for what a part shows, unless other parts show it already. Whether there was something to do.
    fn insert_shown(&mut self, Description { name, kind, .. }: &Description) -> Result<bool, RegisterError> {
        match self.find(name) {
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
        self.parts.retain(Part::is_alive);
        if self.parts.iter().any(|other| (other.kind, other.name) == (kind, name)) {
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
        self.parts.push(part.clone());
        self.parts.sort_by_key(|part| (part.kind, part.name));
        Ok(())
    }

    /// Everything there is by name, with what parts show now; and what cannot be shown of that, to be counted when no
    /// lock is held.
    pub(crate) fn all(&mut self, gathered: Gathered) -> (Vec<Origin>, Vec<(Arc<Drops>, Dropped)>) {
        let Gathered { families, mut dropped } = gathered;
        let mut all = BTreeMap::new();
        for ((name, _), shown) in families {
            // It may show what it did not when it was registered.
            if self.insert_shown(&shown.description).is_ok() {
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
        let drops = self.by_name.values().map(|family| &family.drops);
        let drops = [&self.drops].into_iter().chain(drops).cloned().collect();
        all.insert(DROPPED.name.into(), Origin::Drops(drops));
        let dropped =
            dropped.into_iter().map(|(name, reason)| (Arc::clone(self.drops(&name)), reason)).collect();
        (all.into_values().collect(), dropped)
    }
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
