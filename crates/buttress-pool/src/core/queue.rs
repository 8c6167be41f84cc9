//! Those who wait, oldest ticket first.

use super::{NEVER, NONE, Nanos, Why};
use std::task::Waker;

/// A place in the order of all gets; a failed check gives it back to its getter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) since: Nanos,
    pub(crate) until: Nanos,
}

#[derive(Debug)]
pub(crate) enum State<E> {
    Free,
    Waiting(Waker),
    /// Has this slot, counted as leased.
    Granted(u32),
    Refused(Why<E>),
}

#[derive(Debug)]
struct Entry<E> {
    state: State<E>,
    prev: u32,
    next: u32,
    ticket: Ticket,
}

/// Waiters in a slab, so that waiting allocates nothing once it has grown. What was decided stays in its entry until
/// the getter's next poll takes it.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    entries: Vec<Entry<E>>,
    free: u32,
    head: u32,
    tail: u32,
    pub(crate) len: u32,
    /// Granted, and not yet taken.
    pub(crate) granted: u32,
    /// Nobody's time is over before this.
    pub(crate) first_end: Nanos,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: NONE, head: NONE, tail: NONE, len: 0, granted: 0, first_end: NEVER }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, id: u32) -> &Entry<E> {
        &self.entries[id as usize]
    }

    fn at_mut(&mut self, id: u32) -> &mut Entry<E> {
        &mut self.entries[id as usize]
    }

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(crate) fn after(&self, id: u32) -> Option<u32> {
        let next = self.at(id).next;
        (next != NONE).then_some(next)
    }

    pub(crate) fn ticket(&self, id: u32) -> Ticket {
        self.at(id).ticket
    }

    pub(crate) fn state(&self, id: u32) -> &State<E> {
        &self.at(id).state
    }

    /// When the one that has waited longest began; who was queued again by ticket has waited since its first time.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.front().map(|id| self.at(id).ticket.since)
    }

    /// Queues before every later ticket, which is mostly at the end.
    pub(crate) fn push(&mut self, ticket: Ticket, waker: Waker) -> u32 {
        let mut prev = self.tail;
        let mut next = NONE;
        if self.front().is_some_and(|id| ticket.number < self.at(id).ticket.number) {
            // Who had one before is mostly the oldest of all.
            (prev, next) = (NONE, self.head);
        }
        while prev != NONE && self.at(prev).ticket.number > ticket.number {
            (prev, next) = (self.at(prev).prev, prev);
        }
        let entry = Entry { state: State::Waiting(waker), prev, next, ticket };
        let id = match self.free {
            NONE => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
            id => {
                self.free = self.at(id).next;
                *self.at_mut(id) = entry;
                id
            }
        };
        match prev {
            NONE => self.head = id,
            _ => self.at_mut(prev).next = id,
        }
        match next {
            NONE => self.tail = id,
            _ => self.at_mut(next).prev = id,
        }
        self.len += 1;
        id
    }

    /// Takes a waiting one out of the order, with what became of it, and hands out its waker.
    pub(crate) fn resolve(&mut self, id: u32, state: State<E>) -> Option<Waker> {
        let entry = self.at_mut(id);
        let (prev, next) = (entry.prev, entry.next);
        let granted = matches!(state, State::Granted(_));
        let old = std::mem::replace(&mut entry.state, state);
        let State::Waiting(waker) = old else { unreachable!("only who waits is in the order") };
        match prev {
            NONE => self.head = next,
            _ => self.at_mut(prev).next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => self.at_mut(next).prev = prev,
        }
        self.len -= 1;
        self.granted += u32::from(granted);
        Some(waker)
    }

    /// Keeps the waker of the last poll, and hands out the one before.
    pub(crate) fn rewake(&mut self, id: u32, waker: &Waker) -> Option<Waker> {
        match &mut self.at_mut(id).state {
            State::Waiting(old) if !old.will_wake(waker) => Some(std::mem::replace(old, waker.clone())),
            _ => None,
        }
    }

    /// Frees the entry of one that is not in the order any more, and hands out what became of it.
    pub(crate) fn take(&mut self, id: u32) -> State<E> {
        let free = self.free;
        let entry = self.at_mut(id);
        let state = std::mem::replace(&mut entry.state, State::Free);
        entry.next = free;
        self.free = id;
        self.granted -= u32::from(matches!(state, State::Granted(_)));
        state
    }

    /// Looks again whose time is over first.
    pub(crate) fn refresh_first_end(&mut self) {
        self.first_end = NEVER;
        let mut next = self.front();
        while let Some(id) = next {
            self.first_end = self.first_end.min(self.at(id).ticket.until);
            next = self.after(id);
        }
    }
}
