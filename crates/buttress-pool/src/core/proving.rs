//! Getters that check what they were granted.

use super::{Close, Core, Fx, Got, Lend, Nanos, Ticket, Timed, Why};
use std::panic::Location;
use std::task::Waker;

impl<H: Lend, E: Clone> Core<H, E> {
    /// The getter's check went well: it has its lease.
    pub(crate) fn passed(&mut self, slot: u32, ticket: Ticket, began: Nanos, now: Nanos) {
        self.proving -= 1;
        self.counts.served += 1;
        self.times.record(Timed::Check, now.saturating_sub(began));
        self.record_wait(ticket, now);
        let slot = self.slots.at_mut(slot);
        slot.proved = slot.proved.max(now);
        slot.taken = now;
    }

    /// The getter's check failed, or took too long: the connection is closed, those proved before are checked, and the
    /// getter has the place in the queue that it would have had.
    #[expect(clippy::too_many_arguments, reason = "what it says is all new to the core")]
    pub(crate) fn failed(
        &mut self,
        slot: u32,
        ticket: Ticket,
        cause: E,
        (began, now): (Nanos, Nanos),
        by: &'static Location<'static>,
        waker: &Waker,
        fx: &mut Fx<H, E>,
    ) -> Got<H, E> {
        self.proving -= 1;
        self.counts.checks_failed += 1;
        self.times.record(Timed::Check, now.saturating_sub(began));
        self.slots.release(slot);
        self.slots.doom(slot, Close::Unfit);
        self.place(slot, fx);
        self.remember(cause, now, fx);
        self.accuse(began, fx);
        self.settle(fx);
        if self.closed {
            return Got::Refused(self.refuse_closed());
        }
        if ticket.until <= now {
            return Got::Refused(self.time_out(ticket, now));
        }
        if let Some(slot) = self.slots.lease() {
            return Got::Granted(self.hand(slot, ticket, now, by));
        }
        if self.slots.alive() == 0 && self.connecting == 0 && !self.is_quiet(now) {
            if let Some(down) = self.down() {
                self.gate.demand = true;
                fx.kick = true;
                self.counts.refused_down += 1;
                return Got::Refused(down);
            }
        }
        let id = self.wait(ticket, waker, fx);
        self.probe(now, fx);
        self.settle(fx);
        Got::Waiting(id)
    }

    /// The getter left in the midst of its check. Nobody knows what an exclusive connection would say next; one that is
    /// shared takes that in its stride.
    pub(crate) fn abandoned(&mut self, slot: u32, fx: &mut Fx<H, E>) {
        self.proving -= 1;
        self.counts.cancelled += 1;
        self.slots.release(slot);
        if self.slots.is_exclusive() {
            self.slots.doom(slot, Close::Cancelled);
        }
        self.place(slot, fx);
        self.settle(fx);
    }

    /// A connection that was granted cannot be used: it is closed, and its getter gets nothing.
    pub(crate) fn unusable(
        &mut self,
        slot: u32,
        check: bool,
        cause: E,
        now: Nanos,
        fx: &mut Fx<H, E>,
    ) -> Why<E> {
        // Served, if badly.
        if check {
            self.proving -= 1;
            self.counts.served += 1;
        }
        self.slots.release(slot);
        self.slots.doom(slot, Close::Unfit);
        self.place(slot, fx);
        self.remember(cause.clone(), now, fx);
        self.settle(fx);
        Why::Down { since: now, until: now, cause }
    }
}
