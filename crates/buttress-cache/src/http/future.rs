//! The future that HTTP caches return.

mod call;
mod ends;
mod steps;

pub(crate) use call::Trip;

use self::call::Call;
use super::body::Body;
use super::entry::{Entry, HttpKey};
use super::mode::Drive;
use crate::load::{Lead, OnPanic, Waiter, Who};
use buttress_core::Rejected;
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
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
                StateProj::Begin { trip } => Self::look_up(trip.take().expect(POLLED), cx),
                StateProj::Wait { wait } => {
                    let waiting = wait.as_mut().expect(POLLED);
                    match waiting.waiter.poll(cx) {
                        Poll::Ready(turn) => {
                            let Wait { waiter, trip } = wait.take().expect(POLLED);
                            Self::waited(waiter, trip, turn, cx)
                        }
                        Poll::Pending if waiting.trip.call.is_impatient(cx) => {
                            let Wait { waiter, trip } = wait.take().expect(POLLED);
                            // Or else every later request would wait as long as this one has.
                            waiter.detach();
                            drop(waiter);
                            Self::get_ready(trip, Who::Past, cx)
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                StateProj::Ready { ready } => {
                    let Ready { who, trip } = ready.take().expect(POLLED);
                    Self::get_ready(trip, who, cx)
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
                        Poll::Ready(Ok(response)) => Next::Return(Ok(Self::came(&call, who, response))),
                        Poll::Ready(Err(error)) => Next::Return(call.failed(who, error)),
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

impl<S, Q, F, B: http_body::Body, M> fmt::Debug for ResponseFuture<S, Q, F, B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_answered = matches!(self.state, State::Answered { .. });
        f.debug_struct("ResponseFuture").field("is_answered", &is_answered).finish_non_exhaustive()
    }
}
