//! The same vocabulary for HTTP: judging responses, and answering a refusal.
//!
//! # Examples
//!
//! ```
//! use buttress_core::http::ServerErrors;
//! use buttress_core::{Classify, Outcome, Reason, Rejected};
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! let busy = http::Response::builder().status(503).header("retry-after", "7").body(())?;
//! let outcome = Classify::<_, Infallible>::classify(&ServerErrors, Ok(&busy));
//! assert_eq!(outcome, Outcome::FailureFor(Duration::from_secs(7)));
//!
//! let refused = Rejected::new("breaker", "inventory".into(), Reason::Unavailable)
//!     .after(Duration::from_millis(1200));
//! let response: http::Response<String> = refused.into_response();
//! assert_eq!(response.status(), 503);
//! assert_eq!(response.headers()["retry-after"], "2"); // whole seconds, rounded up
//! # Ok::<_, http::Error>(())
//! ```

use crate::{Classify, Outcome, Rejected};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;
use std::time::{Duration, SystemTime};

/// Counts 5xx, 429 and every `Err` as failures, everything else as a success.
///
/// A `Retry-After` on any of these responses, in seconds or as a date, becomes
/// [`Outcome::FailureFor`]. A `4xx` is the client's doing: it shows that the server works. Only the head
/// is judged; a body that breaks later is not seen.
///
/// Behind a proxy an `Err` may be the client's doing too: HTTP clients report a request body that breaks off
/// as an error of their own. A classifier of yours should answer [`Outcome::Ignore`] to those, or five bad
/// uploads open a breaker; the `gateway` example does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerErrors;

impl<B, E> Classify<Response<B>, E> for ServerErrors {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Err(_) => Outcome::Failure,
            Ok(response) => {
                let status = response.status();
                if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                    retry_after(response.headers()).map_or(Outcome::Failure, Outcome::FailureFor)
                } else {
                    Outcome::Success
                }
            }
        }
    }
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): whole seconds or an HTTP date, which is counted from the
/// system clock's now and is zero when past. `None` if absent or neither of the two.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits only, so a number that does not fit is merely very long.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}

impl Rejected {
    /// Answers an HTTP request with this refusal: the status of [`Reason::http`](crate::Reason::http),
    /// `Retry-After` in whole seconds rounded up where the time is known, and a body of
    /// `application/problem+json` (RFC 9457) with the members `status`, `title`, `detail`, `layer` and
    /// `name`.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let status = StatusCode::from_u16(self.reason().http()).expect("every reason names a valid status");
        let problem = json!({
            "status": status.as_u16(),
            "title": self.reason().as_str(),
            "detail": self.to_string(),
            "layer": self.layer(),
            "name": self.name().as_str(),
        });
        let mut response = Response::new(B::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Name, Reason};
    use std::convert::Infallible;

    fn judge(status: u16, retry_after: Option<&str>) -> Outcome {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(RETRY_AFTER, value);
        }
        let response = response.body(()).unwrap();
        Classify::<_, Infallible>::classify(&ServerErrors, Ok(&response))
    }

    #[test]
    fn statuses_and_retry_after_are_judged_by_the_table() {
        for (status, header, outcome) in [
            (200, None, Outcome::Success),
            (304, None, Outcome::Success),
            (404, None, Outcome::Success),
            (500, None, Outcome::Failure),
            (503, None, Outcome::Failure),
            (429, None, Outcome::Failure),
            (429, Some("30"), Outcome::FailureFor(Duration::from_secs(30))),
            (503, Some(" 0 "), Outcome::FailureFor(Duration::ZERO)),
            (503, Some("99999999999999999999"), Outcome::FailureFor(Duration::from_secs(u64::MAX))),
            (503, Some("Sun, 06 Nov 1994 08:49:37 GMT"), Outcome::FailureFor(Duration::ZERO)),
            (503, Some("soon"), Outcome::Failure),
            (503, Some("-1"), Outcome::Failure),
            (503, Some(""), Outcome::Failure),
            (200, Some("30"), Outcome::Success),
        ] {
            assert_eq!(judge(status, header), outcome, "{status} with {header:?}");
        }
    }

    #[test]
    fn a_date_in_the_future_is_counted_from_now() {
        let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        let Outcome::FailureFor(wait) = judge(503, Some(&in_an_hour)) else { panic!("not read") };
        assert!(wait > Duration::from_secs(3000) && wait <= Duration::from_secs(3600), "{wait:?}");
    }

    #[test]
    fn a_refusal_becomes_a_problem() {
        let refused = Rejected::new("timeout", Name::new("a \"quoted\" name"), Reason::TimedOut);
        let response: Response<String> = refused.into_response();
        assert_eq!(response.status(), 504);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key(RETRY_AFTER));
        let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(body["title"], "timed out");
        assert_eq!(body["name"], "a \"quoted\" name");
        assert_eq!(body["detail"], refused.to_string());
    }
}
