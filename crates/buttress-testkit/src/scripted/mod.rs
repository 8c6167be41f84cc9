//! An inner service that does what a script says and records what was done to it.
//!
//! One [`Script`] is shared by all the services made from it and all their clones. A service whose
//! `poll_ready` is ready holds one permit; `call` spends it; dropping the service gives it back; a clone has
//! none. What a layer does wrong is counted ([`Seen::unreadied`]) and never punished with a panic.
//!
//! # Examples
//!
//! ```
//! use buttress_testkit::scripted::{Calls, Fault, Script};
//! use tower::{Service, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().expect("a plain runtime").block_on(async {
//! let script = Script::new();
//! let mut double = script.service(|n: u64| n * 2);
//! assert_eq!(double.ready().await?.call(21).await, Ok(42));
//!
//! script.calls(Calls::Fail(Fault::Inner(7)));
//! assert_eq!(double.ready().await?.call(21).await, Err(Fault::Inner(7)));
//! assert_eq!(script.seen().unreadied, 0);
//! # Ok::<_, Fault>(()) }).expect("the script lets it be ready");
//! ```

mod script;
mod service;

pub use script::{Calls, Fault, Script, Seen};
pub use service::{Local, LocalFuture, ResponseFuture, Scripted, ScriptedPanic};
