//! What the driver does: connects, checks, and what is due.

use super::gate::Probe;
use super::queue::State;
use super::slots::At;
use super::{Close, Core, Fx, Lend, NEVER, Nanos, News, Timed};

/// A connect that is to be made.
#[derive(Debug)]
#[must_use = "it counts as connecting until it is said how it ended"]
pub(crate) struct Start {
    probe: Option<Probe>,
}

/// Something to be done without the lock.
#[derive(Debug)]
pub(crate) enum Job<H> {
    /// [`Core::connected`] or [`Core::connect_failed`] follows.
    Connect(Start),
    /// [`Core::checked`] or [`Core::check_dropped`] follows.
    Check { slot: u32, handle: Option<H> },
}

impl<H: Lend, E: Clone> Core<H, E> {
    /// Does what is due, and says when it wants to be asked again at the latest.
    pub(crate) fn tick(&mut self, now: Nanos, fx: &mut Fx<H, E>) -> Nanos {
        if now >= self.queue.first_end {
            self.end_overdue(now, fx);
        }
        self.probe(now, fx);
        if now >= self.next_upkeep {
            self.upkeep(now, fx);
        }
        self.settle(fx);
        // It is here.
        fx.kick = false;
        let probe = self.gate.shut().filter(|_| self.wants_probe()).map_or(NEVER, |shut| shut.until);
        // Also if nobody waits any more: who comes next counts on it, and does not call again for a later end.
        self.queue.first_end.min(probe).min(self.next_upkeep)
    }

    /// What is to be done next.
    pub(crate) fn next_job(&mut self) -> Option<Job<H>> {
        if self.starts > 0 {
            self.starts -= 1;
            self.counts.connects += 1;
            return Some(Job::Connect(Start { probe: self.start_probe.take() }));
        }
        let slot = self.checks.pop_front()?;
        self.counts.checks += 1;
        let handle = H::lend(&mut self.slots.at_mut(slot).handle);
        debug_assert!(handle.is_some(), "who is with the driver is with nobody else");
        Some(Job::Check { slot, handle })
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is spent")]
    pub(crate) fn connected(&mut self, start: Start, handle: H, began: Nanos, now: Nanos, fx: &mut Fx<H, E>) {
        let Start { probe: _ } = start; // any success opens the gate
        let took = now.saturating_sub(began);
        self.times.record(Timed::Connect, took);
        self.worst_connect = self.worst_connect.max(took);
        self.counts.created += 1;
        if let Some(shut) = self.gate.open() {
            if !self.closed {
                fx.news.push(News::Up(now.saturating_sub(shut.since)));
            }
            fx.causes.push(shut.cause);
        }
        let is_surplus = self.slots.alive() + self.connecting > self.rules.size.max();
        self.connecting -= 1;
        if self.closed || is_surplus {
            let why = if self.closed { Close::Closed } else { Close::Surplus };
            self.counts.closed[why as usize] += 1;
            fx.handles.push(handle);
            self.spare = self.spare.min(self.connecting);
        } else {
            let slot = self.slots.insert(handle, self.counts.created, now);
            self.set_lifetime(slot, now);
            if self.spare > 0 {
                self.spare -= 1;
                self.retire_one(fx);
            }
            // Not listed at once: something may have died since the clock was read.
            self.place(slot, fx);
            fx.kick = true;
        }
        self.settle(fx);
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is spent")]
    pub(crate) fn connect_failed(&mut self, start: Start, cause: E, now: Nanos, fx: &mut Fx<H, E>) {
        let Start { probe } = start;
        self.counts.connects_failed += 1;
        self.connecting -= 1;
        self.spare = self.spare.min(self.connecting);
        self.remember(cause.clone(), now, fx);
        if self.gate.shut().is_none() && !self.closed {
            fx.news.push(News::Down { cause: cause.clone(), left: self.slots.alive() });
        }
        fx.causes.extend(self.gate.fail(probe, cause, now));
        // They would fail as this one did.
        self.take_starts_back(self.starts);
        self.settle(fx);
        fx.kick = true;
    }

    /// A check by the driver has ended; an exclusive connection comes back with it.
    pub(crate) fn checked(
        &mut self,
        index: u32,
        handle: Option<H>,
        result: Result<(), E>,
        (began, now): (Nanos, Nanos),
        fx: &mut Fx<H, E>,
    ) {
        self.times.record(Timed::Check, now.saturating_sub(began));
        self.end_check(index, handle, now, fx);
        match result {
            Ok(()) => {
                let slot = self.slots.at_mut(index);
                slot.proved = slot.proved.max(now);
                self.place(index, fx);
            }
            Err(cause) => {
                self.counts.checks_failed += 1;
                self.remember(cause, now, fx);
                self.slots.doom(index, Close::Unfit);
                self.place(index, fx);
                self.accuse(began, fx);
            }
        }
        self.settle(fx);
    }

    /// A check by the driver was dropped before its end.
    pub(crate) fn check_dropped(&mut self, index: u32, now: Nanos, fx: &mut Fx<H, E>) {
        self.end_check(index, None, now, fx);
        self.slots.doom(index, Close::Cancelled);
        self.place(index, fx);
        self.settle(fx);
    }

    fn end_check(&mut self, index: u32, handle: Option<H>, now: Nanos, fx: &mut Fx<H, E>) {
        self.checking -= 1;
        if self.keeping == Some(index) {
            self.keeping = None;
            // The next one may be due.
            self.next_upkeep = self.next_upkeep.min(now);
            fx.kick = true;
        }
        let slot = self.slots.at_mut(index);
        slot.at = At::Out;
        if handle.is_some() {
            slot.handle = handle;
        }
    }

    /// Decides what to connect: for those who wait, for the minimum, and to be there before an overdue one goes.
    pub(super) fn want(&mut self, fx: &mut Fx<H, E>) {
        if self.closed || self.gate.shut().is_some() {
            return;
        }
        let (max, min) = (self.rules.size.max(), self.rules.size.min());
        let each = u64::from(self.slots.leases_each());
        while self.connecting < self.rules.connects && self.slots.live + self.connecting < max {
            let is_needed = u64::from(self.connecting) * each < u64::from(self.queue.len)
                || self.slots.alive() + self.connecting < min;
            if !is_needed {
                if self.spare >= self.slots.overdue {
                    break;
                }
                self.spare += 1;
            }
            self.start(fx);
        }
        self.renew_at_max(fx);
    }

    pub(super) fn start(&mut self, fx: &mut Fx<H, E>) {
        self.connecting += 1;
        self.starts += 1;
        fx.kick = true;
    }

    /// Connects that nobody has begun are not made.
    pub(super) fn take_starts_back(&mut self, count: u32) {
        self.starts -= count;
        self.connecting -= count;
        self.spare = self.spare.min(self.connecting);
        if self.starts == 0 {
            self.gate.forget_probe(self.start_probe.take());
        }
    }

    /// Starts a probe if one is wanted and due.
    pub(super) fn probe(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        if self.wants_probe() && self.is_probe_due(now) {
            self.start_probe = Some(self.gate.probe());
            self.start(fx);
        }
    }

    /// Whether a probe would be made now if it were due.
    pub(super) fn wants_probe(&self) -> bool {
        self.may_probe()
            && (self.gate.demand
                || !self.queue.is_empty()
                || self.slots.alive() + self.connecting < self.rules.size.min())
    }

    /// Whether the outage may be over without anybody knowing: the next probe is due, and nobody has asked for it. So the
    /// one who asks now waits for it, and so does who comes meanwhile, rather than being told what was true long ago.
    /// Where somebody has asked, what is known is as old as the last pause, and the driver is about to probe.
    pub(super) fn is_quiet(&self, now: Nanos) -> bool {
        self.is_probe_due(now) && self.may_probe() && !self.wants_probe()
    }

    fn is_probe_due(&self, now: Nanos) -> bool {
        self.gate.shut().is_some_and(|shut| shut.until <= now)
    }

    fn may_probe(&self) -> bool {
        !self.closed
            && !self.gate.probing
            && self.connecting < self.rules.connects
            && self.slots.live + self.connecting < self.rules.size.max()
    }

    fn end_overdue(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        let mut next = self.queue.front();
        while let Some(id) = next {
            next = self.queue.after(id);
            let ticket = self.queue.ticket(id);
            if ticket.until <= now {
                let why = self.time_out(ticket, now);
                fx.wake.extend(self.queue.resolve(id, State::Refused(why)));
            }
        }
        self.queue.refresh_first_end();
    }
}
