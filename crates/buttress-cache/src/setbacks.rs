//! What one shard remembers of loads that failed, for a while and so many at most.
//!
//! Single-threaded and pure, and no key or error is dropped in here: the caller has a lock to release first.

use hashbrown::HashTable;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::{fmt, iter};

/// The queue may be so much longer than twice the table.
const SLACK: usize = 16;

/// A load that failed, and how long that counts.
#[derive(Clone, Debug)]
pub(crate) struct Setback {
    /// In nanoseconds, as the store counts them. At that moment it no longer counts.
    pub(crate) until: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// A refresh failed: until then the stale value is served without trying again.
    Throttled,
    /// The error itself is remembered: until then callers get it, or are told that there was one.
    Remembered(Option<Arc<dyn Any + Send + Sync>>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled => f.write_str("Throttled"),
            Self::Remembered(error) => f.debug_tuple("Remembered").field(&error.is_some()).finish(),
        }
    }
}

/// Setbacks by key, at most one of each. Holds no memory until the first.
#[derive(Debug)]
pub(crate) struct Setbacks<K> {
    table: HashTable<Slot<K>>,
    /// Hash and serial of everything in the table, oldest first, and of some that have left it.
    order: VecDeque<(u64, u64)>,
    serial: u64,
}

#[derive(Debug)]
struct Slot<K> {
    hash: u64,
    serial: u64,
    key: K,
    setback: Setback,
}

/// What had to go.
#[derive(Debug)]
#[must_use = "drop it after the lock"]
pub(crate) struct Dropped<K> {
    replaced: Option<(K, Setback)>,
    // One, unless `most` has shrunk, and nothing is allocated for one.
    evicted: Option<(K, Setback)>,
    rest: Vec<(K, Setback)>,
}

impl<K> IntoIterator for Dropped<K> {
    type Item = (K, Setback);
    type IntoIter = iter::Chain<
        iter::Chain<std::option::IntoIter<(K, Setback)>, std::option::IntoIter<(K, Setback)>>,
        std::vec::IntoIter<(K, Setback)>,
    >;

    /// The replaced one first, then the evicted ones, oldest first.
    fn into_iter(self) -> Self::IntoIter {
        self.replaced.into_iter().chain(self.evicted).chain(self.rest)
    }
}

impl<K> Setbacks<K> {
    pub(crate) const fn new() -> Self {
        Self { table: HashTable::new(), order: VecDeque::new(), serial: 0 }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many are there, counting those whose time is over and that nobody has removed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Remembers a setback in place of any other of its key, as the newest. Beyond `most` the oldest go.
    pub(crate) fn put(&mut self, hash: u64, key: K, setback: Setback, most: usize) -> Dropped<K>
    where
        K: Eq,
    {
        let replaced = self.take(hash, |slot| slot.key == key);
        self.serial += 1;
        let serial = self.serial;
        self.table.insert_unique(hash, Slot { hash, serial, key, setback }, |slot| slot.hash);
        self.order.push_back((hash, serial));
        let mut dropped = Dropped { replaced, evicted: None, rest: Vec::new() };
        while self.table.len() > most {
            let Some((hash, serial)) = self.order.pop_front() else { break };
            let evicted = self.take(hash, |slot| slot.serial == serial);
            if dropped.evicted.is_none() {
                dropped.evicted = evicted;
            } else {
                dropped.rest.extend(evicted);
            }
        }
        self.tidy();
        dropped
    }

    /// The setback of this key, if it still counts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl Fn(&K) -> bool, now: u64) -> Option<&Setback> {
        let slot = self.table.find(hash, |slot| eq(&slot.key))?;
        (now < slot.setback.until).then_some(&slot.setback)
    }

    /// Forgets the setback of this key, whether it still counts or not.
    pub(crate) fn remove(&mut self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<(K, Setback)> {
        let removed = self.take(hash, |slot| eq(&slot.key));
        self.tidy();
        removed
    }

    /// Forgets everything that `keep` does not want, and hands it out.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &Setback) -> bool) -> Vec<(K, Setback)> {
        let removed = self.table.extract_if(|slot| !keep(&slot.key, &slot.setback));
        let removed = removed.map(|slot| (slot.key, slot.setback)).collect();
        self.tidy();
        removed
    }

    fn take(&mut self, hash: u64, is: impl Fn(&Slot<K>) -> bool) -> Option<(K, Setback)> {
        let (slot, _) = self.table.find_entry(hash, is).ok()?.remove();
        Some((slot.key, slot.setback))
    }

    /// Takes out of the queue what has left the table, once it is most of the queue: each of those is paid for by the
    /// call that took it out of the table.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.table.len() + SLACK {
            let table = &self.table;
            self.order.retain(|&(hash, serial)| table.find(hash, |slot| slot.serial == serial).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_testkit::guarded::{Guarded, locked};
    use proptest::prelude::*;

    fn until(until: u64) -> Setback {
        Setback { until, kind: Kind::Throttled }
    }

    fn put(setbacks: &mut Setbacks<u64>, key: u64, at: u64, most: usize) -> Vec<(u64, u64)> {
        setbacks.put(key % 4, key, until(at), most).into_iter().map(|(key, gone)| (key, gone.until)).collect()
    }

    fn find(setbacks: &Setbacks<u64>, key: u64, now: u64) -> Option<u64> {
        setbacks.find(key % 4, |&other| other == key, now).map(|setback| setback.until)
    }

    #[test]
    fn a_setback_counts_until_its_time_and_not_at_it() {
        let mut setbacks = Setbacks::new();
        assert!(setbacks.is_empty());
        assert_eq!(put(&mut setbacks, 1, 10, 8), []);
        assert_eq!([0, 9, 10, 11].map(|now| find(&setbacks, 1, now)), [Some(10), Some(10), None, None]);
        assert_eq!((find(&setbacks, 5, 0), setbacks.len()), (None, 1));
    }

    #[test]
    fn a_newer_setback_of_a_key_replaces_the_older_one_and_is_the_newest() {
        let mut setbacks = Setbacks::new();
        for key in 0..3 {
            assert_eq!(put(&mut setbacks, key, 10, 3), []);
        }
        assert_eq!(put(&mut setbacks, 0, 20, 3), [(0, 10)]);
        assert_eq!(put(&mut setbacks, 3, 10, 3), [(1, 10)]);
        assert_eq!((find(&setbacks, 0, 0), find(&setbacks, 1, 0)), (Some(20), None));
    }

    #[test]
    fn a_smaller_table_hands_out_the_oldest_first_and_one_of_none_keeps_nothing() {
        let mut setbacks = Setbacks::new();
        (0..4).for_each(|key| assert_eq!(put(&mut setbacks, key, 10, 4), []));
        assert_eq!(put(&mut setbacks, 4, 10, 2), [(0, 10), (1, 10), (2, 10)]);
        assert_eq!(put(&mut setbacks, 5, 10, 0), [(3, 10), (4, 10), (5, 10)]);
        assert!(setbacks.is_empty());
    }

    #[test]
    fn what_was_remembered_comes_back_as_it_was() {
        let mut setbacks = Setbacks::new();
        let error: Arc<dyn Any + Send + Sync> = Arc::new("no route");
        let kind = Kind::Remembered(Some(error));
        assert_eq!(setbacks.put(7, "a", Setback { until: 9, kind }, 1).into_iter().count(), 0);
        let found = setbacks.find(7, |&key| key == "a", 0).map(|setback| &setback.kind);
        let Some(Kind::Remembered(Some(error))) = found else { panic!("{found:?}") };
        assert_eq!(error.downcast_ref(), Some(&"no route"));
        assert!(setbacks.remove(7, |&key| key == "a").is_some());
        assert!(setbacks.remove(7, |&key| key == "a").is_none());
    }

    #[test]
    fn one_key_that_keeps_failing_does_not_grow_the_queue() {
        let mut setbacks = Setbacks::new();
        for at in 0..10_000 {
            put(&mut setbacks, 1, at, 1000);
        }
        assert!(setbacks.order.len() <= 2 + SLACK && setbacks.order.capacity() < 64);
    }

    #[test]
    fn nothing_is_dropped_before_the_caller_drops_it() {
        let mut setbacks = Setbacks::new();
        let error = |id| Kind::Remembered(Some(Arc::new(Guarded(id))));
        let put = |setbacks: &mut Setbacks<Guarded>, id, most| {
            let setback = Setback { until: 9, kind: error(id) };
            let key = Guarded(id);
            let _ = locked(|| setbacks.put(id, key, setback, most));
        };
        for (id, most) in [(1, 3), (2, 3), (1, 3), (3, 3), (4, 3), (5, 1), (6, 0), (7, 2), (8, 2)] {
            put(&mut setbacks, id, most);
        }
        let _ = locked(|| setbacks.remove(7, |key| key.0 == 7));
        let _ = locked(|| setbacks.retain(|_, _| false));
        assert!(setbacks.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Put { key: u64, until: u64, most: usize },
        Find { key: u64, now: u64 },
        Remove(u64),
        Expire(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (key, time) = (0..12u64, 0..8u64);
        // The bound seldom changes in life; here it does, and mostly not by much.
        let most = prop_oneof![8 => Just(6usize), 2 => 4..9usize, 1 => 0..4usize];
        prop_oneof![
            6 => (key.clone(), time.clone(), most).prop_map(|(key, until, most)| Op::Put { key, until, most }),
            3 => (key.clone(), time.clone()).prop_map(|(key, now)| Op::Find { key, now }),
            2 => key.prop_map(Op::Remove),
            1 => time.prop_map(Op::Expire),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_does(ops in prop::collection::vec(op(), 0..400)) {
            let mut setbacks = Setbacks::new();
            // Oldest first.
            let mut model: Vec<(u64, u64)> = Vec::new();
            for op in ops {
                match op {
                    Op::Put { key, until, most } => {
                        let at = model.iter().position(|&(other, _)| other == key);
                        let mut gone: Vec<_> = at.map(|at| model.remove(at)).into_iter().collect();
                        model.push((key, until));
                        gone.extend(model.drain(..model.len().saturating_sub(most)));
                        prop_assert_eq!(put(&mut setbacks, key, until, most), gone);
                    }
                    Op::Find { key, now } => {
                        let found = model.iter().find(|&&(other, until)| other == key && now < until);
                        prop_assert_eq!(find(&setbacks, key, now), found.map(|&(_, until)| until));
                    }
                    Op::Remove(key) => {
                        let at = model.iter().position(|&(other, _)| other == key);
                        let removed = setbacks.remove(key % 4, |&other| other == key);
                        let removed = removed.map(|(key, setback)| (key, setback.until));
                        prop_assert_eq!(removed, at.map(|at| model.remove(at)));
                    }
                    Op::Expire(now) => {
                        let removed = setbacks.retain(|_, setback| now < setback.until);
                        let mut removed: Vec<_> = removed.iter().map(|(key, old)| (*key, old.until)).collect();
                        let (kept, mut gone): (Vec<_>, Vec<_>) =
                            model.into_iter().partition(|&(_, until)| now < until);
                        model = kept;
                        removed.sort_unstable();
                        gone.sort_unstable();
                        prop_assert_eq!(removed, gone);
                    }
                }
                prop_assert_eq!(setbacks.len(), model.len());
                prop_assert_eq!(setbacks.is_empty(), model.is_empty());
                prop_assert!(setbacks.order.len() <= 2 * setbacks.len() + SLACK);
            }
        }
    }
}
