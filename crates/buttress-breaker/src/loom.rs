//! The atomics, under loom: every interleaving of two threads, up to the number of preemptions that is set.
//!
//! `cargo xtask loom` runs these.

use crate::core::{Core, Reserved};
use crate::event::Event;
use crate::state::{End, Ticket};
use crate::word::Word;
use crate::{Config, SlowCalls, State, Window};
use buttress_core::{Outcome, Ratio};
use loom::sync::Arc;
use loom::thread;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

const FAILURE: End = End::Judged(Outcome::Failure);
const SUCCESS: End = End::Judged(Outcome::Success);
const SECOND: Duration = Duration::from_secs(1);
const LANES: usize = 2;

fn counting(calls: u16, failures_of_it: u32) -> Config {
    Config::default()
        .consecutive_failures(None)
        .failure_ratio(Ratio::percent(failures_of_it))
        .window(Window::Calls(NonZeroU16::new(calls).unwrap()))
        .min_calls(NonZeroU32::MIN)
        .open_for(SECOND)
        .open_jitter(Ratio::ZERO)
}

fn streak(failures: u32) -> Config {
    counting(1, 100).failure_ratio(None).consecutive_failures(NonZeroU32::new(failures))
}

/// A breaker, and the one moment at which everything in a model happens.
#[derive(Clone)]
struct Model {
    core: Arc<Core>,
    at: Instant,
}

impl Model {
    fn new(config: Config) -> Self {
        let at = crate::now();
        Self { core: Arc::new(Core::new("loom".into(), config, LANES, 1, at)), at }
    }

    fn later(&self, time: Duration) -> Self {
        Self { core: Arc::clone(&self.core), at: self.at + time }
    }

    fn admit(&self) -> Option<Ticket> {
        let at = self.at;
        let rare = || self.core.admit_rare(0, || at).ok().map(|(ticket, _)| ticket);
        self.core.admit(|| at).or_else(rare)
    }

    fn end(&self, lane: usize, ticket: Ticket, end: End) -> Option<Event> {
        let at = self.at;
        self.core.end(lane, ticket, end, &|| at)
    }

    fn state(&self) -> State {
        self.core.view(self.at).state
    }
}

fn spawn<T: 'static>(model: &Model, run: impl FnOnce(Model) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || run(model))
}

#[test]
fn loom_no_success_is_lost_while_a_failure_collects() {
    loom::model(|| {
        let model = Model::new(counting(100, 100));
        let tickets = [model.admit().unwrap(), model.admit().unwrap()];
        let failed = model.admit().unwrap();
        let thread = spawn(&model, move |model| {
            for ticket in tickets {
                assert_eq!(model.end(0, ticket, SUCCESS), None);
            }
        });
        let opened = model.end(1, failed, FAILURE).is_some();
        thread.join().unwrap();
        let stats = model.core.view(model.at);
        assert_eq!(stats.totals.successes.unwrap() + stats.totals.late, 2);
        assert_eq!(stats.totals.failures, 1);
        if opened {
            // It was the first to end. Whatever ended after it is late, and counted for nothing else.
            assert_eq!(stats.window.calls, 0);
        } else {
            assert_eq!((stats.window.calls, stats.window.failures), (3, 1));
        }
    });
}

#[test]
fn loom_a_late_success_never_counts_for_the_next_epoch() {
    loom::model(|| {
        let model = Model::new(counting(100, 50));
        let late = model.admit().unwrap();
        let failed = model.admit().unwrap();
        let thread = spawn(&model, move |model| model.end(0, late, SUCCESS));
        // Opens, or does not if the success came first; either way it is closed and empty after this.
        model.end(1, failed, FAILURE);
        model.core.reset(model.at);
        thread.join().unwrap();
        let stats = model.core.view(model.at);
        assert_eq!(stats.window.calls, 0, "{stats:?}");
        assert_eq!(stats.totals.successes.unwrap() + stats.totals.late, 1);
    });
}

#[test]
fn loom_a_trip_has_one_author_and_one_event() {
    loom::model(|| {
        let model = Model::new(streak(2));
        let (one, two) = (model.admit().unwrap(), model.admit().unwrap());
        let thread = spawn(&model, move |model| model.end(0, one, FAILURE));
        let mine = model.end(1, two, FAILURE);
        let other = thread.join().unwrap();
        assert!(mine.is_some() != other.is_some(), "{mine:?} and {other:?}");
        assert_eq!(model.core.view(model.at).totals.opened, 1);
    });
}

#[test]
fn loom_a_success_ends_a_streak_wherever_it_lands() {
    loom::model(|| {
        let model = Model::new(streak(2));
        let (failed, good) = (model.admit().unwrap(), model.admit().unwrap());
        let thread = spawn(&model, move |model| model.end(0, failed, FAILURE));
        model.end(1, good, SUCCESS);
        thread.join().unwrap();
        // The success came before the failure, between, or after it: a streak of one or none.
        let next = model.admit().unwrap();
        model.end(1, next, SUCCESS);
        let last = model.admit().unwrap();
        assert_eq!(model.end(0, last, FAILURE), None, "one failure is no streak of two");
        assert_eq!(model.state(), State::Closed);
    });
}

#[test]
fn loom_no_more_probes_than_allowed() {
    loom::model(|| {
        let model = Model::new(streak(1));
        let failed = model.admit().unwrap();
        model.end(0, failed, FAILURE);
        let later = model.later(SECOND);
        let thread = spawn(&later, |model| model.admit().is_some());
        let mine = later.admit().is_some();
        let other = thread.join().unwrap();
        assert!(mine != other, "one probe, not {} ", u8::from(mine) + u8::from(other));
        assert_eq!(later.state(), State::HalfOpen);
    });
}

#[test]
fn loom_a_lease_that_ends_gives_its_place_to_one_and_one_is_heard() {
    loom::model(|| {
        let model = Model::new(streak(1).probe_lease(SECOND));
        let failed = model.admit().unwrap();
        model.end(0, failed, FAILURE);
        let hung = model.later(SECOND).admit().unwrap();
        let later = model.later(2 * SECOND);
        let thread = spawn(&later, move |model| model.end(0, hung, SUCCESS));
        let second = later.admit().expect("the first lease is over, or the breaker closed");
        let (first, second) = (thread.join().unwrap(), later.end(1, second, SUCCESS));
        assert!((first == Some(Event::Closed)) != (second == Some(Event::Closed)), "{first:?}, {second:?}");
        assert_eq!(later.state(), State::Closed);
    });
}

#[test]
fn loom_a_hold_wins_over_a_trip_and_a_result() {
    loom::model(|| {
        let model = Model::new(streak(1));
        let failed = model.admit().unwrap();
        let thread = spawn(&model, move |model| model.end(0, failed, FAILURE));
        model.core.force_closed();
        thread.join().unwrap();
        assert_eq!(model.state(), State::ForcedClosed);
        assert!(model.admit().is_some());
    });
}

#[test]
fn loom_reconfigure_loses_no_call_in_flight() {
    loom::model(|| {
        let model = Model::new(counting(100, 100));
        let good = model.admit().unwrap();
        let thread = spawn(&model, move |model| model.end(0, good, SUCCESS));
        model.core.reconfigure(counting(100, 50).consecutive_failures(NonZeroU32::new(9)), model.at);
        thread.join().unwrap();
        assert_eq!(model.core.view(model.at).window.calls, 1, "the same window goes on");
    });
}

#[test]
fn loom_a_call_that_sees_a_rule_sees_its_threshold() {
    loom::model(|| {
        let model = Model::new(counting(100, 100));
        let thread = spawn(&model, |model| {
            let slow = SlowCalls { over: Duration::ZERO, ratio: Ratio::FULL };
            model.core.reconfigure(counting(100, 100).slow_calls(slow), model.at);
        });
        let ticket = model.core.admit(|| model.at).unwrap();
        if ticket.word.has(Word::SLOW) {
            let fast = model.core.succeed(0, ticket, || model.at);
            assert!(fast.is_err(), "every call is slow, but the threshold of the rule was not seen");
        }
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_call_that_sees_it_open_sees_until_when() {
    loom::model(|| {
        let model = Model::new(streak(1));
        let failed = model.admit().unwrap();
        let thread = spawn(&model, move |model| model.end(0, failed, FAILURE));
        let refused = model.core.would_refuse(|| model.at);
        if let Some(refusal) = refused {
            assert_eq!(refusal.after, Some(SECOND));
        } else {
            // Closed when it looked: never open with its time over.
            assert!(model.core.admit_rare(0, || model.at).map_or(true, |(_, event)| event.is_none()));
        }
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_waiter_is_woken_by_the_probe_that_ends() {
    loom::model(|| {
        let model = Model::new(streak(1));
        let failed = model.admit().unwrap();
        model.end(0, failed, FAILURE);
        let later = model.later(SECOND);
        let probe = later.admit().unwrap();
        let woken = std::sync::Arc::new(Woken::default());
        let thread = spawn(&later, move |model| model.end(0, probe, SUCCESS));
        let mut id = None;
        let waker = std::task::Waker::from(std::sync::Arc::clone(&woken));
        let (reserved, _) = later.core.reserve_or_wait(later.at, &mut id, &waker);
        thread.join().unwrap();
        let woken = woken.0.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!matches!(reserved, Reserved::Wait(_)) || woken, "neither let in nor woken");
    });
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}
