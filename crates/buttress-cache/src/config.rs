use buttress_core::Ratio;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// How much a cache holds, for how long, and what it does when a value is no longer fresh.
///
/// A value is *fresh* until its time to live is over. After that it may be *stale* for a while: good enough to be
/// served while a newer one is loaded, or when that fails. What is neither is gone.
///
/// # Examples
///
/// ```
/// use buttress_cache::Config;
/// use std::num::NonZeroU64;
/// use std::time::Duration;
///
/// let config = Config::default()
///     .max_weight(NonZeroU64::new(64 << 20))
///     .ttl(Duration::from_secs(30))
///     .stale_if_error(Duration::from_secs(600));
/// assert_eq!(config.max_entries.get(), 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// The most entries it holds. Default 10,000.
    pub max_entries: NonZeroUsize,
    /// The most that its entries weigh together, in whatever unit [`Cache::weigh`](crate::Cache::weigh) counts.
    /// One entry weighs less than 2⁴⁰. Default no limit but that on entries; the weigher is not asked then.
    pub max_weight: Option<NonZeroU64>,
    /// An entry is fresh for this long after it was put in, or its load has ended; at that age it is not. Zero
    /// stores nothing, `Duration::MAX` never expires and reads no clock. Default 5 min: what is wrong in a cache
    /// should be right again before somebody calls.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub ttl: Duration,
    /// An entry that nobody has asked for in this long is gone, whatever its time to live. Default `Duration::MAX`,
    /// which is never.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub idle_ttl: Duration,
    /// Shortens the time to live of each entry by a random part of up to this share of it, so that entries which
    /// came together do not go together. Default 0 %.
    pub jitter: Ratio,
    /// For this long after it was fresh, a value is answered at once, while one caller, or a task of
    /// [`background`](crate::CacheLayer::background), loads a newer one. Default zero.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub stale_while_revalidate: Duration,
    /// For this long after it was fresh, a value is answered where a load has failed or takes too long. Default zero.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::forever"))]
    pub stale_if_error: Duration,
    /// Who has waited for a load this long gets a stale value, if there is one; the load goes on. Whoever runs the
    /// load itself, which is nobody with [`background`](crate::CacheLayer::background), waits for it all the same.
    /// Default `Duration::MAX`, which is never.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub soft_timeout: Duration,
    /// Who has waited for a load this long gets a stale value, if there is one, or else a refusal. With
    /// [`background`](crate::CacheLayer::background) the load goes on and is stored; else it ends with the one
    /// that ran it. A load apart that never ends keeps its key until that is invalidated: put a timeout inside.
    /// Default `Duration::MAX`, which is never.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub hard_timeout: Duration,
    /// How long a load that has failed is not tried again while there is a stale value to serve. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub retry_after: Duration,
    /// Loads a value again before it expires, the likelier the longer its load took and the less time is left, so
    /// that a key which is asked for a lot is seldom missed. Needs
    /// [`background`](crate::CacheLayer::background). Default [`Beta::OFF`].
    pub early_refresh: Beta,
    /// How often expired entries are looked for, so that they go without traffic. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub sweep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: const { NonZeroUsize::new(10_000).unwrap() },
            max_weight: None,
            ttl: Duration::from_secs(300),
            idle_ttl: Duration::MAX,
            jitter: Ratio::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: Duration::MAX,
            hard_timeout: Duration::MAX,
            retry_after: Duration::from_secs(1),
            early_refresh: Beta::OFF,
            sweep_every: Duration::from_secs(1),
        }
    }
}

buttress_core::__setters! { Config;
    max_entries: NonZeroUsize;
    max_weight: impl Into<Option<NonZeroU64>>, into;
    ttl: Duration;
    idle_ttl: Duration;
    jitter: Ratio;
    stale_while_revalidate: Duration;
    stale_if_error: Duration;
    soft_timeout: Duration;
    hard_timeout: Duration;
    retry_after: Duration;
    early_refresh: Beta;
    sweep_every: Duration;
}

/// How eager an early refresh is: the β of `XFetch` (Vattani, Chierichetti, Lowenstein: *Optimal Probabilistic Cache
/// Stampede Prevention*, VLDB 2015), exact to a thousandth.
///
/// A hit refreshes if `−took · β · ln u ≥ left`, where `took` is how long the load took, `left` the time until the
/// value expires, and `u` is drawn evenly from 0 to 1. One is what the paper proposes; more is earlier.
///
/// # Examples
///
/// ```
/// use buttress_cache::Beta;
///
/// assert_eq!(Beta::new(1.0)?, Beta::ONE);
/// assert!(Beta::new(-1.0).is_err());
/// # Ok::<_, buttress_cache::InvalidBeta>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Beta(u32);

impl Beta {
    /// Never early.
    pub const OFF: Self = Self(0);
    /// What the paper proposes.
    pub const ONE: Self = Self(1000);

    /// A factor, rounded to the nearest thousandth.
    ///
    /// # Errors
    ///
    /// If it is below zero, over a million or not a number.
    pub fn new(beta: f64) -> Result<Self, InvalidBeta> {
        if (0.0..=1e6).contains(&beta) {
            // In range by the check above.
            Ok(Self((beta * 1000.0).round() as u32))
        } else {
            Err(InvalidBeta(beta))
        }
    }

    /// The factor.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl TryFrom<f64> for Beta {
    type Error = InvalidBeta;

    fn try_from(beta: f64) -> Result<Self, InvalidBeta> {
        Self::new(beta)
    }
}

impl From<Beta> for f64 {
    fn from(beta: Beta) -> f64 {
        beta.get()
    }
}

impl fmt::Debug for Beta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// A factor that is no [`Beta`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidBeta(f64);

impl fmt::Display for InvalidBeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a beta: it is a number from 0 to 1,000,000", self.0)
    }
}

impl std::error::Error for InvalidBeta {}
