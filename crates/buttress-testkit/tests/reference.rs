//! Sound layers in the shapes that occur keep all laws: in place, readied in the future, readied in
//! `poll_ready`, answered from memory, and called by a driver task.

use buttress_core::{Reason, Rejected};
use buttress_testkit::laws;
use buttress_testkit::scripted::Fault;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};
use tower::layer::layer_fn;
use tower::layer::util::Identity;
use tower::util::{MapErrLayer, MapRequestLayer};
use tower::{Service, ServiceExt};

#[test]
fn layers_of_tower_keep_the_laws_in_place() {
    laws::in_place!(Identity::new());
    laws::in_place!(MapErrLayer::new(|fault: Fault| fault));
    laws::in_place!(
        MapRequestLayer::new(|text: String| text.len()),
        request: |n: u64| n.to_string(),
        respond: |length: usize| length as u64,
    );
}

#[test]
fn an_oneshot_on_a_clone_is_a_deferring_layer() {
    laws::deferring!(layer_fn(|inner| OnClone { inner }), respond: |n: u64| n);
}

/// Always ready; each call goes through a clone of its own.
#[derive(Clone)]
struct OnClone<S> {
    inner: S,
}

impl<S: Service<u64, Error = Fault> + Clone> Service<u64> for OnClone<S> {
    type Response = S::Response;
    type Error = Fault;
    type Future = tower::util::Oneshot<S, u64>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        self.inner.clone().oneshot(request)
    }
}

#[test]
fn a_layer_that_passes_readiness_on_and_calls_later_keeps_the_laws() {
    laws::deferring!(layer_fn(|inner| Leased { inner }), respond: |(_, n): (Lease, u64)| n);
}

/// What the inner service gets besides the request.
struct Lease;

/// Readied in `poll_ready`; the readied instance moves into the future, which calls it at its second poll.
#[derive(Clone)]
struct Leased<S> {
    inner: S,
}

impl<S: Service<(Lease, u64), Error = Fault> + Clone> Service<u64> for Leased<S> {
    type Response = S::Response;
    type Error = Fault;
    type Future = LeasedFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> Self::Future {
        let fresh = self.inner.clone();
        let inner = replace(&mut self.inner, fresh);
        LeasedFuture::Waiting { inner, request, polled: false }
    }
}

pin_project_lite::pin_project! {
    #[project = LeasedProject]
    enum LeasedFuture<S, F> {
        Waiting { inner: S, request: u64, polled: bool },
        Running { #[pin] future: F },
    }
}

impl<S: Service<(Lease, u64), Error = Fault>> Future for LeasedFuture<S, S::Future> {
    type Output = Result<S::Response, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                LeasedProject::Waiting { inner, request, polled } => {
                    if !replace(polled, true) {
                        cx.waker().wake_by_ref(); // the lease takes a moment
                        return Poll::Pending;
                    }
                    let future = inner.call((Lease, *request));
                    self.set(LeasedFuture::Running { future });
                }
                LeasedProject::Running { future } => return future.poll(cx),
            }
        }
    }
}

#[test]
fn a_hit_neither_waits_nor_allocates() {
    let report = laws::deferring!(layer_fn(|inner| Remembering { inner, answers: Rc::default() }));
    let seen = report.cell("pending_delays_only_calls_that_need_it").expect("a law of deferring layers");
    assert!(seen.observed.ends_with("a repeat did not"), "{}", seen.observed);
}

/// Remembers answers by request.
#[derive(Clone)]
struct Remembering<S> {
    inner: S,
    answers: Rc<RefCell<HashMap<u64, u64>>>,
}

impl<S> Service<u64> for Remembering<S>
where
    S: Service<u64, Response = u64, Error = Fault> + Clone,
{
    type Response = u64;
    type Error = Fault;
    type Future = Remember<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        let known = self.answers.borrow().contains_key(&request);
        let load = (!known).then(|| self.inner.clone().oneshot(request));
        Remember { load, request, answers: Rc::clone(&self.answers) }
    }
}

pin_project_lite::pin_project! {
    struct Remember<S: Service<u64>> {
        #[pin]
        load: Option<tower::util::Oneshot<S, u64>>,
        request: u64,
        answers: Rc<RefCell<HashMap<u64, u64>>>,
    }
}

impl<S: Service<u64, Response = u64, Error = Fault>> Future for Remember<S> {
    type Output = Result<u64, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answers = this.answers.borrow_mut();
        match this.load.as_pin_mut() {
            None => Poll::Ready(Ok(answers[this.request])),
            Some(load) => load.poll(cx).map_ok(|answer| *answers.entry(*this.request).or_insert(answer)),
        }
    }
}

#[test]
fn a_driver_task_keeps_the_laws() {
    laws::deferring!(
        layer_fn(driven),
        respond: |batch: Vec<u64>| batch.into_iter().map(Ok::<_, Fault>).collect::<Vec<_>>(),
        allocations: 4, // the channel's, the batch and its boxed future
        keeps: 1,       // readied for a caller who left meanwhile
    );
}

type Item = (u64, oneshot::Sender<Result<u64, Fault>>);

/// Puts requests into the queue of a task, which owns the inner service.
#[derive(Clone)]
struct Driven {
    queue: mpsc::UnboundedSender<Item>,
}

fn driven<S>(inner: S) -> Driven
where
    S: Service<Vec<u64>, Response = Vec<Result<u64, Fault>>, Error = Fault, Future: Send> + Send + 'static,
{
    let (queue, items) = mpsc::unbounded_channel();
    tokio::spawn(drive(inner, items));
    Driven { queue }
}

async fn drive<S>(mut inner: S, mut items: mpsc::UnboundedReceiver<Item>)
where
    S: Service<Vec<u64>, Response = Vec<Result<u64, Fault>>, Error = Fault>,
{
    while let Some((request, reply)) = items.recv().await {
        let answer = match poll_fn(|cx| inner.poll_ready(cx)).await {
            Err(fault) => Err(fault),
            Ok(()) if reply.is_closed() => continue,
            Ok(()) => guarded(&mut inner, request)
                .await
                .unwrap_or_else(|| Err(Rejected::new("driver", "laws".into(), Reason::Failed).into())),
        };
        let _ = reply.send(answer); // its caller may have left
    }
}

/// Makes a batch of one; `None` if the inner service panics.
async fn guarded<S>(inner: &mut S, request: u64) -> Option<Result<u64, Fault>>
where
    S: Service<Vec<u64>, Response = Vec<Result<u64, Fault>>, Error = Fault>,
{
    let mut call = pin!(catch_unwind(AssertUnwindSafe(|| Box::pin(inner.call(vec![request])))).ok()?);
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    });
    Some(caught.await?.map(|mut answers| answers.remove(0)).and_then(|answer| answer))
}

impl Service<u64> for Driven {
    type Response = u64;
    type Error = Fault;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Reply {
        let (reply, answer) = oneshot::channel();
        let _ = self.queue.send((request, reply)); // without a driver the answer says so
        Reply(answer)
    }
}

struct Reply(oneshot::Receiver<Result<u64, Fault>>);

impl Future for Reply {
    type Output = Result<u64, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = |_| Err(Rejected::new("driver", "laws".into(), Reason::Closed).into());
        Pin::new(&mut self.0).poll(cx).map(|reply| reply.unwrap_or_else(gone))
    }
}
