//! Callers that leave before they are answered.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_never_sent() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one());
    let service = layer.layer(backend.clone());
    let mut waiting = calls(&service, [0]).await;
    waiting.extend(calls(&service, 1..33).await);
    for call in waiting.iter().skip(1).step_by(2) {
        call.abort();
    }
    settle().await;
    backend.release(100);
    let answers: Vec<_> = futures_util::future::join_all(waiting).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(answered, 17);
    assert_eq!(backend.saw(), (0..33).step_by(2).collect::<Vec<_>>());
    assert_eq!(backend.sizes(), [1, 4, 4, 4, 4]);
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.sent, stats.cancelled, stats.queued), (33, 17, 16, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_everybody_has_left_is_not_sent() {
    let backend = Backend::new(Plan::Hold);
    let service = numbers(one_by_one(), &backend);
    let first = calls(&service, [0]).await;
    for call in calls(&service, 1..20).await {
        call.abort();
    }
    settle().await;
    backend.release(100);
    assert_eq!(answers(first).await, tens([0]));
    settle().await;
    assert_eq!(backend.batches(), [[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_the_driver_looks_is_never_sent() {
    let backend = Backend::new(Plan::Answer);
    let mut service = numbers(Config::default(), &backend);
    drop(service.ready().await.unwrap().call(1));
    assert_eq!(service.ready().await.unwrap().call(2).await, Ok(20));
    assert_eq!(backend.batches(), [[2]]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_running_batch_harms_nobody_else() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(3))).linger(MS));
    let service = layer.layer(backend.clone());
    let running = calls(&service, 0..3).await;
    sleep(MS).await;
    settle().await;
    assert_eq!(backend.batches(), [[0, 1, 2]]);
    running[1].abort();
    settle().await;
    let mut more = service.clone();
    assert!(!is_ready(&mut more), "its place is free when the batch ends");
    backend.release(1);
    let answers = futures_util::future::join_all(running).await;
    assert_eq!(answers[0].as_ref().unwrap(), &Ok(0));
    assert_eq!(answers[2].as_ref().unwrap(), &Ok(20));
    more.ready().await.unwrap();
    assert_eq!((layer.handle().stats().cancelled, layer.handle().stats().sent), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn the_first_in_line_can_leave_and_the_next_keeps_its_time() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Answer);
    let service = numbers(Config::default().linger(10 * MS), &backend);
    let first = call(&service, 1);
    sleep(4 * MS).await;
    let second = call(&service, 2);
    settle().await;
    first.abort();
    assert_eq!(second.await.unwrap(), Ok(20));
    assert_eq!((start.elapsed(), backend.batches()), (14 * MS, vec![vec![2]]));
}
