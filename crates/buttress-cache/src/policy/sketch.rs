//! How often keys were asked for lately, roughly, whether or not they are cached.

/// A count-min sketch of four rows of four-bit counters: at most 15, halved when it has counted ten times
/// the entries, so that what was popular once fades.
///
/// As published: each row looks at a word of its own, anywhere in the table. With all four in one cache line they collide
/// together, which cost up to two points of hit ratio on large caches. Eight to sixteen bytes per entry, in small tables four times that.
#[derive(Debug)]
pub(crate) struct Sketch {
    /// A power of two of words, of sixteen counters each; a row uses a quarter of them.
    words: Vec<u64>,
    counted: usize,
    /// Halve at so many.
    limit: usize,
}

/// As many words as entries, and more where they are few: there a collision more is half a point of hit ratio, and a
/// kilobyte is nothing.
pub(crate) fn words_for(entries: usize) -> usize {
    entries.max(entries.saturating_mul(4).min(2048)).max(1).next_power_of_two()
}

impl Sketch {
    pub(crate) fn new(entries: usize) -> Self {
        let words = words_for(entries);
        Self { words: vec![0; words], counted: 0, limit: entries.max(1).saturating_mul(10) }
    }

    /// The four counters of a hash: word and bit offset of each.
    fn counters(&self, hash: u64) -> [(usize, u32); 4] {
        // A finalizer: with less than that the rows collide together.
        let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let (first, step) = (mixed >> 32, mixed & 0xffff_ffff | 1);
        let quarter = (mixed >> 62) as u32;
        [0, 1, 2, 3].map(|row| {
            let word = first.wrapping_add(step.wrapping_mul(row)) as usize & (self.words.len() - 1);
            (word, 4 * (4 * row as u32 + quarter))
        })
    }

    pub(crate) fn count(&mut self, hash: u64) {
        let mut more = false;
        for (word, at) in self.counters(hash) {
            let word = &mut self.words[word];
            if *word >> at & 15 < 15 {
                *word += 1 << at;
                more = true;
            }
        }
        self.counted += usize::from(more);
        if self.counted >= self.limit {
            self.halve();
        }
    }

    pub(crate) fn frequency(&self, hash: u64) -> u8 {
        let counters = self.counters(hash);
        counters.iter().map(|&(word, at)| (self.words[word] >> at & 15) as u8).min().unwrap_or(0)
    }

    #[cold]
    fn halve(&mut self) {
        for word in &mut self.words {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.counted /= 2;
    }

    /// Twice the room. Each word becomes two that both know what it did.
    pub(crate) fn double(&mut self) {
        self.words.extend_from_within(..);
        self.limit = self.limit.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scattered as hash;
    use super::*;

    #[test]
    fn it_counts_to_fifteen_never_too_little_and_fades() {
        let mut sketch = Sketch::new(100);
        for i in 0..10 {
            for _ in 0..2 * i {
                sketch.count(hash(i));
            }
        }
        for i in 0..10 {
            assert!(u64::from(sketch.frequency(hash(i))) >= (2 * i).min(15), "{i}");
        }
        let strangers = (100..1100).filter(|&i| sketch.frequency(hash(i)) > 0).count();
        assert!(strangers < 50, "{strangers}");
        sketch.double();
        assert_eq!(sketch.frequency(hash(9)), 15);
        sketch.halve();
        assert_eq!(sketch.frequency(hash(9)), 7);
    }
}
