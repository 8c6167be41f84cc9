//! The breaker as a plain state machine: no lock, no atomic, no clock, no I/O.
//!
//! Whatever is rare goes through here, under the one mutex of [`Core`](crate::core::Core): failures, slow
//! calls, probes, transitions, the operator. Successes of a healthy breaker do not; they are counted in
//! lanes, and [`State::absorb`] takes them in before every step.

mod backoff;
mod half_open;
mod ramp;
mod rules;
mod window;

use crate::Config;
use crate::config::{Cancelled, Panicked};
use crate::event::{Cause, Event};
use crate::handle::{self, Totals};
use crate::word::{Kind, Word};
use backoff::Backoff;
use buttress_core::{Outcome, Ratio, Reason};
use half_open::{HalfOpen, Verdict};
use ramp::Ramp;
use rules::Rules;
use std::time::Duration;
use window::{Tally, TimeWindow};

/// Nanoseconds since the breaker's own beginning of time.
pub(crate) type Nanos = u64;

/// What does not fit is more than 584 years.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of a step: read when it is first needed, and then the same to the end of the step.
pub(crate) struct Now<'a> {
    read: Option<Nanos>,
    clock: &'a mut dyn FnMut() -> Nanos,
}

impl<'a> Now<'a> {
    pub(crate) fn new(clock: &'a mut dyn FnMut() -> Nanos) -> Self {
        Self { read: None, clock }
    }

    pub(crate) fn get(&mut self) -> Nanos {
        *self.read.get_or_insert_with(&mut self.clock)
    }
}

/// What an admitted call must bring back when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) word: Word,
    /// When the call began; 0 if the word says that nobody asks.
    pub(crate) start: Nanos,
}

impl Ticket {
    /// Of a call that no breaker watches.
    pub(crate) const UNWATCHED: Self = Self { word: Word(0), start: 0 };
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) after: Option<Duration>,
}

impl Refusal {
    #[inline]
    fn until(reason: Reason, until: Nanos, now: Nanos) -> Self {
        Self { reason, after: Some(Duration::from_nanos(until.saturating_sub(now))) }
    }

    #[inline]
    pub(crate) fn open(until: Nanos, now: Nanos) -> Self {
        Self::until(Reason::Unavailable, until, now)
    }

    /// Nobody can say when: it is held open, or its probes are running.
    pub(crate) const NO_TIME: Self = Self { reason: Reason::Unavailable, after: None };
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Judged(Outcome),
    Cancelled,
    Panicked,
}

#[derive(Debug)]
enum Phase {
    Closed { ramp: Option<Ramp> },
    Open { until: Nanos },
    HalfOpen { since: Nanos, probes: HalfOpen },
    ForcedOpen,
    ForcedClosed,
}

#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    epoch: u64,
    phase: Phase,
    rules: Rules,
    backoff: Backoff,
    /// Successes that were counted.
    successes: u64,
    /// There was a time without a window, in which they were not.
    uncounted: bool,
    totals: Totals,
    /// Somebody who was refused may be admitted now; cleared by whoever wakes them.
    stirred: bool,
}

impl State {
    pub(crate) fn new(config: Config, seed: u64, now: Nanos) -> Self {
        let (rules, uncounted) = (Rules::new(&config, now), !config.has_window());
        let phase = Phase::Closed { ramp: None };
        // Epoch 1: a word is never all zero, and neither is a lane's tag.
        Self {
            config,
            epoch: 1,
            phase,
            rules,
            backoff: Backoff::new(seed),
            successes: 0,
            uncounted,
            totals: Totals::default(),
            stirred: false,
        }
    }

    /// The shared word of this state.
    pub(crate) fn word(&self) -> Word {
        let config = &self.config;
        let kind = match self.phase {
            Phase::Closed { .. } => Kind::Closed,
            Phase::Open { .. } => Kind::Open,
            Phase::HalfOpen { .. } => Kind::HalfOpen,
            Phase::ForcedOpen => Kind::ForcedOpen,
            Phase::ForcedClosed => Kind::ForcedClosed,
        };
        let judging = matches!(kind, Kind::Closed | Kind::HalfOpen);
        let ages = matches!(config.cancelled, Cancelled::FailureIfOlderThan(_));
        let slow = judging && config.slow_calls.is_some();
        let flags = [
            (Word::TIME, kind == Kind::Closed && self.rules.time.is_some()),
            (Word::COUNT, matches!(kind, Kind::Closed | Kind::ForcedClosed) && config.has_window()),
            (Word::SLOW, slow),
            (Word::START, slow || judging && ages),
            (
                Word::DIRTY,
                kind == Kind::Closed && self.rules.streak > 0 && config.consecutive_failures.is_some(),
            ),
            (Word::RAMP, matches!(self.phase, Phase::Closed { ramp: Some(_) })),
        ];
        let flags = flags.iter().filter(|(_, on)| *on).fold(0, |all, (flag, _)| all | flag);
        Word::new(self.epoch, kind, flags)
    }

    /// When the open time is over; only while open.
    pub(crate) fn until(&self) -> Nanos {
        match self.phase {
            Phase::Open { until } => until,
            _ => 0,
        }
    }

    /// When the present tenth of the window ends; only with a window by time.
    pub(crate) fn tick_end(&self) -> Nanos {
        self.rules.time.as_ref().map_or(u64::MAX, TimeWindow::tick_end)
    }

    /// From how long a call is slow; only with the rule.
    pub(crate) fn slow_over(&self) -> Nanos {
        self.config.slow_calls.map_or(u64::MAX, |rule| nanos(rule.over))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Takes in the successes that the lanes have counted in this epoch.
    pub(crate) fn absorb(&mut self, swept: u64) {
        self.successes += swept;
        if matches!(self.phase, Phase::Closed { .. }) {
            self.rules.add_good(swept);
        }
    }

    /// Takes in successes that the lanes have counted in an epoch that is over.
    pub(crate) fn absorb_late(&mut self, swept: u64) {
        self.successes += swept;
    }

    /// Admits a call, or says why not. May begin to probe, which is an event.
    pub(crate) fn admit(&mut self, now: &mut Now<'_>) -> (Result<Ticket, Refusal>, Option<Event>) {
        let mut event = None;
        if let Phase::Open { until } = self.phase {
            let now = now.get();
            if now < until {
                return (Err(Refusal::open(until, now)), None);
            }
            self.enter(Phase::HalfOpen { since: now, probes: HalfOpen::default() });
            event = Some(Event::HalfOpened);
        }
        let ticket = self.admitted(now).map(|word| {
            let start = if word.has(Word::START) { now.get() } else { 0 };
            Ticket { word, start }
        });
        (ticket, event)
    }

    /// The word of the next call, if it is admitted in the present phase.
    fn admitted(&mut self, now: &mut Now<'_>) -> Result<Word, Refusal> {
        match &mut self.phase {
            Phase::Closed { ramp: None } | Phase::ForcedClosed => Ok(self.word()),
            Phase::Closed { ramp: Some(ramp) } => {
                let now = now.get();
                match self.config.ramp.and_then(|rule| ramp.step(now, &rule)) {
                    None => self.phase = Phase::Closed { ramp: None },
                    Some(step) if ramp.admit(step) => {}
                    Some(step) => return Err(Refusal::until(Reason::Overloaded, step.next, now)),
                }
                Ok(self.word())
            }
            Phase::HalfOpen { probes, .. } => {
                let (most, lease) = (self.config.probes.get(), nanos(self.config.probe_lease));
                let serial = probes.take(now.get(), most, lease).ok_or(Refusal::NO_TIME)?;
                Ok(self.word().with_serial(serial))
            }
            Phase::Open { .. } | Phase::ForcedOpen => Err(Refusal::NO_TIME),
        }
    }

    /// Whether [`State::admit`] would refuse now, and why; changes nothing.
    pub(crate) fn would_refuse(&self, now: Nanos) -> Option<Refusal> {
        match &self.phase {
            Phase::Closed { ramp: Some(ramp) } => {
                let step = self.config.ramp.and_then(|rule| ramp.step(now, &rule))?;
                (!ramp.would_admit(step)).then(|| Refusal::until(Reason::Overloaded, step.next, now))
            }
            Phase::Open { until } => (now < *until).then(|| Refusal::open(*until, now)),
            Phase::HalfOpen { probes, .. } => {
                (!probes.has_room(now, self.config.probes.get())).then_some(Refusal::NO_TIME)
            }
            Phase::ForcedOpen => Some(Refusal::NO_TIME),
            Phase::Closed { ramp: None } | Phase::ForcedClosed => None,
        }
    }

    /// A call was refused on the word of [`State::would_refuse`]; a ramp counts it.
    pub(crate) fn refused(&mut self, now: Nanos) {
        if let Phase::Closed { ramp: Some(ramp) } = &mut self.phase {
            if let Some(step) = self.config.ramp.and_then(|rule| ramp.step(now, &rule)) {
                ramp.refuse(step);
            }
        }
    }

    /// When somebody who waits may be admitted by the passing of time alone; always after `now`.
    pub(crate) fn recheck_at(&self, now: Nanos) -> Option<Nanos> {
        match &self.phase {
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen { probes, .. } => probes.next_end(now),
            Phase::Closed { .. } | Phase::ForcedOpen | Phase::ForcedClosed => None,
        }
    }

    /// Whether whoever wants to call is to wait behind a gate. A ramp keeps nobody waiting.
    pub(crate) fn waits(&self, now: Nanos) -> bool {
        !self.admits_unreserved() && self.would_refuse(now).is_some()
    }

    /// Whether nothing needs to be reserved for a call: it is admitted when it comes, or refused by a ramp.
    pub(crate) fn admits_unreserved(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. } | Phase::ForcedClosed)
    }

    /// Whether the place of a probe that was reserved is still there.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        self.is_current(ticket)
            && match &self.phase {
                Phase::HalfOpen { probes, .. } => probes.holds(ticket.word.serial()),
                _ => false,
            }
    }

    /// Uses the place of a probe that was reserved; its lease and the call begin now.
    pub(crate) fn begin(&mut self, ticket: Ticket, now: Nanos) -> Option<Ticket> {
        let current = self.is_current(ticket);
        match &mut self.phase {
            Phase::HalfOpen { probes, .. } if current => {
                let ends = now.saturating_add(nanos(self.config.probe_lease));
                let start = if ticket.word.has(Word::START) { now } else { 0 };
                probes.renew(ticket.word.serial(), ends).then_some(Ticket { start, ..ticket })
            }
            _ => None,
        }
    }

    /// Takes back the place of a probe that was reserved and not used.
    pub(crate) fn give_back(&mut self, ticket: Ticket) {
        let current = self.is_current(ticket);
        if let Phase::HalfOpen { probes, .. } = &mut self.phase {
            self.stirred |= current && probes.give_back(ticket.word.serial());
        }
    }

    fn is_current(&self, ticket: Ticket) -> bool {
        ticket.word.epoch() == self.word().epoch()
    }

    /// Takes in how a call ended.
    pub(crate) fn finish(&mut self, ticket: Ticket, end: End, now: &mut Now<'_>) -> Option<Event> {
        let heard = self.is_current(ticket)
            && match &mut self.phase {
                Phase::HalfOpen { probes, .. } => {
                    self.stirred = true;
                    probes.give_back(ticket.word.serial())
                }
                _ => true,
            };
        if !heard {
            self.totals.late += 1;
            return None;
        }
        let (failed, asked) = self.judge(ticket, end, now)?;
        let slow = self.was_slow(ticket, end, now);
        self.totals.slow += u64::from(slow);
        match &mut self.phase {
            Phase::Closed { .. } => {
                let cause = self.rules.add(&self.config, failed, slow, now)?;
                let open_for = self.backoff.opens(now.get(), &self.config, asked);
                Some(self.open(cause, open_for, now.get()))
            }
            Phase::HalfOpen { probes, .. } => {
                let results = u64::from(self.config.probe_results.get());
                let wanted = self.config.probe_ratio.of(results).max(1);
                match probes.judge(!failed && !slow, results, wanted) {
                    Verdict::Undecided => None,
                    Verdict::Close => Some(self.close(now.get())),
                    Verdict::Reopen { failed, of } => {
                        let open_for = self.backoff.reopens(&self.config, asked);
                        Some(self.open(Cause::ProbesFailed { failed, probes: of }, open_for, now.get()))
                    }
                }
            }
            // Held closed: counted, not judged. Open ones admit nobody, so nothing can end in them.
            Phase::ForcedClosed | Phase::Open { .. } | Phase::ForcedOpen => None,
        }
    }

    /// Counts an end, and says whether it is a failure and what time it asks for; `None` says nothing.
    fn judge(&mut self, ticket: Ticket, end: End, now: &mut Now<'_>) -> Option<(bool, Option<Duration>)> {
        let totals = &mut self.totals;
        match end {
            End::Judged(Outcome::Success) => {
                self.successes += 1;
                Some((false, None))
            }
            End::Judged(Outcome::Failure) => {
                totals.failures += 1;
                Some((true, None))
            }
            End::Judged(Outcome::FailureFor(asked)) => {
                totals.failures += 1;
                Some((true, Some(asked)))
            }
            End::Judged(Outcome::Ignore) => {
                totals.ignored += 1;
                None
            }
            End::Cancelled => {
                totals.cancelled += 1;
                let failed = match self.config.cancelled {
                    Cancelled::Ignore => false,
                    Cancelled::Failure => true,
                    Cancelled::FailureIfOlderThan(age) => {
                        ticket.word.has(Word::START) && now.get().saturating_sub(ticket.start) >= nanos(age)
                    }
                };
                failed.then_some((true, None))
            }
            End::Panicked => {
                totals.panicked += 1;
                (self.config.panicked == Panicked::Failure).then_some((true, None))
            }
        }
    }

    /// A call that brought no start with it, because nobody asked when it began, is not slow.
    fn was_slow(&self, ticket: Ticket, end: End, now: &mut Now<'_>) -> bool {
        matches!(end, End::Judged(_))
            && self.config.slow_calls.is_some()
            && ticket.word.has(Word::START)
            && now.get().saturating_sub(ticket.start) >= self.slow_over()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
        self.stirred = true;
    }

    fn open(&mut self, cause: Cause, open_for: Nanos, now: Nanos) -> Event {
        self.totals.opened += 1;
        self.enter(Phase::Open { until: now.saturating_add(open_for) });
        Event::Opened { cause, open_for: Duration::from_nanos(open_for) }
    }

    fn close(&mut self, now: Nanos) -> Event {
        self.backoff.closes(now);
        self.start_closed(self.config.ramp.map(|_| Ramp::new(now)), now);
        Event::Closed
    }

    fn start_closed(&mut self, ramp: Option<Ramp>, now: Nanos) {
        self.rules.clear(now);
        self.enter(Phase::Closed { ramp });
    }

    /// Refuses everything until told otherwise.
    pub(crate) fn force_open(&mut self) -> Option<Event> {
        if matches!(self.phase, Phase::ForcedOpen) {
            return None;
        }
        self.enter(Phase::ForcedOpen);
        Some(Event::ForcedOpen)
    }

    /// Admits everything until told otherwise.
    pub(crate) fn force_closed(&mut self) -> Option<Event> {
        if matches!(self.phase, Phase::ForcedClosed) {
            return None;
        }
        self.enter(Phase::ForcedClosed);
        Some(Event::ForcedClosed)
    }

    /// Ends a hold: one that was held open probes, one that was held closed starts anew.
    pub(crate) fn auto(&mut self, now: Nanos) -> Option<Event> {
        match self.phase {
            Phase::ForcedOpen => self.enter(Phase::HalfOpen { since: now, probes: HalfOpen::default() }),
            Phase::ForcedClosed => {
                self.backoff.closes(now);
                self.start_closed(None, now);
            }
            _ => return None,
        }
        Some(Event::Released)
    }

    /// Closed, with nothing remembered but the totals.
    pub(crate) fn reset(&mut self, now: Nanos) -> Event {
        self.backoff.reset();
        self.start_closed(None, now);
        Event::Reset
    }

    /// Puts other rules in force and keeps what they do not contradict.
    pub(crate) fn reconfigure(&mut self, config: Config, now: Nanos) {
        let old = std::mem::replace(&mut self.config, config);
        if (old.window, old.has_window()) != (self.config.window, self.config.has_window()) {
            self.rules.renew_window(&self.config, now);
        }
        self.uncounted |= !self.config.has_window();
        if old.consecutive_failures.is_none() {
            self.rules.streak = 0; // nobody has told it of successes
        }
        if old.failures_within != self.config.failures_within {
            self.rules.renew_within(&self.config);
        }
        self.stirred = true;
    }

    /// When to ask again whether a keyed breaker may be forgotten; `None` if it may be now.
    pub(crate) fn pinned_until(&self, now: Nanos) -> Option<Nanos> {
        let after_now = |until: &Nanos| now < *until;
        match &self.phase {
            Phase::Closed { .. } => None,
            Phase::Open { until } => Some(*until).filter(after_now),
            // For as long again as it was open, and while probes run.
            Phase::HalfOpen { since, probes } => Some(since.saturating_add(self.backoff.last()))
                .filter(after_now)
                .or_else(|| probes.last_end().filter(after_now)),
            Phase::ForcedOpen | Phase::ForcedClosed => Some(u64::MAX),
        }
    }

    /// What a person may see of it at `now`.
    pub(crate) fn view(&mut self, now: Nanos) -> (handle::State, Tally, Totals) {
        if let Some(window) = &mut self.rules.time {
            window.turn(now);
        }
        let state = match &self.phase {
            Phase::Closed { ramp } => {
                let step = ramp.as_ref().zip(self.config.ramp).and_then(|(ramp, rule)| ramp.step(now, &rule));
                match step.and_then(|step| Ratio::from_millionths(step.share as u32)) {
                    Some(admitted) => handle::State::Recovering { admitted },
                    None => handle::State::Closed,
                }
            }
            Phase::Open { until } => {
                handle::State::Open { remaining: Duration::from_nanos(until.saturating_sub(now)) }
            }
            Phase::HalfOpen { .. } => handle::State::HalfOpen,
            Phase::ForcedOpen => handle::State::ForcedOpen,
            Phase::ForcedClosed => handle::State::ForcedClosed,
        };
        let tally =
            if matches!(self.phase, Phase::Closed { .. }) { self.rules.tally() } else { Tally::default() };
        let successes = (!self.uncounted).then_some(self.successes);
        (state, tally, Totals { successes, ..self.totals })
    }
}
