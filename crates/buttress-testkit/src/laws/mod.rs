//! The contract of a tower layer as tests: one line per layer.
//!
//! There are two kinds of layers. One that works *in place* calls its inner service from its own `call` and
//! passes readiness on; [`in_place!`] holds it to the [laws of that kind](IN_PLACE). A *deferring* one calls
//! the inner service later, through its own clone or a task; [`deferring!`] holds it to [its laws](DEFERRING).
//!
//! ```
//! use buttress_testkit::laws;
//! use tower::layer::util::Identity;
//!
//! # fn test() {
//! laws::in_place!(Identity::new());
//! # }
//! # test();
//! ```
//!
//! Both evaluate the layer's expression anew for each law, run it over a [scripted] service, print a table
//! and panic if a law is broken, and return the [`Report`]. [`report_in_place!`] and [`report_deferring!`]
//! only return it. Call them from a plain `#[test]`: they start a runtime of their own, of one thread, with
//! paused time that never moves, so a layer's timers do not fire. A driver task gets its turn between the
//! steps (spawned with `tokio::spawn` or `spawn_local`).
//!
//! Named arguments follow the layer, in any order. They are the methods of [`InPlace`] and [`Deferring`]:
//!
//! | argument | says | default |
//! | --- | --- | --- |
//! | `request:` | the layer's `n`th request; equal numbers are equal requests | `\|n: u64\| n` |
//! | `respond:` | what the inner service answers to the request it gets | `\|n: u64\| n` |
//! | `allocations:` | deferring only: how many allocations an admitted call may cost | `0` |
//! | `keeps:` | deferring only: how many permits a driver task may hold at rest | `0` |
//!
//! ```
//! use buttress_testkit::laws;
//! use tower::util::MapRequestLayer;
//!
//! // A layer whose inner request differs from the outer one.
//! laws::in_place!(
//!     MapRequestLayer::new(|text: String| text.len()),
//!     request: |n: u64| n.to_string(),
//!     respond: |length: usize| length as u64,
//! );
//! ```
//!
//! What the laws ask of a layer's configuration: at least 16 calls at the same time, and that three failures
//! or panics in a row trip nothing. What they do not look at: more than one thread, what a timer does when it
//! fires, and what a response does after its future has ended.
//!
//! The inner service's error is [`Fault`](crate::scripted::Fault), and so must be the layer's. A law that is
//! broken ends there: what comes after it in the same law was not looked at.
//!
//! [scripted]: crate::scripted

mod bench;
mod common;
mod deferring;
mod in_place;
mod report;
mod wakers;

#[doc(inline)]
pub use crate::__laws_deferring as deferring;
#[doc(inline)]
pub use crate::__laws_in_place as in_place;
#[doc(inline)]
pub use crate::__laws_report_deferring as report_deferring;
#[doc(inline)]
pub use crate::__laws_report_in_place as report_in_place;
pub use deferring::{DEFERRING, Deferring};
pub use in_place::{IN_PLACE, InPlace};
pub use report::{Cell, Report, Table};

/// Holds a layer that works in place to its laws; see the [module](crate::laws).
///
/// # Panics
///
/// With a table, if a law is broken.
#[doc(hidden)]
#[macro_export]
macro_rules! __laws_in_place {
    ($layer:expr $(, $argument:ident : $value:expr)* $(,)?) => {
        $crate::laws::InPlace::new(|| $layer)$(.$argument($value))*.check(::core::stringify!($layer))
    };
}

/// Holds a deferring layer to its laws; see the [module](crate::laws).
///
/// # Panics
///
/// With a table, if a law is broken.
#[doc(hidden)]
#[macro_export]
macro_rules! __laws_deferring {
    ($layer:expr $(, $argument:ident : $value:expr)* $(,)?) => {
        $crate::laws::Deferring::new(|| $layer)$(.$argument($value))*.check(::core::stringify!($layer))
    };
}

/// Tries the laws of layers that work in place and reports; see the [module](crate::laws).
#[doc(hidden)]
#[macro_export]
macro_rules! __laws_report_in_place {
    ($layer:expr $(, $argument:ident : $value:expr)* $(,)?) => {
        $crate::laws::InPlace::new(|| $layer)$(.$argument($value))*.report()
    };
}

/// Tries the laws of deferring layers and reports; see the [module](crate::laws).
#[doc(hidden)]
#[macro_export]
macro_rules! __laws_report_deferring {
    ($layer:expr $(, $argument:ident : $value:expr)* $(,)?) => {
        $crate::laws::Deferring::new(|| $layer)$(.$argument($value))*.report()
    };
}
