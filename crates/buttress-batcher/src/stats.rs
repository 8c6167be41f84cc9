use crate::book::Counts;
use crate::state::{Flush, Tally};
use buttress_core::{Distribution, Metric, Ratio, Sink};
use std::fmt;
use std::time::Duration;

/// What the services of a layer are doing, and what they have counted since it was made.
///
/// Every request that was taken in counts once: `requests` is the sum of `sent`, `shared`, `cancelled`, `timed_out`,
/// `closed`, `broken` and `queued`, but for those that the driver has not looked at yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that wait to be sent.
    pub queued: u64,
    /// Callers that wait for a place, in `poll_ready`.
    pub waiting: u64,
    /// Batches that run.
    pub in_flight: u64,
    /// Requests that were taken in.
    pub requests: u64,
    /// Those of them that were sent, in batches.
    pub sent: u64,
    /// Requests that got the result of another one with their key, and so were not sent.
    pub shared: u64,
    /// Requests whose callers left before they were sent, and so were not.
    pub cancelled: u64,
    /// Requests whose deadlines passed before they were sent, and so were not.
    pub timed_out: u64,
    /// Requests that were refused at the end, since nobody would send them.
    pub closed: u64,
    /// Requests that were refused since the comparison of their keys panicked.
    pub broken: u64,
    /// Calls that were refused at once: there was no place, or they were too heavy.
    pub refused: u64,
    /// Batches that failed as a whole: with an error, or since the service's readiness did.
    pub failed: u64,
    /// Batches that panicked.
    pub panicked: u64,
    /// Batches that came back with too few results or too many.
    pub miscounted: u64,
    /// How large batches were.
    pub sizes: Sizes,
    /// How long the first request of each batch had waited; nothing without [`Config::measure`](crate::Config::measure)
    /// and a linger.
    pub waits: Distribution,
    flushes: [u64; Flush::ALL.len()],
}

impl Stats {
    pub(crate) fn new(counts: Counts, unseen: u64, waiting: u64) -> Self {
        let Counts { tally, refused, failed, panicked, miscounted, flushes, sizes, waits, queued, in_flight } =
            counts;
        let Tally { requests, sent, shared, cancelled, timed_out, closed, broken } = tally;
        Self {
            queued: queued + unseen,
            waiting,
            in_flight,
            requests: requests + unseen,
            sent,
            shared,
            cancelled,
            timed_out,
            closed,
            broken,
            refused,
            failed,
            panicked,
            miscounted,
            sizes,
            waits,
            flushes,
        }
    }

    /// Batches that were sent for this reason.
    #[must_use]
    pub fn flushed(&self, why: Flush) -> u64 {
        self.flushes[why as usize]
    }

    /// Batches that were sent.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.flushes.iter().sum()
    }

    /// The share, from 0 to 1, of the requests that got a result of another one's; zero if there was no result.
    #[must_use]
    pub fn dedup_ratio(&self) -> f64 {
        self.shared as f64 / (self.sent + self.shared).max(1) as f64
    }

    pub(crate) fn write(&self, sink: &mut dyn Sink) {
        const QUEUED: Metric = Metric { name: "queued", unit: "", help: "requests that wait to be sent" };
        const WAITING: Metric =
            Metric { name: "waiting", unit: "", help: "callers that wait for a place in the queue" };
        const IN_FLIGHT: Metric = Metric { name: "in_flight", unit: "", help: "batches that run" };
        const REQUESTS: Metric = Metric {
            name: "requests_total",
            unit: "",
            help: "requests by what became of them; whether they succeeded is not known here",
        };
        const BATCHES: Metric =
            Metric { name: "batches_total", unit: "", help: "batches, by why they were sent when they were" };
        const FAILURES: Metric =
            Metric { name: "batch_failures_total", unit: "", help: "batches that failed as a whole, by how" };
        const SIZES: Metric =
            Metric { name: "batch_size_total", unit: "", help: "batches of at most so many requests" };
        const WAITS: Metric = Metric {
            name: "wait_seconds",
            unit: "seconds",
            help: "time that the first request of a batch has waited",
        };
        sink.gauge(&QUEUED, &[], self.queued as f64);
        sink.gauge(&WAITING, &[], self.waiting as f64);
        sink.gauge(&IN_FLIGHT, &[], self.in_flight as f64);
        for (outcome, total) in [
            ("sent", self.sent),
            ("shared", self.shared),
            ("cancelled", self.cancelled),
            ("timed_out", self.timed_out),
            ("closed", self.closed),
            ("broken", self.broken),
            ("refused", self.refused),
        ] {
            sink.counter(&REQUESTS, &[("outcome", outcome)], total);
        }
        for why in Flush::ALL {
            sink.counter(&BATCHES, &[("reason", why.as_str())], self.flushed(why));
        }
        for (how, total) in [("error", self.failed), ("panic", self.panicked), ("miscount", self.miscounted)]
        {
            sink.counter(&FAILURES, &[("how", how)], total);
        }
        for (most, total) in self.sizes.buckets() {
            sink.counter(&SIZES, &[("at_most", &most.to_string())], total);
        }
        sink.histogram(&WAITS, &[], &self.waits);
    }
}

/// How large batches were: exact in number and sum, exact up to 64 and within 3.2 % above in every quantile.
///
/// # Examples
///
/// ```
/// use buttress_batcher::{BatchLayer, Config};
///
/// let layer = BatchLayer::<u64>::new("rows", Config::default());
/// let sizes = layer.handle().stats().sizes;
/// assert_eq!((sizes.count(), sizes.mean()), (0, None));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sizes(Distribution);

/// The unit in which a request is recorded: the published bounds of a distribution are powers of two of it.
const ONE: u64 = 1 << 10;

impl Sizes {
    pub(crate) fn record(&mut self, size: usize) {
        self.0.record(Duration::from_nanos((size as u64).saturating_mul(ONE)));
    }

    fn size(recorded: Duration) -> u64 {
        (recorded.as_nanos() / u128::from(ONE)).try_into().unwrap_or(u64::MAX)
    }

    /// How many batches there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// How many requests there were in all of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        Self::size(self.0.sum())
    }

    /// How many requests there were in one on average; `None` if there was none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum() as f64 / self.count() as f64)
    }

    /// The size of the smallest; `None` if there was none.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.0.min().map(Self::size)
    }

    /// The size of the largest; `None` if there was none.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.0.max().map(Self::size)
    }

    /// The size that `share` of all batches did not exceed; `None` if there was none.
    #[must_use]
    pub fn quantile(&self, share: Ratio) -> Option<u64> {
        self.0.quantile(share).map(Self::size)
    }

    /// Pairs of a size, which is a power of two up to a million, and how many batches were not larger.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.buckets().take(21).map(|(bound, count)| (Self::size(bound), count))
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sizes")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("min", &self.min())
            .field("median", &self.quantile(Ratio::percent(50)))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_up_to_64_are_exact_and_powers_of_two_are_bounds() {
        for size in 1..=64 {
            let mut sizes = Sizes::default();
            sizes.record(size);
            sizes.record(size);
            sizes.record(1000);
            assert_eq!(sizes.quantile(Ratio::percent(66)), Some(size as u64));
            assert_eq!((sizes.sum(), sizes.min()), (2 * size as u64 + 1000, Some(size as u64)));
            for (most, count) in sizes.buckets() {
                assert_eq!(
                    count,
                    [size, size, 1000].iter().filter(|&&size| size as u64 <= most).count() as u64
                );
            }
        }
        let bounds: Vec<_> = Sizes::default().buckets().map(|(most, _)| most).collect();
        assert_eq!((bounds[0], bounds[6], bounds[20]), (1, 64, 1 << 20));
    }
}
