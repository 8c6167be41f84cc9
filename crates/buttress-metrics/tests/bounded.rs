//! What the cells take of memory, by the allocator's own count: as much at the end as at the beginning.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "scenarios/rows.rs"]
mod rows;

use buttress_core::Metric;
use buttress_metrics::expose::Format;
use buttress_metrics::{Buckets, Counter, Histogram, Open, OpenFamily, Registry};
use buttress_testkit::alloc::{self, live_bytes};
use parking_lot::{Mutex, MutexGuard};
use rows::Rows;
use std::time::Duration;
use tokio::time::Instant;

/// Live bytes are those of the process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

const LOGINS: Metric = Metric { name: "logins_total", unit: "", help: "of a test" };
const TOOK: Metric = Metric { name: "took_seconds", unit: "seconds", help: "of a test" };

/// What the harness may allocate beside the test, on its own thread.
const SLACK: u64 = 4 << 10;

#[test]
fn ten_thousand_values_of_a_label_take_no_more_than_a_hundred() {
    let _alone = alone();
    let registry = Registry::new();
    let logins: OpenFamily<Counter, 1> = registry.open_counters(&LOGINS, ["user"]).unwrap();
    let took: OpenFamily<Histogram, 1> =
        registry.open_histograms(&TOOK, ["user"], &Buckets::default()).unwrap();
    let log_in = |users: std::ops::Range<u32>| {
        for user in users {
            let user = user.to_string();
            logins.get([&user]).inc();
            took.get([&user]).record(Duration::from_millis(3));
        }
    };
    log_in(0..101);
    let before = live_bytes();
    log_in(101..10_000);
    let more = live_bytes().saturating_sub(before);
    assert!(more <= SLACK, "9,899 users took {more} bytes");

    let rows = Rows::of(&registry);
    assert_eq!((rows.series("logins_total").count(), rows.series("took_seconds").count()), (101, 101));
    let total: u64 = rows.series("logins_total").map(|row| rows.total(&row.name, &row.labels)).sum();
    assert_eq!((total, rows.total("logins_total", "user=_overflow")), (10_000, 9_900));
    assert_eq!(rows.dropped("logins_total", "overflow"), 9_900);
}

#[cfg(feature = "recorder")]
#[test]
fn ten_thousand_values_in_a_macro_take_no_more_than_a_hundred() {
    let _alone = alone();
    let registry = Registry::new();
    let recorder = buttress_metrics::recorder::Recorder::new(&registry);
    let log_in = |users: std::ops::Range<u32>| {
        metrics::with_local_recorder(&recorder, || {
            for user in users {
                metrics::counter!("logins", "user" => user.to_string()).increment(1);
                metrics::histogram!("took", "user" => user.to_string()).record(1.0);
            }
        });
    };
    log_in(0..101);
    let before = live_bytes();
    log_in(101..10_000);
    let more = live_bytes().saturating_sub(before);
    assert!(more <= SLACK, "9,899 users took {more} bytes");
    assert_eq!(Rows::of(&registry).total("logins_total", "_overflow=true"), 9_900);
}

#[test]
fn a_label_value_as_long_as_a_book_takes_nothing() {
    let _alone = alone();
    let registry = Registry::new();
    let logins: OpenFamily<Counter, 1> = registry.open_counters(&LOGINS, ["user"]).unwrap();
    logins.get(["_overflow"]).inc();
    let book = "x".repeat(1 << 20);
    let before = live_bytes();
    for length in 1..100 {
        logins.get([&book[length..]]).inc();
    }
    let more = live_bytes().saturating_sub(before);
    assert!(more <= SLACK, "{more} bytes");
    assert_eq!(Rows::of(&registry).total("logins_total", "user=_overflow"), 100);
}

#[test]
fn five_million_records_that_nobody_looks_at_take_nothing() {
    let _alone = alone();
    const RECORDS: u64 = 5_000_000;
    let registry = Registry::new();
    let took = registry.histogram(&TOOK, &Buckets::default()).unwrap();
    let before = (live_bytes(), alloc::thread());
    for n in 0..RECORDS {
        took.record(Duration::from_nanos(n * 700));
    }
    let allocated = alloc::thread() - before.1;
    assert_eq!(allocated.allocations, 0, "{allocated}");
    let more = live_bytes().saturating_sub(before.0);
    assert!(more <= SLACK, "{more} bytes");
    assert_eq!(took.snapshot().count(), RECORDS);
}

#[test]
fn a_histogram_takes_what_the_docs_say() {
    let _alone = alone();
    let registry = Registry::new();
    let took: OpenFamily<Histogram, 1> =
        registry.open_histograms(&TOOK, Open::new(["user"]).cap(1000), &Buckets::default()).unwrap();
    let _ = took.get(["first"]);
    let before = live_bytes();
    for user in 1..1000 {
        let _ = took.get([&user.to_string()]);
    }
    // And its place among the others.
    let each = (live_bytes() - before) / 999;
    assert!((8_500..9_200).contains(&each), "{each} bytes");
}

#[test]
fn a_scrape_of_a_thousand_series_takes_milliseconds_and_leaves_nothing() {
    let _alone = alone();
    let registry = Registry::new();
    let logins: OpenFamily<Counter, 1> =
        registry.open_counters(&LOGINS, Open::new(["user"]).cap(500)).unwrap();
    // Of 17 lines each.
    let took: OpenFamily<Histogram, 1> =
        registry.open_histograms(&TOOK, Open::new(["user"]).cap(500), &Buckets::default()).unwrap();
    for user in 0..500 {
        let user = user.to_string();
        logins.get([&user]).inc();
        took.get([&user]).record(Duration::from_micros(7));
    }
    let before = live_bytes();
    let scrapes = (0..20).map(|_| {
        let begun = Instant::now();
        let text = registry.encode(Format::OpenMetrics);
        let took = begun.elapsed();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 500 + 500 * 17);
        took
    });
    let fastest = scrapes.min().unwrap();
    println!("the fastest of 20: {fastest:?}");
    // Ten times what it is to take, since others may be at work here.
    assert!(fastest <= Duration::from_millis(50), "{fastest:?}");
    let more = live_bytes().saturating_sub(before);
    assert!(more <= SLACK, "{more} bytes");
}

#[test]
fn what_is_recorded_is_not_allocated_for() {
    let _alone = alone();
    let registry = Registry::new();
    let counter = registry.counter(&LOGINS).unwrap();
    let gauge = registry.gauge(&Metric { name: "open", unit: "", help: "" }).unwrap();
    let sizes = Metric { name: "sizes_bytes", unit: "bytes", help: "" };
    let sizes = registry.histogram(&sizes, &Buckets::<u64>::default()).unwrap();
    let took: OpenFamily<Histogram, 1> =
        registry.open_histograms(&TOOK, ["user"], &Buckets::default()).unwrap();
    let _ = took.get(["acme"]);
    let ((), counted) = alloc::count(|| {
        for n in 0..1000 {
            counter.inc();
            gauge.add(1.0);
            drop(gauge.hold());
            sizes.record(n);
            took.get(["acme"]).record(Duration::from_micros(n));
            drop(took.get(["acme"]).timer());
        }
    });
    assert_eq!(counted.allocations, 0, "{counted}");
}

#[cfg(feature = "recorder")]
#[test]
fn ten_thousand_labels_without_a_value_take_nothing() {
    let _alone = alone();
    let registry = Registry::new();
    let recorder = buttress_metrics::recorder::Recorder::new(&registry);
    let log_in = |label: String| {
        metrics::with_local_recorder(&recorder, || metrics::counter!("logins", label => "").increment(1));
    };
    log_in("first".to_owned());
    let before = live_bytes();
    (0..10_000).for_each(|n| log_in(format!("{n:01000}")));
    let more = live_bytes().saturating_sub(before);
    assert!(more <= SLACK, "10,000 labels took {more} bytes");
    assert_eq!(Rows::of(&registry).total("logins_total", ""), 10_001);
}
