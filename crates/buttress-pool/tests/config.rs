//! Sizes, and configurations in files.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::Size;

#[test]
fn a_size_is_one_that_can_be() {
    for (min, max, right) in [
        (0, 1, true),
        (1, 1, true),
        (5, 20, true),
        (0, 0, false),
        (2, 1, false),
        (Size::LARGEST, Size::LARGEST, true),
        (0, Size::LARGEST + 1, false),
        (u32::MAX, u32::MAX, false),
    ] {
        assert_eq!(Size::new(min, max).is_some(), right, "{min} to {max}");
        let tried = Size::try_from((min, max));
        assert_eq!(tried.is_ok(), right, "{min} to {max}");
        if let Err(error) = tried {
            let error = error.to_string();
            assert!(error.contains(&min.to_string()) && error.contains(&max.to_string()), "{error}");
        }
    }
}

#[cfg(feature = "serde")]
mod files {
    use super::*;
    use buttress_pool::Config;
    use proptest::prelude::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn read(text: &str) -> Result<Config, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_the_default_and_a_field_changes_only_itself() {
        assert_eq!(read("{}"), Ok(Config::default()));
        let short = Config::default().acquire_timeout(Duration::from_millis(1500));
        assert_eq!(read(r#"{"acquire_timeout": "1s 500ms"}"#), Ok(short));
        let large = Config::default().size(Size::new(5, 64).unwrap());
        assert_eq!(read(r#"{"size": {"max": 64}}"#), Ok(large));
        assert_eq!(read(r#"{"measure": false}"#), Ok(Config::default().measure(false)));
    }

    #[test]
    fn never_is_the_longest_time_and_is_written_so() {
        let never = Config::default().max_lifetime(Duration::MAX);
        assert_eq!(read(r#"{"max_lifetime": "never"}"#), Ok(never.clone()));
        let written = serde_json::to_value(&never).unwrap();
        assert_eq!((&written["max_lifetime"], &written["leak_after"]), (&"never".into(), &"never".into()));
        assert_eq!(written["check_after"], "500ms");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            (r#"{"max_lifetme": "1s"}"#, "max_lifetme"),
            (r#"{"keepalive": "soon"}"#, "soon"),
            (r#"{"keepalive": 5}"#, "`5`"),
            (r#"{"keepalive": null}"#, "null"),
            (r#"{"connects": 0}"#, "`0`"),
            (r#"{"max_waiters": -1}"#, "`-1`"),
            (r#"{"size": {"min": 9, "max": 8}}"#, "9 to 8"),
            (r#"{"size": {"max": 4}}"#, "5 to 4"),
            (r#"{"size": {"max": 0, "min": 0}}"#, "0 to 0"),
            (r#"{"size": {"mix": 4}}"#, "mix"),
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
            (0..=u64::MAX, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
            any::<u64>().prop_map(Duration::from_nanos),
            (0..10_000_u64).prop_map(Duration::from_millis),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(
            (min, more) in (0..1000_u32, 1..1000_u32),
            times in prop::array::uniform8(time()),
            (connects, waiters) in (1..=u32::MAX, 1..=u32::MAX),
            measure in any::<bool>(),
        ) {
            let config = Config::default()
                .size(Size::new(min, min + more).unwrap())
                .acquire_timeout(times[0])
                .connect_timeout(times[1])
                .check_timeout(times[2])
                .check_after(times[3])
                .max_lifetime(times[4])
                .idle_timeout(times[5])
                .keepalive(times[6])
                .leak_after(times[7])
                .connects(NonZeroU32::new(connects).unwrap())
                .max_waiters(NonZeroU32::new(waiters).unwrap())
                .measure(measure);
            let text = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(read(&text), Ok(config), "{}", text);
        }
    }
}
