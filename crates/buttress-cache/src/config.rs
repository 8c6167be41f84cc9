use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// How much a cache holds, and for how long.
///
/// # Examples
///
/// ```
/// use buttress_cache::Config;
/// use std::num::NonZeroU64;
/// use std::time::Duration;
///
/// let config = Config::default().max_weight(NonZeroU64::new(64 << 20)).ttl(Duration::from_secs(30));
/// assert_eq!(config.max_entries.get(), 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The most entries it holds. Default 10,000.
    pub max_entries: NonZeroUsize,
    /// The most that its entries weigh together, in whatever unit [`Cache::weigh`](crate::Cache::weigh) counts;
    /// without a weigher each weighs one. Default no limit but that on entries.
    pub max_weight: Option<NonZeroU64>,
    /// An entry is fresh for this long after it was put in; at that age it is gone. Zero stores nothing,
    /// `Duration::MAX` never expires and reads no clock. Default 5 min: what is wrong in a cache should be right
    /// again before somebody calls.
    pub ttl: Duration,
    /// How often expired entries are looked for, so that they go without traffic. Default 1 s.
    pub sweep_every: Duration,
}

impl Config {
    /// Sets [`Config::max_entries`].
    #[must_use]
    pub fn max_entries(mut self, max_entries: NonZeroUsize) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// Sets [`Config::max_weight`].
    #[must_use]
    pub fn max_weight(mut self, max_weight: impl Into<Option<NonZeroU64>>) -> Self {
        self.max_weight = max_weight.into();
        self
    }

    /// Sets [`Config::ttl`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets [`Config::sweep_every`].
    #[must_use]
    pub fn sweep_every(mut self, sweep_every: Duration) -> Self {
        self.sweep_every = sweep_every;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: const { NonZeroUsize::new(10_000).unwrap() },
            max_weight: None,
            ttl: Duration::from_secs(300),
            sweep_every: Duration::from_secs(1),
        }
    }
}
