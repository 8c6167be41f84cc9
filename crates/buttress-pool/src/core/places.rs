//! Places in the queue of those who will ask: who has one is not refused because too many wait.

use super::{Core, Lend, Why};

impl<H: Lend, E: Clone> Core<H, E> {
    /// Takes a place, if there is one: for each lease that can be had at once, and for each that may wait.
    /// [`get`](Self::get) or [`leave_place`](Self::leave_place) follows.
    pub(crate) fn take_place(&mut self) -> bool {
        let is_free = !self.closed && (!self.is_full() || self.taken() < self.all());
        self.places += u32::from(is_free);
        is_free
    }

    #[inline]
    pub(crate) fn leave_place(&mut self) {
        self.places -= 1;
    }

    /// Counts one that asks without having found a place.
    pub(crate) fn turn_away(&mut self) -> Why<E> {
        self.counts.gets += 1;
        if self.closed { self.refuse_closed() } else { self.refuse_full() }
    }

    /// Whether nobody more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.rules.max_waiters.into()
    }

    fn taken(&self) -> u64 {
        u64::from(self.queue.len) + u64::from(self.places)
    }

    fn all(&self) -> u64 {
        u64::from(self.rules.max_waiters) + self.slots.spare()
    }
}
