use crate::vars::{self, InvalidVar};
use std::env::VarError;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many requests to one authority run at a time, how many wait, and for how long.
///
/// # Examples
///
/// ```
/// use buttress_pool::http::Config;
/// use std::time::Duration;
///
/// let config = Config::default().acquire_timeout(Duration::from_millis(500));
/// assert_eq!(config.max_connections.get(), 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// So many requests to one authority run at a time, each until its response's body has ended. Default 100: where each
    /// takes 100 ms, that is a thousand per second.
    pub max_connections: NonZeroU32,
    /// So many more may wait for each authority; one more is refused at once. Default 1,000, ten for each that runs.
    pub max_waiters: NonZeroU32,
    /// Who has waited this long is refused. Zero waits for nobody, `Duration::MAX` for ever. Default 5 s: a caller that
    /// waits longer has mostly gone.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub acquire_timeout: Duration,
}

impl Config {
    /// The default, with what variables of the environment say: `HTTP_MAX_CONNECTIONS` is
    /// [`max_connections`](field@Self::max_connections). An empty variable is as if it were not there.
    ///
    /// # Errors
    ///
    /// If it is no number from 1 on.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_pool::http::Config;
    ///
    /// let config = Config::from_vars(std::env::var)?;
    /// # Ok::<(), buttress_pool::InvalidVar>(())
    /// ```
    pub fn from_vars(look_up: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, InvalidVar> {
        let max = vars::number(&look_up, "HTTP_MAX_CONNECTIONS", "a whole number from 1 to 4294967295")?;
        let default = Self::default();
        Ok(Self { max_connections: max.unwrap_or(default.max_connections), ..default })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: const { NonZeroU32::new(100).unwrap() },
            max_waiters: const { NonZeroU32::new(1000).unwrap() },
            acquire_timeout: Duration::from_secs(5),
        }
    }
}

buttress_core::__setters! { Config;
    max_connections: NonZeroU32;
    max_waiters: NonZeroU32;
    acquire_timeout: Duration;
}
