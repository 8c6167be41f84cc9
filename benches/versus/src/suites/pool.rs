//! Pools, each at its best settings for what the row says: connections that cost nothing, all made before, no
//! hooks, no sinks.

use crate::pools::{As, Bb8, Deadpool, Mobc};
use buttress_benches::pool::{self, BARE, CONNECTIONS, Free, GET, WAIT, home, wait};
use buttress_benches::{Contender, reference};
use buttress_pool::{Config, Pool, Size};
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(pool::contenders());
    contenders.extend(bb8s());
    contenders.extend(deadpools());
    contenders.extend(mobcs());
    contenders
}

/// As long as none of them waits, nobody sees the difference between limits.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Takes all connections out of a pool once, so that they are there.
async fn filled<P, F, L, E: fmt::Debug>(pool: P, connections: u32, get: impl Fn(P) -> F) -> P
where
    P: Clone,
    F: Future<Output = Result<L, E>>,
{
    let mut leases = Vec::new();
    for _ in 0..connections {
        leases.push(get(pool.clone()).await.expect("nothing fails to be made"));
    }
    pool
}

pub async fn buttress(config: Config) -> Pool<Free> {
    const SIZE: Size = Size::new(CONNECTIONS, CONNECTIONS).unwrap();
    let pool = Pool::new("versus", config.size(SIZE), Free);
    filled(pool, CONNECTIONS, async |pool| pool.get().await).await
}

/// Without its reaper: with lifetimes each return would read the clock. With a test, which is its default, each get
/// asks the manager.
pub async fn bb8(connections: u32, is_tested: bool) -> Bb8<Free> {
    let builder = bb8::Pool::builder().max_size(connections).connection_timeout(LIMIT);
    let builder = builder.test_on_check_out(is_tested).max_lifetime(None).idle_timeout(None);
    let pool = builder.build_unchecked(As(Arc::new(Free)));
    filled(pool, connections, async |pool| pool.get_owned().await).await
}

fn bb8s() -> [Contender; 4] {
    let pool = |connections, is_tested| move || home().block_on(bb8(connections, is_tested));
    // Its lease is 'static, as ours is.
    let owned = async |pool: &Bb8<Free>, _| {
        black_box(pool.get_owned().await.is_ok());
    };
    [
        Contender::future("bb8: get_owned, no test", pool(CONNECTIONS, false), owned).against(BARE),
        Contender::future("bb8: get_owned, test", pool(CONNECTIONS, true), owned).against(GET),
        Contender::future("bb8: get, no test", pool(CONNECTIONS, false), async |pool, _| {
            black_box(pool.get().await.is_ok());
        })
        .against(BARE),
        Contender::future("bb8: get_owned, and one that waits", pool(1, false), async |pool, _| {
            wait(|| pool.get_owned()).await;
        })
        .against(WAIT),
    ]
}

/// It has no switch for its test: a manager that does nothing is none.
pub async fn deadpool(connections: u32, limit: Option<Duration>) -> Deadpool<Free> {
    let timeouts = deadpool::managed::Timeouts { wait: limit, create: limit, recycle: limit };
    let builder = Deadpool::builder(As(Arc::new(Free))).max_size(connections as usize).timeouts(timeouts);
    let pool = builder.runtime(deadpool::Runtime::Tokio1).build().expect("it was told the runtime");
    filled(pool, connections, async |pool| pool.get().await).await
}

fn deadpools() -> [Contender; 3] {
    let pool = |connections, limit| move || home().block_on(deadpool(connections, limit));
    let get = async |pool: &Deadpool<Free>, _| {
        black_box(pool.get().await.is_ok());
    };
    [
        Contender::future("deadpool: get, no timeouts", pool(CONNECTIONS, None), get).against(BARE),
        Contender::future("deadpool: get, 3 timeouts", pool(CONNECTIONS, Some(LIMIT)), get).against(GET),
        Contender::future("deadpool: get, and one that waits", pool(1, None), async |pool, _| {
            wait(|| pool.get()).await;
        })
        .against(WAIT),
    ]
}

/// Without a test.
pub async fn mobc(connections: u32, limit: Option<Duration>) -> Mobc<Free> {
    let builder = Mobc::builder().max_open(connections.into()).max_idle(connections.into());
    let pool = builder.test_on_check_out(false).get_timeout(limit).build(As(Arc::new(Free)));
    filled(pool, connections, async |pool| pool.get().await).await
}

/// A return is a task of its own, so that it is measured in one. The row of one that waits is left out: where threads
/// share its connection, it may be in a task that nobody runs.
fn mobcs() -> [Contender; 2] {
    let pool = |limit| move || home().block_on(mobc(CONNECTIONS, limit));
    let get = async |pool: &Mobc<Free>, _| {
        black_box(pool.get().await.is_ok());
    };
    [
        Contender::task("mobc: get, no timeout", pool(None), get).against(BARE),
        Contender::task("mobc: get, timeout", pool(Some(LIMIT)), get).against(GET),
    ]
}
