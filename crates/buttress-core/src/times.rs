//! A time as people write it, such as `"1m 30s"`, or a word for `Duration::MAX`: for `serde(with = ..)`.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;
use std::time::Duration;

fn write<S: Serializer>(word: &'static str, time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    match *time {
        Duration::MAX => to.serialize_str(word),
        time => humantime_serde::serialize(&time, to),
    }
}

fn read<'de, D: Deserializer<'de>>(word: &'static str, from: D) -> Result<Duration, D::Error> {
    struct Time(&'static str);
    impl Visitor<'_> for Time {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a time such as \"1m 30s\", or \"{}\"", self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            if text == self.0 {
                return Ok(Duration::MAX);
            }
            let time = serde::de::value::StrDeserializer::<E>::new(text);
            humantime_serde::deserialize(time).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    from.deserialize_str(Time(word))
}

macro_rules! word {
    ($word:ident) => {
        #[doc = concat!("Where `Duration::MAX` is written as `", stringify!($word), "`.")]
        pub mod $word {
            use serde::{Deserializer, Serializer};
            use std::time::Duration;

            /// Writes it.
            ///
            /// # Errors
            ///
            /// Those of the format.
            pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
                super::write(stringify!($word), time, to)
            }

            /// Reads it.
            ///
            /// # Errors
            ///
            /// If it is neither a time nor the word.
            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
                super::read(stringify!($word), from)
            }
        }
    };
}

word!(never);
word!(forever);
