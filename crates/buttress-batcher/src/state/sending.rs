//! What is sent, and when.

use super::items::{Flush, Out, Ready};
use super::slots::Stage;
use super::{NEVER, Nanos, State, Taken};
use std::time::Duration;

impl<Req, K, D> State<Req, K, D> {
    /// Puts a partition where it belongs: in the ring, among the lingers, or nowhere.
    #[inline]
    pub(super) fn settle(&mut self, p: u32, out: &mut Out<Req, K, D>) {
        let may_go = self.has_slot(p);
        if may_go && self.waits_until(p) > self.now {
            self.lingers.set(p, self.waits_until(p));
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
    pub(super) fn forget_idle(&mut self, p: u32, out: &mut Out<Req, K, D>) {
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
        if self.rules.linger == 0 || is_told || part.urgent > 0 || self.is_full(p) || self.is_packed() {
            return 0;
        }
        self.slots.at(first).at.saturating_add(self.rules.linger)
    }

    /// The batch that would go next is as large or heavy as it may be.
    #[inline]
    fn is_full(&self, p: u32) -> bool {
        let part = self.parts.at(p);
        part.queue.len() >= self.rules.max_size || part.weight >= self.rules.max_weight
    }

    /// Nobody else can come before somebody is answered or leaves.
    #[inline]
    pub(super) fn is_packed(&self) -> bool {
        self.live >= self.rules.places
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

    /// Forms the batch of which [`wants`](Self::wants) has just said that it can go. It runs from now on.
    pub(crate) fn take(&mut self, out: &mut Out<Req, K, D>) -> Option<Taken<Req>> {
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
            cut = !requests.is_empty() && more > self.rules.max_weight;
            if cut || requests.len() as u32 == self.rules.max_size {
                break;
            }
            weight = more;
            requests.extend(self.start(id, p, run, out));
        }
        let why = if requests.len() as u32 == self.rules.max_size {
            Flush::Size
        } else if cut || weight >= self.rules.max_weight {
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
        } else if self.is_packed() {
            Flush::Size
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
}
