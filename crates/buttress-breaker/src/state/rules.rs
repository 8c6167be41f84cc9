//! The rules of a closed breaker: which of them a call breaks.

use super::window::{CallWindow, FailureTimes, Tally, TimeWindow};
use super::{Nanos, Now, nanos};
use crate::Config;
use crate::config::Window;
use crate::event::Cause;
use buttress_core::Ratio;

/// The windows and streaks of a closed breaker.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) streak: u64,
    calls: Option<CallWindow>,
    pub(super) time: Option<TimeWindow>,
    within: Option<FailureTimes>,
}

impl Rules {
    pub(super) fn new(config: &Config, now: Nanos) -> Self {
        let mut rules = Self { streak: 0, calls: None, time: None, within: None };
        rules.renew_window(config, now);
        rules.renew_within(config);
        rules
    }

    pub(super) fn renew_window(&mut self, config: &Config, now: Nanos) {
        (self.calls, self.time) = match config.window {
            _ if !config.has_window() => (None, None),
            Window::Calls(size) => (Some(CallWindow::new(size.get())), None),
            Window::Time(period) => (None, Some(TimeWindow::new(nanos(period), now))),
        };
    }

    pub(super) fn renew_within(&mut self, config: &Config) {
        self.within =
            config.failures_within.map(|rule| FailureTimes::new(rule.failures.get(), nanos(rule.within)));
    }

    pub(super) fn clear(&mut self, now: Nanos) {
        self.streak = 0;
        if let Some(window) = &mut self.calls {
            window.clear();
        }
        if let Some(window) = &mut self.time {
            window.clear(now);
        }
        if let Some(times) = &mut self.within {
            times.clear();
        }
    }

    /// Successes that the lanes counted; all before the present tenth ends.
    pub(super) fn add_good(&mut self, calls: u64) {
        if let Some(window) = &mut self.calls {
            window.add_good(calls);
        }
        if let Some(window) = &mut self.time {
            window.add_good(calls);
        }
    }

    /// Adds one call, and says which rule it broke.
    pub(super) fn add(
        &mut self,
        config: &Config,
        failed: bool,
        slow: bool,
        now: &mut Now<'_>,
    ) -> Option<Cause> {
        self.streak = if failed { self.streak.saturating_add(1) } else { 0 };
        if let Some(window) = &mut self.calls {
            window.add(failed, slow);
        }
        if let Some(window) = &mut self.time {
            window.turn(now.get());
            window.add(failed, slow);
        }
        let within = match &mut self.within {
            Some(times) if failed => times.add(now.get()),
            _ => false,
        };
        if !failed && !slow {
            return None; // a success never opens a breaker
        }
        let tally = self.tally();
        let enough = tally.calls >= config.min_calls_in_window();
        let reached = |ratio: Ratio, part| enough && ratio.reached_by(part, tally.calls);
        let streak = self.streak;
        if failed && config.consecutive_failures.is_some_and(|limit| streak >= limit.get().into()) {
            Some(Cause::ConsecutiveFailures { failures: streak })
        } else if failed && config.failure_ratio.is_some_and(|ratio| reached(ratio, tally.failures)) {
            Some(Cause::FailureRatio { failures: tally.failures, calls: tally.calls })
        } else if within {
            config.failures_within.map(|rule| Cause::FailuresWithin { failures: rule.failures.get().into() })
        } else if slow && config.slow_calls.is_some_and(|rule| reached(rule.ratio, tally.slow)) {
            Some(Cause::SlowCalls { slow: tally.slow, calls: tally.calls })
        } else {
            None
        }
    }

    pub(super) fn tally(&mut self) -> Tally {
        match (&mut self.calls, &self.time) {
            (Some(window), _) => window.tally(),
            (None, Some(window)) => window.tally(),
            (None, None) => Tally::default(),
        }
    }
}

impl Config {
    pub(super) fn has_window(&self) -> bool {
        self.failure_ratio.is_some() || self.slow_calls.is_some()
    }

    fn min_calls_in_window(&self) -> u64 {
        match self.window {
            Window::Calls(size) => self.min_calls.get().min(size.get().into()).into(),
            Window::Time(_) => self.min_calls.get().into(),
        }
    }
}
