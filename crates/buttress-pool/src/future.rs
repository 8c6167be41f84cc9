//! The future that pooled services return.

use crate::acquire::Acquire;
use crate::lease::Lease;
use crate::manager::Manager;
use buttress_core::{Name, Rejected};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// Waits for a connection, then for the inner service; or ends with the pool's refusal.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it leaves the queue, and a readied inner service is dropped with it. Dropped later, the inner
    /// future is dropped, and with it the lease; whether that leaves the connection in the midst of something is for the
    /// inner service to know, and to [mark](Lease::mark_dirty).
    ///
    /// # Panics
    ///
    /// Where [`Acquire`](crate::Acquire) does, and if it is polled again after it has ended. A panic of the inner service passes through; the connection that it had is
    /// closed, unless it is shared.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, M, Req, F>
    where
        M: Manager,
    {
        #[pin]
        state: State<S, M, Req, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, M, Req, F>
    where
        M: Manager,
    {
        Waiting { name: Name, get: Acquire<M>, call: Option<(S, Req)> },
        Calling { #[pin] inner: F },
        Refused { rejected: Option<Rejected> },
    }
}

impl<S, M: Manager, Req, F> ResponseFuture<S, M, Req, F> {
    #[inline]
    pub(crate) fn waiting(name: Name, get: Acquire<M>, readied: S, request: Req) -> Self {
        Self { state: State::Waiting { name, get, call: Some((readied, request)) } }
    }

    pub(crate) fn refused(rejected: Rejected) -> Self {
        Self { state: State::Refused { rejected: Some(rejected) } }
    }
}

impl<S, M, Req> Future for ResponseFuture<S, M, Req, S::Future>
where
    S: Service<(Lease<M>, Req)>,
    S::Error: From<Rejected>,
    M: Manager,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Waiting { name, get, call } => {
                    let got = ready!(Pin::new(get).poll(cx)).map_err(|error| error.rejected(*name));
                    let (mut readied, request) = call.take().expect("not polled after it has ended");
                    match got {
                        Ok(lease) => {
                            let inner = readied.call((lease, request));
                            state.set(State::Calling { inner });
                        }
                        Err(rejected) => state.set(State::Refused { rejected: Some(rejected) }),
                    }
                }
                StateProj::Calling { inner } => return inner.poll(cx),
                StateProj::Refused { rejected } => {
                    let rejected = rejected.take().expect("not polled after it has ended");
                    return Poll::Ready(Err(rejected.into()));
                }
            }
        }
    }
}

impl<S, M: Manager, Req, F> fmt::Debug for ResponseFuture<S, M, Req, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ResponseFuture");
        match &self.state {
            State::Waiting { get, .. } => debug.field("waiting", get),
            State::Calling { .. } => debug.field("calling", &true),
            State::Refused { rejected } => debug.field("refused", rejected),
        };
        debug.finish_non_exhaustive()
    }
}
