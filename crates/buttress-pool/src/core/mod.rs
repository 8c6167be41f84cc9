//! The pool without its shell: no runtime, no clock, no lock. Each method is one critical section.
//!
//! Each connection is in exactly one of: a list, out, with the driver, free. Each getter that had to wait is in exactly one
//! of: the queue, granted, refused. [`Core::settle`] ends every step that may have changed who can have what, and leaves no
//! connection that could be had beside somebody who waits: so nobody can overtake, and a return, a connect, a check, a
//! cancellation and a resize hand over in the same way.

#[cfg(test)]
mod audit;
mod control;
mod counts;
mod driver;
mod fx;
mod gate;
mod places;
mod proving;
mod queue;
mod returns;
mod slots;
mod upkeep;

pub(crate) use control::View;
pub use counts::Close;
pub(crate) use counts::{Counts, Timed, Times};
pub(crate) use driver::{Job, Start};
#[cfg(feature = "http")]
pub(crate) use fx::Few;
pub(crate) use fx::{Fx, Leak, News};
pub(crate) use queue::Ticket;
pub(crate) use returns::End;
pub(crate) use slots::Lend;

use crate::config::{Config, Size};
use gate::Gate;
pub(crate) use queue::{Queue, State};
use slots::Slots;
use std::collections::VecDeque;
use std::panic::Location;
use std::task::Waker;
use std::time::Duration;

/// Nanoseconds since the pool was made.
pub(crate) type Nanos = u64;

pub(crate) const NEVER: Nanos = Nanos::MAX;

/// No index.
const NONE: u32 = u32::MAX;

pub(crate) fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(NEVER)
}

/// The part of a configuration that decides; deadlines of connects and checks are the shell's.
#[derive(Debug)]
struct Rules {
    size: Size,
    connects: u32,
    max_waiters: u32,
    check_after: Nanos,
    max_lifetime: Nanos,
    idle_timeout: Nanos,
    keepalive: Nanos,
    leak_after: Nanos,
    measure: bool,
}

/// Why a getter gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why<E> {
    /// Its time is over. The cause is the last failure since it began to wait, or of the outage that goes on.
    Timeout {
        waited: Nanos,
        in_use: u64,
        waiters: u32,
        cause: Option<E>,
    },
    QueueFull {
        waiters: u32,
    },
    /// Connects fail, and no connection is alive that could come back. The next one is tried at `until`.
    Down {
        since: Nanos,
        until: Nanos,
        cause: E,
    },
    Closed,
}

/// A connection for a getter.
#[derive(Debug)]
pub(crate) struct Granted<H> {
    pub(crate) slot: u32,
    /// `None` only where the slot has lost it, which the checks of the pool rule out.
    pub(crate) handle: Option<H>,
    /// It has to be checked first: [`Core::passed`], [`Core::failed`] or [`Core::abandoned`] follows.
    pub(crate) check: bool,
    pub(crate) ticket: Ticket,
}

/// What becomes of a get at once.
#[derive(Debug)]
pub(crate) enum Got<H, E> {
    Granted(Granted<H>),
    /// It waits under this number: [`Core::poll`] or [`Core::leave`] follows.
    Waiting(u32),
    Refused(Why<E>),
}

/// All that a pool knows. `H` is what it keeps of a connection, `E` says why something failed.
#[derive(Debug)]
pub(crate) struct Core<H, E> {
    rules: Rules,
    slots: Slots<H>,
    queue: Queue<E>,
    gate: Gate<E>,
    counts: Counts,
    times: Times,
    /// Connects that were decided and have not ended.
    connecting: u32,
    /// Those of them that the driver has not taken yet, and whether one of these is a probe.
    starts: u32,
    start_probe: Option<gate::Probe>,
    /// Connects whose success lets an overdue connection go.
    spare: u32,
    /// What the driver is to check, and has not taken yet.
    checks: VecDeque<u32>,
    /// Slots that are with the driver.
    checking: u32,
    /// The one that is checked only because it was idle.
    keeping: Option<u32>,
    /// Getters that check what they were granted.
    proving: u32,
    /// Places in the queue of those who have not asked yet, but will.
    places: u32,
    /// A connection that was proved before this may be as dead as the one that died then.
    suspect_before: Nanos,
    worst_connect: Nanos,
    /// Nothing is due before this.
    next_upkeep: Nanos,
    last_error: Option<(Nanos, E)>,
    closed: bool,
    random: fastrand::Rng,
}

impl<H: Lend, E: Clone> Core<H, E> {
    /// An empty pool whose connections may each have so many leases out.
    pub(crate) fn new(config: &Config, leases_each: u32, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            rules: Rules {
                size: config.size,
                connects: config.connects.get(),
                max_waiters: config.max_waiters.get(),
                check_after: nanos(config.check_after),
                max_lifetime: nanos(config.max_lifetime),
                idle_timeout: nanos(config.idle_timeout),
                keepalive: nanos(config.keepalive),
                leak_after: nanos(config.leak_after),
                measure: config.measure,
            },
            slots: Slots::new(leases_each),
            queue: Queue::new(),
            gate: Gate::new(random.fork()),
            counts: Counts::default(),
            times: Times::default(),
            connecting: 0,
            starts: 0,
            start_probe: None,
            spare: 0,
            checks: VecDeque::new(),
            checking: 0,
            keeping: None,
            proving: 0,
            places: 0,
            suspect_before: 0,
            worst_connect: 0,
            next_upkeep: NEVER,
            last_error: None,
            closed: false,
            random,
        }
    }

    /// A connection, if one can be had at once.
    #[inline]
    pub(crate) fn get_fast(
        &mut self,
        now: Nanos,
        until: Nanos,
        by: &'static Location<'static>,
    ) -> Option<Granted<H>> {
        let slot = self.slots.lease()?;
        debug_assert!(self.queue.is_empty(), "nothing can be had beside those who wait");
        self.counts.gets += 1;
        let ticket = Ticket { number: self.counts.gets, since: now, until };
        Some(self.hand(slot, ticket, now, by))
    }

    /// As [`get_fast`](Self::get_fast), and never to be checked. Not counted if there is none.
    pub(crate) fn try_get(&mut self, now: Nanos, by: &'static Location<'static>) -> Option<Granted<H>> {
        let granted = self.get_fast(now, now, by)?;
        debug_assert!(!granted.check, "there is no time, and what is suspect cannot be had");
        Some(granted)
    }

    /// A connection, or a place among those who wait. Looks again for one that can be had: it may have come since
    /// [`get_fast`](Self::get_fast) found none. One that has a [place](Self::take_place) spends it.
    pub(crate) fn get(
        &mut self,
        is_placed: bool,
        now: Nanos,
        until: Nanos,
        by: &'static Location<'static>,
        waker: &Waker,
        fx: &mut Fx<H, E>,
    ) -> Got<H, E> {
        if is_placed {
            self.leave_place();
        }
        if let Some(granted) = self.get_fast(now, until, by) {
            return Got::Granted(granted);
        }
        self.counts.gets += 1;
        let ticket = Ticket { number: self.counts.gets, since: now, until };
        if self.closed {
            return Got::Refused(self.refuse_closed());
        }
        if self.slots.alive() == 0 && (until <= now || (self.queue.is_empty() && !self.is_quiet(now))) {
            if let Some(down) = self.down() {
                // Once for all who are refused until the next probe.
                fx.kick |= !self.gate.demand;
                self.gate.demand = true;
                self.counts.refused_down += 1;
                return Got::Refused(down);
            }
        }
        if !is_placed && self.is_full() {
            return Got::Refused(self.refuse_full());
        }
        if until <= now {
            return Got::Refused(self.time_out(ticket, now));
        }
        let id = self.wait(ticket, waker, fx);
        self.probe(now, fx);
        self.settle(fx);
        Got::Waiting(id)
    }

    /// What became of one that waits; `None` while it does.
    pub(crate) fn poll(
        &mut self,
        id: u32,
        now: Nanos,
        by: &'static Location<'static>,
        waker: &Waker,
        fx: &mut Fx<H, E>,
    ) -> Option<Result<Granted<H>, Why<E>>> {
        if let State::Waiting(_) = self.queue.state(id) {
            fx.stale.extend(self.queue.rewake(id, waker));
            return None;
        }
        let ticket = self.queue.ticket(id);
        match self.queue.take(id) {
            State::Granted(slot) => Some(Ok(self.hand(slot, ticket, now, by))),
            State::Refused(why) => Some(Err(why)),
            State::Free | State::Waiting(_) => {
                unreachable!("its getter alone frees the entry, and it does not wait")
            }
        }
    }

    /// One that waited will not come back. What it was granted goes to the oldest of the others.
    pub(crate) fn leave(&mut self, id: u32, fx: &mut Fx<H, E>) {
        if let State::Waiting(_) = self.queue.state(id) {
            fx.stale.extend(self.queue.resolve(id, State::Free));
            self.counts.cancelled += 1;
            self.queue.take(id);
        } else {
            match self.queue.take(id) {
                State::Granted(slot) => {
                    self.counts.cancelled += 1;
                    self.slots.release(slot);
                    self.place(slot, fx);
                    self.settle(fx);
                }
                // It was counted when it was refused.
                State::Refused(Why::Timeout { cause: Some(cause), .. } | Why::Down { cause, .. }) => {
                    fx.causes.push(cause);
                }
                _ => {}
            }
        }
    }

    /// Gives out a connection that is counted as leased already.
    #[inline(always)]
    fn hand(&mut self, index: u32, ticket: Ticket, now: Nanos, by: &'static Location<'static>) -> Granted<H> {
        let slot = self.slots.at_mut(index);
        // A check for which there is no time would fail, and close what mostly works.
        let is_stale = now < ticket.until && now.saturating_sub(slot.seen()) >= self.rules.check_after;
        let check = slot.proved < self.suspect_before || is_stale;
        slot.taken = now;
        slot.by = Some(by);
        slot.reported = false;
        let handle = H::lend(&mut slot.handle);
        debug_assert!(handle.is_some(), "who may be leased has its handle");
        if check {
            self.proving += 1;
            self.counts.checks += 1;
        } else {
            self.counts.served += 1;
            self.record_wait(ticket, now);
        }
        Granted { slot: index, handle, check, ticket }
    }

    #[inline]
    fn record_wait(&mut self, ticket: Ticket, now: Nanos) {
        if self.rules.measure {
            self.times.record(Timed::Wait, now.saturating_sub(ticket.since));
        }
    }

    /// Queues by ticket, and lets the driver know if it has to be there sooner.
    fn wait(&mut self, ticket: Ticket, waker: &Waker, fx: &mut Fx<H, E>) -> u32 {
        if ticket.until < self.queue.first_end {
            self.queue.first_end = ticket.until;
            fx.kick = true;
        }
        self.queue.push(ticket, waker.clone())
    }

    /// Ends every step: hands over what can be had to those who wait, oldest first, and decides what to connect. Nobody
    /// goes on waiting for what cannot come.
    fn settle(&mut self, fx: &mut Fx<H, E>) {
        while let Some(id) = self.queue.front() {
            let Some(slot) = self.slots.lease() else { break };
            // Nobody has taken it yet, so that nobody can have leaked it.
            self.slots.at_mut(slot).reported = true;
            fx.wake.extend(self.queue.resolve(id, State::Granted(slot)));
        }
        self.want(fx);
        if self.slots.alive() == 0 && self.connecting == 0 {
            while let Some(id) = self.queue.front() {
                let why = if self.closed {
                    self.refuse_closed()
                } else {
                    let Some(down) = self.down() else { break };
                    self.counts.refused_down += 1;
                    self.gate.demand = true;
                    down
                };
                fx.wake.extend(self.queue.resolve(id, State::Refused(why)));
            }
        }
        // Its moment may be here, or have got nearer.
        fx.kick |= self.gate.shut().is_some() && self.wants_probe();
        fx.drained |= self.closed && self.slots.leases == 0;
    }

    fn down(&self) -> Option<Why<E>> {
        self.gate.shut().map(|shut| Why::Down {
            since: shut.since,
            until: shut.until,
            cause: shut.cause.clone(),
        })
    }

    fn refuse_full(&mut self) -> Why<E> {
        self.counts.refused_full += 1;
        Why::QueueFull { waiters: self.queue.len }
    }

    fn refuse_closed(&mut self) -> Why<E> {
        self.counts.refused_closed += 1;
        Why::Closed
    }

    fn time_out(&mut self, ticket: Ticket, now: Nanos) -> Why<E> {
        self.counts.timeouts += 1;
        let outage = self.gate.shut().map(|shut| &shut.cause);
        let failure = self.last_error.as_ref().filter(|(at, _)| *at >= ticket.since).map(|(_, cause)| cause);
        Why::Timeout {
            waited: now.saturating_sub(ticket.since),
            in_use: self.slots.leases,
            waiters: self.queue.len,
            cause: outage.or(failure).cloned(),
        }
    }

    fn remember(&mut self, cause: E, now: Nanos, fx: &mut Fx<H, E>) {
        fx.causes.extend(self.last_error.replace((now, cause)).map(|(_, cause)| cause));
    }
}
