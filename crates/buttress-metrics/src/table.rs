//! Series by label values that nobody knows ahead: bounded, and read without a lock.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

/// The longest label value that gets a series of its own, in bytes: a cap on how many there are bounds nothing if each
/// may be as long as it likes.
pub(crate) const LONGEST: usize = 256;

/// The most values that a table has, whatever its cap: its slots are there from the beginning, and `usize::MAX` is a cap that
/// people give.
const MOST: usize = 1 << 16;

/// At most so many values by their keys, each a few strings. What was put in stays, so it is lent and not shared: to find
/// something writes nothing that another thread reads.
pub(crate) struct Table<V> {
    slots: Box<[OnceLock<Entry<V>>]>,
    hasher: RandomState,
    /// How many more there may be.
    room: Mutex<usize>,
}

#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) key: Box<[Box<str>]>,
    pub(crate) value: V,
}

impl<V> Entry<V> {
    #[inline]
    fn is_of(&self, key: &[&str]) -> bool {
        let parts = self.key.iter().zip(key);
        // An empty string is nowhere, and to compare what is nowhere can cost as much as a page fault.
        self.key.len() == key.len()
            && parts
                .into_iter()
                .all(|(own, part)| own.len() == part.len() && (part.is_empty() || **own == **part))
    }
}

impl<V> Table<V> {
    pub(crate) fn new(cap: usize) -> Self {
        let cap = cap.min(MOST);
        // At most half full, and at least one slot is free, so that a search ends.
        let slots = (2 * cap).next_power_of_two().max(1);
        Self {
            slots: (0..slots).map(|_| OnceLock::new()).collect(),
            hasher: RandomState::default(),
            room: Mutex::new(cap),
        }
    }

    /// The place of a key and its value, or the free place where it would be.
    #[inline]
    fn search(&self, key: &[&str]) -> Result<(usize, &V), usize> {
        let mut hasher = self.hasher.build_hasher();
        for part in key {
            // The length tells where one ends and the next begins.
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        let mask = self.slots.len() - 1;
        let mut place = hasher.finish() as usize & mask;
        // It ends: there is always a slot that is free.
        while let Some(entry) = self.slots[place].get() {
            if entry.is_of(key) {
                return Ok((place, &entry.value));
            }
            place = (place + 1) & mask;
        }
        Err(place)
    }

    /// Finds a value, and the place at which it stays.
    #[inline]
    pub(crate) fn find(&self, key: &[&str]) -> Option<(usize, &V)> {
        self.search(key).ok()
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
        let place = match self.search(key) {
            Ok(found) => return Some(found),
            Err(place) => place,
        };
        *room = room.checked_sub(1)?;
        let entry = self.slots[place]
            .get_or_init(|| Entry { key: key.iter().map(|part| (*part).into()).collect(), value: make() });
        Some((place, &entry.value))
    }

    /// What is at a place that was found; nothing at those that never are.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&V> {
        self.slots.get(place)?.get().map(|entry| &entry.value)
    }

    /// All entries, in the order of their keys.
    pub(crate) fn sorted(&self) -> Vec<&Entry<V>> {
        let mut entries: Vec<_> = self.slots.iter().filter_map(|slot| slot.get()).collect();
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
