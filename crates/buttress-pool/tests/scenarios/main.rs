//! What servers do to a pool, in paused time: the scenarios in which other pools were seen to fail, and some more.
//!
//! | scenario | test |
//! | --- | --- |
//! | S1 the server is killed under load and restarted | `an_outage_costs_few_connects_and_its_end_is_found_within_an_eighth_of_it` |
//! | S2 it is down from the start | `a_server_that_is_down_from_the_start_is_named_in_milliseconds_and_then_at_once` |
//! | S3 a storm of cancelled gets | `cancelled_gets_are_counted_exactly_and_cost_no_connection` |
//! | S4 a connect hangs | `a_connect_that_never_ends_gives_its_place_back` |
//! | S5 a connect panics | `a_connect_that_panics_gives_its_place_back` |
//! | S6 a connection comes back while a slow connect runs | `a_connection_that_comes_back_serves_before_a_slow_connect` |
//! | S7 connections become black holes | `a_black_hole_costs_no_get_more_than_its_limit_and_every_later_one_is_served` |
//! | S8 two hundred wait for four | `two_hundred_waiters_end_at_their_limit_and_the_one_too_many_at_once` |
//! | S9 all grow too old at once; reaping | `connections_are_replaced_before_they_are_too_old_and_nobody_waits_for_it`, `idle_connections_go_but_never_under_the_minimum` |
//! | S10 a lease is dropped off the runtime | `a_lease_can_be_dropped_where_there_is_no_runtime` |
//! | S11 a caller leaves in the midst of a check, or of its own words | `a_check_that_was_cancelled_closes_its_connection`; `protocol.rs` |
//! | S12 a burst on an empty pool | `a_burst_on_an_empty_pool_connects_a_few_at_a_time` |
//! | S13 tight loops | `tasks_that_ask_again_at_once_are_served_alike` |
//! | S16 a smaller pool | `a_smaller_pool_never_exceeds_its_cap_once_leases_are_back` |
//! | S17 close | `a_closed_pool_waits_for_its_leases_and_names_those_that_do_not_come_back` |
//! | S18 leaks | `a_lease_that_is_out_for_too_long_is_reported_once_with_its_place` |
//! | S19 one of two endpoints dies | `of_two_endpoints_one_dies_and_the_other_serves_as_before_until_a_probe_finds_it_back` |
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod endpoints;
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
    /// Those of a shared connection's clone.
    clone_panics: bool,
    /// What the next connects do instead.
    script: Vec<Does>,
    connects: u32,
    made: u32,
    running: u32,
    most_running: u32,
    checks: u32,
    checking: u32,
    most_checking: u32,
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
            clone_panics: false,
            script: vec![],
            connects: 0,
            made: 0,
            running: 0,
            most_running: 0,
            checks: 0,
            checking: 0,
            most_checking: 0,
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
        struct Checking(Arc<Mutex<World>>);
        impl Drop for Checking {
            fn drop(&mut self) {
                self.0.lock().checking -= 1;
            }
        }
        let _checking = Checking(Arc::clone(&self.0));
        let (does, time) = {
            let mut world = self.0.lock();
            world.checks += 1;
            world.checking += 1;
            world.most_checking = world.most_checking.max(world.checking);
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
