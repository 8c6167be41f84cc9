//! What a pool shows of itself.

use super::*;
use buttress_core::{Distribution, Inspect, Labels, Metric, Ratio, Sink};
use buttress_pool::Event;
use std::collections::BTreeMap;
use std::fmt::Display;

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

/// What somebody sees who knows nothing of pools.
#[derive(Debug, Default)]
struct Page {
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, f64>,
    times: BTreeMap<&'static str, u64>,
    state: &'static str,
    notes: Vec<String>,
}

fn key(metric: &Metric, labels: Labels<'_>) -> String {
    labels.iter().fold(metric.name.to_owned(), |key, (_, value)| format!("{key} {value}"))
}

impl Sink for Page {
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64) {
        assert!(metric.name.ends_with("_total"));
        self.counters.insert(key(metric, labels), total);
    }

    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.gauges.insert(key(metric, labels), value);
    }

    fn state(&mut self, _: &Metric, all: &[&'static str], now: usize) {
        self.state = all[now];
    }

    fn histogram(&mut self, metric: &Metric, _: Labels<'_>, times: &Distribution) {
        self.times.insert(metric.name, times.count());
    }

    fn note(&mut self, key: &'static str, value: &dyn Display) {
        self.notes.push(format!("{key}: {value}"));
    }
}

impl Page {
    fn of(part: &dyn Inspect) -> Self {
        assert_eq!(part.name().as_str(), "test");
        let mut page = Self::default();
        part.inspect(&mut page);
        page
    }

    fn total(&self, of: &str) -> u64 {
        self.counters.iter().filter(|(key, _)| key.starts_with(of)).map(|(_, total)| total).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_knows_no_pool_shows_all_of_it() {
    let server = Server::new();
    let pool = server.pool(size(1, 2)).await;
    let page = Page::of(&pool);
    assert_eq!((pool.kind(), page.state, page.notes.len()), ("pool", "up", 0));

    let (one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let waiting = waits(&pool);
    sleep(ms(250)).await;
    let page = Page::of(&pool);
    for (gauge, value) in [
        ("connections", 2.0),
        ("connections_max", 2.0),
        ("idle", 0.0),
        ("leases", 2.0),
        ("connecting", 0.0),
        ("checking", 0.0),
        ("waiters", 1.0),
        ("places", 0.0),
        ("oldest_wait_seconds", 0.25),
        ("down_seconds", 0.0),
    ] {
        assert_eq!(page.gauges[gauge], value, "{gauge}");
    }
    drop(waiting);

    server.set(|world| (world.connect, world.check) = (Does::Fails, Does::Fails));
    other.is_broken = true;
    drop(other);
    drop(one); // suspect by now, and found dead
    sleep(ms(5)).await;
    assert!(pool.get().await.is_err());
    let (page, stats) = (Page::of(&pool), pool.stats());
    assert_eq!(page.state, "down");
    assert!(page.gauges["down_seconds"] > 0.0);
    let [note] = &page.notes[..] else { panic!("{:?}", page.notes) };
    assert!(note.starts_with("last_error: connection refused, "), "{note}");
    assert_eq!((page.counters["closed_total broken"], page.counters["closed_total unfit"]), (1, 1));
    assert_eq!((page.counters["gets_total cancelled"], page.counters["gets_total down"]), (1, 1));
    assert_eq!(page.total("gets_total"), stats.gets);
    assert_eq!(page.total("closed_total"), stats.created);
    assert_eq!(page.counters["connects_failed_total"], stats.connects_failed);
    let served = page.counters["gets_total served"];
    let times =
        [("wait_seconds", served), ("use_seconds", served), ("connect_seconds", 2), ("check_seconds", 1)];
    assert_eq!(page.times, BTreeMap::from(times));

    pool.close(Duration::ZERO).await.unwrap();
    assert_eq!(Page::of(&pool).state, "closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_database_is_shown_by_the_names_of_opentelemetry() {
    let server = Server::new();
    let pool = server.pool(size(2, 2)).await;
    let client = pool.db_client();
    assert_eq!((client.kind(), client.name()), ("db_client", pool.name()));
    let gauges = |page: &Page| -> Vec<(String, f64)> { page.gauges.clone().into_iter().collect() };
    let expected = |idle: f64, used: f64, pending: f64| {
        let of = |metric: &str| format!("connection_{metric}");
        let gauges = [
            ("count test idle", idle),
            ("count test used", used),
            ("max test", 2.0),
            ("pending_requests test", pending),
        ];
        gauges.map(|(metric, value)| (of(metric), value)).to_vec()
    };
    assert_eq!(gauges(&Page::of(&client)), expected(2.0, 0.0, 0.0));

    let (one, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert!(pool.get_within(ms(10)).await.is_err());
    let waiting = waits(&pool);
    sleep(ms(1)).await;
    assert_eq!(gauges(&Page::of(&client)), expected(0.0, 2.0, 1.0));
    drop((one, other, waiting));
    let page = Page::of(&client);
    assert_eq!(page.counters, BTreeMap::from([("connection_timeouts_total test".to_owned(), 1)]));
    let times = [("create", 2), ("use", 2), ("wait", 2)];
    let times = times.map(|(what, count)| (format!("connection_{what}_time_seconds"), count));
    assert_eq!(
        page.times.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>(),
        times
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_once_with_its_cause_and_so_is_its_end() {
    let server = Server::new();
    let told = Arc::new(Mutex::new(vec![]));
    let pool = {
        let told = Arc::clone(&told);
        let pool = server.pool(size(2, 4)).await;
        pool.observe(move |event: Event| told.lock().push(event.to_string()))
    };
    server.set(|world| (world.connect, world.check) = (Does::Fails, Does::Fails));
    let mut lease = pool.get().await.unwrap();
    lease.is_broken = true;
    drop(lease);
    sleep(ms(1_100)).await;
    assert!(pool.get().await.is_err());
    server.set(|world| (world.connect, world.check) = (Does::Works, Does::Works));
    while pool.stats().idle < 2 {
        sleep(ms(1)).await;
    }
    let told = told.lock().clone();
    let [down, up] = &told[..] else { panic!("{told:?}") };
    // One had been found dead, and the other was still being checked.
    assert_eq!(down, "connects fail, connections left: 1: connection refused");
    assert!(up.starts_with("connects work again after 1."), "{up}");
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_fails_after_the_pool_was_closed_is_no_outage() {
    let server = Server::new();
    server.set(|world| (world.connect, world.connect_time) = (Does::Fails, ms(100)));
    let told = Arc::new(Mutex::new(vec![]));
    let pool = {
        let told = Arc::clone(&told);
        Pool::new("test", size(1, 1), server.clone()).observe(move |event: Event| told.lock().push(event))
    };
    sleep(ms(10)).await;
    pool.close(Duration::ZERO).await.unwrap();
    sleep(ms(200)).await;
    assert_eq!((pool.stats().connects_failed, told.lock().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_costs_the_pool_nothing() {
    let server = Server::new();
    let told = Arc::new(Mutex::new(vec![]));
    let pool = {
        let told = Arc::clone(&told);
        let pool = server.pool(size(1, 2).leak_after(ms(1_000))).await;
        pool.observe(move |event: Event| {
            told.lock().push(event.to_string());
            panic!("as it happens");
        })
    };
    server.set(|world| world.connect = Does::Fails);
    let lease = pool.get().await.unwrap();
    assert!(pool.get_within(ms(10)).await.is_err());
    sleep(ms(1_100)).await;
    server.set(|world| world.connect = Does::Works);
    drop(pool.get().await.unwrap());
    drop(lease);
    let told: Vec<_> = told.lock().iter().map(|told| told.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(told, ["connects", "the", "connects"], "an outage, a leak, its end");
    assert_eq!((pool.is_closed(), pool.stats().idle), (false, 2));
}
