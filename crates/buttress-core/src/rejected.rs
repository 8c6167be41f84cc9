use crate::Name;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Tells a caller that a layer refused its call: which layer, why, and when to come back.
///
/// Layers hand it over through `From<Rejected>` of the service's own error type. `Box<dyn Error + Send +
/// Sync>` has that already. To find it again below other errors, see [`Rejected::find`].
///
/// # Examples
///
/// ```
/// use buttress_core::{Reason, Rejected};
///
/// let refused = Rejected::new("timeout", "search".into(), Reason::TimedOut);
/// assert_eq!(refused.reason().http(), 504);
/// assert_eq!(refused.retry_after(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejected {
    layer: &'static str,
    name: Name,
    reason: Reason,
    retry_after: Option<Duration>,
}

impl Rejected {
    /// Makes the refusal of one layer; `layer` is its kind (`"breaker"`), `name` the instance's.
    #[must_use]
    pub const fn new(layer: &'static str, name: Name, reason: Reason) -> Self {
        Self { layer, name, reason, retry_after: None }
    }

    /// Says how long the caller should wait before it tries again.
    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The kind of layer that refused, for example `"breaker"`.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        self.layer
    }

    /// The name that the layer was given when it was made.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.name
    }

    /// What the caller can do about it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long to wait before the next try, from the moment of the refusal; `None` where nobody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Finds a refusal in `error` or in any of its sources, however deep other layers wrapped it.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_core::{Reason, Rejected};
    ///
    /// let boxed: Box<dyn std::error::Error + Send + Sync> =
    ///     Rejected::new("breaker", "db".into(), Reason::Unavailable).into();
    /// assert_eq!(Rejected::find(&*boxed).map(|r| r.layer()), Some("breaker"));
    /// ```
    #[must_use]
    pub fn find(error: &(dyn StdError + 'static)) -> Option<Rejected> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rejected) = error.downcast_ref::<Rejected>() {
                return Some(*rejected);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, name, reason, retry_after } = self;
        write!(f, "{layer} `{name}` refused the call: {reason}")?;
        match retry_after {
            // For people: whole milliseconds, and never less than it is.
            Some(wait) => {
                let millis = wait.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX);
                write!(f, ", retry after {:?}", Duration::from_millis(millis))
            }
            None => Ok(()),
        }
    }
}

impl StdError for Rejected {}

/// Why a call was refused, in terms of what the caller can do; never which crate spoke.
///
/// | reason | the caller should | HTTP | gRPC |
/// | --- | --- | --- | --- |
/// | [`RateLimited`](Reason::RateLimited) | slow down: it has used its share | 429 | 8 `RESOURCE_EXHAUSTED` |
/// | [`Overloaded`](Reason::Overloaded) | back off: there is no room for anybody | 503 | 8 `RESOURCE_EXHAUSTED` |
/// | [`TimedOut`](Reason::TimedOut) | decide whether the work may be repeated: it may have been done | 504 | 4 `DEADLINE_EXCEEDED` |
/// | [`Unavailable`](Reason::Unavailable) | use something else, or come back later | 503 | 14 `UNAVAILABLE` |
/// | [`Closed`](Reason::Closed) | go elsewhere: this instance is shutting down | 503 | 14 `UNAVAILABLE` |
/// | [`Stale`](Reason::Stale) | read again: what it relied on has changed | 409 | 9 `FAILED_PRECONDITION` |
/// | [`Failed`](Reason::Failed) | retry if it likes: one attempt, made for several callers, failed | 502 | 13 `INTERNAL` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// This caller asked too often.
    RateLimited,
    /// Too much is asked of the service at the moment, by whomever.
    Overloaded,
    /// The time allowed for the call is over.
    TimedOut,
    /// The service is held to be down.
    Unavailable,
    /// The layer was shut down.
    Closed,
    /// The state that the call relied on is no longer true.
    Stale,
    /// One attempt made for several callers failed, panicked or broke its contract.
    Failed,
}

impl Reason {
    /// The HTTP status that says the same.
    #[must_use]
    pub const fn http(self) -> u16 {
        match self {
            Reason::RateLimited => 429,
            Reason::Overloaded | Reason::Unavailable | Reason::Closed => 503,
            Reason::TimedOut => 504,
            Reason::Stale => 409,
            Reason::Failed => 502,
        }
    }

    /// The gRPC status code that says the same.
    #[must_use]
    pub const fn grpc(self) -> i32 {
        match self {
            Reason::RateLimited | Reason::Overloaded => 8,
            Reason::TimedOut => 4,
            Reason::Unavailable | Reason::Closed => 14,
            Reason::Stale => 9,
            Reason::Failed => 13,
        }
    }

    /// The reason in words, as [`Display`](fmt::Display) prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::RateLimited => "rate limited",
            Reason::Overloaded => "overloaded",
            Reason::TimedOut => "timed out",
            Reason::Unavailable => "unavailable",
            Reason::Closed => "closed",
            Reason::Stale => "stale",
            Reason::Failed => "failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_codes_of_the_table() {
        let table = [
            (Reason::RateLimited, 429, 8),
            (Reason::Overloaded, 503, 8),
            (Reason::TimedOut, 504, 4),
            (Reason::Unavailable, 503, 14),
            (Reason::Closed, 503, 14),
            (Reason::Stale, 409, 9),
            (Reason::Failed, 502, 13),
        ];
        for (reason, http, grpc) in table {
            assert_eq!((reason.http(), reason.grpc()), (http, grpc), "{reason}");
        }
    }

    #[test]
    fn a_refusal_is_found_below_other_errors() {
        let refused = Rejected::new("pool", Name::from("db"), Reason::Closed);
        let wrapped = std::io::Error::other(crate::Error::<std::io::Error>::Rejected(refused));
        assert_eq!(Rejected::find(&wrapped), Some(refused));
        assert_eq!(Rejected::find(&std::io::Error::other("else")), None);
    }

    #[test]
    fn a_time_is_printed_in_whole_milliseconds_rounded_up() {
        let refused = Rejected::new("pool", Name::from("db"), Reason::Unavailable);
        for (wait, printed) in [
            (Duration::ZERO, "0ns"),
            (Duration::from_nanos(1), "1ms"),
            (Duration::from_micros(4_987_898), "4.988s"),
            (Duration::from_secs(60), "60s"),
        ] {
            assert!(refused.after(wait).to_string().ends_with(&format!("after {printed}")), "{printed}");
        }
        let _ = refused.after(Duration::MAX).to_string();
    }

    #[test]
    fn a_refusal_without_a_time_says_nothing_about_time() {
        let refused = Rejected::new("pool", Name::from("db"), Reason::Closed);
        assert_eq!(refused.to_string(), "pool `db` refused the call: closed");
    }
}
