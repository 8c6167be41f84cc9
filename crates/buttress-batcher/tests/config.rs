//! Configurations in files.
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{AtEnd, Config, Oversize, WhenFull};
use proptest::prelude::*;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

fn read(text: &str) -> Result<Config, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_the_default_and_a_field_changes_only_itself() {
    assert_eq!(read("{}"), Ok(Config::default()));
    let lingering = Config::default().linger(Duration::from_micros(1500));
    assert_eq!(read(r#"{"linger": "1ms 500us"}"#), Ok(lingering));
    assert_eq!(read(r#"{"queue": 7}"#), Ok(Config::default().queue(NonZeroU32::new(7))));
    assert_eq!(read(r#"{"queue": null}"#), Ok(Config::default()));
    assert_eq!(read(r#"{"when_full": "refuse"}"#), Ok(Config::default().when_full(WhenFull::Refuse)));
    assert_eq!(read(r#"{"at_end": "fail"}"#), Ok(Config::default().at_end(AtEnd::Fail)));
}

#[test]
fn places_follow_from_what_can_run_unless_they_are_said() {
    let config = Config::default().max_size(NonZeroU32::MAX);
    assert_eq!(config.places(), NonZeroU32::MAX, "it does not go round");
    assert_eq!(config.queue(Some(NonZeroU32::MIN)).places(), NonZeroU32::MIN);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, named) in [
        (r#"{"max_sise": 7}"#, "max_sise"),
        (r#"{"max_size": 0}"#, "nonzero"),
        (r#"{"in_flight": -1}"#, "-1"),
        (r#"{"linger": "soon"}"#, "soon"),
        (r#"{"linger": 5}"#, "5"),
        (r#"{"oversize": "split"}"#, "split"),
        (r#"{"measure": "yes"}"#, "yes"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(named), "{text}: {error}");
    }
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::MAX),
        Just(Duration::ZERO),
        any::<u64>().prop_map(Duration::from_nanos),
        (0..10_000_u64).prop_map(Duration::from_millis),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        (size, in_flight) in (1..=u32::MAX, 1..=u32::MAX),
        weight in any::<u64>(),
        (total, queue) in any::<(u32, u32)>(),
        linger in time(),
        (alone, wait, flush, measure) in any::<(bool, bool, bool, bool)>(),
    ) {
        let config = Config::default()
            .max_size(NonZeroU32::new(size).unwrap())
            .max_weight(NonZeroU64::new(weight))
            .oversize(if alone { Oversize::Alone } else { Oversize::Refuse })
            .in_flight(NonZeroU32::new(in_flight).unwrap())
            .total_in_flight(NonZeroU32::new(total))
            .linger(linger)
            .queue(NonZeroU32::new(queue))
            .when_full(if wait { WhenFull::Wait } else { WhenFull::Refuse })
            .at_end(if flush { AtEnd::Flush } else { AtEnd::Fail })
            .measure(measure);
        let text = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(read(&text), Ok(config), "{}", text);
    }
}
