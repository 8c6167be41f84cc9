//! Requests that share a result.

use super::*;

/// Even numbers share results by their tens, odd ones do not.
fn shared(config: Config, backend: &Backend) -> (Numbers, buttress_batcher::Handle) {
    let layer = BatchLayer::new("numbers", config)
        .dedup_by(|number: &u64| if number % 2 == 0 { Some(number / 10) } else { None });
    (layer.layer(backend.clone()), layer.handle())
}

#[tokio::test(start_paused = true)]
async fn equal_requests_are_sent_once_and_all_are_answered() {
    let backend = Backend::new(Plan::Answer);
    let (service, handle) = shared(one_by_one().max_size(most(3)).linger(Duration::MAX), &backend);
    let answers = answers(calls(&service, [20, 31, 22, 24, 40]).await).await;
    assert_eq!(answers, [Ok(200), Ok(310), Ok(200), Ok(200), Ok(400)]);
    assert_eq!(backend.batches(), [[20, 31, 40]], "the batch is full with three, whoever shares them");
    let stats = handle.stats();
    assert_eq!((stats.sent, stats.shared, stats.dedup_ratio()), (3, 2, 0.4));
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_its_key_was_sent_asks_anew() {
    let backend = Backend::new(Plan::Hold);
    let (service, _) = shared(one_by_one(), &backend);
    let first = calls(&service, [20]).await;
    let second = calls(&service, [22, 24]).await;
    backend.release(2);
    assert_eq!(answers(first).await, [Ok(200)]);
    assert_eq!(answers(second).await, [Ok(220), Ok(220)]);
    assert_eq!(backend.batches(), [[20], [22]]);
}

#[tokio::test(start_paused = true)]
async fn errors_are_shared_as_well() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", one_by_one().linger(MS)).dedup_by(|_: &u64| Some(()));
    let service = layer.layer(backend.clone());
    let answers = answers(calls(&service, [UNLUCKY, 1, 2]).await).await;
    assert_eq!(answers, [const { Err(Error::Inner("unlucky")) }; 3]);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_of_a_key_leaves_the_next_is_sent_and_not_the_first() {
    let backend = Backend::new(Plan::Hold);
    let (service, handle) = shared(one_by_one(), &backend);
    let first = calls(&service, [1]).await;
    let group = calls(&service, [20, 22, 24]).await;
    let after = calls(&service, [3]).await;
    group[0].abort();
    group[1].abort();
    settle().await;
    backend.release(2);
    assert_eq!((answers(first).await, answers(after).await), (tens([1]), tens([3])));
    assert_eq!(group.into_iter().next_back().unwrap().await.unwrap(), Ok(240));
    assert_eq!(backend.batches(), [vec![1], vec![24, 3]], "it keeps the place of the first");
    assert_eq!((handle.stats().cancelled, handle.stats().shared), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn those_who_share_a_result_keep_places_of_their_own() {
    let backend = Backend::new(Plan::Hold);
    let (service, _) = shared(one_by_one().queue(Some(most(3))), &backend);
    let running = calls(&service, [20]).await;
    let waiting = calls(&service, [40, 42]).await;
    let mut more = service.clone();
    assert!(!is_ready(&mut more));
    backend.release(2);
    assert_eq!(answers(running).await, [Ok(200)]);
    assert_eq!(answers(waiting).await, [Ok(400), Ok(400)]);
}

#[tokio::test(start_paused = true)]
async fn equal_keys_of_different_partitions_share_nothing() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", one_by_one().linger(MS))
        .partition_by(|number: &u64| number % 2)
        .dedup_by(|_: &u64| Some("the same"));
    let service = layer.layer(backend.clone());
    assert_eq!(answers(calls(&service, [1, 2, 3, 4]).await).await, [Ok(10), Ok(20), Ok(10), Ok(20)]);
    assert_eq!(backend.saw(), [1, 2]);
}
