//! When connects may be tried.

use super::Nanos;
use std::mem;

/// The shortest and the longest time between two probes.
const SHORTEST: Nanos = 50_000_000;
const LONGEST: Nanos = 5_000_000_000;

/// Shut by the first connect that fails, opened by any that succeeds. While it is shut one probe at a time tries again,
/// with pauses of an eighth of the outage: whenever the server is back, that is found out within an eighth of the time it
/// was away, and the number of probes grows with the logarithm of that time.
#[derive(Debug)]
pub(crate) struct Gate<E> {
    shut: Option<Shut<E>>,
    /// How often it was shut, so that a late probe does not speak for a later outage.
    outage: u64,
    pub(crate) probing: bool,
    /// Somebody was refused since the last probe.
    pub(crate) demand: bool,
    random: fastrand::Rng,
}

#[derive(Clone, Debug)]
pub(crate) struct Shut<E> {
    pub(crate) since: Nanos,
    /// The next probe is due.
    pub(crate) until: Nanos,
    pub(crate) cause: E,
}

/// The outage that a connect is the probe of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe(u64);

impl<E> Gate<E> {
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self { shut: None, outage: 0, probing: false, demand: false, random }
    }

    #[inline]
    pub(crate) fn shut(&self) -> Option<&Shut<E>> {
        self.shut.as_ref()
    }

    pub(crate) fn probe(&mut self) -> Probe {
        self.probing = true;
        self.demand = false;
        Probe(self.outage)
    }

    fn is_present(&self, probe: Option<Probe>) -> bool {
        self.probing && probe == Some(Probe(self.outage))
    }

    /// A connect failed. Connects that ran side by side are one incident: only the first of them, and probes, move the
    /// next one. Gives the cause that this one replaces.
    pub(crate) fn fail(&mut self, probe: Option<Probe>, cause: E, now: Nanos) -> Option<E> {
        let present = self.is_present(probe);
        if present {
            self.probing = false;
        }
        let Some(shut) = &mut self.shut else {
            self.outage += 1;
            let until = now + Self::pause(0, &mut self.random);
            self.shut = Some(Shut { since: now, until, cause });
            return None;
        };
        if present {
            shut.until = now.saturating_add(Self::pause(now.saturating_sub(shut.since), &mut self.random));
        }
        Some(mem::replace(&mut shut.cause, cause))
    }

    /// The probe was not made, or nobody will hear of it.
    pub(crate) fn forget_probe(&mut self, probe: Option<Probe>) {
        if self.is_present(probe) {
            self.probing = false;
        }
    }

    /// A connect succeeded. Gives the outage that has ended.
    pub(crate) fn open(&mut self) -> Option<Shut<E>> {
        self.probing = false;
        self.demand = false;
        self.shut.take()
    }

    fn pause(outage: Nanos, random: &mut fastrand::Rng) -> Nanos {
        let most = (outage / 8).clamp(SHORTEST, LONGEST);
        random.u64(most / 5 * 4..=most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate<u8> {
        Gate::new(fastrand::Rng::with_seed(7))
    }

    #[test]
    fn connects_that_fail_side_by_side_are_one_incident() {
        let mut gate = gate();
        assert_eq!(gate.fail(None, 1, 0), None);
        let until = gate.shut().unwrap().until;
        assert!((40_000_000..=SHORTEST).contains(&until), "{until}");
        assert_eq!(gate.fail(None, 2, 30_000_000), Some(1));
        assert_eq!(gate.shut().unwrap().until, until);
    }

    #[test]
    fn probes_grow_with_the_logarithm_of_the_outage() {
        for (seconds, most) in [(1, 22), (10, 44), (40, 57), (1000, 57 + 240)] {
            let mut gate = gate();
            let (mut now, mut probes) = (0, 0);
            gate.fail(None, 0, now);
            while now < seconds * 1_000_000_000 {
                let shut = gate.shut().unwrap();
                assert!(shut.until - now <= (now / 8).clamp(SHORTEST, LONGEST));
                now = shut.until;
                probes += 1;
                let probe = gate.probe();
                gate.fail(Some(probe), 0, now);
            }
            assert!(probes <= most, "{probes} in {seconds} s");
        }
    }

    #[test]
    fn a_late_probe_does_not_speak_for_a_later_outage() {
        let mut gate = gate();
        gate.fail(None, 0, 0);
        let late = gate.probe();
        gate.open();
        gate.fail(None, 0, 1);
        let until = gate.shut().unwrap().until;
        let probe = gate.probe();
        gate.fail(Some(late), 1, 2);
        assert!(gate.probing);
        assert_eq!(gate.shut().unwrap().until, until);
        gate.fail(Some(probe), 2, 3);
        assert!(!gate.probing);
        assert!(gate.shut().unwrap().until > until);
    }
}
