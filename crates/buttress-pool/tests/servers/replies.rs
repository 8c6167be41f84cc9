//! Each reply reaches the one who has asked.

use super::*;
use buttress_pool::Close;
use std::sync::atomic::Ordering::Relaxed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_reaches_another_when_gets_checks_and_requests_are_cut_off() {
    let _alone = alone().await;
    let redis = Redis::start().await;
    let mut admin = Admin::of(&redis).await;
    let before = admin.stat("total_connections_received").await;
    // Checked each time, so that checks are cut off too.
    let pool = Pool::new("redis", fixed().check_after(Duration::ZERO), Resp(redis.addr()));
    let load = Load::on(&pool, 50);
    load.serves(20_000).await;
    let tally = load.end().await;
    let stats = pool.stats();
    let [dirty, cancelled] = [Close::Dirty, Close::Cancelled].map(|why| stats.closed(why));
    eprintln!(
        "{dirty} left before the reply, {cancelled} checks cut off, {} gets; {tally:?}",
        stats.cancelled
    );
    assert_eq!(tally.wrong.load(Relaxed), 0);
    assert!(dirty > 0 && cancelled > 0 && stats.cancelled > cancelled, "{stats:?}");
    assert_eq!(tally.unanswered.load(Relaxed) + tally.down.load(Relaxed), 0);

    until("all are back", async || admin.clients().await == SIZE).await;
    let received = admin.stat("total_connections_received").await - before;
    assert_eq!(received, pool.stats().created);
}
