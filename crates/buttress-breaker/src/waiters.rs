//! The wakers of those who wait for a gate.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::task::Waker;

/// Those who wait in `poll_ready` for a gate to open, in the order in which they came. A waker that is replaced
/// or removed is handed out, to be dropped after the lock: its drop may run anything.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last_id: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Waiters {
    pub(crate) fn put(&mut self, id: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let id = *id.get_or_insert_with(|| {
            self.last_id += 1;
            self.last_id
        });
        match self.wakers.entry(id) {
            Entry::Occupied(old) if old.get().will_wake(waker) => None,
            Entry::Occupied(mut old) => Some(old.insert(waker.clone())),
            Entry::Vacant(place) => {
                place.insert(waker.clone());
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Waker> {
        self.wakers.remove(&id)
    }

    /// Nobody waits any more; they are to be woken after the lock.
    pub(crate) fn leave_all(&mut self) -> After {
        After { wake: std::mem::take(&mut self.wakers) }
    }
}

/// What is left to do after the lock is released.
#[must_use]
#[derive(Default)]
pub(crate) struct After {
    wake: BTreeMap<u64, Waker>,
}

impl After {
    pub(crate) fn run(self) {
        for waker in self.wake.into_values() {
            waker.wake();
        }
    }
}
