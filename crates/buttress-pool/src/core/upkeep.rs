//! What is due by age: lifetimes, idle connections, keepalive, leaks.

use super::slots::At;
use super::{Close, Core, Fx, Leak, Lend, NEVER, Nanos, News};

/// Upkeep is not done again sooner.
const SHORTEST: Nanos = 1_000_000;

impl<H: Lend, E: Clone> Core<H, E> {
    /// Draws how long a new connection lives. It should be replaced early enough that all of a pool can be, one after
    /// the other and at the slowest connect seen so far, before the first of them is too old.
    pub(super) fn set_lifetime(&mut self, index: u32, now: Nanos) {
        let life = self.rules.max_lifetime;
        if life != NEVER {
            let rounds = u64::from(self.rules.size.max().div_ceil(self.rules.connects));
            let lead = (self.worst_connect.saturating_mul(rounds) / 2).saturating_mul(3).min(life / 2);
            let jitter = self.random.u64(life / 50..=life / 10);
            let slot = self.slots.at_mut(index);
            slot.hard = now.saturating_add(life);
            slot.soft = slot.hard - jitter.max(lead);
        }
        let slot = self.slots.at(index);
        let idle = now.saturating_add(self.rules.idle_timeout.min(self.rules.keepalive));
        self.next_upkeep =
            self.next_upkeep.min(slot.soft).min(idle).min(now.saturating_add(self.rules.leak_after));
    }

    pub(super) fn upkeep(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        self.age(now, fx);
        self.reap_idle(now, fx);
        self.keep_alive(now, fx);
        self.find_leaks(now, fx);
        self.next_upkeep = self.next_due(now);
    }

    /// Marks what should be replaced, and closes what is too old.
    fn age(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        if self.rules.max_lifetime == NEVER {
            return;
        }
        for index in self.slots.indices() {
            let slot = self.slots.at(index);
            if slot.at == At::Free || slot.doomed.is_some() {
                continue;
            }
            if slot.hard <= now {
                self.close(index, Close::Aged, fx);
            } else if slot.soft <= now {
                self.slots.set_overdue(index);
            }
        }
    }

    fn reap_idle(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        while self.slots.alive() > self.rules.size.min() {
            let is_due =
                |&index: &u32| self.slots.at(index).used.saturating_add(self.rules.idle_timeout) <= now;
            let Some(index) = self.slots.idle_from_tail().find(is_due) else { break };
            self.close(index, Close::Idle, fx);
        }
    }

    /// One at a time: the others can be had meanwhile, and if it fails they are all checked.
    fn keep_alive(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        if self.keeping.is_none() {
            let is_due =
                |&index: &u32| self.slots.at(index).seen().saturating_add(self.rules.keepalive) <= now;
            self.keeping = self.slots.idle_from_tail().find(is_due);
            if let Some(index) = self.keeping {
                self.check(index, fx);
            }
        }
    }

    fn find_leaks(&mut self, now: Nanos, fx: &mut Fx<H, E>) {
        if self.rules.leak_after == NEVER || !self.slots.is_exclusive() {
            return;
        }
        for index in self.slots.indices() {
            let slot = self.slots.at_mut(index);
            let out_for = now.saturating_sub(slot.taken);
            if slot.leases > 0 && !slot.reported && out_for >= self.rules.leak_after {
                slot.reported = true;
                self.counts.leaks += 1;
                fx.news.extend(slot.by.map(|by| News::Leaked(Leak { by, out_for })));
            }
        }
    }

    /// When something may be due next. What is out now may come back at once, and counts from now.
    fn next_due(&self, now: Nanos) -> Nanos {
        let rules = &self.rules;
        let after = |at: Nanos, time: Nanos| at.saturating_add(time);
        let mut next = NEVER;
        for index in self.slots.indices() {
            let slot = self.slots.at(index);
            if slot.at == At::Free {
                continue;
            }
            let is_idle = slot.at == At::Listed && slot.leases == 0;
            if slot.doomed.is_none() {
                let aged = if slot.overdue { slot.hard } else { slot.soft };
                let (used, seen) = if is_idle { (slot.used, slot.seen()) } else { (now, now) };
                next = next.min(aged);
                if self.slots.alive() > rules.size.min() {
                    next = next.min(after(used, rules.idle_timeout));
                } else {
                    // It may be one too many again without anybody looking here.
                    next = next.min(after(now, rules.idle_timeout));
                }
                if self.keeping.is_none() {
                    next = next.min(after(seen, rules.keepalive));
                }
            }
            if self.slots.is_exclusive() {
                let taken = if slot.leases > 0 && !slot.reported { slot.taken } else { now };
                next = next.min(after(taken, rules.leak_after));
            }
        }
        // Times of nothing at all would keep the driver busy.
        next.max(now.saturating_add(SHORTEST))
    }

    /// At the most connections there may be, an overdue one goes before its successor comes: but only while somebody
    /// who asks still finds one.
    pub(super) fn renew_at_max(&mut self, fx: &mut Fx<H, E>) {
        // Those beyond the successors that are on their way.
        while self.slots.overdue > self.spare
            && self.connecting < self.rules.connects
            && self.slots.live + self.connecting == self.rules.size.max()
            && self.slots.listed >= 2
        {
            let idle = self.slots.idle_from_tail().find(|&index| self.slots.at(index).overdue);
            let Some(index) = idle else { break };
            self.close(index, Close::Aged, fx);
            self.start(fx);
        }
    }

    /// Its successor is here: lets an overdue connection go, an idle one if there is one.
    pub(super) fn retire_one(&mut self, fx: &mut Fx<H, E>) {
        let is_overdue = |&index: &u32| self.slots.at(index).overdue && self.slots.at(index).doomed.is_none();
        let idle = self.slots.idle_from_tail().find(is_overdue);
        let any = || {
            let is_live = |index: &u32| self.slots.at(*index).at != At::Free && is_overdue(index);
            self.slots.indices().filter(is_live).min_by_key(|&index| self.slots.at(index).soft)
        };
        if let Some(index) = idle.or_else(any) {
            self.close(index, Close::Aged, fx);
        }
    }

    /// Closes a connection as soon as nobody has it.
    pub(super) fn close(&mut self, index: u32, why: Close, fx: &mut Fx<H, E>) {
        self.slots.doom(index, why);
        self.place(index, fx);
    }
}
