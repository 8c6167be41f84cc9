//! The batcher without its shell: no runtime, no clock, no lock, and one owner.
//!
//! A request is known by the number of the cell that its answer goes to. It is *queued*, or *follows* a queued one that
//! it shares a result with, or *runs*. Batches are formed when they are sent: until then a request can leave without a
//! trace, and no cap is ever exceeded. [`State::settle`] ends every step that changes what a partition may do: after
//! it a partition that may go is in the ring, and one that may not yet has its moment among the lingers.

pub(crate) mod chain;
mod groups;
mod parts;
mod rules;
mod runs;
mod slots;
mod timers;

pub(crate) use rules::Rules;
pub(crate) use runs::{Taken, Target};

use crate::config::AtEnd;
use crate::intake::{Exchange, Orders};
use buttress_core::Reason;
use groups::Groups;
use parts::Parts;
use runs::Runs;
use slots::{Slots, Stage};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// A key with its hash, which its owner's thread has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyed<K> {
    pub(crate) hash: u64,
    pub(crate) key: K,
}

/// A request as it comes.
#[derive(Debug)]
pub(crate) struct Arrival<Req, K, D> {
    pub(crate) request: Req,
    pub(crate) partition: Keyed<K>,
    /// Those with equal keys share a result.
    pub(crate) group: Option<Keyed<D>>,
    pub(crate) weight: u64,
    pub(crate) deadline: Nanos,
    pub(crate) at: Nanos,
}

/// What is left to do after a step: answers to give, and values to drop that are not ours.
#[derive(Debug)]
pub(crate) struct Out<Req, K, D> {
    /// Requests that are answered without having been sent.
    pub(crate) refused: Vec<(u32, Reason)>,
    /// Requests whose callers had left before they were sent.
    pub(crate) left: Vec<u32>,
    pub(crate) requests: Vec<Req>,
    pub(crate) keys: Vec<K>,
    pub(crate) groups: Vec<D>,
}

impl<Req, K, D> Default for Out<Req, K, D> {
    fn default() -> Self {
        Self { refused: vec![], left: vec![], requests: vec![], keys: vec![], groups: vec![] }
    }
}

/// What was counted since it was last collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) shared: u64,
    pub(crate) cancelled: u64,
    pub(crate) timed_out: u64,
    pub(crate) closed: u64,
    pub(crate) broken: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.sent += other.sent;
        self.shared += other.shared;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
        self.closed += other.closed;
        self.broken += other.broken;
    }
}

/// Why a batch was sent when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flush {
    /// It could go, and nothing said that it was to wait.
    Idle,
    /// It was as large as it may be.
    Size,
    /// The next request would have made it too heavy.
    Weight,
    /// Its first request had waited for others long enough.
    Linger,
    /// A request in it would have been too late.
    Deadline,
    /// It was told to go: by a flush, or at the end.
    Drain,
}

impl Flush {
    /// All reasons, in the order of their counts.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Size, Self::Weight, Self::Linger, Self::Deadline, Self::Drain];

    /// The reason in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Size => "size",
            Self::Weight => "weight",
            Self::Linger => "linger",
            Self::Deadline => "deadline",
            Self::Drain => "drain",
        }
    }
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
    ended: VecDeque<u32>,
    /// When a request would be late, and then when it is.
    deadlines: Timers,
    /// When the first request of a partition has waited long enough.
    lingers: Timers,
    /// Requests that wait, with those that follow.
    queued: u32,
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
            ended: VecDeque::new(),
            deadlines: Timers::default(),
            lingers: Timers::default(),
            queued: 0,
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

    #[cfg(test)]
    pub(crate) fn partitions(&self) -> usize {
        self.parts.len()
    }

    /// Requests that others can follow: as they are listed, and as they are.
    #[cfg(test)]
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
        self.absorb(found.arrivals.drain(..), out);
        // Behind those that have come meanwhile: nobody goes twice while another waits.
        while let Some(p) = self.ended.pop_front() {
            self.settle(p, out);
        }
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
        for (id, arrival) in arrivals {
            self.tally.requests += 1;
            // What compares keys is not ours; nothing has changed yet if it panics.
            match catch_unwind(AssertUnwindSafe(|| self.seek(&arrival))) {
                Ok((part, leader)) => self.push(id, arrival, part, leader, out),
                Err(_) => {
                    self.tally.broken += 1;
                    out.refused.push((id, Reason::Failed));
                    out.requests.push(arrival.request);
                    out.keys.push(arrival.partition.key);
                    out.groups.extend(arrival.group.map(|group| group.key));
                }
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

    #[inline]
    fn push(
        &mut self,
        id: u32,
        arrival: Arrival<Req, K, D>,
        part: Option<u32>,
        leader: Option<u32>,
        out: &mut Out<Req, K, D>,
    ) {
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
        self.settle(p, out);
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

    /// Puts a partition where it belongs: in the ring, among the lingers, or nowhere.
    #[inline]
    fn settle(&mut self, p: u32, out: &mut Out<Req, K, D>) {
        let may_go = self.has_slot(p);
        if may_go && self.waits_until(p) > self.now {
            let until = self.waits_until(p);
            if until == NEVER {
                self.lingers.remove(p);
            } else {
                self.lingers.set(p, until);
            }
            return;
        }
        self.lingers.remove(p);
        let part = self.parts.at_mut(p);
        if may_go && !part.is_up {
            part.is_up = true;
            self.ring.push_back(p);
        }
        self.forget_idle(p, out);
    }

    #[inline]
    fn forget_idle(&mut self, p: u32, out: &mut Out<Req, K, D>) {
        if self.parts.at(p).is_idle() {
            out.keys.extend(self.parts.forget(p));
        }
    }

    /// Something waits in it, and fewer batches of it run than may.
    #[inline]
    fn has_slot(&self, p: u32) -> bool {
        let part = self.parts.at(p);
        !part.queue.is_empty() && part.running < self.rules.in_flight
    }

    /// Until when the batch that would go next is kept back for others to join it.
    #[inline]
    fn waits_until(&self, p: u32) -> Nanos {
        let part = self.parts.at(p);
        let Some(first) = part.queue.first() else { return NEVER };
        let is_told = self.is_draining || self.slots.at(first).number <= self.flushed;
        if self.rules.linger == 0 || is_told || part.urgent > 0 || self.is_full(p) {
            return 0;
        }
        self.slots.at(first).at.saturating_add(self.rules.linger)
    }

    /// The batch that would go next is as large or heavy as it may be.
    #[inline]
    fn is_full(&self, p: u32) -> bool {
        let part = self.parts.at(p);
        part.queue.len() >= self.rules.max_size || part.weight >= u128::from(self.rules.max_weight)
    }

    /// Whether a batch can go now, and if so whether it is full.
    pub(crate) fn wants(&mut self, out: &mut Out<Req, K, D>) -> Option<Ready> {
        if self.runs.running() >= self.rules.total {
            return None;
        }
        while let Some(&p) = self.ring.front() {
            if self.has_slot(p) && self.waits_until(p) <= self.now {
                return Some(if self.is_full(p) { Ready::Full } else { Ready::Partial });
            }
            self.ring.pop_front();
            self.parts.at_mut(p).is_up = false;
            self.settle(p, out);
        }
        None
    }

    /// Forms the next batch, which runs from now on.
    pub(crate) fn take(&mut self, out: &mut Out<Req, K, D>) -> Option<Taken<Req>> {
        self.wants(out)?;
        let p = self.ring.pop_front()?;
        let part = self.parts.at_mut(p);
        part.is_up = false;
        part.running += 1;
        let waited = part.queue.first().and_then(|first| self.waited(first));
        let why = self.why_partial(p);
        let run = self.runs.open(p);
        let mut requests = Vec::with_capacity(self.parts.at(p).queue.len().min(self.rules.max_size) as usize);
        let (mut weight, mut cut) = (0, false);
        while let Some(id) = self.parts.at(p).queue.first() {
            let more = weight + u128::from(self.slots.at(id).weight);
            cut = !requests.is_empty() && more > u128::from(self.rules.max_weight);
            if cut || requests.len() as u32 == self.rules.max_size {
                break;
            }
            weight = more;
            requests.extend(self.start(id, p, run, out));
        }
        let why = if requests.len() as u32 == self.rules.max_size {
            Flush::Size
        } else if cut || weight >= u128::from(self.rules.max_weight) {
            Flush::Weight
        } else {
            why
        };
        self.tally.sent += requests.len() as u64;
        self.settle(p, out);
        Some(Taken { run, requests, why, waited })
    }

    /// How long a request has waited, if it is known when it came.
    fn waited(&self, id: u32) -> Option<Duration> {
        let at = self.slots.at(id).at;
        (at > 0).then(|| Duration::from_nanos(self.now.saturating_sub(at)))
    }

    /// Why a batch of this partition goes that is not full.
    fn why_partial(&self, p: u32) -> Flush {
        let first = self.parts.at(p).queue.first();
        if self.is_draining || first.is_some_and(|id| self.slots.at(id).number <= self.flushed) {
            Flush::Drain
        } else if self.rules.linger == 0 {
            Flush::Idle
        } else if self.parts.at(p).urgent > 0 {
            Flush::Deadline
        } else {
            Flush::Linger
        }
    }

    /// Moves a request and those that follow it from the queue into a batch.
    #[inline]
    fn start(&mut self, id: u32, p: u32, run: u32, out: &mut Out<Req, K, D>) -> Option<Req> {
        let part = self.parts.at_mut(p);
        part.queue.remove(self.slots.all_mut(), id);
        part.weight -= u128::from(self.slots.at(id).weight);
        self.groups.remove(&self.slots, id);
        self.runs.add(&mut self.slots, run, id);
        let mut member = id;
        loop {
            self.queued -= 1;
            self.deadlines.remove(member);
            let slot = self.slots.at_mut(member);
            slot.stage = Stage::Running;
            self.parts.at_mut(p).urgent -= u32::from(std::mem::take(&mut slot.is_urgent));
            out.groups.extend(slot.group.take().map(|group| group.key));
            if member != id {
                self.tally.shared += 1;
                out.requests.extend(self.slots.at_mut(member).request.take());
            }
            member = self.slots.after_in_group(member);
            if member == id {
                return self.slots.at_mut(id).request.take();
            }
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
        self.ended.push_back(p);
        result
    }
}

/// How much of a batch can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Full,
    /// There is room for more in it.
    Partial,
}
