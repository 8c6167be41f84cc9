//! How a batcher ends: with its last service, by a shutdown, with its runtime.

use super::*;
use buttress_batcher::{AtEnd, Flush};
use std::pin::pin;
use tokio::runtime::Builder;

#[tokio::test(start_paused = true)]
async fn there_is_one_task_and_it_ends_with_the_last_service() {
    let backend = Backend::new(Plan::Answer);
    let mut service = numbers(Config::default(), &backend);
    assert_eq!(tasks(), 0, "nobody has called");
    service.ready().await.unwrap().call(1).await.unwrap();
    let clone = service.clone();
    drop(service);
    settle().await;
    assert_eq!(tasks(), 1);
    drop(clone);
    settle().await;
    assert_eq!(tasks(), 0);
    assert_eq!(Arc::strong_count(&backend.inside), 1, "the inner service has gone");
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_the_last_service_goes_is_sent_or_refused() {
    for (at_end, sent) in [(AtEnd::Flush, true), (AtEnd::Fail, false)] {
        let backend = Backend::new(Plan::Hold);
        let layer = BatchLayer::new("numbers", one_by_one().linger(MS).at_end(at_end));
        let mut service: Numbers = layer.layer(backend.clone());
        let mut futures = vec![];
        for number in 0..4 {
            futures.push(tokio::spawn(service.ready().await.unwrap().call(number)));
        }
        settle().await;
        for number in 4..7 {
            futures.push(tokio::spawn(service.ready().await.unwrap().call(number)));
        }
        settle().await;
        drop(service);
        settle().await;
        backend.release(2);
        let answers = answers(futures).await;
        assert_eq!(answers[..4], tens(0..4), "they were running");
        for (number, answer) in (4..).zip(&answers[4..]) {
            if sent {
                assert_eq!(*answer, Ok(number * 10));
            } else {
                assert_eq!(reason(answer), Some(Reason::Closed));
            }
        }
        settle().await;
        assert_eq!((tasks(), layer.handle().stats().closed), (0, if sent { 0 } else { 3 }));
        assert_eq!(layer.handle().stats().flushed(Flush::Drain), u64::from(sent), "it did not linger");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_keeps_nothing_alive() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default());
    let handle = layer.handle();
    let mut service: Numbers = layer.layer(backend.clone());
    service.ready().await.unwrap().call(1).await.unwrap();
    drop((service, layer));
    settle().await;
    assert_eq!((tasks(), handle.stats().sent), (0, 1));
    handle.flush();
    handle.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_all_and_lets_nobody_in() {
    let start = Instant::now();
    let backend = Backend::new(Plan::After(10 * MS));
    let layer = BatchLayer::new("numbers", one_by_one().linger(MS).queue(Some(most(12))));
    let (handle, service) = (layer.handle(), layer.layer(backend.clone()));
    let waiting = calls(&service, 0..12).await;
    let line = calls(&service, [99]).await;
    let shutdown = tokio::spawn(async move { handle.shutdown(Duration::MAX).await });
    settle().await;
    assert_eq!(reason(&answers(line).await[0]), Some(Reason::Closed), "it waited for a place");
    assert_eq!(reason(&service.clone().oneshot(100).await), Some(Reason::Closed));
    assert_eq!(shutdown.await.unwrap(), Ok(()));
    assert_eq!((start.elapsed(), tasks()), (30 * MS, 0));
    assert!(waiting.iter().all(JoinHandle::is_finished));
    assert_eq!(answers(waiting).await, tens(0..12));
    let mut later: Numbers = layer.layer(backend);
    assert!(later.ready().await.is_err(), "as closed as the others");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_takes_too_long_refuses_what_waits_and_leaves_what_runs() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one());
    let service = layer.layer(backend.clone());
    let mut waiting = calls(&service, [0]).await;
    waiting.extend(calls(&service, 1..6).await);
    let unfinished = layer.handle().shutdown(20 * MS).await.unwrap_err();
    assert_eq!((unfinished.refused(), unfinished.running(), start.elapsed()), (5, 1, 20 * MS));
    assert_eq!(unfinished.to_string(), "5 requests were not sent, and 1 batches still run");
    settle().await;
    assert!(waiting[1].is_finished() && !waiting[0].is_finished());
    backend.release(1);
    let answers = answers(waiting).await;
    assert_eq!(answers[0], Ok(0));
    assert!(answers[1..].iter().all(|answer| reason(answer) == Some(Reason::Closed)));
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_shutdown_refuses_is_refused_though_the_last_service_goes_right_after() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().at_end(AtEnd::Flush));
    let service = layer.layer(backend.clone());
    let running = calls(&service, [0]).await;
    let waiting = calls(&service, 1..3).await;
    assert_eq!(layer.handle().shutdown(MS).await.unwrap_err().refused(), 2);
    drop(service);
    backend.release(2);
    assert!(answers(waiting).await.iter().all(|answer| reason(answer) == Some(Reason::Closed)));
    assert_eq!((answers(running).await, backend.saw()), (tens([0]), vec![0]));
}

#[tokio::test(start_paused = true)]
async fn what_a_shutdown_sends_is_sent_though_the_last_service_goes_meanwhile() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().at_end(AtEnd::Fail));
    let service = layer.layer(backend.clone());
    let mut all = calls(&service, [0]).await;
    all.extend(calls(&service, 1..3).await);
    let handle = layer.handle();
    let shutdown = tokio::spawn(async move { handle.shutdown(Duration::MAX).await });
    settle().await;
    drop(service);
    settle().await;
    backend.release(2);
    assert_eq!((answers(all).await, shutdown.await.unwrap()), (tens(0..3), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_of_what_never_ran_is_over_at_once() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default());
    let mut service: Numbers = layer.layer(backend.clone());
    assert_eq!(layer.handle().shutdown(Duration::ZERO).await, Ok(()));
    assert!(service.ready().await.is_err());
    assert_eq!(Arc::strong_count(&backend.inside), 1);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_are_shut_down_together() {
    let backend = Backend::new(Plan::After(5 * MS));
    let layer = BatchLayer::new("numbers", Config::default());
    let services: Vec<Numbers> = (0..3).map(|_| layer.layer(backend.clone())).collect();
    let mut waiting = vec![];
    for service in &services {
        waiting.extend(calls(service, 0..2).await);
    }
    assert_eq!(tasks(), 9);
    layer.handle().shutdown(Duration::from_secs(1)).await.unwrap();
    assert_eq!(answers(waiting).await, [tens(0..2), tens(0..2), tens(0..2)].concat());
    assert_eq!((tasks(), layer.handle().stats().sent), (0, 6));
}

#[test]
fn when_its_runtime_ends_everybody_is_told() {
    let (backend, told) = (Backend::new(Plan::Hold), Told::default());
    let config = one_by_one().queue(Some(most(7)));
    let layer = BatchLayer::new("numbers", config).observe(told.observer());
    let service: Numbers = layer.layer(backend.clone());
    let first = Builder::new_current_thread().enable_time().build().unwrap();
    let second = Builder::new_current_thread().enable_time().build().unwrap();
    // The driver lives on the first runtime, and those who wait on the second.
    let mut started = None;
    first.block_on(async {
        started = Some(service.clone().ready().await.unwrap().call(0));
        settle().await;
    });
    let (waiting, line) =
        second.block_on(async { (calls(&service, 1..7).await, calls(&service, [7]).await) });
    first.block_on(settle());
    assert_eq!(backend.batches(), [[0]]);
    drop(first);
    second.block_on(async {
        assert_eq!(reason(&started.unwrap().await), Some(Reason::Closed));
        for answer in answers(waiting).await.iter().chain(&answers(line).await) {
            assert_eq!(reason(answer), Some(Reason::Closed));
        }
        assert_eq!(reason(&service.clone().oneshot(8).await), Some(Reason::Closed));
    });
    assert_eq!(told.events(), [Event::Lost { callers: 7 }]);
    assert_eq!(Arc::strong_count(&backend.inside), 1);
    let stats = layer.handle().stats();
    assert_eq!((stats.queued, stats.in_flight, stats.closed), (0, 0, 6));
}

#[test]
fn a_stack_is_built_and_even_called_outside_a_runtime() {
    let backend = Backend::new(Plan::Answer);
    let mut service = numbers(Config::default(), &backend);
    assert!(is_ready(&mut service));
    let mut call = service.call(1);
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        assert_eq!((&mut call).await, Ok(10), "its first poll has started the driver");
        assert_eq!(tasks(), 1);
    });
}

#[test]
fn what_is_never_polled_in_a_runtime_is_refused() {
    let backend = Backend::new(Plan::Answer);
    let mut service = numbers(Config::default(), &backend);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let Poll::Ready(answer) = pin!(service.call(1)).poll(cx) else { panic!("nobody would ever wake it") };
    assert_eq!(reason(&answer), Some(Reason::Closed));
    drop(service);
    assert_eq!(Arc::strong_count(&backend.inside), 1);
}

#[tokio::test(start_paused = true)]
async fn futures_outlive_their_service() {
    let backend = Backend::new(Plan::After(MS));
    let mut service = numbers(Config::default(), &backend);
    let call = service.ready().await.unwrap().call(1);
    drop(service);
    assert_eq!(call.await, Ok(10));
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_told_of_the_end() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(1))));
    let service: Numbers = layer.layer(backend.clone());
    let running = calls(&service, [1]).await;
    let mut waiter = service.clone();
    assert!(!is_ready(&mut waiter));
    let handle = layer.handle();
    let shutdown = tokio::spawn(async move { handle.shutdown(Duration::from_secs(9)).await });
    assert!(waiter.ready().await.is_err());
    drop(waiter);
    backend.release(1);
    assert_eq!(shutdown.await.unwrap(), Ok(()));
    assert_eq!(answers(running).await, tens([1]));
}

#[test]
fn what_was_called_outside_a_runtime_is_sent_by_a_shutdown_in_one() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default());
    let mut service: Numbers = layer.layer(backend.clone());
    assert!(is_ready(&mut service));
    let call = service.call(1);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        assert_eq!(layer.handle().shutdown(Duration::from_secs(1)).await, Ok(()));
        assert_eq!(call.await, Ok(10));
    });
}

#[test]
fn on_a_runtime_without_timers_a_linger_refuses_and_nobody_hangs() {
    let backend = Backend::new(Plan::Answer);
    let service = numbers(Config::default().linger(MS), &backend);
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..2 {
            assert_eq!(reason(&service.clone().oneshot(number).await), Some(Reason::Closed));
        }
    });
}
