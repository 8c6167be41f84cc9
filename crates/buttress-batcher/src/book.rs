//! What all services of one layer have in common: a name, a configuration, counts, and a list of those that are alive.

use crate::config::{AtEnd, Config};
use crate::primitive::Mutex;
use crate::state::{Flush, Tally};
use crate::stats::Sizes;
use buttress_core::{Distribution, Name};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The side of a batcher that its layer's handle sees.
pub(crate) trait Control: Send + Sync {
    fn name(&self) -> Name;
    /// Lets nobody in any more. What waits then is dealt with as said, or else as the configuration says.
    fn close(&self, at_end: Option<AtEnd>);
    fn flush(&self);
    /// Goes by another configuration, unless it has heard of a later one.
    fn reconfigure(&self, config: &Config, version: u64);
    fn is_dead(&self) -> bool;
    /// Requests that the driver has not looked at, and callers that wait for a place.
    fn outside(&self) -> (usize, u32);
}

pub(crate) struct Book {
    pub(crate) name: Name,
    counts: Mutex<Counts>,
    members: Mutex<Members>,
    /// A driver has ended.
    pub(crate) ended: Notify,
}

struct Members {
    config: Config,
    /// How often that has changed.
    version: u64,
    is_closed: bool,
    all: Vec<Weak<dyn Control>>,
}

/// Totals and what there is now, as of each driver's last look.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) panicked: u64,
    pub(crate) miscounted: u64,
    pub(crate) flushes: [u64; Flush::ALL.len()],
    pub(crate) sizes: Sizes,
    pub(crate) waits: Distribution,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
}

impl Counts {
    pub(crate) fn sent(&mut self, size: usize, why: Flush, waited: Option<Duration>) {
        self.flushes[why as usize] += 1;
        self.sizes.record(size);
        waited.into_iter().for_each(|waited| self.waits.record(waited));
    }
}

impl Book {
    pub(crate) fn new(name: Name, config: Config) -> Self {
        Self {
            name,
            counts: Mutex::new(Counts::default()),
            members: Mutex::new(Members { config, version: 0, is_closed: false, all: Vec::new() }),
            ended: Notify::new(),
        }
    }

    pub(crate) fn count<T>(&self, count: impl FnOnce(&mut Counts) -> T) -> T {
        count(&mut self.counts.lock())
    }

    pub(crate) fn config(&self) -> Config {
        self.members.lock().config.clone()
    }

    /// Makes a member by the configuration in force.
    pub(crate) fn enrol<C: Control + 'static>(&self, make: impl FnOnce(Config) -> Arc<C>) -> Arc<C> {
        let member = make(self.config());
        let weak = Arc::downgrade(&member);
        let (config, version, is_closed) = {
            let mut members = self.members.lock();
            members.all.retain(|member| member.strong_count() > 0);
            members.all.push(weak);
            (members.config.clone(), members.version, members.is_closed)
        };
        // It may have missed what was said since it was made.
        member.reconfigure(&config, version);
        if is_closed {
            member.close(None);
        }
        member
    }

    pub(crate) fn members(&self) -> Vec<Arc<dyn Control>> {
        self.members.lock().all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Members to come are as closed as those that are here.
    pub(crate) fn close(&self) {
        self.members.lock().is_closed = true;
    }

    /// Puts another configuration in force, for members to come as well.
    pub(crate) fn reconfigure(&self, config: Config) {
        let (config, version) = {
            let mut members = self.members.lock();
            members.version += 1;
            members.config = config;
            (members.config.clone(), members.version)
        };
        self.members().iter().for_each(|member| member.reconfigure(&config, version));
    }
}
