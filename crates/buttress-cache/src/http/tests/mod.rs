//! The rules as tables: a request, the response to it, a second request, and what has to come of that. What is in the
//! public suite (<https://cache-tests.fyi>) has its name there; the rest has its section in RFC 9111.

mod key;
mod properties;
mod range;
mod serving;
mod storing;
mod validating;
mod variants;

use super::directives::{RequestDirectives, ResponseDirectives};
use super::freshness::Times;
use super::key::Target;
use super::options::{Heuristic, HttpOptions};
use super::policy::{Policy, Verdict};
use super::storing::{Exchange, NotStored, store};
use super::vary::Vary;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::time::{Duration, SystemTime};

/// When all of it happens: a whole second, in 2026.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fields, divided by ` | `. A value `@-5` is the date of five seconds before [`start`].
fn fields(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in text.split(" | ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(':').unwrap_or_else(|| panic!("{field} is no field"));
        let value = match value.trim_start().strip_prefix('@').map(|seconds| seconds.parse::<i64>().unwrap())
        {
            None => HeaderValue::from_bytes(value.trim_start().as_bytes()).unwrap(),
            Some(seconds) => {
                let moved = secs(seconds.unsigned_abs());
                let date = if seconds < 0 { start() - moved } else { start() + moved };
                HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap()
            }
        };
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    headers
}

/// A status, and fields after it if it is not the only thing: `404 Vary: a`; without one it is 200.
fn response(text: &str) -> (StatusCode, HeaderMap) {
    let (status, rest) = text.split_at_checked(3).unwrap_or(("", text));
    match status.parse::<StatusCode>() {
        Ok(status) => (status, fields(rest.trim_start())),
        Err(_) => (StatusCode::OK, fields(text)),
    }
}

/// The method, and fields after it: `POST Content-Length: 3`; without one it is GET.
fn request(text: &str) -> (Method, HeaderMap) {
    let known = ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "M-SEARCH"];
    match known.iter().find(|method| text.split(' ').next() == Some(method)) {
        Some(method) => (method.parse().unwrap(), fields(text[method.len()..].trim_start())),
        None => (Method::GET, fields(text)),
    }
}

/// What comes of a second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// From the cache.
    Hit,
    /// From the cache, and asked for again.
    Swr,
    /// From the cache, as the client takes it stale.
    MaxStale,
    /// Asked for; from the cache if that fails.
    Ask,
    /// Asked for, and nothing else.
    Must,
    /// 504.
    Timeout,
    /// Something is stored, but for other requests.
    OtherVariant,
    /// Nothing is stored.
    Not(NotStored),
}

/// Stores the response to the first request if it may be, and looks the second one up so long after.
fn then(options: &HttpOptions, first: &str, stored: &str, after: Duration, second: &str) -> Then {
    let (method, asked) = request(first);
    let (status, headers) = response(stored);
    let policy = match stored_as(options, &method, &asked, status, &headers) {
        Ok(policy) => policy,
        Err(reason) => return Then::Not(reason),
    };
    let vary = Vary::of(&headers);
    let (_, again) = request(second);
    if vary.key(&asked) != vary.key(&again) {
        return Then::OtherVariant;
    }
    match policy.serve(start() + after, &RequestDirectives::of(&again)) {
        Verdict::Fresh => Then::Hit,
        Verdict::StaleWhileRevalidate => Then::Swr,
        Verdict::MaxStale => Then::MaxStale,
        Verdict::Revalidate { may_serve_stale_on_error: true, .. } => Then::Ask,
        Verdict::Revalidate { may_serve_stale_on_error: false, .. } => Then::Must,
        Verdict::GatewayTimeout => Then::Timeout,
    }
}

fn stored_as(
    options: &HttpOptions,
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> Result<Policy, NotStored> {
    let times = Times { request: start(), response: start() };
    store(&Exchange { method, request, status, response, times }, options)
}

fn policy(options: &HttpOptions, headers: &HeaderMap, times: Times) -> Policy {
    let directives = ResponseDirectives::of(headers, options);
    Policy::new(options, StatusCode::OK, headers, &directives, headers, times)
}

/// Rows of `name ~ response ~ +seconds until the second request ~ what comes of it`, and where they have fields,
/// ` ~ first request ~ second request` after that. What is not stored is named by why.
fn check(options: &HttpOptions, rows: &str) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with("//")) {
        let cells: Vec<&str> = row.split('~').map(str::trim).collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
        let (stored, after, expected, first, second) = (cell(1), cell(2), cell(3), cell(4), cell(5));
        let after =
            after.strip_prefix('+').and_then(|after| after.parse().ok()).unwrap_or_else(|| panic!("{row}"));
        let came = match then(options, first, stored, secs(after), second) {
            Then::Not(reason) => format!("{reason:?}"),
            came => format!("{came:?}"),
        };
        count += 1;
        if came != expected {
            wrong.push(format!("{came}, not: {row}"));
        }
    }
    assert!(wrong.is_empty() && count > 0, "{}", wrong.join("\n"));
}

fn guessing() -> HttpOptions {
    HttpOptions::default().heuristic(Heuristic::default())
}
