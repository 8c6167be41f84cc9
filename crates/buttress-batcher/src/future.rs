//! The future that [`Batch`](crate::Batch) returns, and that of a mapped leaf.

pub use crate::leaf::MapEachErrFuture;

use crate::engine::{Called, Way};
use crate::rejected;
use buttress_core::{Name, Reason, Rejected};
use std::fmt;
use std::future::Future;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Ends with the answer to one request, out of the batch that it was sent in.
///
/// # Cancel safety
///
/// Dropped before its request is sent, that is not sent, and its place is free again. Dropped after, the batch goes on
/// for the others, and the place is free when it ends.
///
/// # Panics
///
/// If it is polled after it has ended.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Req, Res, E>(State<Req, Res, E>);

enum State<Req, Res, E> {
    Waiting(Waiting<Req, Res, E>),
    Refused { name: Name, reason: Reason },
    Done,
}

struct Waiting<Req, Res, E> {
    lane: Way<Req, Res, E>,
    id: u32,
    is_driven: bool,
    is_polled: bool,
}

impl<Req, Res, E> ResponseFuture<Req, Res, E> {
    #[inline]
    pub(crate) fn waiting(lane: &Way<Req, Res, E>, called: Called) -> Self {
        let Called { id, is_driven } = called;
        Self(State::Waiting(Waiting { lane: Arc::clone(lane), id, is_driven, is_polled: false }))
    }

    pub(crate) fn refused(name: Name, reason: Reason) -> Self {
        Self(State::Refused { name, reason })
    }
}

impl<Req, Res, E: From<Rejected>> Future for ResponseFuture<Req, Res, E> {
    type Output = Result<Res, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut self.0;
        let (answer, name) = match this {
            State::Waiting(Waiting { lane, id, is_driven, is_polled }) => {
                if !*is_driven && !lane.start() {
                    let name = lane.name();
                    this.desert();
                    return Poll::Ready(Err(rejected(name, Reason::Closed).into()));
                }
                *is_driven = true;
                let is_first = !replace(is_polled, true);
                (ready!(lane.poll(*id, is_first, cx)), lane.name())
            }
            State::Refused { name, reason } => (Err(*reason), *name),
            State::Done => panic!("polled after it was ready"),
        };
        // Before anything that is not ours can panic: the cell is another's from now on.
        *this = State::Done;
        Poll::Ready(answer.unwrap_or_else(|reason| Err(rejected(name, reason).into())))
    }
}

impl<Req, Res, E> State<Req, Res, E> {
    fn desert(&mut self) {
        if let Self::Waiting(Waiting { lane, id, .. }) = replace(self, Self::Done) {
            lane.desert(id);
        }
    }
}

impl<Req, Res, E> Drop for ResponseFuture<Req, Res, E> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.0, State::Waiting(_)) {
            self.0.desert();
        }
    }
}

impl<Req, Res, E> fmt::Debug for ResponseFuture<Req, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            State::Waiting(_) => "waiting",
            State::Refused { .. } => "refused",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
