//! How long a value is fresh, and what it is after that. Pure: the time is an argument.

use super::{NEVER, Nanos, Patience};
use crate::rules::Keep;
use crate::{Beta, Config};
use std::time::Duration;

/// The times of a [`Config`], as a shard needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    ttl: Nanos,
    idle: Nanos,
    while_revalidate: Nanos,
    if_error: Nanos,
    retry_after: Nanos,
    patience: Option<Patience>,
    /// Millionths.
    jitter: u32,
    /// The β of an early refresh.
    early: f64,
    is_rich: bool,
    /// No entry needs anything beside its value, unless its own [`Keep`] says so.
    is_plain: bool,
}

/// What an entry may have beside its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extra {
    /// Until then it may be served at once although it is stale.
    at_once: Nanos,
    /// Until then it may be served instead of a failure.
    on_error: Nanos,
    /// Then it is gone if nobody has asked for it.
    idle: Nanos,
    /// How long its load took, in microseconds.
    took: u32,
}

impl Extra {
    pub(crate) const NONE: Self = Self { at_once: 0, on_error: 0, idle: NEVER, took: 0 };

    pub(crate) fn idle(self, idle: Nanos) -> Self {
        Self { idle, ..self }
    }
}

/// What an entry is that is not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// It is fresh, and to be loaded again early.
    Early,
    Stale {
        by: Nanos,
        at_once: bool,
    },
}

/// Numbers that look random: splitmix64, of which each shard has its own.
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64, shard: usize) -> Self {
        Self(seed ^ (shard as u64).wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ bits >> 31
    }

    /// From over 0 to 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// All of 53 bits are zero but one: no draw is less likely.
const LONGEST: f64 = 37.5;

fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(NEVER)
}

impl Times {
    pub(crate) fn new(config: &Config) -> Self {
        let is_rich = config.early_refresh != Beta::OFF || config.idle_ttl != Duration::MAX;
        let is_stale = config.stale_while_revalidate.max(config.stale_if_error) > Duration::ZERO;
        Self {
            ttl: nanos(config.ttl),
            idle: nanos(config.idle_ttl),
            while_revalidate: nanos(config.stale_while_revalidate),
            if_error: nanos(config.stale_if_error),
            retry_after: nanos(config.retry_after),
            patience: Patience::new(config.soft_timeout, config.hard_timeout),
            jitter: config.jitter.millionths(),
            early: config.early_refresh.get(),
            is_rich,
            is_plain: !is_rich && !is_stale,
        }
    }

    /// How long a caller waits, if there is a limit to it.
    pub(crate) fn patience(&self) -> Option<Patience> {
        self.patience
    }

    /// Whether anything that is put in depends on the time.
    pub(crate) fn need_a_clock(&self) -> bool {
        self.ttl != NEVER || self.idle != NEVER
    }

    /// Whether a hit on a fresh entry does more than to answer.
    #[inline]
    pub(crate) fn is_rich(&self) -> bool {
        self.is_rich
    }

    /// How long a value is to be fresh.
    #[inline]
    pub(crate) fn ttl(&self, keep: &Keep, draws: &mut Draws) -> Nanos {
        if let Some(ttl) = keep.ttl {
            return nanos(ttl);
        }
        if self.jitter == 0 || self.ttl == NEVER { self.ttl } else { self.jittered(draws) }
    }

    #[inline(never)]
    fn jittered(&self, draws: &mut Draws) -> Nanos {
        let share = f64::from(self.jitter) / 1e6 * draws.share();
        // A time to live that is not zero stores.
        ((self.ttl as f64 * (1.0 - share)) as Nanos).clamp(self.ttl.min(1), self.ttl)
    }

    /// What an entry needs beside its value.
    #[inline]
    pub(crate) fn extra(&self, keep: &Keep, expires: Nanos, took: Duration, now: Nanos) -> Extra {
        if self.is_plain && keep.stale_while_revalidate.is_none() && keep.stale_if_error.is_none() {
            return Extra::NONE;
        }
        self.extra_of(keep, expires, took, now)
    }

    #[inline(never)]
    fn extra_of(&self, keep: &Keep, expires: Nanos, took: Duration, now: Nanos) -> Extra {
        if expires == NEVER && self.idle == NEVER {
            return Extra::NONE;
        }
        let until = |own: Option<Duration>, usual| match own.map_or(usual, nanos) {
            0 => 0,
            time => expires.saturating_add(time),
        };
        let took = if self.early > 0.0 { took.as_micros().clamp(1, u128::from(u32::MAX)) as u32 } else { 0 };
        Extra {
            at_once: until(keep.stale_while_revalidate, self.while_revalidate),
            on_error: until(keep.stale_if_error, self.if_error),
            idle: self.idle_from(now).unwrap_or(NEVER),
            took,
        }
    }

    /// When an entry is gone that somebody has asked for now.
    pub(crate) fn idle_from(&self, now: Nanos) -> Option<Nanos> {
        (self.idle != NEVER).then(|| now.saturating_add(self.idle))
    }

    /// When a load that has failed now may be tried again.
    pub(crate) fn retry_from(&self, now: Nanos) -> Option<Nanos> {
        (self.retry_after > 0).then(|| now.saturating_add(self.retry_after))
    }

    /// Whether an entry is neither fresh nor stale.
    pub(crate) fn is_gone(&self, extra: Option<&Extra>, expires: Nanos, now: Nanos) -> bool {
        let extra = extra.unwrap_or(&Extra::NONE);
        // An entry may have been put in when there were idle times.
        let is_idle = self.idle != NEVER && now >= extra.idle;
        is_idle || now >= expires.max(extra.at_once).max(extra.on_error)
    }

    /// How fresh an entry is; `None` if it is gone.
    pub(crate) fn judge(
        &self,
        extra: Option<&Extra>,
        expires: Nanos,
        now: Nanos,
        draws: &mut Draws,
    ) -> Option<Freshness> {
        if self.is_gone(extra, expires, now) {
            return None;
        }
        let extra = extra.unwrap_or(&Extra::NONE);
        if now >= expires {
            return Some(Freshness::Stale { by: now - expires, at_once: now < extra.at_once });
        }
        let (left, took) = ((expires - now) as f64, f64::from(extra.took) * 1000.0 * self.early);
        // Most are too far from their ends for any draw.
        if took > 0.0 && left <= LONGEST * took && -draws.share().ln() * took >= left {
            return Some(Freshness::Early);
        }
        Some(Freshness::Fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Ratio;

    const SECOND: Nanos = 1_000_000_000;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_value_is_fresh_then_stale_then_gone() {
        let config = Config::default().stale_while_revalidate(seconds(1)).stale_if_error(seconds(3));
        let (times, mut draws) = (Times::new(&config), Draws::new(0, 0));
        let extra = times.extra(&Keep::default(), 10 * SECOND, Duration::ZERO, 0);
        let mut at = |now| times.judge(Some(&extra), 10 * SECOND, now, &mut draws);
        assert_eq!(at(10 * SECOND - 1), Some(Freshness::Fresh));
        assert_eq!(at(10 * SECOND), Some(Freshness::Stale { by: 0, at_once: true }));
        assert_eq!(at(11 * SECOND), Some(Freshness::Stale { by: SECOND, at_once: false }));
        assert_eq!(at(13 * SECOND), None);
    }

    #[test]
    fn jitter_only_ever_shortens_and_never_to_nothing() {
        let times = Times::new(&Config::default().ttl(seconds(100)).jitter(Ratio::percent(10)));
        let mut draws = Draws::new(7, 0);
        let drawn: Vec<_> = (0..10_000).map(|_| times.ttl(&Keep::default(), &mut draws)).collect();
        let (least, most) = (drawn.iter().min().copied(), drawn.iter().max().copied());
        assert!(least >= Some(90 * SECOND) && least < Some(91 * SECOND), "{least:?}");
        assert!(most <= Some(100 * SECOND) && most > Some(99 * SECOND), "{most:?}");
        let short = Config::default().ttl(Duration::from_nanos(1)).jitter(Ratio::FULL);
        assert_eq!(Times::new(&short).ttl(&Keep::default(), &mut draws), 1);
    }

    #[test]
    fn early_refreshes_are_as_likely_as_the_formula_says() {
        // What is left is what the load took, times beta: one in e.
        for beta in [0.5, 1.0, 4.0] {
            let config = Config::default().early_refresh(Beta::new(beta).unwrap());
            let (times, mut draws) = (Times::new(&config), Draws::new(1, 0));
            let took = Duration::from_millis(20);
            let extra = times.extra(&Keep::default(), 100 * SECOND, took, 0);
            let now = 100 * SECOND - (2e7 * beta) as u64;
            let is_early =
                |_: &u32| times.judge(Some(&extra), 100 * SECOND, now, &mut draws) == Some(Freshness::Early);
            let share = (0..100_000).filter(is_early).count() as f64 / 1e5;
            assert!((share - 1.0 / std::f64::consts::E).abs() < 0.006, "{beta}: {share}");
        }
    }

    #[test]
    fn without_a_beta_nothing_is_early() {
        let (times, mut draws) = (Times::new(&Config::default()), Draws::new(1, 0));
        let extra = times.extra(&Keep::default(), SECOND, seconds(100), 0);
        assert!(
            (0..1000)
                .all(|_| times.judge(Some(&extra), SECOND, SECOND - 1, &mut draws) == Some(Freshness::Fresh))
        );
    }
}
