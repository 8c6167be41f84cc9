//! What a batch costs: one allocation of ours and no task, whatever its size.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{Batch, BatchLayer, Config, batch_fn};
use buttress_core::Error;
use buttress_testkit::alloc::{Mark, uncounted};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceExt};

type Echo = Batch<u64, u64, Error<Infallible>>;

/// Answers at the second poll. Its results are not counted: they are not ours.
fn echo(layer: &BatchLayer<u64>) -> Echo {
    layer.layer(batch_fn(|numbers: Vec<u64>| async move {
        yield_now().await;
        Ok::<_, Infallible>(uncounted(|| numbers.iter().map(|number| Ok(*number)).collect::<Vec<_>>()))
    }))
}

/// So many calls at once, and all their answers.
async fn together(
    service: &mut Echo,
    futures: &mut Vec<Pin<Box<<Echo as Service<u64>>::Future>>>,
    size: u64,
) {
    for number in 0..size {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let future = service.call(number);
        uncounted(|| futures.push(Box::pin(future)));
    }
    poll_fn(|cx: &mut Context<'_>| {
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                answer.unwrap();
                false
            }
            Poll::Pending => true,
        });
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_any_size_costs_one_allocation() {
    const ROUNDS: u64 = 20;
    let layer = BatchLayer::new("echo", Config::default().in_flight(NonZeroU32::MIN));
    let mut service = echo(&layer);
    let mut futures = Vec::with_capacity(64);
    let mut seen = vec![];
    for size in [64, 1, 8, 64] {
        together(&mut service, &mut futures, size).await;
        let before = layer.handle().stats();
        let mark = Mark::here();
        for _ in 0..ROUNDS {
            together(&mut service, &mut futures, size).await;
        }
        let counted = mark.since().allocations;
        let after = layer.handle().stats();
        assert_eq!((after.batches() - before.batches(), after.sent - before.sent), (ROUNDS, ROUNDS * size));
        seen.push((size, counted));
    }
    assert_eq!(seen[1..], [(1, ROUNDS), (8, ROUNDS), (64, ROUNDS)], "one for the requests of each batch");
}

#[tokio::test(start_paused = true)]
async fn there_is_one_task_however_many_batches_run() {
    let layer = BatchLayer::new("echo", Config::default());
    let service = echo(&layer);
    let metrics = Handle::current().metrics();
    let spawned = || metrics.num_alive_tasks();
    assert_eq!(spawned(), 0);
    for size in [1, 64, 1000] {
        let calls = (0..size).map(|number| service.clone().oneshot(number));
        let mut calls = std::pin::pin!(futures_util::future::join_all(calls));
        let mut most = 0;
        poll_fn(|cx| {
            most = most.max(spawned());
            calls.as_mut().poll(cx).map(drop)
        })
        .await;
        assert_eq!((most, spawned()), (1, 1), "{size}");
    }
    assert!(layer.handle().stats().batches() > 17);
}

#[tokio::test]
async fn a_lone_call_wakes_its_caller_once() {
    let layer = BatchLayer::new("echo", Config::default());
    let mut service = echo(&layer);
    for _ in 0..3 {
        let mut polls = 0;
        let mut future = service.ready().await.unwrap().call(7);
        poll_fn(|cx| {
            polls += 1;
            Pin::new(&mut future).poll(cx)
        })
        .await
        .unwrap();
        assert_eq!(polls, 2);
    }
}
