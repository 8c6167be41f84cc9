//! What is known of a request on its way.

use super::{Leader, Ready, ResponseFuture, Role, State};
use crate::cache::Cache;
use crate::http::answer::{Form, answer};
use crate::http::body::Body;
use crate::http::cache::HttpCache;
use crate::http::client::{Client, peek};
use crate::http::directives::{RequestDirectives, SURROGATE};
use crate::http::entry::{Entry, HttpKey, Stored, tag_of};
use crate::http::headers::strip_hop_by_hop;
use crate::http::key::Target;
use crate::http::policy::Verdict;
use crate::http::request::is_unsafe;
use crate::http::status::{CacheStatus, Fwd};
use crate::http::validate::{has_validator, make_conditional};
use crate::load::{Who, Write};
use crate::rules::Touch;
use crate::store::Patience;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, SystemTime};
use tokio::time::{Sleep, sleep};

/// For `detail` in `Cache-Status`.
const STALE_IF_ERROR: &str = "stale-if-error";

/// A request on its way.
pub struct Trip<S, Q> {
    pub(crate) inner: S,
    pub(crate) request: Request<Q>,
    pub(super) call: Box<Call>,
}

/// What is known of a request beside itself.
pub(super) struct Call {
    pub(super) cache: HttpCache,
    pub(super) client: Client,
    /// What is stored and does not answer it as it is, and where.
    pub(super) found: Option<(HttpKey, Arc<Stored>)>,
    pub(super) fwd: Fwd,
    pub(super) may_serve_stale: bool,
    /// Whether the origin is asked if what was found still holds.
    pub(super) is_conditional: bool,
    pub(super) asked: SystemTime,
    pub(super) rounds: u8,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S, Q> Trip<S, Q> {
    pub(crate) fn new(cache: HttpCache, inner: S, request: Request<Q>, client: Client) -> Self {
        let call = Call {
            asked: cache.now(),
            fwd: client.pass.unwrap_or(Fwd::Miss),
            cache,
            client,
            found: None,
            may_serve_stale: false,
            is_conditional: false,
            rounds: 0,
            patience: None,
        };
        Self { inner, request, call: Box::new(call) }
    }

    /// The same request as the cache's own, which asks for the whole and leads.
    pub(crate) fn refresh<F, B: http_body::Body, M>(
        &self,
        inner: S,
        request: Request<Q>,
        lead: Leader,
    ) -> ResponseFuture<S, Q, F, B, M>
    where
        Q: Default,
    {
        let (mut parts, _) = request.into_parts();
        let call = &self.call;
        let mut client =
            Client { headers: parts.headers.clone(), uri: parts.uri.clone(), ..call.client.whole() };
        strip_hop_by_hop(&mut parts.headers);
        for of_part in [RANGE, IF_RANGE] {
            parts.headers.remove(of_part);
        }
        parts.method = client.method.clone();
        client.directives = RequestDirectives::default();
        let own =
            Call { cache: call.cache.clone(), client, found: call.found.clone(), patience: None, ..**call };
        let trip = Self { inner, request: Request::from_parts(parts, Q::default()), call: Box::new(own) };
        ResponseFuture::new(State::Ready { ready: Some(Ready { who: Who::Lead(lead), trip }) })
    }
}

impl Call {
    pub(super) fn answer<B: http_body::Body>(
        &self,
        stored: &Arc<Stored>,
        status: CacheStatus,
    ) -> Response<Body<B>> {
        let now = self.cache.now();
        let status = CacheStatus { ttl: Some(stored.policy.ttl_seconds(now)), ..status };
        answer(&self.cache, Form::from(&self.client), stored, now, &status)
    }

    pub(super) fn hit<B: http_body::Body>(
        &self,
        stored: &Arc<Stored>,
        verdict: Verdict,
    ) -> Response<Body<B>> {
        self.answer(stored, CacheStatus { detail: verdict.detail(), ..CacheStatus::default() })
    }

    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus::fwd(self.fwd)
    }

    pub(super) fn wait_for(&mut self, patience: Option<Patience>) {
        let hard = patience.map_or(Duration::MAX, |patience| patience.hard);
        if hard != Duration::MAX && self.patience.is_none() {
            self.patience = Some(Box::pin(sleep(hard)));
        }
    }

    pub(super) fn is_impatient(&mut self, cx: &mut Context<'_>) -> bool {
        self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_ready())
    }

    /// Whether what the origin answers to it may be what others wait for there: it brings the whole, or a part to where
    /// parts are, or says whether what is stored still holds (§4.3.5 for HEAD).
    pub(super) fn may_lead(&self, key: &HttpKey) -> bool {
        let validates = |stored: &Stored| self.client.head || has_validator(&stored.headers);
        self.client.is_whole()
            || key.is_part()
            || self.found.as_ref().is_some_and(|(_, stored)| validates(stored))
    }

    /// What is served in place of a failure. It is looked up again: what was invalidated is not there.
    pub(super) fn instead(&self) -> Option<Arc<Stored>> {
        let (key, _) = self.found.as_ref().filter(|_| self.may_serve_stale)?;
        let Some(Entry::Response(stored)) = peek(&self.cache, key) else { return None };
        let now = self.cache.now();
        if !stored.suits(Form::from(&self.client), now) {
            return None;
        }
        match stored.serve(now, &self.client.directives) {
            Verdict::Revalidate { may_serve_stale_on_error: false, .. } | Verdict::GatewayTimeout => None,
            _ => Some(stored),
        }
    }

    /// What is served without asking, as the origin has failed not long ago.
    pub(super) fn while_it_fails<B: http_body::Body>(&self, key: &HttpKey) -> Option<Response<Body<B>>> {
        let store = &self.cache.cache().shared.store;
        if !self.may_serve_stale || !store.is_set_back(key) {
            return None;
        }
        let stored = self.instead()?;
        // It is a hit, and was not counted as one when it was found.
        store.look(key, |_| Some(true));
        Some(self.answer(&stored, CacheStatus { detail: Some(STALE_IF_ERROR), ..CacheStatus::default() }))
    }

    /// The response that is stored there is no longer what the origin says.
    pub(super) fn forget(&self, key: &HttpKey) {
        // What has come since is not what it has answered about. A part that does not have what is wanted was not found.
        let was_found = |entry: &Entry| match &self.found {
            Some((at, stored)) if at == key => entry.is(stored),
            _ => key.is_part(),
        };
        if peek(&self.cache, key).is_some_and(|entry| was_found(&entry)) {
            self.cache.cache().invalidate(key);
        }
    }

    pub(super) fn target(&self) -> Option<Target<'_>> {
        Target::of(&self.client.uri, &self.client.headers)
    }

    /// A write, which invalidates what it names however it ends.
    pub(super) fn write(&self) -> Option<Role> {
        if !is_unsafe(&self.client.method) {
            return None;
        }
        let key = self.target()?.key(self.cache.options().canonical_query);
        let (cache, touches) = (self.cache.cache().clone(), touches([key]));
        Some(Who::Write(Write { cache, touches, begun: false, invalidate: Cache::touch }))
    }

    /// Makes of the client's request what the origin is asked.
    pub(super) fn ask(&mut self, headers: &mut HeaderMap, leads: bool) {
        self.asked = self.cache.now();
        if self.cache.options().surrogate_control {
            let capability = format!("{SURROGATE}=\"Surrogate/1.0\"");
            if let Ok(value) = HeaderValue::from_str(&capability) {
                headers.append("surrogate-capability", value);
            }
        }
        if self.client.pass.is_some() {
            return;
        }
        let none = HeaderMap::new();
        let stored = self.found.as_ref().map_or(&none, |(_, stored)| &stored.headers);
        let is_whole = self.client.is_whole();
        // Who asks for itself alone may as well ask what it wanted to know; and who wants a part asks for itself alone
        // unless there is something to validate.
        let for_all = leads && !self.client.ranged;
        if for_all || has_validator(stored) && (leads || is_whole) {
            self.is_conditional = make_conditional(headers, stored);
        }
    }

    /// A stale response in place of a failure.
    pub(super) fn stale<B: http_body::Body>(
        &self,
        stored: &Arc<Stored>,
        fwd_status: Option<StatusCode>,
        collapsed: bool,
    ) -> Response<Body<B>> {
        if let Some((key, _)) = &self.found {
            self.cache.cache().shared.store.count_stale(key);
        }
        let detail = Some(STALE_IF_ERROR);
        self.answer(stored, CacheStatus { fwd_status, collapsed, detail, ..self.status() })
    }

    pub(super) fn passed<B: http_body::Body>(
        &self,
        response: Response<B>,
        status: CacheStatus,
    ) -> Response<Body<B>> {
        let mut response = response.map(Body::passed);
        status.append(response.headers_mut(), self.cache.name());
        response
    }
}

pub(super) fn touches(keys: impl IntoIterator<Item = String>) -> Vec<Touch<HttpKey>> {
    let touch = |uri: String| {
        let tag = Touch::Tag(tag_of(&uri).into());
        [tag, Touch::Key(HttpKey::whole(uri.clone())), Touch::Key(HttpKey::part(uri))]
    };
    keys.into_iter().flat_map(touch).collect()
}

impl<S, Q> fmt::Debug for Trip<S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trip").field("client", &self.call.client).finish_non_exhaustive()
    }
}
