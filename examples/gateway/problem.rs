//! Answers errors: a refusal by a layer, a failed exchange, a request that makes no sense.

use crate::{proxy, stack};
use axum::response::{IntoResponse, Response};
use buttress::Error;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

/// What is wrong, as `application/problem+json` (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    /// When to come back, if that is known.
    pub(crate) fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Unknown");
        let body = json!({ "status": self.status.as_u16(), "title": title, "detail": self.detail });
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        if let Some(after) = self.retry_after {
            // Whole seconds; a part of one is one, since "at once" is never the answer.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Answers an error of the stack. The cause is for the log, not for the client.
pub(crate) async fn answer(error: stack::Error) -> Response {
    match error {
        Error::Rejected(rejected) => {
            let mut response: Response = rejected.into_response();
            if matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
                // Not every layer knows when to come back; "at once" is never the answer.
                response.headers_mut().entry(RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
            }
            // For the metrics: it is told from an answer of the upstream's own.
            response.extensions_mut().insert(rejected);
            response
        }
        Error::Inner(error) if proxy::is_too_slow(&error) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long").into_response()
        }
        Error::Inner(error) if proxy::is_clients_fault(&error) => {
            Problem::new(StatusCode::BAD_REQUEST, "the body of the request broke off").into_response()
        }
        Error::Inner(error) => {
            crate::log(format_args!("upstream: {}", chain(&error)));
            let what = if error.is_connect() { "cannot be reached" } else { "broke off" };
            Problem::new(StatusCode::BAD_GATEWAY, format!("the upstream {what}")).into_response()
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    proxy::chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
