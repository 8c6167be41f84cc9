use super::bench::{Bench, Broken, End, Outcome, call, cell, drive, ensure, ready, settle, through};
use super::{Report, common};
use crate::scripted::{Calls, Fault, Script, Scripted};
use std::future::Future;
use std::task::{Context, Poll, Waker};
use tower_layer::Layer;
use tower_service::Service;

/// The laws that a deferring layer keeps.
pub const DEFERRING: [&str; 11] = [
    common::NAMES[0],
    common::NAMES[1],
    common::NAMES[2],
    common::NAMES[3],
    common::NAMES[4],
    common::NAMES[5],
    common::NAMES[6],
    common::NAMES[7],
    "pending_delays_only_calls_that_need_it",
    "readiness_errors_arrive_once",
    "clone_storm_is_readied",
];

/// Tries the laws on a deferring layer; what [`laws::deferring!`](macro@super::deferring) stands for.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is tried before `check` or `report`"]
pub struct Deferring<L, Q = fn(u64) -> u64, P = fn(u64) -> u64> {
    layer: L,
    request: Q,
    respond: P,
    allocations: u64,
    keeps: usize,
}

impl<L> Deferring<L> {
    /// Will try the layers that `layer` makes, one for each law.
    pub fn new(layer: L) -> Self {
        Self { layer, request: |n| n, respond: |n| n, allocations: 0, keeps: 0 }
    }
}

impl<L, Q, P> Deferring<L, Q, P> {
    /// Makes the layer's `n`th request; equal numbers make equal requests.
    pub fn request<Req, R: Fn(u64) -> Req>(self, request: R) -> Deferring<L, R, P> {
        let Self { layer, respond, allocations, keeps, .. } = self;
        Deferring { layer, request, respond, allocations, keeps }
    }

    /// Makes the inner service's answer. What it allocates is not counted.
    pub fn respond<I, Res, R: Fn(I) -> Res>(self, respond: R) -> Deferring<L, Q, R> {
        let Self { layer, request, allocations, keeps, .. } = self;
        Deferring { layer, request, respond, allocations, keeps }
    }

    /// How many allocations an admitted call may cost. The calls come one after the other and are all
    /// equal: a cache hits, and a batcher makes batches of one.
    pub fn allocations(mut self, per_call: u64) -> Self {
        self.allocations = per_call;
        self
    }

    /// How many permits of the inner service may be held while no call runs: a driver task that owns its
    /// one service cannot give back what it reserved for a caller who left.
    pub fn keeps(mut self, permits: usize) -> Self {
        self.keeps = permits;
        self
    }

    /// Tries all laws; `layer` is what the table calls it.
    ///
    /// # Panics
    ///
    /// With a table, if a law is broken.
    #[track_caller]
    pub fn check<M, Req>(&self, layer: &str) -> Report
    where
        L: Fn() -> M,
        M: Layer<Scripted<P>>,
        M::Service: Service<Req, Error = Fault> + Clone,
        Q: Fn(u64) -> Req,
        P: Clone,
    {
        let report = self.report();
        report.assert_kept(layer);
        report
    }

    /// Tries all laws and tells what was seen.
    pub fn report<M, Req>(&self) -> Report
    where
        L: Fn() -> M,
        M: Layer<Scripted<P>>,
        M::Service: Service<Req, Error = Fault> + Clone,
        Q: Fn(u64) -> Req,
        P: Clone,
    {
        let fresh = || {
            let script = Script::new();
            let service = (self.layer)().layer(script.service(self.respond.clone()));
            let Self { request, allocations, keeps, .. } = self;
            Bench { script, service, request, may_refuse: true, allocations: *allocations, keeps: *keeps }
        };
        let mut cells = common::cells(fresh);
        cells.extend([
            cell(DEFERRING[8], async { pending_delays_only_calls_that_need_it(fresh()).await }),
            cell(DEFERRING[9], async { readiness_errors_arrive_once(fresh()).await }),
            cell(DEFERRING[10], async { clone_storm_is_readied(fresh()).await }),
        ]);
        Report { kind: "deferring", cells }
    }
}

/// While the inner service is pending, a call that needs it waits, and one that does not is answered.
async fn pending_delays_only_calls_that_need_it<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    b.succeeds(1, "before anything is pending").await?;
    settle().await;
    let before = b.script.seen().calls;
    b.succeeds(1, "like the one before").await?;
    settle().await;
    let repeats_are_free = b.script.seen().calls == before;

    b.script.hold_readiness();
    for n in 10..10 + b.keeps as u64 {
        if b.script.seen().permits > 0 {
            b.succeeds(n, "for which a permit is kept").await?;
        }
    }
    let before = b.script.seen().calls;
    let mut service = b.service.clone();
    let (mut future, place) = match ready(&mut service).await {
        End::Done(()) => (Some(Box::pin(service.call((b.request)(2)))), "the response"),
        End::Stuck => (None, "`poll_ready`"),
        end => return Err(Broken::new(end, "`poll_ready` must be ready or pending")),
    };
    if let Some(future) = &mut future {
        match drive(|cx| future.as_mut().poll(cx)).await {
            End::Stuck => {}
            end => return Err(Broken::new(end, "a call must wait for the inner service it needs")),
        }
    }
    let reached = b.script.seen().calls - before;
    ensure(reached == 0, format_args!("{reached} calls"), "the inner service was called while pending")?;
    if repeats_are_free {
        match through(&mut b.service.clone(), (b.request)(1)).await {
            End::Done(_) => {}
            end => return Err(Broken::new(end, "a call that does not need the inner service waited for it")),
        }
    }
    b.script.release_readiness();
    let mut future = match future {
        Some(future) => future,
        None => {
            b.readies(&mut service, "once the inner service is ready").await?;
            Box::pin(service.call((b.request)(2)))
        }
    };
    match drive(|cx| future.as_mut().poll(cx)).await {
        End::Done(_) => {}
        end => return Err(Broken::new(end, "the call that waited must succeed in the end")),
    }
    drop((future, service));
    b.at_rest("after the calls").await?;
    let repeats = if repeats_are_free { "a repeat did not" } else { "repeats need it too" };
    Ok(format!("a call waited in {place}, {repeats}"))
}

/// A readiness error of the inner service reaches one caller, as it was.
async fn readiness_errors_arrive_once<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    let fault = Fault::Inner(9);
    b.script.fail_readiness_once(fault);
    let mut place = None;
    // What is kept readied is called first, and does not see the error.
    for n in 0..=b.keeps as u64 {
        let mut service = b.service.clone();
        let (end, at) = match ready(&mut service).await {
            End::Done(()) => (call(&mut service, (b.request)(n)).await, "in the response"),
            End::Failed(fault) => (End::Failed(fault), "in `poll_ready`"),
            End::Panicked => (End::Panicked, "in `poll_ready`"),
            End::Stuck => (End::Stuck, "in `poll_ready`"),
        };
        match end {
            End::Failed(arrived) if arrived == fault => place = Some(at),
            End::Done(_) if b.script.seen().readiness_errors == 0 => continue,
            end => return Err(Broken::new(end, format_args!("the caller must get {fault:?}"))),
        }
        break;
    }
    let Some(place) = place else {
        return Err(Broken::new("success", "no call asked the inner service for readiness"));
    };
    for n in 10..12 {
        b.succeeds(n, "after a readiness error").await?;
    }
    b.at_rest("after a readiness error").await?;
    Ok(format!("{fault:?} arrived once, {place}"))
}

/// Many clones that call at the same time are readied each for itself, also when some of them leave.
async fn clone_storm_is_readied<S, Req, Q>(b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    const CLONES: u64 = 16;
    b.script.calls(Calls::PendingPolls(2));
    let mut running = Vec::new();
    for n in 0..CLONES {
        let mut service = b.service.clone();
        b.readies(&mut service, "of one of many clones").await?;
        let mut future = Box::pin(service.call((b.request)(n)));
        let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match first {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(fault)) => return Err(Broken::new(fault, "a call on a clone must succeed")),
            Poll::Pending if n % 4 == 3 => {} // its caller leaves
            Poll::Pending => running.push(future),
        }
    }
    for mut future in running {
        match drive(|cx| future.as_mut().poll(cx)).await {
            End::Done(_) => {}
            end => return Err(Broken::new(end, "a call on a clone must succeed")),
        }
    }
    b.at_rest("after the storm").await?;
    let seen = b.script.seen();
    let observed = format!("{CLONES} clones, {} inner calls, {} unreadied", seen.calls, seen.unreadied);
    ensure(seen.unreadied == 0, &observed, "a clone called an instance that was not readied")?;
    Ok(observed)
}
