//! Series by label values that nobody knows ahead: bounded, and read without a lock.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::OnceLock;

/// The longest label value that gets a series of its own, in bytes: a cap on how many there are bounds nothing if each
/// may be as long as it likes.
pub(crate) const LONGEST: usize = 256;

/// At most so many values by their keys, each a few strings. What was put in stays, so it is lent and not shared: to find
/// something writes nothing that another thread reads.
pub(crate) struct Table<V> {
    slots: Box<[OnceLock<Box<Entry<V>>>]>,
    hasher: RandomState,
    /// How many more there may be.
    room: Mutex<usize>,
}

#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) key: Box<[Box<str>]>,
    pub(crate) value: V,
}

impl<V> Table<V> {
    pub(crate) fn new(cap: usize) -> Self {
        // At most half full, and at least one slot is free, so that a search ends.
        let slots = (2 * cap).next_power_of_two().max(1);
        Self {
            slots: (0..slots).map(|_| OnceLock::new()).collect(),
            hasher: RandomState::default(),
            room: Mutex::new(cap),
        }
    }

    /// The slots that may hold a key, in the order in which they are filled.
    fn slots(&self, key: &[&str]) -> impl Iterator<Item = (usize, &OnceLock<Box<Entry<V>>>)> {
        let mut hasher = self.hasher.build_hasher();
        key.iter().for_each(|part| part.hash(&mut hasher));
        let mask = self.slots.len() - 1;
        let first = hasher.finish() as usize;
        (0..self.slots.len()).map(move |step| {
            let place = first.wrapping_add(step) & mask;
            (place, &self.slots[place])
        })
    }

    /// Finds a value, and the place at which it stays.
    #[inline]
    pub(crate) fn find(&self, key: &[&str]) -> Option<(usize, &V)> {
        for (place, slot) in self.slots(key) {
            let entry = slot.get()?;
            if entry.key.iter().map(|part| &**part).eq(key.iter().copied()) {
                return Some((place, &entry.value));
            }
        }
        None
    }

    /// Finds a value or makes it. `None` if there is no room for it, or its key is too long.
    pub(crate) fn find_or_make(&self, key: &[&str], make: impl FnOnce() -> V) -> Option<(usize, &V)> {
        if let Some(found) = self.find(key) {
            return Some(found);
        }
        if key.iter().any(|part| part.len() > LONGEST) {
            return None;
        }
        let mut room = self.room.lock();
        // Others may have filled slots meanwhile, even with this key; from here on nobody does.
        let (place, slot) = self.slots(key).find(|(_, slot)| match slot.get() {
            None => true,
            Some(entry) => entry.key.iter().map(|part| &**part).eq(key.iter().copied()),
        })?;
        if slot.get().is_none() {
            *room = room.checked_sub(1)?;
        }
        let entry = slot.get_or_init(|| {
            Box::new(Entry { key: key.iter().map(|part| (*part).into()).collect(), value: make() })
        });
        Some((place, &entry.value))
    }

    /// What is at a place that was found; nothing at those that never are.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&V> {
        self.slots.get(place)?.get().map(|entry| &entry.value)
    }

    /// All entries, in the order of their keys.
    pub(crate) fn sorted(&self) -> Vec<&Entry<V>> {
        let mut entries: Vec<_> =
            self.slots.iter().filter_map(|slot| slot.get().map(|entry| &**entry)).collect();
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn there_are_never_more_than_it_has_room_for() {
        let table = Table::new(3);
        let made = |key: &str| table.find_or_make(&[key], || key.len()).map(|(place, len)| (place, *len));
        for key in ["a", "bb", "ccc"] {
            let made_now = made(key);
            assert_eq!((made_now.map(|(_, len)| len), made(key)), (Some(key.len()), made_now));
            assert_eq!(made_now.and_then(|(place, _)| table.at(place)), Some(&key.len()));
        }
        assert_eq!(made("dddd"), None);
        assert_eq!(made("bb").map(|(_, len)| len), Some(2), "what is there is found");
        let keys: Vec<_> = table.sorted().iter().map(|entry| &*entry.key[0]).collect();
        assert_eq!(keys, ["a", "bb", "ccc"]);
        assert_eq!(table.at(usize::MAX), None);
        assert!(Table::new(0).find_or_make(&["a"], || ()).is_none());
    }

    #[test]
    fn keys_of_several_parts_are_told_apart() {
        let table = Table::new(8);
        for key in [["ab", "c"], ["a", "bc"], ["", "abc"]] {
            table.find_or_make(&key, || key.concat());
        }
        assert_eq!(table.sorted().len(), 3);
    }

    #[test]
    fn what_is_too_long_has_no_room() {
        let table = Table::new(8);
        assert!(table.find_or_make(&["x".repeat(LONGEST).as_str()], || ()).is_some());
        assert!(table.find_or_make(&["x".repeat(LONGEST + 1).as_str()], || ()).is_none());
    }

    #[test]
    fn threads_that_ask_for_the_same_get_the_same() {
        const CAP: usize = 50;
        let (table, made, together) = (Table::new(CAP), AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (table, made, together) = (&table, &made, &together);
                scope.spawn(move || {
                    together.wait();
                    for n in 0..100 {
                        let key = ((n + thread * 25) % 100).to_string();
                        let value = table.find_or_make(&[&key], || {
                            made.fetch_add(1, Ordering::Relaxed);
                            key.clone()
                        });
                        assert!(value.is_none_or(|(_, value)| *value == key));
                    }
                });
            }
        });
        assert_eq!((made.into_inner(), table.sorted().len()), (CAP, CAP));
    }
}
