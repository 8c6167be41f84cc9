//! What a pool shows of itself.

use super::*;
use buttress_core::Ratio;

#[tokio::test(start_paused = true)]
async fn what_is_measured_is_exact_in_number_and_sum_and_has_quantiles() {
    let server = Server::new();
    server.set(|world| (world.connect_time, world.check_time) = (ms(40), ms(2)));
    let pool = server.pool(size(1, 1)).await;
    for _ in 0..9 {
        let lease = pool.get().await.unwrap();
        sleep(ms(10)).await;
        drop(lease);
    }
    let (lease, next) = (pool.get().await.unwrap(), tokio::spawn(pool.get()));
    sleep(ms(100)).await;
    drop(lease);
    next.await.unwrap().unwrap();
    sleep(ms(600)).await; // beyond the window
    drop(pool.get().await.unwrap());

    let stats = pool.stats();
    let half = Ratio::percent(50);
    assert_eq!((stats.connect.count(), stats.connect.max()), (1, Some(ms(40))));
    assert_eq!((stats.check.count(), stats.check.sum()), (1, ms(2)));
    assert_eq!((stats.wait.count(), stats.served), (12, 12));
    assert_eq!(stats.wait.sum(), ms(102));
    assert!(stats.wait.quantile(half).unwrap() <= Duration::from_nanos(1), "most did not wait");
    assert_eq!((stats.used.count(), stats.used.sum()), (12, ms(190)));
    let median = stats.used.quantile(half).unwrap();
    assert!(median >= ms(10) && median <= ms(10).mul_f64(1.032), "{median:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_measured_is_counted_all_the_same() {
    let server = Server::new();
    let never = Duration::MAX;
    let config = size(1, 1).measure(false).check_after(never).idle_timeout(never).keepalive(never);
    let pool = server.pool(config).await;
    drop(pool.get().await.unwrap());
    let stats = pool.stats();
    assert_eq!((stats.served, stats.wait.count(), stats.used.count()), (1, 0, 0));
    assert_eq!((stats.connects, stats.connect.count()), (1, 1));
}
