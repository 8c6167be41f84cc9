use buttress_core::{Metric, Sink};

/// What a cache holds, and what it has counted since it was made.
///
/// Whoever asks is a hit or a miss: a hit is answered at once, by what is there; a miss loads, or waits for a load, or
/// goes without. Every entry that was put in is still there, or left for one of the reasons of [`Left`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries that it holds, also those that have expired and not been found yet.
    pub entries: usize,
    /// What they weigh together.
    pub weight: u64,
    /// Loads that are under way and may be stored. They weigh nothing yet.
    pub loading: usize,
    /// Times it was asked and answered at once.
    pub hits: u64,
    /// Times it was asked and did not.
    pub misses: u64,
    /// Values that were served stale: at once, which is a hit, or in place of a load that failed or took too long.
    pub stale: u64,
    /// Times it answered with a failure that it remembers, which is a hit too.
    pub remembered: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that failed or panicked, or brought what a rule calls a failure.
    pub load_failures: u64,
    /// Callers that waited for a load of another's.
    pub coalesced: u64,
    /// Values that were put in.
    pub inserted: u64,
    /// Values that were not put in since they weigh more than the whole cache may hold.
    pub too_heavy: u64,
    /// Values that left, by reason.
    pub left: Left,
}

/// Why values left a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Room was needed.
    pub size: u64,
    /// Their time was over.
    pub expired: u64,
    /// A newer value of the same key took their place.
    pub replaced: u64,
    /// They were invalidated.
    pub explicit: u64,
}

impl Left {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.size + self.expired + self.replaced + self.explicit
    }
}

/// What one shard has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
    pub(crate) remembered: u64,
    pub(crate) loads: u64,
    pub(crate) load_failures: u64,
    pub(crate) coalesced: u64,
    pub(crate) inserted: u64,
    pub(crate) too_heavy: u64,
    pub(crate) left: Left,
}

impl Stats {
    pub(crate) fn add(&mut self, entries: usize, weight: u64, loading: usize, counts: &Counts) {
        self.entries += entries;
        self.weight += weight;
        self.loading += loading;
        self.hits += counts.hits;
        self.misses += counts.misses;
        self.stale += counts.stale;
        self.remembered += counts.remembered;
        self.loads += counts.loads;
        self.load_failures += counts.load_failures;
        self.coalesced += counts.coalesced;
        self.inserted += counts.inserted;
        self.too_heavy += counts.too_heavy;
        self.left.size += counts.left.size;
        self.left.expired += counts.left.expired;
        self.left.replaced += counts.left.replaced;
        self.left.explicit += counts.left.explicit;
    }

    pub(crate) fn write(&self, sink: &mut dyn Sink) {
        const ENTRIES: Metric = Metric { name: "entries", unit: "", help: "entries that it holds" };
        const WEIGHT: Metric = Metric { name: "weight", unit: "", help: "what its entries weigh together" };
        const REQUESTS: Metric = Metric {
            name: "requests_total",
            unit: "",
            help: "times it was asked, by whether it answered at once",
        };
        const LOADING: Metric =
            Metric { name: "loading", unit: "", help: "loads that are under way and may be stored" };
        const STALE: Metric = Metric { name: "stale_total", unit: "", help: "values that were served stale" };
        const REMEMBERED: Metric =
            Metric { name: "remembered_total", unit: "", help: "answers with a failure that it remembers" };
        const LOADS: Metric = Metric { name: "loads_total", unit: "", help: "loads that were begun" };
        const FAILURES: Metric = Metric { name: "load_failures_total", unit: "", help: "loads that failed" };
        const COALESCED: Metric =
            Metric { name: "coalesced_total", unit: "", help: "callers that waited for a load of another's" };
        const INSERTED: Metric = Metric { name: "inserted_total", unit: "", help: "values that were put in" };
        const TOO_HEAVY: Metric =
            Metric { name: "too_heavy_total", unit: "", help: "values heavier than the whole cache may be" };
        const LEFT: Metric = Metric { name: "left_total", unit: "", help: "values that left, by reason" };
        sink.gauge(&ENTRIES, &[], self.entries as f64);
        sink.gauge(&WEIGHT, &[], self.weight as f64);
        sink.counter(&REQUESTS, &[("outcome", "hit")], self.hits);
        sink.counter(&REQUESTS, &[("outcome", "miss")], self.misses);
        sink.counter(&STALE, &[], self.stale);
        sink.counter(&REMEMBERED, &[], self.remembered);
        sink.gauge(&LOADING, &[], self.loading as f64);
        sink.counter(&LOADS, &[], self.loads);
        sink.counter(&FAILURES, &[], self.load_failures);
        sink.counter(&COALESCED, &[], self.coalesced);
        sink.counter(&INSERTED, &[], self.inserted);
        sink.counter(&TOO_HEAVY, &[], self.too_heavy);
        let Left { size, expired, replaced, explicit } = self.left;
        for (reason, total) in
            [("size", size), ("expired", expired), ("replaced", replaced), ("explicit", explicit)]
        {
            sink.counter(&LEFT, &[("reason", reason)], total);
        }
    }
}
