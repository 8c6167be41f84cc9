//! What is known of each request, by the number of its cell.

use super::chain::{Link, Linked};
use super::{Keyed, Nanos};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Free,
    /// In its partition's queue.
    Queued,
    /// In the group of one that is queued.
    Following,
    Running,
}

#[derive(Debug)]
pub(crate) struct Slot<Req, D> {
    pub(super) stage: Stage,
    /// A soon deadline of its own keeps its partition from waiting.
    pub(super) is_urgent: bool,
    pub(super) request: Option<Req>,
    pub(super) group: Option<Keyed<D>>,
    pub(super) part: u32,
    pub(super) weight: u64,
    pub(super) deadline: Nanos,
    /// When it came, or the one whose place it took; zero if nobody looked.
    pub(super) at: Nanos,
    /// Its place in the order in which requests came.
    pub(super) number: u64,
    link: Link,
    /// The ring of those that share a result; by itself it is one of its own.
    before: u32,
    after: u32,
}

/// What a slot is filled with.
pub(super) struct Item<Req, D> {
    pub(super) request: Req,
    pub(super) group: Option<Keyed<D>>,
    pub(super) part: u32,
    pub(super) weight: u64,
    pub(super) deadline: Nanos,
    pub(super) at: Nanos,
    pub(super) number: u64,
}

impl<Req, D> Linked for Slot<Req, D> {
    #[inline]
    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

#[derive(Debug)]
pub(crate) struct Slots<Req, D>(Vec<Slot<Req, D>>);

impl<Req, D> Slots<Req, D> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    #[inline]
    pub(super) fn at(&self, id: u32) -> &Slot<Req, D> {
        &self.0[id as usize]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, id: u32) -> &mut Slot<Req, D> {
        &mut self.0[id as usize]
    }

    #[inline]
    pub(super) fn all_mut(&mut self) -> &mut [Slot<Req, D>] {
        &mut self.0
    }

    #[inline]
    pub(super) fn is_waiting(&self, id: u32) -> bool {
        self.0.get(id as usize).is_some_and(|slot| matches!(slot.stage, Stage::Queued | Stage::Following))
    }

    /// Those that have not been sent.
    pub(super) fn waiting(&self) -> Vec<u32> {
        (0..self.0.len() as u32).filter(|&id| self.is_waiting(id)).collect()
    }

    #[cfg(all(test, not(buttress_loom)))]
    pub(super) fn keyed_leaders(&self) -> usize {
        self.0.iter().filter(|slot| slot.stage == Stage::Queued && slot.group.is_some()).count()
    }

    /// A request that leads a group of its own.
    #[inline]
    pub(super) fn put(&mut self, id: u32, item: Item<Req, D>) {
        while self.0.len() <= id as usize {
            self.0.push(Slot::free(self.0.len() as u32));
        }
        let Item { request, group, part, weight, deadline, at, number } = item;
        let slot = self.at_mut(id);
        debug_assert_eq!(slot.stage, Stage::Free, "a cell was given to two callers");
        slot.stage = Stage::Queued;
        slot.request = Some(request);
        slot.group = group;
        slot.part = part;
        slot.weight = weight;
        slot.deadline = deadline;
        slot.at = at;
        slot.number = number;
    }

    /// Empties a slot, and hands out what is not ours to drop.
    #[inline]
    pub(super) fn free(&mut self, id: u32) -> (Option<Req>, Option<Keyed<D>>) {
        let slot = self.at_mut(id);
        slot.stage = Stage::Free;
        slot.is_urgent = false;
        (slot.request.take(), slot.group.take())
    }

    /// Joins the group of `leader`, as its last.
    pub(super) fn follow(&mut self, id: u32, leader: u32) {
        self.at_mut(id).stage = Stage::Following;
        let last = self.at(leader).before;
        self.join(last, id);
        self.join(id, leader);
    }

    #[inline]
    pub(super) fn after_in_group(&self, id: u32) -> u32 {
        self.at(id).after
    }

    /// The next one, if it is not alone.
    #[inline]
    pub(super) fn next_in_group(&self, id: u32) -> Option<u32> {
        let after = self.at(id).after;
        (after != id).then_some(after)
    }

    #[inline]
    pub(super) fn leave_group(&mut self, id: u32) {
        let (before, after) = (self.at(id).before, self.at(id).after);
        self.join(before, after);
        self.join(id, id);
    }

    fn join(&mut self, before: u32, after: u32) {
        self.at_mut(before).after = after;
        self.at_mut(after).before = before;
    }

    /// The group of `id` is led by `heir` from now on, and has waited for as long as before. Gives what it weighs now.
    pub(super) fn succeed(&mut self, id: u32, heir: u32) -> u64 {
        let (at, number) = (self.at(id).at, self.at(id).number);
        let heir = self.at_mut(heir);
        heir.stage = Stage::Queued;
        heir.at = at;
        heir.number = number;
        heir.weight
    }
}

impl<Req, D> Slot<Req, D> {
    fn free(id: u32) -> Self {
        Self {
            stage: Stage::Free,
            is_urgent: false,
            request: None,
            group: None,
            part: 0,
            weight: 0,
            deadline: 0,
            at: 0,
            number: 0,
            link: Link::LOOSE,
            before: id,
            after: id,
        }
    }
}
