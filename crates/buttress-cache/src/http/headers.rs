//! Which fields are stored (§3.1), and which are sent.

use super::dates::{Dated, whole};
use super::directives::ResponseDirectives;
use super::fields::elements;
use super::options::{HttpOptions, Mode};
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};

/// Which fields of a response are not stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exempt<'a> {
    response: &'a HeaderMap,
    directives: &'a ResponseDirectives,
    options: &'a HttpOptions,
}

impl<'a> Exempt<'a> {
    pub(crate) fn new(
        response: &'a HeaderMap,
        directives: &'a ResponseDirectives,
        options: &'a HttpOptions,
    ) -> Self {
        Self { response, directives, options }
    }

    /// Those that the response's directives name (§5.2.2.4, §5.2.2.7).
    pub(crate) fn unstored(&self) -> impl Iterator<Item = &'a HeaderName> + use<'a> {
        self.directives.unstored(self.options.mode)
    }

    pub(crate) fn holds(&self, name: &HeaderName) -> bool {
        // §5.1: its age is counted on from the policy, and told anew each time.
        *name == AGE
            || is_hop_by_hop(name)
            || self.unstored().any(|unstored| unstored == name)
            // §7.3. What has one is not stored; this is for a 304 that brings one.
            || *name == SET_COOKIE && !self.options.set_cookie && self.options.mode == Mode::Shared
            || is_named(self.response, name)
    }
}

/// Fields of one connection (RFC 9110 §7.6.1), and of one proxy (§3.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
        .contains(name)
        || ["keep-alive", "proxy-authentication-info", "proxy-connection"].contains(&name.as_str())
}

/// Whether `Connection` names it (RFC 9110 §7.6.1).
fn is_named(headers: &HeaderMap, name: &HeaderName) -> bool {
    elements(headers, &CONNECTION).any(|named| named.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Fields that describe the body that is stored, which a 304 does not change (§3.2).
pub(crate) fn is_bodily(name: &HeaderName) -> bool {
    // The entity tag names the representation that was stored. Had it another one, the origin would not have said 304.
    [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG].contains(name)
        || ["content-digest", "content-md5", "repr-digest", "digest"].contains(&name.as_str())
}

/// The fields of a response as they are stored (§3.1).
pub(crate) fn to_store(
    response: &HeaderMap,
    directives: &ResponseDirectives,
    options: &HttpOptions,
    received: SystemTime,
) -> HeaderMap {
    let exempt = Exempt::new(response, directives, options);
    let mut stored = HeaderMap::with_capacity(response.keys_len() + 1);
    for (name, value) in response.iter().filter(|(name, _)| !exempt.holds(name)) {
        stored.append(name, own(value));
    }
    date(&mut stored, received);
    stored
}

/// A copy of a value, for the same reason as [`owned`](super::entry::owned) bytes.
pub(crate) fn own(value: &HeaderValue) -> HeaderValue {
    let mut own = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    own.set_sensitive(value.is_sensitive());
    own
}

/// The same of all fields.
pub(crate) fn own_fields(fields: &HeaderMap) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), own(value))).collect()
}

/// Gives what is stored a `Date` if it has none (RFC 9110 §6.6.1). Call it after an update too.
pub(crate) fn date(stored: &mut HeaderMap, received: SystemTime) {
    if Dated::of(stored, &DATE, received) != Dated::Absent {
        return;
    }
    // The formatter panics for moments before 1970 and after 9999.
    let printable = received
        .duration_since(SystemTime::UNIX_EPOCH)
        .is_ok_and(|since| since < Duration::from_secs(253_402_300_800));
    if printable {
        if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(whole(received))) {
            stored.insert(DATE, value);
        }
    }
}

/// The fields of what is sent from the cache: those stored, and `Age` (§4, §5.1).
pub(crate) fn to_send(stored: &HeaderMap, age: Duration) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(stored.keys_len() + 2);
    headers.extend(stored.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.insert(AGE, HeaderValue::from(age.as_secs()));
    headers
}

/// Removes what is of one connection from a request that goes on (RFC 9110 §7.6.1), if it is the cache's own and not
/// the client's that some server has already taken care of.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name) || is_named(headers, name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// The tags of a response: what its tag fields list, divided by commas or spaces.
pub(crate) fn tags<'a>(response: &'a HeaderMap, options: &'a HttpOptions) -> impl Iterator<Item = &'a str> {
    options
        .tag_headers
        .iter()
        .flat_map(|name| response.get_all(name))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ' ', '\t']))
        .filter(|tag| !tag.is_empty())
}
