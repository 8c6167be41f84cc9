//! What servers do to a pool, in paused time.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod ends;
mod lives;
mod outages;
mod seen;
mod waits;

use buttress_pool::{Acquire, Config, Error, Lease, Manager, Pool, Size};
use parking_lot::Mutex;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Works,
    Fails,
    Hangs,
    Panics,
    /// Before it even gives a future.
    PanicsAtOnce,
}

#[derive(Debug)]
struct World {
    connect: Does,
    connect_time: Duration,
    check: Does,
    check_time: Duration,
    recycle: Does,
    recycles: u32,
    /// What the next connects do instead.
    script: Vec<Does>,
    connects: u32,
    made: u32,
    running: u32,
    most_running: u32,
    checks: u32,
    alive: u32,
    most_alive: u32,
    least_alive: u32,
}

/// A server, and the manager of connections to it.
#[derive(Clone)]
struct Server(Arc<Mutex<World>>);

#[derive(Debug)]
struct Conn {
    id: u32,
    is_broken: bool,
    world: Arc<Mutex<World>>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        world.alive -= 1;
        world.least_alive = world.least_alive.min(world.alive);
    }
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection refused")
    }
}

impl std::error::Error for Refused {}

impl Server {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            connect: Does::Works,
            connect_time: Duration::from_millis(1),
            check: Does::Works,
            check_time: Duration::from_millis(1),
            recycle: Does::Works,
            recycles: 0,
            script: vec![],
            connects: 0,
            made: 0,
            running: 0,
            most_running: 0,
            checks: 0,
            alive: 0,
            most_alive: 0,
            least_alive: u32::MAX,
        })))
    }

    fn set(&self, set: impl FnOnce(&mut World)) {
        set(&mut self.0.lock());
    }

    fn see<T>(&self, see: impl FnOnce(&World) -> T) -> T {
        see(&self.0.lock())
    }

    /// A pool of it that has its minimum.
    async fn pool(&self, config: Config) -> Pool<Server> {
        let pool = Pool::new("test", config, self.clone());
        sleep(Duration::from_millis(1)).await;
        while pool.stats().connecting > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        pool
    }
}

impl Manager for Server {
    type Connection = Conn;
    type Error = Refused;

    fn connect(&self) -> impl Future<Output = Result<Conn, Refused>> + Send {
        let (does, time) = {
            let mut world = self.0.lock();
            world.connects += 1;
            let does = if world.script.is_empty() { world.connect } else { world.script.remove(0) };
            (does, world.connect_time)
        };
        assert!(does != Does::PanicsAtOnce, "as the script says");
        let world = Arc::clone(&self.0);
        async move {
            struct Running(Arc<Mutex<World>>);
            impl Drop for Running {
                fn drop(&mut self) {
                    self.0.lock().running -= 1;
                }
            }
            {
                let mut world = world.lock();
                world.running += 1;
                world.most_running = world.most_running.max(world.running);
            }
            let _running = Running(Arc::clone(&world));
            sleep(time).await;
            act(does).await?;
            let id = {
                let mut world = world.lock();
                world.alive += 1;
                world.most_alive = world.most_alive.max(world.alive);
                world.made += 1;
                world.made
            };
            Ok(Conn { id, is_broken: false, world })
        }
    }

    async fn check(&self, _: &mut Conn) -> Result<(), Refused> {
        let (does, time) = {
            let mut world = self.0.lock();
            world.checks += 1;
            (world.check, world.check_time)
        };
        sleep(time).await;
        act(does).await
    }

    fn is_broken(&self, conn: &mut Conn) -> bool {
        conn.is_broken
    }

    fn recycle(&self, _: &mut Conn) -> Result<(), Refused> {
        let does = {
            let mut world = self.0.lock();
            world.recycles += 1;
            world.recycle
        };
        match does {
            Does::Works => Ok(()),
            Does::Fails => Err(Refused),
            _ => panic!("as the script says"),
        }
    }
}

async fn act(does: Does) -> Result<(), Refused> {
    match does {
        Does::Works => Ok(()),
        Does::Fails => Err(Refused),
        Does::Hangs => pending().await,
        Does::Panics | Does::PanicsAtOnce => panic!("as the script says"),
    }
}

fn size(min: u32, max: u32) -> Config {
    Config::default().size(Size::new(min, max).unwrap())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Polls it once, with a waker that does nothing.
fn poll(get: &mut Acquire<Server>) -> Poll<Result<Lease<Server>, Error>> {
    Pin::new(get).poll(&mut Context::from_waker(Waker::noop()))
}

/// A get that waits.
fn waits(pool: &Pool<Server>) -> Acquire<Server> {
    let mut get = pool.get();
    assert!(poll(&mut get).is_pending());
    get
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let outcome = future.await;
    (outcome, began.elapsed())
}
