//! Whether everything is in exactly one place, counted the slow way.

use super::queue::State;
use super::slots::At;
use super::{Core, Lend};
use std::collections::BTreeSet;

impl<H: Lend, E: Clone> Core<H, E> {
    /// Whether the driver has something to take.
    pub(crate) fn has_jobs(&self) -> bool {
        self.starts > 0 || !self.checks.is_empty()
    }

    /// Panics where the structures disagree.
    pub(crate) fn audit(&mut self) {
        let (mut listed, mut idle) = (BTreeSet::new(), 0);
        let (mut live, mut doomed, mut overdue, mut checking, mut leases) = (0, 0, 0, 0, 0);
        for index in self.slots.indices() {
            let slot = self.slots.at(index);
            leases += u64::from(slot.leases);
            match slot.at {
                At::Free => {
                    assert!(slot.leases == 0 && slot.handle.is_none() && slot.doomed.is_none());
                    continue;
                }
                At::Listed => {
                    assert!(slot.doomed.is_none() && slot.handle.is_some());
                    assert!(slot.leases < self.slots.leases_each());
                    assert!(slot.proved >= self.suspect_before, "a suspect that can be had");
                    assert!(listed.insert(index));
                    idle += u32::from(slot.leases == 0);
                }
                At::Out => assert!(slot.leases > 0, "nobody has it, and nobody can"),
                At::Check => checking += 1,
            }
            live += 1;
            doomed += u32::from(slot.doomed.is_some());
            overdue += u32::from(slot.doomed.is_none() && slot.overdue);
        }
        let slots = &self.slots;
        assert_eq!(
            (live, doomed, overdue, leases, idle),
            (slots.live, slots.doomed, slots.overdue, slots.leases, slots.idle())
        );
        assert_eq!((slots.listed as usize, checking), (listed.len(), self.checking));
        let tails: BTreeSet<_> = slots.idle_from_tail().collect();
        let level = |index: u32| slots.at(index).leases;
        assert!(tails.len() == idle as usize && tails.iter().all(|&index| level(index) == 0));
        let lowest = listed.iter().map(|&index| level(index)).min();
        assert_eq!(self.slots.least().map(|index| self.slots.at(index).leases), lowest);

        let (mut waiting, mut last, mut next) = (0, 0, self.queue.front());
        while let Some(id) = next {
            assert!(matches!(self.queue.state(id), State::Waiting(_)));
            let ticket = self.queue.ticket(id);
            assert!(ticket.number > last, "out of order");
            assert!(ticket.until >= self.queue.first_end, "its end would be missed");
            (waiting, last, next) = (waiting + 1, ticket.number, self.queue.after(id));
        }
        assert_eq!(waiting, self.queue.len);
        assert!(waiting == 0 || listed.is_empty(), "somebody waits beside a connection that can be had");
        assert!(self.starts <= self.connecting && self.spare <= self.connecting);
        assert!(self.starts > 0 || self.start_probe.is_none());
        assert!(!self.gate.probing || self.connecting > 0, "nobody can end the probe");

        let (size, counts) = (self.rules.size, self.counts);
        let connecting = self.connecting;
        assert!(connecting <= self.rules.connects);
        assert!(self.slots.alive() == 0 || self.slots.alive() + connecting <= size.max());
        assert_eq!(counts.created, u64::from(live) + counts.closed.iter().sum::<u64>());
        let ended = counts.served + counts.timeouts + counts.cancelled;
        let refused = counts.refused_full + counts.refused_down + counts.refused_closed;
        let pending = u64::from(waiting + self.queue.granted + self.proving);
        assert_eq!(counts.gets, ended + refused + pending);
    }
}
