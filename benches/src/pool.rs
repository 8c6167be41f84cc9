//! `buttress-pool`.

use crate::Contender;
use buttress_pool::{Config, Manager, Pool, Size};
use std::convert::Infallible;
use std::fmt;
use std::future::{pending, poll_fn};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// Neither statistics nor a window after which a connection is checked: no clock is read.
pub const BARE: &str = "buttress: checkout, bare";
/// What `Config::default()` does: measures waits and uses, and knows when a connection was last seen to work.
pub const GET: &str = "buttress: checkout";
/// [`GET`] of clones, eight of each connection.
pub const SHARED: &str = "buttress: checkout, shared";
/// A [`GET`], one more that has to wait, and the return that serves it.
pub const WAIT: &str = "buttress: checkout, and one that waits";

/// In every pool that is not waited for.
pub const CONNECTIONS: u32 = 8;

/// Our pools.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    let exclusive = |config: fn() -> Config, connections| {
        move || filled(connections, |size| Pool::new("bench", config().size(size), Free))
    };
    let shared = |size| {
        let eight = const { NonZeroU32::new(8).unwrap() };
        Pool::shared("bench", Config::default().size(size), Free, eight)
    };
    vec![
        get(BARE, exclusive(bare, CONNECTIONS)),
        get(GET, exclusive(Config::default, CONNECTIONS)),
        get(SHARED, move || filled(CONNECTIONS, shared)),
        Contender::future(WAIT, exclusive(Config::default, 1), async |pool, _| wait(|| pool.get()).await),
    ]
}

fn get(name: &'static str, make: impl Fn() -> Pool<Free> + Send + Sync + 'static) -> Contender {
    Contender::future(name, make, async |pool, _| {
        black_box(pool.get().await.is_ok());
    })
}

/// Every part off that costs something where nothing is wrong.
#[must_use]
pub fn bare() -> Config {
    let never = Duration::MAX;
    Config::default().measure(false).check_after(never).idle_timeout(never).keepalive(never)
}

/// A pool with that many connections, all made.
pub(crate) fn filled(connections: u32, make: impl FnOnce(Size) -> Pool<Free>) -> Pool<Free> {
    home().block_on(async {
        let pool = make(Size::new(connections, connections).expect("as many as at least one"));
        let mut leases = Vec::new();
        for _ in 0..connections {
            leases.push(pool.get().await.expect("nothing fails to be made"));
        }
        pool
    })
}

/// Asks where only one connection is, asks again, and gives the first back: whoever waits then has it.
///
/// # Panics
///
/// If a connection is refused.
pub async fn wait<F, L, E: fmt::Debug>(get: impl Fn() -> F)
where
    F: Future<Output = Result<L, E>>,
{
    let first = get().await.expect("it is only waited for");
    let mut second = pin!(get());
    let early = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await;
    assert!(early.is_pending(), "there is only one");
    drop(first);
    black_box(second.await.expect("it is there"));
}

/// The runtime on which pools live, for the life of the program: what they do in the background is in nobody's time.
#[must_use]
pub fn home() -> &'static Handle {
    static HOME: LazyLock<Handle> = LazyLock::new(|| {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(pending::<()>()));
        handle
    });
    &HOME
}

/// Makes connections that are nothing, so that all that is measured is the pool.
#[derive(Clone, Copy, Debug)]
pub struct Free;

impl Manager for Free {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn check(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_served_and_nothing_else() {
        let pool = filled(1, |size| Pool::new("test", bare().size(size), Free));
        home().block_on(async {
            black_box(pool.get().await.is_ok());
            wait(|| pool.get()).await;
        });
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.served, stats.created, stats.checks), (4, 4, 1, 0));
        // No clock, so no times.
        assert_eq!(stats.wait.count(), 0);
    }
}
