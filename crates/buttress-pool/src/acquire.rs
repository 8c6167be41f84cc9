use crate::core::{Got, Granted, NEVER, Ticket, Why, nanos};
use crate::driver;
use crate::error::{Cause, Error, Failure};
use crate::lease::Lease;
use crate::manager::Manager;
use crate::shared::{Shared, discard, guarded};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The mutex only makes it `Sync`, which services of many servers have to be.
type Check<C> = Mutex<Pin<Box<dyn Future<Output = (C, Result<(), Cause>)> + Send>>>;

/// Waits for a connection; made by [`Pool::get`](crate::Pool::get). The time to wait begins with the first poll.
///
/// # Cancel safety
///
/// Dropped, it leaves the queue, and what it was granted meanwhile goes to the next one. A connection that it was
/// checking is closed.
///
/// # Panics
///
/// If it has to wait, and neither the pool was made on a tokio runtime nor any get of it was polled on one: nobody would
/// connect, or end the wait. If it has to check a connection outside a tokio runtime with timers. If it is polled again
/// after it was ready.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<M: Manager> {
    /// There until it is ready: then the lease has it.
    shared: Option<Arc<Shared<M>>>,
    limit: Duration,
    by: &'static Location<'static>,
    state: State<M::Connection>,
}

enum State<C> {
    /// Has not asked yet, with a place in the queue or without.
    New {
        is_placed: bool,
    },
    Waiting(u32),
    Proving {
        slot: u32,
        ticket: Ticket,
        began: u64,
        check: Check<C>,
    },
    Done,
}

enum Next<M: Manager> {
    Ready(Result<Lease<M>, Error>),
    /// To be polled again at once.
    Check,
    Pending,
}

impl<M: Manager> Acquire<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, limit: Duration, by: &'static Location<'static>) -> Self {
        Self { shared: Some(shared), limit, by, state: State::New { is_placed: false } }
    }

    /// One that will not be refused because too many wait, if there is a place for it.
    pub(crate) fn placed(
        shared: &Arc<Shared<M>>,
        limit: Duration,
        by: &'static Location<'static>,
    ) -> Option<Self> {
        let shared = Arc::clone(shared);
        let is_placed = shared.lock().take_place();
        is_placed.then(|| Self { shared: Some(shared), limit, by, state: State::New { is_placed: true } })
    }

    #[inline]
    fn shared(&self) -> &Arc<Shared<M>> {
        self.shared.as_ref().expect("polled after it was ready")
    }

    #[inline]
    fn begin(&mut self, is_placed: bool, cx: &mut Context<'_>) -> Next<M> {
        let shared = self.shared();
        let fast_now = shared.now_if_timed();
        let (now, until) = match fast_now {
            Some(now) => (now, now.saturating_add(nanos(self.limit))),
            // Nothing is checked where nothing is timed.
            None => (0, NEVER),
        };
        let by = self.by;
        let mut core = shared.lock();
        if let Some(granted) = core.get_fast(now, until, by) {
            if is_placed {
                core.leave_place();
            }
            drop(core);
            return self.granted(granted, now);
        }
        drop(core);
        self.enqueue(is_placed, cx)
    }

    #[cold]
    fn enqueue(&mut self, is_placed: bool, cx: &mut Context<'_>) -> Next<M> {
        // The place is spent, whatever comes of it.
        self.state = State::Done;
        let (shared, by) = (self.shared(), self.by);
        driver::start(shared);
        let now = shared.now();
        let until = now.saturating_add(nanos(self.limit));
        // A connection may have come since the last look.
        let got = shared.step(|core, fx| core.get(is_placed, now, until, by, cx.waker(), fx));
        self.got(got, now)
    }

    fn got(&mut self, got: Got<crate::shared::Held<M::Connection>, Cause>, now: u64) -> Next<M> {
        match got {
            Got::Granted(granted) => self.granted(granted, now),
            Got::Waiting(id) => {
                self.state = State::Waiting(id);
                let is_driven = self.shared().is_driven.get().is_some();
                assert!(is_driven, "to wait for a connection takes a tokio runtime");
                Next::Pending
            }
            Got::Refused(why) => self.refused(why, now),
        }
    }

    fn refused(&mut self, why: Why<Cause>, now: u64) -> Next<M> {
        self.state = State::Done;
        let shared = self.shared.take().expect("polled after it was ready");
        Next::Ready(Err(Error::new(why, shared.base(), now)))
    }

    #[inline(always)]
    fn granted(&mut self, granted: Granted<crate::shared::Held<M::Connection>>, now: u64) -> Next<M> {
        let Granted { slot, handle, check, ticket } = granted;
        let shared = self.shared.take().expect("polled after it was ready");
        let connection = handle.and_then(|held| shared.open(held));
        if check || connection.is_none() {
            return self.prove(shared, slot, connection, ticket, now, check);
        }
        self.state = State::Done;
        let connection = connection.expect("it was looked at");
        Next::Ready(Ok(Lease::new(shared, connection, slot, now)))
    }

    #[cold]
    fn prove(
        &mut self,
        shared: Arc<Shared<M>>,
        slot: u32,
        connection: Option<M::Connection>,
        ticket: Ticket,
        now: u64,
        check: bool,
    ) -> Next<M> {
        let manager = Arc::clone(&shared.manager);
        let limit = shared.config.check_timeout.min(Duration::from_nanos(ticket.until.saturating_sub(now)));
        self.shared = Some(shared);
        let Some(mut connection) = connection else { return self.unusable(slot, now, check) };
        let check = Mutex::new(Box::pin(async move {
            let result = guarded("check", limit, || manager.check(&mut connection)).await;
            (connection, result)
        }) as _);
        self.state = State::Proving { slot, ticket, began: now, check };
        Next::Check
    }

    /// The clone of a shared connection panicked: it is closed, and nobody waits for another.
    fn unusable(&mut self, slot: u32, now: u64, check: bool) -> Next<M> {
        let shared = self.shared();
        let cause: Cause = Arc::new(Failure::Panicked { what: "clone of a shared connection" });
        let why = shared.step(|core, fx| core.unusable(slot, check, cause, now, fx));
        self.refused(why, now)
    }

    fn poll_check(&mut self, cx: &mut Context<'_>) -> Poll<Next<M>> {
        let State::Proving { slot, ticket, began, check } = &mut self.state else {
            unreachable!("only polled where it checks")
        };
        let (connection, result) = ready!(check.get_mut().as_mut().poll(cx));
        let (slot, ticket, began) = (*slot, *ticket, *began);
        self.state = State::Done;
        let (shared, by) = (self.shared(), self.by);
        let now = shared.now();
        Poll::Ready(match result {
            Ok(()) => {
                shared.lock().passed(slot, ticket, began, now);
                let shared = self.shared.take().expect("it was used above");
                Next::Ready(Ok(Lease::new(shared, connection, slot, now)))
            }
            Err(cause) => {
                discard(connection);
                let times = (began, now);
                let got = shared.step(|core, fx| core.failed(slot, ticket, cause, times, by, cx.waker(), fx));
                self.got(got, now)
            }
        })
    }
}

impl<M: Manager> Future for Acquire<M> {
    type Output = Result<Lease<M>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let next = match this.state {
                State::New { is_placed } => this.begin(is_placed, cx),
                State::Waiting(id) => {
                    let (shared, by) = (this.shared(), this.by);
                    let now = shared.now();
                    match shared.step(|core, fx| core.poll(id, now, by, cx.waker(), fx)) {
                        None => return Poll::Pending,
                        Some(Ok(granted)) => this.granted(granted, now),
                        Some(Err(why)) => this.refused(why, now),
                    }
                }
                State::Proving { .. } => ready!(this.poll_check(cx)),
                State::Done => panic!("polled after it was ready"),
            };
            match next {
                Next::Ready(result) => return Poll::Ready(result),
                Next::Check => {}
                Next::Pending => return Poll::Pending,
            }
        }
    }
}

impl<M: Manager> Drop for Acquire<M> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        match std::mem::replace(&mut self.state, State::Done) {
            State::New { is_placed: false } | State::Done => {}
            State::New { is_placed: true } => shared.lock().leave_place(),
            State::Waiting(id) => shared.step(|core, fx| core.leave(id, fx)),
            State::Proving { slot, check, .. } => {
                discard(check);
                shared.step(|core, fx| core.abandoned(slot, fx));
            }
        }
    }
}

impl<M: Manager> fmt::Debug for Acquire<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New { .. } => "new",
            State::Waiting(_) => "waiting",
            State::Proving { .. } => "checking",
            State::Done => "done",
        };
        f.debug_struct("Acquire").field("state", &state).field("by", &self.by).finish_non_exhaustive()
    }
}
