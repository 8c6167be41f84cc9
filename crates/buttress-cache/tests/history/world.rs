//! What has happened so far, kept whole, and what must be true of it. A model without a single optimisation: it looks
//! at everything, every time.

use buttress_cache::{Found, Served};
use buttress_core::Error;
use std::task::Waker;

pub(crate) type Key = &'static str;
pub(crate) const KEYS: [Key; 3] = ["a:1", "a:2", "b:1"];
pub(crate) const TAGS: [&str; 2] = ["x", "y"];

/// A value knows which load or insertion it came from, and what its rule says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) id: usize,
    pub(crate) how: How,
    /// One bit each.
    pub(crate) tags: u8,
}

/// An error knows which load it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) usize);

pub(crate) type Answer = Result<Found<Value>, Error<Failure>>;

/// How a load ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    Store,
    Share,
    Refuse,
    /// With an answer that is a failure.
    FailedAnswer,
    Error,
    Panic,
}

/// In milliseconds; a value that is not timed never expires.
pub(crate) const TTL: u64 = 4;
pub(crate) const RETRY_AFTER: u64 = 2;
pub(crate) const REMEMBERED: u64 = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) timed: bool,
    pub(crate) one_shard: bool,
    pub(crate) share_errors: bool,
    pub(crate) remember_errors: bool,
    pub(crate) while_revalidate: u64,
    pub(crate) if_error: u64,
    /// Who has been woken is polled some steps later.
    pub(crate) lazy: bool,
    pub(crate) apart: bool,
}

/// A load, or an insertion.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) key: usize,
    pub(crate) caller: Option<usize>,
    pub(crate) inserted: bool,
    /// When it began, in events.
    began: usize,
    pub(crate) tags: u8,
    /// It is its caller's own: the load that it waited for was for another alone.
    alone: bool,
    /// What it brings may not be stored.
    detached: bool,
    /// Tags that were invalidated since it began.
    lost: u8,
    /// Whether another load has panicked for those who wait for this one, if that is known.
    second: Option<bool>,
    /// What it was told.
    pub(crate) told: Option<How>,
    pub(crate) over: bool,
    pub(crate) waker: Waker,
}

impl Origin {
    fn is_listed(&self) -> bool {
        !self.inserted && !self.over && !self.alone && !self.detached
    }

    fn may_store(&self) -> bool {
        !self.detached && self.lost & self.tags == 0
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: usize,
    expires: u64,
}

#[derive(Clone, Copy, Debug)]
struct Setback {
    until: u64,
    remembered: Option<usize>,
}

/// An invalidation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    Keys([bool; 3]),
    Tag(u8),
    /// By a predicate that looks at values: those with one of these tags.
    Values(u8),
}

/// What must happen to one who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    Hit(usize),
    Stale(usize),
    Refresh(usize),
    Failed(usize),
    Lead,
    Wait,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: u64,
    pub(crate) hits: u64,
    pub(crate) waits: u64,
    pub(crate) stale: u64,
    pub(crate) remembered: u64,
    pub(crate) loads: u64,
    pub(crate) failures: u64,
    pub(crate) inserted: u64,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    events: usize,
    pub(crate) step: usize,
    pub(crate) time: u64,
    pub(crate) origins: Vec<Origin>,
    entries: [Option<Entry>; 3],
    setbacks: [Option<Setback>; 3],
    invalidations: Vec<(usize, Scope)>,
    /// In which step a load was handed over last, by key, and whether one of its loads had panicked.
    handed: [(usize, Option<bool>); 3],
    /// In which step those who waited may have been told to ask again.
    moved: usize,
    /// In which step everybody was told to load alone, or that two loads have panicked.
    scattered: [usize; 3],
    failed: [usize; 3],
    pub(crate) counts: Counts,
    /// What was not as it must be. Kept, since a panic in a load is part of the history.
    pub(crate) wrong: Vec<String>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, ..Self::default() }
    }

    pub(crate) fn next(&mut self) -> usize {
        self.events += 1;
        self.events
    }

    fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    /// The entry that is there, by how much it is stale, and whether it may be served at once all the same.
    fn entry(&self, key: usize) -> Option<(usize, Option<u64>, bool)> {
        let Entry { id, expires } = self.entries[key]?;
        let Some(stale) = self.time.checked_sub(expires) else { return Some((id, None, true)) };
        let Setup { while_revalidate, if_error, .. } = self.setup;
        (stale < while_revalidate.max(if_error)).then_some((id, Some(stale), stale < while_revalidate))
    }

    fn fresh(&self, key: usize) -> Option<usize> {
        self.entry(key).filter(|(_, stale, _)| stale.is_none()).map(|(id, ..)| id)
    }

    fn setback(&self, key: usize) -> Option<Setback> {
        self.setbacks[key].filter(|setback| self.time < setback.until)
    }

    fn listed(&self, key: usize) -> Option<usize> {
        self.origins.iter().position(|load| load.key == key && load.is_listed())
    }

    pub(crate) fn plan(&self, key: usize) -> Plan {
        let (listed, setback) = (self.listed(key).is_some(), self.setback(key));
        match self.entry(key) {
            Some((id, None, _)) => Plan::Hit(id),
            Some((id, Some(_), at_once)) if at_once || setback.is_some() => {
                match (listed || setback.is_some(), self.setup.apart) {
                    (true, _) => Plan::Stale(id),
                    (false, true) => Plan::Refresh(id),
                    (false, false) => Plan::Lead,
                }
            }
            _ if listed => Plan::Wait,
            _ => match setback {
                Some(Setback { remembered: Some(id), .. }) => Plan::Failed(id),
                _ => Plan::Lead,
            },
        }
    }

    fn origin(&mut self, key: usize, caller: Option<usize>, inserted: bool, tags: u8) -> usize {
        let began = self.next();
        let waker = Waker::noop().clone();
        let (alone, detached, lost, second, told, over) = (false, false, 0, None, None, inserted);
        self.origins.push(Origin {
            key,
            caller,
            inserted,
            began,
            tags,
            alone,
            detached,
            lost,
            second,
            told,
            over,
            waker,
        });
        self.origins.len() - 1
    }

    fn store(&mut self, key: usize, id: usize) {
        let expires = if self.setup.timed { self.time + TTL } else { u64::MAX };
        self.entries[key] = Some(Entry { id, expires });
        self.setbacks[key] = None;
        self.counts.inserted += 1;
    }

    pub(crate) fn begin(&mut self, key: usize, caller: usize) -> usize {
        let step = self.step;
        // In one step nothing happens but that one load ends, and nobody has waited for what is not listed.
        let alone = self.scattered[key] == step;
        let (fresh, listed) = (self.fresh(key), self.listed(key));
        let id = self.origin(key, Some(caller), false, 0);
        self.origins[id].alone = alone;
        if !alone {
            self.counts.loads += 1;
            self.demand(fresh.is_none(), || format!("load {id} began though there is a fresh value"));
            self.demand(listed.is_none(), || format!("load {id} began though {listed:?} was under way"));
            if !self.setup.lazy {
                let failed = self.failed[key] == step && self.moved != step;
                self.demand(!failed, || format!("load {id} began after two had panicked"));
            }
            self.origins[id].second = match self.handed[key] {
                _ if self.moved == step => None,
                (at, second) if at == step => second,
                _ => Some(false),
            };
        }
        id
    }

    pub(crate) fn end(&mut self, id: usize, how: How) {
        let (key, alone, detached) =
            (self.origins[id].key, self.origins[id].alone, self.origins[id].detached);
        self.origins[id].over = true;
        if alone {
            return;
        }
        if how == How::Store {
            self.moved = self.step;
        }
        let failed = matches!(how, How::FailedAnswer | How::Error | How::Panic);
        self.counts.failures += u64::from(failed);
        match how {
            How::Store if self.origins[id].may_store() => self.store(key, id),
            How::Store | How::Share => {}
            How::Refuse => self.scattered[key] = self.step,
            How::Error | How::FailedAnswer if detached => {}
            How::Error if self.setup.remember_errors => {
                self.setbacks[key] = Some(Setback { until: self.time + REMEMBERED, remembered: Some(id) });
            }
            How::Error | How::FailedAnswer => {
                if self.entry(key).is_some() {
                    self.setbacks[key] = Some(Setback { until: self.time + RETRY_AFTER, remembered: None });
                }
            }
            How::Panic if self.origins[id].second == Some(true) => self.failed[key] = self.step,
            How::Panic => self.handed[key] = (self.step, self.origins[id].second.map(|_| true)),
        }
    }

    /// A load was dropped before its end.
    pub(crate) fn leave(&mut self, id: usize) {
        let Origin { key, alone, second, over, .. } = self.origins[id];
        if !over {
            self.origins[id].over = true;
            if !alone {
                self.handed[key] = (self.step, second);
            }
        }
    }

    pub(crate) fn insert(&mut self, key: usize, tags: u8) -> Value {
        self.invalidate(Scope::Keys(std::array::from_fn(|other| other == key)));
        let id = self.origin(key, None, true, tags);
        self.store(key, id);
        Value { id, how: How::Store, tags }
    }

    pub(crate) fn invalidate(&mut self, scope: Scope) {
        let now = self.next();
        self.invalidations.push((now, scope));
        for key in 0..3 {
            let covered = self.entries[key].is_some_and(|entry| self.covers(scope, entry.id));
            if covered {
                self.entries[key] = None;
            }
            match scope {
                Scope::Keys(keys) if keys[key] => self.setbacks[key] = None,
                Scope::Values(_) => self.setbacks[key] = None,
                _ => {}
            }
        }
        for load in self.origins.iter_mut().filter(|load| !load.over) {
            match scope {
                Scope::Keys(keys) => load.detached |= keys[load.key],
                // Nobody knows yet what it brings.
                Scope::Values(_) => load.detached = true,
                Scope::Tag(tag) => load.lost |= tag,
            }
        }
    }

    fn covers(&self, scope: Scope, id: usize) -> bool {
        let origin = &self.origins[id];
        match scope {
            Scope::Keys(keys) => keys[origin.key],
            Scope::Tag(tags) | Scope::Values(tags) => origin.tags & tags != 0,
        }
    }

    /// Checks what one gets who asked at that event.
    pub(crate) fn check(&mut self, caller: usize, key: usize, asked: usize, answer: &Answer) {
        let entry = self.entry(key);
        let about = format!("caller {caller} of {asked} in step {} at {}: {answer:?}", self.step, self.time);
        match answer {
            Ok(found) => {
                let origin = &self.origins[found.id];
                let (began, own) = (origin.began, origin.caller == Some(caller));
                let (inserted, alone, is_of_key) = (origin.inserted, origin.alone, origin.key == key);
                let late = self
                    .invalidations
                    .iter()
                    .find(|(at, scope)| *at > began && asked > *at && self.covers(*scope, found.id));
                let late = late.copied();
                self.demand(late.is_none(), || format!("{about}: invalidated by {late:?}"));
                self.demand(is_of_key, || format!("{about}: of another key"));
                let there = entry.filter(|(id, ..)| *id == found.id);
                match found.served {
                    Served::Hit => {
                        let fresh = there.is_some_and(|(_, stale, _)| stale.is_none());
                        self.demand(fresh, || format!("{about}: no hit, there is {entry:?}"));
                    }
                    Served::Stale(by) => {
                        self.counts.stale += 1;
                        let is = there.and_then(|(_, stale, _)| stale);
                        let by = by.as_millis() as u64;
                        self.demand(is == Some(by), || format!("{about}: not so stale, there is {entry:?}"));
                    }
                    Served::Loaded => {
                        let own = own || self.setup.apart;
                        self.demand(own, || format!("{about}: not its own load"));
                    }
                    Served::Waited => {
                        self.demand(!alone, || format!("{about}: was for another alone"));
                        let refused = found.how == How::Refuse;
                        self.demand(!refused, || format!("{about}: was refused to others"));
                        let here = !inserted || there.is_some() || self.setup.lazy;
                        self.demand(here, || format!("{about}: was put in and is not there"));
                    }
                }
                if found.how == How::FailedAnswer && (!self.setup.lazy || own) && !self.setup.apart {
                    self.demand(entry.is_none(), || format!("{about}: a failure, though there is {entry:?}"));
                }
            }
            Err(error) => {
                self.demand(entry.is_none(), || format!("{about}: though there is {entry:?}"));
                if let Error::Inner(Failure(id)) = *error {
                    let Origin { key: of, caller: by, told, .. } = self.origins[id];
                    self.demand(of == key && told == Some(How::Error), || format!("{about}: no such error"));
                    let shared = self.setup.share_errors || by == Some(caller);
                    self.demand(shared, || format!("{about}: the error of another"));
                }
            }
        }
    }

    /// Checks what has become of one who has just asked.
    pub(crate) fn check_first(&mut self, caller: usize, plan: Plan, loads: usize, answer: Option<&Answer>) {
        self.counts.asked += 1;
        let led = self.origins[loads..].iter().any(|load| load.caller == Some(caller));
        let found = answer.and_then(|answer| answer.as_ref().ok());
        let served = found.map(|found| (found.id, found.served.is_stale()));
        if self.setup.lazy && !matches!(plan, Plan::Hit(_)) {
            // Somebody may be about to take over, of whom the model knows nothing.
            return;
        }
        let is_hit = !matches!(plan, Plan::Lead | Plan::Wait);
        self.counts.hits += u64::from(is_hit);
        self.counts.waits += u64::from(plan == Plan::Wait);
        self.counts.remembered += u64::from(matches!(plan, Plan::Failed(_)));
        let as_planned = match plan {
            Plan::Hit(id) => served == Some((id, false)) && !led,
            Plan::Stale(id) => served == Some((id, true)) && !led,
            Plan::Refresh(id) => served == Some((id, true)) && led,
            Plan::Failed(id) => match answer {
                Some(Err(Error::Inner(Failure(error)))) => self.setup.share_errors && *error == id && !led,
                Some(Err(Error::Rejected(_))) => !self.setup.share_errors && !led,
                _ => false,
            },
            Plan::Lead => led,
            Plan::Wait => !led && answer.is_none(),
        };
        self.demand(as_planned, || format!("caller {caller}: {plan:?}, but led {led} and {answer:?}"));
    }

    /// Checks what is found by one who only looks.
    pub(crate) fn check_get(&mut self, key: usize, found: Option<Found<Value>>) {
        let entry = self.entry(key).filter(|(.., at_once)| *at_once);
        let is = found.map(|found| match found.served {
            Served::Stale(by) => (found.id, Some(by.as_millis() as u64)),
            _ => (found.id, None),
        });
        self.counts.asked += 1;
        self.counts.hits += u64::from(is.is_some());
        self.counts.stale += u64::from(is.is_some_and(|(_, stale)| stale.is_some()));
        let as_it_is = is == entry.map(|(id, stale, _)| (id, stale));
        self.demand(as_it_is, || format!("found {found:?} under {key}, where {entry:?} is"));
    }
}
