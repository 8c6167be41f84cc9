//! Invalidations: each takes out entries, loads that may be stored, and failures that are remembered.

use super::{Store, Stored};
use crate::shard::At;
use std::borrow::Borrow;
use std::hash::Hash;

impl<K, V> Store<K, V> {
    /// Takes out everything that `which` says, and says how many entries that were. Where nothing is loaded yet, or
    /// nothing was, it is asked without a value.
    pub(crate) fn remove_if(&self, mut which: impl FnMut(&K, Option<&V>) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let removed = {
                let shard = &mut *shard.0.lock();
                let mut removed = Vec::new();
                let goes = |_: At, key: &K, stored: &Stored<V>| which(key, Some(&stored.value));
                shard.entries.extract(0, usize::MAX, goes, &mut removed);
                shard.counts.left.explicit += removed.len() as u64;
                let flights: Vec<_> = shard.flights.extract_if(|flight| which(&flight.key, None)).collect();
                let setbacks = shard.setbacks.retain(|key, _| !which(key, None));
                shard.trim();
                (removed, flights, setbacks)
            };
            count += removed.0.len() as u64;
        }
        count
    }
}

impl<K: Hash + Eq, V> Store<K, V> {
    /// Takes out the value of `key`.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let (removed, unlisted, setback) = {
            let mut shard = self.shard(hash).lock();
            let removed = shard.entries.remove(hash, |other| other.borrow() == key);
            shard.counts.left.explicit += u64::from(removed.is_some());
            let unlisted = shard.unlist(hash, |flight| flight.key.borrow() == key);
            (removed, unlisted, shard.setbacks.remove(hash, |other| other.borrow() == key))
        };
        drop((unlisted, setback));
        if let Some(adaptor) = self.sampling(hash) {
            adaptor.on_remove(hash);
        }
        removed.map(|(_, stored)| stored.value)
    }

    /// Takes out everything that has a tag. A load that is under way is stored if it turns out not to have it.
    pub(crate) fn remove_tag(&self, tag: &str) -> u64 {
        let tag = self.tag(tag);
        let mut count = 0;
        for shard in &self.shards {
            let removed = {
                let shard = &mut *shard.0.lock();
                if !shard.flights.is_empty() {
                    shard.log.push(tag);
                }
                let mut removed = Vec::new();
                for slot in shard.tags.slots(tag) {
                    removed.extend(shard.entries.remove_at(At::new(slot)));
                }
                shard.counts.left.explicit += removed.len() as u64;
                removed
            };
            count += removed.len() as u64;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{Ask, Begun};
    use crate::{Cache, Config};
    use std::num::NonZeroUsize;

    const ASKED: Ask = Ask { count: true, apart: false, early: false, reload: false };

    #[test]
    fn the_log_of_tags_is_empty_when_nothing_is_loaded() {
        let config = Config::default().max_entries(NonZeroUsize::MIN);
        let ends: [fn(&Cache<u8, u8>); 4] = [
            |_| {},
            |cache| _ = cache.invalidate(&1),
            |cache| _ = cache.invalidate_if(|_, _| true),
            |cache| _ = cache.insert(1, 1),
        ];
        for end in ends {
            let cache: Cache<u8, u8> = Cache::new("log", config.clone());
            let Begun::Lead(lead, _) = cache.shared.store.begin(1, ASKED, &cache.shared) else {
                panic!("there is nothing yet");
            };
            cache.invalidate_tag("tag");
            end(&cache);
            drop(lead);
            assert_eq!(cache.stats().loading, 0);
            cache.invalidate_tag("tag");
            let shard = cache.shared.store.shards[0].0.lock();
            assert_eq!(shard.log.position(), 1, "nobody would have read the second");
            assert_eq!(shard.log.first_hit(0, &[0]), Some(0), "the first is forgotten: it may have been any");
        }
    }
}
