//! What it holds does not grow with what has passed through it. Alone in its process, whose bytes it counts.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{Batch, BatchLayer, Config, batch_fn};
use buttress_core::Error;
use buttress_testkit::alloc::live_bytes;
use std::convert::Infallible;
use std::num::NonZeroU32;
use tokio::task::{JoinHandle, yield_now};
use tower::{Layer, ServiceExt};

type Echo = Batch<u64, u64, Error<Infallible>>;

/// Sixty-four callers with keys that nobody has had before; some of them leave.
async fn round(service: &Echo, from: u64) {
    let call = |number| tokio::spawn(service.clone().oneshot(number));
    let calls: Vec<JoinHandle<_>> = (from..from + 64).map(call).collect();
    yield_now().await;
    calls.iter().step_by(5).for_each(JoinHandle::abort);
    for call in calls {
        let _ = call.await;
    }
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 1 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_flat_however_many_keys_come_and_go() {
    let places = NonZeroU32::new(16);
    let layer = BatchLayer::new("echo", Config::default().queue(places))
        .partition_by(|number: &u64| number.to_string())
        .dedup_by(|number: &u64| Some(number.to_string()));
    let service: Echo = layer.layer(batch_fn(|numbers: Vec<u64>| async move {
        yield_now().await;
        Ok::<_, Infallible>(numbers.into_iter().map(Ok).collect::<Vec<_>>())
    }));
    for number in 0..100 {
        round(&service, number * 64).await;
    }
    let before = live_bytes();
    for number in 100..400 {
        round(&service, number * 64).await;
    }
    let after = live_bytes();
    let stats = layer.handle().stats();
    assert!(stats.sent > 15_000 && stats.cancelled > 0, "{stats:?}");
    assert!(after < before + 2048, "{before} bytes, and then {after}");
}
