//! What every policy keeps for an entry, and the one list they all queue it in.

use std::mem;

/// The largest weight of one entry: 2^40 - 1. Whoever admits entries refuses a heavier one.
pub(crate) const MAX_WEIGHT: u64 = (1 << 40) - 1;

/// What a policy knows of an entry: 24 bytes, the hash included.
#[derive(Clone, Debug)]
struct Node {
    hash: u64,
    prev: u32,
    next: u32,
    // Forty bits of weight in the gaps, rather than a u64 and eight bytes more for every entry.
    weight_low: u32,
    weight_high: u8,
    /// Hits in the two low bits, no policy counts further than that; above them the queue it is in.
    state: u8,
    level: u16,
}

impl Node {
    #[inline]
    fn weight(&self) -> u64 {
        u64::from(self.weight_high) << 32 | u64::from(self.weight_low)
    }
}

/// The nodes of all entries of a shard, by the entry's index in its slab.
#[derive(Debug)]
pub(crate) struct Nodes(Vec<Node>);

const HITS: u8 = 0b11;

impl Nodes {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// Makes room for `more` entries and not for more than that.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.0.reserve_exact(more);
    }

    /// Describes a new entry, in no queue yet. Its index is either in use already or the next one.
    #[inline]
    pub(crate) fn begin(&mut self, index: u32, hash: u64, weight: u64) {
        let node = Node {
            hash,
            prev: index,
            next: index,
            weight_low: weight as u32,
            weight_high: (weight >> 32) as u8,
            state: 0,
            level: 0,
        };
        debug_assert!(weight <= MAX_WEIGHT, "an entry this heavy is never admitted");
        match self.0.get_mut(index as usize) {
            Some(old) => *old = node,
            None => self.0.push(node),
        }
    }

    #[inline]
    fn at(&self, index: u32) -> &Node {
        &self.0[index as usize]
    }

    #[inline]
    fn at_mut(&mut self, index: u32) -> &mut Node {
        &mut self.0[index as usize]
    }

    pub(crate) fn hash(&self, index: u32) -> u64 {
        self.at(index).hash
    }

    pub(crate) fn weight(&self, index: u32) -> u64 {
        self.at(index).weight()
    }

    /// For an entry that is in no queue; one that is in a queue is reweighed there.
    pub(crate) fn set_weight(&mut self, index: u32, weight: u64) {
        debug_assert!(weight <= MAX_WEIGHT, "an entry this heavy is never admitted");
        let node = self.at_mut(index);
        node.weight_low = weight as u32;
        node.weight_high = (weight >> 32) as u8;
    }

    /// The stamp or score its policy gave it.
    pub(crate) fn level(&self, index: u32) -> u16 {
        self.at(index).level
    }

    pub(crate) fn set_level(&mut self, index: u32, level: u16) {
        self.at_mut(index).level = level;
    }

    /// How often it was hit, up to three.
    pub(crate) fn hits(&self, index: u32) -> u8 {
        self.at(index).state & HITS
    }

    /// Counts a hit. An entry that is hot already is not written to.
    #[inline]
    pub(crate) fn count_hit(&mut self, index: u32) {
        let node = self.at_mut(index);
        if node.state & HITS < HITS {
            node.state += 1;
        }
    }

    pub(crate) fn set_hits(&mut self, index: u32, hits: u8) {
        let node = self.at_mut(index);
        node.state = node.state & !HITS | hits.min(HITS);
    }

    /// Which of its policy's queues it is in.
    #[inline]
    pub(crate) fn queue(&self, index: u32) -> u8 {
        self.at(index).state >> 2
    }

    #[inline]
    fn join(&mut self, prev: u32, next: u32) {
        self.at_mut(prev).next = next;
        self.at_mut(next).prev = prev;
    }
}

/// A queue of entries: a ring linked through their nodes, so that the oldest becomes the youngest by one
/// step of the head.
#[derive(Debug)]
pub(crate) struct List {
    /// Meaningless while the list is empty.
    head: u32,
    len: u32,
    weight: u64,
    id: u8,
}

impl List {
    /// An empty queue. Entries in it carry `id`, by which a policy with several finds them.
    pub(crate) const fn new(id: u8) -> Self {
        Self { head: 0, len: 0, weight: 0, id }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum over its entries.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// The entry that has been in it longest.
    #[inline]
    pub(crate) fn oldest(&self, nodes: &Nodes) -> Option<u32> {
        (self.len > 0).then(|| nodes.at(self.head).prev)
    }

    /// Takes in an entry that is in no queue.
    #[inline]
    pub(crate) fn push(&mut self, nodes: &mut Nodes, index: u32) {
        let (next, mut prev) = if self.len == 0 { (index, index) } else { (self.head, index) };
        if self.len > 0 {
            let head = nodes.at_mut(self.head);
            prev = mem::replace(&mut head.prev, index);
            nodes.at_mut(prev).next = index;
        }
        let node = nodes.at_mut(index);
        (node.prev, node.next) = (prev, next);
        node.state = self.id << 2 | node.state & HITS;
        self.head = index;
        self.len += 1;
        self.weight += node.weight();
    }

    /// Lets go of an entry that is in this queue.
    #[inline]
    pub(crate) fn unlink(&mut self, nodes: &mut Nodes, index: u32) {
        debug_assert_eq!(nodes.queue(index), self.id);
        let node = nodes.at(index);
        let (prev, next) = (node.prev, node.next);
        self.len -= 1;
        self.weight -= node.weight();
        if self.head == index {
            self.head = next;
        }
        nodes.join(prev, next);
    }

    /// Makes the oldest entry the youngest.
    #[inline]
    pub(crate) fn rotate(&mut self, nodes: &Nodes) {
        if let Some(oldest) = self.oldest(nodes) {
            self.head = oldest;
        }
    }

    /// Makes an entry of this queue its youngest.
    #[inline]
    pub(crate) fn refresh(&mut self, nodes: &mut Nodes, index: u32) {
        if self.head == index {
            return;
        }
        let Node { prev, next, .. } = *nodes.at(index);
        let oldest = nodes.at(self.head).prev;
        if oldest != index {
            nodes.join(prev, next);
            nodes.join(oldest, index);
            nodes.join(index, self.head);
        }
        self.head = index;
    }

    /// Changes the weight of an entry of this queue.
    pub(crate) fn reweigh(&mut self, nodes: &mut Nodes, index: u32, weight: u64) {
        self.weight = self.weight - nodes.weight(index) + weight;
        nodes.set_weight(index, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(list: &List, nodes: &Nodes) -> Vec<u32> {
        let mut at = list.head;
        (0..list.len())
            .map(|_| {
                at = nodes.at(at).prev;
                assert_eq!(nodes.at(nodes.at(at).prev).next, at);
                at
            })
            .collect()
    }

    #[test]
    fn a_list_keeps_order_length_and_weight() {
        let mut nodes = Nodes::with_capacity(4);
        let mut list = List::new(3);
        for index in 0..4 {
            nodes.begin(index, 0, u64::from(index) + 1);
            list.push(&mut nodes, index);
        }
        assert_eq!((order(&list, &nodes), list.weight()), (vec![0, 1, 2, 3], 10));
        list.rotate(&nodes);
        assert_eq!(order(&list, &nodes), [1, 2, 3, 0]);
        list.refresh(&mut nodes, 2);
        assert_eq!(order(&list, &nodes), [1, 3, 0, 2]);
        list.refresh(&mut nodes, 1);
        assert_eq!(order(&list, &nodes), [3, 0, 2, 1]);
        list.unlink(&mut nodes, 1);
        assert_eq!((order(&list, &nodes), list.weight()), (vec![3, 0, 2], 8));
        list.reweigh(&mut nodes, 3, MAX_WEIGHT);
        assert_eq!((list.weight(), nodes.weight(3)), (MAX_WEIGHT + 4, MAX_WEIGHT));
        for index in [3, 0, 2] {
            assert_eq!(list.oldest(&nodes), Some(index));
            list.unlink(&mut nodes, index);
        }
        assert_eq!((list.oldest(&nodes), list.len(), list.weight()), (None, 0, 0));
    }

    #[test]
    fn hits_stop_at_three_and_leave_the_queue_alone() {
        let mut nodes = Nodes::with_capacity(1);
        nodes.begin(0, u64::MAX, 0);
        let mut list = List::new(5);
        list.push(&mut nodes, 0);
        for hits in [1, 2, 3, 3] {
            nodes.count_hit(0);
            assert_eq!((nodes.hits(0), nodes.queue(0)), (hits, 5));
        }
        nodes.set_hits(0, 1);
        assert_eq!((nodes.hits(0), nodes.queue(0), nodes.hash(0)), (1, 5, u64::MAX));
        assert_eq!(size_of::<Node>(), 24);
    }
}
