//! The state that all services of one layer share: one word and the lanes, which every call touches, and the
//! state machine behind a mutex, which few do.
//!
//! | | asked by | locks |
//! | --- | --- | --- |
//! | [`Core::admits_all`] | `poll_ready` | never |
//! | [`Core::would_refuse`] | `poll_ready`, rejecting | in half-open and on a ramp |
//! | [`Core::wait_if_refused`], [`Core::reserve_or_wait`] | `poll_ready`, gating | always |
//! | [`Core::admit`] | `call` of a closed breaker | never |
//! | [`Core::admit_rare`] | `call` of any other | unless it is open or held |
//! | [`Core::begin`] | `call` with a reservation | always |
//! | [`Core::succeed`] | the end of a call that succeeded | never |
//! | [`Core::finish`] | every other end | always |

use crate::Config;
use crate::event::Event;
use crate::handle::{Stats, WindowStats};
use crate::primitive::{AtomicU64, Mutex, Ordering};
use crate::state::{End, Nanos, Now, Refusal, State, Ticket};
use crate::waiters::{After, Waiters};
use crate::word::{Kind, Word};
use buttress_core::{Name, Reason};
use std::fmt;
use std::task::Waker;
use std::time::{Duration, Instant};

pub(crate) struct Core {
    hot: Hot,
    lanes: Box<[Counter]>,
    name: Name,
    /// The beginning of time.
    base: Instant,
    cold: Mutex<Cold>,
}

/// What every call reads and only transitions write; apart from everything that changes more often.
#[repr(align(128))]
struct Hot {
    /// The shared [`Word`]. Stored with Release after whatever belongs to its epoch: the swept lanes, `until`,
    /// `tick_end` and `slow_over`; loaded with Acquire at admission, and Relaxed where it is only compared.
    word: AtomicU64,
    /// End of the open time. Relaxed, after an Acquire load of a word that says open.
    until: AtomicU64,
    /// End of the window's present tenth. Relaxed: a hint, which is checked again under the mutex.
    tick_end: AtomicU64,
    /// From when a call is slow. Relaxed, as `tick_end`.
    slow_over: AtomicU64,
}

/// What one lane counts, on a cache line of its own.
#[repr(align(128))]
struct Counter {
    /// Successes since they were last collected: the low 24 bits of the epoch they belong to, then the count.
    /// Relaxed: it publishes nothing but itself, and both sides use read-modify-writes, so none is lost.
    successes: AtomicU64,
    /// Calls that were refused. Relaxed, a count.
    refused: AtomicU64,
}

const COUNT_BITS: u32 = 40;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// A closed epoch may last for months: a lane that has counted this far is collected.
const FOLD_MASK: u64 = (1 << 32) - 1;

impl Counter {
    fn tag(word: Word) -> u64 {
        word.epoch() << COUNT_BITS
    }

    fn new(word: Word) -> Self {
        Self { successes: AtomicU64::new(Self::tag(word)), refused: AtomicU64::new(0) }
    }

    /// Counts a success of the epoch of `word`; false if that is over, or the lane wants collecting.
    #[inline]
    fn bump(&self, word: Word) -> bool {
        let mut now = self.successes.load(Ordering::Relaxed);
        loop {
            let next = now + 1;
            if (now ^ Self::tag(word)) >> COUNT_BITS != 0 || next & FOLD_MASK == 0 {
                return false;
            }
            match self.successes.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Takes what was counted, and counts for the epoch of `word` from now on. A swap even where a store would
    /// do: it is an RMW against the other side's RMW.
    fn take(&self, word: Word) -> u64 {
        self.successes.swap(Self::tag(word), Ordering::Relaxed) & COUNT_MASK
    }
}

struct Cold {
    state: State,
    waiters: Waiters,
}

/// What a gate lets its service have.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// The breaker is closed: a call needs no reservation.
    Unneeded,
    /// The place of a probe.
    Place(Ticket),
    /// Nothing; the waker was left, and time alone may change that at the moment that is named.
    Wait(Option<Instant>),
}

impl Core {
    /// `lanes` counters; `now` is any moment at which the breaker exists.
    pub(crate) fn new(name: Name, config: Config, lanes: usize, seed: u64, now: Instant) -> Self {
        // A layer may be made before the paused clock that its calls will see.
        let base = now.checked_sub(Duration::from_secs(3600)).unwrap_or(now);
        let state = State::new(config, seed, crate::state::nanos(now.saturating_duration_since(base)));
        let word = state.word();
        Self {
            hot: Hot {
                word: AtomicU64::new(word.0),
                until: AtomicU64::new(0),
                tick_end: AtomicU64::new(state.tick_end()),
                slow_over: AtomicU64::new(state.slow_over()),
            },
            lanes: (0..lanes).map(|_| Counter::new(word)).collect(),
            name,
            base,
            cold: Mutex::new(Cold { state, waiters: Waiters::default() }),
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    #[inline]
    fn nanos(&self, now: Instant) -> Nanos {
        // 584 years fit.
        now.saturating_duration_since(self.base).as_nanos() as u64
    }

    /// The moment of `nanos`, if it is near enough to be one.
    fn instant(&self, nanos: Nanos) -> Option<Instant> {
        self.base.checked_add(Duration::from_nanos(nanos))
    }

    /// Runs one step of the state machine: takes in what the lanes have counted before it, publishes what has
    /// changed after it, and wakes those who wait once the lock is released.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let (value, after) = {
            let mut cold = self.cold.lock();
            self.step_locked(&mut cold, step)
        };
        after.run();
        value
    }

    fn step_locked<T>(&self, cold: &mut Cold, step: impl FnOnce(&mut State) -> T) -> (T, After) {
        let state = &mut cold.state;
        let before = state.word();
        if before.has(Word::COUNT) {
            state.absorb(self.collect(before));
        }
        let (until, tick_end, slow_over) = (state.until(), state.tick_end(), state.slow_over());
        let value = step(state);
        let word = state.word();
        if word.epoch() != before.epoch() {
            // Whoever still counts for the old epoch finds another tag, and comes to the mutex to learn why.
            let late = self.lanes.iter().map(|lane| lane.take(word)).sum();
            state.absorb_late(late);
        }
        store_if_changed(&self.hot.until, until, state.until());
        store_if_changed(&self.hot.tick_end, tick_end, state.tick_end());
        store_if_changed(&self.hot.slow_over, slow_over, state.slow_over());
        if word != before {
            self.hot.word.store(word.0, Ordering::Release);
        }
        let stirred = state.take_stirred();
        let after = if stirred { cold.waiters.leave_all() } else { After::default() };
        (value, after)
    }

    fn collect(&self, word: Word) -> u64 {
        let counted = |lane: &&Counter| lane.successes.load(Ordering::Relaxed) & COUNT_MASK != 0;
        self.lanes.iter().filter(counted).map(|lane| lane.take(word)).sum()
    }

    fn word(&self) -> Word {
        Word(self.hot.word.load(Ordering::Acquire))
    }

    /// Whether every call is admitted now; by the time of the call that may be out of date.
    #[inline]
    pub(crate) fn admits_all(&self) -> bool {
        self.word().admits_all()
    }

    /// Admits a call of a breaker that is closed, or leaves it to [`Core::admit_rare`].
    #[inline]
    pub(crate) fn admit(&self, clock: impl FnOnce() -> Instant) -> Option<Ticket> {
        let word = self.word();
        if !word.admits_all() {
            return None;
        }
        let start = if word.has(Word::START) { self.nanos(clock()) } else { 0 };
        Some(Ticket { word, start })
    }

    /// Admits a call or says why not, in any state. A refusal is counted.
    pub(crate) fn admit_rare(
        &self,
        lane: usize,
        mut clock: impl FnMut() -> Instant,
    ) -> Result<(Ticket, Option<Event>), Refusal> {
        let word = self.word();
        let refused = match word.kind() {
            Kind::ForcedClosed => return Ok((Ticket { word, start: 0 }, None)),
            Kind::ForcedOpen => Some(Refusal::NO_TIME),
            Kind::Open => self.still_open(&mut clock),
            Kind::Closed | Kind::HalfOpen => None,
        };
        let admitted = match refused {
            Some(refusal) => Err(refusal),
            None => self.step(|state| {
                let (admitted, event) = state.admit(&mut Now::new(&mut || self.nanos(clock())));
                admitted.map(|ticket| (ticket, event))
            }),
        };
        if admitted.is_err() {
            self.count_refusal(lane);
        }
        admitted
    }

    /// The refusal of an open breaker whose time is not over.
    #[inline]
    fn still_open(&self, mut clock: impl FnMut() -> Instant) -> Option<Refusal> {
        let (now, until) = (self.nanos(clock()), self.hot.until.load(Ordering::Relaxed));
        (now < until).then(|| Refusal::open(until, now))
    }

    #[inline]
    fn count_refusal(&self, lane: usize) {
        self.lanes[lane].refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the next call would be refused at this moment, if it would; changes nothing.
    #[inline]
    pub(crate) fn would_refuse(&self, mut clock: impl FnMut() -> Instant) -> Option<Refusal> {
        match self.word().kind() {
            Kind::ForcedOpen => Some(Refusal::NO_TIME),
            Kind::ForcedClosed => None,
            Kind::Open => self.still_open(clock),
            Kind::Closed | Kind::HalfOpen => self.would_refuse_locked(clock()),
        }
    }

    #[inline(never)]
    fn would_refuse_locked(&self, now: Instant) -> Option<Refusal> {
        let now = self.nanos(now);
        self.cold.lock().state.would_refuse(now)
    }

    /// A call is refused, by `refusal`, on the word of [`Core::would_refuse`].
    #[inline]
    pub(crate) fn refused(&self, lane: usize, refusal: Refusal, clock: impl FnOnce() -> Instant) {
        self.count_refusal(lane);
        if refusal.reason == Reason::Overloaded {
            self.refused_by_ramp(clock());
        }
    }

    #[cold]
    fn refused_by_ramp(&self, now: Instant) {
        let now = self.nanos(now);
        self.step(|state| state.refused(now));
    }

    /// Takes in a success of an unchanged, closed breaker without a lock, or leaves it to [`Core::finish`], with
    /// the time if it was read.
    #[inline]
    pub(crate) fn succeed(
        &self,
        lane: usize,
        ticket: Ticket,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(), Option<Instant>> {
        let word = ticket.word;
        // Relaxed: equal words mean that nothing changed, and the lane's tag is checked besides.
        if self.hot.word.load(Ordering::Relaxed) != word.0 || word.has(Word::DIRTY) {
            return Err(None);
        }
        let mut read = None;
        if word.has(Word::TIME | Word::SLOW) {
            let instant = clock();
            read = Some(instant);
            let now = self.nanos(instant);
            if word.has(Word::TIME) && now >= self.hot.tick_end.load(Ordering::Relaxed) {
                return Err(read);
            }
            let took = now.saturating_sub(ticket.start);
            if word.has(Word::SLOW) && took >= self.hot.slow_over.load(Ordering::Relaxed) {
                return Err(read);
            }
        }
        if word.has(Word::COUNT) && !self.lanes[lane].bump(word) {
            return Err(read);
        }
        Ok(())
    }

    /// Takes in how a call ended, in any state.
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        end: End,
        mut clock: impl FnMut() -> Instant,
    ) -> Option<Event> {
        self.step(|state| state.finish(ticket, end, &mut Now::new(&mut || self.nanos(clock()))))
    }

    /// Both ways to end a call, for those who are not in a hurry.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn end(
        &self,
        lane: usize,
        ticket: Ticket,
        end: End,
        clock: &dyn Fn() -> Instant,
    ) -> Option<Event> {
        if let End::Judged(buttress_core::Outcome::Success) = end {
            if self.succeed(lane, ticket, clock).is_ok() {
                return None;
            }
        }
        self.finish(ticket, end, clock)
    }

    /// Takes the place of a probe if the breaker is not closed, or leaves the waker.
    pub(crate) fn reserve_or_wait(
        &self,
        now: Instant,
        id: &mut Option<u64>,
        waker: &Waker,
    ) -> (Reserved, Option<Event>) {
        let nanos = self.nanos(now);
        let (reserved, event, old, after) = {
            let mut cold = self.cold.lock();
            let (admitted, after) = self.step_locked(&mut cold, |state| {
                let admit = |state: &mut State| state.admit(&mut Now::new(&mut || nanos));
                (!state.admits_unreserved()).then(|| admit(state))
            });
            match admitted {
                Some((Err(_), event)) => {
                    let old = cold.waiters.put(id, waker);
                    let recheck = cold.state.recheck_at(nanos).and_then(|at| self.instant(at));
                    (Reserved::Wait(recheck), event, old, after)
                }
                Some((Ok(ticket), event)) => {
                    let old = id.take().and_then(|id| cold.waiters.remove(id));
                    (Reserved::Place(ticket), event, old, after)
                }
                None => {
                    let old = id.take().and_then(|id| cold.waiters.remove(id));
                    (Reserved::Unneeded, None, old, after)
                }
            }
        };
        drop(old);
        after.run();
        (reserved, event)
    }

    /// Leaves the waker if the next call would have to wait, and says when time alone may change that.
    pub(crate) fn wait_if_refused(
        &self,
        now: Instant,
        id: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Option<Instant>> {
        let nanos = self.nanos(now);
        let (recheck, old) = {
            let mut cold = self.cold.lock();
            if !cold.state.waits(nanos) {
                return None;
            }
            let old = cold.waiters.put(id, waker);
            (cold.state.recheck_at(nanos), old)
        };
        drop(old);
        Some(recheck.and_then(|at| self.instant(at)))
    }

    /// Forgets the waker of somebody who no longer waits.
    pub(crate) fn stop_waiting(&self, id: u64) {
        let waker = self.cold.lock().waiters.remove(id);
        drop(waker);
    }

    /// Whether the place of a probe that was reserved is still there.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        self.cold.lock().state.holds(ticket)
    }

    /// Turns the place of a probe into a call that begins now, if it is still there.
    pub(crate) fn begin(&self, ticket: Ticket, now: Instant) -> Option<Ticket> {
        let now = self.nanos(now);
        self.step(|state| state.begin(ticket, now))
    }

    /// Takes back the place of a probe that was not used.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        self.step(|state| state.give_back(ticket));
    }

    pub(crate) fn force_open(&self) -> Option<Event> {
        self.step(State::force_open)
    }

    pub(crate) fn force_closed(&self) -> Option<Event> {
        self.step(State::force_closed)
    }

    pub(crate) fn auto(&self, now: Instant) -> Option<Event> {
        self.step(|state| state.auto(self.nanos(now)))
    }

    pub(crate) fn reset(&self, now: Instant) -> Event {
        self.step(|state| state.reset(self.nanos(now)))
    }

    pub(crate) fn reconfigure(&self, config: Config, now: Instant) {
        self.step(|state| state.reconfigure(config, self.nanos(now)));
    }

    /// When to ask again whether it may be forgotten; `None` if it may be now. What is held has no end: it is
    /// asked again after a day.
    pub(crate) fn pinned_until(&self, now: Instant) -> Option<Instant> {
        let until = self.cold.lock().state.pinned_until(self.nanos(now))?;
        let day = now + Duration::from_secs(24 * 60 * 60);
        Some(self.instant(until).map_or(day, |until| until.min(day)))
    }

    /// Everything to see of it but the calls in flight, which it does not know.
    pub(crate) fn view(&self, now: Instant) -> Stats {
        let now = self.nanos(now);
        let (state, tally, mut totals) = self.step(|state| state.view(now));
        totals.refused = self.lanes.iter().map(|lane| lane.refused.load(Ordering::Relaxed)).sum();
        let window = WindowStats { calls: tally.calls, failures: tally.failures, slow: tally.slow };
        Stats { state, totals, in_flight: 0, window }
    }

    pub(crate) fn config(&self) -> Config {
        self.cold.lock().state.config().clone()
    }

    /// The time that the state machine sees at `now`.
    #[cfg(any(all(test, not(buttress_loom)), fuzzing))]
    pub(crate) fn since_base(&self, now: Instant) -> Nanos {
        self.nanos(now)
    }
}

fn store_if_changed(atomic: &AtomicU64, old: u64, new: u64) {
    if old != new {
        atomic.store(new, Ordering::Relaxed);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).field("word", &self.word()).finish_non_exhaustive()
    }
}

/// What a service and its calls hold: one of the lanes, and through it everything.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) core: std::sync::Arc<Core>,
    pub(crate) lane: usize,
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use buttress_core::Outcome;
    use std::num::NonZeroU32;

    fn core(config: Config) -> (Core, Instant) {
        let now = crate::now();
        (Core::new("core".into(), config, 2, 1, now), now)
    }

    fn end(core: &Core, outcome: Outcome, now: Instant) {
        let ticket = core.admit(|| now).expect("closed");
        core.end(0, ticket, End::Judged(outcome), &|| now);
    }

    #[test]
    fn the_success_after_a_failure_clears_the_flag_that_slows_the_others() {
        let (core, now) = core(Config::default());
        end(&core, Outcome::Failure, now);
        assert!(core.word().has(Word::DIRTY));
        end(&core, Outcome::Success, now);
        assert!(!core.word().has(Word::DIRTY), "or every success would go through the mutex");
    }

    #[test]
    fn what_no_rule_needs_is_not_asked_of_a_call() {
        let (core, _) = core(Config::default().failure_ratio(None));
        let unread = || panic!("nobody needs the time");
        let ticket = core.admit(unread).expect("closed");
        assert!(core.succeed(0, ticket, unread).is_ok());
        core.reconfigure(Config::default(), core.base);
        assert!(core.admit(unread).expect("closed").word.has(Word::TIME | Word::COUNT));
    }

    #[test]
    fn a_lane_that_has_counted_far_is_collected() {
        let (core, now) = core(Config::default());
        let almost = Counter::tag(core.word()) | FOLD_MASK;
        core.lanes[0].successes.store(almost, Ordering::Relaxed);
        end(&core, Outcome::Success, now);
        assert_eq!(core.lanes[0].successes.load(Ordering::Relaxed), Counter::tag(core.word()));
        assert_eq!(core.view(now).totals.successes, Some(FOLD_MASK + 1));
    }

    #[test]
    fn no_probe_carries_the_shared_word() {
        let (core, now) = core(Config::default().consecutive_failures(NonZeroU32::new(1)));
        end(&core, Outcome::Failure, now);
        let later = now + Duration::from_secs(70);
        let (probe, _) = core.admit_rare(0, || later).expect("the open time is over");
        assert_ne!(probe.word, core.word());
        assert_eq!(core.finish(probe, End::Judged(Outcome::Success), || later), Some(Event::Closed));
    }

    #[test]
    fn a_clock_that_is_behind_changes_nothing() {
        // Threads read the time before they wait for the lock, so it may be older than the state.
        let (core, now) = core(Config::default());
        let later = now + Duration::from_secs(100);
        end(&core, Outcome::Failure, later);
        end(&core, Outcome::Failure, now);
        assert_eq!(core.view(now).window.failures, 2);
        assert_eq!(core.view(later).window.failures, 2);
    }

    #[test]
    fn what_is_hot_keeps_apart() {
        assert_eq!((align_of::<Hot>(), size_of::<Hot>(), size_of::<Counter>()), (128, 128, 128));
        assert!(size_of::<Core>() <= 1280, "{}", size_of::<Core>());
    }
}
