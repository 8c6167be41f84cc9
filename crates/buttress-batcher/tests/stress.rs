//! Real threads, and everything at once: batches that fail, panic, miscount and wake themselves, callers that leave at any
//! poll, services that are dropped readied, and one configuration after the other.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{Batch, BatchLayer, Config};
use buttress_core::{Error, Reason};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::yield_now;
use tower::{Layer, Service};

const CALLERS: u64 = 64;
const EACH: u64 = 400;
const MOST: usize = 8;
const PARTITIONS: u64 = 3;
const IN_FLIGHT: usize = 2;
const PLACES: u32 = 40;

type Wild = Batch<Request, u64, Error<&'static str>>;

#[derive(Debug)]
struct Request {
    number: u64,
    partition: u64,
}

#[derive(Default)]
struct Seen {
    random: AtomicU32,
    /// Every request that was ever sent.
    numbers: Mutex<HashSet<u64>>,
    /// Callers that were answered, and those that had left before anybody could send theirs.
    running: [AtomicUsize; PARTITIONS as usize],
}

impl Seen {
    /// One in so many times.
    fn once_in(&self, times: u32) -> bool {
        let random = self.random.fetch_add(0x9e37_79b9, Ordering::Relaxed);
        random.rotate_left(11).wrapping_mul(0x85eb_ca6b) >> 8 < (1 << 24) / times
    }
}

struct Running(Arc<Seen>, usize);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running[self.1].fetch_sub(1, Ordering::SeqCst);
    }
}

struct Inner(Arc<Seen>);

impl Service<Vec<Request>> for Inner {
    type Response = Vec<Result<u64, Error<&'static str>>>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, &'static str>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.0.once_in(20) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.0.once_in(200) { Poll::Ready(Err("not ready")) } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, requests: Vec<Request>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        assert!(!requests.is_empty() && requests.len() <= MOST);
        let partition = requests[0].partition;
        assert!(requests.iter().all(|request| request.partition == partition));
        for request in &requests {
            assert!(seen.numbers.lock().insert(request.number), "{} was sent twice", request.number);
        }
        let before = seen.running[partition as usize].fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&seen), partition as usize);
        assert!(before < IN_FLIGHT, "too many batches of one partition");
        if seen.once_in(60) {
            resume_unwind(Box::new("in call"));
        }
        let plan = seen.random.fetch_add(0x61c8_8647, Ordering::Relaxed) >> 8;
        Box::pin(async move {
            let _running = running;
            match plan % 8 {
                0 | 1 => {}
                // It wakes itself while it is polled, also from another thread.
                2..=4 => {
                    let mut left = plan % 5;
                    poll_fn(|cx| match left.checked_sub(1) {
                        None => Poll::Ready(()),
                        Some(less) => {
                            left = less;
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                    })
                    .await;
                }
                5 => yield_now().await,
                6 => tokio::time::sleep(Duration::from_micros(50)).await,
                _ => {
                    let (tell, told) = tokio::sync::oneshot::channel();
                    tokio::spawn(async move { tell.send(()) });
                    let _ = told.await;
                }
            }
            match plan % 97 {
                0 => resume_unwind(Box::new("in poll")),
                1 => Err("failed"),
                2 => Ok(vec![]),
                _ => Ok(requests.iter().map(|request| Ok(request.number)).collect()),
            }
        })
    }
}

#[derive(Default)]
struct Counts {
    answered: u64,
    failed: u64,
    left: u64,
}

/// One caller: each request is answered once, by its own result, or its caller leaves.
async fn caller(mut service: Wild, seen: Arc<Seen>, base: u64) -> Counts {
    let mut counts = Counts::default();
    for number in base..base + EACH {
        if seen.once_in(30) {
            // A service that has a place and makes no call.
            let mut idle = service.clone();
            poll_fn(|cx| idle.poll_ready(cx)).await.unwrap();
        }
        if seen.once_in(20) {
            service = service.clone();
        }
        let mut gives_up = seen.once_in(12);
        poll_fn(|cx| {
            // One that waits in line, and leaves it.
            if std::mem::take(&mut gives_up) {
                let mut other = service.clone();
                let _ = other.poll_ready(cx);
            }
            service.poll_ready(cx)
        })
        .await
        .unwrap();
        let mut future = service.call(Request { number, partition: number % PARTITIONS });
        let polls = if seen.once_in(6) { seen.random.fetch_add(7, Ordering::Relaxed) % 3 } else { u32::MAX };
        let mut polled = 0;
        let answer = poll_fn(|cx| {
            if polled == polls {
                return Poll::Ready(None);
            }
            polled += 1;
            Pin::new(&mut future).poll(cx).map(Some)
        })
        .await;
        match answer {
            None => counts.left += 1,
            Some(Ok(answer)) => {
                assert_eq!(answer, number);
                counts.answered += 1;
            }
            Some(Err(Error::Rejected(refused))) => {
                assert_eq!(refused.reason(), Reason::Failed);
                counts.failed += 1;
            }
            Some(Err(Error::Inner(error))) => panic!("{error} is nobody's"),
        }
        drop(future);
    }
    counts
}

#[test]
fn everybody_is_answered_once_whatever_happens() {
    for linger in [Duration::ZERO, Duration::from_micros(100)] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        let seen = Arc::new(Seen::default());
        let number = |number: usize| NonZeroU32::new(number as u32).unwrap();
        let config = Config::default()
            .max_size(number(MOST))
            .in_flight(number(IN_FLIGHT))
            .queue(NonZeroU32::new(PLACES))
            .linger(linger);
        let layer =
            BatchLayer::new("wild", config.clone()).partition_by(|request: &Request| request.partition);
        let handle = layer.handle();
        let service: Wild = layer.layer(Inner(Arc::clone(&seen)));
        let counts = runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS)
                .map(|number| tokio::spawn(caller(service.clone(), Arc::clone(&seen), number * EACH)))
                .collect();
            drop(service);
            let mut all = Counts::default();
            for (number, caller) in callers.into_iter().enumerate() {
                if number % 8 == 0 {
                    handle.flush();
                    handle.reconfigure(config.clone().queue(NonZeroU32::new(PLACES - number as u32 / 8)));
                }
                let Counts { answered, failed, left } = caller.await.unwrap();
                all.answered += answered;
                all.failed += failed;
                all.left += left;
            }
            while runtime.metrics().num_alive_tasks() > 0 {
                yield_now().await;
            }
            all
        });
        let stats = handle.stats();
        assert_eq!(counts.answered + counts.failed + counts.left, CALLERS * EACH);
        assert_eq!((stats.requests, stats.queued, stats.in_flight), (CALLERS * EACH, 0, 0));
        assert_eq!(stats.requests, stats.sent + stats.cancelled + stats.closed, "{stats:?}");
        assert_eq!((stats.sizes.sum(), stats.waiting), (stats.sent, 0));
        // What was sent and not refused for the service's readiness, it has seen.
        assert!(seen.numbers.lock().len() as u64 <= stats.sent);
        assert!(counts.answered > CALLERS * EACH / 2 && counts.failed > 0 && counts.left > 0);
        assert!(stats.panicked > 0 && stats.failed > 0 && stats.miscounted > 0 && stats.cancelled > 0);
    }
}
