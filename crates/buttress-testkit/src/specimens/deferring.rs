use super::{GRUDGES, PLACES, Shared, Waking, allocate};
use crate::scripted::Fault;
use buttress_core::{Reason, Rejected};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker, ready};
use tower_layer::Layer;
use tower_service::Service;

/// What is wrong with a [`DeferringLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeferringFlaw {
    /// Readies its instance in four calls of five. Breaks `ready_before_call`.
    TrustsTheFifth,
    /// Readies in `poll_ready`, remembers that, and copies it into its clones. Breaks
    /// `clone_holds_nothing`.
    CopiesReadiness,
    /// Takes a place in `poll_ready` that only `call` gives back. Breaks `ready_then_drop_gives_back`.
    KeepsThePlace,
    /// Is never ready again after some calls were dropped. Breaks `drop_at_any_poll_gives_back`.
    CountsDroppedCalls,
    /// Polls the inner call without a waker. Breaks `pending_stores_a_waker`.
    ForgetsTheWaker,
    /// Waits for the inner service's readiness without a waker. Breaks `pending_stores_a_waker`.
    ForgetsTheReadyingWaker,
    /// Polls the inner call with the first waker it saw. Breaks `pending_stores_a_waker`.
    KeepsTheFirstWaker,
    /// Keeps one waker for all callers of the inner service. Breaks `pending_stores_a_waker`.
    SharesOneWaker,
    /// Wakes its task whenever it is pending. Breaks `pending_stores_a_waker`.
    Spins,
    /// Makes every error of a call its own. Breaks `errors_pass_untouched`.
    RewritesErrors,
    /// Stays locked when the inner `call` panics. Breaks `inner_panic_leaks_nothing`.
    StaysLockedAfterPanic,
    /// Boxes something in each call. Breaks `zero_allocations`.
    Allocates,
    /// Calls an inner service that is pending. Breaks `pending_delays_only_calls_that_need_it`.
    HidesPending,
    /// Has the answer, but asks the inner service for readiness first. Breaks
    /// `pending_delays_only_calls_that_need_it`.
    AsksEvenForHits,
    /// Asks again after a readiness error. Breaks `readiness_errors_arrive_once`.
    SwallowsReadinessErrors,
    /// Answers a readiness error to every later call too. Breaks `readiness_errors_arrive_once`.
    RepeatsReadinessErrors,
    /// Does not ready an instance while another one's call is running. Breaks `clone_storm_is_readied`.
    TrustsItsSiblings,
}

impl DeferringFlaw {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::TrustsTheFifth,
        Self::CopiesReadiness,
        Self::KeepsThePlace,
        Self::CountsDroppedCalls,
        Self::ForgetsTheWaker,
        Self::ForgetsTheReadyingWaker,
        Self::KeepsTheFirstWaker,
        Self::SharesOneWaker,
        Self::Spins,
        Self::RewritesErrors,
        Self::StaysLockedAfterPanic,
        Self::Allocates,
        Self::HidesPending,
        Self::AsksEvenForHits,
        Self::SwallowsReadinessErrors,
        Self::RepeatsReadinessErrors,
        Self::TrustsItsSiblings,
    ];

    /// The one law that it breaks.
    #[must_use]
    pub const fn law(self) -> &'static str {
        match self {
            Self::TrustsTheFifth => "ready_before_call",
            Self::CopiesReadiness => "clone_holds_nothing",
            Self::KeepsThePlace => "ready_then_drop_gives_back",
            Self::CountsDroppedCalls => "drop_at_any_poll_gives_back",
            Self::ForgetsTheWaker
            | Self::ForgetsTheReadyingWaker
            | Self::KeepsTheFirstWaker
            | Self::SharesOneWaker
            | Self::Spins => "pending_stores_a_waker",
            Self::RewritesErrors => "errors_pass_untouched",
            Self::StaysLockedAfterPanic => "inner_panic_leaks_nothing",
            Self::Allocates => "zero_allocations",
            Self::HidesPending | Self::AsksEvenForHits => "pending_delays_only_calls_that_need_it",
            Self::SwallowsReadinessErrors | Self::RepeatsReadinessErrors => "readiness_errors_arrive_once",
            Self::TrustsItsSiblings => "clone_storm_is_readied",
        }
    }

    const fn waking(flaw: Option<Self>) -> Waking {
        match flaw {
            Some(Self::ForgetsTheWaker) => Waking::Forgets,
            Some(Self::KeepsTheFirstWaker) => Waking::KeepsTheFirst,
            Some(Self::SharesOneWaker) => Waking::Shares,
            Some(Self::Spins) => Waking::Spins,
            _ => Waking::Sound,
        }
    }
}

/// A deferring layer that does nothing, but for its flaw: always ready, it readies an instance of its own
/// in the response future.
#[derive(Clone, Debug)]
pub struct DeferringLayer {
    flaw: Option<DeferringFlaw>,
    shared: Arc<Shared>,
}

impl DeferringLayer {
    /// A layer that breaks no law.
    #[must_use]
    pub fn sound() -> Self {
        Self { flaw: None, shared: Arc::default() }
    }

    /// A layer that breaks the law of `flaw`, and no other.
    #[must_use]
    pub fn with(flaw: DeferringFlaw) -> Self {
        Self { flaw: Some(flaw), shared: Arc::default() }
    }
}

impl<S> Layer<S> for DeferringLayer {
    type Service = DeferringService<S>;

    fn layer(&self, inner: S) -> DeferringService<S> {
        let Self { flaw, shared } = self.clone();
        DeferringService { inner, flaw, shared, ready: false, calls: 0 }
    }
}

/// The service of a [`DeferringLayer`].
#[derive(Debug)]
pub struct DeferringService<S> {
    inner: S,
    flaw: Option<DeferringFlaw>,
    shared: Arc<Shared>,
    ready: bool,
    calls: u32,
}

impl<S: Clone> Clone for DeferringService<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            flaw: self.flaw,
            shared: Arc::clone(&self.shared),
            ready: self.ready && self.flaw == Some(DeferringFlaw::CopiesReadiness),
            calls: 0,
        }
    }
}

impl<S> Service<u64> for DeferringService<S>
where
    S: Service<u64, Response = u64, Error = Fault> + Clone,
{
    type Response = u64;
    type Error = Fault;
    type Future = DeferringFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Shared { abandoned, busy, places, .. } = &*self.shared;
        match self.flaw {
            Some(DeferringFlaw::CountsDroppedCalls) if abandoned.load(SeqCst) >= GRUDGES => Poll::Pending,
            Some(DeferringFlaw::StaysLockedAfterPanic) if busy.load(SeqCst) => Poll::Pending,
            Some(DeferringFlaw::KeepsThePlace) if !self.ready && places.load(SeqCst) == PLACES => {
                Poll::Pending
            }
            Some(DeferringFlaw::KeepsThePlace) if !self.ready => {
                places.fetch_add(1, SeqCst);
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Some(DeferringFlaw::CopiesReadiness) if !self.ready => {
                ready!(self.inner.poll_ready(cx))?;
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Some(DeferringFlaw::AsksEvenForHits) => self.inner.poll_ready(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: u64) -> Self::Future {
        if std::mem::take(&mut self.ready) && self.flaw == Some(DeferringFlaw::KeepsThePlace) {
            self.shared.places.fetch_sub(1, SeqCst);
        }
        if self.flaw == Some(DeferringFlaw::Allocates) {
            allocate();
        }
        self.calls += 1;
        let fresh = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, fresh);
        let trusts = match self.flaw {
            Some(DeferringFlaw::TrustsTheFifth) => self.calls % 5 == 0,
            // It was readied in `poll_ready`, or so it thinks.
            Some(DeferringFlaw::CopiesReadiness) => true,
            _ => false,
        };
        DeferringFuture {
            state: State::Readying { inner, trusts },
            request,
            flaw: self.flaw,
            shared: Arc::clone(&self.shared),
            first: None,
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of a [`DeferringService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct DeferringFuture<S, F> {
        #[pin]
        state: State<S, F>,
        request: u64,
        flaw: Option<DeferringFlaw>,
        shared: Arc<Shared>,
        first: Option<Waker>,
    }

    impl<S, F> PinnedDrop for DeferringFuture<S, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.state.project() {
                StateProject::Done => return,
                StateProject::Calling { .. } => this.shared.running.fetch_sub(1, SeqCst),
                StateProject::Readying { .. } => 0,
            };
            this.shared.abandoned.fetch_add(1, SeqCst);
        }
    }
}

pin_project_lite::pin_project! {
    #[derive(Debug)]
    #[project = StateProject]
    enum State<S, F> {
        Readying { inner: S, trusts: bool },
        Calling { #[pin] future: F },
        Done,
    }
}

impl<S> Future for DeferringFuture<S, S::Future>
where
    S: Service<u64, Response = u64, Error = Fault>,
{
    type Output = Result<u64, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = &**this.shared;
        loop {
            match this.state.as_mut().project() {
                StateProject::Readying { inner, trusts } => {
                    if let Some(answer) = early(*this.flaw, shared, *this.request) {
                        this.state.set(State::Done);
                        return Poll::Ready(answer);
                    }
                    if !*trusts {
                        if let Err(fault) = ready!(readied(*this.flaw, shared, inner, cx)) {
                            this.state.set(State::Done);
                            return Poll::Ready(Err(fault));
                        }
                    }
                    shared.busy.store(true, SeqCst);
                    let future = inner.call(*this.request);
                    shared.busy.store(false, SeqCst);
                    shared.running.fetch_add(1, SeqCst);
                    this.state.set(State::Calling { future });
                }
                StateProject::Calling { future } => {
                    let waking = DeferringFlaw::waking(*this.flaw);
                    let result = ready!(waking.poll(future, cx, this.first, shared));
                    shared.running.fetch_sub(1, SeqCst);
                    this.state.set(State::Done);
                    return Poll::Ready(finished(*this.flaw, shared, *this.request, result));
                }
                StateProject::Done => panic!("polled after it had ended"),
            }
        }
    }
}

/// What some flaws answer without the inner service.
fn early(flaw: Option<DeferringFlaw>, shared: &Shared, request: u64) -> Option<Result<u64, Fault>> {
    match flaw {
        Some(DeferringFlaw::AsksEvenForHits) => shared.memo.lock().get(&request).copied().map(Ok),
        Some(DeferringFlaw::RepeatsReadinessErrors) => shared.fault.lock().map(Err),
        _ => None,
    }
}

/// Readies the instance, in the manner of the flaw.
fn readied<S: Service<u64, Error = Fault>>(
    flaw: Option<DeferringFlaw>,
    shared: &Shared,
    inner: &mut S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    if flaw == Some(DeferringFlaw::TrustsItsSiblings) && shared.running.load(SeqCst) > 0 {
        return Poll::Ready(Ok(()));
    }
    let poll = match flaw {
        Some(DeferringFlaw::ForgetsTheReadyingWaker) => {
            inner.poll_ready(&mut Context::from_waker(Waker::noop()))
        }
        _ => inner.poll_ready(cx),
    };
    match (flaw, &poll) {
        (Some(DeferringFlaw::HidesPending), Poll::Pending) => Poll::Ready(Ok(())),
        (Some(DeferringFlaw::SwallowsReadinessErrors), Poll::Ready(Err(_))) => inner.poll_ready(cx),
        (Some(DeferringFlaw::RepeatsReadinessErrors), Poll::Ready(Err(fault))) => {
            *shared.fault.lock() = Some(*fault);
            poll
        }
        _ => poll,
    }
}

/// Hands on what the inner call answered, in the manner of the flaw.
fn finished(
    flaw: Option<DeferringFlaw>,
    shared: &Shared,
    request: u64,
    result: Result<u64, Fault>,
) -> Result<u64, Fault> {
    match (flaw, result) {
        (Some(DeferringFlaw::RewritesErrors), Err(_)) => {
            Err(Rejected::new("specimen", "flaw".into(), Reason::Failed).into())
        }
        (Some(DeferringFlaw::AsksEvenForHits), Ok(answer)) => {
            shared.memo.lock().insert(request, answer);
            Ok(answer)
        }
        (_, result) => result,
    }
}
