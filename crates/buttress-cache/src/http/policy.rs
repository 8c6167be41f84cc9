//! What a stored response may be used for, and when (§4).

use super::directives::{MaxStale, RequestDirectives, ResponseDirectives};
use super::freshness::{Times, age_value, initial_age, lifetime};
use super::options::{HttpOptions, Mode};
use super::validate::has_validator;
use http::{HeaderMap, StatusCode};
use std::time::{Duration, SystemTime};

/// All that has to be known of a stored response to say whether it answers a request now. It is made when the response
/// comes, so that a hit parses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `response_time` of §4.2.3.
    response_time: SystemTime,
    /// `corrected_initial_age` of §4.2.3.
    initial_age: Duration,
    lifetime: Duration,
    /// Zero if serving it stale is forbidden.
    stale_while_revalidate: Duration,
    /// `None` if nobody has said; zero if it is forbidden.
    stale_if_error: Option<Duration>,
    /// How long it is worth asking whether it has changed, once it is here and no longer fresh. Zero without a
    /// validator.
    validate_for: Duration,
    /// §5.2.2.4, without names of fields.
    no_cache: bool,
    /// Serving it stale is forbidden (§4.2.4).
    must_revalidate: bool,
    /// RFC 8246.
    immutable: bool,
}

/// What to do with a request, given what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the answer.
    Fresh,
    /// It is the answer; ask the origin for a newer one meanwhile (RFC 5861 §3).
    StaleWhileRevalidate,
    /// It is the answer, since the client takes it stale (§5.2.1.2).
    MaxStale,
    /// Ask the origin first.
    Revalidate {
        /// Whether it is the answer if the origin fails; see [`is_error`].
        may_serve_stale_on_error: bool,
        /// It is fresh, but the request wants more than that (`fwd=request` of RFC 9211).
        because_of_request: bool,
    },
    /// It is no answer, and the client does not want the origin asked: 504 (§5.2.1.7).
    GatewayTimeout,
}

impl Verdict {
    /// Why it is the answer though it is stale, for `detail` in `Cache-Status`.
    pub(crate) fn detail(self) -> Option<&'static str> {
        match self {
            Verdict::StaleWhileRevalidate => Some("stale-while-revalidate"),
            Verdict::MaxStale => Some("max-stale"),
            Verdict::Fresh | Verdict::Revalidate { .. } | Verdict::GatewayTimeout => None,
        }
    }
}

impl Policy {
    /// What a response says that is stored. `came` is the response whose `Age` counts: itself, or the one that has just
    /// updated its fields.
    pub(crate) fn new(
        options: &HttpOptions,
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        came: &HeaderMap,
        times: Times,
    ) -> Self {
        let age = age_value(came);
        let lifetime = lifetime(options, status, headers, directives, times.response);
        // §5.2.2.10: s-maxage is proxy-revalidate too, also where a window for staleness is given: §4.2.4 lets no
        // other directive win over it.
        let must_revalidate = directives.must_revalidate
            || options.mode == Mode::Shared
                && (directives.proxy_revalidate || directives.s_maxage.duration().is_some());
        let no_cache = directives.no_cache.is_all();
        // What was never fresh for anybody may be one user's alone, though it does not say so: the options allow
        // nothing for that.
        let was_fresh = directives.public || !lifetime.is_zero();
        let window = |said: Option<Duration>, default: Duration| match said {
            _ if must_revalidate || no_cache => Some(Duration::ZERO),
            None if default.is_zero() || !was_fresh => None,
            said => said.or(Some(default)),
        };
        Self {
            response_time: times.response,
            initial_age: initial_age(headers, times, age.unwrap_or_default()),
            lifetime: if age.is_ok() { lifetime } else { Duration::ZERO },
            stale_while_revalidate: window(
                directives.stale_while_revalidate.duration(),
                options.stale_while_revalidate,
            )
            .unwrap_or_default(),
            stale_if_error: window(directives.stale_if_error.duration(), options.stale_if_error),
            validate_for: if has_validator(headers) { options.validate_for } else { Duration::ZERO },
            no_cache,
            must_revalidate,
            immutable: directives.immutable,
        }
    }

    /// `current_age` of §4.2.3. `Age` is its whole seconds (§5.1).
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        // A clock that was set back makes nothing younger than it was when it came.
        let resident_time = now.duration_since(self.response_time).unwrap_or_default();
        self.initial_age.saturating_add(resident_time)
    }

    /// `response_is_fresh` of §4.2.
    #[cfg(test)]
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.lifetime > self.age(now)
    }

    /// How long it is still fresh.
    #[cfg(test)]
    pub(crate) fn ttl(&self, now: SystemTime) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    /// How long it has not been fresh.
    #[cfg(test)]
    pub(crate) fn staleness(&self, now: SystemTime) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// The `ttl` of RFC 9211 §2.6: with `Age` it adds up to the lifetime. Below zero it is stale.
    pub(crate) fn ttl_seconds(&self, now: SystemTime) -> i64 {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        seconds(self.lifetime) - seconds(self.age(now))
    }

    /// How long after its lifetime it may be served while it is revalidated.
    #[cfg(test)]
    pub(crate) fn stale_while_revalidate(&self) -> Duration {
        self.stale_while_revalidate
    }

    /// How long after its lifetime it may be served where the origin fails.
    pub(crate) fn stale_if_error(&self) -> Duration {
        self.stale_if_error.unwrap_or_default()
    }

    /// How long it is of any use: fresh, stale but servable, or only to be validated. Zero if it need not be stored.
    pub(crate) fn kept(&self, now: SystemTime) -> Duration {
        let stale = self.stale_while_revalidate.max(self.stale_if_error());
        let servable = if self.no_cache { Duration::ZERO } else { self.lifetime.saturating_add(stale) };
        let validatable = match self.validate_for {
            Duration::ZERO => Duration::ZERO,
            time => self.lifetime.max(self.initial_age).saturating_add(time),
        };
        servable.max(validatable).saturating_sub(self.age(now))
    }

    /// Whether it answers a request now (§4).
    pub(crate) fn serve(&self, now: SystemTime, request: &RequestDirectives) -> Verdict {
        match self.judge(now, request) {
            // §5.2.1.7.
            Verdict::Revalidate { .. } if request.only_if_cached => Verdict::GatewayTimeout,
            verdict => verdict,
        }
    }

    fn judge(&self, now: SystemTime, request: &RequestDirectives) -> Verdict {
        let age = self.age(now);
        let fresh = self.lifetime > age;
        let revalidate = |may_serve_stale_on_error| Verdict::Revalidate {
            may_serve_stale_on_error,
            because_of_request: fresh && !self.no_cache,
        };
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));

        // §5.2.2.4 and §5.2.1.4: not without successful validation, so not in place of an error either.
        if self.no_cache || request.no_cache {
            return revalidate(false);
        }
        // §5.2.1.1.
        let too_old = request.max_age.is_some_and(|most| age > seconds(most));
        if fresh {
            // RFC 8246 §2: a reload, which is what `max-age=0` says, need not ask for what does not change.
            let too_old = too_old && !self.immutable;
            // §5.2.1.3.
            let too_stale = request.min_fresh.is_some_and(|least| self.lifetime - age < seconds(least));
            return if too_old || too_stale { revalidate(true) } else { Verdict::Fresh };
        }
        // §4.2.4: what is forbidden no client may allow.
        if self.must_revalidate {
            return revalidate(false);
        }
        let staleness = age - self.lifetime;
        // §5.2.1.2. A client that wants it fresh for a while longer wants it fresh.
        let accepted = match request.max_stale {
            None => false,
            Some(MaxStale::Any) => true,
            Some(MaxStale::Seconds(most)) => staleness <= seconds(most),
        };
        if accepted && !too_old && request.min_fresh.is_none() {
            return Verdict::MaxStale;
        }
        // §5.2.1.1: with max-age, and without max-stale, the client does not wish to receive a stale response.
        let wants_fresh = request.max_age.is_some() || request.min_fresh.is_some();
        if !wants_fresh && !self.stale_while_revalidate.is_zero() && staleness <= self.stale_while_revalidate
        {
            return Verdict::StaleWhileRevalidate;
        }
        revalidate(self.covers_error(staleness, request))
    }

    /// RFC 5861 §4: the window that the response gives, or the request, or what both allow.
    fn covers_error(&self, staleness: Duration, request: &RequestDirectives) -> bool {
        let asked = request.stale_if_error.map(|most| Duration::from_secs(u64::from(most)));
        let window = [asked, self.stale_if_error].into_iter().flatten().min().unwrap_or_default();
        !window.is_zero() && staleness <= window
    }
}

/// Whether a status is an error in whose place a stale response may be served (RFC 5861 §4).
pub(crate) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
