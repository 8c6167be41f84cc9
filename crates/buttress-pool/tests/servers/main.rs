//! Pools of connections to real servers, which are killed, stopped and started again under load. What there was is what
//! the servers have counted; what it took is printed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod limits;
mod load;
mod outages;
mod replies;
mod resp;

use buttress_pool::{Config, Pool, Size};
use buttress_testkit::servers::Redis;
use load::{Load, Tally};
use resp::{Admin, Resp};
use std::future::Future;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// How many use a pool.
const TASKS: u32 = 32;
/// How many connections it has.
const SIZE: u32 = 8;

/// One test at a time: side by side they would measure each other.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// As many at least as at most.
fn fixed() -> Config {
    Config::default().size(Size::new(SIZE, SIZE).unwrap())
}

/// Waits for what must come.
async fn until(what: &str, mut is_there: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_there().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        sleep(ms(1)).await;
    }
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let outcome = future.await;
    (outcome, began.elapsed())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
