//! The laws of both kinds; the one about wakers has a file of its own.

use super::bench::{Bench, Broken, End, Outcome, call, cell, ensure, ready, settle, through};
use super::{Cell, wakers};
use crate::alloc::Mark;
use crate::scripted::{Calls, Fault};
use crate::waker::CountingWaker;
use buttress_core::{Name, Reason, Rejected};
use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};
use tokio::task::yield_now;
use tower_service::Service;

/// Their names, in the order in which they are tried.
pub(super) const NAMES: [&str; 8] = [
    "ready_before_call",
    "clone_holds_nothing",
    "ready_then_drop_gives_back",
    "drop_at_any_poll_gives_back",
    "pending_stores_a_waker",
    "errors_pass_untouched",
    "inner_panic_leaks_nothing",
    "zero_allocations",
];

/// Tries them all, each on a bench of its own, which is made where the law runs: a layer may spawn.
pub(super) fn cells<S, Req, Q>(fresh: impl Fn() -> Bench<S, Q>) -> Vec<Cell>
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    vec![
        cell(NAMES[0], async { ready_before_call(fresh()).await }),
        cell(NAMES[1], async { clone_holds_nothing(fresh()).await }),
        cell(NAMES[2], async { ready_then_drop_gives_back(fresh()).await }),
        cell(NAMES[3], async { drop_at_any_poll_gives_back(fresh()).await }),
        cell(NAMES[4], async { wakers::pending_stores_a_waker(fresh()).await }),
        cell(NAMES[5], async { errors_pass_untouched(fresh()).await }),
        cell(NAMES[6], async { inner_panic_leaks_nothing(fresh()).await }),
        cell(NAMES[7], async { zero_allocations(fresh()).await }),
    ]
}

/// No instance of the inner service is called that was not readied.
pub(super) async fn ready_before_call<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    for n in 0..8 {
        b.succeeds(n, "to a ready inner service").await?;
    }
    let seen = b.script.seen();
    let observed = format!("{} inner calls, {} unreadied", seen.calls, seen.unreadied);
    ensure(seen.calls > 0, &observed, "no call reached the inner service")?;
    ensure(seen.unreadied == 0, &observed, "the inner service was called without being readied")?;
    Ok(observed)
}

/// What an instance has reserved stays with it; its clone asks for itself.
pub(super) async fn clone_holds_nothing<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    match ready(&mut b.service).await {
        End::Done(()) => {}
        end => return Err(Broken::new(end, "`poll_ready` over a ready inner service must become ready")),
    }
    settle().await;
    let held = b.script.seen().permits;
    let unchanged = |when: &str| {
        let now = b.script.seen().permits;
        ensure(
            now == held,
            format_args!("permits {held}, then {now}"),
            format_args!("permits changed {when}"),
        )
    };
    let mut clone = b.service.clone();
    unchanged("with a clone")?;
    drop(b.service.clone());
    unchanged("with the drop of a clone")?;
    match through(&mut clone, (b.request)(1)).await {
        End::Done(_) => {}
        end => return Err(Broken::new(end, "a call on a clone must succeed")),
    }
    let seen = b.script.seen();
    ensure(
        seen.unreadied == 0,
        format_args!("{} unreadied", seen.unreadied),
        "a clone made a call on what its original had reserved",
    )?;
    drop(clone);
    settle().await;
    unchanged("with a call on a clone")?;
    match call(&mut b.service, (b.request)(2)).await {
        End::Done(_) => {}
        end => return Err(Broken::new(end, "the call of a readied instance must succeed")),
    }
    let seen = b.script.seen();
    let observed = format!("permits {held} and {held} with a clone, {} unreadied", seen.unreadied);
    ensure(seen.unreadied == 0, &observed, "a clone took what its original had reserved")?;
    b.at_rest("after the calls").await?;
    Ok(observed)
}

/// A readied instance that is dropped without a call gives everything back.
pub(super) async fn ready_then_drop_gives_back<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    const DROPS: u64 = 1100;
    for _ in 0..DROPS {
        let mut service = b.service.clone();
        b.readies(&mut service, "of a clone").await?;
        drop(service);
        b.at_rest("after a readied instance was dropped").await?;
    }
    b.succeeds(1, "after readied instances were dropped").await?;
    b.at_rest("after the call").await?;
    Ok(format!("{DROPS} drops, permits {}", b.script.seen().permits))
}

/// A call that is dropped after any number of polls gives everything back.
pub(super) async fn drop_at_any_poll_gives_back<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    const MOST: usize = 32;
    let mut n = 0..;
    let mut fresh = || n.next().expect("there are enough numbers");
    let mut polls = 0;
    loop {
        b.script.calls(Calls::PendingPolls(3));
        let mut service = b.service.clone();
        b.readies(&mut service, "after calls were dropped").await?;
        let mut future = Box::pin(service.call((b.request)(fresh())));
        let ended = polled(polls, |cx| future.as_mut().poll(cx)).await;
        drop((future, service));
        b.at_rest(&format!("after a call was dropped at poll {polls}")).await?;
        b.script.calls(Calls::Ready);
        b.succeeds(fresh(), &format!("after a call was dropped at poll {polls}")).await?;
        if ended {
            break;
        }
        ensure(polls < MOST, format_args!("{polls} polls"), "a call did not end")?;
        polls += 1;
    }
    // And while the inner service is not even ready.
    for polls in 0..=2 {
        b.script.hold_readiness();
        let mut service = b.service.clone();
        if polled(1, |cx| service.poll_ready(cx)).await {
            let mut future = Box::pin(service.call((b.request)(fresh())));
            polled(polls, |cx| future.as_mut().poll(cx)).await;
            drop(future);
        }
        drop(service);
        b.script.release_readiness();
        b.at_rest("after a call was dropped that waited for readiness").await?;
        b.succeeds(fresh(), "after a call was dropped that waited for readiness").await?;
    }
    b.at_rest("at the end").await?;
    let seen = b.script.seen();
    Ok(format!("dropped at polls 0 to {polls}, permits {}, futures {}", seen.permits, seen.futures))
}

/// Polls so many times, or until it is ready, and lets others have a turn in between.
async fn polled<T>(times: usize, mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Fault>>) -> bool {
    let waker = CountingWaker::new();
    for _ in 0..times {
        if poll(&mut waker.context()).is_ready() {
            return true;
        }
        yield_now().await;
    }
    false
}

/// The inner service's error arrives as it was.
pub(super) async fn errors_pass_untouched<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    // A refusal of another layer, further in, is an error like any other.
    let refused = Rejected::new("inner layer", Name::from("inner"), Reason::Stale);
    let faults = [Fault::Inner(7), Fault::Rejected(refused)];
    for (n, fault) in (1..).zip(faults) {
        b.script.calls(Calls::Fail(fault));
        match through(&mut b.service, (b.request)(2 * n)).await {
            End::Failed(arrived) if arrived == fault => {}
            end => return Err(Broken::new(end, format_args!("{fault:?} must arrive as it is"))),
        }
        b.script.calls(Calls::Ready);
        b.succeeds(2 * n + 1, "after one that failed").await?;
        b.at_rest("after a call that failed").await?;
    }
    Ok(format!("{} of {} arrived", faults.len(), faults.len()))
}

/// A panic of the inner service, in `call` or in its future, leaves nothing behind.
pub(super) async fn inner_panic_leaks_nothing<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    let mut observed = Vec::new();
    for (n, plan, place) in [(1, Calls::PanicInCall, "call"), (3, Calls::PanicInPoll, "poll")] {
        b.script.calls(plan);
        let arrived = match through(&mut b.service, (b.request)(n)).await {
            End::Panicked => Arrived::Panic,
            End::Failed(Fault::Rejected(_)) if b.may_refuse => Arrived::Refusal,
            end => return Err(Broken::new(end, format_args!("the panic in {place} must reach the caller"))),
        };
        b.at_rest(&format!("after a panic in {place}")).await?;
        b.script.calls(Calls::Ready);
        b.succeeds(n + 1, &format!("after a panic in {place}")).await?;
        observed.push(format!("{place}: {arrived}"));
    }
    b.at_rest("after the panics").await?;
    let seen = b.script.seen();
    Ok(format!("{}, permits {}, futures {}", observed.join(", "), seen.permits, seen.futures))
}

/// How a panic of the inner service reaches the caller.
enum Arrived {
    Panic,
    Refusal,
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "panic",
            Self::Refusal => "refusal",
        })
    }
}

/// An admitted call costs no allocation, or no more than the layer says.
pub(super) async fn zero_allocations<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    const CALLS: u64 = 32;
    let plans = [Calls::Ready, Calls::PendingPolls(1)];
    for plan in plans {
        b.script.calls(plan);
        for _ in 0..CALLS {
            b.succeeds(1, "to warm up").await?;
            settle().await;
        }
    }
    let mut allocations = 0;
    for plan in plans {
        b.script.calls(plan);
        let requests: Vec<Req> = (0..CALLS).map(|_| (b.request)(1)).collect();
        let mark = Mark::here();
        for request in requests {
            if !matches!(through(&mut b.service, request).await, End::Done(_)) {
                return Err(Broken::new("a call failed", "a call like the ones before must succeed"));
            }
        }
        settle().await;
        allocations += mark.since().allocations;
    }
    let calls = CALLS * plans.len() as u64;
    let observed = format!("{allocations} allocations in {calls} calls");
    let allowed = b.allocations;
    ensure(allocations <= allowed * calls, &observed, format_args!("{allowed} per call are allowed"))?;
    Ok(observed)
}
