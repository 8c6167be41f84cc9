//! A server that takes no more, and a pool that has no more.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_at_its_limit_is_no_outage_and_more_connections_come_when_it_takes_them() {
    let _alone = alone().await;
    let redis = Redis::start().await;
    let mut admin = Admin::of(&redis).await;
    let limit = |clients: u32| ["CONFIG".to_owned(), "SET".into(), "maxclients".into(), clients.to_string()];
    admin.ask(&limit(SIZE + 1).each_ref().map(String::as_str)).await; // this one is one of them
    let config = Config::default().size(Size::new(0, SIZE + 4).unwrap());
    let pool = Pool::new("redis", config, Resp(redis.addr()));
    // Nothing is cut off here, so that the server stays at its limit.
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let pool = pool.clone();
        tasks.spawn(async move {
            let tally = Tally::default();
            for n in 0..300 {
                assert!(load::ask(&pool, &format!("{task}:{n}"), &tally).await, "{tally:?}");
            }
            tally.served()
        });
    }
    let served: u64 = tasks.join_all().await.iter().sum();
    let (stats, rejected) = (pool.stats(), admin.stat("rejected_connections").await);
    eprintln!(
        "{served} served; {} connects failed, {rejected} rejected by the server",
        stats.connects_failed
    );
    assert_eq!(served, u64::from(TASKS) * 300);
    assert_eq!((stats.refused_down, stats.timeouts), (0, 0), "{stats:?}");
    assert_eq!((stats.size, admin.clients().await), (SIZE, SIZE));
    // It may try again at any moment.
    assert!(stats.connects_failed > 0 && rejected >= stats.connects_failed, "{rejected} of {stats:?}");

    admin.ask(&limit(100).each_ref().map(String::as_str)).await;
    let load = Load::on(&pool, u32::MAX);
    until("more connections", async || pool.stats().size == SIZE + 4).await;
    let tally = load.end().await;
    assert_eq!((tally.down.load(Relaxed), tally.timeouts.load(Relaxed)), (0, 0), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starves_where_all_ask_again_without_an_await_in_between() {
    const ASKERS: u64 = 64;
    const EACH: u64 = 1_000;
    let _alone = alone().await;
    let redis = Redis::start().await;
    let pool = Pool::new("redis", fixed(), Resp(redis.addr()));
    let (tally, begun) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for task in 0..ASKERS {
        let (pool, tally, begun) = (pool.clone(), tally.clone(), begun.clone());
        tasks.spawn(async move {
            let (mut n, mut served) = (0, 0);
            while tally.served() < ASKERS * EACH {
                assert!(load::ask(&pool, &format!("{task}:{n}"), &tally).await, "{tally:?}");
                // From when all ask. Relaxed: a few more or less are nobody's advantage.
                begun.fetch_add(u64::from(n == 0), Relaxed);
                served += u64::from(begun.load(Relaxed) == ASKERS);
                n += 1;
            }
            served
        });
    }
    let (each, took) = timed(tasks.join_all()).await;
    let (least, most) = (*each.iter().min().unwrap(), *each.iter().max().unwrap());
    eprintln!("{ASKERS} tasks were served {least} to {most} times in {took:.2?}");
    assert_eq!(tally.wrong.load(Relaxed), 0);
    assert!(least > 0 && most * 10 <= least * 12, "{least} to {most}");
}
