//! What makes connections of one kind, each behind the feature of its name.

#[cfg(feature = "bb8")]
mod bb8;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "bb8")]
pub use self::bb8::{Bb8, Bb8Error};
