//! Probes: how many may run, for how long, and what their results decide.

use super::Nanos;
use crate::word::Word;

/// The probes of one half-open period, and what they said.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    succeeded: u64,
    failed: u64,
    leases: Vec<Lease>,
    last_serial: u16,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    serial: u16,
    ends: Nanos,
}

/// What the probes have decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Undecided,
    Close,
    Reopen { failed: u64, of: u64 },
}

impl HalfOpen {
    /// Takes a place for a probe and returns its serial, or `None` if all `probes` are taken. Only now, and
    /// only if it is needed, does one whose lease is over lose its place: as long as nobody takes that, it is heard.
    pub(crate) fn take(&mut self, now: Nanos, probes: u8, lease: Nanos) -> Option<u16> {
        if !self.has_room(now, probes) {
            return None;
        }
        while self.leases.len() >= probes.into() {
            let oldest = self.leases.iter().enumerate().min_by_key(|(_, lease)| lease.ends);
            let Some((oldest, _)) = oldest else { break };
            self.leases.remove(oldest);
        }
        // A serial comes round again after 32767 probes; skip those that still run.
        let serial = loop {
            self.last_serial = if self.last_serial >= Word::LAST_SERIAL { 1 } else { self.last_serial + 1 };
            if !self.holds(self.last_serial) {
                break self.last_serial;
            }
        };
        self.leases.push(Lease { serial, ends: now.saturating_add(lease) });
        Some(serial)
    }

    /// Whether a probe could be taken at `now`.
    pub(crate) fn has_room(&self, now: Nanos, probes: u8) -> bool {
        self.leases.iter().filter(|lease| lease.ends > now).count() < probes.into()
    }

    /// Whether the probe `serial` still has its place.
    pub(crate) fn holds(&self, serial: u16) -> bool {
        self.leases.iter().any(|lease| lease.serial == serial)
    }

    /// Lets the lease of a probe that was reserved begin now; false if it has lost its place.
    pub(crate) fn renew(&mut self, serial: u16, ends: Nanos) -> bool {
        let lease = self.leases.iter_mut().find(|lease| lease.serial == serial);
        lease.map(|lease| lease.ends = ends).is_some()
    }

    /// Gives the place of a probe back; false if it had lost it already.
    pub(crate) fn give_back(&mut self, serial: u16) -> bool {
        let Some(index) = self.leases.iter().position(|lease| lease.serial == serial) else { return false };
        self.leases.remove(index); // in the order in which they were taken
        true
    }

    /// When, after `now`, the next place comes free by itself.
    pub(crate) fn next_end(&self, now: Nanos) -> Option<Nanos> {
        self.leases.iter().map(|lease| lease.ends).filter(|ends| *ends > now).min()
    }

    /// When the last place comes free by itself.
    pub(crate) fn last_end(&self) -> Option<Nanos> {
        self.leases.iter().map(|lease| lease.ends).max()
    }

    /// Adds a result: `results` are judged together, `wanted` of them must succeed.
    pub(crate) fn judge(&mut self, good: bool, results: u64, wanted: u64) -> Verdict {
        if good {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
        if self.succeeded >= wanted {
            Verdict::Close
        } else if self.failed > results - wanted {
            Verdict::Reopen { failed: self.failed, of: self.succeeded + self.failed }
        } else {
            Verdict::Undecided
        }
    }
}
