//! Any history of callers, batches and time, through the service itself: what must hold in all of them.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{Batch, BatchLayer, Config, Handle};
use buttress_core::{Error, Reason};
use buttress_testkit::time::paused;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::future::Future;
use std::num::{NonZeroU32, NonZeroU64};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
struct Request {
    number: u64,
    partition: u8,
    group: Option<u8>,
    weight: u64,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Answer,
    Fail,
    Panic,
    Miscount,
}

#[derive(Clone, Debug)]
enum Op {
    Call { partition: u8, group: Option<u8>, weight: u64, deadline: Option<u64> },
    Leave(u8),
    End(u8, End),
    Advance(u64),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    let group = prop_oneof![2 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    let deadline = prop_oneof![3 => Just(None), 1 => (0..30_u64).prop_map(Some)];
    let end = prop_oneof![8 => Just(End::Answer), 1 => Just(End::Fail), 1 => Just(End::Panic), 1 => Just(End::Miscount)];
    prop_oneof![
        12 => (0..3_u8, group, 0..5_u64, deadline)
            .prop_map(|(partition, group, weight, deadline)| Op::Call { partition, group, weight, deadline }),
        3 => any::<u8>().prop_map(Op::Leave),
        6 => (any::<u8>(), end).prop_map(|(which, end)| Op::End(which, end)),
        3 => (1..20_u64).prop_map(Op::Advance),
        1 => Just(Op::Flush),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let maybe = |most: u32| prop_oneof![1 => Just(None), 1 => (1..most).prop_map(Some)];
    let linger = prop_oneof![Just(0), 1..15_u64];
    (1..5_u32, maybe(8), 1..3_u32, maybe(4), linger, maybe(12)).prop_map(
        |(size, weight, in_flight, total, linger, queue)| {
            Config::default()
                .max_size(NonZeroU32::new(size).unwrap())
                .max_weight(weight.and_then(|weight| NonZeroU64::new(weight.into())))
                .in_flight(NonZeroU32::new(in_flight).unwrap())
                .total_in_flight(total.and_then(NonZeroU32::new))
                .linger(MS * linger as u32)
                .queue(queue.and_then(NonZeroU32::new))
        },
    )
}

type Call = JoinHandle<Result<u64, Error<&'static str>>>;
type Results = Vec<Result<u64, Error<&'static str>>>;
type Numbers = Batch<Request, u64, Error<&'static str>>;

/// A batch that runs until the history says how it ends.
struct Running {
    partition: u8,
    end: oneshot::Sender<End>,
}

#[derive(Clone, Default)]
struct Inner {
    running: Arc<Mutex<Vec<Running>>>,
    sent: Arc<Mutex<Vec<Vec<Request>>>>,
}

impl Service<Vec<Request>> for Inner {
    type Response = Results;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Results, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, requests: Vec<Request>) -> Self::Future {
        let (end, ends) = oneshot::channel();
        self.running.lock().push(Running { partition: requests[0].partition, end });
        self.sent.lock().push(requests.clone());
        Box::pin(async move {
            let mut results: Results = requests.iter().map(|request| Ok(request.number)).collect();
            match ends.await.expect("every batch is ended") {
                End::Answer => {}
                End::Fail => return Err("failed"),
                End::Panic => resume_unwind(Box::new("as it was told")),
                End::Miscount => results.push(Ok(0)),
            }
            Ok(results)
        })
    }
}

struct World {
    config: Config,
    inner: Inner,
    service: Numbers,
    handle: Handle,
    calls: BTreeMap<u64, (Request, Call)>,
    /// When each was called, or was last seen beside somebody who waits for a place and may have been it.
    called: BTreeMap<u64, Instant>,
    was_full: bool,
    /// Those who left before they were sent.
    left: Vec<u64>,
    last: u64,
    is_closing: bool,
}

impl World {
    fn new(config: &Config) -> Self {
        let inner = Inner::default();
        let layer = BatchLayer::new("numbers", config.clone())
            .partition_by(|request: &Request| request.partition)
            .dedup_by(|request: &Request| request.group)
            .weigh(|request: &Request| request.weight)
            .deadline(|request: &Request| request.deadline.map(Instant::into_std));
        Self {
            config: config.clone(),
            service: layer.layer(inner.clone()),
            handle: layer.handle(),
            inner,
            calls: BTreeMap::new(),
            called: BTreeMap::new(),
            was_full: false,
            left: vec![],
            last: 0,
            is_closing: false,
        }
    }

    fn sent(&self, number: u64) -> bool {
        self.inner.sent.lock().iter().flatten().any(|request| request.number == number)
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Call { partition, group, weight, deadline } => {
                self.last += 1;
                let deadline = deadline.map(|ms| Instant::now() + MS * ms as u32);
                let request = Request { number: self.last, partition, group, weight, deadline };
                self.called.insert(self.last, Instant::now());
                let call = tokio::spawn(self.service.clone().oneshot(request));
                self.calls.insert(self.last, (request, call));
            }
            Op::Leave(which) => {
                let waiting: Vec<_> = self.calls.keys().copied().collect();
                let Some(&number) = waiting.get(usize::from(which) % waiting.len().max(1)) else { return };
                let (_, call) = self.calls.remove(&number).unwrap();
                call.abort();
                if !self.sent(number) {
                    self.left.push(number);
                }
            }
            Op::End(which, end) => {
                let mut running = self.inner.running.lock();
                if !running.is_empty() {
                    let which = usize::from(which) % running.len();
                    let _ = running.remove(which).end.send(end);
                }
            }
            Op::Advance(ms) => advance(MS * ms as u32).await,
            Op::Flush => self.handle.flush(),
        }
        settle().await;
        let is_full = self.handle.stats().waiting > 0;
        if std::mem::replace(&mut self.was_full, is_full) || is_full {
            self.called.values_mut().for_each(|called| *called = Instant::now());
        }
        self.audit();
        self.collect().await;
    }

    /// Takes the answers that are there: each is its caller's own, or that of one with its key.
    async fn collect(&mut self) {
        let finished: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, (_, call))| call.is_finished())
            .map(|(&number, _)| number)
            .collect();
        for number in finished {
            let (request, call) = self.calls.remove(&number).unwrap();
            match call.await.expect("no caller panics") {
                Ok(answer) if answer == number => assert!(self.sent(number)),
                Ok(answer) => {
                    let sent = self.inner.sent.lock();
                    let other = sent.iter().flatten().find(|other| other.number == answer).unwrap();
                    assert_eq!((other.partition, other.group), (request.partition, request.group));
                    assert!(request.group.is_some(), "{request:?} shares nothing");
                }
                Err(Error::Rejected(refused)) => match refused.reason() {
                    Reason::TimedOut => {
                        assert!(request.deadline.is_some_and(|deadline| deadline <= Instant::now()));
                        assert!(!self.sent(number), "{request:?} was sent and is refused");
                    }
                    // It had no place yet, and gets none.
                    Reason::Closed => assert!(self.is_closing && !self.sent(number)),
                    reason => assert_eq!(reason, Reason::Failed),
                },
                Err(Error::Inner(error)) => panic!("{error} is nobody's"),
            }
        }
    }

    /// What holds whenever everything has come to rest.
    fn audit(&self) {
        let Config { max_size, max_weight, in_flight, total_in_flight, linger, .. } = self.config;
        let sent = self.inner.sent.lock();
        for batch in &*sent {
            let weight: u64 = batch.iter().map(|request| request.weight).sum();
            assert!(batch.len() <= max_size.get() as usize, "{batch:?}");
            assert!(batch.len() == 1 || max_weight.is_none_or(|most| weight <= most.get()), "{batch:?}");
            assert!(batch.iter().all(|request| request.partition == batch[0].partition), "{batch:?}");
        }
        let mut numbers: Vec<_> = sent.iter().flatten().map(|request| request.number).collect();
        let is_ours = |request: &&Request| request.group.is_none();
        for partition in 0..3 {
            let own = sent.iter().flatten().filter(|request| request.partition == partition).filter(is_ours);
            assert!(own.map(|request| request.number).is_sorted(), "{sent:?} is out of order");
        }
        assert!(self.left.iter().all(|left| !numbers.contains(left)), "{:?} had left: {sent:?}", self.left);
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "one was sent twice");

        let running = self.inner.running.lock();
        let total = total_in_flight.map_or(u32::MAX, NonZeroU32::get) as usize;
        assert!(running.len() <= total);
        // A timer of tokio's is late by up to a millisecond.
        let is_late = |since: Instant, time: Duration| Instant::now() > since + time + MS;
        for partition in 0..3 {
            let busy = running.iter().filter(|batch| batch.partition == partition).count();
            assert!(busy <= in_flight.get() as usize);
            let is_free = busy < in_flight.get() as usize && running.len() < total;
            for (number, (request, call)) in &self.calls {
                if request.partition != partition
                    || numbers.binary_search(number).is_ok()
                    || call.is_finished()
                {
                    continue;
                }
                // Who waits for a place, or with others of its key, does not wait for a slot.
                let is_inside = self.handle.stats().waiting == 0 && request.group.is_none();
                let lingers = is_late(self.called[number], linger);
                assert!(!is_free || !is_inside || !lingers, "{request:?} waits beside a free slot");
                let overdue = request.deadline.is_some_and(|deadline| is_late(deadline, Duration::ZERO));
                assert!(!overdue || !is_inside, "{request:?} is late and was not told");
            }
        }
    }

    async fn finish(mut self) {
        let handle = self.handle.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown(Duration::MAX).await });
        self.is_closing = true;
        while !shutdown.is_finished() {
            self.step(Op::End(0, End::Answer)).await;
        }
        shutdown.await.unwrap().unwrap();
        settle().await;
        self.collect().await;
        assert!(self.calls.is_empty(), "{:?} were never answered", self.calls.keys());
        let stats = self.handle.stats();
        let ended = stats.sent + stats.shared + stats.cancelled + stats.timed_out;
        assert_eq!((stats.requests, stats.queued, stats.in_flight), (ended, 0, 0));
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    }
}

async fn settle() {
    for _ in 0..40 {
        yield_now().await;
    }
}

fn cases() -> ProptestConfig {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked_for { ProptestConfig::default().cases } else { 300 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_must_hold_holds_in_any_history(config in config(), ops in prop::collection::vec(op(), 0..80)) {
        paused().block_on(async {
            let mut world = World::new(&config);
            for op in ops {
                world.step(op).await;
            }
            world.finish().await;
        });
    }
}
