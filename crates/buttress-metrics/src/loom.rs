//! The cells, under loom: every interleaving of two or three threads, up to the number of preemptions that is set.
//!
//! `cargo xtask loom` runs these.

use crate::drops::Drops;
use crate::gauge::change;
use crate::histogram::{Cells, Grid, Snapshot, Sum};
use crate::primitive::{AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;
use std::time::Duration;

/// Few cells, since loom tries what happens between any two of them: up to 1 ns, 2 ns, 4 ns, and what is over.
fn cells() -> Arc<Cells> {
    let grid = Grid::new(0, 2, &[1.0, 2.0, 4.0], 1e9);
    Arc::new(Cells::new(grid.into(), Drops::new("loom".into(), Default::default()).into()))
}

fn snapshot(cells: &Cells) -> Snapshot {
    cells.snapshot::<Duration>()
}

fn nanos(snapshot: &Snapshot) -> u64 {
    (snapshot.sum() * 1e9).round() as u64
}

#[test]
fn loom_no_record_is_lost() {
    loom::model(|| {
        let cells = cells();
        let threads = [[3, 1], [3, 9]].map(|values| {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                for value in values {
                    cells.record(Duration::from_nanos(value));
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let all = snapshot(&cells);
        let counts: Vec<_> = all.buckets().iter().map(|bucket| bucket.count).collect();
        assert_eq!((counts, nanos(&all)), (vec![1, 1, 3, 4], 16));
    });
}

#[test]
fn loom_what_is_counted_is_in_the_sum_and_neither_falls() {
    loom::model(|| {
        let cells = cells();
        let recording = Arc::clone(&cells);
        let thread = thread::spawn(move || {
            // Into the cell that is looked at last, and into the first.
            recording.record(Duration::from_nanos(9));
            recording.record(Duration::from_nanos(1));
        });
        let (first, second) = (snapshot(&cells), snapshot(&cells));
        for seen in [&first, &second] {
            let over = seen.count() - seen.buckets()[2].count;
            assert!(nanos(seen) >= 9 * over + seen.buckets()[0].count, "{seen:?}");
        }
        assert!(second.count() >= first.count() && second.sum() >= first.sum(), "{first:?}, {second:?}");
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_sum_that_goes_round_is_whole_at_every_moment() {
    const STEP: u64 = 1 << 62;
    loom::model(|| {
        let sum = Arc::new(Sum::new());
        let adding = Arc::clone(&sum);
        // Past a half and past the whole: once as the first, once as the second thread.
        let thread = thread::spawn(move || (0..3).for_each(|_| adding.add_low(STEP)));
        let (first, second) = (sum.whole(), sum.whole());
        assert!(first <= second && second <= 3 * u128::from(STEP), "{first}, {second}");
        assert_eq!((first % u128::from(STEP), second % u128::from(STEP)), (0, 0));
        sum.add_low(STEP);
        thread.join().unwrap();
        assert_eq!(sum.whole(), 4 * u128::from(STEP));
    });
}

#[test]
fn loom_a_sum_of_the_largest_values_does_not_fall_while_two_threads_add_to_it() {
    loom::model(|| {
        let sum = Arc::new(Sum::new());
        sum.add_whole(u64::MAX);
        let threads = [1, 2].map(|times| {
            let adding = Arc::clone(&sum);
            thread::spawn(move || (0..times).for_each(|_| adding.add_whole(u64::MAX)))
        });
        let (first, second) = (sum.whole(), sum.whole());
        assert!(first <= second, "{first}, {second}");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(sum.whole(), 4 << 62);
    });
}

#[test]
fn loom_no_change_of_a_gauge_is_lost() {
    loom::model(|| {
        let value = Arc::new(AtomicU64::new(0_f64.to_bits()));
        let changing = Arc::clone(&value);
        let thread = thread::spawn(move || {
            change(&changing, |value| value + 1.0);
            change(&changing, |value| value - 3.0);
        });
        change(&value, |value| value + 10.0);
        thread.join().unwrap();
        assert_eq!(f64::from_bits(value.load(Ordering::Relaxed)), 8.0);
    });
}
