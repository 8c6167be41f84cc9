//! What a batcher is for, and what others were seen to get wrong. Time is paused: what takes none takes none.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod batches;
mod deadlines;
mod ends;
mod failures;
mod foreign;
mod leaving;
mod partitions;
mod places;
mod seen;
mod sharing;

use buttress_batcher::{Batch, BatchLayer, Config, Event};
use buttress_core::{Error, Reason, Rejected};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::num::{NonZeroU32, NonZeroU64};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

/// What a caller gets.
type TestError = Error<&'static str>;
type Answer = Result<u64, TestError>;
type Numbers = Batch<u64, u64, TestError>;

/// An inner service that answers ten times each number, and records what it saw.
#[derive(Clone)]
struct Backend {
    inside: Arc<Mutex<Inside>>,
    /// Held batches end with one each.
    permits: Arc<Semaphore>,
}

struct Inside {
    plan: Plan,
    /// What is said for batches that a number is in.
    special: BTreeMap<u64, Plan>,
    readiness: Readiness,
    waker: Option<Waker>,
    batches: Vec<Vec<u64>>,
    running: usize,
    most_running: usize,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Answer,
    After(Duration),
    /// It costs so much, and so much more for each of its requests.
    Cost(Duration, Duration),
    Hold,
    Fail,
    PanicInCall,
    PanicInPoll,
    /// So many results too few or too many.
    Miss(isize),
    /// It wakes itself while it is polled, so many times.
    Wake(usize),
}

#[derive(Clone, Copy, Debug)]
enum Readiness {
    Ready,
    Pending,
    FailOnce,
    PanicOnce,
}

/// The number whose request fails by itself.
const UNLUCKY: u64 = 666;

impl Backend {
    fn new(plan: Plan) -> Self {
        let inside = Inside {
            plan,
            special: BTreeMap::new(),
            readiness: Readiness::Ready,
            waker: None,
            batches: vec![],
            running: 0,
            most_running: 0,
        };
        Self { inside: Arc::new(Mutex::new(inside)), permits: Arc::new(Semaphore::new(0)) }
    }

    fn plan(&self, plan: Plan) {
        self.inside.lock().plan = plan;
    }

    fn special(&self, number: u64, plan: Plan) {
        self.inside.lock().special.insert(number, plan);
    }

    fn readiness(&self, readiness: Readiness) {
        let waker = {
            let mut inside = self.inside.lock();
            inside.readiness = readiness;
            inside.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Lets so many held batches end.
    fn release(&self, batches: usize) {
        self.permits.add_permits(batches);
    }

    fn batches(&self) -> Vec<Vec<u64>> {
        self.inside.lock().batches.clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches().iter().map(Vec::len).collect()
    }

    /// All numbers that it saw, in order.
    fn saw(&self) -> Vec<u64> {
        let mut all = self.batches().concat();
        all.sort_unstable();
        all
    }

    fn most_running(&self) -> usize {
        self.inside.lock().most_running
    }
}

struct Runs(Arc<Mutex<Inside>>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Service<Vec<u64>> for Backend {
    type Response = Vec<Answer>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Vec<Answer>, &'static str>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        let mut inside = self.inside.lock();
        match inside.readiness {
            Readiness::Ready => Poll::Ready(Ok(())),
            Readiness::Pending => {
                inside.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Readiness::FailOnce => {
                inside.readiness = Readiness::Ready;
                Poll::Ready(Err("not ready"))
            }
            Readiness::PanicOnce => {
                inside.readiness = Readiness::Ready;
                drop(inside);
                panics()
            }
        }
    }

    fn call(&mut self, numbers: Vec<u64>) -> Self::Future {
        let plan = {
            let mut inside = self.inside.lock();
            inside.batches.push(numbers.clone());
            inside.running += 1;
            inside.most_running = inside.most_running.max(inside.running);
            numbers.iter().find_map(|number| inside.special.get(number).copied()).unwrap_or(inside.plan)
        };
        let runs = Runs(Arc::clone(&self.inside));
        if matches!(plan, Plan::PanicInCall) {
            panics();
        }
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            let _runs = runs;
            let answer = |&number: &u64| {
                if number == UNLUCKY { Err(Error::Inner("unlucky")) } else { Ok(number * 10) }
            };
            let mut answers: Vec<_> = numbers.iter().map(answer).collect();
            match plan {
                Plan::Answer | Plan::PanicInCall => {}
                Plan::After(time) => sleep(time).await,
                Plan::Cost(each, more) => sleep(each + more * numbers.len() as u32).await,
                Plan::Hold => permits.acquire().await.expect("never closed").forget(),
                Plan::Fail => return Err("failed"),
                Plan::PanicInPoll => panics(),
                Plan::Miss(by) => {
                    let count = answers.len().checked_add_signed(by).expect("there are enough");
                    answers.resize_with(count, || Ok(0));
                }
                Plan::Wake(times) => {
                    let mut left = times;
                    std::future::poll_fn(|cx| match left.checked_sub(1) {
                        None => Poll::Ready(()),
                        Some(less) => {
                            left = less;
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                    })
                    .await;
                }
            }
            Ok(answers)
        })
    }
}

/// Panics without a word on the test's output.
fn panics() -> ! {
    resume_unwind(Box::new("as it was told"))
}

fn most(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn weight(most: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(most)
}

/// Batches of at most four, one at a time, with room for everybody.
fn one_by_one() -> Config {
    Config::default().max_size(most(4)).in_flight(most(1)).queue(Some(most(10_000)))
}

fn numbers(config: Config, backend: &Backend) -> Numbers {
    BatchLayer::new("numbers", config).layer(backend.clone())
}

/// Asks once, and leaves no waker.
fn is_ready(service: &mut Numbers) -> bool {
    service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// A call in a task of its own.
fn call(service: &Numbers, number: u64) -> JoinHandle<Answer> {
    tokio::spawn(service.clone().oneshot(number))
}

/// Calls in tasks of their own, which have all been made when this returns.
async fn calls(service: &Numbers, all: impl IntoIterator<Item = u64>) -> Vec<JoinHandle<Answer>> {
    let calls = all.into_iter().map(|number| call(service, number)).collect();
    settle().await;
    calls
}

/// All answers, in the order of the calls.
async fn answers(calls: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = vec![];
    for call in calls {
        answers.push(call.await.expect("no caller panics"));
    }
    answers
}

/// Lets all tasks go as far as they come. Time stands still.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Why a call was refused.
fn reason(answer: &Answer) -> Option<Reason> {
    answer.as_ref().err().and_then(Error::rejected).map(Rejected::reason)
}

fn tens(all: impl IntoIterator<Item = u64>) -> Vec<Answer> {
    all.into_iter().map(|number| Ok(number * 10)).collect()
}

/// How many tasks there are on this runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// An observer that keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn observer(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let told = Arc::clone(&self.0);
        move |event| told.lock().push(event)
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }
}
