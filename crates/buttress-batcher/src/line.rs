//! Those who wait for a place, in the order in which they came.

use crate::state::chain::{Chain, Link, Linked};
use std::task::Waker;

#[derive(Debug)]
enum Wait {
    Free,
    Waiting(Waker),
    /// It has a place, and does not know yet.
    Granted,
    /// There is no line for it any more, and it does not know yet.
    Dismissed,
}

/// What a ticket is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Not yet anything.
    Nothing,
    Place,
    /// Nothing, and never will be.
    Void,
}

#[derive(Debug)]
struct Entry {
    wait: Wait,
    link: Link,
}

impl Linked for Entry {
    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// A place is handed to the first in line directly: nobody is woken to race for it. Entries are reused, so that waiting
/// allocates nothing once there are enough. Wakers are handed out, to be cloned, woken and dropped without the lock.
#[derive(Debug)]
pub(crate) struct Line {
    entries: Vec<Entry>,
    free: Vec<u32>,
    waiting: Chain,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), waiting: Chain::EMPTY }
    }

    pub(crate) fn len(&self) -> u32 {
        self.waiting.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Stands at the end of the line, and gives a ticket for [`take`](Self::take) or [`leave`](Self::leave).
    pub(crate) fn join(&mut self, waker: Waker) -> u32 {
        let entry = Entry { wait: Wait::Waiting(waker), link: Link::LOOSE };
        let ticket = match self.free.pop() {
            Some(ticket) => {
                self.entries[ticket as usize] = entry;
                ticket
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.waiting.push_back(&mut self.entries, ticket);
        ticket
    }

    pub(crate) fn wakes(&self, ticket: u32, waker: &Waker) -> bool {
        matches!(&self.entries[ticket as usize].wait, Wait::Waiting(old) if old.will_wake(waker))
    }

    /// Keeps the waker of one that waits, and hands out the one before.
    pub(crate) fn rewake(&mut self, ticket: u32, waker: Waker) -> Option<Waker> {
        match &mut self.entries[ticket as usize].wait {
            Wait::Waiting(old) => Some(std::mem::replace(old, waker)),
            _ => Some(waker),
        }
    }

    /// What a ticket is good for now; unless that is nothing yet, it is spent.
    pub(crate) fn take(&mut self, ticket: u32) -> Worth {
        let entry = &mut self.entries[ticket as usize];
        let worth = match entry.wait {
            Wait::Granted => Worth::Place,
            Wait::Dismissed => Worth::Void,
            Wait::Waiting(_) | Wait::Free => return Worth::Nothing,
        };
        entry.wait = Wait::Free;
        self.free.push(ticket);
        worth
    }

    /// Gives the ticket back: says whether it had a place, and hands out its waker if it did not.
    pub(crate) fn leave(&mut self, ticket: u32) -> (bool, Option<Waker>) {
        let left = match std::mem::replace(&mut self.entries[ticket as usize].wait, Wait::Free) {
            Wait::Waiting(waker) => {
                self.waiting.remove(&mut self.entries, ticket);
                (false, Some(waker))
            }
            Wait::Granted => (true, None),
            Wait::Dismissed => (false, None),
            Wait::Free => return (false, None),
        };
        self.free.push(ticket);
        left
    }

    /// Gives a place to the first in line, who is to be woken.
    pub(crate) fn grant(&mut self) -> Option<Waker> {
        self.call_up(Wait::Granted)
    }

    /// Sends the first in line away, who is to be woken.
    pub(crate) fn dismiss(&mut self) -> Option<Waker> {
        self.call_up(Wait::Dismissed)
    }

    fn call_up(&mut self, as_what: Wait) -> Option<Waker> {
        let ticket = self.waiting.pop_front(&mut self.entries)?;
        match std::mem::replace(&mut self.entries[ticket as usize].wait, as_what) {
            Wait::Waiting(waker) => Some(waker),
            _ => None,
        }
    }
}
