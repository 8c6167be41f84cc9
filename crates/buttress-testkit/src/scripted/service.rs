use super::script::{Calls, Fault, Script};
use crate::alloc;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tower_service::Service;

/// What a scripted panic carries. It unwinds without the panic hook, so that tests stay quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptedPanic;

/// A service that does what its [`Script`] says; made by [`Script::service`].
///
/// It takes whatever `F` takes. A call and its future allocate nothing; what `F` allocates is
/// [not counted](alloc::uncounted).
pub struct Scripted<F> {
    script: Script,
    respond: F,
    id: u64,
    permit: bool,
}

impl<F> Scripted<F> {
    pub(super) fn new(script: Script, respond: F) -> Self {
        let id = script.0.lock().next_id();
        Self { script, respond, id, permit: false }
    }
}

impl<F: Clone> Clone for Scripted<F> {
    fn clone(&self) -> Self {
        Self::new(self.script.clone(), self.respond.clone())
    }
}

impl<F> Drop for Scripted<F> {
    fn drop(&mut self) {
        let mut state = self.script.0.lock();
        state.seen.permits -= usize::from(self.permit);
        let waker = state.readying.remove(self.id);
        drop(state);
        drop(waker);
    }
}

impl<F> fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("permit", &self.permit).finish_non_exhaustive()
    }
}

impl<F, I, R> Service<I> for Scripted<F>
where
    F: Fn(I) -> R + Clone,
{
    type Response = R;
    type Error = Fault;
    type Future = ResponseFuture<F, I>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.permit {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.script.0.lock();
        if let Some(fault) = state.readiness_fault.take() {
            state.seen.readiness_errors += 1;
            return Poll::Ready(Err(fault));
        }
        let (poll, displaced) = if state.readiness_held {
            (Poll::Pending, state.readying.put(self.id, cx.waker()))
        } else {
            self.permit = true;
            state.seen.permits += 1;
            (Poll::Ready(Ok(())), state.readying.remove(self.id))
        };
        drop(state);
        drop(displaced);
        poll
    }

    fn call(&mut self, request: I) -> ResponseFuture<F, I> {
        let mut state = self.script.0.lock();
        state.seen.calls += 1;
        if std::mem::take(&mut self.permit) {
            state.seen.permits -= 1;
        } else {
            state.seen.unreadied += 1;
        }
        let (plan, begun, id) = (state.calls, state.releases, state.next_id());
        if plan == Calls::PanicInCall {
            drop(state);
            resume_unwind(Box::new(ScriptedPanic));
        }
        state.seen.futures += 1;
        drop(state);
        let answer = Some((self.respond.clone(), request));
        ResponseFuture { script: self.script.clone(), answer, plan, begun, id }
    }
}

/// The future of a [`Scripted`] call. It keeps the request until it ends.
///
/// # Panics
///
/// If it is polled after it has ended, and where the script says so.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, I> {
    script: Script,
    answer: Option<(F, I)>,
    plan: Calls,
    begun: u64,
    id: u64,
}

impl<F, I> Unpin for ResponseFuture<F, I> {}

impl<F, I> fmt::Debug for ResponseFuture<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<F, I, R> Future for ResponseFuture<F, I>
where
    F: Fn(I) -> R,
{
    type Output = Result<R, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(this.answer.is_some(), "a scripted call was polled after it had ended");
        let mut state = this.script.0.lock();
        state.seen.polls += 1;
        let waits = match &mut this.plan {
            Calls::PendingPolls(0) | Calls::Ready | Calls::Fail(_) => false,
            Calls::PendingPolls(left) => {
                *left -= 1;
                true
            }
            Calls::Held => state.releases == this.begun,
            Calls::PanicInCall | Calls::PanicInPoll => {
                drop(state);
                resume_unwind(Box::new(ScriptedPanic));
            }
        };
        let displaced = match (waits, this.plan) {
            (true, Calls::Held) => state.running.put(this.id, cx.waker()),
            _ => state.running.remove(this.id),
        };
        state.seen.completed += usize::from(!waits);
        drop(state);
        drop(displaced);
        if waits {
            if this.plan != Calls::Held {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let (respond, request) = this.answer.take().expect("checked at the top");
        Poll::Ready(match this.plan {
            Calls::Fail(fault) => Err(fault),
            _ => Ok(alloc::uncounted(|| respond(request))),
        })
    }
}

impl<F, I> Drop for ResponseFuture<F, I> {
    fn drop(&mut self) {
        let mut state = self.script.0.lock();
        state.seen.futures -= 1;
        let waker = state.running.remove(self.id);
        drop(state);
        drop(waker);
    }
}

/// Makes any service one that is neither `Send` nor `Clone`; made by [`Script::local`].
#[derive(Debug)]
pub struct Local<S> {
    inner: S,
    here: PhantomData<Rc<()>>,
}

impl<S> Local<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, here: PhantomData }
    }
}

impl<S: Service<I>, I> Service<I> for Local<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = LocalFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: I) -> Self::Future {
        LocalFuture { inner: self.inner.call(request), here: PhantomData }
    }
}

pin_project_lite::pin_project! {
    /// The future of a [`Local`] service, as little `Send` as the service itself.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct LocalFuture<T> {
        #[pin]
        inner: T,
        here: PhantomData<Rc<()>>,
    }
}

impl<T: Future> Future for LocalFuture<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        self.project().inner.poll(cx)
    }
}
