//! Servers that are away, hang, or lie.

use super::*;
use std::error::Error as _;

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_from_the_start_is_named_in_milliseconds_and_then_at_once() {
    let server = Server::new();
    server.set(|world| world.connect = Does::Fails);
    let pool = Pool::new("test", size(0, 8), server.clone());
    let (error, took) = timed(pool.get()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error:?}");
    assert_eq!(error.source().unwrap().to_string(), "connection refused");
    assert!(took <= ms(3), "{took:?}");
    for _ in 0..10 {
        let (error, took) = timed(pool.get()).await;
        assert!(matches!(error, Err(Error::Down { retry_after, .. }) if retry_after <= ms(50)));
        assert_eq!(took, Duration::ZERO);
    }
    assert_eq!(pool.last_error().unwrap().1.to_string(), "connection refused");
    assert_eq!(pool.stats().refused_down, 11);
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_few_connects_and_its_end_is_found_within_an_eighth_of_it() {
    for (down, connects) in [(700, 20), (2_000, 29), (60_000, 80)] {
        let server = Server::new();
        let pool = server.pool(size(4, 8).check_after(Duration::ZERO)).await;
        server.set(|world| (world.check, world.connect) = (Does::Fails, Does::Fails));
        let (before, began) = (pool.stats().connects_failed, Instant::now());
        while began.elapsed() < ms(down) {
            assert!(pool.get().await.is_err());
            sleep(ms(1)).await;
        }
        let failed = pool.stats().connects_failed - before;
        assert!(failed <= connects, "{failed} in {down} ms");
        server.set(|world| (world.check, world.connect) = (Does::Works, Does::Works));
        let back = Instant::now();
        while pool.get().await.is_err() {
            sleep(ms(1)).await;
        }
        assert!(
            back.elapsed() <= ms((down / 8).clamp(60, 5_000) + 10),
            "{:?} after {down} ms",
            back.elapsed()
        );
    }
}

/// A pool without a minimum, whose server has failed, and that nobody has asked for long.
async fn quiet(server: &Server) -> Pool<Server> {
    server.set(|world| world.connect = Does::Fails);
    let pool = Pool::new("test", size(0, 4), server.clone());
    assert!(pool.get().await.is_err());
    sleep(ms(60_000)).await;
    assert_eq!(pool.stats().connects, 2, "one for who asked, one since it was refused");
    pool
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_a_quiet_outage_finds_out_that_it_is_over() {
    let server = Server::new();
    let pool = quiet(&server).await;
    server.set(|world| (world.connect, world.connect_time) = (Does::Works, ms(20)));
    let gets: Vec<_> = (0..3).map(|_| tokio::spawn(timed(pool.get()))).collect();
    for get in gets {
        let (lease, took) = get.await.unwrap();
        assert!(lease.is_ok() && took <= ms(41), "{lease:?} after {took:?}");
    }
    assert_eq!(pool.stats().refused_down, 1, "the one when it began");
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_a_quiet_outage_finds_out_that_it_goes_on() {
    let server = Server::new();
    let pool = quiet(&server).await;
    server.set(|world| (world.connect, world.connect_time) = (Does::Panics, ms(20)));
    let (error, took) = timed(pool.get()).await;
    let error = error.unwrap_err();
    assert_eq!((error.source().unwrap().to_string(), took.as_millis()), ("the connect panicked".into(), 20));
    assert!(matches!(error, Error::Down { retry_after, .. } if retry_after >= ms(4_000)), "{error:?}");
    let (error, took) = timed(pool.get()).await;
    assert!(matches!(error, Err(Error::Down { .. })) && took.is_zero(), "{error:?} after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_black_hole_after_a_quiet_outage_waits_no_longer_than_its_limit_and_others_not_at_all() {
    let server = Server::new();
    let pool = quiet(&server).await;
    server.set(|world| world.connect = Does::Hangs);
    let patient = tokio::spawn(timed(pool.get_within(ms(60_000))));
    let (error, took) = timed(pool.get_within(ms(100))).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }) && error.source().is_some(), "{error:?}");
    assert!(took >= ms(100) && took <= ms(105), "{took:?}");
    let (error, took) = patient.await.unwrap();
    assert!(matches!(error, Err(Error::Down { .. })), "{error:?}");
    assert!(took >= ms(5_000) && took <= ms(5_005), "{took:?}");
    // From now on somebody asks all the time: who probes is the driver.
    for _ in 0..20_000 {
        let (error, took) = timed(pool.get()).await;
        assert!(matches!(error, Err(Error::Down { .. })) && took.is_zero(), "{error:?} after {took:?}");
        sleep(ms(1)).await;
    }
    assert_eq!(server.see(|world| world.most_running), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_at_its_limit_is_no_outage_while_leases_are_out() {
    let server = Server::new();
    let pool = server.pool(size(0, 8)).await;
    let lease = pool.get().await.unwrap();
    server.set(|world| world.connect = Does::Fails);
    let error = pool.get_within(ms(100)).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout { waited, in_use: 1, waiters: 1, .. } if waited >= ms(100)),
        "{error:?}"
    );
    assert_eq!(error.source().unwrap().to_string(), "connection refused");
    let next = waits(&pool);
    drop(lease);
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_never_ends_gives_its_place_back() {
    let server = Server::new();
    server.set(|world| world.script = vec![Does::Hangs; 2]);
    let pool = Pool::new("test", size(0, 2).connect_timeout(ms(200)), server.clone());
    let (first, second) = (pool.get(), pool.get());
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err() && second.is_err());
    sleep(ms(60)).await; // they were refused, so that somebody asks
    pool.get().await.unwrap();
    assert_eq!(server.see(|world| world.running), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_panics_gives_its_place_back() {
    for does in [Does::Panics, Does::PanicsAtOnce] {
        let server = Server::new();
        server.set(|world| world.script = vec![does; 2]);
        let pool = Pool::new("test", size(0, 2), server.clone());
        let (first, second) = tokio::join!(pool.get(), pool.get());
        let error = first.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "the connect panicked");
        assert!(second.is_err());
        assert!(pool.get().await.is_err(), "it asks for a probe");
        sleep(ms(60)).await;
        let (_one, _other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_costs_no_get_more_than_its_limit_and_every_later_one_is_served() {
    let server = Server::new();
    let pool = server.pool(size(8, 8).check_timeout(ms(250))).await;
    sleep(ms(600)).await; // beyond the window
    server.set(|world| world.check = Does::Hangs);
    let (lease, took) = timed(pool.get_within(ms(500))).await;
    assert!(took <= ms(505), "{took:?}");
    drop(lease);
    for _ in 0..11 {
        let (lease, took) = timed(pool.get_within(ms(500))).await;
        assert!(lease.is_ok() && took <= ms(505), "{lease:?} after {took:?}");
    }
    let old = pool.stats().closed(buttress_pool::Close::Unfit);
    sleep(ms(300)).await;
    assert_eq!(pool.stats().closed(buttress_pool::Close::Unfit).max(old), 8, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_made_after_the_evidence_is_not_suspect() {
    let server = Server::new();
    let pool = server.pool(size(1, 2).check_timeout(ms(100)).check_after(ms(150))).await;
    sleep(ms(160)).await;
    server.set(|world| world.check = Does::Hangs);
    let first = waits(&pool); // checks the one there is
    drop(pool.get().await.unwrap()); // made meanwhile
    let (lease, took) = timed(first).await;
    assert_eq!((lease.unwrap().id, server.see(|world| world.checks)), (2, 1));
    assert!(took <= ms(105), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_cancelled_closes_its_connection() {
    let server = Server::new();
    let pool = server.pool(size(1, 1).check_after(ms(10))).await;
    sleep(ms(20)).await;
    server.set(|world| world.check_time = ms(50));
    let get = waits(&pool);
    assert_eq!(server.see(|world| (world.checks, world.alive)), (1, 1));
    drop(get);
    assert_eq!(server.see(|world| world.alive), 0);
    let stats = pool.stats();
    assert_eq!((stats.closed(buttress_pool::Close::Cancelled), stats.cancelled), (1, 1));
    assert_ne!(pool.get().await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_makes_the_others_be_checked_at_once() {
    let server = Server::new();
    let pool = server.pool(size(4, 4)).await;
    let mut lease = pool.get().await.unwrap();
    server.set(|world| world.check = Does::Fails);
    sleep(ms(1)).await;
    lease.is_broken = true;
    drop(lease);
    sleep(ms(2)).await;
    assert_eq!(server.see(|world| world.checks), 3);
    let stats = pool.stats();
    assert_eq!(
        (stats.closed(buttress_pool::Close::Broken), stats.closed(buttress_pool::Close::Unfit)),
        (1, 3)
    );
}
