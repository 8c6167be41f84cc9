//! Configurations in files.
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_cache::{Beta, Config};
use buttress_core::Ratio;
use proptest::prelude::*;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

fn read(text: &str) -> Result<Config, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_the_default_and_a_field_changes_only_itself() {
    assert_eq!(read("{}"), Ok(Config::default()));
    assert_eq!(read(r#"{"ttl": "1m 30s"}"#), Ok(Config::default().ttl(Duration::from_secs(90))));
    let light = Config::default().max_weight(NonZeroU64::new(64));
    assert_eq!(read(r#"{"max_weight": 64}"#), Ok(light));
    assert_eq!(read(r#"{"max_weight": null}"#), Ok(Config::default()));
}

#[test]
fn never_is_the_longest_time_and_is_written_so() {
    let never = Config::default().ttl(Duration::MAX).sweep_every(Duration::MAX);
    assert_eq!(read(r#"{"ttl": "never", "sweep_every": "never"}"#), Ok(never.clone()));
    let written = serde_json::to_value(&never).unwrap();
    assert_eq!((&written["ttl"], &written["idle_ttl"]), (&"never".into(), &"never".into()));
    assert_eq!(written["retry_after"], "1s");
}

#[test]
fn what_is_wrong_is_named() {
    for (text, named) in [
        (r#"{"tttl": "1s"}"#, "tttl"),
        (r#"{"ttl": "soon"}"#, "soon"),
        (r#"{"ttl": "-1s"}"#, "-1s"),
        (r#"{"ttl": ""}"#, "\"\""),
        (r#"{"ttl": 5}"#, "`5`"),
        (r#"{"ttl": null}"#, "null"),
        (r#"{"hard_timeout": "NEVER"}"#, "NEVER"),
        (r#"{"max_entries": 0}"#, "`0`"),
        (r#"{"max_entries": -3}"#, "`-3`"),
        (r#"{"max_weight": 0}"#, "`0`"),
        (r#"{"jitter": 1.5}"#, "1.5"),
        (r#"{"jitter": -0.25}"#, "-0.25"),
        (r#"{"early_refresh": -1}"#, "-1"),
        (r#"{"early_refresh": 1000001}"#, "1000001"),
        (r#"{"early_refresh": "much"}"#, "much"),
        (r#"{"ttl": "1s", "ttl": "2s"}"#, "ttl"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(named), "{text}: {error}");
    }
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::MAX),
        Just(Duration::ZERO),
        Just(Duration::MAX - Duration::from_nanos(1)),
        (0..=u64::MAX, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        (0..100_000_u64, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        any::<u64>().prop_map(Duration::from_nanos),
        (0..10_000_u64).prop_map(Duration::from_millis),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        most in 1..usize::MAX,
        weight in any::<u64>(),
        times in prop::array::uniform8(time()),
        jitter in 0..=1_000_000_u32,
        beta in 0..=1_000_000_000_u32,
    ) {
        let config = Config::default()
            .max_entries(NonZeroUsize::new(most).unwrap())
            .max_weight(NonZeroU64::new(weight))
            .ttl(times[0])
            .idle_ttl(times[1])
            .stale_while_revalidate(times[2])
            .stale_if_error(times[3])
            .soft_timeout(times[4])
            .hard_timeout(times[5])
            .retry_after(times[6])
            .sweep_every(times[7])
            .jitter(Ratio::from_millionths(jitter).unwrap())
            .early_refresh(Beta::new(f64::from(beta) / 1000.0).unwrap());
        let text = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(read(&text), Ok(config), "{}", text);
    }
}
