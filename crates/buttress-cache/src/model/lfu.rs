//! W-TinyLFU over vectors, with a sketch that is a map of its counters.

use super::{Entry, Gone, position, sum};
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Naive {
    capacity: u64,
    entries: usize,
    window: Vec<Entry>,
    probation: Vec<Entry>,
    protected: Vec<Entry>,
    words: usize,
    counters: HashMap<[u64; 2], u32>,
    counted: usize,
    limit: usize,
}

impl Naive {
    pub(super) fn new(capacity: u64, entries: usize) -> Self {
        Self {
            capacity,
            entries,
            window: Vec::new(),
            probation: Vec::new(),
            protected: Vec::new(),
            words: if entries < 2048 { usize::clamp(4 * entries, 1, 2048) } else { entries }
                .next_power_of_two(),
            counters: HashMap::new(),
            counted: 0,
            limit: usize::max(entries, 1) * 10,
        }
    }

    /// Word and counter of the word: one for each row.
    fn counters(&self, hash: u64) -> Vec<[u64; 2]> {
        let mixed = (hash ^ (hash / (1 << 32))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed / (1 << 29))).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let (first, step) = (mixed / (1 << 32), mixed % (1 << 32) / 2 * 2 + 1);
        let words = self.words as u64;
        (0..4).map(|row| [(first + row * step) % words, 4 * row + mixed / (1 << 62)]).collect()
    }

    fn count(&mut self, hash: u64) {
        let mut counts = false;
        for at in self.counters(hash) {
            let counter = self.counters.entry(at).or_default();
            if *counter != 15 {
                *counter += 1;
                counts = true;
            }
        }
        if counts {
            self.counted += 1;
        }
        if self.counted >= self.limit {
            self.counted /= 2;
            self.counters.values_mut().for_each(|counter| *counter /= 2);
        }
    }

    fn frequency(&self, hash: u64) -> u32 {
        self.counters(hash).iter().map(|at| self.counters.get(at).copied().unwrap_or(0)).min().unwrap()
    }

    fn window_limit(&self) -> u64 {
        u64::max(self.capacity / 100, 1)
    }

    fn main_limit(&self) -> u64 {
        self.capacity.saturating_sub(self.window_limit())
    }

    fn main(&self) -> u64 {
        sum(&self.probation) + sum(&self.protected)
    }

    fn evict_main(&mut self) -> u64 {
        let queue = if self.probation.is_empty() { &mut self.protected } else { &mut self.probation };
        queue.remove(0).key
    }

    fn leave_window(&mut self, gone: &mut Gone) {
        let candidate = self.window.remove(0);
        while self.main() + candidate.weight > self.main_limit() {
            let Some(victim) = self.probation.first().or(self.protected.first()) else { break };
            let stronger = self.frequency(candidate.hash) > self.frequency(victim.hash);
            if candidate.weight > self.main_limit() || !stronger {
                return gone.push(candidate.key);
            }
            gone.push(self.evict_main());
        }
        self.probation.push(candidate);
    }

    fn demote(&mut self) {
        while sum(&self.protected) > self.main_limit() / 5 * 4 {
            let entry = self.protected.remove(0);
            self.probation.push(entry);
        }
    }
}

impl super::Naive for Naive {
    fn hit(&mut self, key: u64) {
        if let Some(at) = position(&self.window, key) {
            let entry = self.window.remove(at);
            self.count(entry.hash);
            self.window.push(entry);
        } else if let Some(at) = position(&self.protected, key) {
            let entry = self.protected.remove(at);
            self.count(entry.hash);
            self.protected.push(entry);
        } else {
            let entry = self.probation.remove(position(&self.probation, key).unwrap());
            self.count(entry.hash);
            self.protected.push(entry);
            self.demote();
        }
    }

    fn insert(&mut self, entry: Entry) -> Gone {
        self.count(entry.hash);
        let mut gone = Gone::new();
        while !self.window.is_empty() && sum(&self.window) > self.window_limit().saturating_sub(entry.weight)
        {
            self.leave_window(&mut gone);
        }
        gone.extend(self.shrink(self.capacity - entry.weight));
        self.window.push(entry);
        if self.window.len() + self.probation.len() + self.protected.len() > self.entries {
            self.entries = usize::max(2 * self.entries, 16);
            self.limit *= 2;
            let old: Vec<_> = self.counters.iter().map(|(at, counter)| (*at, *counter)).collect();
            for ([word, at], counter) in old {
                self.counters.insert([word + self.words as u64, at], counter);
            }
            self.words *= 2;
        }
        gone
    }

    fn remove(&mut self, key: u64) {
        for queue in [&mut self.window, &mut self.probation, &mut self.protected] {
            queue.retain(|entry| entry.key != key);
        }
    }

    fn reweigh(&mut self, key: u64, weight: u64) -> Gone {
        let queues = [&mut self.window, &mut self.probation, &mut self.protected];
        let id = queues.iter().position(|queue| position(queue, key).is_some()).unwrap();
        let entry = queues[id].iter_mut().find(|entry| entry.key == key).unwrap();
        entry.weight = weight;
        let entry = entry.clone();
        if sum(&self.window) + self.main() <= self.capacity {
            return Gone::new();
        }
        self.remove(key);
        let gone = self.shrink(self.capacity - weight);
        [&mut self.window, &mut self.probation, &mut self.protected][id].push(entry);
        gone
    }

    fn shrink(&mut self, weight: u64) -> Gone {
        let mut gone = Gone::new();
        while sum(&self.window) + self.main() > weight {
            let main_is_empty = self.probation.is_empty() && self.protected.is_empty();
            gone.push(if main_is_empty { self.window.remove(0).key } else { self.evict_main() });
        }
        gone
    }

    fn set_capacity(&mut self, capacity: u64) -> Gone {
        self.capacity = capacity;
        let gone = self.shrink(capacity);
        self.demote();
        gone
    }
}
