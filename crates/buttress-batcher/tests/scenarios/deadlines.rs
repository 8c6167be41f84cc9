//! Requests that must not be late.

use super::*;
use buttress_batcher::Flush;

/// Requests are how many milliseconds there are, from the start; zero is for ever.
fn dated(config: Config, backend: &Backend) -> (Numbers, buttress_batcher::Handle) {
    let start = Instant::now().into_std();
    let layer = BatchLayer::new("numbers", config)
        .deadline(move |&number: &u64| (number > 0).then(|| start + MS * number as u32));
    (layer.layer(backend.clone()), layer.handle())
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_late_is_refused_and_not_sent() {
    let start = Instant::now();
    let backend = Backend::new(Plan::After(100 * MS));
    let (service, handle) = dated(one_by_one(), &backend);
    let first = calls(&service, [0]).await;
    let waiting = calls(&service, [20, 0, 30, 200]).await;
    sleep(20 * MS).await;
    settle().await;
    assert!(
        waiting[0].is_finished() && !waiting[2].is_finished(),
        "all slots are busy, and still it is told"
    );
    let answers_of_waiting = answers(waiting).await;
    assert_eq!(start.elapsed(), 200 * MS);
    let reasons: Vec<_> = answers_of_waiting.iter().map(reason).collect();
    assert_eq!(reasons, [Some(Reason::TimedOut), None, Some(Reason::TimedOut), None]);
    assert_eq!(answers(first).await, tens([0]));
    assert_eq!(backend.batches(), [vec![0], vec![0, 200]]);
    assert_eq!(handle.stats().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_refuses_at_once() {
    let backend = Backend::new(Plan::Answer);
    let (service, _) = dated(Config::default(), &backend);
    sleep(10 * MS).await;
    let answers = answers(calls(&service, [10, 11, 9]).await).await;
    let reasons: Vec<_> = answers.iter().map(reason).collect();
    assert_eq!(reasons, [Some(Reason::TimedOut), None, Some(Reason::TimedOut)]);
    assert_eq!(backend.saw(), [11]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_linger_in_time_to_be_sent() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Answer);
    let (service, handle) = dated(Config::default().linger(Duration::from_secs(1)), &backend);
    assert_eq!(answers(calls(&service, [0, 500, 20]).await).await, tens([0, 500, 20]));
    assert_eq!((start.elapsed(), backend.batches()), (19 * MS, vec![vec![0, 500, 20]]));
    assert_eq!(handle.stats().flushed(Flush::Deadline), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_whose_caller_has_left_ends_no_linger() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Answer);
    let (service, _) = dated(Config::default().linger(100 * MS), &backend);
    let waiting = calls(&service, [0, 20]).await;
    waiting[1].abort();
    settle().await;
    let mut waiting = waiting.into_iter();
    assert_eq!(waiting.next().unwrap().await.unwrap(), Ok(0));
    assert_eq!((start.elapsed(), backend.batches()), (100 * MS, vec![vec![0]]));
}

#[tokio::test(start_paused = true)]
async fn once_sent_a_request_has_all_the_time_it_takes() {
    let backend = Backend::new(Plan::After(50 * MS));
    let (service, _) = dated(Config::default(), &backend);
    assert_eq!(answers(calls(&service, [10]).await).await, tens([10]));
}

#[tokio::test(start_paused = true)]
async fn those_who_share_a_result_have_deadlines_of_their_own() {
    let start = Instant::now();
    let backend = Backend::new(Plan::After(100 * MS));
    let base = start.into_std();
    let layer = BatchLayer::new("numbers", one_by_one())
        .dedup_by(|number: &u64| Some(number % 2))
        .deadline(move |&number: &u64| (number > 10).then(|| base + MS * number as u32));
    let service = layer.layer(backend.clone());
    let first = calls(&service, [1]).await;
    // The leader of the even ones is late, and so is one that follows; the last of them is sent.
    let waiting = calls(&service, [20, 30, 4]).await;
    let answers_of_waiting = answers(waiting).await;
    let reasons: Vec<_> = answers_of_waiting.iter().map(reason).collect();
    assert_eq!(reasons, [Some(Reason::TimedOut), Some(Reason::TimedOut), None]);
    assert_eq!((answers(first).await, backend.batches()), (tens([1]), vec![vec![1], vec![4]]));
}
