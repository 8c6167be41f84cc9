//! The batcher as one would write it to be read: vectors, in the order of what they mean, looked through each time.

use super::{MS, Request};
use crate::config::{AtEnd, Config, Oversize, WhenFull};
use crate::intake::Reserve;
use crate::state::{Flush, NEVER, Nanos, Tally, nanos};
use buttress_core::Reason;
use std::collections::{BTreeMap, BTreeSet};

/// What a caller is answered: by the result of this caller's request, or with a refusal.
pub(super) type Reply = Result<u64, Reason>;

#[derive(Clone, Copy, Debug)]
struct Member {
    caller: u64,
    weight: u64,
    deadline: Nanos,
}

/// Requests that share a result; the first of them is the one that is sent.
#[derive(Clone, Debug)]
struct Group {
    partition: u8,
    key: Option<u8>,
    members: Vec<Member>,
    since: Nanos,
    flushed: bool,
}

#[derive(Clone, Debug)]
struct Running {
    partition: u8,
    groups: Vec<Group>,
}

/// A batch as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) partition: u8,
    pub(super) callers: Vec<u64>,
    pub(super) why: Flush,
    pub(super) waited: Nanos,
}

#[derive(Debug)]
pub(super) struct Naive {
    config: Config,
    is_partitioned: bool,
    /// Services that wait for a place, and those that have one.
    line: Vec<usize>,
    holders: Vec<usize>,
    /// Those that have waited in a line that is gone, and have not looked since.
    dismissed: Vec<usize>,
    queue: Vec<Group>,
    running: BTreeMap<u64, Running>,
    ended: Vec<u64>,
    last_run: u64,
    left: Vec<u64>,
    is_flushing: bool,
    is_closed: bool,
    closing: Vec<AtEnd>,
    is_draining: bool,
    /// What is in force for batches; the driver hears of another at its next look.
    rules: Config,
    places_taken: u32,
    now: Nanos,
    pub(super) tally: Tally,
    pub(super) replies: BTreeMap<u64, Reply>,
}

impl Naive {
    pub(super) fn new(config: Config, is_partitioned: bool) -> Self {
        Self {
            rules: config.clone(),
            config,
            is_partitioned,
            line: vec![],
            holders: vec![],
            dismissed: vec![],
            queue: vec![],
            running: BTreeMap::new(),
            ended: vec![],
            last_run: 0,
            left: vec![],
            is_flushing: false,
            is_closed: false,
            closing: vec![],
            is_draining: false,
            places_taken: 0,
            now: 0,
            tally: Tally::default(),
            replies: BTreeMap::new(),
        }
    }

    pub(super) fn places_taken(&self) -> u32 {
        self.places_taken
    }

    pub(super) fn waiting(&self) -> u32 {
        self.line.len() as u32
    }

    pub(super) fn queued(&self) -> u32 {
        self.queue.iter().map(|group| group.members.len() as u32).sum()
    }

    pub(super) fn running(&self) -> u32 {
        self.running.len() as u32
    }

    pub(super) fn is_waiting(&self, service: usize) -> bool {
        self.line.contains(&service)
    }

    pub(super) fn partition_of(&self, caller: u64) -> &u8 {
        let is_of = |group: &&Group| group.members[0].caller == caller;
        &self.queue.iter().find(is_of).expect("it waits, and leads").partition
    }

    /// One more batch may run, whatever its partition.
    pub(super) fn has_slot(&self) -> bool {
        self.rules.total_in_flight.is_none_or(|total| self.running() < total.get())
    }

    /// How many partitions there is something of.
    pub(super) fn partitions(&self) -> usize {
        let waiting = self.queue.iter().map(|group| group.partition);
        let running = self.running.values().map(|run| run.partition);
        waiting.chain(running).collect::<BTreeSet<_>>().len()
    }

    fn room(&self) -> bool {
        self.places_taken < self.config.places().get() && self.line.is_empty()
    }

    fn hand_over_places(&mut self) {
        while !self.is_closed && !self.line.is_empty() && self.places_taken < self.config.places().get() {
            let first = self.line.remove(0);
            self.holders.push(first);
            self.places_taken += 1;
        }
    }

    pub(super) fn reserve(&mut self, service: usize) -> Reserve {
        if self.is_closed {
            return Reserve::Closed;
        }
        if self.holders.contains(&service) {
            return Reserve::Ready;
        }
        if self.line.contains(&service) {
            return Reserve::Full;
        }
        self.dismissed.retain(|&other| other != service);
        if self.config.when_full == WhenFull::Refuse {
            return Reserve::Ready;
        }
        if self.room() {
            self.holders.push(service);
            self.places_taken += 1;
            return Reserve::Ready;
        }
        self.line.push(service);
        Reserve::Full
    }

    pub(super) fn give_up(&mut self, service: usize) {
        self.line.retain(|&other| other != service);
        self.dismissed.retain(|&other| other != service);
        if self.holders.contains(&service) {
            self.holders.retain(|&other| other != service);
            self.places_taken -= 1;
        }
        self.hand_over_places();
    }

    pub(super) fn enter(
        &mut self,
        service: usize,
        holds: bool,
        request: &Request,
        at: Nanos,
    ) -> Result<(), Reason> {
        if self.is_closed {
            return Err(Reason::Closed);
        }
        let too_heavy = self.config.max_weight.is_some_and(|most| request.weight > most.get());
        if too_heavy && self.config.oversize == Oversize::Refuse {
            return Err(Reason::Overloaded);
        }
        if holds {
            self.holders.retain(|&other| other != service);
        } else if !self.expects_a_place(service) && self.room() {
            self.places_taken += 1;
        } else {
            return Err(Reason::Overloaded);
        }
        self.tally.requests += 1;
        let member = Member { caller: request.caller, weight: request.weight, deadline: request.deadline };
        let partition = if self.is_partitioned { request.partition } else { 0 };
        let same = |group: &&mut Group| {
            group.partition == partition && group.key.is_some() && group.key == request.group
        };
        match self.queue.iter_mut().find(same) {
            Some(group) => group.members.push(member),
            None => self.queue.push(Group {
                partition,
                key: request.group,
                members: vec![member],
                since: at,
                flushed: false,
            }),
        }
        Ok(())
    }

    fn expects_a_place(&self, service: usize) -> bool {
        [&self.line, &self.holders, &self.dismissed].iter().any(|services| services.contains(&service))
    }

    pub(super) fn leave(&mut self, caller: u64) {
        self.left.push(caller);
    }

    pub(super) fn end_run(&mut self, run: u64) {
        self.ended.push(run);
    }

    pub(super) fn flush(&mut self) {
        self.is_flushing = true;
    }

    pub(super) fn close(&mut self, at_end: Option<AtEnd>) {
        if self.is_closed && at_end.is_none() {
            return;
        }
        // The last word before the driver looks is what it hears, unless one before was to refuse all.
        if self.closing != [AtEnd::Fail] {
            self.closing = vec![at_end.unwrap_or(self.config.at_end)];
        }
        self.is_closed = true;
        // They are woken, and learn that it is closed.
        self.dismissed.append(&mut self.line);
    }

    pub(super) fn reconfigure(&mut self, config: Config) {
        self.config = config;
        self.hand_over_places();
        if self.config.when_full == WhenFull::Refuse {
            // Nobody waits any more.
            self.dismissed.append(&mut self.line);
        }
    }

    /// All that the driver does at a look, but for sending.
    pub(super) fn look(&mut self, now: Nanos) {
        self.now = now;
        self.rules = self.config.clone();
        for run in std::mem::take(&mut self.ended) {
            let Running { groups, .. } = self.running.remove(&run).expect("it ran");
            for group in groups {
                for member in &group.members {
                    self.reply(member.caller, Ok(group.members[0].caller));
                }
            }
        }
        for caller in std::mem::take(&mut self.left) {
            if self.take_out(caller) {
                self.tally.cancelled += 1;
                self.places_taken -= 1;
            }
        }
        if std::mem::take(&mut self.is_flushing) {
            self.queue.iter_mut().for_each(|group| group.flushed = true);
        }
        for at_end in std::mem::take(&mut self.closing) {
            match at_end {
                AtEnd::Flush => self.is_draining = true,
                AtEnd::Fail => self.fail_all(),
            }
        }
        let late = |member: &&Member| member.deadline <= now;
        let late: Vec<_> = self.queue.iter().flat_map(|group| &group.members).filter(late).copied().collect();
        for Member { caller, .. } in late {
            self.take_out(caller);
            self.tally.timed_out += 1;
            self.reply(caller, Err(Reason::TimedOut));
        }
        self.hand_over_places();
    }

    fn fail_all(&mut self) {
        for group in std::mem::take(&mut self.queue) {
            for member in group.members {
                self.tally.closed += 1;
                self.reply(member.caller, Err(Reason::Closed));
            }
        }
    }

    /// The driver is dropped.
    pub(super) fn kill(&mut self, now: Nanos) {
        self.ended.clear();
        self.is_closed = true;
        // Nobody is let in for what is freed now.
        self.dismissed.append(&mut self.line);
        let running: Vec<_> = self.running.keys().copied().collect();
        for run in running {
            for group in self.running.remove(&run).expect("it ran").groups {
                for member in group.members {
                    self.reply(member.caller, Err(Reason::Closed));
                }
            }
        }
        self.now = now;
        for caller in std::mem::take(&mut self.left) {
            if self.take_out(caller) {
                self.tally.cancelled += 1;
                self.places_taken -= 1;
            }
        }
        self.fail_all();
    }

    fn reply(&mut self, caller: u64, reply: Reply) {
        assert!(self.replies.insert(caller, reply).is_none(), "answered twice");
        self.places_taken -= 1;
    }

    fn take_out(&mut self, caller: u64) -> bool {
        let before = self.queued();
        for group in &mut self.queue {
            group.members.retain(|member| member.caller != caller);
        }
        self.queue.retain(|group| !group.members.is_empty());
        self.queued() < before
    }

    fn of(&self, partition: u8) -> Vec<&Group> {
        self.queue.iter().filter(|group| group.partition == partition).collect()
    }

    fn weight(group: &Group) -> u128 {
        group.members[0].weight.into()
    }

    fn max_weight(&self) -> u128 {
        self.rules.max_weight.map_or(u128::MAX, |most| most.get().into())
    }

    /// Requests that wait or run take all the places there are.
    fn is_packed(&self) -> bool {
        let running = self.running.values().flat_map(|run| &run.groups);
        let running: usize = running.map(|group| group.members.len()).sum();
        self.queued() + running as u32 >= self.rules.places().get()
    }

    /// Why a batch of this partition may go now, if one may.
    fn why(&self, partition: u8) -> Option<Flush> {
        let groups = self.of(partition);
        let first = groups.first()?;
        let in_flight = self.running.values().filter(|run| run.partition == partition).count();
        let total = self.rules.total_in_flight.map_or(u32::MAX, std::num::NonZero::get);
        if in_flight as u32 >= self.rules.in_flight.get() || self.running() >= total {
            return None;
        }
        let linger = nanos(self.rules.linger);
        let is_urgent = |group: &&Group| {
            let soon =
                |member: &Member| member.deadline != NEVER && member.deadline.saturating_sub(MS) <= self.now;
            group.members.iter().any(soon)
        };
        let weight: u128 = groups.iter().map(|group| Self::weight(group)).sum();
        if groups.len() as u32 >= self.rules.max_size.get() {
            Some(Flush::Size)
        } else if weight >= self.max_weight() {
            Some(Flush::Weight)
        } else if self.is_draining || first.flushed {
            Some(Flush::Drain)
        } else if linger == 0 {
            Some(Flush::Idle)
        } else if groups.iter().any(is_urgent) {
            Some(Flush::Deadline)
        } else if self.is_packed() {
            Some(Flush::Size)
        } else if first.since.saturating_add(linger) <= self.now {
            Some(Flush::Linger)
        } else {
            None
        }
    }

    /// The partitions of which a batch may go now.
    pub(super) fn may_go(&self) -> Vec<u8> {
        (0..=u8::MAX).filter(|&partition| self.why(partition).is_some()).collect()
    }

    /// Sends the batch of this partition that may go now, and says what it is and under which number it runs.
    pub(super) fn send(&mut self, partition: u8) -> (Batch, u64) {
        let mut why = self.why(partition).expect("it may go");
        let fills_a_batch = self.of(partition).len() as u32 >= self.rules.max_size.get();
        let waited = self.now - self.of(partition)[0].since;
        let (mut groups, mut weight) = (vec![], 0);
        for group in self.of(partition) {
            if groups.len() as u32 == self.rules.max_size.get() {
                break;
            }
            let more = weight + Self::weight(group);
            if !groups.is_empty() && more > self.max_weight() {
                break;
            }
            groups.push(group.clone());
            weight = more;
        }
        if fills_a_batch && groups.len() as u32 != self.rules.max_size.get() {
            why = Flush::Weight;
        }
        let callers: Vec<_> = groups.iter().map(|group| group.members[0].caller).collect();
        self.tally.sent += groups.len() as u64;
        self.tally.shared += groups.iter().map(|group| group.members.len() as u64 - 1).sum::<u64>();
        let is_in = |group: &Group| callers.contains(&group.members[0].caller);
        self.queue.retain(|group| !is_in(group));
        self.last_run += 1;
        self.running.insert(self.last_run, Running { partition, groups });
        (Batch { partition, callers, why, waited }, self.last_run)
    }
}
