//! What a policy remembers of entries that are gone: a fingerprint and a stamp, eight bytes per entry that
//! the cache holds.

/// Fingerprints in buckets of eight. A full bucket forgets its oldest stamp, by an age that wraps.
#[derive(Debug)]
pub(crate) struct Ghost {
    buckets: Vec<Bucket>,
    /// It is made for a cache of so many.
    entries: usize,
}

// Half a cache line, and never across two. Both halves are eight lanes of sixteen bits: without a loop, the
// words are compared four lanes at a time, and the compiler turns what is done to the array into vectors.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Bucket {
    /// Zero where a lane is empty.
    prints: [u64; 2],
    stamps: [u16; 8],
}

const LANES: u64 = u64::MAX / 0xffff;
const TOPS: u64 = LANES << 15;

/// Sixteen bits of the hash that choose neither bucket, shard nor sample.
fn print(hash: u64) -> u16 {
    (hash >> 40) as u16 | 1
}

impl Bucket {
    const EMPTY: Self = Self { prints: [0; 2], stamps: [0; 8] };

    /// The first lane of this fingerprint, or the first empty one for zero.
    #[inline]
    fn find(&self, print: u16) -> Option<usize> {
        let wanted = LANES * u64::from(print);
        let [low, high] = self.prints.map(|word| {
            let zero = word ^ wanted;
            // A borrow leaves a lane of zero upwards only: above the first one bits may be wrong, never below.
            zero.wrapping_sub(LANES) & !zero & TOPS
        });
        if low != 0 {
            Some(low.trailing_zeros() as usize / 16)
        } else if high != 0 {
            Some(4 + high.trailing_zeros() as usize / 16)
        } else {
            None
        }
    }

    #[inline]
    fn set_print(&mut self, lane: usize, print: u16) {
        let (word, at) = (&mut self.prints[lane / 4 % 2], lane % 4 * 16);
        *word = *word & !(0xffff << at) | u64::from(print) << at;
    }

    /// The lane whose stamp is farthest behind `now`, by an age of thirteen bits: the other three are the
    /// lane itself, so that the maximum of both is one.
    #[inline]
    fn oldest(&self, now: u16) -> usize {
        let mut keys = [0; 8];
        for (lane, key) in keys.iter_mut().enumerate() {
            let age = now.wrapping_sub(self.stamps[lane]);
            // Signed, because vectors have a maximum of that everywhere.
            *key = (age << 3 | (7 - lane as u16)) as i16 ^ i16::MIN;
        }
        let oldest = keys.iter().fold(i16::MIN, |oldest, &key| oldest.max(key));
        7 - (oldest & 7) as usize
    }
}

impl Ghost {
    /// Remembers about twice as many as the cache holds.
    pub(crate) fn new(entries: usize) -> Self {
        Self { buckets: vec![Bucket::EMPTY; (entries / 4).max(1)], entries }
    }

    fn bucket(&mut self, hash: u64) -> &mut Bucket {
        let at = (u64::from(hash as u32) * self.buckets.len() as u64) >> 32;
        &mut self.buckets[at as usize]
    }

    /// Forgets `hash` and says how it was stamped.
    #[inline]
    pub(crate) fn take(&mut self, hash: u64) -> Option<u16> {
        let bucket = self.bucket(hash);
        let lane = bucket.find(print(hash))?;
        bucket.set_print(lane, 0);
        Some(bucket.stamps[lane % 8])
    }

    /// Remembers `hash`, which was taken when its entry came in: whoever has its fingerprint is a stranger.
    /// `now` is the latest stamp, or later by a constant.
    #[inline]
    pub(crate) fn put(&mut self, hash: u64, stamp: u16, now: u16) {
        let bucket = self.bucket(hash);
        let print = print(hash);
        let lane = bucket.find(0).unwrap_or_else(|| bucket.oldest(now));
        bucket.set_print(lane, print);
        bucket.stamps[lane % 8] = stamp;
    }

    /// Grows if the cache holds more than it is made for.
    #[inline]
    pub(crate) fn fit(&mut self, entries: usize) {
        if entries > self.entries {
            self.entries = self.entries.max(4) * 2;
            self.double();
        }
    }

    /// Twice the room. Each bucket becomes two that both remember what it did: nothing is lost, and the
    /// copies that no hash leads to grow old.
    fn double(&mut self) {
        self.buckets = self.buckets.iter().flat_map(|&bucket| [bucket, bucket]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::scattered as hash;
    use super::*;

    #[test]
    fn what_was_put_is_taken_once() {
        let mut ghost = Ghost::new(1000);
        for i in 0..1000u64 {
            ghost.put(hash(i), i as u16, 1000);
        }
        ghost.double();
        let known = (0..1000).filter(|&i| ghost.take(hash(i)) == Some(i as u16)).count();
        assert!(known > 980, "{known}");
        assert!((0..1000).all(|i| ghost.take(hash(i)).is_none()));
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest_across_the_wrap() {
        let mut ghost = Ghost::new(1);
        let stamps = [65530, 65531, 3, 57536, 2, 1, 65535, 0]; // the fourth is 8005 behind
        for (i, &stamp) in stamps.iter().enumerate() {
            ghost.put((i as u64 * 2) << 40, stamp, 5);
        }
        ghost.put(100 << 40, 5, 5);
        assert_eq!(ghost.take(6 << 40), None);
        let left = stamps.iter().enumerate().filter(|&(i, _)| i != 3);
        for (i, &stamp) in left {
            assert_eq!(ghost.take((i as u64 * 2) << 40), Some(stamp));
        }
        assert_eq!(ghost.take(100 << 40), Some(5));
    }

    #[test]
    fn lanes_are_found_whatever_lies_beside_them() {
        for lane in 0..8 {
            for fill in [0u16, 1, 2, 0x7fff, 0x8000, 0xffff] {
                let mut bucket = Bucket::EMPTY;
                (0..8).for_each(|lane| bucket.set_print(lane, fill));
                bucket.set_print(lane, 0);
                assert_eq!(bucket.find(0), Some(if fill == 0 { 0 } else { lane }), "{lane} {fill}");
                bucket.set_print(lane, 77);
                assert_eq!(bucket.find(77), Some(lane), "{lane} {fill}");
                assert_eq!(bucket.find(78), None);
            }
        }
    }
}
