//! Waiting in `poll_ready` instead of refusing in `call`.

use crate::core::{Core, Reserved};
use crate::event::Event;
use crate::now;
use crate::state::Ticket;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// What one service of a gating breaker holds.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The place of a probe that `poll_ready` has taken and `call` has not used yet.
    reserved: Option<Ticket>,
    /// The place of this service's waker among those that wait. Every step that may let somebody in empties it.
    waiting: Option<u64>,
    /// Wakes this service when time alone may let it in. Made when it first has to wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    /// Waits until a call would be admitted and the inner service is ready, and reserves the place of a probe
    /// where one is needed. The inner service is asked only while the breaker would admit; the place is taken
    /// last, so that nobody sits on it while the inner service is busy.
    pub(crate) fn poll_ready<E>(
        &mut self,
        core: &Core,
        cx: &mut Context<'_>,
        mut inner: impl FnMut(&mut Context<'_>) -> Poll<Result<(), E>>,
        mut observe: impl FnMut(Event),
    ) -> Poll<Result<(), E>> {
        if let Some(ticket) = self.reserved {
            if core.holds(ticket) {
                return inner(cx);
            }
            self.reserved = None; // its place went to another, or the breaker has moved on
        }
        loop {
            let recheck = match core.wait_if_refused(now(), &mut self.waiting, cx.waker()) {
                Some(recheck) => recheck,
                None => {
                    ready!(inner(cx))?;
                    let (reserved, event) = core.reserve_or_wait(now(), &mut self.waiting, cx.waker());
                    match reserved {
                        Reserved::Unneeded => return Poll::Ready(Ok(())),
                        Reserved::Place(ticket) => {
                            self.reserved = Some(ticket);
                            if let Some(event) = event {
                                observe(event);
                            }
                            return Poll::Ready(Ok(()));
                        }
                        Reserved::Wait(recheck) => recheck, // somebody else was faster
                    }
                }
            };
            ready!(self.poll_timer(recheck, cx));
        }
    }

    /// Ready once `at` has passed; never, if there is no such moment.
    fn poll_timer(&mut self, at: Option<std::time::Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at.map(Instant::from_std) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    /// Spends the reservation, if there is one and it is still good.
    pub(crate) fn take_reserved(&mut self, core: &Core) -> Option<Ticket> {
        core.begin(self.reserved.take()?, now())
    }

    /// Gives back whatever is held.
    pub(crate) fn leave(&mut self, core: &Core) {
        if let Some(ticket) = self.reserved.take() {
            core.give_back(ticket);
        }
        if let Some(id) = self.waiting.take() {
            core.stop_waiting(id);
        }
    }
}
