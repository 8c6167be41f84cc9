//! Tags of one shard: which were invalidated while loads are in the air, and which slots carry them.
//!
//! Single-threaded and pure. A tag is a hash of its text, mixed well enough to be looked up by: two tags of one hash
//! are one tag, and are invalidated together.

use hashbrown::HashTable;
use std::collections::VecDeque;

/// So many invalidations are remembered.
const LOGGED: usize = 1024;

/// There may be so many pairs more than twice as many as are in use.
const SLACK: usize = 64;

/// The tags that were invalidated lately, in order. The shard keeps it only while it has loads in the air.
///
/// Positions count over the life of the shard, so that one that was noted before a [`trim`](Self::trim) is known to
/// be older than the log.
#[derive(Debug)]
pub(crate) struct Log {
    /// The position of the first that is still there.
    base: u64,
    tags: VecDeque<u64>,
}

impl Log {
    pub(crate) const fn new() -> Self {
        Self { base: 0, tags: VecDeque::new() }
    }

    /// Where the next one will be: what begins now has seen everything before it.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.base + self.tags.len() as u64
    }

    /// Notes an invalidation. The oldest makes room.
    pub(crate) fn push(&mut self, tag: u64) {
        if self.tags.len() == LOGGED {
            self.tags.pop_front();
            self.base += 1;
        }
        self.tags.push_back(tag);
    }

    /// Forgets everything: nobody who has noted a position will ask.
    #[inline]
    pub(crate) fn trim(&mut self) {
        self.base = self.position();
        self.tags.clear();
    }

    /// The position of the first invalidation of one of `tags` from `since` on.
    ///
    /// What is older than the log may have been any tag: then it is `since`. Without tags there is none.
    pub(crate) fn first_hit(&self, since: u64, tags: &[u64]) -> Option<u64> {
        if tags.is_empty() {
            return None;
        }
        if since < self.base {
            return Some(since);
        }
        // Whatever does not fit a usize is beyond the end.
        let skip = usize::try_from(since - self.base).unwrap_or(usize::MAX).min(self.tags.len());
        let hit = self.tags.range(skip..).position(|tag| tags.contains(tag))?;
        Some(since + hit as u64)
    }
}

/// The slots that carry a tag, found without looking at all of them.
///
/// It is told what is put into a slot, and never what leaves one. What it knows of earlier puts goes when it is met,
/// or when it is most of what there is: memory stays proportional to the tags of the last put in each slot.
#[derive(Debug)]
pub(crate) struct Index {
    /// Nothing in here is empty.
    lists: HashTable<List>,
    /// The last put in each slot, up to the highest that ever had a tag.
    puts: Vec<Put>,
    serial: u64,
    /// The length of all lists together, and how much of that is of last puts.
    pairs: usize,
    current: usize,
}

#[derive(Debug)]
struct List {
    tag: u64,
    pairs: Vec<Pair>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    slot: u32,
    serial: u64,
}

/// What was put last in a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Put {
    /// Differs from that of every other put. Zero is none.
    serial: u64,
    /// So many pairs are its own.
    tags: u32,
}

impl Index {
    pub(crate) const fn new() -> Self {
        Self { lists: HashTable::new(), puts: Vec::new(), serial: 0, pairs: 0, current: 0 }
    }

    /// Whether a put without tags has to be told as well. As long as it is not, no slot carries a tag.
    #[inline]
    pub(crate) fn in_use(&self) -> bool {
        self.pairs > 0
    }

    /// Notes that a slot has a new content, and its tags in place of those it had. A tag may be there twice.
    ///
    /// To be called for every put while the index is [in use](Self::in_use), and for those with tags when it is not.
    pub(crate) fn set(&mut self, slot: u32, tags: &[u64]) {
        let at = slot as usize;
        if at >= self.puts.len() {
            if tags.is_empty() {
                return;
            }
            self.puts.resize(at + 1, Put::default());
        }
        self.serial += 1;
        let mut put = Put { serial: self.serial, tags: 0 };
        let pair = Pair { slot, serial: put.serial };
        for &tag in tags {
            let list = self.lists.entry(tag, |list| list.tag == tag, |list| list.tag);
            let pairs = &mut list.or_insert_with(|| List { tag, pairs: Vec::new() }).into_mut().pairs;
            // A tag that is there twice has put its pair last in the list.
            if pairs.last() != Some(&pair) {
                pairs.push(pair);
                put.tags += 1;
            }
        }
        self.pairs += put.tags as usize;
        self.current += put.tags as usize;
        self.current -= self.puts[at].tags as usize;
        self.puts[at] = put;
        self.prune();
    }

    /// Forgets a tag, and says in which slots the last put carried it, each once.
    ///
    /// A slot that has been freed and not put into again is among them.
    pub(crate) fn slots(&mut self, tag: u64) -> Vec<u32> {
        let Ok(found) = self.lists.find_entry(tag, |list| list.tag == tag) else { return Vec::new() };
        let (list, _) = found.remove();
        self.pairs -= list.pairs.len();
        let mut slots = Vec::new();
        for pair in list.pairs {
            let put = &mut self.puts[pair.slot as usize];
            if put.serial == pair.serial {
                put.tags -= 1;
                slots.push(pair.slot);
            }
        }
        self.current -= slots.len();
        self.prune();
        slots
    }

    #[inline]
    fn prune(&mut self) {
        if self.pairs > 2 * self.current + SLACK {
            self.prune_all();
        }
    }

    /// Drops the pairs of earlier puts. They are more than half: each is paid for by the put that made it.
    #[cold]
    #[inline(never)]
    fn prune_all(&mut self) {
        let puts = &self.puts;
        self.lists.retain(|list| {
            list.pairs.retain(|pair| puts[pair.slot as usize].serial == pair.serial);
            list.pairs.shrink_to(2 * list.pairs.len());
            !list.pairs.is_empty()
        });
        self.lists.shrink_to(2 * self.lists.len(), |list| list.tag);
        self.pairs = self.current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_hit_counts_and_not_the_last() {
        let mut log = Log::new();
        [7, 8, 9, 8].into_iter().for_each(|tag| log.push(tag));
        assert_eq!(log.position(), 4);
        for (since, tags, hit) in [
            (0, &[8][..], Some(1)),
            (1, &[8], Some(1)),
            (2, &[8], Some(3)),
            (0, &[9, 7], Some(0)),
            (1, &[7], None),
            (4, &[7, 8, 9], None),
            (9, &[7, 8, 9], None),
            (0, &[], None),
        ] {
            assert_eq!(log.first_hit(since, tags), hit, "{since} {tags:?}");
        }
    }

    #[test]
    fn what_is_older_than_the_log_may_have_been_any_tag() {
        let mut log = Log::new();
        log.push(7);
        log.trim();
        assert_eq!(log.position(), 1);
        assert_eq!(
            (log.first_hit(0, &[8]), log.first_hit(0, &[]), log.first_hit(1, &[7])),
            (Some(0), None, None)
        );
        (0..1025).for_each(|tag| log.push(tag));
        assert_eq!((log.position(), log.tags.len()), (1026, 1024));
        assert_eq!(log.first_hit(1, &[5000]), Some(1), "the first of them is gone");
        assert_eq!((log.first_hit(2, &[5000]), log.first_hit(2, &[0, 1])), (None, Some(2)));
    }

    #[test]
    fn a_tag_finds_the_slots_whose_last_put_carries_it_and_then_none() {
        let mut index = Index::new();
        assert!(!index.in_use());
        index.set(0, &[7]);
        index.set(5, &[8, 7, 8, 8]);
        index.set(1, &[]);
        assert!(index.in_use());
        assert_eq!((index.slots(8), index.slots(8)), (vec![5], vec![]));
        index.set(0, &[]);
        index.set(2, &[7]);
        assert_eq!((index.slots(7), index.slots(7)), (vec![5, 2], vec![]));
        assert!(!index.in_use());
    }

    #[test]
    fn a_put_takes_a_slot_out_of_what_its_earlier_content_carried() {
        let mut index = Index::new();
        index.set(3, &[7]);
        index.set(3, &[8]);
        assert!(index.slots(7).is_empty());
        index.set(3, &[8]);
        assert_eq!(index.slots(8), [3]);
    }

    #[test]
    fn puts_without_tags_cost_no_memory() {
        let mut index = Index::new();
        index.set(0, &[7]);
        (1..1000).for_each(|slot| index.set(slot, &[]));
        assert_eq!(index.puts.len(), 1);
    }

    #[test]
    fn steady_churn_of_ever_new_tags_keeps_its_memory() {
        let mut index = Index::new();
        for round in 0..100_000u64 {
            index.set((round % 100) as u32, &[round.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1, 2]);
        }
        assert!(index.pairs <= 2 * 300 + SLACK);
        let capacity = |list: &List| list.pairs.capacity();
        assert!(index.lists.len() <= index.pairs && index.lists.capacity() < 2000);
        assert!(index.lists.iter().map(capacity).sum::<usize>() < 6000);
        assert_eq!(index.slots(1).len(), 100);
    }

    #[test]
    fn memory_goes_when_the_tags_go() {
        let mut index = Index::new();
        (0..10_000).for_each(|slot| index.set(slot, &[1, u64::from(slot) << 20]));
        (0..10_000).for_each(|slot| index.set(slot, &[]));
        assert!(index.pairs <= SLACK && index.lists.len() <= SLACK);
        let capacity = |list: &List| list.pairs.capacity();
        assert!(index.lists.iter().map(capacity).sum::<usize>() < 300 && index.lists.capacity() < 300);
    }

    #[test]
    fn taking_a_tag_away_may_leave_little_but_the_past_and_that_goes() {
        let mut index = Index::new();
        (0..100).for_each(|slot| index.set(slot, &[2]));
        (0..100).for_each(|slot| index.set(slot, &[1]));
        assert_eq!(index.pairs, 200);
        assert_eq!(index.slots(1).len(), 100);
        assert_eq!((index.pairs, index.lists.len(), index.in_use()), (0, 0, false));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64),
        Flood(u64, usize),
        Trim,
        Note,
        Hit(usize, Vec<u64>),
    }

    fn op() -> impl Strategy<Value = Op> {
        let tag = 0..6u64;
        prop_oneof![
            8 => tag.clone().prop_map(Op::Push),
            1 => (tag.clone(), 0..1100usize).prop_map(|(tag, count)| Op::Flood(tag, count)),
            1 => Just(Op::Trim),
            4 => Just(Op::Note),
            4 => (0..8usize, prop::collection::vec(tag, 0..3)).prop_map(|(back, tags)| Op::Hit(back, tags)),
        ]
    }

    proptest! {
        #[test]
        fn the_log_answers_as_one_that_forgets_nothing(ops in prop::collection::vec(op(), 0..80)) {
            let mut log = Log::new();
            let (mut history, mut base, mut noted) = (Vec::new(), 0, vec![0]);
            for op in ops {
                match op {
                    Op::Push(tag) => {
                        history.push(tag);
                        log.push(tag);
                    }
                    Op::Flood(tag, count) => (0..count).for_each(|_| {
                        history.push(tag);
                        log.push(tag);
                    }),
                    Op::Trim => {
                        base = history.len();
                        log.trim();
                    }
                    Op::Note => noted.push(log.position()),
                    Op::Hit(back, tags) => {
                        let since = noted[noted.len().saturating_sub(1 + back)];
                        let exact = (since as usize..history.len()).find(|&at| tags.contains(&history[at]));
                        let base = base.max(history.len().saturating_sub(LOGGED)) as u64;
                        let hit = match (tags.is_empty(), since < base) {
                            (true, _) => None,
                            (false, true) => Some(since),
                            (false, false) => exact.map(|at| at as u64),
                        };
                        prop_assert_eq!(log.first_hit(since, &tags), hit);
                        // Whatever it forgets, it is never later than the truth.
                        prop_assert!(exact.is_none_or(|at| hit.is_some_and(|hit| hit <= at as u64)));
                    }
                }
                prop_assert_eq!(log.position(), history.len() as u64);
            }
        }

        #[test]
        fn the_index_answers_as_one_that_looks_at_every_slot(
            ops in prop::collection::vec((any::<bool>(), 0..24u32, prop::collection::vec(0..10u64, 0..5)), 0..600),
        ) {
            let mut index = Index::new();
            let mut model: [Vec<u64>; 24] = Default::default();
            for (even, slot, mut tags) in ops {
                if slot == 0 {
                    // Takes a tag away.
                    let tag = tags.first().copied().unwrap_or(3);
                    let mut slots = index.slots(tag);
                    slots.sort_unstable();
                    let carry = (0..24u32).filter(|&slot| model[slot as usize].contains(&tag));
                    prop_assert_eq!(slots, carry.collect::<Vec<_>>());
                    model.iter_mut().for_each(|tags| tags.retain(|&other| other != tag));
                } else {
                    if even {
                        tags.clear();
                    }
                    // As the shard does it: nothing is told that need not be.
                    if index.in_use() || !tags.is_empty() {
                        index.set(slot, &tags);
                    }
                    tags.sort_unstable();
                    tags.dedup();
                    model[slot as usize] = tags;
                }
                let carried: usize = model.iter().map(Vec::len).sum();
                prop_assert_eq!(index.current, carried);
                prop_assert!(index.pairs <= 2 * carried + SLACK);
                prop_assert_eq!(index.lists.iter().map(|list| list.pairs.len()).sum::<usize>(), index.pairs);
                prop_assert!(index.lists.iter().all(|list| !list.pairs.is_empty()));
            }
        }
    }
}
