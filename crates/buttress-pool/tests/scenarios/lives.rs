//! How connections age, and how many there are.

use super::*;
use buttress_pool::{Close, Event};
use buttress_testkit::alloc;
use std::num::NonZeroU32;

#[tokio::test(start_paused = true)]
async fn connections_are_replaced_before_they_are_too_old_and_nobody_waits_for_it() {
    let server = Server::new();
    server.set(|world| world.connect_time = ms(150));
    let pool = server.pool(size(8, 8).max_lifetime(ms(1_000)).check_after(Duration::MAX)).await;
    server.set(|world| world.least_alive = world.alive);
    let began = Instant::now();
    let mut worst = Duration::ZERO;
    while began.elapsed() < ms(6_000) {
        let (lease, took) = timed(pool.get()).await;
        worst = worst.max(took);
        sleep(ms(1)).await;
        drop(lease.unwrap());
    }
    assert!(worst < ms(20), "{worst:?}");
    let (least, most) = server.see(|world| (world.least_alive, world.most_alive));
    assert!(least >= 4 && most <= 8, "{least} to {most}");
    assert!(pool.stats().closed(Close::Aged) >= 40);
}

#[tokio::test(start_paused = true)]
async fn below_the_maximum_the_successor_comes_first() {
    let server = Server::new();
    server.set(|world| world.connect_time = ms(20));
    let pool = server.pool(size(3, 6).max_lifetime(ms(1_000)).keepalive(Duration::MAX)).await;
    server.set(|world| world.least_alive = world.alive);
    sleep(ms(10_000)).await;
    let (least, most) = server.see(|world| (world.least_alive, world.most_alive));
    assert_eq!(least, 3, "made before broken");
    assert!((4..=6).contains(&most));
    let stats = pool.stats();
    assert_eq!(stats.closed(Close::Aged) + u64::from(stats.size), stats.created);
    assert!(stats.closed(Close::Aged) >= 27 && stats.size <= 4);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_go_but_never_under_the_minimum() {
    let server = Server::new();
    let pool = server.pool(size(2, 8).idle_timeout(ms(500)).keepalive(Duration::MAX)).await;
    let mut leases = vec![];
    for _ in 0..8 {
        leases.push(pool.get().await.unwrap());
    }
    drop(leases);
    assert_eq!(pool.stats().idle, 8);
    sleep(ms(600)).await;
    assert_eq!((pool.stats().idle, pool.stats().closed(Close::Idle)), (2, 6));
    sleep(ms(5_000)).await;
    assert_eq!(pool.stats().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_is_kept_alive_one_at_a_time_and_the_dead_are_found() {
    let server = Server::new();
    let pool = server.pool(size(3, 3).keepalive(ms(1_000))).await;
    sleep(ms(1_100)).await;
    assert_eq!((server.see(|world| world.checks), pool.stats().idle), (3, 3));
    assert_eq!(server.see(|world| world.most_checking), 1);
    server.set(|world| world.check = Does::Fails);
    sleep(ms(1_100)).await;
    assert_eq!(pool.stats().closed(Close::Unfit), 3);
    assert_eq!(pool.stats().idle, 3, "and replaced");
}

#[tokio::test(start_paused = true)]
async fn a_smaller_pool_never_exceeds_its_cap_once_leases_are_back() {
    let server = Server::new();
    let pool = server.pool(size(0, 20)).await;
    let users: Vec<_> = (0..40)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let lease = pool.get().await.unwrap();
                    sleep(ms(3)).await;
                    drop(lease);
                }
            })
        })
        .collect();
    sleep(ms(30)).await;
    assert_eq!(pool.stats().size, 20);
    pool.resize(Size::new(0, 5).unwrap());
    sleep(ms(4)).await;
    assert_eq!(pool.stats().size, 5);
    server.set(|world| world.most_alive = world.alive);
    sleep(ms(100)).await;
    assert_eq!(server.see(|world| world.most_alive), 5);
    pool.resize(Size::new(0, 20).unwrap());
    sleep(ms(30)).await;
    assert_eq!(pool.stats().size, 20);
    for user in users {
        user.await.unwrap();
    }
    assert_eq!((pool.stats().served, server.see(|world| world.most_alive)), (2_000, 20));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_out_for_too_long_is_reported_once_with_its_place() {
    let server = Server::new();
    let seen = Arc::new(Mutex::new(vec![]));
    let pool = {
        let seen = Arc::clone(&seen);
        let pool = server.pool(size(1, 2).leak_after(ms(1_000))).await;
        pool.observe(move |event| seen.lock().push(event))
    };
    let (lease, line) = (pool.get().await.unwrap(), line!());
    sleep(ms(900)).await;
    drop(pool.get().await.unwrap());
    assert!(seen.lock().is_empty());
    sleep(ms(5_000)).await;
    let seen = seen.lock().clone();
    let [Event::Leaked { by, out_for }] = seen[..] else { panic!("{seen:?}") };
    assert_eq!((by.file(), by.line()), (file!(), line));
    assert!(out_for >= ms(1_000) && out_for <= ms(1_005), "{out_for:?}");
    assert_eq!(pool.stats().leaks, 1);
    drop(lease);
}

#[derive(Debug)]
struct Channel(Arc<Conn>);

impl Clone for Channel {
    fn clone(&self) -> Self {
        assert!(!self.0.world.lock().clone_panics, "as the script says");
        Self(Arc::clone(&self.0))
    }
}

struct Channels(Server);

impl Manager for Channels {
    type Connection = Channel;
    type Error = Refused;

    async fn connect(&self) -> Result<Channel, Refused> {
        self.0.connect().await.map(|conn| Channel(Arc::new(conn)))
    }

    async fn check(&self, _: &mut Channel) -> Result<(), Refused> {
        Ok(())
    }

    fn is_broken(&self, channel: &mut Channel) -> bool {
        channel.0.is_broken
    }
}

#[tokio::test(start_paused = true)]
async fn shared_leases_spread_over_the_connections_with_the_fewest() {
    let server = Server::new();
    let pool = Pool::shared("test", size(2, 2), Channels(server.clone()), NonZeroU32::new(3).unwrap());
    sleep(ms(10)).await;
    let mut leases = vec![];
    for taken in 1..=6 {
        leases.push(pool.get().await.unwrap());
        let mut ids: Vec<_> = leases.iter().map(|lease| lease.0.id).collect();
        ids.sort_unstable();
        let first = ids.iter().filter(|&&id| id == ids[0]).count();
        assert!(first == taken / 2 || first == taken.div_ceil(2), "{ids:?}");
    }
    assert_eq!((pool.stats().in_use, pool.stats().size), (6, 2));
    let error = pool.get_within(ms(10)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { in_use: 6, .. }));
    leases.pop();
    leases.push(pool.get().await.unwrap());
    drop(leases);
    assert_eq!((pool.stats().idle, server.see(|world| world.alive)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_stays_when_a_lease_is_detached_unless_that_is_dirty() {
    let server = Server::new();
    let pool = Pool::shared("test", size(0, 1), Channels(server.clone()), NonZeroU32::new(3).unwrap());
    let twin = pool.get().await.unwrap().detach();
    assert_eq!((twin.0.id, pool.stats().idle), (1, 1));
    let mut lease = pool.get().await.unwrap();
    lease.mark_dirty();
    assert_eq!(lease.detach().0.id, 1);
    assert_eq!((pool.stats().closed(Close::Dirty), pool.stats().size), (1, 0));
    assert_eq!(pool.get().await.unwrap().0.id, 2);
}

#[tokio::test(start_paused = true)]
async fn how_many_may_share_a_connection_costs_nothing_until_they_do() {
    let each = NonZeroU32::new(1_000_000).unwrap();
    let make = || Pool::shared("test", size(1, 1), Channels(Server::new()), each);
    let (pool, counted) = alloc::count(make);
    assert!(counted.bytes < 200_000, "{counted:?}");
    let mut leases = vec![];
    for _ in 0..100 {
        leases.push(pool.get().await.unwrap());
    }
    assert_eq!((pool.stats().in_use, pool.stats().size), (100, 1));
    drop(leases);
    assert_eq!((pool.stats().in_use, pool.stats().idle), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_that_cannot_be_cloned_costs_one_get_and_itself() {
    let server = Server::new();
    let pool = Pool::shared("test", size(1, 1), Channels(server.clone()), NonZeroU32::new(3).unwrap());
    let lease = pool.get().await.unwrap();
    server.set(|world| world.clone_panics = true);
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Down { retry_after: Duration::ZERO, .. }), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the clone of a shared connection panicked");
    server.set(|world| world.clone_panics = false);
    assert_eq!((pool.stats().size, pool.stats().in_use), (1, 1), "it closes with its last lease");
    let next = pool.get_within(ms(10)).await;
    assert!(matches!(next, Err(Error::Timeout { .. })), "{next:?}");
    drop(lease);
    assert_eq!(pool.stats().closed(Close::Unfit), 1);
    assert_eq!(pool.get().await.unwrap().0.id, 2);

    server.set(|world| world.clone_panics = true);
    assert!(pool.try_get().is_none());
    assert_eq!(pool.stats().closed(Close::Unfit), 2);
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.timeouts, stats.in_use), (stats.served + 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_that_cannot_be_cloned_for_its_check_is_replaced() {
    let server = Server::new();
    let config = size(2, 2).keepalive(ms(1_000));
    let pool = Pool::shared("test", config, Channels(server.clone()), NonZeroU32::new(3).unwrap());
    sleep(ms(10)).await;
    server.set(|world| world.clone_panics = true);
    sleep(ms(1_000)).await;
    server.set(|world| world.clone_panics = false);
    let stats = pool.stats();
    assert_eq!((stats.closed(Close::Cancelled), stats.checking, stats.idle), (2, 0, 2));
    assert_eq!(server.see(|world| world.alive), 2);
}
