//! Every breaker keeps the tower contract.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_breaker::{BreakerLayer, Breakers, Config, KeyedBreakerLayer, Ramp, SlowCalls};
use buttress_core::Ratio;
use buttress_testkit::laws;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// Every rule on, none of which the laws' few failures may break.
fn everything() -> Config {
    Config::default()
        .consecutive_failures(NonZeroU32::new(1000))
        .slow_calls(SlowCalls { over: Duration::from_secs(1), ratio: Ratio::FULL })
        .failures_within(buttress_breaker::FailuresWithin {
            failures: NonZeroU16::new(1000).unwrap(),
            within: Duration::from_secs(1),
        })
        .ramp(Ramp { from: Ratio::percent(10), over: Duration::from_secs(1) })
}

#[test]
fn the_breaker_keeps_the_laws() {
    laws::in_place!(BreakerLayer::new("laws", Config::default()));
    laws::in_place!(BreakerLayer::new("laws", everything()));
    laws::in_place!(BreakerLayer::new("laws", everything()).observe(|_| {}));
}

#[test]
fn the_gating_breaker_keeps_the_laws() {
    laws::in_place!(BreakerLayer::new("laws", Config::default()).gate());
}

#[test]
fn a_breaker_that_was_held_closed_keeps_the_laws() {
    laws::in_place!({
        let layer = BreakerLayer::new("laws", Config::default()).gate();
        layer.handle().force_closed();
        layer
    });
}

#[test]
fn the_keyed_breaker_keeps_the_laws() {
    laws::in_place!({
        let breakers = Breakers::new("laws", Config::default());
        KeyedBreakerLayer::new(&breakers, |request: &u64| Some(*request % 2))
    });
}
