use std::fmt;

/// Everything that a call must know of the breaker, in one atomic load.
///
/// | bits | what |
/// | --- | --- |
/// | 0..3 | [`Kind`] |
/// | 3..9 | flags: which rules need something from every call |
/// | 9..24 | serial of a probe, from 1; always 0 in the shared word |
/// | 24..64 | epoch: a new one with every transition |
///
/// A permit carries the word it was admitted under. If the shared word is still the same when the call
/// ends, then nothing has changed in between: same epoch, same rules, no flag raised. That one comparison
/// is the fast path. A probe's word has a serial and so never equals the shared one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Must be 0: the fast admission is a test for zero.
    Closed = 0,
    Open = 1,
    HalfOpen = 2,
    ForcedOpen = 3,
    ForcedClosed = 4,
}

impl Word {
    /// Successes are dated: a window by time is on.
    pub(crate) const TIME: u64 = 1 << 3;
    /// Successes are counted: a window is on.
    pub(crate) const COUNT: u64 = 1 << 4;
    /// Calls take the time when they begin.
    pub(crate) const START: u64 = 1 << 5;
    /// Calls are compared with the slow threshold when they end.
    pub(crate) const SLOW: u64 = 1 << 6;
    /// A streak of failures is running, which the next success must end.
    pub(crate) const DIRTY: u64 = 1 << 7;
    /// Admission is a share of the calls only.
    pub(crate) const RAMP: u64 = 1 << 8;

    const KIND: u64 = 0b111;
    const SERIAL: u32 = 9;
    const EPOCH: u32 = 24;
    /// The largest serial of a probe.
    pub(crate) const LAST_SERIAL: u16 = (1 << (Self::EPOCH - Self::SERIAL)) - 1;

    pub(crate) fn new(epoch: u64, kind: Kind, flags: u64) -> Self {
        // 40 bits of epoch: 34 years at a transition per millisecond, then it wraps.
        Self(epoch << Self::EPOCH | flags | kind as u64)
    }

    pub(crate) fn with_serial(self, serial: u16) -> Self {
        Self(self.0 | u64::from(serial) << Self::SERIAL)
    }

    /// Closed, and every call is admitted.
    #[inline]
    pub(crate) fn admits_all(self) -> bool {
        self.0 & (Self::KIND | Self::RAMP) == 0
    }

    #[inline]
    pub(crate) fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 & Self::KIND {
            0 => Kind::Closed,
            1 => Kind::Open,
            2 => Kind::HalfOpen,
            3 => Kind::ForcedOpen,
            _ => Kind::ForcedClosed,
        }
    }

    pub(crate) fn serial(self) -> u16 {
        (self.0 >> Self::SERIAL) as u16 & Self::LAST_SERIAL
    }

    #[inline]
    pub(crate) fn epoch(self) -> u64 {
        self.0 >> Self::EPOCH
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.0 >> 3 & 0b11_1111;
        write!(f, "{:?} epoch {} serial {} flags {flags:06b}", self.kind(), self.epoch(), self.serial())
    }
}
