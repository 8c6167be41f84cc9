//! Letting traffic come back step by step, by error diffusion.

use super::Nanos;
use crate::config;

/// A ramp that is running.
#[derive(Debug)]
pub(crate) struct Ramp {
    since: Nanos,
    /// What calls have been promised and not yet given, in millionths of a call.
    credit: u64,
}

/// What a ramp allows at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// In millionths.
    pub(crate) share: u64,
    /// When the next step begins.
    pub(crate) next: Nanos,
}

const STEPS: u64 = 10;
const ONE: u64 = 1_000_000;

impl Ramp {
    pub(crate) fn new(since: Nanos) -> Self {
        // A millionth short of a whole call, so that the first call passes, unless the share is nothing.
        Self { since, credit: ONE - 1 }
    }

    /// The step of `now`, or `None` once everything is admitted.
    pub(crate) fn step(&self, now: Nanos, ramp: &config::Ramp) -> Option<Step> {
        let over = super::nanos(ramp.over);
        let passed = now.saturating_sub(self.since);
        if passed >= over {
            return None;
        }
        let step = (u128::from(passed) * u128::from(STEPS) / u128::from(over)) as u64;
        let from = u64::from(ramp.from.millionths());
        let share = from + (ONE - from) * step / STEPS;
        // Rounded up, so that at `next` the step has begun.
        let into = (u128::from(step + 1) * u128::from(over)).div_ceil(STEPS.into()) as u64;
        Some(Step { share, next: self.since.saturating_add(into) })
    }

    /// Whether the next call would pass.
    pub(crate) fn would_admit(&self, step: Step) -> bool {
        self.credit + step.share >= ONE
    }

    /// Counts one call, and says whether it passes.
    pub(crate) fn admit(&mut self, step: Step) -> bool {
        self.refuse(step);
        let passes = self.credit >= ONE;
        if passes {
            self.credit -= ONE;
        }
        passes
    }

    /// Counts one call that was refused before.
    pub(crate) fn refuse(&mut self, step: Step) {
        self.credit = self.credit.saturating_add(step.share);
    }
}
