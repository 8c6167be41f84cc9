//! `buttress-breaker`.

use crate::{Contender, Failed, Fails, Inner};
use buttress_breaker::{
    Breaker, BreakerLayer, Breakers, Cancelled, Config, FailuresWithin, KeyedBreakerLayer, Ramp, SlowCalls,
    Window,
};
use buttress_core::{Error, Ratio};
use std::num::NonZero;
use std::time::Duration;
use tower::Layer;

/// Opens after five failures in a row; no window.
pub const CONSECUTIVE: &str = "buttress: consecutive";
/// A window of the last 100 calls; no streak.
pub const COUNT: &str = "buttress: count window 100";
/// [`COUNT`] with every fourth call failing.
pub const COUNT_FAILING: &str = "buttress: count, 25 % failures";
/// The rules that `Config::default()` gives: a streak, or a share of the last 10 s.
pub const DEFAULT: &str = "buttress: default rules";
/// Refuses, with the exact time left.
pub const OPEN: &str = "buttress: open, refusing";

const HOUR: Duration = Duration::from_secs(3600);

/// Our breakers.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender::new(CONSECUTIVE, || breaker(consecutive(), Fails::Never)),
        Contender::new(COUNT, || breaker(count(), Fails::Never)),
        Contender::new(DEFAULT, || breaker(Config::default(), Fails::Never)),
        Contender::new("buttress: slow calls, time", || breaker(slow(), Fails::Never)),
        Contender::new("buttress: everything on", || breaker(everything(), Fails::Never)),
        Contender::new("buttress: gate mode", || layer(Config::default()).gate().layer(inner(Fails::Never))),
        Contender::new(COUNT_FAILING, || breaker(count(), Fails::Quarter)),
        Contender::new("buttress: default, 25 % failures", || breaker(Config::default(), Fails::Quarter)),
        Contender::new("buttress: default, Error<E>", || telling(Config::default(), Fails::Never)),
        Contender::new(OPEN, || telling(Config::default().open_for(HOUR), Fails::Always)),
        Contender::new("buttress: forced open", || {
            let layer = layer(Config::default());
            layer.handle().force_open();
            layer.layer(Inner::<Error<Failed>>::new(Fails::Never))
        }),
        Contender::new("buttress: half-open probe", || breaker(probing(), Fails::Seldom)),
        Contender::new("buttress: keyed, 64 keys", || {
            let breakers = Breakers::new("bench", Config::default());
            KeyedBreakerLayer::new(&breakers, |request: &u64| Some(request % 64)).layer(inner(Fails::Never))
        }),
    ]
}

fn layer(config: Config) -> BreakerLayer {
    BreakerLayer::new("bench", config)
}

fn breaker(config: Config, fails: Fails) -> Breaker<Inner> {
    layer(config).layer(inner(fails))
}

/// With an error type that carries the whole refusal, 64 bytes, as `buttress::Error` does.
fn telling(config: Config, fails: Fails) -> Breaker<Inner<Error<Failed>>> {
    layer(config).layer(Inner::new(fails))
}

fn inner(fails: Fails) -> Inner {
    Inner::new(fails)
}

fn consecutive() -> Config {
    Config::default().failure_ratio(None)
}

fn count() -> Config {
    Config::default().consecutive_failures(None).window(Window::Calls(const { NonZero::new(100).unwrap() }))
}

fn slow() -> Config {
    Config::default().slow_calls(SlowCalls { over: Duration::from_secs(1), ratio: Ratio::percent(50) })
}

fn everything() -> Config {
    slow()
        .failures_within(FailuresWithin {
            failures: const { NonZero::new(50).unwrap() },
            within: Duration::from_secs(60),
        })
        .ramp(Ramp { from: Ratio::percent(10), over: Duration::from_secs(60) })
        .cancelled(Cancelled::FailureIfOlderThan(Duration::from_secs(1)))
}

/// Opens with the first of the failures that come every 8192 calls, is half-open with the next call, and
/// stays so: far more successes are asked for than there are until the next failure.
fn probing() -> Config {
    Config::default()
        .consecutive_failures(NonZero::<u32>::MIN)
        .open_for(Duration::ZERO)
        .probes(const { NonZero::new(4).unwrap() })
        .probe_results(NonZero::<u16>::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_breaker::State;

    #[test]
    fn the_prober_is_half_open_when_it_is_measured() {
        let layer = layer(probing());
        let handle = layer.handle();
        let contender = Contender::new("prober", move || layer.layer(inner(Fails::Seldom)));
        let mut runner = contender.warm();
        assert_eq!(handle.state(), State::HalfOpen);
        runner.run(750_000);
        assert_eq!(handle.state(), State::HalfOpen);
    }
}
