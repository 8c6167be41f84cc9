//! The connections, by how many leases each has out.

use super::counts::Close;
use super::{NEVER, NONE, Nanos};
use std::panic::Location;

/// What a slot keeps of a connection, and what a lease gets of it.
pub(crate) trait Lend: Sized {
    /// All of it, if a lease is exclusive; a twin, if several share it.
    fn lend(kept: &mut Option<Self>) -> Option<Self>;
}

/// Where a slot is. Each is in exactly one of these places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// No connection.
    Free,
    /// In the list of its number of leases.
    Listed,
    /// Has as many leases as it may have, or is doomed and waits for the last to come back.
    Out,
    /// The driver checks it.
    Check,
}

#[derive(Debug)]
pub(crate) struct Slot<H> {
    /// Away while an exclusive lease, or the check of such a connection, has it.
    pub(crate) handle: Option<H>,
    pub(crate) at: At,
    /// Closes with its last lease, and why.
    pub(crate) doomed: Option<Close>,
    pub(crate) overdue: bool,
    pub(crate) reported: bool,
    pub(crate) leases: u32,
    prev: u32,
    next: u32,
    /// The how-manieth connection of the pool it is.
    pub(crate) born: u64,
    /// When it was last given back after use.
    pub(crate) used: Nanos,
    /// When it was last known to work: connected, or checked.
    pub(crate) proved: Nanos,
    /// The last time it was leased, and by whom.
    pub(crate) taken: Nanos,
    pub(crate) by: Option<&'static Location<'static>>,
    /// Should be replaced from then on, and is closed then.
    pub(crate) soft: Nanos,
    pub(crate) hard: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };
}

/// All slots in a slab; one list per number of leases, most recently moved first. Indices are stable, and one is free
/// again only when its last lease is back.
#[derive(Debug)]
pub(crate) struct Slots<H> {
    slots: Vec<Slot<H>>,
    /// The first free slot; they are linked by `next`.
    free: u32,
    /// As many as there were ever leases on one connection, and one: `leases_each` may be far more than that.
    lists: Vec<List>,
    leases_each: u32,
    /// No list before this one has a slot.
    lowest: usize,
    /// Slots in lists.
    pub(crate) listed: u32,
    /// Slots that are not free; how many of those are doomed, and overdue and not doomed.
    pub(crate) live: u32,
    pub(crate) doomed: u32,
    pub(crate) overdue: u32,
    /// Leases that are out: granted, checked by their getter, or in use.
    pub(crate) leases: u64,
}

impl<H> Slots<H> {
    pub(crate) fn new(leases_each: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            lists: vec![List::EMPTY],
            leases_each,
            lowest: 0,
            listed: 0,
            live: 0,
            doomed: 0,
            overdue: 0,
            leases: 0,
        }
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Slot<H> {
        &self.slots[index as usize]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Slot<H> {
        &mut self.slots[index as usize]
    }

    /// Leases that one connection may have out.
    #[inline]
    pub(crate) fn leases_each(&self) -> u32 {
        self.leases_each
    }

    #[inline]
    pub(crate) fn is_exclusive(&self) -> bool {
        self.leases_each == 1
    }

    /// Connections that are not on their way out.
    #[inline]
    pub(crate) fn alive(&self) -> u32 {
        self.live - self.doomed
    }

    /// Connections that nobody uses and that can be had.
    #[inline]
    pub(crate) fn idle(&self) -> u32 {
        self.lists[0].len
    }

    /// Leases that can be had at once.
    pub(crate) fn spare(&self) -> u64 {
        let each = u64::from(self.leases_each);
        (0..each).zip(&self.lists).map(|(leases, list)| u64::from(list.len) * (each - leases)).sum()
    }

    /// Every index, free ones too.
    pub(crate) fn indices(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    /// A new connection, in no list yet.
    pub(crate) fn insert(&mut self, handle: H, born: u64, now: Nanos) -> u32 {
        let slot = Slot {
            handle: Some(handle),
            at: At::Out,
            doomed: None,
            overdue: false,
            reported: false,
            leases: 0,
            prev: NONE,
            next: NONE,
            born,
            used: now,
            proved: now,
            taken: now,
            by: None,
            soft: NEVER,
            hard: NEVER,
        };
        self.live += 1;
        match self.free {
            NONE => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            index => {
                self.free = self.at(index).next;
                *self.at_mut(index) = slot;
                index
            }
        }
    }

    /// Forgets a connection that has no lease and is in no list.
    pub(crate) fn free(&mut self, index: u32) -> Option<H> {
        let free = self.free;
        let slot = self.at_mut(index);
        debug_assert!(slot.leases == 0 && slot.at != At::Listed, "a lease or a list still has it");
        slot.at = At::Free;
        slot.next = free;
        let (doomed, overdue) = (slot.doomed.take().is_some(), slot.overdue);
        let handle = slot.handle.take();
        self.free = index;
        self.live -= 1;
        if doomed {
            self.doomed -= 1;
        } else if overdue {
            self.overdue -= 1;
        }
        handle
    }

    /// Lets nobody have it again. Its first doom counts.
    pub(crate) fn doom(&mut self, index: u32, why: Close) {
        if self.at(index).at == At::Listed {
            self.unlink(index);
            self.at_mut(index).at = At::Out;
        }
        let slot = self.at_mut(index);
        if slot.doomed.is_none() {
            slot.doomed = Some(why);
            let overdue = slot.overdue;
            self.doomed += 1;
            self.overdue -= u32::from(overdue);
        }
    }

    pub(crate) fn set_overdue(&mut self, index: u32) {
        let slot = self.at_mut(index);
        if !slot.overdue && slot.doomed.is_none() {
            slot.overdue = true;
            self.overdue += 1;
        }
    }

    /// Puts it where its number of leases belongs, in front.
    #[inline]
    pub(crate) fn link(&mut self, index: u32) {
        let level = self.at(index).leases as usize;
        let Some(list) = self.lists.get_mut(level) else {
            self.at_mut(index).at = At::Out;
            return;
        };
        let head = std::mem::replace(&mut list.head, index);
        list.len += 1;
        if head == NONE {
            list.tail = index;
        } else {
            self.slots[head as usize].prev = index;
        }
        let slot = self.at_mut(index);
        (slot.prev, slot.next, slot.at) = (NONE, head, At::Listed);
        self.listed += 1;
        self.lowest = self.lowest.min(level);
    }

    #[cold]
    fn add_list(&mut self) {
        self.lists.push(List::EMPTY);
    }

    /// Takes it out of its list.
    #[inline]
    pub(crate) fn unlink(&mut self, index: u32) {
        let slot = self.at(index);
        debug_assert_eq!(slot.at, At::Listed);
        let (prev, next, level) = (slot.prev, slot.next, slot.leases as usize);
        let list = &mut self.lists[level];
        list.len -= 1;
        match prev {
            NONE => list.head = next,
            _ => self.slots[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[level].tail = prev,
            _ => self.slots[next as usize].prev = prev,
        }
        self.listed -= 1;
    }

    /// The connection with the fewest leases that has a place left; of several the one that moved last.
    #[inline]
    pub(crate) fn least(&mut self) -> Option<u32> {
        if self.listed == 0 {
            return None;
        }
        while self.lists[self.lowest].head == NONE {
            self.lowest += 1;
        }
        Some(self.lists[self.lowest].head)
    }

    /// Counts one lease more of the connection that is the next to be had.
    #[inline(always)]
    pub(crate) fn lease(&mut self) -> Option<u32> {
        let index = self.least()?;
        // It is the first of its list, and its links are not taken apart one by one.
        let list = &mut self.lists[self.lowest];
        let slot = &mut self.slots[index as usize];
        slot.leases += 1;
        let leases = slot.leases as usize;
        (list.head, list.len) = (slot.next, list.len - 1);
        match slot.next {
            NONE => list.tail = NONE,
            next => self.slots[next as usize].prev = NONE,
        }
        self.listed -= 1;
        self.leases += 1;
        if leases == self.lists.len() && leases < self.leases_each as usize {
            self.add_list();
        }
        self.link(index);
        Some(index)
    }

    /// Counts one lease less, and leaves it in no list unless it was in one.
    #[inline]
    pub(crate) fn release(&mut self, index: u32) {
        if self.at(index).at == At::Listed {
            self.unlink(index);
            self.at_mut(index).at = At::Out;
        }
        self.at_mut(index).leases -= 1;
        self.leases -= 1;
    }

    /// Idle connections, those that have been so longest first.
    pub(crate) fn idle_from_tail(&self) -> impl Iterator<Item = u32> {
        let mut at = self.lists[0].tail;
        std::iter::from_fn(move || {
            let index = at;
            (index != NONE).then(|| {
                at = self.at(index).prev;
                index
            })
        })
    }
}

impl<H> Slot<H> {
    /// When it was last seen to work, or believed to.
    #[inline]
    pub(crate) fn seen(&self) -> Nanos {
        self.used.max(self.proved)
    }
}
