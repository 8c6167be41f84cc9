use super::{Local, Scripted};
use buttress_core::Rejected;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

/// How many wakers are held before the list has to grow, which would count as an allocation.
const ROOM: usize = 64;

/// The error of scripted services: an arbitrary one of their own, or a refusal by a layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service failed; the number tells failures apart.
    Inner(u64),
    /// A layer refused.
    Rejected(Rejected),
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(number) => write!(f, "inner fault {number}"),
            Self::Rejected(_) => f.write_str("refused"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Inner(_) => None,
            Self::Rejected(rejected) => Some(rejected),
        }
    }
}

/// What becomes of the calls that begin from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Calls {
    /// They answer at the first poll.
    #[default]
    Ready,
    /// They are pending for so many polls, and wake their task each time.
    PendingPolls(u32),
    /// They are pending until [`Script::release_calls`].
    Held,
    /// They fail at the first poll.
    Fail(Fault),
    /// `call` itself panics.
    PanicInCall,
    /// The first poll panics.
    PanicInPoll,
}

/// What the services of a script have seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seen {
    /// Calls that began.
    pub calls: usize,
    /// Calls on an instance that had not been readied: a broken contract.
    pub unreadied: usize,
    /// Calls whose future ended, well or badly.
    pub completed: usize,
    /// Polls of response futures.
    pub polls: usize,
    /// Instances that are readied and not yet called, now.
    pub permits: usize,
    /// Response futures that are alive, now.
    pub futures: usize,
    /// Errors that `poll_ready` has answered.
    pub readiness_errors: usize,
}

/// Directs the services made from it, and tells what they saw. Clones direct the same services.
#[derive(Clone, Debug, Default)]
pub struct Script(pub(super) Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) seen: Seen,
    pub(super) calls: Calls,
    pub(super) readiness_held: bool,
    pub(super) readiness_fault: Option<Fault>,
    /// A held call ends once this has moved on.
    pub(super) releases: u64,
    pub(super) readying: Waiting,
    pub(super) running: Waiting,
    last_id: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            calls: Calls::Ready,
            readiness_held: false,
            readiness_fault: None,
            releases: 0,
            readying: Waiting::default(),
            running: Waiting::default(),
            last_id: 0,
        }
    }
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// Wakers by whom they were given; each asker has one, the last it gave.
///
/// A displaced waker is handed back, to be dropped after the lock: dropping one can end a task, and with it
/// a service of this very script.
#[derive(Debug)]
pub(super) struct Waiting(Vec<(u64, Waker)>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Vec::with_capacity(ROOM))
    }
}

impl Waiting {
    #[must_use]
    pub(super) fn put(&mut self, id: u64, waker: &Waker) -> Option<Waker> {
        match self.0.iter_mut().find(|(other, _)| *other == id) {
            Some((_, old)) if old.will_wake(waker) => None,
            Some((_, old)) => Some(std::mem::replace(old, waker.clone())),
            None => {
                self.0.push((id, waker.clone()));
                None
            }
        }
    }

    #[must_use]
    pub(super) fn remove(&mut self, id: u64) -> Option<Waker> {
        let at = self.0.iter().position(|(other, _)| *other == id)?;
        Some(self.0.swap_remove(at).1)
    }

    fn take_all(&mut self) -> Vec<Waker> {
        self.0.drain(..).map(|(_, waker)| waker).collect()
    }
}

impl Script {
    /// A script by which services are ready and answer at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a service that answers a request with `respond(request)`, at the moment its future ends.
    pub fn service<F>(&self, respond: F) -> Scripted<F> {
        Scripted::new(self.clone(), respond)
    }

    /// Makes a service that is neither `Send` nor `Clone`.
    pub fn local<F>(&self, respond: F) -> Local<Scripted<F>> {
        Local::new(self.service(respond))
    }

    /// Keeps instances that are not readied yet pending, until [`Script::release_readiness`].
    pub fn hold_readiness(&self) {
        self.0.lock().readiness_held = true;
    }

    /// Lets instances be ready again and wakes those who wait for it.
    pub fn release_readiness(&self) {
        self.wake(|state| {
            state.readiness_held = false;
            state.readying.take_all()
        });
    }

    /// Lets the next `poll_ready` of an instance that is not readied answer `fault`, once.
    pub fn fail_readiness_once(&self, fault: Fault) {
        self.wake(|state| {
            state.readiness_fault = Some(fault);
            state.readying.take_all()
        });
    }

    /// Says what becomes of the calls that begin from now on.
    pub fn calls(&self, calls: Calls) {
        self.0.lock().calls = calls;
    }

    /// Lets the calls end that are [held](Calls::Held) now, and wakes those who wait for them.
    pub fn release_calls(&self) {
        self.wake(|state| {
            state.releases += 1;
            state.running.take_all()
        });
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.lock().seen
    }

    /// Changes the state, then wakes, with the lock released.
    fn wake(&self, change: impl FnOnce(&mut State) -> Vec<Waker>) {
        let wakers = change(&mut self.0.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}
