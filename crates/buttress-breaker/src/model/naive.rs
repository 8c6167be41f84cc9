//! The breaker as its documentation describes it, with every record kept and nothing clever. Shares no
//! function with the real one; times are nanoseconds with the same origin.

use crate::config::{Cancelled, Config, Panicked, Window};
use crate::event::{Cause, Event};
use std::time::Duration;

const MILLION: u128 = 1_000_000;

fn ns(duration: Duration) -> u64 {
    duration.as_nanos().min(u128::from(u64::MAX)) as u64
}

/// A result of a call that the closed breaker has judged.
#[derive(Clone, Copy, Debug)]
struct Record {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u64,
    lease_end: u64,
    ended: bool,
    /// Another has its place.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Open { until: u64 },
    HalfOpen { probes: Vec<Probe>, good: u64, bad: u64 },
    HeldOpen,
    HeldClosed,
}

/// A ramp that began at `since`: what was offered to it, and how many calls passed.
#[derive(Clone, Debug)]
struct Ramp {
    since: u64,
    promised: u128,
    passed: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    generation: u64,
    probe: Option<u64>,
    /// When it began; only if somebody asked for it then.
    start: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) overloaded: bool,
    pub(crate) after: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Success,
    Failure(Option<Duration>),
    Ignore,
    Cancelled,
    Panicked,
}

/// Totals, as far as they are comparable whatever the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) ignored: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
    pub(crate) late: u64,
    pub(crate) slow: u64,
    pub(crate) opened: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    config: Config,
    phase: Phase,
    generation: u64,
    /// Everything judged in this closed generation.
    records: Vec<Record>,
    /// Records before these do not count: the rule was changed after them.
    window_from: usize,
    within_from: usize,
    streak_from: usize,
    ramp: Option<Ramp>,
    failed_recoveries: u32,
    /// `None` if it has never opened by itself.
    last_open: Option<u64>,
    closed_at: Option<u64>,
    probes_ever: u64,
    pub(crate) totals: Totals,
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            generation: 0,
            records: Vec::new(),
            window_from: 0,
            within_from: 0,
            streak_from: 0,
            ramp: None,
            failed_recoveries: 0,
            last_open: None,
            closed_at: None,
            probes_ever: 0,
            totals: Totals::default(),
        }
    }

    fn go(&mut self, phase: Phase) {
        self.generation += 1;
        self.phase = phase;
        self.records.clear();
        (self.window_from, self.within_from, self.streak_from) = (0, 0, 0);
        self.ramp = None;
    }

    /// Step of the ramp: share in millionths, and when the next one begins.
    fn step(&self, at: u64) -> Option<(u128, u64)> {
        let (ramp, rule) = (self.ramp.as_ref()?, self.config.ramp?);
        let (passed, over) = (u128::from(at - ramp.since), rule.over.as_nanos());
        // The steps that have begun, of ten; the tenth is the end.
        let begun = (1..=10).filter(|step| passed * 10 >= step * over).count() as u128;
        if begun == 10 {
            return None;
        }
        let from = u128::from(rule.from.millionths());
        let share = from + (MILLION - from) * begun / 10;
        let mut next = (begun + 1) * over / 10;
        if next * 10 < (begun + 1) * over {
            next += 1;
        }
        Some((share, ramp.since + next as u64))
    }

    /// Whether a gate has nothing to reserve: calls come, and a ramp refuses them then.
    pub(crate) fn needs_no_place(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::HeldClosed)
    }

    pub(crate) fn would_refuse(&self, at: u64) -> Option<Refused> {
        let unavailable = |after| Some(Refused { overloaded: false, after });
        match &self.phase {
            Phase::Closed => {
                let (share, next) = self.step(at)?;
                let ramp = self.ramp.as_ref()?;
                let passes = ramp.promised + share >= (ramp.passed + 1) * MILLION;
                (!passes).then_some(Refused { overloaded: true, after: Some(next - at) })
            }
            Phase::Open { until } if at < *until => unavailable(Some(until - at)),
            Phase::Open { .. } | Phase::HeldClosed => None,
            Phase::HalfOpen { probes, .. } => {
                let running =
                    probes.iter().filter(|probe| !probe.ended && !probe.lost && at < probe.lease_end).count();
                if running >= usize::from(self.config.probes.get()) { unavailable(None) } else { None }
            }
            Phase::HeldOpen => unavailable(None),
        }
    }

    /// Counts an offered call against the ramp.
    fn offer(&mut self, at: u64, passes: bool) {
        let step = self.step(at);
        if let (Some((share, _)), Some(ramp)) = (step, &mut self.ramp) {
            ramp.promised += share;
            ramp.passed += u128::from(passes);
        }
    }

    pub(crate) fn refused(&mut self, at: u64) {
        self.offer(at, false);
    }

    pub(crate) fn admit(&mut self, at: u64) -> (Result<Permit, Refused>, Option<Event>) {
        let refused = self.would_refuse(at);
        let mut event = None;
        if let (Phase::Open { .. }, None) = (&self.phase, refused) {
            self.go(Phase::HalfOpen { probes: Vec::new(), good: 0, bad: 0 });
            event = Some(Event::HalfOpened);
        }
        let refused = if event.is_some() { self.would_refuse(at) } else { refused };
        let ramped = self.step(at).is_some();
        self.offer(at, refused.is_none());
        if !ramped {
            self.ramp = None;
        }
        if let Some(refused) = refused {
            return (Err(refused), event);
        }
        let mut probe = None;
        if let Phase::HalfOpen { probes, .. } = &mut self.phase {
            self.probes_ever += 1;
            probe = Some(self.probes_ever);
            let lease_end = at.saturating_add(ns(self.config.probe_lease));
            loop {
                let mut holders: Vec<_> =
                    probes.iter_mut().filter(|probe| !probe.ended && !probe.lost).collect();
                if holders.len() < usize::from(self.config.probes.get()) {
                    break;
                }
                holders.sort_by_key(|probe| probe.lease_end);
                assert!(at >= holders[0].lease_end, "there was no room");
                holders[0].lost = true;
            }
            probes.push(Probe { id: self.probes_ever, lease_end, ended: false, lost: false });
        }
        let asked = self.config.slow_calls.is_some()
            || matches!(self.config.cancelled, Cancelled::FailureIfOlderThan(_));
        let judging = matches!(self.phase, Phase::Closed | Phase::HalfOpen { .. });
        let start = (asked && judging).then_some(at);
        (Ok(Permit { generation: self.generation, probe, start }), event)
    }

    pub(crate) fn give_back(&mut self, permit: Permit) {
        if permit.generation != self.generation {
            return;
        }
        if let (Phase::HalfOpen { probes, .. }, Some(id)) = (&mut self.phase, permit.probe) {
            probes.iter_mut().filter(|probe| probe.id == id).for_each(|probe| probe.ended = true);
        }
    }

    /// `open_for` is what the real breaker chose, if it opened: the jitter is its own to choose within bounds.
    pub(crate) fn finish(
        &mut self,
        permit: Permit,
        end: End,
        at: u64,
        chosen: Option<Duration>,
    ) -> Option<Event> {
        let mut heard = permit.generation == self.generation;
        if let (true, Phase::HalfOpen { probes, .. }) = (heard, &mut self.phase) {
            let probe = probes.iter_mut().find(|probe| Some(probe.id) == permit.probe).unwrap();
            heard = !probe.lost;
            probe.ended = true;
        }
        if !heard {
            self.totals.late += 1;
            return None;
        }
        let age = permit.start.map(|start| at - start);
        let (failed, asked) = match end {
            End::Success => {
                self.totals.successes += 1;
                (false, None)
            }
            End::Failure(asked) => {
                self.totals.failures += 1;
                (true, asked)
            }
            End::Ignore => {
                self.totals.ignored += 1;
                return None;
            }
            End::Cancelled => {
                self.totals.cancelled += 1;
                match (self.config.cancelled, age) {
                    (Cancelled::Failure, _) => {}
                    (Cancelled::FailureIfOlderThan(limit), Some(age)) if age >= ns(limit) => {}
                    _ => return None,
                }
                (true, None)
            }
            End::Panicked => {
                self.totals.panicked += 1;
                if self.config.panicked == Panicked::Ignore {
                    return None;
                }
                (true, None)
            }
        };
        let answered = matches!(end, End::Success | End::Failure(_));
        let slow = match (self.config.slow_calls, age) {
            (Some(rule), Some(age)) => answered && age >= ns(rule.over),
            _ => false,
        };
        self.totals.slow += u64::from(slow);
        match &mut self.phase {
            Phase::Closed => {
                self.records.push(Record { at, failed, slow });
                let cause = self.broken_rule(at)?;
                let stable = match (self.closed_at, self.last_open) {
                    (Some(closed_at), Some(last_open)) => at - closed_at >= last_open,
                    _ => true,
                };
                self.failed_recoveries = if stable { 0 } else { self.failed_recoveries + 1 };
                Some(self.open(cause, at, asked, chosen))
            }
            Phase::HalfOpen { good, bad, .. } => {
                if failed || slow {
                    *bad += 1;
                } else {
                    *good += 1;
                }
                let (good, bad) = (*good, *bad);
                let results = u64::from(self.config.probe_results.get());
                let share = u128::from(results) * u128::from(self.config.probe_ratio.millionths());
                let wanted = (1..).find(|wanted| u128::from(*wanted) * MILLION >= share).unwrap();
                let attainable = good + results.saturating_sub(good + bad);
                if good >= wanted {
                    self.closed_at = Some(at);
                    self.go(Phase::Closed);
                    self.ramp =
                        self.config.ramp.map(|_| Ramp { since: at, promised: MILLION - 1, passed: 0 });
                    Some(Event::Closed)
                } else if attainable < wanted {
                    self.failed_recoveries += u32::from(self.last_open.is_some());
                    let cause = Cause::ProbesFailed { failed: bad, probes: good + bad };
                    Some(self.open(cause, at, asked, chosen))
                } else {
                    None
                }
            }
            Phase::Open { .. } | Phase::HeldOpen | Phase::HeldClosed => None,
        }
    }

    fn open(&mut self, cause: Cause, at: u64, asked: Option<Duration>, chosen: Option<Duration>) -> Event {
        let first = self.config.open_for.as_nanos();
        let max = self.config.open_max.as_nanos().max(first);
        let mut base = first;
        for _ in 0..self.failed_recoveries.min(200) {
            base = (base * 2).min(max);
        }
        let most = base + base * u128::from(self.config.open_jitter.millionths()) / MILLION;
        let asked = asked.unwrap_or_default().as_nanos().min(max);
        let open_for = chosen.expect("the real breaker did not open");
        let chosen = open_for.as_nanos();
        assert!(
            chosen >= base.max(asked) && chosen <= most.max(asked),
            "{chosen} not in {base}..={most}, asked {asked}"
        );
        self.last_open = Some(base as u64);
        self.closed_at = None;
        self.totals.opened += 1;
        self.go(Phase::Open { until: at + chosen as u64 });
        Event::Opened { cause, open_for }
    }

    /// The records that are in the window at `at`.
    fn window(&self, at: u64) -> Vec<Record> {
        if self.config.failure_ratio.is_none() && self.config.slow_calls.is_none() {
            return Vec::new();
        }
        let records = &self.records[self.window_from..];
        match self.config.window {
            Window::Calls(size) => records[records.len().saturating_sub(size.get().into())..].to_vec(),
            Window::Time(period) => {
                let tenth = |at: u64| at / (ns(period) / 10).max(1);
                records.iter().copied().filter(|record| tenth(record.at) + 10 > tenth(at)).collect()
            }
        }
    }

    /// Calls, failures and slow calls in the window at `at`.
    pub(crate) fn tally(&self, at: u64) -> (u64, u64, u64) {
        let window = self.window(at);
        let count = |what: fn(&Record) -> bool| window.iter().filter(|record| what(record)).count() as u64;
        (window.len() as u64, count(|record| record.failed), count(|record| record.slow))
    }

    /// The rule that the last record breaks. Only a bad call breaks one.
    fn broken_rule(&self, at: u64) -> Option<Cause> {
        let last = *self.records.last()?;
        let streak =
            self.records[self.streak_from..].iter().rev().take_while(|record| record.failed).count() as u64;
        let (calls, failures, slow) = self.tally(at);
        let mut least = u64::from(self.config.min_calls.get());
        if let Window::Calls(size) = self.config.window {
            least = least.min(size.get().into());
        }
        let reached = |part: u64, millionths: u32| {
            calls >= least && u128::from(part) * MILLION >= u128::from(millionths) * u128::from(calls)
        };
        if last.failed {
            if self.config.consecutive_failures.is_some_and(|limit| streak >= limit.get().into()) {
                return Some(Cause::ConsecutiveFailures { failures: streak });
            }
            if self.config.failure_ratio.is_some_and(|ratio| reached(failures, ratio.millionths())) {
                return Some(Cause::FailureRatio { failures, calls });
            }
            if let Some(rule) = self.config.failures_within {
                let wanted = usize::from(rule.failures.get());
                let times: Vec<_> = self.records[self.within_from..]
                    .iter()
                    .filter(|record| record.failed)
                    .map(|record| record.at)
                    .collect();
                if times.len() >= wanted && at - times[times.len() - wanted] <= ns(rule.within) {
                    return Some(Cause::FailuresWithin { failures: wanted as u64 });
                }
            }
        }
        if last.slow && self.config.slow_calls.is_some_and(|rule| reached(slow, rule.ratio.millionths())) {
            return Some(Cause::SlowCalls { slow, calls });
        }
        None
    }

    pub(crate) fn force_open(&mut self) -> Option<Event> {
        if matches!(self.phase, Phase::HeldOpen) {
            return None;
        }
        self.go(Phase::HeldOpen);
        Some(Event::ForcedOpen)
    }

    pub(crate) fn force_closed(&mut self) -> Option<Event> {
        if matches!(self.phase, Phase::HeldClosed) {
            return None;
        }
        self.go(Phase::HeldClosed);
        Some(Event::ForcedClosed)
    }

    pub(crate) fn auto(&mut self, at: u64) -> Option<Event> {
        match self.phase {
            Phase::HeldOpen => self.go(Phase::HalfOpen { probes: Vec::new(), good: 0, bad: 0 }),
            Phase::HeldClosed => {
                self.closed_at = Some(at);
                self.go(Phase::Closed);
            }
            _ => return None,
        }
        Some(Event::Released)
    }

    pub(crate) fn reset(&mut self) -> Event {
        (self.failed_recoveries, self.last_open, self.closed_at) = (0, None, None);
        self.go(Phase::Closed);
        Event::Reset
    }

    pub(crate) fn reconfigure(&mut self, config: Config) {
        let has_window = |config: &Config| config.failure_ratio.is_some() || config.slow_calls.is_some();
        if config.window != self.config.window || has_window(&config) != has_window(&self.config) {
            self.window_from = self.records.len();
        }
        if config.failures_within != self.config.failures_within {
            self.within_from = self.records.len();
        }
        if self.config.consecutive_failures.is_none() {
            self.streak_from = self.records.len();
        }
        self.config = config;
    }
}
