//! S3-FIFO: three first-in-first-out queues, one of them a memory.

use super::{Evict, ghost::Ghost, nodes::List, nodes::Nodes};

const SMALL: u8 = 0;
const MAIN: u8 = 1;

/// The ghost's clock moves about so often while the ghost's contents turn over once.
const GHOST_TICKS: u64 = 256;

/// As published: a small queue of a tenth, a main queue of the rest with reinsertion, and a ghost of nine
/// tenths of the entries. Hit twice in the small queue, or back while the ghost remembers: main.
#[derive(Debug)]
pub(crate) struct S3Fifo {
    capacity: u64,
    small: List,
    main: List,
    ghost: Ghost,
    /// Counts what the ghost takes in, what it has since this last moved, and how much that may be.
    now: u16,
    since: u32,
    per_tick: u32,
}

impl S3Fifo {
    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    /// How many entries the ghost holds, first in first out.
    fn span(&self) -> u64 {
        self.len() as u64 * 9 / 10
    }

    fn remembers(&self, stamp: u16) -> bool {
        u64::from(self.now.wrapping_sub(stamp)) * u64::from(self.per_tick) <= self.span()
    }

    fn tick(&mut self) {
        self.since += 1;
        if self.since >= self.per_tick {
            self.since = 0;
            self.now = self.now.wrapping_add(1);
            self.per_tick = (self.span() / GHOST_TICKS).max(1) as u32;
        }
    }

    #[inline]
    fn evict_small(&mut self, nodes: &mut Nodes, evicted: &mut Vec<u32>) {
        let Some(oldest) = self.small.oldest(nodes) else { return };
        self.small.unlink(nodes, oldest);
        if nodes.hits(oldest) >= 2 {
            nodes.set_hits(oldest, 0);
            self.main.push(nodes, oldest);
            return;
        }
        self.tick();
        self.ghost.put(nodes.hash(oldest), self.now, self.now);
        evicted.push(oldest);
    }

    #[inline]
    fn evict_main(&mut self, nodes: &mut Nodes, evicted: &mut Vec<u32>) {
        while let Some(oldest) = self.main.oldest(nodes) {
            let hits = nodes.hits(oldest);
            if hits == 0 {
                self.main.unlink(nodes, oldest);
                return evicted.push(oldest);
            }
            nodes.set_hits(oldest, hits - 1);
            self.main.rotate(nodes);
        }
    }
}

impl Evict for S3Fifo {
    fn new(capacity: u64, entries: usize) -> Self {
        Self {
            capacity,
            small: List::new(SMALL),
            main: List::new(MAIN),
            ghost: Ghost::new(entries),
            now: 0,
            since: 0,
            per_tick: 1,
        }
    }

    #[inline]
    fn hit(&mut self, nodes: &mut Nodes, index: u32) {
        nodes.count_hit(index);
    }

    #[inline(never)]
    fn insert(&mut self, nodes: &mut Nodes, index: u32, evicted: &mut Vec<u32>) {
        let to_main = self.ghost.take(nodes.hash(index)).is_some_and(|stamp| self.remembers(stamp));
        let queue = if to_main { MAIN } else { SMALL };
        self.make_room(nodes, nodes.weight(index), queue, evicted);
        self.queue(queue).push(nodes, index);
        self.ghost.fit(self.len());
    }

    #[inline(always)]
    fn shrink(&mut self, nodes: &mut Nodes, weight: u64, evicted: &mut Vec<u32>) {
        while self.weight() > weight {
            if self.small.weight() >= (self.capacity / 10).max(1) || self.main.is_empty() {
                self.evict_small(nodes, evicted);
            } else {
                self.evict_main(nodes, evicted);
            }
        }
    }

    fn set_capacity(&mut self, nodes: &mut Nodes, capacity: u64, evicted: &mut Vec<u32>) {
        self.capacity = capacity;
        self.shrink(nodes, capacity, evicted);
    }

    #[inline]
    fn queue(&mut self, id: u8) -> &mut List {
        if id == MAIN { &mut self.main } else { &mut self.small }
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn weight(&self) -> u64 {
        self.small.weight() + self.main.weight()
    }
}
