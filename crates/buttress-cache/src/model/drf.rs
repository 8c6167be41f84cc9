//! DRF over vectors, with unwrapped time and the logarithms themselves.

use super::{Entry, Gone, Memory, position, sum};
use crate::policy::Mode;

#[derive(Debug)]
pub(super) struct Naive {
    capacity: u64,
    entries: usize,
    window: Vec<Entry>,
    main: Vec<Entry>,
    memory: Memory,
    per_mille: u64,
    target: u64,
    time: i64,
    inserts: usize,
}

impl Naive {
    pub(super) fn new(capacity: u64, entries: usize) -> Self {
        let mut this = Self {
            capacity,
            entries,
            window: Vec::new(),
            main: Vec::new(),
            memory: Memory::new(entries),
            per_mille: 100,
            target: 0,
            time: 0,
            inserts: 0,
        };
        this.target = this.goal();
        this
    }

    pub(super) fn has(&self, key: u64) -> bool {
        position(&self.window, key).or(position(&self.main, key)).is_some()
    }

    fn goal(&self) -> u64 {
        let share = self.capacity * self.per_mille / 1000;
        if self.per_mille == 0 { 0 } else { u64::min(u64::max(share, 1), self.capacity) }
    }

    fn total(&self) -> u64 {
        sum(&self.window) + sum(&self.main)
    }

    fn main_takes(&self, weight: u64) -> bool {
        sum(&self.main) + weight + self.target <= self.capacity
    }

    /// The logarithm of the sum of a half-life's powers, at most one half-life ahead.
    fn credited(&self, score: i64) -> i64 {
        let apart = (score - self.time).abs();
        let more = if apart < 32 { (8.0 * (1.0 + (-apart as f64 / 8.0).exp2()).log2()).round() } else { 0.0 };
        i64::min(i64::max(score, self.time) + more as i64, self.time + 8)
    }

    fn victim(&mut self) -> Option<i64> {
        for _ in 0..64 {
            if self.main.first()?.hits == 0 {
                break;
            }
            let mut entry = self.main.remove(0);
            entry.hits -= 1;
            entry.score = self.credited(entry.score);
            self.main.push(entry);
        }
        self.main.first().map(|entry| entry.score)
    }

    fn evict_main(&mut self, gone: &mut Gone) {
        self.victim();
        let entry = self.main.remove(0);
        self.memory.put(entry.hash, entry.score);
        gone.push(entry.key);
    }

    fn shrink_window(&mut self, gone: &mut Gone) {
        let mut entry = self.window.remove(0);
        let room = self.main_takes(entry.weight);
        if !room && entry.hits < 2 {
            self.memory.put(entry.hash, entry.score);
            return gone.push(entry.key);
        }
        while !self.main_takes(entry.weight) && !self.main.is_empty() {
            self.evict_main(gone);
        }
        entry.hits = 0;
        self.main.push(entry);
    }

    fn make_room(&mut self, weight: u64, to_main: bool) -> Gone {
        let mut gone = Gone::new();
        while self.total() + weight > self.capacity {
            let over = if to_main {
                sum(&self.window) > self.target
            } else {
                !self.window.is_empty() && sum(&self.window) + weight > self.target
            };
            if over || self.main.is_empty() {
                self.shrink_window(&mut gone);
            } else {
                self.evict_main(&mut gone);
            }
        }
        gone
    }
}

impl super::Naive for Naive {
    fn hit(&mut self, key: u64) {
        for entry in self.window.iter_mut().chain(&mut self.main).filter(|entry| entry.key == key) {
            entry.hits = u32::min(entry.hits + 1, 3);
        }
    }

    fn insert(&mut self, mut entry: Entry) -> Gone {
        let len = self.window.len() + self.main.len();
        self.inserts += 1;
        if self.inserts >= usize::max(1, 2 * len / 8) {
            self.inserts = 0;
            self.time += 1;
        }
        let average = if len == 0 { 1 } else { u64::max(self.total() / len as u64, 1) };
        let (low, high) = (self.target.saturating_sub(4 * average), self.target + 4 * average);
        self.target = self.goal().clamp(low, high);

        for _ in 0..4 {
            let fits = self.window.first().is_some_and(|oldest| self.main_takes(oldest.weight));
            if fits && sum(&self.window) > self.target {
                let mut oldest = self.window.remove(0);
                oldest.hits = 0;
                self.main.push(oldest);
            }
        }
        let known = self.memory.take(entry.hash);
        let clock = self.per_mille == 0;
        let to_main = clock
            || match known {
                Some(score) if self.total() + entry.weight > self.capacity => {
                    self.victim().is_none_or(|victim| score > victim)
                }
                _ => false,
            };
        let gone = self.make_room(entry.weight, to_main);
        entry.score = match known {
            Some(score) => self.credited(score),
            None => self.time,
        };
        if to_main {
            self.main.push(entry);
        } else {
            self.window.push(entry);
        }
        if self.window.len() + self.main.len() > self.entries {
            self.entries = usize::max(2 * self.entries, 8);
            self.memory.double();
        }
        gone
    }

    fn remove(&mut self, key: u64) {
        self.window.retain(|entry| entry.key != key);
        self.main.retain(|entry| entry.key != key);
    }

    fn reweigh(&mut self, key: u64, weight: u64) -> Gone {
        let in_main = position(&self.main, key).is_some();
        let queue = if in_main { &mut self.main } else { &mut self.window };
        let entry = queue.iter_mut().find(|entry| entry.key == key).unwrap();
        entry.weight = weight;
        let entry = entry.clone();
        if self.total() <= self.capacity {
            return Gone::new();
        }
        self.remove(key);
        let gone = self.make_room(weight, in_main);
        if in_main {
            self.main.push(entry);
        } else {
            self.window.push(entry);
        }
        gone
    }

    fn shrink(&mut self, weight: u64) -> Gone {
        let mut gone = Gone::new();
        while self.total() > weight {
            if self.main.is_empty() || sum(&self.window) > self.target {
                self.shrink_window(&mut gone);
            } else {
                self.evict_main(&mut gone);
            }
        }
        gone
    }

    fn set_capacity(&mut self, capacity: u64) -> Gone {
        self.capacity = capacity;
        self.target = self.goal();
        self.shrink(capacity)
    }

    fn steer(&mut self, mode: Mode) {
        self.per_mille = mode.to_bits().into();
        if self.window.is_empty() && self.main.is_empty() {
            self.target = self.goal();
        }
    }
}
