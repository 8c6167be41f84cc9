//! Validation (§4.3): with the origin, of what is stored; with the client, of what it has.

use super::dates::Dated;
use super::etag::{EntityTag, none_match};
use super::headers::{Exempt, date, is_bodily, own};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, DATE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName, StatusCode};
use std::time::{Duration, SystemTime};

/// Makes of a client's request one that asks the origin whether what is stored still holds (§4.3.1). Returns whether
/// it can; if not, it is now a request without conditions. A range stays: it only counts if it does not hold any
/// longer (RFC 9110 §13.2.2).
///
/// The client's own conditions are not sent, as their answer would be about what the client has: keep the request's
/// fields as they were, and answer them by [`conditions`] afterwards.
pub(crate) fn make_conditional(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    for own in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE] {
        request.remove(own);
    }
    // Sent as they were received, also if they are not well-formed: the origin knows what it meant.
    if let Some(tag) = stored.get(ETAG) {
        request.insert(IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = stored.get(LAST_MODIFIED) {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Whether there is anything to ask the origin by.
pub(crate) fn has_validator(stored: &HeaderMap) -> bool {
    stored.contains_key(ETAG) || stored.contains_key(LAST_MODIFIED)
}

/// What a client's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There are none, or they hold: send the response.
    Send,
    /// 304.
    NotModified,
}

/// Answers `If-None-Match` and `If-Modified-Since` from what is stored (§4.3.2, RFC 9110 §13.2.2).
pub(crate) fn conditions(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    received: SystemTime,
    now: SystemTime,
) -> Condition {
    // RFC 9110 §13.2.1: only where the answer would be a success.
    if !status.is_success() {
        return Condition::Send;
    }
    let is_current = match none_match(request, stored) {
        // RFC 9110 §13.1.3: then If-Modified-Since does not count.
        Some(named) => named,
        None => {
            let Some(since) = Dated::of(request, &IF_MODIFIED_SINCE, now).at() else {
                return Condition::Send;
            };
            // §4.3.2: by its Last-Modified, else by its Date, else by when it came.
            let dated = |name| Dated::of(stored, &name, now).at();
            dated(LAST_MODIFIED).or_else(|| dated(DATE)).unwrap_or(received) <= since
        }
    };
    if is_current { Condition::NotModified } else { Condition::Send }
}

/// Whether `Range` counts, as far as `If-Range` goes (RFC 9110 §13.1.5). It must name what is stored exactly.
pub(crate) fn if_range(request: &HeaderMap, stored: &HeaderMap, now: SystemTime) -> bool {
    let Some(condition) = request.get(IF_RANGE) else { return true };
    if let Some(named) = EntityTag::parse(condition.as_bytes()) {
        return EntityTag::of(stored).is_some_and(|tag| named.strongly_is(tag));
    }
    let same = stored.get(LAST_MODIFIED) == Some(condition);
    same && is_strong_date(stored, now)
}

/// Whether `Last-Modified` tells two representations apart (RFC 9110 §8.8.2.2): it is a minute before `Date` or more.
fn is_strong_date(stored: &HeaderMap, now: SystemTime) -> bool {
    let dated = |name| Dated::of(stored, &name, now).at();
    let age =
        dated(DATE).zip(dated(LAST_MODIFIED)).and_then(|(date, modified)| date.duration_since(modified).ok());
    age.is_some_and(|age| age >= Duration::from_secs(60))
}

/// Updates the fields of a stored response by those of a newer one (§3.2). Part of
/// [`freshen`](super::storing::freshen).
///
/// Not updated are the fields that are not stored ([`Exempt`]), and those that describe the body that is stored.
pub(super) fn update(stored: &mut HeaderMap, newer: &HeaderMap, exempt: &Exempt<'_>, received: SystemTime) {
    // Fields that the newer one has no longer stored.
    for name in exempt.unstored() {
        stored.remove(name);
    }
    // §4.2.3: the age is counted from the newer response, whether it has a Date or not.
    stored.remove(DATE);
    for name in newer.keys().filter(|name| !is_bodily(name) && !exempt.holds(name)) {
        stored.remove(name);
        for value in newer.get_all(name) {
            stored.append(name, own(value));
        }
    }
    date(stored, received);
}

/// Whether the answer to a HEAD is about what is stored (§4.3.5), a body of this many bytes. If it is,
/// [`freshen`](super::storing::freshen); if not, it has changed: what is stored is to be invalidated.
pub(crate) fn is_same_head(stored: &HeaderMap, body: u64, head: &HeaderMap) -> bool {
    let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.is_none_or(|length| length.parse() == Ok(body))
        && [ETAG, LAST_MODIFIED]
            .iter()
            .all(|name| head.get(name).is_none_or(|received| stored.get(name) == Some(received)))
}

/// The fields of a 304 to the client (RFC 9110 §15.4.5), of those that would be sent with the response.
pub(crate) fn not_modified(headers: &mut HeaderMap) {
    const SENT: [HeaderName; 7] = [CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY];
    // Besides those of §15.4.5, what every response from a cache has.
    let extra = |name: &HeaderName| *name == http::header::AGE || name.as_str() == "cache-status";
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| !SENT.contains(name) && !extra(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}
