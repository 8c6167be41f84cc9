//! What others ask of a pool, and may see of it.

use super::slots::At;
use super::{Close, Core, Counts, Fx, Leak, Lend, Nanos, Times};
use crate::config::Size;

/// What there is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) limits: Size,
    /// Connections that nobody uses and that can be had.
    pub(crate) idle: u32,
    /// Leases that are out.
    pub(crate) leased: u64,
    pub(crate) connecting: u32,
    /// With the driver.
    pub(crate) checking: u32,
    /// All connections, and those of them that close with their last lease.
    pub(crate) live: u32,
    pub(crate) doomed: u32,
    pub(crate) waiters: u32,
    /// Granted, and not taken yet.
    pub(crate) granted: u32,
    /// Getters that check what they were granted.
    pub(crate) proving: u32,
    /// Places of those who have not asked yet.
    pub(crate) places: u32,
    /// For how long the oldest waiter has waited.
    pub(crate) oldest: Option<Nanos>,
    /// Since when connects fail, and when the next is tried.
    pub(crate) down: Option<(Nanos, Nanos)>,
    pub(crate) counts: Counts,
}

impl<H: Lend, E: Clone> Core<H, E> {
    /// From now on there are so many. Connections over the maximum close at once, or when they come back.
    pub(crate) fn resize(&mut self, size: Size, fx: &mut Fx<H, E>) {
        self.rules.size = size;
        let excess = |core: &Self| (core.slots.alive() + core.connecting).saturating_sub(size.max());
        self.take_starts_back(self.starts.min(excess(self)));
        while excess(self) > 0 {
            let idle = self.slots.idle_from_tail().next();
            let oldest = || {
                let slots = &self.slots;
                let is_alive =
                    |&index: &u32| slots.at(index).at != At::Free && slots.at(index).doomed.is_none();
                slots.indices().filter(is_alive).min_by_key(|&index| slots.at(index).born)
            };
            let Some(index) = idle.or_else(oldest) else { break };
            self.close(index, Close::Surplus, fx);
        }
        // One over a minimum that was higher may be due.
        self.next_upkeep = 0;
        fx.kick = true;
        self.settle(fx);
    }

    /// Refuses whoever waits or comes, and closes every connection now or when it comes back.
    pub(crate) fn shut_down(&mut self, fx: &mut Fx<H, E>) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.take_starts_back(self.starts);
        // Nobody will check them.
        for index in std::mem::take(&mut self.checks) {
            self.checking -= 1;
            self.slots.at_mut(index).at = At::Out;
            self.slots.doom(index, Close::Closed);
            self.place(index, fx);
        }
        for index in self.slots.indices() {
            let slot = self.slots.at(index);
            if slot.at != At::Free && slot.doomed.is_none() {
                self.close(index, Close::Closed, fx);
            }
        }
        while let Some(id) = self.queue.front() {
            let why = self.refuse_closed();
            fx.wake.extend(self.queue.resolve(id, super::State::Refused(why)));
        }
        fx.kick = true;
        self.settle(fx);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Why something failed last.
    pub(crate) fn last_error(&self) -> Option<(Nanos, E)> {
        self.last_error.clone()
    }

    /// Exclusive leases that are out, with who took them.
    pub(crate) fn out(&self, now: Nanos) -> Vec<Leak> {
        let slots = self.slots.indices().map(|index| self.slots.at(index)).filter(|slot| slot.leases > 0);
        slots
            .filter_map(|slot| Some(Leak { by: slot.by?, out_for: now.saturating_sub(slot.taken) }))
            .collect()
    }

    /// What was measured.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    pub(crate) fn view(&self, now: Nanos) -> View {
        View {
            limits: self.rules.size,
            idle: self.slots.idle(),
            leased: self.slots.leases,
            connecting: self.connecting,
            checking: self.checking,
            live: self.slots.live,
            doomed: self.slots.doomed,
            waiters: self.queue.len,
            granted: self.queue.granted,
            proving: self.proving,
            places: self.places,
            oldest: self.queue.oldest().map(|since| now.saturating_sub(since)),
            down: self.gate.shut().map(|shut| (shut.since, shut.until)),
            counts: self.counts,
        }
    }
}
