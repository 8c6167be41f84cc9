//! FIFO, LRU and S3-FIFO over vectors.

use super::{Entry, Gone, Memory, Naive, position, sum};

#[derive(Debug)]
pub(super) struct Queue {
    capacity: u64,
    refresh: bool,
    all: Vec<Entry>,
}

impl Queue {
    pub(super) fn new(capacity: u64, refresh: bool) -> Self {
        Self { capacity, refresh, all: Vec::new() }
    }
}

impl Naive for Queue {
    fn hit(&mut self, key: u64) {
        if self.refresh {
            let entry = self.all.remove(position(&self.all, key).unwrap());
            self.all.push(entry);
        }
    }

    fn insert(&mut self, entry: Entry) -> Gone {
        self.all.push(entry);
        let (capacity, len) = (self.capacity, self.all.len());
        let mut gone = 0;
        while sum(&self.all[gone..]) > capacity && gone + 1 < len {
            gone += 1;
        }
        self.all.drain(..gone).map(|entry| entry.key).collect()
    }

    fn remove(&mut self, key: u64) {
        self.all.retain(|entry| entry.key != key);
    }

    fn reweigh(&mut self, key: u64, weight: u64) -> Gone {
        let at = position(&self.all, key).unwrap();
        self.all[at].weight = weight;
        if sum(&self.all) <= self.capacity {
            return Gone::new();
        }
        let entry = self.all.remove(at);
        self.insert(entry)
    }

    fn shrink(&mut self, weight: u64) -> Gone {
        let mut gone = Gone::new();
        while sum(&self.all) > weight {
            gone.push(self.all.remove(0).key);
        }
        gone
    }

    fn set_capacity(&mut self, capacity: u64) -> Gone {
        self.capacity = capacity;
        self.shrink(capacity)
    }
}

#[derive(Debug)]
pub(super) struct S3Fifo {
    capacity: u64,
    entries: usize,
    small: Vec<Entry>,
    main: Vec<Entry>,
    memory: Memory,
    /// What the memory has taken in; it holds few enough here that each has a stamp of its own.
    buried: i64,
}

impl S3Fifo {
    pub(super) fn new(capacity: u64, entries: usize) -> Self {
        let (small, main) = (Vec::new(), Vec::new());
        Self { capacity, entries, small, main, memory: Memory::new(entries), buried: 0 }
    }
}

impl Naive for S3Fifo {
    fn hit(&mut self, key: u64) {
        for entry in self.small.iter_mut().chain(&mut self.main).filter(|entry| entry.key == key) {
            entry.hits = u32::min(entry.hits + 1, 3);
        }
    }

    fn insert(&mut self, entry: Entry) -> Gone {
        let len = self.small.len() + self.main.len();
        let span = len as i64 * 9 / 10;
        let to_main = self.memory.take(entry.hash).is_some_and(|stamp| self.buried - stamp <= span);
        let gone = self.shrink(self.capacity - entry.weight);
        if to_main {
            self.main.push(entry);
        } else {
            self.small.push(entry);
        }
        if self.small.len() + self.main.len() > self.entries {
            self.entries = usize::max(2 * self.entries, 8);
            self.memory.double();
        }
        gone
    }

    fn remove(&mut self, key: u64) {
        self.small.retain(|entry| entry.key != key);
        self.main.retain(|entry| entry.key != key);
    }

    fn reweigh(&mut self, key: u64, weight: u64) -> Gone {
        let in_main = position(&self.main, key);
        let entry = match in_main {
            Some(at) => &mut self.main[at],
            None => {
                let at = position(&self.small, key).unwrap();
                &mut self.small[at]
            }
        };
        entry.weight = weight;
        let entry = entry.clone();
        if sum(&self.small) + sum(&self.main) <= self.capacity {
            return Gone::new();
        }
        self.remove(key);
        let gone = self.shrink(self.capacity - weight);
        if in_main.is_some() {
            self.main.push(entry);
        } else {
            self.small.push(entry);
        }
        gone
    }

    fn shrink(&mut self, weight: u64) -> Gone {
        let mut gone = Gone::new();
        while sum(&self.small) + sum(&self.main) > weight {
            if self.main.is_empty() || sum(&self.small) >= u64::max(self.capacity / 10, 1) {
                let mut entry = self.small.remove(0);
                if entry.hits > 1 {
                    entry.hits = 0;
                    self.main.push(entry);
                } else {
                    self.buried += 1;
                    self.memory.put(entry.hash, self.buried);
                    gone.push(entry.key);
                }
            } else {
                let mut entry = self.main.remove(0);
                if entry.hits > 0 {
                    entry.hits -= 1;
                    self.main.push(entry);
                } else {
                    gone.push(entry.key);
                }
            }
        }
        gone
    }

    fn set_capacity(&mut self, capacity: u64) -> Gone {
        self.capacity = capacity;
        self.shrink(capacity)
    }
}
