//! Families whose labels are told with each call.

use crate::collect::{Collector, Description};
use crate::drops::{Dropped, Drops};
use crate::family::{Instrument, Source};
use crate::table::Table;
use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// One family that the macros of `metrics` record in.
pub(super) struct Facade<M: Instrument> {
    name: String,
    described: Described,
    plan: M::Plan,
    drops: Arc<Drops>,
    /// By names and values of the labels, in turns.
    table: Table<M>,
    overflow: OnceLock<M>,
}

/// Unit and help, once somebody has described the family.
pub(super) type Described = Arc<OnceLock<(&'static str, String)>>;

/// The label of what has no room. What is recorded with other labels each time has no names in common.
const OVERFLOW: (&str, &str) = ("_overflow", "true");

impl<M: Instrument> Facade<M> {
    pub(super) fn new(
        name: String,
        described: Described,
        plan: M::Plan,
        drops: Arc<Drops>,
        cap: usize,
    ) -> Self {
        Self { name, described, plan, drops, table: Table::new(cap), overflow: OnceLock::new() }
    }

    /// The series of these labels, which are sorted; or the one of what has no room, and that it is this one.
    pub(super) fn series(&self, labels: &[(String, &str)]) -> (&M, bool) {
        let key: Vec<_> = labels.iter().flat_map(|(name, value)| [&**name, *value]).collect();
        let is_overflow = key == [OVERFLOW.0, OVERFLOW.1];
        let make = || M::make(&self.plan, &self.drops);
        let made = if is_overflow { None } else { self.table.find_or_make(&key, make) };
        match made {
            Some((_, series)) => (series, false),
            None => {
                if !is_overflow {
                    self.drops.count(Dropped::Overflow);
                }
                (self.overflow.get_or_init(make), true)
            }
        }
    }
}

impl<M: Instrument> Source for Facade<M> {
    fn collect(&self, into: &mut dyn Collector) {
        let entries = self.table.sorted();
        let own = entries.into_iter().map(|entry| {
            let labels = entry.key.chunks_exact(2).map(|label| (&*label[0], &*label[1])).collect();
            (labels, &entry.value)
        });
        let overflow = self.overflow.get().map(|series| (vec![OVERFLOW], series));
        let mut begun = false;
        for (labels, series) in own.chain(overflow) {
            let labels: Vec<(&str, &str)> = labels;
            if !std::mem::replace(&mut begun, true) {
                let (unit, help) = self.described.get().cloned().unwrap_or_default();
                into.family(&Description {
                    name: Cow::Owned(self.name.clone()),
                    kind: M::KIND,
                    unit: unit.into(),
                    help: help.into(),
                });
            }
            series.collect(&labels, into);
        }
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
