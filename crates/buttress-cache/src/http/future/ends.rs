//! How a call of the origin ends.

use super::call::{Call, touches};
use super::{Leader, ResponseFuture, Role};
use crate::http::body::Body;
use crate::http::directives::ResponseDirectives;
use crate::http::entry::{Entry, HttpKey, Stored};
use crate::http::freshness::Times;
use crate::http::headers::to_store;
use crate::http::key::invalidates;
use crate::http::landing::{Head, Landing, Tee};
use crate::http::mode::Drive;
use crate::http::policy::{Policy, is_error};
use crate::http::range::ContentRange;
use crate::http::status::CacheStatus;
use crate::http::storing::{Exchange, NotStored, freshen, store};
use crate::http::validate::is_same_head;
use crate::load::{Who, Write};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::SystemTime;
use tower_service::Service;

impl<S, Q, B, M> ResponseFuture<S, Q, S::Future, B, M>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    /// The head of a response has come.
    pub(super) fn came(call: &Call, who: Role, response: Response<B>) -> Response<Body<B>> {
        let lead = match who {
            Who::Lead(lead) => Some(lead),
            Who::Write(write) => {
                call.has_written(write, &response);
                None
            }
            Who::Past | Who::Alone(_) => None,
        };
        if call.client.pass.is_some() {
            return call.passed(response, call.status());
        }
        let status = response.status();
        if is_error(status) {
            if let Some(stored) = call.instead() {
                if let Some(lead) = lead {
                    lead.fail(Some(Arc::new(status)), None);
                }
                return call.stale(&stored, Some(status), false);
            }
        }
        let times = Times { request: call.asked, response: call.cache.now() };
        let exchange = call.exchange(&response, times);
        match (&call.found, status) {
            (Some((key, stored)), StatusCode::NOT_MODIFIED) if call.is_conditional => {
                return call.validated(lead, &exchange, key, stored);
            }
            // §4.3.5.
            (Some((key, stored)), StatusCode::OK) if call.client.head => {
                if !is_same_head(&stored.headers, stored.length, response.headers()) {
                    call.forget(key);
                } else if lead.is_some() {
                    return call.validated(lead, &exchange, key, stored);
                }
            }
            _ => {}
        }
        let Some(lead) = lead else {
            return call.passed(response, call.status());
        };
        match call.land(lead, &exchange) {
            Ok((landing, policy)) => Self::store(call, landing, policy, response, times.response),
            Err(detail) => call.passed(response, CacheStatus { detail, ..call.status() }),
        }
    }

    /// Has a body stored while the client reads it.
    fn store(
        call: &Call,
        landing: Landing,
        policy: Policy,
        response: Response<B>,
        received: SystemTime,
    ) -> Response<Body<B>> {
        let options = call.cache.options();
        let directives = ResponseDirectives::of(response.headers(), options);
        let head = Head {
            status: response.status(),
            version: response.version(),
            headers: to_store(response.headers(), &directives, options, received),
            policy,
            received,
            part: (response.status() == StatusCode::PARTIAL_CONTENT)
                .then(|| ContentRange::of(response.headers()))
                .flatten(),
        };
        let mut tee = Tee::new(landing, head, length(response.headers()));
        let (mut parts, body) = response.into_parts();
        CacheStatus { stored: true, ..call.status() }.append(&mut parts.headers, call.cache.name());
        let body = if body.is_end_stream() {
            tee.end();
            Body::passed(body)
        } else {
            M::tee(body, tee)
        };
        Response::from_parts(parts, body)
    }
}

impl Call {
    /// The origin has failed, or was never ready.
    pub(super) fn failed<B: http_body::Body, E>(&self, who: Role, error: E) -> Result<Response<Body<B>>, E> {
        let instead = self.instead();
        if let Who::Lead(lead) = who {
            lead.fail(None, None);
        }
        instead.map(|stored| self.stale(&stored, None, false)).ok_or(error)
    }

    /// Invalidates what a write has changed, by what it was answered (§4.4).
    fn has_written<B>(&self, mut write: Write<HttpKey, Entry>, response: &Response<B>) {
        let keys = self.target().map_or(Vec::new(), |target| {
            let canonical = self.cache.options().canonical_query;
            invalidates(&self.client.method, &target, response.status(), response.headers(), canonical)
        });
        write.begun = !keys.is_empty();
        write.touches = touches(keys);
    }

    fn exchange<'a, B>(&'a self, response: &'a Response<B>, times: Times) -> Exchange<'a> {
        Exchange {
            method: &self.client.method,
            request: &self.client.headers,
            status: response.status(),
            response: response.headers(),
            times,
        }
    }

    /// Where a response goes, or a word on why it is not stored.
    fn land(&self, lead: Leader, exchange: &Exchange<'_>) -> Result<(Landing, Policy), Option<&'static str>> {
        let is_part = exchange.status == StatusCode::PARTIAL_CONTENT;
        let reason = match store(exchange, self.cache.options()) {
            // Each goes where its like is looked for.
            Ok(policy) if is_part == lead.key().is_part() => return self.land_at(lead, exchange, policy),
            Ok(_) => None,
            Err(reason) => Some(reason),
        };
        // What it has answered is newer than what is stored, unless it is a failure, or about its own conditions or
        // range, or for one user.
        let is_own = match exchange.status {
            _ if reason == Some(NotStored::Authorization) => true,
            StatusCode::NOT_MODIFIED => true,
            StatusCode::RANGE_NOT_SATISFIABLE => !self.is_conditional,
            status => is_error(status),
        };
        if !is_own {
            self.forget(lead.key());
        }
        // Of the whole, an answer to HEAD or with a part says no more than that: the next one asks for it.
        if self.client.is_whole() || is_error(exchange.status) {
            lead.scatter();
        }
        Err(reason.filter(|_| !self.client.head).map(NotStored::detail))
    }

    fn land_at(
        &self,
        lead: Leader,
        exchange: &Exchange<'_>,
        policy: Policy,
    ) -> Result<(Landing, Policy), Option<&'static str>> {
        match Landing::new(&self.cache, lead, &self.client.headers, exchange.response) {
            Ok(landing) => Ok((landing, policy)),
            Err(lead) => {
                lead.scatter();
                Err(None)
            }
        }
    }

    /// What is stored still holds, says the origin.
    fn validated<B: http_body::Body>(
        &self,
        lead: Option<Leader>,
        exchange: &Exchange<'_>,
        key: &HttpKey,
        found: &Arc<Stored>,
    ) -> Response<Body<B>> {
        let (options, now) = (self.cache.options(), exchange.times.response);
        let mut headers = found.headers.clone();
        let judged = freshen(exchange, found.status, &mut headers, options);
        let policy = judged.unwrap_or_else(|_| {
            let directives = ResponseDirectives::of(&headers, options);
            Policy::new(options, found.status, &headers, &directives, exchange.response, exchange.times)
        });
        let stored = Arc::new(Stored {
            status: found.status,
            version: found.version,
            headers,
            policy,
            received: now,
            body: Arc::clone(&found.body),
            length: found.length,
            part: found.part,
            trailers: found.trailers.clone(),
        });
        let landing = lead.map(|lead| Landing::new(&self.cache, lead, &self.client.headers, &stored.headers));
        let is_stored = match landing {
            None => false,
            Some(Ok(landing)) if judged.is_ok() => landing.complete(&stored, now),
            Some(landing) => {
                // It says that it must not be stored any longer; or only that it still holds for one user.
                if judged != Err(NotStored::Authorization) {
                    self.forget(key);
                }
                match landing {
                    Ok(landing) => landing.scatter(),
                    Err(lead) => lead.scatter(),
                }
                false
            }
        };
        let status = CacheStatus { fwd_status: Some(exchange.status), stored: is_stored, ..self.status() };
        let mut response = self.answer(&stored, status);
        // §7.3: what is not stored for others is for this client all the same.
        if !stored.headers.contains_key(SET_COOKIE) {
            let cookies = exchange.response.get_all(SET_COOKIE).into_iter().cloned();
            response.headers_mut().extend(cookies.map(|cookie| (SET_COOKIE, cookie)));
        }
        response
    }
}

/// How long the body is, as the head says.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
