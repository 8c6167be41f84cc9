//! Time that passes only when there is nothing else to do.

use tokio::runtime::{Builder, Runtime};

/// A runtime on the caller's thread whose time is paused, where `#[tokio::test(start_paused = true)]` cannot be.
///
/// # Panics
///
/// If the system has nothing left for a runtime.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// buttress_testkit::time::paused().block_on(async {
///     let began = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(began.elapsed(), Duration::from_secs(3600));
/// });
/// ```
#[must_use]
pub fn paused() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O needs nothing from the system")
}
