//! Our opponents. Each has batches of 64 and four of them in flight, by its own setting where it has one.

use async_graphql::dataloader::{DataLoader, Loader};
use buttress_benches::batcher::{Asks, Backend, IN_FLIGHT, SIZE};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::array;
use std::collections::HashMap;
use std::convert::Infallible;
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::sleep;
use tower::{BoxError, Service, ServiceExt};
use tower_batch_control::{Batch, BatchControl, RequestWeight};
use ultra_batch::{BatchExecutor, Executor};

/// How many calls may wait, where there is a limit to be set: as many as there are callers, and more.
pub const QUEUE: u32 = 16_384;

/// No batches.
#[derive(Clone)]
pub struct Unbatched(pub Backend);

impl Asks for Unbatched {
    async fn ask(&mut self, number: u64) -> u64 {
        self.0.work(1).await;
        number
    }
}

/// What one writes oneself: a channel, a task that collects what is in it, and a task for each batch.
#[derive(Clone)]
pub struct Channel(mpsc::Sender<Asked>);

type Asked = (u64, oneshot::Sender<u64>);

impl Channel {
    /// A batch that is not full waits that long for more.
    pub fn new(backend: Backend, delay: Duration) -> Self {
        let (send, receive) = mpsc::channel(QUEUE as usize);
        tokio::spawn(collect(receive, backend, delay));
        Self(send)
    }
}

async fn collect(mut receive: mpsc::Receiver<Asked>, backend: Backend, delay: Duration) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let mut batch = Vec::with_capacity(SIZE as usize);
        if receive.recv_many(&mut batch, SIZE as usize).await == 0 {
            return;
        }
        if !delay.is_zero() {
            let mut over = pin!(sleep(delay));
            while batch.len() < SIZE as usize {
                let room = SIZE as usize - batch.len();
                tokio::select! {
                    biased;
                    more = receive.recv_many(&mut batch, room) => if more == 0 { break },
                    () = &mut over => break,
                }
            }
        }
        let backend = backend.clone();
        tokio::spawn(async move {
            backend.work(batch.len()).await;
            answer(batch);
            drop(slot);
        });
    }
}

fn answer(batch: Vec<Asked>) {
    for (number, caller) in batch {
        // It fails only where nobody waits any more.
        let _ = caller.send(number);
    }
}

impl Asks for Channel {
    async fn ask(&mut self, number: u64) -> u64 {
        let (caller, answer) = oneshot::channel();
        self.0.send((number, caller)).await.expect("the task runs");
        answer.await.expect("every batch is answered")
    }
}

/// The data loader of `async-graphql`: it has no limit to what is in flight, so its loader keeps one.
#[derive(Clone)]
pub struct Graphql(Arc<DataLoader<Limited>>);

pub struct Limited {
    backend: Backend,
    slots: Semaphore,
}

impl Graphql {
    pub fn new(backend: Backend, delay: Duration) -> Self {
        let loader = Limited { backend, slots: Semaphore::new(IN_FLIGHT) };
        Self(Arc::new(DataLoader::new(loader, tokio::spawn).delay(delay).max_batch_size(SIZE as usize)))
    }
}

impl Loader<u64> for Limited {
    type Value = u64;
    type Error = Infallible;

    async fn load(&self, numbers: &[u64]) -> Result<HashMap<u64, u64>, Infallible> {
        let _slot = self.slots.acquire().await;
        self.backend.work(numbers.len()).await;
        Ok(numbers.iter().map(|number| (*number, *number)).collect())
    }
}

impl Asks for Graphql {
    async fn ask(&mut self, number: u64) -> u64 {
        self.0.load_one(number).await.ok().flatten().expect("every number has an answer")
    }
}

/// `tower-batch-control`, which leaves it to the service to know whose results are whose.
#[derive(Clone)]
pub struct Control(Batch<Fan, Number>);

impl Control {
    pub fn new(backend: Backend, delay: Duration) -> Self {
        let fan = Fan { backend, batch: Vec::new() };
        Self(Batch::new(fan, SIZE as usize, IN_FLIGHT, delay))
    }
}

pub struct Number(u64);

impl RequestWeight for Number {}

pub struct Fan {
    backend: Backend,
    batch: Vec<Asked>,
}

impl Service<BatchControl<Number>> for Fan {
    type Response = u64;
    type Error = BoxError;
    type Future = Fanned;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, control: BatchControl<Number>) -> Fanned {
        match control {
            BatchControl::Item(Number(number)) => {
                let (caller, answer) = oneshot::channel();
                self.batch.push((number, caller));
                Fanned::Item(answer)
            }
            BatchControl::Flush => {
                let (backend, batch) = (self.backend.clone(), take(&mut self.batch));
                Fanned::Batch(
                    async move {
                        backend.work(batch.len()).await;
                        answer(batch);
                    }
                    .boxed(),
                )
            }
        }
    }
}

pub enum Fanned {
    Item(oneshot::Receiver<u64>),
    Batch(BoxFuture<'static, ()>),
}

impl Future for Fanned {
    type Output = Result<u64, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut *self {
            Self::Item(answer) => Ok(ready!(answer.poll_unpin(cx))?),
            Self::Batch(batch) => {
                ready!(batch.poll_unpin(cx));
                Ok(0)
            }
        })
    }
}

impl Asks for Control {
    async fn ask(&mut self, number: u64) -> u64 {
        let ready = self.0.ready().await.expect("nothing fails");
        ready.call(Number(number)).await.expect("every batch is answered")
    }
}

/// `ultra-batch` has one batch in flight: so there are four of it, in turns.
#[derive(Clone)]
pub struct Ultra(Arc<[BatchExecutor<Plain>; IN_FLIGHT]>);

pub struct Plain(Backend);

impl Ultra {
    pub fn new(backend: &Backend, delay: Duration) -> Self {
        let executor = |_| {
            let executor = BatchExecutor::build(Plain(backend.clone())).delay_duration(delay);
            executor.eager_batch_size(Some(SIZE as usize)).finish()
        };
        Self(Arc::new(array::from_fn(executor)))
    }
}

impl Executor for Plain {
    type Value = u64;
    type Result = u64;
    type Error = Infallible;

    async fn execute(&self, numbers: Vec<u64>) -> Result<Vec<u64>, Infallible> {
        self.0.work(numbers.len()).await;
        Ok(numbers)
    }
}

impl Asks for Ultra {
    async fn ask(&mut self, number: u64) -> u64 {
        let executor = &self.0[number as usize % IN_FLIGHT];
        executor.execute(number).await.ok().flatten().expect("every number has an answer")
    }
}
