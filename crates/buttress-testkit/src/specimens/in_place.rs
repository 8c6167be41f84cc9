use super::{GRUDGES, Shared, Waking, allocate};
use buttress_core::{Reason, Rejected};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};
use tower_layer::Layer;
use tower_service::Service;

/// What is wrong with an [`InPlaceLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlaceFlaw {
    /// Takes readiness for granted before every fifth call. Breaks `ready_before_call`.
    TrustsTheFifth,
    /// Remembers that it was readied, and copies that into its clones. Breaks `clone_holds_nothing`.
    CopiesReadiness,
    /// Forgets the readied inner service when it is dropped. Breaks `ready_then_drop_gives_back`.
    KeepsOnDrop,
    /// Is never ready again after some calls were dropped. Breaks `drop_at_any_poll_gives_back`.
    CountsDroppedCalls,
    /// Polls the inner call without a waker. Breaks `pending_stores_a_waker`.
    ForgetsTheWaker,
    /// Polls the inner call with the first waker it saw. Breaks `pending_stores_a_waker`.
    KeepsTheFirstWaker,
    /// Keeps one waker for all callers of the inner service. Breaks `pending_stores_a_waker`.
    SharesOneWaker,
    /// Wakes its task whenever it is pending. Breaks `pending_stores_a_waker`.
    Spins,
    /// Makes every error its own. Breaks `errors_pass_untouched`.
    RewritesErrors,
    /// Stays locked when `call` panics. Breaks `inner_panic_leaks_nothing`.
    StaysLockedAfterPanic,
    /// Boxes something in each call. Breaks `zero_allocations`.
    Allocates,
    /// Works over services that can be cloned only. Breaks `works_without_send_or_clone`.
    RefusesLocal,
    /// Is ready while its inner service is not. Breaks `pending_readiness_passes_through`.
    HidesPending,
    /// Asks again after a readiness error. Breaks `readiness_errors_pass_through`.
    SwallowsReadinessErrors,
}

impl InPlaceFlaw {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::TrustsTheFifth,
        Self::CopiesReadiness,
        Self::KeepsOnDrop,
        Self::CountsDroppedCalls,
        Self::ForgetsTheWaker,
        Self::KeepsTheFirstWaker,
        Self::SharesOneWaker,
        Self::Spins,
        Self::RewritesErrors,
        Self::StaysLockedAfterPanic,
        Self::Allocates,
        Self::RefusesLocal,
        Self::HidesPending,
        Self::SwallowsReadinessErrors,
    ];

    /// The one law that it breaks.
    #[must_use]
    pub const fn law(self) -> &'static str {
        match self {
            Self::TrustsTheFifth => "ready_before_call",
            Self::CopiesReadiness => "clone_holds_nothing",
            Self::KeepsOnDrop => "ready_then_drop_gives_back",
            Self::CountsDroppedCalls => "drop_at_any_poll_gives_back",
            Self::ForgetsTheWaker | Self::KeepsTheFirstWaker | Self::SharesOneWaker | Self::Spins => {
                "pending_stores_a_waker"
            }
            Self::RewritesErrors => "errors_pass_untouched",
            Self::StaysLockedAfterPanic => "inner_panic_leaks_nothing",
            Self::Allocates => "zero_allocations",
            Self::RefusesLocal => "works_without_send_or_clone",
            Self::HidesPending => "pending_readiness_passes_through",
            Self::SwallowsReadinessErrors => "readiness_errors_pass_through",
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

/// A layer that works in place and does nothing, but for its flaw.
#[derive(Clone, Debug)]
pub struct InPlaceLayer {
    flaw: Option<InPlaceFlaw>,
    shared: Arc<Shared>,
}

impl InPlaceLayer {
    /// A layer that breaks no law.
    #[must_use]
    pub fn sound() -> Self {
        Self { flaw: None, shared: Arc::default() }
    }

    /// A layer that breaks the law of `flaw`, and no other.
    #[must_use]
    pub fn with(flaw: InPlaceFlaw) -> Self {
        Self { flaw: Some(flaw), shared: Arc::default() }
    }
}

impl<S> Layer<S> for InPlaceLayer {
    type Service = InPlaceService<S>;

    fn layer(&self, inner: S) -> InPlaceService<S> {
        let Self { flaw, shared } = self.clone();
        InPlaceService { inner: Some(inner), flaw, shared, ready: false, calls: 0 }
    }
}

/// The service of an [`InPlaceLayer`].
#[derive(Debug)]
pub struct InPlaceService<S> {
    /// Always there; an option only so that `Drop` can forget it.
    inner: Option<S>,
    flaw: Option<InPlaceFlaw>,
    shared: Arc<Shared>,
    ready: bool,
    calls: u32,
}

impl<S: Clone> Clone for InPlaceService<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            flaw: self.flaw,
            shared: Arc::clone(&self.shared),
            ready: self.ready && self.flaw == Some(InPlaceFlaw::CopiesReadiness),
            calls: 0,
        }
    }
}

impl<S> Drop for InPlaceService<S> {
    fn drop(&mut self) {
        if self.ready && self.flaw == Some(InPlaceFlaw::KeepsOnDrop) {
            std::mem::forget(self.inner.take());
        }
    }
}

impl<S, Req> Service<Req> for InPlaceService<S>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InPlaceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let inner = self.inner.as_mut().expect("there until the drop");
        match self.flaw {
            Some(InPlaceFlaw::TrustsTheFifth) if self.calls % 5 == 4 => return Poll::Ready(Ok(())),
            Some(InPlaceFlaw::CopiesReadiness) if self.ready => return Poll::Ready(Ok(())),
            Some(InPlaceFlaw::RefusesLocal) if std::any::type_name::<S>().contains("Local<") => {
                return Poll::Pending;
            }
            Some(InPlaceFlaw::CountsDroppedCalls) if self.shared.abandoned.load(SeqCst) >= GRUDGES => {
                return Poll::Pending;
            }
            Some(InPlaceFlaw::StaysLockedAfterPanic) if self.shared.busy.load(SeqCst) => {
                return Poll::Pending;
            }
            _ => {}
        }
        let mut poll = inner.poll_ready(cx);
        match (self.flaw, &poll) {
            (Some(InPlaceFlaw::HidesPending), Poll::Pending) => poll = Poll::Ready(Ok(())),
            (Some(InPlaceFlaw::SwallowsReadinessErrors), Poll::Ready(Err(_))) => poll = inner.poll_ready(cx),
            _ => {}
        }
        self.ready = matches!(poll, Poll::Ready(Ok(())));
        poll
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.ready = false;
        self.calls += 1;
        if self.flaw == Some(InPlaceFlaw::Allocates) {
            allocate();
        }
        self.shared.busy.store(true, SeqCst);
        let inner = self.inner.as_mut().expect("there until the drop").call(request);
        self.shared.busy.store(false, SeqCst);
        InPlaceFuture { inner, flaw: self.flaw, first: None, shared: Arc::clone(&self.shared), ended: false }
    }
}

pin_project_lite::pin_project! {
    /// The future of an [`InPlaceService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InPlaceFuture<F> {
        #[pin]
        inner: F,
        flaw: Option<InPlaceFlaw>,
        first: Option<Waker>,
        shared: Arc<Shared>,
        ended: bool,
    }

    impl<F> PinnedDrop for InPlaceFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            if !this.ended {
                this.shared.abandoned.fetch_add(1, SeqCst);
            }
        }
    }
}

impl<F, T, E> Future for InPlaceFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let poll = InPlaceFlaw::waking(*this.flaw).poll(this.inner, cx, this.first, this.shared);
        *this.ended = poll.is_ready();
        match poll {
            Poll::Ready(Err(_)) if *this.flaw == Some(InPlaceFlaw::RewritesErrors) => {
                Poll::Ready(Err(Rejected::new("specimen", "flaw".into(), Reason::Failed).into()))
            }
            poll => poll,
        }
    }
}
