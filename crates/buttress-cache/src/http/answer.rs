//! Answers from what is stored.

use super::body::Body;
use super::cache::HttpCache;
use super::client::Client;
use super::entry::Stored;
use super::headers::to_send;
use super::range::{Cut, Wanted, partial, unsatisfiable};
use super::status::CacheStatus;
use super::validate::{Condition, conditions, if_range, not_modified};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::sync::Arc;
use std::time::SystemTime;

/// What of a request decides how a stored response is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) head: bool,
    pub(crate) ranged: bool,
}

impl<'a> From<&'a Client> for Form<'a> {
    fn from(client: &'a Client) -> Self {
        Self { headers: &client.headers, head: client.head, ranged: client.ranged }
    }
}

/// Sends a stored response to a client: all of it, a part, its head, or that the client has it already.
pub(crate) fn answer<B: http_body::Body>(
    cache: &HttpCache,
    form: Form<'_>,
    stored: &Arc<Stored>,
    now: SystemTime,
    status: &CacheStatus,
) -> Response<Body<B>> {
    let mut headers = to_send(&stored.headers, stored.policy.age(now));
    let mut code = stored.status;
    let mut part = 0..stored.length;
    if conditions(form.headers, code, &stored.headers, stored.received, now) == Condition::NotModified {
        not_modified(&mut headers);
        code = StatusCode::NOT_MODIFIED;
        part = 0..0;
    } else if let Some(of) = stored.part {
        // Who asks has made sure that it is there.
        part = stored.cut(form.headers, now).unwrap_or(part);
        partial(&mut headers, &(of.first + part.start..of.first + part.end), of.complete);
    } else if form.ranged && code == StatusCode::OK && if_range(form.headers, &stored.headers, now) {
        match Wanted::of(form.headers).of_full(stored.length) {
            Cut::All => {}
            Cut::Part(wanted) => {
                partial(&mut headers, &wanted, Some(stored.length));
                code = StatusCode::PARTIAL_CONTENT;
                part = wanted;
            }
            Cut::Unsatisfiable => {
                unsatisfiable(&mut headers, stored.length);
                code = StatusCode::RANGE_NOT_SATISFIABLE;
                part = 0..0;
            }
        }
    }
    // RFC 9110 §9.3.2. A server takes it for a body of no bytes otherwise, if it says how long bodies are.
    if form.head && code == StatusCode::OK && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(stored.length));
    }
    status.append(&mut headers, cache.name());
    let body = if form.head || code != stored.status && part.is_empty() {
        Body::empty()
    } else {
        Body::stored(Arc::clone(stored), part)
    };
    let mut response = Response::new(body);
    *response.status_mut() = code;
    *response.version_mut() = stored.version;
    *response.headers_mut() = headers;
    response
}

/// What `only-if-cached` gets where nothing is (§5.2.1.7).
pub(crate) fn gateway_timeout<B: http_body::Body>(
    cache: &HttpCache,
    status: &CacheStatus,
) -> Response<Body<B>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    status.append(response.headers_mut(), cache.name());
    response
}
