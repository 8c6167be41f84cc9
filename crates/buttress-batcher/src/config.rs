use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// How large a batch may be, how many run at a time, and how many requests may wait.
///
/// # Examples
///
/// ```
/// use buttress_batcher::Config;
/// use std::num::NonZeroU32;
///
/// const SIZE: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// let config = Config::default().max_size(SIZE);
/// assert_eq!(config.places().get(), 4 * 100 * 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// The most requests in a batch; those that share one count once. Default 64: the cost of a round trip is
    /// spread over enough requests that more would gain little.
    pub max_size: NonZeroU32,
    /// The most that the requests of a batch weigh together, in whatever unit
    /// [`weigh`](crate::BatchLayer::weigh) counts. Default no limit.
    pub max_weight: Option<NonZeroU64>,
    /// What becomes of a request that weighs more than that by itself. Default [`Oversize::Alone`].
    pub oversize: Oversize,
    /// How many batches run at a time, in each partition. Default 4: the service always has the next one while
    /// one is on its way back, and few enough run that they fill under load.
    pub in_flight: NonZeroU32,
    /// How many batches run at a time in all partitions together. Default no limit but the one above.
    pub total_in_flight: Option<NonZeroU32>,
    /// How long a request may wait for others while a batch could go. A batch goes sooner if it is full, if
    /// nobody else can come because requests take all the places, if the deadline of a request in it would pass, or if it
    /// is told to. Default zero: then it goes at once, and requests gather only while as many batches run as may.
    /// `Duration::MAX` waits for one of the other reasons. Any but zero needs a runtime with timers.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub linger: Duration,
    /// How many requests may be waiting or running at a time, and be about to come; see
    /// [`when_full`](field@Self::when_full). Default four times as many as can run in one partition:
    /// `4 × max_size × in_flight`.
    pub queue: Option<NonZeroU32>,
    /// What becomes of those for whom there is no place. Default [`WhenFull::Wait`].
    pub when_full: WhenFull,
    /// What becomes of the requests that are waiting when the last service is dropped. Default [`AtEnd::Flush`].
    pub at_end: AtEnd,
    /// Measures how long requests wait before they are sent. Default `true`. Without it, a linger and deadlines, no
    /// clock is read.
    pub measure: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size: const { NonZeroU32::new(64).unwrap() },
            max_weight: None,
            oversize: Oversize::Alone,
            in_flight: const { NonZeroU32::new(4).unwrap() },
            total_in_flight: None,
            linger: Duration::ZERO,
            queue: None,
            when_full: WhenFull::Wait,
            at_end: AtEnd::Flush,
            measure: true,
        }
    }
}

buttress_core::__setters! { Config;
    max_size: NonZeroU32;
    max_weight: Option<NonZeroU64>;
    oversize: Oversize;
    in_flight: NonZeroU32;
    total_in_flight: Option<NonZeroU32>;
    linger: Duration;
    queue: Option<NonZeroU32>;
    when_full: WhenFull;
    at_end: AtEnd;
    measure: bool;
}

impl Config {
    /// How many requests may be on their way: [`queue`](field@Self::queue), or what that is by default.
    #[must_use]
    pub fn places(&self) -> NonZeroU32 {
        let four = const { NonZeroU32::new(4).unwrap() };
        self.queue.unwrap_or_else(|| four.saturating_mul(self.max_size).saturating_mul(self.in_flight))
    }
}

/// What becomes of a request that is heavier than a batch may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Oversize {
    /// It goes in a batch of its own.
    #[default]
    Alone,
    /// It is refused with [`Reason::Overloaded`](buttress_core::Reason::Overloaded).
    Refuse,
}

/// What becomes of those for whom there is no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum WhenFull {
    /// They wait in `poll_ready`, and get places in the order in which they came.
    #[default]
    Wait,
    /// `poll_ready` is always ready, and `call` refuses with
    /// [`Reason::Overloaded`](buttress_core::Reason::Overloaded).
    Refuse,
}

/// What becomes of the requests that are waiting at the end. Batches that run then answer in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum AtEnd {
    /// They are sent, without waiting for more.
    #[default]
    Flush,
    /// They are refused with [`Reason::Closed`](buttress_core::Reason::Closed).
    Fail,
}
