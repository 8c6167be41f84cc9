//! One shard of the store: a hash table over a slab, and a policy that says which entry goes.
//!
//! Single-threaded and pure. It drops no key and no value of its own accord: whatever leaves is handed to the
//! caller, who has a lock to release first.

use crate::policy::{Engine, MAX_WEIGHT, Mode, Nodes, Policy};
use hashbrown::HashTable;
use std::iter;

/// Memory for so many entries at most is taken in advance. A larger shard grows as it fills, in steps that
/// double and end where it was said to end: whoever says too much only pays for what is used.
const RESERVED: usize = 1 << 14;

/// Where an entry is, until it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(u32);

impl At {
    pub(crate) fn new(index: u32) -> Self {
        Self(index)
    }

    /// Small numbers, as many as there have been entries at one time.
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Entries found by hash and key, limited by weight.
#[derive(Debug)]
pub(crate) struct Shard<K, V> {
    table: HashTable<u32>,
    nodes: Nodes,
    slots: Vec<Option<(K, V)>>,
    free: Vec<u32>,
    policy: Engine,
    capacity: u64,
    /// The most entries that it may hold, whatever they weigh.
    most: usize,
    /// Whether the policy takes it for full.
    is_bound: bool,
    /// So many can be there before anything grows.
    room: usize,
    /// Empty between two calls, with room for what the next one evicts.
    evicted: Vec<u32>,
}

/// What an insertion pushed out.
#[derive(Debug)]
#[must_use = "drop it after the lock"]
pub(crate) struct Inserted<K, V> {
    pub(crate) at: At,
    /// The key that was given, equal to the one that stays, and the value that was there.
    pub(crate) replaced: Option<(K, V)>,
    pub(crate) evicted: Evicted<K, V>,
}

/// Entries that had to go, the last one first; seldom more than one, for which nothing is allocated.
#[derive(Debug)]
#[must_use = "drop it after the lock"]
pub(crate) struct Evicted<K, V> {
    first: Option<(K, V)>,
    rest: Vec<(K, V)>,
}

impl<K, V> Evicted<K, V> {
    pub(crate) const NONE: Self = Self { first: None, rest: Vec::new() };

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

impl<K, V> IntoIterator for Evicted<K, V> {
    type Item = (K, V);
    type IntoIter = iter::Chain<std::option::IntoIter<(K, V)>, std::vec::IntoIter<(K, V)>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<K, V> Shard<K, V> {
    /// A shard for entries of a total weight of `capacity`, about `entries` of them.
    pub(crate) fn new(policy: Policy, capacity: u64, entries: usize) -> Self {
        let mut room = entries;
        while room > RESERVED {
            room = room.div_ceil(2);
        }
        Self {
            table: HashTable::with_capacity(table_capacity(room)),
            nodes: Nodes::with_capacity(slab_capacity(room)),
            slots: Vec::with_capacity(slab_capacity(room)),
            free: Vec::new(),
            policy: Engine::new(policy, capacity, room),
            capacity,
            most: usize::MAX,
            is_bound: false,
            room,
            evicted: Vec::new(),
        }
    }

    /// The total weight that it may hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The total weight that it holds.
    pub(crate) fn weight(&self) -> u64 {
        self.policy.weight()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether an entry of this weight may be inserted.
    pub(crate) fn admits(&self, weight: u64) -> bool {
        weight <= self.capacity.min(MAX_WEIGHT)
    }

    /// Finds an entry. That is no use of it: see [`touch`](Self::touch).
    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<At> {
        let slots = &self.slots;
        let is = |&index: &u32| slots[index as usize].as_ref().is_some_and(|(key, _)| eq(key));
        self.table.find(hash, is).map(|&index| At(index))
    }

    /// Counts a use of an entry.
    #[inline]
    pub(crate) fn touch(&mut self, at: At) {
        self.policy.hit(&mut self.nodes, at.0);
    }

    /// The entry that was found, `None` if it has left since.
    #[inline]
    pub(crate) fn entry(&self, at: At) -> Option<(&K, &V)> {
        self.slots[at.0 as usize].as_ref().map(|(key, value)| (key, value))
    }

    /// The value that was found, `None` if it has left since.
    #[inline]
    pub(crate) fn value_mut(&mut self, at: At) -> Option<&mut V> {
        self.slots[at.0 as usize].as_mut().map(|(_, value)| value)
    }

    /// The weight that the entry was inserted with.
    pub(crate) fn weight_of(&self, at: At) -> u64 {
        self.nodes.weight(at.0)
    }

    /// Finds a value and counts a use of it.
    #[inline]
    pub(crate) fn get(&mut self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<&V> {
        let mut found = None;
        let is = |&index: &u32| {
            found = self.slots[index as usize].as_ref().filter(|(key, _)| eq(key)).map(|(_, value)| value);
            found.is_some()
        };
        let &index = self.table.find(hash, is)?;
        self.policy.hit(&mut self.nodes, index);
        found
    }

    /// Finds a value without counting a use of it.
    #[inline]
    pub(crate) fn peek(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<&V> {
        self.entry(self.find(hash, eq)?).map(|(_, value)| value)
    }

    /// Takes in an entry, or replaces the value of the one that is there, which counts as a use of it.
    ///
    /// The weight is within [`admits`](Self::admits): that is the caller's to see to.
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V, weight: u64) -> Inserted<K, V>
    where
        K: Eq,
    {
        debug_assert!(self.admits(weight), "an entry of weight {weight} in a shard of {}", self.capacity);
        if let Some(at) = self.find(hash, |present| *present == key) {
            return self.replace(at, key, value, weight);
        }
        self.bind(weight.max(1));
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.nodes.begin(index, hash, weight);
        match self.slots.get_mut(index as usize) {
            Some(slot) => *slot = Some((key, value)),
            None => self.slots.push(Some((key, value))),
        }
        self.policy.insert(&mut self.nodes, index, &mut self.evicted);
        let evicted = self.clear();
        if self.table.len() == self.room {
            self.grow();
        }
        let nodes = &self.nodes;
        self.table.insert_unique(hash, index, |&index| nodes.hash(index));
        Inserted { at: At(index), replaced: None, evicted }
    }

    #[inline(never)]
    fn replace(&mut self, at: At, key: K, value: V, weight: u64) -> Inserted<K, V> {
        self.touch(at);
        let replaced = self.value_mut(at).map(|present| (key, std::mem::replace(present, value)));
        Inserted { at, replaced, evicted: self.reweigh(at, weight) }
    }

    /// Changes an entry's weight. It stays; others may have to go.
    pub(crate) fn reweigh(&mut self, at: At, weight: u64) -> Evicted<K, V> {
        if weight == self.weight_of(at) {
            return Evicted::NONE;
        }
        self.policy.reweigh(&mut self.nodes, at.0, weight, &mut self.evicted);
        self.clear()
    }

    /// Takes out an entry that is no longer valid. No policy remembers it.
    pub(crate) fn remove(&mut self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<(K, V)> {
        let at = self.find(hash, eq)?;
        self.remove_at(at)
    }

    /// Takes out an entry that was found and is no longer valid.
    pub(crate) fn remove_at(&mut self, at: At) -> Option<(K, V)> {
        self.slots.get(at.0 as usize)?.as_ref()?;
        self.policy.remove(&mut self.nodes, at.0);
        self.release(at.0)
    }

    /// Changes the capacity, and hands over what no longer fits.
    pub(crate) fn set_capacity(&mut self, capacity: u64) -> Evicted<K, V> {
        (self.capacity, self.is_bound) = (capacity, false);
        self.policy.set_capacity(&mut self.nodes, capacity, &mut self.evicted);
        self.clear()
    }

    /// Changes the number of entries that it may hold, and hands over what no longer fits.
    pub(crate) fn set_most(&mut self, most: usize) -> Vec<Evicted<K, V>> {
        self.most = most.max(1);
        let mut evicted = Vec::new();
        while self.len() > self.most {
            evicted.push(self.shrink(self.weight() - 1));
        }
        evicted
    }

    /// The number of entries that it may hold, whatever they weigh.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Where entries are the limit and not their weight, the policy takes the shard for full but for the newcomer
    /// without its last unit of weight: one has to go, and it is the policy that says which.
    #[inline]
    fn bind(&mut self, newcomer: u64) {
        let is_full = self.table.len() >= self.most && newcomer <= self.capacity - self.weight();
        if is_full {
            self.policy.bind(&mut self.nodes, newcomer, &mut self.evicted);
        } else if self.is_bound {
            self.policy.set_capacity(&mut self.nodes, self.capacity, &mut self.evicted);
        }
        self.is_bound = is_full;
    }

    /// Evicts until at most `weight` is left: room that another shard needs.
    pub(crate) fn shrink(&mut self, weight: u64) -> Evicted<K, V> {
        self.policy.shrink(&mut self.nodes, weight, &mut self.evicted);
        self.clear()
    }

    /// Sets how [`Policy::Drf`] divides the capacity; nothing for other policies.
    #[inline]
    pub(crate) fn steer(&mut self, mode: Mode) {
        self.policy.steer(mode);
    }

    /// All entries, in no particular order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().flatten().map(|(key, value)| (key, value))
    }

    /// Takes out what `which` says among the `count` places from `from` on, as [`remove`](Self::remove)
    /// does. Answers where to go on, `None` at the end: a sweep need not hold a lock all the way.
    pub(crate) fn extract(
        &mut self,
        from: usize,
        count: usize,
        mut which: impl FnMut(At, &K, &V) -> bool,
        removed: &mut Vec<(K, V)>,
    ) -> Option<usize> {
        let end = from.saturating_add(count).min(self.slots.len());
        for index in from..end {
            if self.slots[index].as_ref().is_some_and(|(key, value)| which(At(index as u32), key, value)) {
                removed.extend(self.remove_at(At(index as u32)));
            }
        }
        (end < self.slots.len()).then_some(end)
    }

    /// Takes out everything that `keep` does not want, and hands it over.
    #[cfg(test)]
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        let mut removed = Vec::new();
        self.extract(0, usize::MAX, |_, key, value| !keep(key, value), &mut removed);
        removed
    }

    /// Makes room for one more entry, and for as many again as there are.
    #[cold]
    fn grow(&mut self) {
        self.room = (self.room * 2).max(8);
        let nodes = &self.nodes;
        self.table.reserve(table_capacity(self.room) - self.table.len(), |&index| nodes.hash(index));
        let more = slab_capacity(self.room).saturating_sub(self.slots.len());
        self.slots.reserve_exact(more);
        self.nodes.reserve_exact(more);
    }

    /// Forgets the entries that the policy has just let go of.
    #[inline(always)]
    fn clear(&mut self) -> Evicted<K, V> {
        let Some(index) = self.evicted.pop() else { return Evicted::NONE };
        let rest = if self.evicted.is_empty() { Vec::new() } else { self.clear_rest() };
        Evicted { first: self.release(index), rest }
    }

    #[cold]
    #[inline(never)]
    fn clear_rest(&mut self) -> Vec<(K, V)> {
        let mut rest = Vec::with_capacity(self.evicted.len());
        while let Some(index) = self.evicted.pop() {
            rest.extend(self.release(index));
        }
        rest
    }

    /// Forgets an entry that its policy has let go of.
    #[inline(always)]
    fn release(&mut self, index: u32) -> Option<(K, V)> {
        if let Ok(found) = self.table.find_entry(self.nodes.hash(index), |&other| other == index) {
            found.remove();
        }
        self.free.push(index);
        self.slots[index as usize].take()
    }
}

/// What to ask of the table. When places that were never used run out, one that is more than half full
/// doubles, and so would every table under steady churn; one that is at most half full cleans up in place.
fn table_capacity(entries: usize) -> usize {
    entries.saturating_add(1).saturating_mul(2)
}

/// A newcomer has its place before the one that goes for it leaves its own.
fn slab_capacity(entries: usize) -> usize {
    entries.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptor::Adaptor;
    use buttress_testkit::alloc;
    use buttress_testkit::guarded::{Guarded, locked};

    const POLICIES: [Policy; 5] = [Policy::Drf, Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];

    fn hash(key: u64) -> u64 {
        let mixed = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    fn get_or_insert(shard: &mut Shard<u64, u64>, key: u64) {
        if shard.get(hash(key), |&other| other == key).is_none() {
            let _ = shard.insert(hash(key), key, key, 1);
        }
    }

    #[test]
    fn an_entry_costs_at_most_64_bytes_and_steady_churn_allocates_nothing() {
        const SHARD: usize = 12_500; // one of eight
        for policy in POLICIES {
            let (mut shard, made) = alloc::count(|| {
                let mut shard = Shard::new(policy, SHARD as u64, SHARD);
                (0..2 * SHARD as u64).for_each(|key| get_or_insert(&mut shard, key));
                shard
            });
            let (_adaptor, shadows) = alloc::count(|| Adaptor::new(8 * SHARD as u64, 8 * SHARD, false));
            let shadows = if policy == Policy::Drf { shadows.bytes / 8 } else { 0 };
            let overhead = (made.bytes + shadows) as f64 / SHARD as f64 - 16.0;
            println!("{policy:?}: {overhead:.1} bytes per entry");
            assert!(overhead <= 64.0, "{policy:?}: {overhead}");
            assert_eq!(shard.len(), SHARD);

            let churn = || (0..500_000).for_each(|key| get_or_insert(&mut shard, 7 * key % 1_000_003));
            let ((), churned) = alloc::count(churn);
            assert_eq!(churned.allocations, 0, "{policy:?}");
        }
    }

    #[test]
    fn more_entries_than_expected_find_room() {
        for policy in POLICIES {
            let mut shard = Shard::new(policy, 10_000, 0);
            (0..10_100).for_each(|key| get_or_insert(&mut shard, key));
            let churn = || (10_100..200_000).for_each(|key| get_or_insert(&mut shard, key));
            assert_eq!(alloc::count(churn).1.allocations, 0, "{policy:?}");
            assert_eq!(shard.len(), 10_000, "{policy:?}");
            let found = |key| shard.peek(hash(key), |&other| other == key).is_some();
            assert_eq!((0..200_000).filter(|&key| found(key)).count(), 10_000, "{policy:?}");
        }
    }

    #[test]
    fn a_boundless_shard_costs_no_more_than_a_large_one() {
        for policy in POLICIES {
            let (shard, made) = alloc::count(|| Shard::<u64, u64>::new(policy, u64::MAX, usize::MAX));
            assert!(made.bytes < 2_000_000, "{policy:?}: {made}");
            assert!(shard.admits(MAX_WEIGHT) && !shard.admits(MAX_WEIGHT + 1));
            assert!(alloc::count(|| Adaptor::new(u64::MAX, usize::MAX, false)).1.bytes < 8_000_000);
        }
    }

    #[test]
    fn an_entry_as_heavy_as_the_capacity_is_taken_in() {
        for policy in POLICIES {
            let mut shard = Shard::new(policy, MAX_WEIGHT, 4);
            for key in 0..8 {
                assert!(shard.admits(MAX_WEIGHT) && !shard.admits(MAX_WEIGHT + 1));
                let inserted = shard.insert(hash(key), key, (), MAX_WEIGHT);
                assert_eq!(inserted.evicted.len(), usize::from(key > 0), "{policy:?}");
                assert_eq!((shard.weight(), shard.len()), (MAX_WEIGHT, 1));
            }
        }
    }

    #[test]
    fn nothing_is_dropped_inside() {
        for policy in POLICIES {
            let mut shard = Shard::new(policy, 64, 8);
            for key in 0..1000 {
                let (id, value) = (key * 7 % 100, Guarded(key));
                drop(locked(|| shard.insert(hash(id), Guarded(id), value, key % 9)));
                drop(locked(|| shard.remove(hash(key % 50), |other| other.0 == key % 50)));
                if let Some(at) = shard.find(hash(id), |other| other.0 == id) {
                    drop(locked(|| shard.reweigh(at, key % 64)));
                }
                drop(locked(|| shard.set_capacity(64 + key % 64)));
                drop(locked(|| shard.shrink(100)));
            }
            drop(locked(|| shard.retain(|key, _| key.0 % 2 == 0)));
            assert!(shard.iter().all(|(key, _)| key.0 % 2 == 0));
        }
    }

    #[test]
    fn a_sweep_goes_on_where_it_stopped() {
        let mut shard = Shard::new(Policy::Lru, 100, 100);
        (0..100).for_each(|key| get_or_insert(&mut shard, key));
        let (mut removed, mut next, mut steps) = (Vec::new(), Some(0), 0);
        while let Some(from) = next {
            next = shard.extract(from, 7, |_, key, _| key % 3 == 0, &mut removed);
            steps += 1;
        }
        assert_eq!((steps, removed.len(), shard.len()), (15, 34, 66));
    }
}
