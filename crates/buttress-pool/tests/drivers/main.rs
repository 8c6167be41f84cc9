//! Pools of connections to real servers, which are killed and started again under load.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod postgres;
mod redis;

use buttress_pool::{Config, Lease, Manager, Pool, Size};
use buttress_testkit::servers::{Program, Server};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const USERS: u64 = 32;
const MAX: u32 = 8;

/// What takes this long does not come. It takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config::default().size(Size::new(2, MAX).unwrap()).acquire_timeout(PATIENCE)
}

/// Whether a question with this number was answered; panics if the answer is another's.
type Asked = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Polls once, and leaves.
async fn leave(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(_ = future.as_mut().poll(cx))).await;
}

/// How many questions were answered, and how many were not.
#[derive(Clone, Copy, Default)]
struct Counts {
    answered: u64,
    failed: u64,
}

/// Users of a pool that ask as fast as they are answered.
struct Load {
    counts: watch::Sender<Counts>,
    stop: Arc<AtomicBool>,
    users: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn new<M: Manager>(pool: &Pool<M>, ask: fn(Lease<M>, u64) -> Asked) -> Self {
        let counts = watch::Sender::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let user = |user: u64| {
            let (pool, counts, stop) = (pool.clone(), counts.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut number = user;
                while !stop.load(Ordering::SeqCst) {
                    number += USERS;
                    let answered = match pool.get().await {
                        Ok(lease) => ask(lease, number).await,
                        Err(_) => {
                            // As one should who is refused at once.
                            sleep(Duration::from_millis(1)).await;
                            false
                        }
                    };
                    counts.send_modify(|counts| {
                        counts.answered += u64::from(answered);
                        counts.failed += u64::from(!answered);
                    });
                }
            })
        };
        let users = (0..USERS).map(user).collect();
        Self { counts, stop, users }
    }

    async fn until(&self, enough: impl Fn(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        timeout(PATIENCE, counts.wait_for(enough)).await.expect("in time").unwrap();
    }

    async fn answers(&self, more: u64) {
        let until = self.counts.borrow().answered + more;
        self.until(|counts| counts.answered >= until).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for user in self.users {
            user.await.unwrap();
        }
    }
}

/// Kills the server of a pool under load and starts it again; `connections` are those that the server counts.
async fn survives<M: Manager, P: Program>(
    pool: Pool<M>,
    server: &mut Server<P>,
    ask: fn(Lease<M>, u64) -> Asked,
    connections: impl AsyncFn(&Server<P>) -> usize,
) {
    let load = Load::new(&pool, ask);
    load.answers(1000).await;
    let before = connections(server).await;
    assert!((1..=MAX as usize).contains(&before), "{before}");

    let down = Instant::now();
    server.kill();
    // Somebody is refused all the time, and every now and then it is tried again.
    load.until(|_| pool.stats().connects_failed >= 12).await;
    server.restart().await;
    let (outage, up) = (down.elapsed(), Instant::now());
    load.answers(1).await;
    let back = up.elapsed();
    load.answers(1000).await;
    let after = connections(server).await;
    assert!((1..=MAX as usize).contains(&after), "{after}");
    load.end().await;

    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiters), (0, 0));
    assert!(stats.refused_down > 0, "{stats:?}");
    let failed = stats.connects_failed;
    eprintln!("down for {outage:?}: {failed} connects failed, answered {back:?} after it was up");
    // What the gate promises, ten times looser.
    let most = 13.0 + 9.4 * (outage.as_secs_f64() / 0.4).max(1.0).ln();
    assert!((failed as f64) < 10.0 * most, "{stats:?}");
    assert!(back < 10 * (outage / 8).max(Duration::from_millis(100)), "{back:?}");

    pool.close(PATIENCE).await.unwrap();
    let gone = async { while connections(server).await > 0 {} };
    timeout(PATIENCE, gone).await.expect("the server sees that they are gone");
}
