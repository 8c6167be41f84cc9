//! Which queued request leads those with a key.

use super::Keyed;
use super::slots::Slots;
use hashbrown::HashTable;

/// Only requests that are queued are in it: one that comes after its key was sent begins anew, so that a read never
/// shares what was asked before a write.
#[derive(Debug)]
pub(crate) struct Groups(HashTable<u32>);

/// Equal keys in different partitions are no reason to collide.
fn mix(hash: u64, part: u32) -> u64 {
    hash ^ u64::from(part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of<Req, D>(slots: &Slots<Req, D>, id: u32) -> Option<u64> {
    let slot = slots.at(id);
    Some(mix(slot.group.as_ref()?.hash, slot.part))
}

impl Groups {
    pub(super) fn new() -> Self {
        Self(HashTable::new())
    }

    /// The leader of those with this key. Changes nothing, since what compares keys is not ours and may panic.
    pub(super) fn find<Req, D: Eq>(&self, slots: &Slots<Req, D>, part: u32, key: &Keyed<D>) -> Option<u32> {
        let is_same = |&id: &u32| slots.at(id).part == part && slots.at(id).group.as_ref() == Some(key);
        self.0.find(mix(key.hash, part), is_same).copied()
    }

    /// It leads from now on, if it has a key.
    #[inline]
    pub(super) fn insert<Req, D>(&mut self, slots: &Slots<Req, D>, id: u32) {
        if let Some(hash) = hash_of(slots, id) {
            self.0.insert_unique(hash, id, |&id| hash_of(slots, id).unwrap_or(0));
        }
    }

    /// Nobody can follow it any more, if anybody could.
    #[inline]
    pub(super) fn remove<Req, D>(&mut self, slots: &Slots<Req, D>, id: u32) {
        let Some(hash) = hash_of(slots, id) else { return };
        if let Ok(entry) = self.0.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }

    #[cfg(all(test, not(buttress_loom)))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Another one of its group leads.
    pub(super) fn replace<Req, D>(&mut self, slots: &Slots<Req, D>, id: u32, heir: u32) {
        let leader = hash_of(slots, id).and_then(|hash| self.0.find_mut(hash, |&other| other == id));
        if let Some(leader) = leader {
            *leader = heir;
        }
    }
}
