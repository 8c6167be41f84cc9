//! From a request to the call of the origin, or to an answer without one.

use super::call::Trip;
use super::{Leader, Loading, Next, NextOf, Ready, ResponseFuture, Role, State, Wait};
use crate::flight::Outcome;
use crate::http::answer::{Form, gateway_timeout};
use crate::http::client::{look, peek};
use crate::http::directives::RequestDirectives;
use crate::http::entry::{Entry, HttpKey, Stored};
use crate::http::landing::{ASK, Duty};
use crate::http::mode::Drive;
use crate::http::policy::Verdict;
use crate::http::status::{CacheStatus, Fwd};
use crate::load::{OnPanic, Turn, Waiter, Who};
use crate::store::{Ask, Begun};
use buttress_core::{Reason, Rejected};
use bytes::Bytes;
use http::{Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// So often a request is looked up again; after that it asks for itself.
const ROUNDS: u8 = 4;

impl<S, Q, B, M> ResponseFuture<S, Q, S::Future, B, M>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body<Data = Bytes>,
    M: Drive<S, Q, B>,
{
    /// Looks it up, and begins to load it if need be.
    pub(super) fn look_up(mut trip: Trip<S, Q>, cx: &mut Context<'_>) -> NextOf<S, Q, B> {
        let call = &mut *trip.call;
        if call.client.pass.is_some() {
            let who = call.write().unwrap_or(Who::Past);
            return Self::get_ready(trip, who, cx);
        }
        let now = call.cache.now();
        let client = &call.client;
        let form = Form::from(client);
        let found = look(&call.cache, client.key.clone(), form, &client.directives, now, true);
        call.fwd = found.fwd;
        call.found = None;
        let Some((stored, verdict)) = found.stored else {
            if client.directives.only_if_cached {
                return Next::Return(Ok(gateway_timeout(&call.cache, &call.status())));
            }
            return Self::load(trip, found.key, cx);
        };
        call.found = Some((found.key.clone(), Arc::clone(&stored)));
        match verdict {
            Verdict::Fresh | Verdict::MaxStale => Next::Return(Ok(call.hit(&stored, verdict))),
            Verdict::GatewayTimeout => Next::Return(Ok(gateway_timeout(&call.cache, &call.status()))),
            Verdict::Revalidate { may_serve_stale_on_error, .. } => {
                call.may_serve_stale = may_serve_stale_on_error;
                match call.while_it_fails(&found.key) {
                    Some(response) => Next::Return(Ok(response)),
                    None => Self::load(trip, found.key, cx),
                }
            }
            Verdict::StaleWhileRevalidate => Self::revalidate_beside(trip, found.key, &stored, cx),
        }
    }

    /// Answers with what is stale, and has it revalidated meanwhile, unless somebody does or has just failed to.
    fn revalidate_beside(
        mut trip: Trip<S, Q>,
        key: HttpKey,
        stored: &Arc<Stored>,
        cx: &mut Context<'_>,
    ) -> NextOf<S, Q, B> {
        let call = &mut *trip.call;
        call.may_serve_stale = true;
        let response = call.hit(stored, Verdict::StaleWhileRevalidate);
        let shared = &call.cache.cache().shared;
        // Here, only who wants the whole can bring it.
        if !M::APART && !call.client.is_whole() || shared.store.is_set_back(&key) {
            return Next::Return(Ok(response));
        }
        let Begun::Lead(lead, _) = shared.store.begin(key, Ask { count: false, ..ASK }, shared) else {
            return Next::Return(Ok(response));
        };
        match peek(&call.cache, lead.key()) {
            Some(entry) if entry.is(stored) => {}
            // It was revalidated meanwhile, or is gone.
            _ => return Next::Return(Ok(response)),
        }
        match M::refresh(&mut trip, Duty(lead)) {
            Some(Duty(lead)) if trip.call.client.is_whole() => Self::get_ready(trip, Who::Lead(lead), cx),
            _ => Next::Return(Ok(response)),
        }
    }

    /// Asks the origin, or waits for another who does.
    fn load(mut trip: Trip<S, Q>, key: HttpKey, cx: &mut Context<'_>) -> NextOf<S, Q, B> {
        let call = &mut *trip.call;
        call.rounds += 1;
        if !call.may_lead(&key) || call.rounds > ROUNDS {
            return Self::get_ready(trip, Who::Past, cx);
        }
        let is_part = key.is_part();
        let shared = &call.cache.cache().shared;
        let begun = shared.store.begin(key, Ask { count: call.rounds == 1 && !is_part, ..ASK }, shared);
        match begun {
            Begun::Lead(lead, _) => Self::led(trip, lead, cx),
            // Nobody knows which part that is before it is there.
            Begun::Wait(waiter, ..) if is_part => {
                drop(waiter);
                Self::get_ready(trip, Who::Past, cx)
            }
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
    fn led(mut trip: Trip<S, Q>, lead: Leader, cx: &mut Context<'_>) -> NextOf<S, Q, B> {
        let call = &mut *trip.call;
        let known = call.found.take();
        match peek(&call.cache, lead.key()) {
            Some(Entry::Response(stored)) if stored.suits(Form::from(&call.client), call.cache.now()) => {
                let verdict = stored.serve(call.cache.now(), &call.client.directives);
                if let Verdict::Fresh | Verdict::MaxStale = verdict {
                    lead.share(&Entry::Response(Arc::clone(&stored)), false);
                    return Next::Return(Ok(call.hit(&stored, verdict)));
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
        if !call.may_lead(lead.key()) {
            // Whoever is next of those who wait.
            drop(lead);
            return Self::get_ready(trip, Who::Past, cx);
        }
        Self::get_ready(trip, Who::Lead(lead), cx)
    }

    /// What came of waiting.
    pub(super) fn waited(
        waiter: Waiter<HttpKey, Entry>,
        mut trip: Trip<S, Q>,
        turn: Turn<HttpKey, Entry>,
        cx: &mut Context<'_>,
    ) -> NextOf<S, Q, B> {
        let outcome = match turn {
            Turn::Lead(lead) => {
                drop(waiter);
                return Self::led(trip, lead, cx);
            }
            Turn::Done(outcome) => outcome,
        };
        let call = &mut *trip.call;
        match outcome {
            Outcome::Loaded { value: Entry::Response(stored), .. } => {
                // It comes from the origin just now: asking for it again would bring no other. Unless it says that each
                // request must ask (§4).
                match stored.serve(call.cache.now(), &RequestDirectives::default()) {
                    Verdict::Fresh | Verdict::StaleWhileRevalidate => {
                        let status = CacheStatus { collapsed: true, ..call.status() };
                        Next::Return(Ok(call.answer(&stored, status)))
                    }
                    _ => {
                        call.found = Some((waiter.key().clone(), stored));
                        Self::get_ready(trip, Who::Past, cx)
                    }
                }
            }
            // It is elsewhere, or was not for this one.
            Outcome::Loaded { value: Entry::Varies(_), .. } | Outcome::Moved => {
                Next::State(State::Begin { trip: Some(trip) })
            }
            Outcome::Scattered => Self::get_ready(trip, Who::Past, cx),
            Outcome::Failed(answered) => {
                if let Some(stored) = call.instead() {
                    return Next::Return(Ok(call.stale(&stored, None, true)));
                }
                // The origin has answered, if only to say that it has failed.
                if answered.is_some() {
                    return Self::get_ready(trip, Who::Past, cx);
                }
                Next::Return(Err(waiter.shared().rejected(Reason::Failed).into()))
            }
        }
    }

    /// Calls what is ready.
    pub(super) fn get_ready(mut trip: Trip<S, Q>, who: Role, cx: &mut Context<'_>) -> NextOf<S, Q, B> {
        let mut guard = OnPanic::new(who);
        match trip.inner.poll_ready(cx) {
            Poll::Pending => Next::Wait(Ready { who: guard.disarm(), trip }),
            Poll::Ready(Err(error)) => Next::Return(trip.call.failed(guard.disarm(), error)),
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
}
