//! What every law needs: a runtime, a layer's service over a script, and steps that always end.

use super::Cell;
use crate::scripted::{Fault, Script, ScriptedPanic};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::task::{LocalSet, unconstrained, yield_now};
use tower_service::Service;

/// How often everything else gets its turn while a law waits for it to come to rest.
const TURNS: usize = 16;
/// How often something pending is polled before it is given up.
const ROUNDS: usize = 24;

/// What a law saw, or why it is broken.
pub(super) type Outcome = Result<String, Broken>;

/// What was seen that breaks a law, and why it does.
#[derive(Debug)]
pub(super) struct Broken {
    observed: String,
    why: String,
}

impl Broken {
    pub(super) fn new(observed: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { observed: observed.to_string(), why: why.to_string() }
    }
}

/// Breaks the law unless `kept`.
pub(super) fn ensure(kept: bool, observed: impl fmt::Display, why: impl fmt::Display) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken::new(observed, why)) }
}

/// Runs one law on a runtime of its own.
pub(super) fn cell(law: &'static str, run: impl Future<Output = Outcome>) -> Cell {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let runtime = crate::time::paused();
        // Unconstrained: a spent budget would make timers pending without a reason.
        runtime.block_on(LocalSet::new().run_until(unconstrained(run)))
    }));
    match outcome {
        Ok(Ok(observed)) => Cell { law, observed, broken: None },
        Ok(Err(Broken { observed, why })) => Cell { law, observed, broken: Some(why) },
        Err(panic) => Cell { law, observed: "a panic".into(), broken: Some(message(&*panic).into()) },
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if panic.is::<ScriptedPanic>() {
        "the inner service's panic came where none was scripted for"
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        panic.downcast_ref::<&str>().copied().unwrap_or("the layer panicked")
    }
}

/// Lets driver tasks run until they have nothing left to do. Time stands still meanwhile.
pub(super) async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// How a step ended.
#[derive(Debug)]
pub(super) enum End<T> {
    Done(T),
    Failed(Fault),
    Panicked,
    Stuck,
}

impl<T> fmt::Display for End<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("it succeeded"),
            Self::Failed(Fault::Inner(number)) => write!(f, "it failed: Inner({number})"),
            Self::Failed(Fault::Rejected(rejected)) => write!(f, "it failed: {rejected}"),
            Self::Panicked => f.write_str("it panicked"),
            Self::Stuck => f.write_str("it stayed pending"),
        }
    }
}

/// Runs what may panic.
pub(super) fn caught<T>(step: impl FnOnce() -> T) -> End<T> {
    catch_unwind(AssertUnwindSafe(step)).map_or(End::Panicked, End::Done)
}

/// Polls to the end, whether or not it wakes: wakes are the matter of one law, and of no other.
pub(super) async fn drive<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Fault>>) -> End<T> {
    for _ in 0..ROUNDS {
        match caught(|| poll(&mut Context::from_waker(Waker::noop()))) {
            End::Done(Poll::Ready(Ok(value))) => return End::Done(value),
            End::Done(Poll::Ready(Err(fault))) => return End::Failed(fault),
            End::Done(Poll::Pending) => settle().await,
            _ => return End::Panicked,
        }
    }
    End::Stuck
}

/// Readies `service`.
pub(super) async fn ready<S, Req>(service: &mut S) -> End<()>
where
    S: Service<Req, Error = Fault>,
{
    drive(|cx| service.poll_ready(cx)).await
}

/// Calls a service that is ready, and sees the call to its end.
pub(super) async fn call<S, Req>(service: &mut S, request: Req) -> End<S::Response>
where
    S: Service<Req, Error = Fault>,
{
    match caught(|| service.call(request)) {
        End::Done(future) => {
            let mut future = pin!(future);
            drive(|cx| future.as_mut().poll(cx)).await
        }
        _ => End::Panicked,
    }
}

/// Readies and calls.
pub(super) async fn through<S, Req>(service: &mut S, request: Req) -> End<S::Response>
where
    S: Service<Req, Error = Fault>,
{
    match ready(service).await {
        End::Done(()) => call(service, request).await,
        End::Failed(fault) => End::Failed(fault),
        End::Panicked => End::Panicked,
        End::Stuck => End::Stuck,
    }
}

/// One law's subject: a fresh layer's service over a fresh script.
#[derive(Debug)]
pub(super) struct Bench<S, Q> {
    pub(super) script: Script,
    pub(super) service: S,
    pub(super) request: Q,
    /// A deferring layer may turn a panic into a refusal.
    pub(super) may_refuse: bool,
    /// Allocations that an admitted call may cost.
    pub(super) allocations: u64,
    /// Permits that may be held at rest.
    pub(super) keeps: usize,
}

impl<S, Q> Bench<S, Q> {
    /// Makes one call, which must succeed.
    pub(super) async fn succeeds<Req>(&mut self, n: u64, when: &str) -> Result<(), Broken>
    where
        S: Service<Req, Error = Fault>,
        Q: Fn(u64) -> Req,
    {
        match through(&mut self.service, (self.request)(n)).await {
            End::Done(_) => Ok(()),
            end => Err(Broken::new(end, format_args!("a call {when} must succeed"))),
        }
    }

    /// Readies a service other than the bench's own, which must succeed.
    pub(super) async fn readies<Req>(&self, service: &mut S, when: &str) -> Result<(), Broken>
    where
        S: Service<Req, Error = Fault>,
    {
        match ready(service).await {
            End::Done(()) => Ok(()),
            end => Err(Broken::new(end, format_args!("`poll_ready` {when} must become ready"))),
        }
    }

    /// Nothing may be reserved, and no call may run.
    pub(super) async fn at_rest(&self, when: &str) -> Result<(), Broken> {
        settle().await;
        let seen = self.script.seen();
        let observed = format!("permits {}, futures {}", seen.permits, seen.futures);
        ensure(seen.permits <= self.keeps, &observed, format_args!("a permit is still held {when}"))?;
        ensure(seen.futures == 0, &observed, format_args!("a future is still alive {when}"))
    }
}
