//! Circuit breakers, each at its best settings for the rule that the row names: no listeners, no metrics,
//! no tracing, errors no larger than needed.

use buttress_benches::{Contender, Failed, Fails, Inner, breaker, reference};
use failsafe::futures::CircuitBreaker as _;
use recloser::{AsyncRecloser, Recloser};
use std::time::Duration;
use tower::{Layer, Service, service_fn};
use tower_resilience_circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType,
};

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(breaker::contenders());
    contenders.extend(tower_resilience());
    contenders.extend(reclosers());
    contenders.extend(failsafes());
    contenders
}

/// Long enough that an open breaker stays open while it is measured.
const OPEN_FOR: Duration = Duration::from_secs(3600);

fn inner(fails: Fails) -> Inner<Failed> {
    Inner::new(fails)
}

fn tower_resilience() -> [Contender; 5] {
    type Builder = CircuitBreakerConfigBuilder<DefaultClassifier>;
    let row = |name, fails, rule: fn(Builder) -> Builder| {
        Contender::new(name, move || {
            let builder = rule(CircuitBreakerLayer::builder().wait_duration_in_open(OPEN_FOR));
            builder.build().expect("a valid configuration").layer(inner(fails))
        })
    };
    let count: fn(Builder) -> Builder = |it| it.sliding_window_size(100).failure_rate_threshold(0.5);
    [
        row("tower-resilience: consecutive", Fails::Never, |it| it.consecutive_failures(5))
            .against(breaker::CONSECUTIVE),
        row("tower-resilience: count window 100", Fails::Never, count).against(breaker::COUNT),
        // It keeps every call of the window and looks at all of them for each: these are the 10,000 of the
        // warm-up, as at 1000 calls a second, and no more than 10 % on top.
        row("tower-resilience: time window 10 s", Fails::Never, |it| {
            it.sliding_window_type(SlidingWindowType::TimeBased)
                .sliding_window_duration(Duration::from_secs(10))
                .minimum_number_of_calls(20)
        })
        .against(breaker::DEFAULT)
        .burst(20),
        row("tower-resilience: 25 % failures", Fails::Quarter, count).against(breaker::COUNT_FAILING),
        row("tower-resilience: open, refusing", Fails::Always, count).against(breaker::OPEN),
    ]
}

fn reclosers() -> [Contender; 3] {
    let row = |name, fails| {
        Contender::new(name, move || {
            let breaker = Recloser::custom().closed_len(100).error_rate(0.5).open_wait(OPEN_FOR).build();
            let (breaker, mut inner) = (AsyncRecloser::from(breaker), inner(fails));
            service_fn(move |request| breaker.call(inner.call(request)))
        })
    };
    [
        row("recloser: count window 100", Fails::Never).against(breaker::COUNT),
        row("recloser: 25 % failures", Fails::Quarter).against(breaker::COUNT_FAILING),
        row("recloser: open, refusing", Fails::Always).against(breaker::OPEN),
    ]
}

fn failsafes() -> [Contender; 2] {
    use failsafe::{Config, backoff, failure_policy};
    let consecutive = || failure_policy::consecutive_failures(5, backoff::constant(OPEN_FOR));
    [
        Contender::new("failsafe: consecutive", move || {
            let breaker = Config::new().failure_policy(consecutive()).build();
            let mut inner = inner(Fails::Never);
            service_fn(move |request| breaker.call(inner.call(request)))
        })
        .against(breaker::CONSECUTIVE),
        // A moving average over 30 s, or 5 in a row.
        Contender::new("failsafe: default rules", || {
            let (breaker, mut inner) = (Config::new().build(), inner(Fails::Never));
            service_fn(move |request| breaker.call(inner.call(request)))
        })
        .against(breaker::DEFAULT),
    ]
}
