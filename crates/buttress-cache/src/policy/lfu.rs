//! W-TinyLFU: frequency decides who stays, a small LRU window gives newcomers a chance to get one.

use super::{Evict, nodes::List, nodes::Nodes, sketch::Sketch};

const WINDOW: u8 = 0;
const PROBATION: u8 = 1;
const PROTECTED: u8 = 2;

/// As published: a window of one hundredth, least recently used first; a main part of 20 % on probation and
/// 80 % protected, where a hit moves an entry from the one to the other; and a sketch of frequencies that
/// lets what leaves the window into main only if it was asked for more often than main's next victim.
#[derive(Debug)]
pub(crate) struct Lfu {
    capacity: u64,
    window: List,
    probation: List,
    protected: List,
    sketch: Sketch,
    /// As many entries as the sketch is made for.
    entries: usize,
}

impl Lfu {
    fn window_capacity(&self) -> u64 {
        (self.capacity / 100).max(1)
    }

    fn main_capacity(&self) -> u64 {
        self.capacity.saturating_sub(self.window_capacity())
    }

    fn main_weight(&self) -> u64 {
        self.probation.weight() + self.protected.weight()
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn victim(&self, nodes: &Nodes) -> Option<u32> {
        self.probation.oldest(nodes).or_else(|| self.protected.oldest(nodes))
    }

    fn evict(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        self.remove(nodes, index);
        evicted.push(index);
    }

    /// Takes the oldest entry out of the window: into main if there is room, or if it is asked for more
    /// often than each entry that has to go for it.
    fn shrink_window(&mut self, nodes: &mut Nodes, evicted: &mut Vec<u32>) {
        let Some(candidate) = self.window.oldest(nodes) else { return };
        let room = self.main_capacity().checked_sub(nodes.weight(candidate));
        while let Some(victim) =
            self.victim(nodes).filter(|_| room.is_none_or(|room| self.main_weight() > room))
        {
            let [challenger, incumbent] =
                [candidate, victim].map(|index| self.sketch.frequency(nodes.hash(index)));
            if room.is_none() || challenger <= incumbent {
                return self.evict(nodes, candidate, evicted);
            }
            self.evict(nodes, victim, evicted);
        }
        self.window.unlink(nodes, candidate);
        self.probation.push(nodes, candidate);
    }

    /// Moves what no longer fits among the protected back on probation.
    fn demote(&mut self, nodes: &mut Nodes) {
        while self.protected.weight() > self.main_capacity() / 5 * 4 {
            let Some(oldest) = self.protected.oldest(nodes) else { break };
            self.protected.unlink(nodes, oldest);
            self.probation.push(nodes, oldest);
        }
    }

    /// Takes in an entry whose use is counted already.
    fn push(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        let weight = nodes.weight(index);
        let room = self.window_capacity().saturating_sub(weight);
        while self.window.weight() > room {
            self.shrink_window(nodes, evicted);
        }
        // Only an entry heavier than the window meets a cache that is still full.
        self.shrink(nodes, self.capacity.saturating_sub(weight), evicted);
        self.window.push(nodes, index);
    }
}

impl Evict for Lfu {
    fn new(capacity: u64, entries: usize) -> Self {
        Self {
            capacity,
            window: List::new(WINDOW),
            probation: List::new(PROBATION),
            protected: List::new(PROTECTED),
            sketch: Sketch::new(entries),
            entries,
        }
    }

    #[inline]
    fn hit(&mut self, nodes: &mut Nodes, index: u32) {
        self.sketch.count(nodes.hash(index));
        match nodes.queue(index) {
            WINDOW => self.window.refresh(nodes, index),
            PROBATION => {
                self.probation.unlink(nodes, index);
                self.protected.push(nodes, index);
                self.demote(nodes);
            }
            _ => self.protected.refresh(nodes, index),
        }
    }

    #[inline(never)]
    fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        self.sketch.count(nodes.hash(index));
        self.push(nodes, index, evicted);
        if self.len() > self.entries {
            self.entries = self.entries.max(8) * 2;
            self.sketch.double();
        }
    }

    fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>) {
        while self.weight() > weight {
            match self.victim(nodes).or_else(|| self.window.oldest(nodes)) {
                Some(victim) => self.evict(nodes, victim, evicted),
                None => break,
            }
        }
    }

    fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>) {
        self.capacity = capacity;
        self.shrink(nodes, capacity, evicted);
        self.demote(nodes);
    }

    fn queue(&mut self, id: u8) -> &mut List {
        match id {
            WINDOW => &mut self.window,
            PROBATION => &mut self.probation,
            _ => &mut self.protected,
        }
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn weight(&self) -> u64 {
        self.window.weight() + self.main_weight()
    }
}
