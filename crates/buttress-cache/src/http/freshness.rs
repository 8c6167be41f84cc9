//! How long a response is fresh (§4.2.1, §4.2.2), and how old it is when it comes (§4.2.3).

use super::dates::{Dated, since, whole};
use super::directives::ResponseDirectives;
use super::fields::{lines, seconds};
use super::options::{Heuristic, HttpOptions, Mode};
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use std::time::{Duration, SystemTime};

/// When a request went to the origin, and when the head of its response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) request: SystemTime,
    pub(crate) response: SystemTime,
}

/// The freshness lifetime (§4.2.1): the first of these that the response has, or a guess. Zero if there is none.
pub(super) fn lifetime(
    options: &HttpOptions,
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    received: SystemTime,
) -> Duration {
    let shared = options.mode == Mode::Shared;
    let s_maxage = directives.s_maxage.duration().filter(|_| shared);
    if let Some(lifetime) = s_maxage.or(directives.max_age.duration()) {
        return lifetime;
    }
    // RFC 9110 §6.6.1: without a valid Date, it is when the response came.
    let date = Dated::of(headers, &DATE, received).at().unwrap_or_else(|| whole(received));
    if !directives.targeted {
        match Dated::of(headers, &EXPIRES, received) {
            Dated::At(expires) => return since(date, expires),
            // §5.3: what is no date is in the past.
            Dated::Invalid => return Duration::ZERO,
            Dated::Absent => {}
        }
    }
    match &options.heuristic {
        Some(heuristic) if directives.public || is_heuristic(status) => {
            guess(heuristic, headers, date, received)
        }
        _ => Duration::ZERO,
    }
}

/// §4.2.2: a share of how long it has not been modified.
fn guess(heuristic: &Heuristic, headers: &HeaderMap, date: SystemTime, received: SystemTime) -> Duration {
    let Some(modified) = Dated::of(headers, &LAST_MODIFIED, received).at() else { return Duration::ZERO };
    let unmodified = since(modified, date).as_secs();
    // In 128 bits, where this cannot overflow; the quotient is at most what it was a share of.
    let share = u128::from(unmodified) * u128::from(heuristic.share.millionths()) / 1_000_000;
    let share = Duration::from_secs(u64::try_from(share).unwrap_or(u64::MAX));
    share.min(heuristic.most)
}

/// The statuses that RFC 9110 §15.1 calls heuristically cacheable.
pub(super) fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// `age_value` of §4.2.3. `Err` if nobody can tell how old the response is: then it is stale.
///
/// §5.1 would have us take the first of several values, and ignore one that is no number. Both make an old response
/// young if the guess is wrong, and asking again never is.
pub(super) fn age_value(headers: &HeaderMap) -> Result<Duration, InvalidAge> {
    let mut lines = lines(headers, &AGE);
    let Some(first) = lines.next() else { return Ok(Duration::ZERO) };
    match seconds(first) {
        Some(age) if lines.next().is_none() => Ok(Duration::from_secs(u64::from(age))),
        _ => Err(InvalidAge),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidAge;

/// `corrected_initial_age` of §4.2.3.
pub(super) fn initial_age(headers: &HeaderMap, times: Times, age_value: Duration) -> Duration {
    let response_delay = since(times.request, times.response);
    let corrected_age_value = age_value.saturating_add(response_delay);
    // Date has no fractions, so it is compared with a time that has none: what comes at once is not old.
    let date = Dated::of(headers, &DATE, times.response).at();
    let apparent_age = date.map_or(Duration::ZERO, |date| since(date, whole(times.response)));
    apparent_age.max(corrected_age_value)
}
