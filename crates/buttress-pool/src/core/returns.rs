//! What becomes of a connection that comes back.

use super::slots::At;
use super::{Close, Core, Fx, Lend, Nanos, Timed};

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The connection is dead, and others may be.
    Broken,
    /// This one cannot be used again; that says nothing about others. So says its user, or its manager.
    Dirty,
    Unfit,
    Detached,
}

impl<H: Lend, E: Clone> Core<H, E> {
    /// Takes a whole connection back where nobody waits and nothing is due, or says that it cannot.
    #[inline]
    pub(crate) fn put_fast(
        &mut self,
        index: u32,
        handle: Option<H>,
        taken: Nanos,
        now: Nanos,
    ) -> Result<(), Option<H>> {
        let slot = self.slots.at(index);
        let is_plain = slot.at != At::Check
            && self.queue.is_empty()
            && slot.doomed.is_none()
            && slot.proved >= self.suspect_before
            && self.slots.overdue == 0;
        if !is_plain {
            return Err(handle);
        }
        self.take_back(index, handle, taken, now);
        self.slots.link(index);
        Ok(())
    }

    /// Takes a lease back. An exclusive one brings the handle, unless the connection is gone.
    pub(crate) fn put(
        &mut self,
        index: u32,
        handle: Option<H>,
        end: End,
        taken: Nanos,
        now: Nanos,
        fx: &mut Fx<H, E>,
    ) {
        self.take_back(index, handle, taken, now);
        match end {
            End::Whole => {}
            End::Broken => {
                self.slots.doom(index, Close::Broken);
                self.accuse(now, fx);
            }
            End::Dirty => self.slots.doom(index, Close::Dirty),
            End::Unfit => self.slots.doom(index, Close::Unfit),
            End::Detached => self.slots.doom(index, Close::Detached),
        }
        self.place(index, fx);
        self.settle(fx);
    }

    /// Takes back the lease of a connection that could not be made ready for the next one.
    pub(crate) fn unfit(&mut self, index: u32, cause: E, taken: Nanos, now: Nanos, fx: &mut Fx<H, E>) {
        self.remember(cause, now, fx);
        self.put(index, None, End::Unfit, taken, now, fx);
    }

    #[inline(always)]
    fn take_back(&mut self, index: u32, handle: Option<H>, taken: Nanos, now: Nanos) {
        if self.rules.measure {
            self.times.record(Timed::Use, now.saturating_sub(taken));
        }
        self.slots.release(index);
        let slot = self.slots.at_mut(index);
        slot.used = slot.used.max(now);
        if handle.is_some() {
            slot.handle = handle;
        }
    }

    /// Puts a slot where it belongs after one of its leases came back, or its check.
    pub(super) fn place(&mut self, index: u32, fx: &mut Fx<H, E>) {
        let slot = self.slots.at(index);
        if slot.at == At::Check {
            // It is not known yet; the end of the check places it.
        } else if let Some(why) = slot.doomed {
            if slot.leases == 0 {
                self.counts.closed[why as usize] += 1;
                fx.handles.extend(self.slots.free(index));
            }
        } else if slot.proved < self.suspect_before {
            self.check(index, fx);
        } else if slot.at != At::Listed {
            self.slots.link(index);
        }
    }

    /// Something died at that moment: what was proved before it is suspect. What can be had of that is checked by the
    /// driver, all at once and before anybody else is served: or else the next getter takes the next dead one.
    pub(super) fn accuse(&mut self, before: Nanos, fx: &mut Fx<H, E>) {
        if before <= self.suspect_before {
            return;
        }
        self.suspect_before = before;
        if self.slots.listed == 0 {
            return;
        }
        for index in self.slots.indices() {
            let slot = self.slots.at(index);
            if slot.at == At::Listed && slot.proved < before {
                self.check(index, fx);
            }
        }
    }

    /// Leaves a slot to the driver, to be checked.
    pub(super) fn check(&mut self, index: u32, fx: &mut Fx<H, E>) {
        if self.slots.at(index).at == At::Listed {
            self.slots.unlink(index);
        }
        self.slots.at_mut(index).at = At::Check;
        self.checking += 1;
        self.checks.push_back(index);
        fx.kick = true;
    }
}
