//! The law of both kinds about who is woken, when, and by which waker.

use super::bench::{Bench, Broken, End, Outcome, drive, ensure, settle};
use crate::scripted::{Calls, Fault};
use crate::waker::CountingWaker;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use tower_service::Service;

/// How many callers wait together.
const CROWD: u64 = 3;
const UNCALLED_FOR: &str = "a call failed, and nothing else did";

/// Whoever was told to wait is woken when there is progress, by the last waker it gave, and not before.
pub(super) async fn pending_stores_a_waker<S, Req, Q>(b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    let mut waits = 0;
    for (n, wakers) in [(1, 1), (2, 2)] {
        b.script.hold_readiness();
        let release = || b.script.release_readiness();
        let mut service = b.service.clone();
        waits += watch("`poll_ready`", wakers, |cx| service.poll_ready(cx), release).await?;
        let mut future = Box::pin(service.call((b.request)(n)));
        waits += watch("the response", wakers, |cx| future.as_mut().poll(cx), release).await?;
        release();
    }
    for (n, wakers) in [(3, 1), (4, 2)] {
        b.script.calls(Calls::Held);
        let mut service = b.service.clone();
        b.readies(&mut service, "before a call that is held").await?;
        let mut future = Box::pin(service.call((b.request)(n)));
        let release = || b.script.release_calls();
        let waited = watch("the response", wakers, |cx| future.as_mut().poll(cx), release).await?;
        ensure(waited > 0, "ready", "the response was there before the inner service's")?;
        waits += waited;
    }
    b.script.calls(Calls::Ready);
    b.script.hold_readiness();
    crowd(&b, 10, || b.script.release_readiness()).await?;
    b.script.calls(Calls::Held);
    crowd(&b, 20, || {
        b.script.calls(Calls::Ready); // for those that begin only when others have ended
        b.script.release_calls();
    })
    .await?;
    b.at_rest("after the calls").await?;
    Ok(format!("{waits} waits and two crowds of {CROWD}, all woken, none early"))
}

/// Lets several callers wait at the same time, releases what holds them back, and from there on polls only
/// who is woken, as an executor does.
async fn crowd<S, Req, Q>(b: &Bench<S, Q>, first: u64, release: impl Fn()) -> Result<(), Broken>
where
    S: Service<Req, Error = Fault> + Clone,
    Q: Fn(u64) -> Req,
{
    let caller = |n| {
        let (mut service, request) = (b.service.clone(), (b.request)(n));
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        }
    };
    let mut asleep = Vec::new();
    for n in first..first + CROWD {
        let (waker, mut caller) = (CountingWaker::new(), Box::pin(caller(n)));
        match quiet(&waker, &mut |cx| caller.as_mut().poll(cx)).await? {
            None => asleep.push((waker.wakes(), waker, caller)),
            Some(Ok(_)) => {} // that it did not have to wait is another law's matter
            Some(Err(fault)) => return Err(Broken::new(fault, UNCALLED_FOR)),
        }
    }
    release();
    for _ in 0..CROWD * 8 {
        settle().await;
        let mut still = Vec::new();
        for (wakes, waker, mut caller) in asleep {
            let woken = waker.wakes();
            if woken > wakes {
                match caller.as_mut().poll(&mut waker.context()) {
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(fault)) => return Err(Broken::new(fault, UNCALLED_FOR)),
                    Poll::Pending => {}
                }
            }
            still.push((woken, waker, caller));
        }
        asleep = still;
    }
    let lost = asleep.len();
    ensure(
        lost == 0,
        format_args!("{lost} of {CROWD} callers asleep"),
        "of callers who waited together not all were woken",
    )
}

/// Polls something with so many wakers in turn and, if it waits, releases what holds it back and sees it to
/// its end. Tells how often it waited, 0 or 1.
async fn watch<T>(
    what: &str,
    wakers: usize,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Fault>>,
    release: impl Fn(),
) -> Result<usize, Broken> {
    let wakers: Vec<_> = (0..wakers).map(|_| CountingWaker::new()).collect();
    let mut waited = 0;
    for (at, waker) in wakers.iter().enumerate() {
        match quiet(waker, &mut poll).await? {
            None => waited = 1,
            Some(Ok(_)) => return Ok(waited),
            Some(Err(fault)) => {
                return Err(Broken::new(fault, format_args!("{what} failed, and nothing else did")));
            }
        }
        if at + 1 < wakers.len() {
            continue;
        }
        let before = waker.wakes();
        release();
        settle().await;
        let which = if at == 0 { "the waker was" } else { "the last of two wakers was" };
        ensure(
            waker.wakes() > before,
            format_args!("{} wakes", waker.wakes() - before),
            format_args!("{what} was pending and {which} not woken when there was progress"),
        )?;
    }
    match drive(poll).await {
        End::Done(_) => Ok(waited),
        end => Err(Broken::new(end, format_args!("{what} must succeed once it is released"))),
    }
}

/// Polls as long as it is woken; what makes no progress must fall silent.
async fn quiet<T>(
    waker: &CountingWaker,
    poll: &mut impl FnMut(&mut Context<'_>) -> Poll<Result<T, Fault>>,
) -> Result<Option<Result<T, Fault>>, Broken> {
    const MOST: usize = 8;
    for _ in 0..MOST {
        let before = waker.wakes();
        if let Poll::Ready(result) = poll(&mut waker.context()) {
            return Ok(Some(result));
        }
        settle().await;
        if waker.wakes() == before {
            return Ok(None);
        }
    }
    Err(Broken::new(
        format_args!("{} wakes in {MOST} polls", waker.wakes()),
        "it wakes itself while the inner service makes no progress",
    ))
}
