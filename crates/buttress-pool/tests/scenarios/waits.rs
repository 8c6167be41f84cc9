//! Who waits, for how long, and who is next.

use super::*;
use buttress_testkit::waker::CountingWaker;
use std::num::NonZeroU32;
use tokio::task::yield_now;
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_serves_before_a_slow_connect() {
    let server = Server::new();
    let pool = server.pool(size(1, 2)).await;
    server.set(|world| world.connect_time = ms(1_000));
    let lease = pool.get().await.unwrap();
    let id = lease.id;
    let next = tokio::spawn(timed(pool.get()));
    sleep(ms(20)).await;
    drop(lease);
    let (lease, took) = next.await.unwrap();
    assert_eq!(lease.unwrap().id, id);
    assert_eq!(took.as_millis(), 20);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_waiters_end_at_their_limit_and_the_one_too_many_at_once() {
    let server = Server::new();
    let config = size(4, 4).acquire_timeout(ms(300)).max_waiters(NonZeroU32::new(200).unwrap());
    let pool = server.pool(config).await;
    let mut leases = vec![];
    for _ in 0..4 {
        leases.push(pool.get().await.unwrap());
    }
    let waiters: Vec<_> = (0..200).map(|_| tokio::spawn(timed(pool.get()))).collect();
    sleep(ms(1)).await;
    let (error, took) = timed(pool.get()).await;
    assert!(matches!(error, Err(Error::QueueFull { waiters: 200 })) && took.is_zero());
    for waiter in waiters {
        let (error, took) = waiter.await.unwrap();
        assert!(matches!(error, Err(Error::Timeout { in_use: 4, cause: None, .. })), "{error:?}");
        assert!(took >= ms(300) && took <= ms(305), "{took:?}");
    }
    let stats = pool.stats();
    assert_eq!((stats.timeouts, stats.refused_full, stats.waiters), (200, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn different_limits_each_end_in_time() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    let _lease = pool.get().await.unwrap();
    let limits = [300, 100, 500, 20, 100, 400];
    let waiters: Vec<_> = limits.map(|limit| tokio::spawn(timed(pool.get_within(ms(limit))))).into();
    for (waiter, limit) in waiters.into_iter().zip(limits) {
        let (error, took) = waiter.await.unwrap();
        assert!(matches!(error, Err(Error::Timeout { .. })));
        assert!(took >= ms(limit) && took <= ms(limit + 5), "{took:?} of {limit} ms");
    }
    let (error, took) = timed(pool.get_within(Duration::ZERO)).await;
    assert!(matches!(error, Err(Error::Timeout { .. })) && took.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_keeps_the_ticket() {
    let server = Server::new();
    let pool = server.pool(size(2, 2).check_after(ms(100))).await;
    let lease = pool.get().await.unwrap();
    sleep(ms(200)).await;
    server.set(|world| {
        (world.check, world.check_time, world.connect_time) = (Does::Fails, ms(10), ms(10_000));
    });
    let mut first = waits(&pool); // checks the idle one
    let mut second = waits(&pool);
    sleep(ms(20)).await;
    assert!(poll(&mut first).is_pending(), "it waits again");
    server.set(|world| world.check = Does::Works);
    drop(lease); // suspect by now, and checked
    sleep(ms(20)).await;
    assert!(poll(&mut second).is_pending(), "the first was not overtaken");
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn a_burst_on_an_empty_pool_connects_a_few_at_a_time() {
    let server = Server::new();
    server.set(|world| world.connect_time = ms(20));
    let pool = Pool::new("test", size(0, 64), server.clone());
    let gets: Vec<_> = (0..64)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let lease = pool.get().await.unwrap();
                sleep(ms(1)).await;
                drop(lease);
            })
        })
        .collect();
    for get in gets {
        get.await.unwrap();
    }
    assert_eq!(server.see(|world| world.most_running), 4);
    assert_eq!(pool.stats().served, 64);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_with_a_grant_hands_it_on() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    let lease = pool.get().await.unwrap();
    let (first, mut second) = (waits(&pool), waits(&pool));
    drop(lease);
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.served, stats.cancelled, stats.idle), (3, 2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_has_no_time_for_a_check_has_the_connection_without_one() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    sleep(ms(600)).await; // beyond the window
    let (lease, took) = timed(pool.get_within(Duration::ZERO)).await;
    assert!(took.is_zero());
    let (mut next, id) = (pool.get_within(ms(100)), lease.unwrap().id);
    sleep(ms(600)).await;
    let lease = pool.get_within(Duration::ZERO).await.unwrap();
    assert!(poll(&mut next).is_pending());
    drop(lease);
    sleep(ms(600)).await; // its task is not run for so long
    let Poll::Ready(Ok(lease)) = poll(&mut next) else { panic!("it was granted in time") };
    assert_eq!((lease.id, server.see(|world| world.checks)), (id, 0));
}

#[tokio::test(start_paused = true)]
async fn a_try_takes_what_is_there_and_never_waits() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    sleep(ms(1_000)).await;
    let lease = pool.try_get().unwrap();
    assert_eq!(server.see(|world| world.checks), 0);
    assert!(pool.try_get().is_none());
    drop(lease);
    assert!(pool.try_get().is_some());
    assert_eq!(pool.stats().gets, 2);
}

#[tokio::test(start_paused = true)]
async fn a_try_overtakes_nobody_and_ends_with_the_pool() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    let lease = pool.get().await.unwrap();
    let mut first = waits(&pool);
    drop(lease);
    assert!(pool.try_get().is_none(), "it was handed to the one that waits");
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(_))));
    drop(first);
    pool.close(Duration::ZERO).await.unwrap();
    assert!(pool.try_get().is_none());
    assert_eq!(pool.stats().gets, 2);
}

#[tokio::test(start_paused = true)]
async fn a_get_that_moves_wakes_the_task_that_has_it_now() {
    let server = Server::new();
    let pool = server.pool(size(1, 1)).await;
    let lease = pool.get().await.unwrap();
    let (before, now) = (CountingWaker::new(), CountingWaker::new());
    let mut get = pool.get();
    for waker in [&before, &now] {
        assert!(Pin::new(&mut get).poll(&mut waker.context()).is_pending());
    }
    drop(lease);
    assert_eq!((before.wakes(), now.wakes()), (0, 1));
    assert!(matches!(poll(&mut get), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_ask_again_at_once_are_served_alike() {
    for hold in [Duration::ZERO, ms(1)] {
        let server = Server::new();
        let pool = server.pool(size(8, 8)).await;
        let left = Arc::new(Mutex::new(64 * 100));
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (pool, left) = (pool.clone(), Arc::clone(&left));
                tokio::spawn(async move {
                    let mut served = 0;
                    while *left.lock() > 0 {
                        let lease = pool.get().await.unwrap();
                        if hold.is_zero() {
                            yield_now().await;
                        } else {
                            sleep(hold).await;
                        }
                        served += 1;
                        *left.lock() -= 1;
                        drop(lease); // and on, without an await
                    }
                    served
                })
            })
            .collect();
        let (mut least, mut most) = (u32::MAX, 0);
        for task in tasks {
            let served = task.await.unwrap();
            (least, most) = (least.min(served), most.max(served));
        }
        assert!(least >= 99 && most <= 101, "{least} to {most}, {hold:?} each");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_gets_are_counted_exactly_and_cost_no_connection() {
    let server = Server::new();
    let pool = server.pool(size(4, 4)).await;
    let tasks: Vec<_> = (0..64)
        .map(|seed| {
            let (pool, mut random) = (pool.clone(), fastrand::Rng::with_seed(seed));
            tokio::spawn(async move {
                let mut got = 0;
                for _ in 0..200 {
                    let get = pool.get_within(ms(random.u64(1..60)));
                    if let Ok(Ok(lease)) = timeout(ms(random.u64(0..40)), get).await {
                        got += 1;
                        sleep(ms(random.u64(0..3))).await;
                        drop(lease);
                    }
                }
                got
            })
        })
        .collect();
    let mut got = 0;
    for task in tasks {
        got += task.await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!(stats.gets, 64 * 200);
    assert_eq!(stats.gets, stats.served + stats.cancelled + stats.timeouts);
    assert!(stats.served == got && stats.cancelled > 1_000 && stats.timeouts > 1_000, "{stats:?}");
    assert_eq!((stats.waiters, stats.in_use, stats.idle, stats.created), (0, 0, 4, 4));
    assert_eq!((stats.wait.count(), stats.used.count()), (got, got));
}
