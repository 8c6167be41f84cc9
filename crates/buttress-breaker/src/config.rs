use buttress_core::Ratio;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::time::Duration;

/// When a breaker opens, how long it stays open, and how it comes back.
///
/// A breaker opens as soon as **any** rule that is on says so: a streak of failures, a share of failures in
/// the window, a number of failures within a period, a share of slow calls. Only a bad call opens it; a
/// success never does. All fields can be changed live with `reconfigure`.
///
/// # Defaults
///
/// Five failures in a row, or half of at least 20 calls in 10 s: the first catches an outage at any
/// traffic, the second a service that fails now and then under load. It stays open for 60 s, twice as
/// long after each failed recovery up to 10 min, plus up to 10 % so that many instances do not probe in the
/// same moment. One probe, one success.
///
/// # Examples
///
/// ```
/// use buttress_breaker::{Config, Window};
/// use buttress_core::Ratio;
/// use std::num::NonZeroU16;
/// use std::time::Duration;
///
/// let config = Config::default()
///     .failure_ratio(Ratio::percent(30))
///     .window(Window::Calls(NonZeroU16::new(200).unwrap()))
///     .consecutive_failures(None)
///     .open_for(Duration::from_secs(5));
/// assert_eq!(config.min_calls.get(), 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// Opens after this many failures with no success between them. Default 5.
    #[cfg_attr(feature = "serde", serde(with = "off"))]
    pub consecutive_failures: Option<NonZeroU32>,
    /// Opens when this share of the calls in the window, or more, failed. Default 50 %.
    #[cfg_attr(feature = "serde", serde(with = "off"))]
    pub failure_ratio: Option<Ratio>,
    /// The calls that the shares of failures and of slow calls are taken of. Default the last 10 s.
    pub window: Window,
    /// So many calls must be in the window before a share counts; more than a window by count holds are
    /// cut to what it holds. Default 20.
    pub min_calls: NonZeroU32,
    /// Opens after so many failures within a period, however many calls succeed. Default off.
    #[cfg_attr(feature = "serde", serde(with = "off"))]
    pub failures_within: Option<FailuresWithin>,
    /// Opens when too many calls are too slow. Default off. In half-open, a slow probe is a failed one.
    #[cfg_attr(feature = "serde", serde(with = "off"))]
    pub slow_calls: Option<SlowCalls>,
    /// How long it stays open the first time. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub open_for: Duration,
    /// The open time doubles with each failed recovery up to this. Default 10 min. Less than `open_for`
    /// means that it never grows.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub open_max: Duration,
    /// Up to this share of the open time is added to it at random. Default 10 %.
    pub open_jitter: Ratio,
    /// How many probes may be in flight at a time while half-open. Default 1. The bound is per half-open
    /// period: a probe still running from an earlier one is not counted, nor is its result.
    pub probes: NonZeroU8,
    /// How many results of probes are judged together. Default 1.
    pub probe_results: NonZeroU16,
    /// The share of `probe_results` that must succeed for it to close, at least one. It decides as soon as
    /// the outcome is certain. Default 100 %.
    pub probe_ratio: Ratio,
    /// After this time a probe that has not ended gives its place to the next call, and from then on is not
    /// heard. Longer than any answer that is worth hearing: with less, each probe may be replaced before it
    /// ends. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub probe_lease: Duration,
    /// Lets traffic come back step by step after closing. Default off.
    #[cfg_attr(feature = "serde", serde(with = "off"))]
    pub ramp: Option<Ramp>,
    /// What it means when a caller drops the response future before its end. Default nothing.
    pub cancelled: Cancelled,
    /// What it means when the service panics. Default a failure.
    pub panicked: Panicked,
}

/// Which calls a share of failures is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Window {
    /// The last calls, by count. Exact; needs 8 bytes for each call that fits.
    Calls(NonZeroU16),
    /// The calls that ended within this time. It slides in ten steps: it covers the present tenth, however
    /// much of it has passed, and the nine before. Less than 10 ns counts as 10 ns.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    Time(Duration),
}

/// So many failures within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct FailuresWithin {
    /// How many failures open the breaker; each takes 8 bytes.
    pub failures: NonZeroU16,
    /// The first and the last of them are at most this far apart.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub within: Duration,
}

/// A share of calls that take too long, whether they succeed or fail. Costs two clock reads per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SlowCalls {
    /// A call that takes this long, or longer, is slow.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub over: Duration,
    /// Opens when this share of the calls in the window, or more, was slow.
    pub ratio: Ratio,
}

/// Lets traffic come back step by step: admits the share `from` at first, everything after `over`.
///
/// It refuses in `call` and never in `poll_ready`, also behind a [gate](crate::BreakerLayer::gate): whoever waited
/// would come back with all the others at the next step.
///
/// The share grows in ten equal steps. Calls over it are refused with
/// [`Reason::Overloaded`](buttress_core::Reason::Overloaded) and the time of the next step. Which ones is
/// decided by error diffusion: at 25 % it is every fourth, not every fourth on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Ramp {
    /// The share admitted at first.
    pub from: Ratio,
    /// How long it takes until everything is admitted.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub over: Duration,
}

/// What a call says that its caller gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Cancelled {
    /// Nothing: callers give up for reasons of their own.
    #[default]
    Ignore,
    /// The service failed. Right where an outer timeout is what ends calls.
    Failure,
    /// The service failed if the call had been running this long, or longer. Costs a clock read per call.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    FailureIfOlderThan(Duration),
}

/// What it means when the service panics, in `call` or in its future; or the classifier, for that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Panicked {
    /// The service failed.
    #[default]
    Failure,
    /// Nothing.
    Ignore,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            consecutive_failures: NonZeroU32::new(5),
            failure_ratio: Some(Ratio::percent(50)),
            window: Window::Time(Duration::from_secs(10)),
            min_calls: const { NonZeroU32::new(20).unwrap() },
            failures_within: None,
            slow_calls: None,
            open_for: Duration::from_secs(60),
            open_max: Duration::from_secs(600),
            open_jitter: Ratio::percent(10),
            probes: NonZeroU8::MIN,
            probe_results: NonZeroU16::MIN,
            probe_ratio: Ratio::FULL,
            probe_lease: Duration::from_secs(60),
            ramp: None,
            cancelled: Cancelled::Ignore,
            panicked: Panicked::Failure,
        }
    }
}

/// A rule that may be off. Written `"off"`, since not every format has a null; read from that, `false` or null.
#[cfg(feature = "serde")]
mod off {
    use serde::de::value::{F64Deserializer, I64Deserializer, MapAccessDeserializer, U64Deserializer};
    use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Unexpected, Visitor};
    use serde::{Serialize, Serializer};
    use std::fmt;
    use std::marker::PhantomData;

    pub(super) fn serialize<T: Serialize, S: Serializer>(rule: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match rule {
            Some(rule) => rule.serialize(to),
            None => to.serialize_str("off"),
        }
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        from.deserialize_any(RuleOrOff(PhantomData))
    }

    struct RuleOrOff<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for RuleOrOff<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a rule or \"off\"")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Option<T>, E> {
            let value: U64Deserializer<E> = value.into_deserializer();
            T::deserialize(value).map(Some)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T>, E> {
            let value: I64Deserializer<E> = value.into_deserializer();
            T::deserialize(value).map(Some)
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Option<T>, E> {
            let value: F64Deserializer<E> = value.into_deserializer();
            T::deserialize(value).map(Some)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<Option<T>, E> {
            if value == "off" { Ok(None) } else { Err(E::invalid_value(Unexpected::Str(value), &self)) }
        }

        fn visit_bool<E: Error>(self, on: bool) -> Result<Option<T>, E> {
            if on { Err(E::invalid_value(Unexpected::Bool(on), &self)) } else { Ok(None) }
        }

        fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, rule: D) -> Result<Option<T>, D::Error> {
            deserialize(rule)
        }

        fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
    }
}

buttress_core::__setters! { Config;
    consecutive_failures: impl Into<Option<NonZeroU32>>, into;
    failure_ratio: impl Into<Option<Ratio>>, into;
    window: Window;
    min_calls: NonZeroU32;
    failures_within: impl Into<Option<FailuresWithin>>, into;
    slow_calls: impl Into<Option<SlowCalls>>, into;
    open_for: Duration;
    open_max: Duration;
    open_jitter: Ratio;
    probes: NonZeroU8;
    probe_results: NonZeroU16;
    probe_ratio: Ratio;
    probe_lease: Duration;
    ramp: impl Into<Option<Ramp>>, into;
    cancelled: Cancelled;
    panicked: Panicked;
}
