//! Numbers while many tasks record them at once, and quantiles beside a sort.

use crate::rows::{Rows, Value};
use buttress_core::{Metric, Ratio};
use buttress_metrics::{Buckets, Counter, Gauge, Histogram, OpenFamily, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TASKS: u64 = 64;
const EACH: u64 = 1_000_000;

const DONE: Metric = Metric { name: "done_total", unit: "", help: "of a test" };
const OPEN: Metric = Metric { name: "open", unit: "", help: "of a test" };
const TOOK: Metric = Metric { name: "took_seconds", unit: "seconds", help: "of a test" };

/// What a scrape shows: the counters by label, then count and sum of the histogram.
fn scrape(registry: &Registry) -> (Vec<u64>, u64, f64) {
    let rows = Rows::of(registry);
    let totals = rows.series("done_total").map(|row| rows.total(&row.name, &row.labels)).collect();
    let Some(Value::Histogram(took)) = rows.get("took_seconds", "") else { panic!("it is there") };
    let counts: Vec<_> = took.buckets().iter().map(|bucket| bucket.count).collect();
    assert!(counts.is_sorted(), "buckets are cumulative: {counts:?}");
    assert_eq!(counts.last(), Some(&took.count()), "the buckets hold what is counted");
    (totals, took.count(), took.sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_lose_nothing_and_no_scrape_sees_a_number_fall() {
    let registry = Registry::new();
    let done: OpenFamily<Counter, 1> = registry.open_counters(&DONE, ["lane"]).unwrap();
    let open: Gauge = registry.gauge(&OPEN).unwrap();
    let took: Histogram = registry.histogram(&TOOK, &Buckets::default()).unwrap();
    let running = Arc::new(AtomicU64::new(TASKS));
    let lanes = ["a", "b", "c", "d"];
    lanes.iter().for_each(|lane| drop(done.get([lane]).clone()));

    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (done, open, took) = (done.clone(), open.clone(), took.clone());
            let running = Arc::clone(&running);
            tokio::spawn(async move {
                for n in 0..EACH {
                    let held = open.hold();
                    done.get([lanes[(task % 4) as usize]]).inc();
                    took.record(Duration::from_micros(n * 7));
                    drop(held);
                    if n % 1000 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            })
        })
        .collect();

    let scraped = registry.clone();
    let scraping = tokio::spawn(async move {
        let mut before = scrape(&scraped);
        let mut scrapes = 0;
        while running.load(Ordering::Relaxed) > 0 {
            let now = scrape(&scraped);
            assert!(before.0.iter().zip(&now.0).all(|(before, now)| before <= now), "{before:?}, {now:?}");
            assert!(before.1 <= now.1 && before.2 <= now.2, "{before:?}, {now:?}");
            before = now;
            scrapes += 1;
            tokio::task::yield_now().await;
        }
        scrapes
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert!(scraping.await.unwrap() > 0, "it was never scraped meanwhile");

    let (totals, count, sum) = scrape(&registry);
    assert_eq!(totals, [TASKS * EACH / 4; 4]);
    let micros = TASKS * (0..EACH).sum::<u64>() * 7;
    assert_eq!((count, sum), (TASKS * EACH, micros as f64 / 1e6));
    assert_eq!(open.value(), 0.0);
}

/// Deterministic numbers from 0 to 1, exclusive.
fn uniform() -> impl Iterator<Item = f64> {
    (1..=50_000_u64).map(|n| {
        let any = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((any >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    })
}

#[test]
fn quantiles_are_within_a_32nd_of_the_sorted_ones_whatever_the_distribution() {
    let exponential = |u: f64| -u.ln() * 0.02;
    let heavy_tail = |u: f64| 0.001 * u.powf(-0.8);
    let two_humps = |u: f64| if u < 0.7 { 0.002 + u * 0.001 } else { 1.0 + u };
    for (name, draw) in [
        ("exponential", &exponential as &dyn Fn(f64) -> f64),
        ("heavy tail", &heavy_tail),
        ("two humps", &two_humps),
    ] {
        let took = Registry::new().histogram(&TOOK, &Buckets::default()).unwrap();
        let mut sorted: Vec<_> = uniform().map(draw).map(Duration::from_secs_f64).collect();
        sorted.iter().for_each(|value| took.record(*value));
        sorted.sort_unstable();
        let snapshot = took.snapshot();
        for percent in [1, 50, 90, 95, 99, 100] {
            let share = Ratio::percent(percent);
            let exact = sorted[share.of(sorted.len() as u64) as usize - 1].as_secs_f64();
            let told = snapshot.quantile(share).unwrap();
            let rounding = 1.0 + 1e-9;
            assert!(
                told * rounding >= exact && told <= exact * (1.0 + 1.0 / 32.0) * rounding,
                "{name}, p{percent}: {told} for {exact}"
            );
        }
        let exact = sorted.iter().sum::<Duration>().as_secs_f64();
        assert!((snapshot.sum() - exact).abs() <= exact * 1e-12, "{name}: {} for {exact}", snapshot.sum());
        for bucket in snapshot.buckets() {
            let exact = sorted.iter().filter(|value| value.as_secs_f64() <= bucket.bound).count();
            assert_eq!(bucket.count, exact as u64, "{name}, le {}", bucket.bound);
        }
    }
}
