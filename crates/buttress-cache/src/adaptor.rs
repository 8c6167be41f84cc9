//! Finds out how [`Policy::Drf`] should divide a cache, by trying it on a sample of the traffic.

use crate::policy::{Mode, Policy};
use crate::shard::Shard;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// What is tried. The clock is last: it has a handicap.
const MODES: [Mode; 4] = [Mode::window(10), Mode::DEFAULT, Mode::window(300), Mode::CLOCK];
const DEFAULT: usize = 1;
const CLOCK: usize = 3;

/// What the clock must be ahead by, as a share of all samples. A switch to it throws good content away.
const HANDICAP: f32 = 0.04;

/// The modes are compared after so many samples.
const PERIOD: u32 = 64;

/// Where in a hash the sample is chosen: by bits that choose neither bucket nor fingerprint.
const SAMPLE_SHIFT: u32 = 33;

/// One for a whole cache: four small caches that see a sample of its keys, each in a mode of its own.
///
/// It follows the same keys through all four, so that a small sample tells them apart.
#[derive(Debug)]
pub(crate) struct Adaptor {
    mask: u64,
    // Relaxed: the mode is a hint, and nothing else is published with it.
    mode: AtomicU16,
    trials: Mutex<Trials>,
}

#[derive(Debug)]
struct Trials {
    shadows: [Shard<u64, ()>; 4],
    current: usize,
    /// Hits of each mode, samples on which two modes differ, and all samples: all of them fading.
    hits: [f32; 4],
    differ: [[f32; 4]; 4],
    total: f32,
    /// What is left of them after a period.
    fade: f32,
    since: u32,
}

impl Adaptor {
    /// For a cache of this capacity in weight, and about so many entries, or at most so many.
    pub(crate) fn new(capacity: u64, entries: usize, at_most: bool) -> Self {
        let mut rate = 64;
        while rate > 8 && entries / rate < 64 {
            rate /= 2;
        }
        let sampled = (entries / rate).max(1);
        let shadow = |mode| {
            let mut shard = Shard::new(Policy::Drf, share(capacity, rate as u64), sampled);
            shard.steer(mode);
            if at_most {
                let _none = shard.set_most(sampled);
            }
            shard
        };
        Self {
            mask: (rate as u64 - 1) << SAMPLE_SHIFT,
            mode: AtomicU16::new(MODES[DEFAULT].to_bits()),
            trials: Mutex::new(Trials {
                shadows: MODES.map(shadow),
                current: DEFAULT,
                hits: [0.0; 4],
                differ: [[0.0; 4]; 4],
                total: 0.0,
                fade: 0.5f32.powf(PERIOD as f32 / (8 * sampled) as f32),
                since: 0,
            }),
        }
    }

    /// Whether the other methods want to know of this key.
    #[inline]
    pub(crate) fn sampled(&self, hash: u64) -> bool {
        hash & self.mask == 0
    }

    /// The mode that does best.
    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_bits(self.mode.load(Ordering::Relaxed))
    }

    /// A sampled key was asked for, and found with the given weight or not at all. If it was not, its
    /// insertion is expected to follow.
    #[cold]
    pub(crate) fn on_get(&self, hash: u64, weight: Option<u64>) {
        // Whoever finds it busy is a sample that was not drawn.
        let Some(mut trials) = self.trials.try_lock() else { return };
        if let Some(mode) = trials.get(hash, weight) {
            self.mode.store(mode.to_bits(), Ordering::Relaxed);
        }
    }

    /// A sampled key was inserted.
    #[cold]
    pub(crate) fn on_insert(&self, hash: u64, weight: u64) {
        if let Some(mut trials) = self.trials.try_lock() {
            for shadow in &mut trials.shadows {
                admit(shadow, hash, weight);
            }
        }
    }

    /// A sampled key was invalidated or has expired.
    #[cold]
    pub(crate) fn on_remove(&self, hash: u64) {
        if let Some(mut trials) = self.trials.try_lock() {
            for shadow in &mut trials.shadows {
                shadow.remove(hash, |&key| key == hash);
            }
        }
    }

    /// The cache's capacity has changed, and the number of entries if that is limited too. The rate of the sample
    /// stays what it was.
    pub(crate) fn set_limits(&self, capacity: u64, most: Option<usize>) {
        let rate = (self.mask >> SAMPLE_SHIFT) + 1;
        for shadow in &mut self.trials.lock().shadows {
            drop(shadow.set_capacity(share(capacity, rate)));
            drop(shadow.set_most(most.map_or(usize::MAX, |most| (most / rate as usize).max(1))));
        }
    }
}

fn share(capacity: u64, rate: u64) -> u64 {
    (capacity / rate).max(1)
}

/// Inserts a key that a shadow does not have and can hold.
fn admit(shadow: &mut Shard<u64, ()>, hash: u64, weight: u64) {
    if shadow.admits(weight) && shadow.peek(hash, |&key| key == hash).is_none() {
        let _ = shadow.insert(hash, hash, (), weight);
    }
}

impl Trials {
    /// Answers the mode to go on with, if that changes.
    fn get(&mut self, hash: u64, weight: Option<u64>) -> Option<Mode> {
        let mut hit = [false; 4];
        for (hit, shadow) in hit.iter_mut().zip(&mut self.shadows) {
            *hit = shadow.get(hash, |&key| key == hash).is_some();
            if let Some(weight) = weight.filter(|_| !*hit) {
                admit(shadow, hash, weight);
            }
        }
        for (i, differ) in self.differ.iter_mut().enumerate() {
            self.hits[i] += f32::from(u8::from(hit[i]));
            for (j, differ) in differ.iter_mut().enumerate() {
                *differ += f32::from(u8::from(hit[i] != hit[j]));
            }
        }
        self.total += 1.0;
        self.since += 1;
        (self.since == PERIOD).then(|| self.compare()).flatten()
    }

    fn compare(&mut self) -> Option<Mode> {
        self.since = 0;
        let mut values = self.hits;
        values[CLOCK] -= HANDICAP * self.total;
        let best = (0..4).fold(0, |best, mode| if values[mode] > values[best] { mode } else { best });
        // Of two modes that are equally good, the lead is about this much by chance.
        let chance = self.differ[best][self.current].sqrt();
        let better = best != self.current && values[best] - values[self.current] > chance;

        for sum in self.hits.iter_mut().chain(self.differ.iter_mut().flatten()).chain([&mut self.total]) {
            *sum *= self.fade;
        }
        better.then(|| {
            self.current = best;
            MODES[best]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_the_cache_the_larger_the_sample() {
        let table = [(0, 8), (100, 8), (1023, 8), (1024, 16), (2047, 16), (2048, 32), (4095, 32), (4096, 64)];
        for (entries, rate) in table {
            let adaptor = Adaptor::new(entries as u64, entries, false);
            let sampled = (0..1000 * rate).filter(|key| adaptor.sampled(key << SAMPLE_SHIFT)).count();
            assert_eq!(sampled, 1000, "{entries}");
        }
    }

    #[test]
    fn whoever_finds_it_busy_goes_on() {
        let adaptor = Adaptor::new(100, 100, false);
        let busy = adaptor.trials.lock();
        adaptor.on_get(0, Some(1));
        adaptor.on_insert(0, 1);
        adaptor.on_remove(0);
        assert_eq!((busy.total, busy.shadows[0].len()), (0.0, 0));
    }

    #[test]
    fn what_was_removed_is_in_no_shadow() {
        let adaptor = Adaptor::new(100, 100, false);
        adaptor.on_insert(8, 1);
        let shadowed = || adaptor.trials.lock().shadows.each_ref().map(Shard::len);
        assert_eq!(shadowed(), [1; 4]);
        adaptor.on_remove(8);
        assert_eq!(shadowed(), [0; 4]);
    }

    #[test]
    fn its_shadows_follow_the_capacity() {
        let adaptor = Adaptor::new(1000, 100, false);
        (0..100).for_each(|key| adaptor.on_insert(key, 3));
        adaptor.set_limits(80, None);
        let trials = adaptor.trials.lock();
        assert!(trials.shadows.iter().all(|shadow| shadow.capacity() == 10 && shadow.weight() <= 10));
    }
}
