//! How often keys were asked for lately, roughly, whether or not they are cached.

/// A count-min sketch of four rows of four-bit counters: at most 15, halved when it has counted ten times
/// the entries, so that what was popular once fades.
///
/// A key's four counters lie in one cache line, one in each pair of its words. Twelve bytes per entry.
#[derive(Debug)]
pub(crate) struct Sketch {
    blocks: Vec<Block>,
    counted: usize,
    /// Halve at so many.
    limit: usize,
}

// Eight words of sixteen counters.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block([u64; 8]);

impl Sketch {
    pub(crate) fn new(entries: usize) -> Self {
        // Half more than one word per entry: two thirds of that cost a point of hit ratio on large caches.
        let blocks = (entries.saturating_mul(3)).div_ceil(16).max(1);
        Self { blocks: vec![Block([0; 8]); blocks], counted: 0, limit: entries.max(1).saturating_mul(10) }
    }

    fn block(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// The four counters of a hash: word and bit offset of each.
    fn counters(hash: u64) -> [(usize, u32); 4] {
        // A finalizer: with less than that the rows collide together, which costs a point of hit ratio.
        let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
        [0, 1, 2, 3].map(|row| {
            let bits = mixed >> (8 * row);
            (2 * row + (bits & 1) as usize, (bits >> 1 & 15) as u32 * 4)
        })
    }

    pub(crate) fn count(&mut self, hash: u64) {
        let block = self.block(hash);
        let words = &mut self.blocks[block].0;
        let mut more = false;
        for (word, at) in Self::counters(hash) {
            if words[word] >> at & 15 < 15 {
                words[word] += 1 << at;
                more = true;
            }
        }
        self.counted += usize::from(more);
        if self.counted >= self.limit {
            self.halve();
        }
    }

    pub(crate) fn frequency(&self, hash: u64) -> u8 {
        let words = &self.blocks[self.block(hash)].0;
        Self::counters(hash).iter().map(|&(word, at)| (words[word] >> at & 15) as u8).min().unwrap_or(0)
    }

    #[cold]
    fn halve(&mut self) {
        for word in self.blocks.iter_mut().flat_map(|block| &mut block.0) {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.counted /= 2;
    }

    /// Twice the room. Each block becomes two that both know what it did.
    pub(crate) fn double(&mut self) {
        self.blocks = self.blocks.iter().flat_map(|block| [block.clone(), block.clone()]).collect();
        self.limit = self.limit.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u64) -> u64 {
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

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
