use super::bench::{Bench, Broken, End, Outcome, cell, ensure, ready};
use super::{Report, common};
use crate::scripted::{Fault, Local, Script, Scripted};
use tower_layer::Layer;
use tower_service::Service;

/// The laws that a layer keeps which works in place.
pub const IN_PLACE: [&str; 11] = [
    common::NAMES[0],
    common::NAMES[1],
    common::NAMES[2],
    common::NAMES[3],
    common::NAMES[4],
    common::NAMES[5],
    common::NAMES[6],
    common::NAMES[7],
    "works_without_send_or_clone",
    "pending_readiness_passes_through",
    "readiness_errors_pass_through",
];

/// Tries the laws on a layer that works in place; what [`laws::in_place!`](macro@super::in_place) stands for.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is tried before `check` or `report`"]
pub struct InPlace<L, Q = fn(u64) -> u64, P = fn(u64) -> u64> {
    layer: L,
    request: Q,
    respond: P,
}

impl<L> InPlace<L> {
    /// Will try the layers that `layer` makes, one for each law.
    pub fn new(layer: L) -> Self {
        Self { layer, request: |n| n, respond: |n| n }
    }
}

impl<L, Q, P> InPlace<L, Q, P> {
    /// Makes the layer's `n`th request.
    pub fn request<Req, R: Fn(u64) -> Req>(self, request: R) -> InPlace<L, R, P> {
        InPlace { layer: self.layer, request, respond: self.respond }
    }

    /// Makes the inner service's answer.
    pub fn respond<I, Res, R: Fn(I) -> Res>(self, respond: R) -> InPlace<L, Q, R> {
        InPlace { layer: self.layer, request: self.request, respond }
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
        M: Layer<Scripted<P>> + Layer<Local<Scripted<P>>>,
        <M as Layer<Scripted<P>>>::Service: Service<Req, Error = Fault> + Clone,
        <M as Layer<Local<Scripted<P>>>>::Service: Service<Req, Error = Fault>,
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
        M: Layer<Scripted<P>> + Layer<Local<Scripted<P>>>,
        <M as Layer<Scripted<P>>>::Service: Service<Req, Error = Fault> + Clone,
        <M as Layer<Local<Scripted<P>>>>::Service: Service<Req, Error = Fault>,
        Q: Fn(u64) -> Req,
        P: Clone,
    {
        let plain = || {
            self.bench(|script| {
                Layer::<Scripted<P>>::layer(&(self.layer)(), script.service(self.respond.clone()))
            })
        };
        let local = || {
            self.bench(|script| {
                Layer::<Local<Scripted<P>>>::layer(&(self.layer)(), script.local(self.respond.clone()))
            })
        };
        let mut cells = common::cells(plain);
        cells.extend([
            cell(IN_PLACE[8], async { works_without_send_or_clone(local()).await }),
            cell(IN_PLACE[9], async { pending_readiness_passes_through(plain()).await }),
            cell(IN_PLACE[10], async { readiness_errors_pass_through(plain()).await }),
        ]);
        Report { kind: "in place", cells }
    }

    fn bench<S>(&self, layered: impl FnOnce(&Script) -> S) -> Bench<S, &Q> {
        let script = Script::new();
        let service = layered(&script);
        Bench { script, service, request: &self.request, may_refuse: false, allocations: 0, keeps: 0 }
    }
}

/// The layer asks for nothing beyond `Service`. That it compiles is most of this law.
async fn works_without_send_or_clone<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    b.succeeds(1, "over a service that is neither `Send` nor `Clone`").await?;
    b.at_rest("after the call").await?;
    let seen = b.script.seen();
    let observed = format!("inner calls {}, unreadied {}", seen.calls, seen.unreadied);
    ensure(seen.calls == 1 && seen.unreadied == 0, &observed, "one readied call was to be made")?;
    Ok(observed)
}

/// The layer is pending while its inner service is, and not longer.
async fn pending_readiness_passes_through<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    b.script.hold_readiness();
    match ready(&mut b.service).await {
        End::Stuck => {}
        end => return Err(Broken::new(end, "`poll_ready` must be pending while the inner service is")),
    }
    b.script.release_readiness();
    b.succeeds(1, "after the inner service became ready").await?;
    Ok("pending, then ready".into())
}

/// A readiness error of the inner service is the layer's, once and as it was.
async fn readiness_errors_pass_through<S, Req, Q>(mut b: Bench<S, Q>) -> Outcome
where
    S: Service<Req, Error = Fault>,
    Q: Fn(u64) -> Req,
{
    let fault = Fault::Inner(9);
    b.script.fail_readiness_once(fault);
    match ready(&mut b.service).await {
        End::Failed(arrived) if arrived == fault => {}
        end => return Err(Broken::new(end, format_args!("`poll_ready` must answer {fault:?}"))),
    }
    b.succeeds(1, "after a readiness error").await?;
    Ok(format!("{fault:?} arrived once"))
}
