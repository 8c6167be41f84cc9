//! The future that HTTP caches return.

use super::answer::{Form, answer, gateway_timeout};
use super::body::Body;
use super::cache::HttpCache;
use super::client::{Client, look, peek};
use super::directives::{RequestDirectives, ResponseDirectives, SURROGATE};
use super::entry::{Entry, HttpKey, Stored, tag_of};
use super::freshness::Times;
use super::headers::{strip_hop_by_hop, to_store};
use super::key::{Target, invalidates};
use super::landing::{ASK, Duty, Head, Landing, Tee};
use super::mode::Drive;
use super::policy::{Policy, Verdict, is_error};
use super::request::is_unsafe;
use super::status::{CacheStatus, Fwd};
use super::storing::{Exchange, freshen, store};
use super::validate::{is_same_head, make_conditional};
use crate::cache::Cache;
use crate::flight::Outcome;
use crate::load::{Lead, OnPanic, Turn, Waiter, Who, Write};
use crate::rules::Touch;
use crate::store::{Ask, Begun, Patience};
use buttress_core::{Reason, Rejected};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

pin_project! {
    /// Ends with a stored response, or with the inner service's.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves those who wait. If it asks the origin for them too, that is dropped, and the one that has waited
    /// longest makes its own call. A request that may write and was begun invalidates its URI.
    ///
    /// # Panics
    ///
    /// If it is polled again after it has ended. A panic of the inner service passes through. With
    /// [`Config::hard_timeout`](crate::Config::hard_timeout), outside a tokio runtime with timers.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Q, F, B: http_body::Body, M> {
        #[pin]
        state: State<S, Q, F, B>,
        mode: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Q, F, B: http_body::Body> {
        Answered { response: Option<Response<Body<B>>> },
        Begin { trip: Option<Trip<S, Q>> },
        Wait { wait: Option<Wait<S, Q>> },
        Ready { ready: Option<Ready<S, Q>> },
        // The future first: it is dropped before its place is given to another.
        Load { #[pin] future: F, load: Option<Loading> },
        Done,
    }
}

type Leader = Lead<HttpKey, Entry>;
type Role = Who<HttpKey, Entry>;

/// A request on its way.
pub struct Trip<S, Q> {
    pub(crate) inner: S,
    pub(crate) request: Request<Q>,
    call: Box<Call>,
}

/// What is known of a request beside itself.
struct Call {
    cache: HttpCache,
    client: Client,
    /// What is stored and does not answer it as it is, and where.
    found: Option<(HttpKey, Arc<Stored>)>,
    fwd: Fwd,
    may_serve_stale: bool,
    /// Whether the origin is asked if what was found still holds.
    is_conditional: bool,
    asked: SystemTime,
    rounds: u8,
    patience: Option<Pin<Box<Sleep>>>,
}

/// Another loads it.
struct Wait<S, Q> {
    waiter: Waiter<HttpKey, Entry>,
    trip: Trip<S, Q>,
}

/// Waits until what it calls is ready.
struct Ready<S, Q> {
    who: Role,
    trip: Trip<S, Q>,
}

struct Loading {
    who: Role,
    call: Box<Call>,
}

/// So often a request is looked up again; after that it asks for itself.
const ROUNDS: u8 = 4;

const POLLED: &str = "not polled after it has ended or panicked";

impl<S, Q, F, B: http_body::Body, M> ResponseFuture<S, Q, F, B, M> {
    fn new(state: State<S, Q, F, B>) -> Self {
        Self { state, mode: PhantomData }
    }

    pub(crate) fn answered(response: Response<Body<B>>) -> Self {
        Self::new(State::Answered { response: Some(response) })
    }

    pub(crate) fn begin(trip: Trip<S, Q>) -> Self {
        Self::new(State::Begin { trip: Some(trip) })
    }
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
        parts.method = client.method.clone();
        client.directives = RequestDirectives::default();
        let own =
            Call { cache: call.cache.clone(), client, found: call.found.clone(), patience: None, ..**call };
        let trip = Self { inner, request: Request::from_parts(parts, Q::default()), call: Box::new(own) };
        ResponseFuture::new(State::Ready { ready: Some(Ready { who: Who::Lead(lead), trip }) })
    }
}

enum Next<S, Q, F, B: http_body::Body, E> {
    State(State<S, Q, F, B>),
    /// What it calls is not ready yet.
    Wait(Ready<S, Q>),
    Return(Result<Response<Body<B>>, E>),
}

type NextOf<S, Q, B> = Next<S, Q, <S as Service<Request<Q>>>::Future, B, <S as Service<Request<Q>>>::Error>;

impl<S, Q, B, M> Future for ResponseFuture<S, Q, S::Future, B, M>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    type Output = Result<Response<Body<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Answered { response } => Next::Return(Ok(response.take().expect(POLLED))),
                StateProj::Begin { trip } => begin::<S, Q, B, M>(trip.take().expect(POLLED), cx),
                StateProj::Wait { wait } => {
                    let waiting = wait.as_mut().expect(POLLED);
                    match waiting.waiter.poll(cx) {
                        Poll::Ready(turn) => {
                            let Wait { waiter, trip } = wait.take().expect(POLLED);
                            waited(waiter, trip, turn, cx)
                        }
                        Poll::Pending if waiting.trip.call.is_impatient(cx) => {
                            let Wait { waiter, trip } = wait.take().expect(POLLED);
                            // Or else every later request would wait as long as this one has.
                            waiter.detach();
                            drop(waiter);
                            get_ready(trip, Who::Past, cx)
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                StateProj::Ready { ready } => {
                    let Ready { who, trip } = ready.take().expect(POLLED);
                    get_ready(trip, who, cx)
                }
                StateProj::Load { future, load } => {
                    let Loading { who, call } = load.take().expect(POLLED);
                    let guard = OnPanic::new(who);
                    let polled = future.poll(cx);
                    let who = guard.disarm();
                    match polled {
                        Poll::Pending => {
                            *load = Some(Loading { who, call });
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(response)) => {
                            Next::Return(Ok(came::<S, Q, B, M>(&call, who, response)))
                        }
                        Poll::Ready(Err(error)) => Next::Return(failed(&call, who, error)),
                    }
                }
                StateProj::Done => panic!("{POLLED}"),
            };
            match next {
                Next::State(state) => this.state.set(state),
                Next::Wait(ready) => {
                    this.state.set(State::Ready { ready: Some(ready) });
                    return Poll::Pending;
                }
                Next::Return(result) => {
                    this.state.set(State::Done);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl Call {
    fn answer<B: http_body::Body>(&self, stored: &Arc<Stored>, status: CacheStatus) -> Response<Body<B>> {
        let now = self.cache.now();
        let status = CacheStatus { ttl: Some(stored.policy.ttl_seconds(now)), ..status };
        answer(&self.cache, Form::from(&self.client), stored, now, &status)
    }

    fn hit<B: http_body::Body>(&self, stored: &Arc<Stored>) -> Response<Body<B>> {
        self.answer(stored, CacheStatus::default())
    }

    fn status(&self) -> CacheStatus {
        CacheStatus::fwd(self.fwd)
    }

    fn wait_for(&mut self, patience: Option<Patience>) {
        let hard = patience.map_or(Duration::MAX, |patience| patience.hard);
        if hard != Duration::MAX && self.patience.is_none() {
            self.patience = Some(Box::pin(sleep(hard)));
        }
    }

    fn is_impatient(&mut self, cx: &mut Context<'_>) -> bool {
        self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_ready())
    }

    /// What is served in place of a failure. It is looked up again: what was invalidated is not there.
    fn instead(&self) -> Option<Arc<Stored>> {
        let (key, _) = self.found.as_ref().filter(|_| self.may_serve_stale)?;
        let Some(Entry::Response(stored)) = peek(&self.cache, key) else { return None };
        match stored.policy.serve(self.cache.now(), &self.client.directives) {
            Verdict::Revalidate { may_serve_stale_on_error: false, .. } | Verdict::GatewayTimeout => None,
            _ => Some(stored),
        }
    }

    /// What is stored is no longer what the origin says.
    fn forget_found(&self) {
        if let Some((key, _)) = &self.found {
            self.cache.cache().invalidate(key);
        }
    }

    fn target(&self) -> Option<Target<'_>> {
        Target::of(&self.client.uri, &self.client.headers)
    }

    /// A write, which invalidates what it names however it ends.
    fn write(&self) -> Option<Role> {
        if !is_unsafe(&self.client.method) {
            return None;
        }
        let key = self.target()?.key(self.cache.options().canonical_query);
        let (cache, touches) = (self.cache.cache().clone(), touches([key]));
        Some(Who::Write(Write { cache, touches, begun: false, invalidate: Cache::touch }))
    }
}

fn touches(keys: impl IntoIterator<Item = String>) -> Vec<Touch<HttpKey>> {
    let touch = |key: String| [Touch::Tag(tag_of(&key).into()), Touch::Key(HttpKey::Primary(key))];
    keys.into_iter().flat_map(touch).collect()
}

/// Looks it up, and begins to load it if need be.
fn begin<S, Q, B, M>(mut trip: Trip<S, Q>, cx: &mut Context<'_>) -> NextOf<S, Q, B>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    let call = &mut *trip.call;
    if call.client.pass.is_some() {
        let who = call.write().unwrap_or(Who::Past);
        return get_ready(trip, who, cx);
    }
    let now = call.cache.now();
    let client = &call.client;
    let found = look(&call.cache, client.key.clone(), &client.headers, &client.directives, now, true);
    call.fwd = found.fwd;
    call.found = None;
    let Some((stored, verdict)) = found.stored else {
        if client.directives.only_if_cached {
            return Next::Return(Ok(gateway_timeout(&call.cache, &call.status())));
        }
        return load(trip, found.key, cx);
    };
    call.found = Some((found.key.clone(), Arc::clone(&stored)));
    match verdict {
        Verdict::Fresh | Verdict::MaxStale => Next::Return(Ok(call.hit(&stored))),
        Verdict::GatewayTimeout => Next::Return(Ok(gateway_timeout(&call.cache, &call.status()))),
        Verdict::Revalidate { may_serve_stale_on_error, .. } => {
            call.may_serve_stale = may_serve_stale_on_error;
            load(trip, found.key, cx)
        }
        Verdict::StaleWhileRevalidate => {
            call.may_serve_stale = true;
            let response = call.hit(&stored);
            // Here, only who wants the whole can bring it.
            if !M::APART && !call.client.is_whole() {
                return Next::Return(Ok(response));
            }
            let shared = &call.cache.cache().shared;
            let Begun::Lead(lead, _) = shared.store.begin(found.key, Ask { count: false, ..ASK }, shared)
            else {
                return Next::Return(Ok(response));
            };
            match peek(&call.cache, lead.key()) {
                Some(entry) if entry.is(&stored) => {}
                // It was revalidated meanwhile, or is gone.
                _ => return Next::Return(Ok(response)),
            }
            match M::refresh(&mut trip, Duty(lead)) {
                Some(Duty(lead)) if trip.call.client.is_whole() => get_ready(trip, Who::Lead(lead), cx),
                _ => Next::Return(Ok(response)),
            }
        }
    }
}

/// Asks the origin, or waits for another who does.
fn load<S, Q, B>(mut trip: Trip<S, Q>, key: HttpKey, cx: &mut Context<'_>) -> NextOf<S, Q, B>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
{
    let call = &mut *trip.call;
    call.rounds += 1;
    if !call.client.is_whole() || call.rounds > ROUNDS {
        return get_ready(trip, Who::Past, cx);
    }
    let shared = &call.cache.cache().shared;
    let begun = shared.store.begin(key, Ask { count: call.rounds == 1, ..ASK }, shared);
    match begun {
        Begun::Lead(lead, _) => led(trip, lead, cx),
        Begun::Wait(waiter, _, patience) => {
            call.wait_for(patience);
            Next::State(State::Wait { wait: Some(Wait { waiter, trip }) })
        }
        Begun::Answer(_) | Begun::Refresh(..) | Begun::Failed(..) => {
            unreachable!("who is satisfied with nothing leads or waits")
        }
    }
}

/// It is to ask the origin. What was there may have changed before it was its turn.
fn led<S, Q, B>(mut trip: Trip<S, Q>, lead: Leader, cx: &mut Context<'_>) -> NextOf<S, Q, B>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
{
    let call = &mut *trip.call;
    let known = call.found.take();
    match peek(&call.cache, lead.key()) {
        Some(Entry::Response(stored)) => {
            let verdict = stored.policy.serve(call.cache.now(), &call.client.directives);
            if let Verdict::Fresh | Verdict::MaxStale = verdict {
                lead.share(&Entry::Response(Arc::clone(&stored)), false);
                return Next::Return(Ok(call.hit(&stored)));
            }
            call.may_serve_stale = !matches!(
                verdict,
                Verdict::Revalidate { may_serve_stale_on_error: false, .. } | Verdict::GatewayTimeout
            );
            call.found = Some((lead.key().clone(), stored));
        }
        // What it varies on has become known meanwhile.
        Some(sign @ Entry::Varies(_)) if lead.key().is_primary() && call.rounds < ROUNDS => {
            lead.share(&sign, false);
            return Next::State(State::Begin { trip: Some(trip) });
        }
        _ => {
            if known.is_some() {
                call.fwd = Fwd::Miss;
            }
            call.may_serve_stale = false;
        }
    }
    get_ready(trip, Who::Lead(lead), cx)
}

/// What came of waiting.
fn waited<S, Q, B>(
    waiter: Waiter<HttpKey, Entry>,
    mut trip: Trip<S, Q>,
    turn: Turn<HttpKey, Entry>,
    cx: &mut Context<'_>,
) -> NextOf<S, Q, B>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
{
    let outcome = match turn {
        Turn::Lead(lead) => {
            drop(waiter);
            return led(trip, lead, cx);
        }
        Turn::Done(outcome) => outcome,
    };
    let call = &mut *trip.call;
    match outcome {
        Outcome::Loaded { value: Entry::Response(stored), .. } => {
            // It comes from the origin just now: asking for it again would bring no other. Unless it says that each
            // request must ask (§4).
            match stored.policy.serve(call.cache.now(), &RequestDirectives::default()) {
                Verdict::Fresh | Verdict::StaleWhileRevalidate => {
                    let status = CacheStatus { collapsed: true, ..call.status() };
                    Next::Return(Ok(call.answer(&stored, status)))
                }
                _ => {
                    call.found = Some((waiter.key().clone(), stored));
                    get_ready(trip, Who::Past, cx)
                }
            }
        }
        // It is elsewhere, or was not for this one.
        Outcome::Loaded { value: Entry::Varies(_), .. } | Outcome::Moved => {
            Next::State(State::Begin { trip: Some(trip) })
        }
        Outcome::Scattered => get_ready(trip, Who::Past, cx),
        Outcome::Failed(answered) => {
            if let Some(stored) = call.instead() {
                return Next::Return(Ok(call.stale(&stored, None, true)));
            }
            // The origin has answered, if only to say that it has failed.
            if answered.is_some() {
                return get_ready(trip, Who::Past, cx);
            }
            Next::Return(Err(waiter.shared().rejected(Reason::Failed).into()))
        }
    }
}

/// Calls what is ready.
fn get_ready<S, Q, B>(mut trip: Trip<S, Q>, who: Role, cx: &mut Context<'_>) -> NextOf<S, Q, B>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
{
    let mut guard = OnPanic::new(who);
    match trip.inner.poll_ready(cx) {
        Poll::Pending => Next::Wait(Ready { who: guard.disarm(), trip }),
        Poll::Ready(Err(error)) => Next::Return(failed(&trip.call, guard.disarm(), error)),
        Poll::Ready(Ok(())) => {
            let Trip { mut inner, mut request, mut call } = trip;
            call.ask(request.headers_mut(), matches!(guard.who(), Who::Lead(_)));
            guard.begin();
            let future = inner.call(request);
            let who = guard.disarm();
            Next::State(State::Load { future, load: Some(Loading { who, call }) })
        }
    }
}

impl Call {
    /// Makes of the client's request what the origin is asked.
    fn ask(&mut self, headers: &mut HeaderMap, leads: bool) {
        self.asked = self.cache.now();
        if self.cache.options().surrogate_control {
            let capability = format!("{SURROGATE}=\"Surrogate/1.0\"");
            if let Ok(value) = HeaderValue::from_str(&capability) {
                headers.append("surrogate-capability", value);
            }
        }
        if self.client.pass.is_some() || !self.client.is_whole() {
            return;
        }
        let none = HeaderMap::new();
        let stored = self.found.as_ref().map_or(&none, |(_, stored)| &stored.headers);
        // Who asks for itself alone may as well ask what it wanted to know.
        if leads || stored.contains_key(ETAG) || stored.contains_key(LAST_MODIFIED) {
            self.is_conditional = make_conditional(headers, stored);
        }
    }

    /// A stale response in place of a failure.
    fn stale<B: http_body::Body>(
        &self,
        stored: &Arc<Stored>,
        fwd_status: Option<StatusCode>,
        collapsed: bool,
    ) -> Response<Body<B>> {
        let detail = Some("stale-if-error");
        self.answer(stored, CacheStatus { fwd_status, collapsed, detail, ..self.status() })
    }

    fn passed<B: http_body::Body>(&self, response: Response<B>, status: CacheStatus) -> Response<Body<B>> {
        let mut response = response.map(Body::passed);
        status.append(response.headers_mut(), self.cache.name());
        response
    }
}

/// The origin has failed, or was never ready.
fn failed<B: http_body::Body, E>(call: &Call, who: Role, error: E) -> Result<Response<Body<B>>, E> {
    let instead = call.instead();
    if let Who::Lead(lead) = who {
        lead.fail(None, None);
    }
    instead.map(|stored| call.stale(&stored, None, false)).ok_or(error)
}

/// The head of a response has come.
fn came<S, Q, B, M>(call: &Call, who: Role, response: Response<B>) -> Response<Body<B>>
where
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    let (cache, client) = (&call.cache, &call.client);
    let (options, now) = (cache.options(), cache.now());
    let lead = match who {
        Who::Lead(lead) => Some(lead),
        Who::Write(mut write) => {
            let target = call.target();
            let keys = target.map_or(Vec::new(), |target| {
                let canonical = options.canonical_query;
                invalidates(&client.method, &target, response.status(), response.headers(), canonical)
            });
            write.begun = !keys.is_empty();
            write.touches = touches(keys);
            None
        }
        Who::Past | Who::Alone(_) => None,
    };
    let Some(target) = call.target().filter(|_| client.pass.is_none()) else {
        return call.passed(response, call.status());
    };
    let status = response.status();
    if is_error(status) {
        if let Some(stored) = call.instead() {
            if let Some(lead) = lead {
                lead.fail(Some(Arc::new(status)), None);
            }
            return call.stale(&stored, Some(status), false);
        }
    }
    let exchange = Exchange {
        method: &client.method,
        target: &target,
        request: &client.headers,
        status,
        response: response.headers(),
        times: Times { request: call.asked, response: now },
    };
    if let (true, StatusCode::NOT_MODIFIED, Some((_, stored))) = (call.is_conditional, status, &call.found) {
        return validated(call, lead, &exchange, stored);
    }
    if let (true, StatusCode::OK, Some((_, stored))) = (client.head, status, &call.found) {
        if !is_same_head(&stored.headers, stored.length, response.headers()) {
            call.forget_found();
        }
    }
    let Some(lead) = lead else {
        return call.passed(response, call.status());
    };
    let policy = match store(&exchange, options) {
        Ok(policy) => policy,
        Err(reason) => {
            // What it has answered is newer than what is stored, unless it is a failure.
            if !is_error(status) {
                call.forget_found();
            }
            lead.scatter();
            return call.passed(response, CacheStatus { detail: Some(reason.detail()), ..call.status() });
        }
    };
    let landing = match Landing::new(cache, lead, &client.headers, response.headers()) {
        Ok(landing) => landing,
        Err(lead) => {
            lead.scatter();
            return call.passed(response, call.status());
        }
    };
    let directives = ResponseDirectives::of(response.headers(), options);
    let head = Head {
        status,
        version: response.version(),
        headers: to_store(response.headers(), &directives, options, now),
        policy,
        received: now,
    };
    let mut tee = Tee::new(landing, head, length(response.headers()));
    let (mut parts, body) = response.into_parts();
    CacheStatus { stored: true, ..call.status() }.append(&mut parts.headers, cache.name());
    let body = if body.is_end_stream() {
        tee.end();
        Body::passed(body)
    } else {
        M::tee(body, tee)
    };
    Response::from_parts(parts, body)
}

/// What is stored still holds, says the origin.
fn validated<B: http_body::Body>(
    call: &Call,
    lead: Option<Leader>,
    exchange: &Exchange<'_>,
    found: &Arc<Stored>,
) -> Response<Body<B>> {
    let (options, now) = (call.cache.options(), exchange.times.response);
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
        trailers: found.trailers.clone(),
    });
    let is_stored =
        match lead.map(|lead| Landing::new(&call.cache, lead, &call.client.headers, &stored.headers)) {
            None => false,
            Some(Ok(landing)) if judged.is_ok() => landing.complete(&stored, now),
            Some(landing) => {
                // It says that it must not be stored any longer.
                call.forget_found();
                match landing {
                    Ok(landing) => landing.scatter(),
                    Err(lead) => lead.scatter(),
                }
                false
            }
        };
    let status = CacheStatus { fwd_status: Some(exchange.status), stored: is_stored, ..call.status() };
    call.answer(&stored, status)
}

/// How long the body is, as the head says.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl<S, Q, F, B: http_body::Body, M> fmt::Debug for ResponseFuture<S, Q, F, B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_answered = matches!(self.state, State::Answered { .. });
        f.debug_struct("ResponseFuture").field("is_answered", &is_answered).finish_non_exhaustive()
    }
}

impl<S, Q> fmt::Debug for Trip<S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trip").field("client", &self.call.client).finish_non_exhaustive()
    }
}
