//! Real threads, and everything at once: connects that fail, hang and panic, checks that fail, gets that are dropped, leases
//! that break and that are dropped by foreign threads, a pool that changes its size.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::{Close, Config, Manager, Pool, Size};
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::timeout;

const MAX: u32 = 8;

#[derive(Default)]
struct Seen {
    alive: AtomicU32,
    running: AtomicU32,
    random: AtomicU32,
}

struct Wild(Arc<Seen>);

struct Conn {
    seen: Arc<Seen>,
    /// Somebody has it.
    is_used: AtomicBool,
    is_broken: bool,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.seen.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Running(Arc<Seen>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

impl Seen {
    /// One in so many times.
    fn once_in(&self, times: u32) -> bool {
        self.random.fetch_add(0x9e37_79b9, Ordering::Relaxed).rotate_left(11).wrapping_mul(0x85eb_ca6b) >> 8
            < (1 << 24) / times
    }
}

impl Manager for Wild {
    type Connection = Conn;
    type Error = Failed;

    async fn connect(&self) -> Result<Conn, Failed> {
        let seen = &self.0;
        assert!(seen.running.fetch_add(1, Ordering::SeqCst) < 4, "too many connects at a time");
        let _running = Running(Arc::clone(seen));
        yield_now().await;
        if seen.once_in(20) {
            pending::<()>().await;
        }
        if seen.once_in(10) {
            std::panic::panic_any("as it happens");
        }
        if seen.once_in(5) {
            return Err(Failed);
        }
        seen.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Conn { seen: Arc::clone(seen), is_used: AtomicBool::new(false), is_broken: false })
    }

    async fn check(&self, conn: &mut Conn) -> Result<(), Failed> {
        assert!(!conn.is_used.swap(true, Ordering::SeqCst), "checked while it is used");
        yield_now().await;
        conn.is_used.store(false, Ordering::SeqCst);
        if self.0.once_in(8) { Err(Failed) } else { Ok(()) }
    }

    fn is_broken(&self, conn: &mut Conn) -> bool {
        conn.is_broken
    }
}

#[test]
fn one_user_per_connection_and_exact_counts_whatever_happens() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let seen = Arc::new(Seen::default());
    let config = Config::default()
        .size(Size::new(2, MAX).unwrap())
        .acquire_timeout(Duration::from_secs(60))
        .connect_timeout(Duration::from_millis(5))
        .check_after(Duration::from_micros(50))
        .max_lifetime(Duration::from_millis(150))
        .keepalive(Duration::from_millis(5));
    let pool = runtime.block_on(async { Pool::new("wild", config, Wild(Arc::clone(&seen))) });
    let users: Vec<_> = (0..48)
        .map(|_| {
            let (pool, seen) = (pool.clone(), Arc::clone(&seen));
            runtime.spawn(async move {
                let mut served = 0;
                while served < 60 {
                    let limit = Duration::from_micros(if seen.once_in(4) { 50 } else { 1_000_000 });
                    let Ok(Ok(mut lease)) = timeout(limit, pool.get()).await else {
                        yield_now().await; // refused at once, or given up
                        continue;
                    };
                    assert!(!lease.is_used.swap(true, Ordering::SeqCst), "two users of one connection");
                    assert!(seen.alive.load(Ordering::SeqCst) <= 2 * MAX);
                    yield_now().await;
                    lease.is_used.store(false, Ordering::SeqCst);
                    served += 1;
                    if seen.once_in(40) {
                        lease.is_broken = true;
                    } else if seen.once_in(40) {
                        lease.mark_dirty();
                    } else if seen.once_in(40) {
                        drop(lease.detach());
                        continue;
                    }
                    if seen.once_in(50) {
                        std::thread::spawn(move || drop(lease)).join().unwrap();
                    }
                    if seen.once_in(300) {
                        pool.resize(Size::new(2, if seen.once_in(2) { 3 } else { MAX }).unwrap());
                    }
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for user in users {
            user.await.unwrap();
        }
        pool.close(Duration::from_secs(10)).await.unwrap();
        while pool.stats().connecting + pool.stats().checking > 0 {
            yield_now().await;
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.size, stats.in_use, stats.waiters, stats.idle), (0, 0, 0, 0));
    assert_eq!((stats.wait.count(), stats.used.count()), (stats.served, stats.served));
    assert_eq!(seen.alive.load(Ordering::SeqCst), 0);
    let refused = stats.refused_full + stats.refused_down + stats.refused_closed;
    assert_eq!(stats.gets, stats.served + stats.timeouts + stats.cancelled + refused);
    let why = [
        Close::Broken,
        Close::Dirty,
        Close::Detached,
        Close::Unfit,
        Close::Cancelled,
        Close::Aged,
        Close::Idle,
        Close::Surplus,
        Close::Closed,
    ];
    assert_eq!(stats.created, why.iter().map(|&why| stats.closed(why)).sum::<u64>());
    assert!(stats.served >= 48 * 60 && stats.connects_failed > 0 && stats.checks_failed > 0, "{stats:?}");
}
