//! Connects that fail, and the probes that find out when they do not.

use super::Naive;
use crate::core::{Nanos, News, Why};

#[derive(Clone, Debug)]
pub(super) struct Outage {
    since: Nanos,
    until: Nanos,
    pub(super) cause: u32,
    /// The start that is its probe.
    probe: Option<u64>,
}

impl Naive {
    pub(in crate::model) fn down(&self) -> Option<(Nanos, Nanos)> {
        self.outage.as_ref().map(|outage| (outage.since, outage.until))
    }

    pub(super) fn why_down(&mut self) -> Option<Why<u32>> {
        let Outage { since, until, cause, .. } = *self.outage.as_ref()?;
        self.demand = true;
        self.counts.refused_down += 1;
        Some(Why::Down { since, until, cause })
    }

    /// A connect succeeded.
    pub(super) fn is_over(&mut self, now: Nanos) {
        let outage = self.outage.take();
        self.news.extend(outage.filter(|_| !self.closed).map(|outage| News::Up(now - outage.since)));
        self.demand = false;
    }

    /// `chosen` is the pause until the next probe, if this failure moves it.
    pub(in crate::model) fn connect_failed(
        &mut self,
        start: u64,
        cause: u32,
        now: Nanos,
        chosen: Option<Nanos>,
    ) {
        self.running.retain(|&other| other != start);
        self.counts.connects_failed += 1;
        self.last_error = Some((now, cause));
        self.starts.clear();
        if self.outage.is_none() && !self.closed {
            self.news.push(News::Down { cause, left: self.alive() });
        }
        let outage = self.outage.get_or_insert(Outage { since: now, until: 0, cause, probe: Some(start) });
        outage.cause = cause;
        if outage.probe == Some(start) {
            outage.probe = None;
            let until = chosen.expect("the core shut its gate too");
            let most = ((now - outage.since) / 8).clamp(50_000_000, 5_000_000_000);
            assert!((now + most * 4 / 5..=now + most).contains(&until), "{until} after {now}");
            outage.until = until;
        } else if outage.probe.is_some_and(|probe| !self.running.contains(&probe)) {
            outage.probe = None; // it was taken back
        }
        self.settle();
    }

    fn may_probe(&self, now: Nanos) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.until <= now && outage.probe.is_none())
            && self.connecting() < self.config.connects.get()
            && self.live() + self.connecting() < self.config.size.max()
    }

    fn has_reason_to_probe(&self) -> bool {
        self.demand || self.waiters() > 0 || self.alive() + self.connecting() < self.config.size.min()
    }

    /// The driver has no reason to probe, and could.
    pub(super) fn is_quiet(&self, now: Nanos) -> bool {
        self.may_probe(now) && !self.has_reason_to_probe()
    }

    pub(super) fn probe(&mut self, now: Nanos) {
        if self.may_probe(now) && self.has_reason_to_probe() && !self.closed {
            self.last_start += 1;
            self.starts.push(self.last_start);
            self.outage.as_mut().expect("there is one").probe = Some(self.last_start);
            self.demand = false;
        }
    }

    pub(super) fn forget_probe(&mut self) {
        let Self { outage: Some(outage), starts, running, .. } = self else { return };
        if outage.probe.is_some_and(|probe| !starts.contains(&probe) && !running.contains(&probe)) {
            outage.probe = None;
        }
    }
}
