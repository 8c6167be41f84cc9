//! The partitions that there are, found by key.

use super::Keyed;
use super::chain::{Chain, NONE};
use hashbrown::HashTable;

/// Requests that may share a batch.
#[derive(Debug)]
pub(crate) struct Part<K> {
    /// `None` in a place that is free.
    key: Option<Keyed<K>>,
    /// Those that wait and are to be sent, in the order in which they came.
    pub(super) queue: Chain,
    /// What they weigh together. Wider than a weight, so that what was added can be taken off again.
    pub(super) weight: u128,
    /// How many of those that wait would soon be too late.
    pub(super) urgent: u32,
    /// Batches that run.
    pub(super) running: u32,
    /// It is in the ring of those that may go.
    pub(super) is_up: bool,
}

impl<K> Part<K> {
    fn new(key: Keyed<K>) -> Self {
        Self { key: Some(key), queue: Chain::EMPTY, weight: 0, urgent: 0, running: 0, is_up: false }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running == 0 && !self.is_up
    }
}

#[derive(Debug)]
pub(crate) struct Parts<K> {
    slab: Vec<Part<K>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    /// The one that was asked for last, which is mostly asked for next. It stays although it is idle.
    last: u32,
}

impl<K> Parts<K> {
    pub(super) fn new() -> Self {
        Self { slab: Vec::new(), free: Vec::new(), by_key: HashTable::new(), last: NONE }
    }

    #[inline]
    pub(super) fn at(&self, p: u32) -> &Part<K> {
        &self.slab[p as usize]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, p: u32) -> &mut Part<K> {
        &mut self.slab[p as usize]
    }

    /// Those that are used.
    pub(super) fn used(&self) -> Vec<u32> {
        (0..).zip(&self.slab).filter(|(_, part)| part.key.is_some()).map(|(p, _)| p).collect()
    }

    /// The one with this key. Changes nothing, since what compares keys is not ours and may panic.
    #[inline]
    pub(super) fn find(&self, key: &Keyed<K>) -> Option<u32>
    where
        K: Eq,
    {
        let is_same = |&p: &u32| self.at(p).key.as_ref().is_some_and(|other| other == key);
        if self.last != NONE && is_same(&self.last) {
            return Some(self.last);
        }
        self.by_key.find(key.hash, is_same).copied()
    }

    /// A new one; no other has its key.
    pub(super) fn insert(&mut self, key: Keyed<K>) -> u32 {
        let (hash, part) = (key.hash, Part::new(key));
        let p = match self.free.pop() {
            Some(p) => {
                self.slab[p as usize] = part;
                p
            }
            None => {
                self.slab.push(part);
                self.slab.len() as u32 - 1
            }
        };
        let slab = &self.slab;
        self.by_key.insert_unique(hash, p, |&p| slab[p as usize].key.as_ref().map_or(0, |key| key.hash));
        p
    }

    /// Remembers that this one was asked for, and gives the one before if it is another.
    #[inline]
    pub(super) fn touch(&mut self, p: u32) -> Option<u32> {
        let before = std::mem::replace(&mut self.last, p);
        (before != p && before != NONE).then_some(before)
    }

    /// Forgets one that is idle, unless it is likely to be asked for next, and hands out its key.
    pub(super) fn forget(&mut self, p: u32) -> Option<K> {
        if p == self.last {
            return None;
        }
        let Keyed { hash, key } = self.slab[p as usize].key.take()?;
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other == p) {
            entry.remove();
        }
        self.free.push(p);
        Some(key)
    }

    #[cfg(all(test, not(buttress_loom)))]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}
