//! Back-pressure.

use super::*;
use buttress_batcher::{Oversize, WhenFull};

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_request_is_answered() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(2))));
    let service = layer.layer(backend.clone());
    let mut running = calls(&service, [1]).await;
    running.extend(calls(&service, [2]).await);
    let mut third = service.clone();
    assert!(!is_ready(&mut third));
    backend.release(1);
    settle().await;
    assert!(is_ready(&mut third));
    assert!(!is_ready(&mut service.clone()), "there is one, and the third has it");
    backend.release(2);
    assert_eq!(answers(running).await, tens([1, 2]));
    assert_eq!(third.call(3).await, Ok(30));
}

#[tokio::test(start_paused = true)]
async fn readiness_does_not_wait_for_the_inner_service() {
    let backend = Backend::new(Plan::Answer);
    backend.readiness(Readiness::Pending);
    let service = numbers(one_by_one().queue(Some(most(8))), &backend);
    let waiting = calls(&service, 0..8).await;
    assert!(!is_ready(&mut service.clone()));
    backend.readiness(Readiness::Ready);
    assert_eq!(answers(waiting).await, tens(0..8));
    assert_eq!(backend.sizes(), [4, 4]);
}

#[tokio::test(start_paused = true)]
async fn who_makes_many_calls_before_it_polls_one_gets_them_all() {
    let backend = Backend::new(Plan::After(MS));
    let mut service = numbers(one_by_one().queue(Some(most(10))), &backend);
    let mut futures = vec![];
    for number in 0..100 {
        futures.push(service.ready().await.unwrap().call(number));
    }
    assert_eq!(futures_util::future::join_all(futures).await, tens(0..100));
}

#[tokio::test(start_paused = true)]
async fn places_are_given_in_the_order_of_asking() {
    let backend = Backend::new(Plan::After(MS));
    let service = numbers(one_by_one().max_size(most(1)).queue(Some(most(1))), &backend);
    assert_eq!(answers(calls(&service, 0..20).await).await, tens(0..20));
    assert_eq!(backend.batches().concat(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_was_given_to_one_who_left_goes_to_the_next() {
    let backend = Backend::new(Plan::Hold);
    let service = numbers(one_by_one().queue(Some(most(1))), &backend);
    let running = calls(&service, [1]).await;
    let (mut second, mut third) = (service.clone(), service.clone());
    assert!(!is_ready(&mut second));
    let third = tokio::spawn(async move { third.ready().await.map(|_| ()) });
    settle().await;
    backend.release(1);
    assert_eq!(answers(running).await, tens([1]));
    settle().await;
    assert!(!third.is_finished(), "the second one has it");
    drop(second);
    assert_eq!(third.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_refused_once_nobody_is_to_wait() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(1))));
    let service: Numbers = layer.layer(backend.clone());
    let running = calls(&service, [1]).await;
    let line = calls(&service, [2, 3]).await;
    layer.handle().reconfigure(layer.handle().config().when_full(WhenFull::Refuse));
    settle().await;
    assert!(line.iter().all(JoinHandle::is_finished), "they were told");
    for refused in line {
        assert_eq!(reason(&refused.await.unwrap()), Some(Reason::Overloaded));
    }
    layer.handle().reconfigure(layer.handle().config().when_full(WhenFull::Wait));
    let next = calls(&service, [4]).await;
    backend.release(10);
    assert_eq!((answers(running).await, answers(next).await), (tens([1]), tens([4])));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_the_middle_of_the_line_is_passed_over() {
    let backend = Backend::new(Plan::Hold);
    let service = numbers(one_by_one().queue(Some(most(1))), &backend);
    let running = calls(&service, [1]).await;
    let line = calls(&service, [2, 3, 4]).await;
    line[1].abort();
    backend.release(10);
    assert_eq!(answers(running).await, tens([1]));
    let rest: Vec<_> = futures_util::future::join_all(line).await;
    assert_eq!((rest[0].as_ref().unwrap(), rest[2].as_ref().unwrap()), (&Ok(20), &Ok(40)));
    assert_eq!(backend.saw(), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn who_would_rather_not_wait_is_refused_in_call() {
    let backend = Backend::new(Plan::Hold);
    let config = one_by_one().queue(Some(most(3))).when_full(WhenFull::Refuse);
    let layer = BatchLayer::new("numbers", config);
    let service = layer.layer(backend.clone());
    let waiting = calls(&service, 0..5).await;
    backend.release(10);
    let answers = answers(waiting).await;
    let reasons: Vec<_> = answers.iter().map(reason).collect();
    assert_eq!(reasons, [None, None, None, Some(Reason::Overloaded), Some(Reason::Overloaded)]);
    assert_eq!((layer.handle().stats().refused, layer.handle().stats().requests), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_readied_takes_a_place_if_there_is_one() {
    let backend = Backend::new(Plan::Hold);
    let mut service = numbers(one_by_one().queue(Some(most(1))), &backend);
    let first = tokio::spawn(service.call(1));
    settle().await;
    assert_eq!(reason(&service.call(2).await), Some(Reason::Overloaded));
    backend.release(1);
    assert_eq!(first.await.unwrap(), Ok(10));
}

#[tokio::test(start_paused = true)]
async fn cancelled_requests_give_their_places_back_though_nothing_moves() {
    let backend = Backend::new(Plan::Hold);
    let service = numbers(one_by_one().queue(Some(most(4))), &backend);
    let mut waiting = calls(&service, [0]).await;
    waiting.extend(calls(&service, 1..4).await);
    let later = calls(&service, 4..6).await;
    waiting[1].abort();
    waiting[2].abort();
    settle().await;
    backend.release(10);
    assert_eq!(answers(later).await, tens(4..6));
    assert_eq!(backend.saw(), [0, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_gives_its_place_back() {
    let backend = Backend::new(Plan::Answer);
    let config = one_by_one().queue(Some(most(1))).max_weight(weight(5)).oversize(Oversize::Refuse);
    let mut first = BatchLayer::new("numbers", config).weigh(|number: &u64| *number).layer(backend);
    let mut second = first.clone();
    assert!(is_ready(&mut first));
    let refused = first.call(6);
    assert!(is_ready(&mut second), "nothing is waiting or running");
    assert_eq!(reason(&refused.await), Some(Reason::Overloaded));
    assert_eq!(second.call(5).await, Ok(50));
}
