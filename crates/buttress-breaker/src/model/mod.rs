//! The real breaker and a naive one, driven through the same history.
//!
//! A history is bytes, so that proptest and the fuzzer share one alphabet.

#![allow(clippy::unwrap_used, reason = "a model that panics has found something")]

mod naive;

use crate::config::{Cancelled, Config, FailuresWithin, Panicked, Ramp, SlowCalls, Window};
use crate::core::{Core, Reserved};
use crate::event::Event;
use crate::state::{End, Ticket};
use buttress_core::{Outcome, Ratio, Reason};
use naive::Model;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::task::Waker;
use std::time::{Duration, Instant};

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Admit,
    /// Reserve as a gate does, and use it or give it back.
    Reserve {
        used: bool,
    },
    /// Refuse on the word of an earlier look, as `poll_ready` followed by `call` does.
    LookAndRefuse,
    End {
        which: u8,
        end: Ending,
        lane: u8,
    },
    Advance(Duration),
    Reconfigure([u8; 3]),
    ForceOpen,
    ForceClosed,
    Auto,
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Success,
    Failure,
    FailureFor(Duration),
    Ignore,
    Cancelled,
    Panicked,
}

impl Op {
    pub(crate) fn decode([kind, a, b]: [u8; 3]) -> Self {
        match kind % 32 {
            0..=9 => Op::Admit,
            10 => Op::Reserve { used: a % 2 == 0 },
            11 => Op::LookAndRefuse,
            12..=22 => {
                let end = match b % 16 {
                    0..=5 => Ending::Success,
                    6..=10 => Ending::Failure,
                    11 => Ending::FailureFor(Duration::from_millis(u64::from(b) * 20)),
                    12 => Ending::Ignore,
                    13 | 14 => Ending::Cancelled,
                    _ => Ending::Panicked,
                };
                Op::End { which: a, end, lane: b >> 4 }
            }
            23..=27 => Op::Advance(match b % 4 {
                0 => Duration::from_nanos(a.into()),
                1 => Duration::from_millis(a.into()),
                2 => Duration::from_millis(u64::from(a) * 40),
                _ => Duration::from_secs(a.into()),
            }),
            28 => Op::Reconfigure([a, b, a ^ b]),
            29 => match a % 4 {
                0 => Op::ForceOpen,
                1 => Op::ForceClosed,
                _ => Op::Auto,
            },
            30 => Op::Auto,
            _ => Op::Reset,
        }
    }
}

/// A configuration with small numbers, so that a short history meets every rule.
pub(crate) fn config([a, b, c]: [u8; 3]) -> Config {
    let bit = |byte: u8, bit: u8| byte >> bit & 1 == 1;
    let count = |byte: u8, most: u8| NonZeroU16::new(u16::from(byte % most) + 1).unwrap();
    Config::default()
        .consecutive_failures(if bit(a, 0) { NonZeroU32::new(u32::from(b % 4) + 1) } else { None })
        .failure_ratio(bit(a, 1).then(|| Ratio::percent(u32::from(c % 5) * 25)))
        .window(if bit(a, 2) {
            Window::Calls(count(b, 12))
        } else {
            Window::Time(Duration::from_millis(1 + u64::from(c) * 30))
        })
        .min_calls(NonZeroU32::new(u32::from(c % 8) + 1).unwrap())
        .failures_within(bit(a, 3).then(|| FailuresWithin {
            failures: count(c, 5),
            within: Duration::from_millis(u64::from(b) * 10),
        }))
        .slow_calls(bit(a, 4).then(|| SlowCalls {
            over: Duration::from_millis(u64::from(b)),
            ratio: Ratio::percent(u32::from(b % 3) * 50),
        }))
        .open_for(Duration::from_millis(u64::from(c) * 8))
        .open_max(Duration::from_millis(u64::from(b) * 64))
        .open_jitter(Ratio::percent(if bit(c, 7) { 10 } else { 0 }))
        .probes(NonZeroU8::new(b / 4 % 3 + 1).unwrap())
        .probe_results(count(c / 4, 4))
        .probe_ratio(Ratio::percent(u32::from(b % 5) * 25))
        .probe_lease(Duration::from_millis(u64::from(c) * 16))
        .ramp(bit(a, 5).then(|| Ramp {
            from: Ratio::percent(u32::from(b % 101)),
            over: Duration::from_millis(u64::from(c) * 10),
        }))
        .cancelled(match a >> 6 {
            0 => Cancelled::Failure,
            1 => Cancelled::FailureIfOlderThan(Duration::from_millis(u64::from(c))),
            _ => Cancelled::Ignore,
        })
        .panicked(if bit(b, 6) { Panicked::Ignore } else { Panicked::Failure })
}

const LANES: usize = 4;

/// Drives both through a history and panics where they differ.
pub(crate) fn run(first: &Config, history: impl IntoIterator<Item = Op>) {
    let start = crate::now();
    let core = Core::new("model".into(), first.clone(), LANES, 7, start);
    let mut model = Model::new(first.clone());
    let mut has_window = first.failure_ratio.is_some() || first.slow_calls.is_some();
    let mut now = start;
    let mut permits: Vec<(Ticket, naive::Permit)> = Vec::new();
    let at = |now: Instant| core.since_base(now);

    for (step, op) in history.into_iter().enumerate() {
        let context = format!("step {step}, {op:?}, at {:?}", now - start);
        match op {
            Op::Admit => {
                let fast = core.admit(|| now).map(|ticket| (ticket, None));
                let real = fast.map_or_else(|| core.admit_rare(0, || now), Ok);
                let (naive, expected) = model.admit(at(now));
                match (real, naive) {
                    (Ok((ticket, event)), Ok(permit)) => {
                        assert_eq!(event, expected, "{context}");
                        permits.push((ticket, permit));
                    }
                    (Err(refusal), Err(refused)) => same_refusal(refusal, refused, &context),
                    (real, naive) => panic!("{context}: {real:?}, but {naive:?}"),
                }
            }
            Op::Reserve { used } => {
                let (real, event) = core.reserve_or_wait(now, &mut None, Waker::noop());
                if model.needs_no_place() {
                    assert!(matches!(real, Reserved::Unneeded), "{context}: {real:?}");
                    continue;
                }
                let (naive, expected) = model.admit(at(now));
                assert_eq!(event, expected, "{context}");
                match (real, naive) {
                    (Reserved::Place(ticket), Ok(permit)) if used => {
                        let ticket = core.begin(ticket, now).expect("nothing has happened in between");
                        permits.push((ticket, permit));
                    }
                    (Reserved::Place(ticket), Ok(permit)) => {
                        core.give_back(ticket);
                        model.give_back(permit);
                    }
                    (Reserved::Wait(recheck), Err(_)) => {
                        assert!(recheck.is_none_or(|recheck| recheck > now), "{context}: {recheck:?}");
                    }
                    (real, naive) => panic!("{context}: {real:?}, but {naive:?}"),
                }
            }
            Op::LookAndRefuse => {
                let (real, naive) = (core.would_refuse(|| now), model.would_refuse(at(now)));
                assert_eq!(real.is_some(), naive.is_some(), "{context}: {real:?}, but {naive:?}");
                if let (Some(real), Some(naive)) = (real, naive) {
                    same_refusal(real, naive, &context);
                    core.refused(0, real, || now);
                    model.refused(at(now));
                }
            }
            Op::End { which, end, lane } => {
                if permits.is_empty() {
                    continue;
                }
                let (ticket, permit) = permits.swap_remove(usize::from(which) % permits.len());
                let (real_end, naive_end) = match end {
                    Ending::Success => (End::Judged(Outcome::Success), naive::End::Success),
                    Ending::Failure => (End::Judged(Outcome::Failure), naive::End::Failure(None)),
                    Ending::FailureFor(time) => {
                        (End::Judged(Outcome::FailureFor(time)), naive::End::Failure(Some(time)))
                    }
                    Ending::Ignore => (End::Judged(Outcome::Ignore), naive::End::Ignore),
                    Ending::Cancelled => (End::Cancelled, naive::End::Cancelled),
                    Ending::Panicked => (End::Panicked, naive::End::Panicked),
                };
                let event = core.end(usize::from(lane) % LANES, ticket, real_end, &|| now);
                let chosen = match event {
                    Some(Event::Opened { open_for, .. }) => Some(open_for),
                    _ => None,
                };
                assert_eq!(event, model.finish(permit, naive_end, at(now), chosen), "{context}");
            }
            Op::Advance(time) => now += time,
            Op::Reconfigure(bytes) => {
                let next = config(bytes);
                has_window &= next.failure_ratio.is_some() || next.slow_calls.is_some();
                core.reconfigure(next.clone(), now);
                model.reconfigure(next);
            }
            Op::ForceOpen => assert_eq!(core.force_open(), model.force_open(), "{context}"),
            Op::ForceClosed => assert_eq!(core.force_closed(), model.force_closed(), "{context}"),
            Op::Auto => assert_eq!(core.auto(now), model.auto(at(now)), "{context}"),
            Op::Reset => assert_eq!(core.reset(now), model.reset(), "{context}"),
        }
        let stats = core.view(now);
        let window = stats.window;
        assert_eq!((window.calls, window.failures, window.slow), model.tally(at(now)), "{context}");
        let totals = naive::Totals {
            // Without a window successes leave no trace.
            successes: stats.totals.successes.filter(|_| has_window).unwrap_or(model.totals.successes),
            failures: stats.totals.failures,
            ignored: stats.totals.ignored,
            cancelled: stats.totals.cancelled,
            panicked: stats.totals.panicked,
            late: stats.totals.late,
            slow: stats.totals.slow,
            opened: stats.totals.opened,
        };
        assert_eq!(totals, model.totals, "{context}");
    }
}

/// Drives both through the history that `bytes` spell: three for the configuration, three per step.
#[allow(unreachable_pub, reason = "reachable for the fuzzer, which is another crate")]
pub fn fuzz(bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(3).map(|chunk| [chunk[0], chunk[1], chunk[2]]);
    if let Some(first) = chunks.next() {
        run(&config(first), chunks.map(Op::decode));
    }
}

fn same_refusal(real: crate::state::Refusal, naive: naive::Refused, context: &str) {
    let real = (real.reason == Reason::Overloaded, real.after);
    assert_eq!(real, (naive.overloaded, naive.after.map(Duration::from_nanos)), "{context}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn the_breaker_equals_the_naive_model(
            first in any::<[u8; 3]>(),
            history in prop::collection::vec(any::<[u8; 3]>().prop_map(Op::decode), 0..300),
        ) {
            run(&config(first), history);
        }
    }

    /// What the fuzzer found and proptest had not: bytes as [`fuzz`](super::fuzz) takes them.
    #[test]
    fn histories_that_once_went_wrong_go_right() {
        // More probes run than a new configuration allows, one of them past its lease: whoever is refused then
        // takes no place, so that one is still heard.
        let found = "6328eb0063280e00787878787878db5d6228eb0063280e00787878787878db5d6228aa28aaaa2faa63d2dada\
                     dcdc636228eb0063280e00787878787878db5d6228aa28aaaa2faa6300aa536278";
        let bytes: Vec<u8> = (0..found.len() / 2)
            .map(|at| u8::from_str_radix(&found[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        fuzz(&bytes);
    }
}
