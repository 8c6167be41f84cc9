//! How many places are free.

use crate::primitive::{AtomicI64, Ordering};

/// One word, so that a place is taken and given back without the intake's lock while there are some and nobody waits: the
/// free places times two, and one more while they are guarded. After a reconfiguration there may be fewer than none.
///
/// While they are guarded only who has the lock takes one, and who gives one back has to see whether somebody waits.
///
/// Relaxed throughout: the lock publishes all else. Who gets in line sets the guard first and then looks for a free place,
/// under the lock. A place that is given back before is found there; who gives one back after that sees the guard, and
/// cannot have had the lock before.
///
/// On cache lines of its own: each call writes it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Places(AtomicI64);

const ONE: i64 = 2;
const GUARD: i64 = 1;

impl Places {
    pub(crate) fn new(free: u32, is_guarded: bool) -> Self {
        Self(AtomicI64::new(i64::from(free) * ONE + if is_guarded { GUARD } else { 0 }))
    }

    /// Takes one if they are not guarded; so the lock is not needed.
    #[inline]
    pub(crate) fn take_unguarded(&self) -> bool {
        self.take_if(|word| word >= ONE && word & GUARD == 0)
    }

    /// Takes one under the lock.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        self.take_if(|word| word >= ONE)
    }

    #[inline]
    fn take_if(&self, may: impl Fn(i64) -> bool) -> bool {
        let taken = |word| may(word).then(|| word - ONE);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// So many more are free, or fewer. Whether they are guarded.
    #[inline]
    pub(crate) fn add(&self, more: i64) -> bool {
        self.0.fetch_add(more * ONE, Ordering::Relaxed) & GUARD != 0
    }

    /// Under the lock, so that nobody else changes it.
    pub(crate) fn guard(&self, is_guarded: bool) {
        if (self.0.load(Ordering::Relaxed) & GUARD != 0) != is_guarded {
            self.0.fetch_xor(GUARD, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn free(&self) -> i64 {
        self.0.load(Ordering::Relaxed) >> 1
    }
}
