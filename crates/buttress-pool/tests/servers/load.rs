//! Many who use one pool, each as fast as it is served.

use super::*;
use buttress_pool::{Error, Lease};
use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long anybody waits for a reply.
const REPLY: Duration = Duration::from_millis(500);

/// What became of what was asked. All relaxed: numbers, which are compared when the tasks have ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: AtomicU64,
    /// Replies to somebody else.
    pub(crate) wrong: AtomicU64,
    /// Cut off at some point.
    pub(crate) cut: AtomicU64,
    pub(crate) down: AtomicU64,
    /// Refused with a cause that is the system's: "connection refused".
    pub(crate) down_with_cause: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    /// There was a connection, and no reply.
    pub(crate) unanswered: AtomicU64,
    longest_get: AtomicU64,
    latest: AtomicU64,
}

impl Tally {
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// How long the longest get took, and how late the machine itself was at most meanwhile.
    pub(crate) fn longest_get(&self) -> (Duration, Duration) {
        let of = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Relaxed));
        (of(&self.longest_get), of(&self.latest))
    }

    fn got<M: buttress_pool::Manager>(&self, lease: &Result<Lease<M>, Error>, took: Duration) {
        self.longest_get.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
        match lease {
            Ok(_) => {}
            Err(error @ Error::Down { .. }) => {
                count(&self.down);
                let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
                if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused) {
                    count(&self.down_with_cause);
                }
            }
            Err(Error::Timeout { .. }) => count(&self.timeouts),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// On a pool, one in so many of what is begun is cut off.
    pub(crate) fn on(pool: &Pool<Resp>, one_in: u32) -> Self {
        let mut load = Self { tally: Arc::default(), is_over: Arc::default(), tasks: JoinSet::new() };
        for task in 0..TASKS {
            let (pool, tally, is_over) = (pool.clone(), load.tally.clone(), load.is_over.clone());
            load.tasks.spawn(async move {
                let mut n = 0;
                while !is_over.load(Ordering::Relaxed) {
                    n += 1;
                    let text = format!("{task}:{n}");
                    let ask = ask(&pool, &text, &tally);
                    let is_served = if (n + task) % one_in == 0 {
                        let polls = 1 + (n / one_in) % 4;
                        cut(ask, polls).await.unwrap_or_else(|| {
                            count(&tally.cut);
                            true
                        })
                    } else {
                        ask.await
                    };
                    if !is_served {
                        // As whoever is refused should.
                        sleep(ms(1)).await;
                    }
                }
            });
        }
        let (tally, is_over) = (load.tally.clone(), load.is_over.clone());
        load.tasks.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let ((), took) = timed(sleep(ms(10))).await;
                tally.latest.fetch_max((took - ms(10)).as_nanos() as u64, Ordering::Relaxed);
            }
        });
        load
    }

    /// Waits until so many more were served.
    pub(crate) async fn serves(&self, more: u64) {
        let goal = self.tally.served() + more;
        until("served", async || self.tally.served() >= goal).await;
    }

    pub(crate) async fn end(mut self) -> Arc<Tally> {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        self.tally
    }
}

/// Has one connection echo a text. Whether it did.
pub(crate) async fn ask(pool: &Pool<Resp>, text: &str, tally: &Tally) -> bool {
    let (lease, took) = timed(pool.get()).await;
    tally.got(&lease, took);
    let Ok(lease) = lease else { return false };
    let mut asking = Asking { lease, is_read: false };
    let reply = timeout(REPLY, asking.lease.ask(&["ECHO", text])).await;
    asking.is_read = reply.is_ok();
    match reply {
        Ok(Ok(reply)) if reply == text => count(&tally.served),
        Ok(Ok(_)) => count(&tally.wrong),
        _ => {
            count(&tally.unanswered);
            return false;
        }
    }
    true
}

/// Whoever leaves before the reply says so, as users of such a protocol must.
struct Asking {
    lease: Lease<Resp>,
    is_read: bool,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_read {
            self.lease.mark_dirty();
        }
    }
}

/// Drops a future when it is pending for the so manieth time.
async fn cut<T>(future: impl Future<Output = T>, mut polls: u32) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => {
            polls -= 1;
            if polls == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}
