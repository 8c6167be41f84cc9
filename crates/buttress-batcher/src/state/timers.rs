//! One moment per index, and which comes first.

use super::Nanos;
use super::chain::NONE;

/// A binary heap that knows where each index is, so that a moment is moved or removed without a trace: what fires is
/// always meant.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Nanos, u32)>,
    /// Where in the heap an index is.
    places: Vec<u32>,
}

impl Timers {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<(Nanos, u32)> {
        self.heap.first().copied()
    }

    /// Sets the moment of an index, or moves it.
    pub(crate) fn set(&mut self, id: u32, at: Nanos) {
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, NONE);
        }
        let place = match self.places[id as usize] {
            NONE => {
                self.heap.push((at, id));
                self.heap.len() - 1
            }
            place if self.heap[place as usize].0 == at => return,
            place => {
                self.heap[place as usize].0 = at;
                place as usize
            }
        };
        self.sift(place);
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: u32) {
        match self.places.get(id as usize) {
            None | Some(&NONE) => {}
            Some(&place) => self.take_out(place as usize),
        }
    }

    fn take_out(&mut self, place: usize) {
        let (_, id) = self.heap.swap_remove(place);
        self.places[id as usize] = NONE;
        if place < self.heap.len() {
            self.sift(place);
        }
    }

    /// Moves what is at `place` to where it belongs.
    fn sift(&mut self, mut place: usize) {
        while place > 0 && self.heap[place].0 < self.heap[(place - 1) / 2].0 {
            self.heap.swap(place, (place - 1) / 2);
            self.note(place);
            place = (place - 1) / 2;
        }
        loop {
            let children = 2 * place + 1..self.heap.len().min(2 * place + 3);
            match children.min_by_key(|&child| self.heap[child].0) {
                Some(child) if self.heap[child].0 < self.heap[place].0 => {
                    self.heap.swap(place, child);
                    self.note(place);
                    place = child;
                }
                _ => break,
            }
        }
        self.note(place);
    }

    fn note(&mut self, place: usize) {
        self.places[self.heap[place].1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_first_is_the_first_of_all(steps in proptest::collection::vec((0..12_u32, 0..20_u64), 0..80)) {
            let (mut timers, mut plain) = (Timers::default(), BTreeMap::new());
            for (id, at) in steps {
                if at < 5 {
                    timers.remove(id);
                    plain.remove(&id);
                } else {
                    timers.set(id, at);
                    plain.insert(id, at);
                }
                prop_assert_eq!(timers.first().map(|(at, _)| at), plain.values().min().copied());
                if let Some((at, id)) = timers.first() {
                    prop_assert_eq!(plain[&id], at);
                }
                prop_assert_eq!(timers.is_empty(), plain.is_empty());
            }
        }
    }
}
