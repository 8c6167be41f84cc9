//! The two policies that are one queue: first in first out, and least recently used.

use super::{Evict, nodes::List, nodes::Nodes};

/// The oldest entry goes, used or not.
pub(crate) type Fifo = Queue<false>;

/// The entry goes that was not asked for the longest: FIFO, with every hit a new beginning.
pub(crate) type Lru = Queue<true>;

#[derive(Debug)]
pub(crate) struct Queue<const REFRESH: bool> {
    capacity: u64,
    list: List,
}

impl<const REFRESH: bool> Evict for Queue<REFRESH> {
    fn new(capacity: u64, _: usize) -> Self {
        Self { capacity, list: List::new(0) }
    }

    #[inline]
    fn hit(&mut self, nodes: &mut Nodes, index: u32) {
        if REFRESH {
            self.list.refresh(nodes, index);
        }
    }

    #[inline(never)]
    fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        self.shrink(nodes, self.capacity.saturating_sub(nodes.weight(index)), evicted);
        self.list.push(nodes, index);
    }

    fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>) {
        while self.list.weight() > weight {
            let Some(oldest) = self.list.oldest(nodes) else { break };
            self.list.unlink(nodes, oldest);
            evicted.push(oldest);
        }
    }

    fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>) {
        self.capacity = capacity;
        self.shrink(nodes, capacity, evicted);
    }

    #[inline]
    fn queue(&mut self, _: u8) -> &mut List {
        &mut self.list
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn weight(&self) -> u64 {
        self.list.weight()
    }
}
