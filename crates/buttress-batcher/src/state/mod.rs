//! The batcher without its shell: no runtime, no clock, no lock, and one owner.
//!
//! A request is known by the number of the cell that its answer goes to. It is *queued*, or *follows* a queued one that
//! it shares a result with, or *runs*. Batches are formed when they are sent: until then a request can leave without a
//! trace, and no cap is ever exceeded. [`State::settle`] ends every step that changes what a partition may do: after
//! it a partition that may go is in the ring, and one that may not yet has its moment among the lingers.

pub(crate) mod chain;
mod groups;
mod items;
mod parts;
mod rules;
mod runs;
mod sending;
mod slots;
mod timers;

pub use items::Flush;
pub(crate) use items::{Arrival, Keyed, Out, Ready, Tally};
pub(crate) use rules::Rules;
pub(crate) use runs::{Taken, Target};

use crate::config::AtEnd;
use crate::guard::guarded;
use crate::intake::{Exchange, Orders};
use buttress_core::Reason;
use groups::Groups;
use parts::Parts;
use runs::Runs;
use slots::{Slots, Stage};
use std::collections::VecDeque;
use std::time::Duration;
use timers::Timers;

/// Nanoseconds since the batcher was made.
pub(crate) type Nanos = u64;

pub(crate) const NEVER: Nanos = Nanos::MAX;

/// So much before its deadline a request is sent that waits for others: timers are as late as that.
const HEADROOM: Nanos = 1_000_000;

pub(crate) fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(NEVER)
}

#[derive(Debug)]
pub(crate) struct State<Req, K, D> {
    rules: Rules,
    slots: Slots<Req, D>,
    parts: Parts<K>,
    groups: Groups,
    runs: Runs,
    /// Partitions that may go, in the order in which they do; one that may not any more is passed over.
    ring: VecDeque<u32>,
    /// Partitions of which a batch has ended, until the driver has looked who else has come.
    ended: Vec<u32>,
    /// When a request would be late, and then when it is.
    deadlines: Timers,
    /// When the first request of a partition has waited long enough.
    lingers: Timers,
    /// Requests that wait, with those that follow.
    queued: u32,
    /// Those, and requests that run.
    live: u32,
    /// How many requests have come, which numbers them; those before `flushed` wait for nobody.
    came: u64,
    flushed: u64,
    is_draining: bool,
    is_closing: bool,
    now: Nanos,
    pub(crate) tally: Tally,
}

impl<Req, K, D> State<Req, K, D> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            slots: Slots::new(),
            parts: Parts::new(),
            groups: Groups::new(),
            runs: Runs::new(),
            ring: VecDeque::new(),
            ended: Vec::new(),
            deadlines: Timers::default(),
            lingers: Timers::default(),
            queued: 0,
            live: 0,
            came: 0,
            flushed: 0,
            is_draining: false,
            is_closing: false,
            now: 0,
            tally: Tally::default(),
        }
    }

    #[inline]
    pub(crate) fn queued(&self) -> u32 {
        self.queued
    }

    #[inline]
    pub(crate) fn running(&self) -> u32 {
        self.runs.running()
    }

    #[cfg(all(test, not(buttress_loom)))]
    pub(crate) fn partitions(&self) -> usize {
        self.parts.len()
    }

    /// Requests that others can follow: as they are listed, and as they are.
    #[cfg(all(test, not(buttress_loom)))]
    pub(crate) fn leaders(&self) -> (usize, usize) {
        (self.groups.len(), self.slots.keyed_leaders())
    }

    /// Nobody comes any more, and everybody is answered.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_closing && self.queued == 0 && self.running() == 0
    }

    /// Nothing can go before a batch ends, whoever comes.
    #[inline]
    pub(crate) fn is_saturated(&self) -> bool {
        let running = self.runs.running();
        running >= self.rules.total || (!self.rules.is_partitioned && running >= self.rules.in_flight)
    }

    /// What it does depends on the time.
    #[inline]
    pub(crate) fn needs_time(&self) -> bool {
        self.rules.linger > 0 || !self.deadlines.is_empty()
    }

    /// When [`tick`](Self::tick) has something to do.
    #[inline]
    pub(crate) fn due(&self) -> Nanos {
        let first = |timers: &Timers| timers.first().map_or(NEVER, |(at, _)| at);
        first(&self.deadlines).min(first(&self.lingers))
    }

    /// Takes over what the driver has found at the intake.
    pub(crate) fn take_in(&mut self, found: &mut Exchange<Arrival<Req, K, D>>, out: &mut Out<Req, K, D>)
    where
        K: Eq,
        D: Eq,
    {
        if !found.is_empty {
            self.hear(found, out);
        }
        // Behind those that have come meanwhile: nobody goes twice while another waits.
        for index in 0..self.ended.len() {
            self.settle(self.ended[index], out);
        }
        self.ended.clear();
    }

    #[inline]
    fn hear(&mut self, found: &mut Exchange<Arrival<Req, K, D>>, out: &mut Out<Req, K, D>)
    where
        K: Eq,
        D: Eq,
    {
        self.absorb(found.arrivals.drain(..), out);
        for id in found.leavers.drain(..) {
            self.cancel(id, out);
        }
        let Orders { flush, close, config } = std::mem::take(&mut found.orders);
        if let Some(config) = config {
            self.rules = Rules::new(&config, self.rules.is_partitioned);
            self.settle_all(out);
        }
        if flush {
            self.flushed = self.came;
            self.settle_all(out);
        }
        match close {
            None => {}
            Some(AtEnd::Flush) => {
                self.is_draining = true;
                self.settle_all(out);
            }
            Some(AtEnd::Fail) => self.close(out),
        }
        self.is_closing |= close.is_some();
    }

    /// Takes requests over in the order in which they came.
    fn absorb(&mut self, arrivals: impl Iterator<Item = (u32, Arrival<Req, K, D>)>, out: &mut Out<Req, K, D>)
    where
        K: Eq,
        D: Eq,
    {
        // Those that come one after the other are mostly of one partition, which is settled once for all of them.
        let mut unsettled = None;
        for (id, arrival) in arrivals {
            self.tally.requests += 1;
            // What compares keys is not ours; nothing has changed yet if it panics.
            match guarded(|| self.seek(&arrival)) {
                Some((part, leader)) => {
                    let p = self.push(id, arrival, part, leader, out);
                    if let Some(before) = unsettled.replace(p).filter(|&before| before != p) {
                        self.settle(before, out);
                    }
                }
                None => {
                    self.tally.broken += 1;
                    out.refused.push((id, Reason::Failed));
                    out.requests.push(arrival.request);
                    out.keys.push(arrival.partition.key);
                    out.groups.extend(arrival.group.map(|group| group.key));
                }
            }
        }
        unsettled.into_iter().for_each(|p| self.settle(p, out));
        if self.is_packed() {
            while let Some((_, p)) = self.lingers.first() {
                self.settle(p, out);
            }
        }
    }

    /// The partition of a request, if there is one already, and the request that it may follow.
    #[inline]
    fn seek(&self, arrival: &Arrival<Req, K, D>) -> (Option<u32>, Option<u32>)
    where
        K: Eq,
        D: Eq,
    {
        let part = self.parts.find(&arrival.partition);
        let leader = match (part, &arrival.group) {
            (Some(p), Some(group)) => self.groups.find(&self.slots, p, group),
            _ => None,
        };
        (part, leader)
    }

    /// Puts a request where it belongs, but for its partition.
    #[inline]
    fn push(
        &mut self,
        id: u32,
        arrival: Arrival<Req, K, D>,
        part: Option<u32>,
        leader: Option<u32>,
        out: &mut Out<Req, K, D>,
    ) -> u32 {
        let Arrival { request, partition, group, weight, deadline, at } = arrival;
        let p = match part {
            Some(p) => {
                out.keys.push(partition.key);
                p
            }
            None => self.parts.insert(partition),
        };
        self.came += 1;
        self.queued += 1;
        self.live += 1;
        self.slots.put(id, slots::Item { request, group, part: p, weight, deadline, at, number: self.came });
        match leader {
            Some(leader) => self.slots.follow(id, leader),
            None => {
                self.groups.insert(&self.slots, id);
                let part = self.parts.at_mut(p);
                part.queue.push_back(self.slots.all_mut(), id);
                part.weight += u128::from(weight);
            }
        }
        if deadline != NEVER {
            self.deadlines.set(id, deadline.saturating_sub(HEADROOM));
        }
        if let Some(before) = self.parts.touch(p) {
            self.forget_idle(before, out);
        }
        p
    }

    /// The caller has left. Its request is taken out, unless it is on its way already.
    fn cancel(&mut self, id: u32, out: &mut Out<Req, K, D>) {
        if self.slots.is_waiting(id) {
            self.tally.cancelled += 1;
            self.remove(id, out);
            out.left.push(id);
        }
    }

    /// Takes out a request that waits. Those that follow it stay: the first of them takes its place.
    fn remove(&mut self, id: u32, out: &mut Out<Req, K, D>) {
        self.deadlines.remove(id);
        self.queued -= 1;
        let p = self.slots.at(id).part;
        let part = self.parts.at_mut(p);
        part.urgent -= u32::from(self.slots.at(id).is_urgent);
        if self.slots.at(id).stage == Stage::Queued {
            part.weight -= u128::from(self.slots.at(id).weight);
            if let Some(heir) = self.slots.next_in_group(id) {
                part.queue.replace(self.slots.all_mut(), id, heir);
                self.groups.replace(&self.slots, id, heir);
                part.weight += u128::from(self.slots.succeed(id, heir));
            } else {
                part.queue.remove(self.slots.all_mut(), id);
                self.groups.remove(&self.slots, id);
            }
        }
        self.slots.leave_group(id);
        self.free(id, out);
        self.settle(p, out);
    }

    fn free(&mut self, id: u32, out: &mut Out<Req, K, D>) {
        self.live -= 1;
        let (request, group) = self.slots.free(id);
        out.requests.extend(request);
        out.groups.extend(group.map(|group| group.key));
    }

    /// Does what is due at this time: answers those that are too late, and lets go what has waited long enough.
    pub(crate) fn tick(&mut self, now: Nanos, out: &mut Out<Req, K, D>) {
        self.now = now;
        while let Some((_, id)) = self.deadlines.first().filter(|&(at, _)| at <= now) {
            let (p, deadline) = (self.slots.at(id).part, self.slots.at(id).deadline);
            if deadline <= now {
                self.tally.timed_out += 1;
                self.remove(id, out);
                out.refused.push((id, Reason::TimedOut));
            } else {
                self.slots.at_mut(id).is_urgent = true;
                self.parts.at_mut(p).urgent += 1;
                self.deadlines.set(id, deadline);
                self.settle(p, out);
            }
        }
        while let Some((_, p)) = self.lingers.first().filter(|&(at, _)| at <= now) {
            self.settle(p, out);
        }
    }

    /// Answers all that wait.
    fn close(&mut self, out: &mut Out<Req, K, D>) {
        for id in self.slots.waiting() {
            self.tally.closed += 1;
            self.remove(id, out);
            out.refused.push((id, Reason::Closed));
        }
    }

    /// Answers all there are, since nobody will see to them.
    pub(crate) fn abandon(&mut self, found: &mut Exchange<Arrival<Req, K, D>>, out: &mut Out<Req, K, D>)
    where
        K: Eq,
        D: Eq,
    {
        self.take_in(found, out);
        let mut targets = Vec::new();
        for run in self.runs.indices() {
            self.end(run, &mut targets, out);
        }
        out.refused.extend(targets.into_iter().map(|target| (target.id, Reason::Closed)));
        self.close(out);
    }

    fn settle_all(&mut self, out: &mut Out<Req, K, D>) {
        for p in self.parts.used() {
            self.settle(p, out);
        }
    }

    /// A batch has ended: says whose the results are, in the order of its requests, and how many those were. Its partition
    /// has its turn after the next [`take_in`](Self::take_in).
    pub(crate) fn end(&mut self, run: u32, targets: &mut Vec<Target>, out: &mut Out<Req, K, D>) -> u32 {
        let (p, mut members) = self.runs.close(run);
        let mut result = 0;
        while let Some(id) = members.pop_front(self.slots.all_mut()) {
            while let Some(follower) = self.slots.next_in_group(id) {
                self.slots.leave_group(follower);
                targets.push(Target { id: follower, result });
                self.free(follower, out);
            }
            targets.push(Target { id, result });
            self.free(id, out);
            result += 1;
        }
        self.parts.at_mut(p).running -= 1;
        self.ended.push(p);
        result
    }
}
