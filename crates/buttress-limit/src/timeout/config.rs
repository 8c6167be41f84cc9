use std::time::Duration;

/// How long a call may take.
///
/// # Examples
///
/// ```
/// use buttress_limit::timeout::Config;
/// use std::time::Duration;
///
/// assert_eq!(Config::default().limit, Duration::from_secs(30));
/// assert_eq!(Config::from(Duration::from_secs(1)), Config::default().limit(Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// From `call` to the response. `Duration::MAX` is no limit; zero lets only those pass that answer at
    /// the first poll. Default 30 s: longer than a person waits, shorter than most proxies' 60 s, so that
    /// the refusal comes from the layer that can name itself.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { limit: Duration::from_secs(30) }
    }
}

buttress_core::__setters! { Config;
    limit: Duration;
}

impl From<Duration> for Config {
    fn from(limit: Duration) -> Self {
        Self::default().limit(limit)
    }
}
