//! Code that is not ours panics: keys, weights, deadlines, clones, comparisons, drops, wakers, observers.

use super::*;
use futures_util::FutureExt;
use std::future::{Ready, ready};
use std::hash::{Hash, Hasher};
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// Panics in its turn, but never while another does.
fn bomb() {
    if !std::thread::panicking() {
        panics();
    }
}

fn check(number: &u64) {
    if *number == 7 {
        bomb();
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_of_a_request_panics_in_its_caller_who_keeps_its_place() {
    let backend = Backend::new(Plan::Answer);
    let layer = || BatchLayer::new("numbers", one_by_one().queue(Some(most(1))));
    let weigh = |number: &u64| {
        check(number);
        1
    };
    let deadline = |number: &u64| {
        check(number);
        None
    };
    let services: [Numbers; 4] = [
        layer().partition_by(check).layer(backend.clone()),
        layer().dedup_by(|number: &u64| Some((check(number), *number))).layer(backend.clone()),
        layer().weigh(weigh).layer(backend.clone()),
        layer().deadline(deadline).layer(backend.clone()),
    ];
    for mut service in services {
        service.ready().await.unwrap();
        let panics = catch_unwind(AssertUnwindSafe(|| drop(service.call(7))));
        assert!(panics.is_err());
        assert_eq!(service.call(8).await, Ok(80), "what it had reserved was still there");
        assert_eq!(service.ready().await.unwrap().call(9).await, Ok(90));
    }
    assert_eq!(backend.batches().concat(), [8, 9].repeat(4));
}

/// Keys that cannot be compared with number seven.
struct Picky(u64);

impl PartialEq for Picky {
    fn eq(&self, other: &Self) -> bool {
        if self.0 == 7 || other.0 == 7 {
            bomb();
        }
        self.0 == other.0
    }
}

impl Eq for Picky {}

impl Hash for Picky {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_panics_fails_the_request_that_it_is_for() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one()).dedup_by(|number: &u64| Some(Picky(*number)));
    let service = layer.layer(backend.clone());
    let first = calls(&service, [1]).await;
    let waiting = calls(&service, [2, 7, 3]).await;
    backend.release(10);
    let answers_of_waiting = answers(waiting).await;
    let reasons: Vec<_> = answers_of_waiting.iter().map(reason).collect();
    assert_eq!(reasons, [None, Some(Reason::Failed), None]);
    assert_eq!((answers(first).await, layer.handle().stats().broken), (tens([1]), 1));

    let by_key = BatchLayer::new("numbers", one_by_one()).partition_by(|number: &u64| Picky(*number));
    let service = by_key.layer(backend.clone());
    let first = calls(&service, [1]).await;
    assert_eq!(reason(&service.clone().oneshot(7).await), Some(Reason::Failed));
    assert_eq!(answers(first).await, tens([1]));
}

/// A response that panics when it is cloned or dropped, if it says so.
#[derive(Debug, PartialEq, Eq)]
struct Fragile {
    number: u64,
    clones: bool,
    drops: bool,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if !self.clones {
            bomb();
        }
        Self { ..*self }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if !self.drops {
            bomb();
        }
    }
}

type Glass = Batch<Brittle, Fragile, TestError>;

/// A request that panics when it is dropped, if it says so.
#[derive(Debug)]
struct Brittle {
    number: u64,
    drops: bool,
}

impl Drop for Brittle {
    fn drop(&mut self) {
        if !self.drops {
            bomb();
        }
    }
}

fn whole(number: u64) -> Brittle {
    Brittle { number, drops: true }
}

/// Answers with what clones, and drops, as the number says.
fn glass(layer_of: impl Fn(BatchLayer<Brittle>, Held) -> Glass) -> (Glass, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    (layer_of(BatchLayer::new("glass", one_by_one()), Held(Arc::clone(&permits))), permits)
}

#[derive(Clone)]
struct Held(Arc<Semaphore>);

impl Service<Vec<Brittle>> for Held {
    type Response = Vec<Result<Fragile, TestError>>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, requests: Vec<Brittle>) -> Self::Future {
        let numbers: Vec<_> = requests.iter().map(|request| request.number).collect();
        let permits = Arc::clone(&self.0);
        Box::pin(async move {
            permits.acquire().await.unwrap().forget();
            let answer = |number| Ok(Fragile { number, clones: number != 70, drops: number < 1000 });
            Ok(numbers.into_iter().map(answer).collect())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_panics_fails_those_who_would_have_got_it() {
    let (service, permits) =
        glass(|layer, inner| layer.dedup_by(|request: &Brittle| Some(request.number / 10)).layer(inner));
    let spawn = |number| tokio::spawn(service.clone().oneshot(whole(number)));
    let first = spawn(1);
    settle().await;
    let rest = [spawn(70), spawn(71), spawn(80), spawn(81)];
    settle().await;
    permits.add_permits(10);
    assert_eq!(first.await.unwrap().unwrap().number, 1);
    let [leader, follower, other, another] = rest;
    assert_eq!(leader.await.unwrap().unwrap().number, 70, "it gets the result itself");
    assert!(
        matches!(follower.await.unwrap(), Err(Error::Rejected(refused)) if refused.reason() == Reason::Failed)
    );
    assert_eq!(other.await.unwrap().unwrap().number, 80);
    assert_eq!(another.await.unwrap().unwrap().number, 80);
}

#[tokio::test(start_paused = true)]
async fn drops_that_panic_harm_nobody_else() {
    let (service, permits) =
        glass(|layer, inner| layer.dedup_by(|request: &Brittle| Some(request.number)).layer(inner));
    let spawn = |request| tokio::spawn(service.clone().oneshot(request));
    let running = spawn(whole(1000));
    settle().await;
    let first = spawn(whole(2));
    let follower = spawn(Brittle { number: 2, drops: false });
    let left = spawn(Brittle { number: 3, drops: false });
    let last = spawn(whole(4));
    settle().await;
    // Nobody takes the answer that panics when it is dropped; one request is dropped since its caller has left, and one
    // since another is sent for it.
    running.abort();
    left.abort();
    settle().await;
    permits.add_permits(10);
    assert_eq!(first.await.unwrap().unwrap().number, 2);
    assert_eq!(follower.await.unwrap().unwrap().number, 2);
    assert_eq!(last.await.unwrap().unwrap().number, 4);
}

/// Panics when it is first asked whether it is ready.
struct Jumpy {
    is_calm: bool,
}

impl Service<Vec<Brittle>> for Jumpy {
    type Response = Vec<Result<u64, TestError>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if !replace(&mut self.is_calm, true) {
            panics();
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, requests: Vec<Brittle>) -> Self::Future {
        ready(Ok(requests.iter().map(|request| Ok(request.number)).collect()))
    }
}

#[tokio::test(start_paused = true)]
async fn requests_whose_drops_panic_after_readiness_did_harm_nobody_else() {
    let mut service: Batch<Brittle, u64, TestError> =
        BatchLayer::new("jumpy", one_by_one()).layer(Jumpy { is_calm: false });
    let refused = service.ready().await.unwrap().call(Brittle { number: 1, drops: false }).await;
    assert_eq!(reason(&refused), Some(Reason::Failed));
    assert_eq!(service.ready().await.unwrap().call(whole(2)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_each_error_that_panics_refuses_and_an_observer_that_does_is_alone() {
    let backend = Backend::new(Plan::Fail);
    let layer = BatchLayer::new("numbers", one_by_one())
        .each_error(|_: &&'static str| -> TestError { panics() })
        .observe(|_| panics());
    let service = layer.layer(backend.clone());
    for answer in answers(calls(&service, 0..3).await).await {
        assert_eq!(reason(&answer), Some(Reason::Failed));
    }
    backend.plan(Plan::Answer);
    assert_eq!(answers(calls(&service, 0..3).await).await, tens(0..3));
}

/// Wakes, and panics.
struct Loud(AtomicBool);

impl Wake for Loud {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        bomb();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let backend = Backend::new(Plan::Hold);
    let mut service = numbers(one_by_one().linger(MS), &backend);
    let loud = Arc::new(Loud(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&loud));
    let mut first = service.ready().await.unwrap().call(1);
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    let others = calls(&service, 2..4).await;
    sleep(MS).await;
    settle().await;
    backend.release(1);
    assert_eq!(answers(others).await, tens(2..4));
    assert!(loud.0.load(Ordering::SeqCst));
    assert_eq!(first.now_or_never(), Some(Ok(10)));
}

/// A key function that asks the batcher itself: nothing is locked while it runs.
#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_request_may_call_back() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::<u64>::new("numbers", one_by_one());
    let handle = layer.handle();
    let layer = layer
        .partition_by({
            let handle = handle.clone();
            move |number: &u64| (handle.stats().queued, *number)
        })
        .observe(move |_| drop(handle.stats()));
    let service = layer.layer(backend.clone());
    assert_eq!(answers(calls(&service, 0..3).await).await, tens(0..3));
    backend.plan(Plan::Fail);
    assert_eq!(reason(&service.clone().oneshot(5).await), Some(Reason::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_in_line() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(1))));
    let service = layer.layer(backend.clone());
    let running = calls(&service, [1]).await;
    let loud = Waker::from(Arc::new(Loud(AtomicBool::new(false))));
    let mut first = service.clone();
    assert!(first.poll_ready(&mut Context::from_waker(&loud)).is_pending());
    let rest = calls(&service, 2..5).await;
    // Places for all of them: the first to be told panics.
    layer.handle().reconfigure(layer.handle().config().queue(Some(most(9))));
    settle().await;
    backend.release(9);
    assert_eq!((answers(running).await, answers(rest).await), (tens([1]), tens(2..5)));
    assert!(is_ready(&mut first));
}

/// A future that panics when it is dropped, once it has ended.
struct Falls(Option<Vec<u64>>);

impl Future for Falls {
    type Output = Result<Vec<Answer>, &'static str>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let numbers = self.0.take().expect("polled once");
        Poll::Ready(Ok(numbers.into_iter().map(|number| Ok(number * 10)).collect()))
    }
}

impl Drop for Falls {
    fn drop(&mut self) {
        bomb();
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_panics_when_it_is_dropped_has_answered_all_the_same() {
    let inner = tower::service_fn(|numbers: Vec<u64>| Falls(Some(numbers)));
    let service: Numbers = BatchLayer::new("numbers", one_by_one()).layer(inner);
    for from in [0, 10, 20] {
        assert_eq!(answers(calls(&service, from..from + 9).await).await, tens(from..from + 9));
    }
}
