//! Servers that die and that stand still.

use super::*;
use buttress_pool::Close;
use std::sync::atomic::Ordering::Relaxed;

/// How many connects may fail in an outage: four at once, one in 40 ms for as long as the shortest pause is in force, and
/// from then on one in an eighth of what has gone by, less a fifth by chance.
fn connects_in(outage: Duration) -> u64 {
    let growth = (outage.as_secs_f64() / 0.4).max(1.0).ln() / 1.1_f64.ln();
    4 + 10 + growth.ceil() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_few_connects_and_is_found_when_it_is_back() {
    let _alone = alone().await;
    let mut redis = Redis::start().await;
    let pool = Pool::new("redis", fixed(), Resp(redis.addr()));
    let load = Load::on(&pool, 50);
    load.serves(2_000).await;
    for down in [ms(700), ms(2_000)] {
        let mut admin = Admin::of(&redis).await;
        until("all are there", async || admin.clients().await == SIZE).await;
        let before = pool.stats();
        let killed = Instant::now();
        redis.kill();
        sleep(down).await;
        let served = load.tally.served();
        redis.restart().await;
        let (up, outage) = (Instant::now(), killed.elapsed());
        until("served again", async || load.tally.served() > served).await;
        let found = up.elapsed();
        load.serves(2_000).await;

        let mut admin = Admin::of(&redis).await;
        until("all are back", async || admin.clients().await == SIZE).await;
        let (received, stats) = (admin.stat("total_connections_received").await, pool.stats());
        let failed = stats.connects_failed - before.connects_failed;
        eprintln!(
            "down {outage:.2?}: found {found:.2?} after it was back, {failed} connects failed, {} refused, \
             the new server has taken {received} connections",
            stats.refused_down - before.refused_down
        );
        assert!((1..=connects_in(outage)).contains(&failed), "{failed} in {outage:?}");
        assert!(found <= 10 * (outage / 8).max(ms(100)), "{found:?} after {outage:?}");
        assert!(stats.refused_down > before.refused_down);
        // Those of the pool, which replaces what is cut off, this one, and those that waited for the server.
        let made = stats.created - before.created;
        assert!((u64::from(SIZE)..=made + 10).contains(&received), "{received}, and {made} made");
    }
    let tally = load.end().await;
    let (longest, late) = tally.longest_get();
    eprintln!("longest get {longest:.2?} on a machine late by {late:.2?}; {tally:?}");
    assert_eq!((tally.wrong.load(Relaxed), tally.timeouts.load(Relaxed)), (0, 0));
    assert!(tally.down_with_cause.load(Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_costs_no_get_more_than_its_limit_and_each_black_hole_is_found_once() {
    let _alone = alone().await;
    let limit = ms(500);
    let mut redis = Redis::start().await;
    let config = fixed().check_after(Duration::ZERO).check_timeout(ms(250)).connect_timeout(ms(250));
    let pool = Pool::new("redis", config, Resp(redis.addr()));
    until("all are there", async || pool.stats().idle == SIZE).await;
    let mut admin = Admin::of(&redis).await;
    assert_eq!(admin.clients().await, SIZE);
    redis.stop();
    for n in 0..5 {
        // Beside it, so that both are as late as the machine is.
        let ((lease, took), ((), as_long)) = tokio::join!(timed(pool.get_within(limit)), timed(sleep(limit)));
        eprintln!("a get within {limit:?} took {took:.2?}: {}", lease.as_ref().unwrap_err());
        assert!(lease.is_err() && took <= as_long + ms(50), "{lease:?} after {took:?}, a sleep {as_long:?}");
        assert_eq!(pool.stats().checks, u64::from(SIZE), "all at once, when get {n} had met one");
    }
    until("all are found", async || pool.stats().size == 0).await;
    let stats = pool.stats();
    assert_eq!((stats.closed(Close::Unfit), stats.checks_failed), (8, 8), "{stats:?}");

    redis.cont();
    let went_on = Instant::now();
    until("served again", async || pool.get().await.is_ok()).await;
    eprintln!("found {:.2?} after it went on", went_on.elapsed());
    let mut served = 0;
    for n in 0..11 {
        let mut lease = pool.get_within(limit).await.unwrap();
        served += u32::from(lease.ask(&["ECHO", &n.to_string()]).await.unwrap() == n.to_string());
    }
    assert_eq!(served, 11);
    until("all are back", async || admin.clients().await == SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_under_load_costs_no_get_more_than_its_limit() {
    let _alone = alone().await;
    let limit = ms(500);
    let mut redis = Redis::start().await;
    let config = fixed().acquire_timeout(limit).check_timeout(ms(250)).connect_timeout(ms(250));
    let pool = Pool::new("redis", config, Resp(redis.addr()));
    let load = Load::on(&pool, 50);
    load.serves(2_000).await;
    let mut admin = Admin::of(&redis).await;
    let (before, received) = (pool.stats(), admin.stat("total_connections_received").await);
    redis.stop();
    sleep(2 * limit).await;
    redis.cont();
    let went_on = Instant::now();
    load.serves(1).await;
    let found = went_on.elapsed();
    load.serves(2_000).await;

    let tally = load.end().await;
    until("all are back", async || admin.clients().await == SIZE).await;
    let (stats, (longest, late)) = (pool.stats(), tally.longest_get());
    let (begun, received) =
        (stats.connects - before.connects, admin.stat("total_connections_received").await - received);
    eprintln!(
        "longest get {longest:.2?} of {limit:?} on a machine late by {late:.2?}; found {found:.2?} after it went on; \
         {begun} connects begun, {received} taken by the server; {tally:?}"
    );
    assert_eq!(tally.wrong.load(Relaxed), 0);
    assert!(longest <= limit + ms(50) + late, "{longest:?}, on a machine late by {late:?}");
    assert!(tally.down.load(Relaxed) + tally.timeouts.load(Relaxed) > 0);
    assert!(received <= begun, "{received} of {begun}");
}
