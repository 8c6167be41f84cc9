//! Requests that must not meet.

use super::*;
use std::hash::{Hash, Hasher};

/// Partitions by tens.
fn tenths(config: Config, backend: &Backend) -> (Numbers, buttress_batcher::Handle) {
    let layer = BatchLayer::new("numbers", config).partition_by(|number: &u64| number / 10);
    (layer.layer(backend.clone()), layer.handle())
}

#[tokio::test(start_paused = true)]
async fn requests_with_different_keys_never_share_a_batch() {
    let backend = Backend::new(Plan::Answer);
    let (service, _) = tenths(one_by_one().linger(MS), &backend);
    assert_eq!(answers(calls(&service, 20..60).await).await, tens(20..60));
    for batch in backend.batches() {
        assert!(batch.iter().all(|number| number / 10 == batch[0] / 10), "{batch:?}");
    }
}

/// All keys have one hash.
#[derive(PartialEq, Eq)]
struct Collides(u64);

impl Hash for Collides {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_told_apart_by_what_they_are_and_not_by_their_hash() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", one_by_one().linger(MS))
        .partition_by(|number: &u64| Collides(number % 3))
        .dedup_by(|number: &u64| Some(Collides(*number)));
    let service = layer.layer(backend.clone());
    assert_eq!(answers(calls(&service, 0..9).await).await, tens(0..9));
    let mut batches = backend.batches();
    batches.sort_unstable();
    assert_eq!(batches, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_hangs_holds_no_other() {
    let backend = Backend::new(Plan::Answer);
    backend.special(10, Plan::Hold);
    let (service, handle) = tenths(one_by_one(), &backend);
    let mut stuck = calls(&service, [10]).await;
    stuck.extend(calls(&service, 11..19).await);
    assert_eq!(answers(calls(&service, 20..90).await).await, tens(20..90));
    assert_eq!((handle.stats().in_flight, handle.stats().queued), (1, 8));
    backend.release(1);
    assert_eq!(answers(stuck).await, tens(10..19));
}

#[tokio::test(start_paused = true)]
async fn a_total_bounds_all_partitions_and_they_take_turns() {
    let backend = Backend::new(Plan::Hold);
    let (service, _) = tenths(one_by_one().total_in_flight(Some(most(2))), &backend);
    let mut waiting = calls(&service, 20..29).await;
    waiting.extend(calls(&service, 30..39).await);
    waiting.extend(calls(&service, 40..49).await);
    assert_eq!(backend.batches().len(), 2);
    backend.release(100);
    answers(waiting).await;
    assert_eq!(backend.most_running(), 2);
    // The one that waits longest goes next: nobody goes twice while another waits.
    let order: Vec<_> = backend.batches().iter().map(|batch| batch[0] / 10).collect();
    assert_eq!(order[2], 4, "{order:?}");
    assert!(order[2..].windows(3).all(|three| three[0] != three[1]), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn more_batches_run_than_there_are_bits_in_a_word() {
    let backend = Backend::new(Plan::After(MS));
    let (service, _) = tenths(one_by_one(), &backend);
    let start = Instant::now();
    let calls = calls(&service, (0..300).map(|partition| partition * 10)).await;
    assert_eq!(answers(calls).await, tens((0..300).map(|partition| partition * 10)));
    assert_eq!((backend.most_running(), start.elapsed()), (300, MS));
}
