//! The future that [`HttpPool`](super::HttpPool) returns.

use super::Leased;
use super::shared::{Asked, Lease, Shared, Turn, ask};
use buttress_core::Rejected;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

pin_project! {
    /// Waits for a lease, calls the inner service, and gives its response with the lease in its body. The time to wait
    /// begins with the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the queue, or gives its lease back after the inner future was dropped.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside a tokio runtime with timers.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, Q, F> {
        shared: Arc<Shared>,
        // There until the inner service is called.
        trip: Option<(S, Request<Q>)>,
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        New,
        Waiting { turn: Turn, #[pin] timer: Option<Sleep> },
        // The inner future goes first: so long the lease is in use.
        Calling { #[pin] inner: F, lease: Option<Lease> },
        Done,
    }
}

impl<S, Q, F> ResponseFuture<S, Q, F> {
    pub(super) fn new(shared: Arc<Shared>, readied: S, request: Request<Q>) -> Self {
        Self { shared, trip: Some((readied, request)), state: State::New }
    }
}

impl<S, Q, B> Future for ResponseFuture<S, Q, S::Future>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: http_body::Body,
{
    type Output = Result<Response<Leased<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let lease = match this.state.as_mut().project() {
                StateProj::New => {
                    let (_, request) = this.trip.as_ref().expect("there until it is called");
                    match ask(this.shared, request, cx.waker()) {
                        Ok(Asked::Leased(lease)) => Ok(lease),
                        Ok(Asked::Waits(turn, limit)) => {
                            // A limit that is too far away to be one has no timer.
                            let timer = Instant::now().checked_add(limit).map(sleep_until);
                            this.state.set(State::Waiting { turn, timer });
                            continue;
                        }
                        Err(refused) => Err(refused),
                    }
                }
                StateProj::Waiting { turn, timer } => {
                    let is_over = timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
                    ready!(turn.poll(is_over, cx))
                }
                StateProj::Calling { inner, lease } => {
                    let result = ready!(inner.poll(cx));
                    let lease = lease.take();
                    this.state.set(State::Done);
                    return Poll::Ready(result.map(|response| response.map(|body| Leased::new(body, lease))));
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            let (mut readied, request) = this.trip.take().expect("there until it is called");
            match lease {
                Ok(lease) => {
                    let inner = readied.call(request);
                    this.state.set(State::Calling { inner, lease: Some(lease) });
                }
                Err(refused) => {
                    this.state.set(State::Done);
                    return Poll::Ready(Err(refused.into()));
                }
            }
        }
    }
}

impl<S, Q, F> fmt::Debug for ResponseFuture<S, Q, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New => "new",
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
