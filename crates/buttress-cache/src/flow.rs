//! What happens to one who asks, from the first poll to the answer: the same for a layer and for `get_or_load`.

mod deadlines;
mod ends;

use self::deadlines::{Deadlines, Due};
use self::ends::{Answer, answer};
use crate::cache::Shared;
use crate::flight::Outcome;
use crate::load::{Lead, OnPanic, Turn, Waiter, Who};
use crate::rules::{Found, Served, Terms};
use crate::source::Source;
use crate::store::{Ask, Begun};
use buttress_core::{Error, Reason, Rejected};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;

pin_project! {
    /// `K` key, `V` value, `C` source, `F` its future, `E` its error, `J` what judges its answer, `P` rules, `M` mode.
    pub(crate) struct Flow<K, V, C, F, E, J, P, M> {
        #[pin]
        state: State<K, V, C, F, E, J>,
        rules: P,
        deadlines: Deadlines,
        mode: PhantomData<M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<K, V, C, F, E, J> {
        Begin { begin: Option<Begin<K, V, C>> },
        Wait { wait: Option<Wait<K, V, C, E>> },
        Ready { ready: Option<Ready<K, V, C, E>> },
        // The future first: it is dropped before its place is given to another.
        Load { #[pin] future: F, load: Option<Loading<K, V, E, J>> },
        Done,
    }
}

/// Not polled yet: who is never polled does not lead.
struct Begin<K, V, C> {
    shared: Arc<Shared<K, V>>,
    key: K,
    source: C,
    ask: Ask,
}

/// Another loads it, or a task.
struct Wait<K, V, C, E> {
    waiter: Waiter<K, V>,
    key: K,
    source: C,
    /// What a task of its own brings, for this caller alone.
    own: Option<Slot<V, E>>,
    /// Whether a load had panicked before that task began.
    panicked: bool,
}

/// Waits until what it calls is ready.
struct Ready<K, V, C, E> {
    who: Who<K, V>,
    source: C,
    slot: Option<Slot<V, E>>,
}

struct Loading<K, V, E, J> {
    who: Who<K, V>,
    judge: J,
    slot: Option<Slot<V, E>>,
}

/// Where a task leaves what is for the caller alone that started it: an error, or an answer that others do not get.
pub(crate) type Slot<V, E> = Arc<Mutex<Option<Result<V, E>>>>;

/// Where a load runs.
///
/// There is nothing to implement: it only names [`Here`] and [`Apart`].
pub trait Mode<K, V, C: Source<K, Value = V>, P>: sealed::Sealed {
    #[doc(hidden)]
    const APART: bool;

    /// Gives the lead back if the load is to run here.
    #[doc(hidden)]
    fn start(lead: Lead<K, V>, source: &C, rules: &P, slot: Option<Slot<V, C::Error>>) -> Option<Lead<K, V>>;
}

/// Each load runs in the future of a caller that waits for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

/// Each load runs in a task of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apart;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Here {}
    impl Sealed for super::Apart {}
}

impl<K, V, C: Source<K, Value = V>, P> Mode<K, V, C, P> for Here {
    const APART: bool = false;

    fn start(lead: Lead<K, V>, _: &C, _: &P, _: Option<Slot<V, C::Error>>) -> Option<Lead<K, V>> {
        Some(lead)
    }
}

impl<K, V, C, P> Mode<K, V, C, P> for Apart
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
    C: Source<K, Value = V> + Clone + Send + 'static,
    C::Future: Send + 'static,
    C::Error: Send + 'static,
    P: Terms<C::Request, K, V, C::Error> + Clone + Send + 'static,
    P::Judge: Send + 'static,
{
    const APART: bool = true;

    fn start(lead: Lead<K, V>, source: &C, rules: &P, slot: Option<Slot<V, C::Error>>) -> Option<Lead<K, V>> {
        let Ok(runtime) = Handle::try_current() else { return Some(lead) };
        let ready = Ready { who: Who::Lead(lead.apart()), source: source.clone(), slot };
        let flow: FlowOf<K, V, C, P, Here> = Flow::new(State::Ready { ready: Some(ready) }, rules.clone());
        runtime.spawn(async move { drop(flow.await) });
        None
    }
}

/// The flow of a source and its rules.
pub(crate) type FlowOf<K, V, C, P, M> = Flow<
    K,
    V,
    C,
    <C as Source<K>>::Future,
    <C as Source<K>>::Error,
    <P as Terms<<C as Source<K>>::Request, K, V, <C as Source<K>>::Error>>::Judge,
    P,
    M,
>;

impl<K, V, C, F, E, J, P, M> Flow<K, V, C, F, E, J, P, M> {
    fn new(state: State<K, V, C, F, E, J>, rules: P) -> Self {
        Self { state, rules, deadlines: Deadlines::default(), mode: PhantomData }
    }

    /// Asks for a key.
    pub(crate) fn ask(shared: Arc<Shared<K, V>>, key: K, source: C, rules: P, ask: Ask) -> Self {
        Self::new(State::Begin { begin: Some(Begin { shared, key, source, ask }) }, rules)
    }

    /// Makes a call that nobody else waits for.
    pub(crate) fn past(who: Who<K, V>, source: C, rules: P) -> Self {
        Self::new(State::Ready { ready: Some(Ready { who, source, slot: None }) }, rules)
    }
}

impl<K, V, C, P, M> Future for FlowOf<K, V, C, P, M>
where
    K: Hash + Eq + Clone,
    V: Clone,
    C: Source<K, Value = V>,
    P: Terms<C::Request, K, V, C::Error>,
    M: Mode<K, V, C, P>,
{
    type Output = Answer<V, C::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Begin { begin } => {
                    let begin = begin.take().expect(POLLED);
                    Self::begun(begin, this.rules, this.deadlines, cx)
                }
                StateProj::Wait { wait } => {
                    let turn = match wait.as_ref().expect(POLLED).waiter.poll(cx) {
                        Poll::Ready(turn) => turn,
                        Poll::Pending => {
                            let result = match this.deadlines.poll(cx) {
                                Due::Not => return Poll::Pending,
                                Due::Soft => match wait.as_ref().expect(POLLED).waiter.fallback() {
                                    None => continue,
                                    Some(found) => Ok(found),
                                },
                                Due::Hard => Self::give_up(&wait.as_ref().expect(POLLED).waiter, !M::APART),
                            };
                            this.state.set(State::Done);
                            return Poll::Ready(result);
                        }
                    };
                    let wait = wait.take().expect(POLLED);
                    Self::waited(wait, turn, this.rules, this.deadlines, cx)
                }
                StateProj::Ready { ready } => {
                    let Ready { who, source, slot } = ready.take().expect(POLLED);
                    Self::get_ready(who, source, slot, this.rules, this.deadlines, cx)
                }
                StateProj::Load { future, load } => {
                    let Loading { who, judge, slot } = load.take().expect(POLLED);
                    let guard = OnPanic::new(who);
                    let polled = future.poll(cx);
                    match polled {
                        Poll::Pending => {
                            let who = guard.disarm();
                            if this.deadlines.poll_hard(cx) {
                                // The load goes first, and then what it was for.
                                this.state.set(State::Done);
                                return Poll::Ready(Self::timed_out(who));
                            }
                            *load = Some(Loading { who, judge, slot });
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(value)) => Next::Return(Self::loaded(guard, value, judge, slot)),
                        Poll::Ready(Err(error)) => Next::Return(Self::failed(guard, error, slot, this.rules)),
                    }
                }
                StateProj::Done => panic!("{POLLED}"),
            };
            match next {
                Next::State(state) => this.state.set(state),
                Next::Wait(ready) => {
                    this.state.set(State::Ready { ready: Some(ready) });
                    return Poll::Pending;
                }
                Next::Return(result) => {
                    this.state.set(State::Done);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl<K, V, C, P, M> FlowOf<K, V, C, P, M>
where
    K: Hash + Eq + Clone,
    V: Clone,
    C: Source<K, Value = V>,
    P: Terms<C::Request, K, V, C::Error>,
    M: Mode<K, V, C, P>,
{
    /// Polls it, and marks the value as a layer does.
    pub(crate) fn poll_marked(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, C::Error>>
    where
        C::Error: From<Rejected>,
    {
        let result = ready!(self.as_mut().poll(cx));
        Poll::Ready(match result {
            Ok(Found { mut value, served }) => {
                self.project().rules.mark(&mut value, served);
                Ok(value)
            }
            Err(Error::Inner(error)) => Err(error),
            Err(Error::Rejected(rejected)) => Err(rejected.into()),
        })
    }

    fn begun(
        begin: Begin<K, V, C>,
        rules: &P,
        deadlines: &mut Deadlines,
        cx: &mut Context<'_>,
    ) -> NextOf<K, V, C, P> {
        let Begin { shared, key, source, ask } = begin;
        let ask = Ask { apart: M::APART && Handle::try_current().is_ok(), ..ask };
        match shared.store.begin(key, ask, &shared) {
            Begun::Answer(found) => Next::Return(Ok(found)),
            Begun::Refresh(found, lead) => {
                // It asked for a runtime, and there was one.
                drop(M::start(lead, &source, rules, None));
                Next::Return(Ok(found))
            }
            Begun::Failed(error, left) => {
                let rejected = shared.rejected(Reason::Failed).after(left);
                Next::Return(Err(Self::error_of(rules, error.as_ref(), rejected)))
            }
            Begun::Lead(lead, patience) => {
                deadlines.start(patience);
                Self::led(lead, source, rules, deadlines, cx)
            }
            Begun::Wait(waiter, key, patience) => {
                deadlines.start(patience);
                Next::State(State::Wait {
                    wait: Some(Wait { waiter, key, source, own: None, panicked: false }),
                })
            }
        }
    }

    /// Has a load run here, or apart.
    fn led(
        lead: Lead<K, V>,
        source: C,
        rules: &P,
        deadlines: &mut Deadlines,
        cx: &mut Context<'_>,
    ) -> NextOf<K, V, C, P> {
        if M::APART {
            // Among those who wait before the task can end.
            let (waiter, key) = (lead.join(), lead.key().clone());
            let (own, panicked) = (Slot::default(), waiter.has_panicked());
            return match M::start(lead, &source, rules, Some(Arc::clone(&own))) {
                None => Next::State(State::Wait {
                    wait: Some(Wait { waiter, key, source, own: Some(own), panicked }),
                }),
                Some(lead) => {
                    drop(waiter);
                    Self::get_ready(Who::Lead(lead), source, None, rules, deadlines, cx)
                }
            };
        }
        Self::get_ready(Who::Lead(lead), source, None, rules, deadlines, cx)
    }

    fn waited(
        wait: Wait<K, V, C, C::Error>,
        turn: Turn<K, V>,
        rules: &P,
        deadlines: &mut Deadlines,
        cx: &mut Context<'_>,
    ) -> NextOf<K, V, C, P> {
        let Wait { waiter, key, source, own, panicked } = wait;
        let outcome = match turn {
            Turn::Lead(lead) => {
                // Its task was dropped with its runtime: so would the next one be.
                if own.is_some() && waiter.has_panicked() == panicked {
                    return Self::get_ready(Who::Lead(lead), source, None, rules, deadlines, cx);
                }
                drop(waiter);
                return Self::led(lead, source, rules, deadlines, cx);
            }
            Turn::Done(outcome) => outcome,
        };
        match outcome {
            Outcome::Loaded { value, .. } => {
                let served = if own.is_some() { Served::Loaded } else { Served::Waited };
                Next::Return(Ok(Found { value, served }))
            }
            Outcome::Failed(error) => {
                if let Some(found) = waiter.fallback() {
                    return Next::Return(Ok(found));
                }
                Next::Return(match own.and_then(|own| own.lock().take()) {
                    Some(own) => answer(own),
                    None => {
                        Err(Self::error_of(rules, error.as_ref(), waiter.shared().rejected(Reason::Failed)))
                    }
                })
            }
            Outcome::Scattered => match own.and_then(|own| own.lock().take()) {
                Some(own) => Next::Return(answer(own)),
                None => Self::get_ready(Who::Alone(waiter), source, None, rules, deadlines, cx),
            },
            Outcome::Moved => {
                let shared = Arc::clone(waiter.shared());
                drop(waiter);
                let ask = Ask { count: false, apart: false, early: false, reload: false };
                Next::State(State::Begin { begin: Some(Begin { shared, key, source, ask }) })
            }
        }
    }

    /// Calls what is ready.
    fn get_ready(
        who: Who<K, V>,
        mut source: C,
        slot: Option<Slot<V, C::Error>>,
        rules: &P,
        deadlines: &mut Deadlines,
        cx: &mut Context<'_>,
    ) -> NextOf<K, V, C, P> {
        let mut guard = OnPanic::new(who);
        match source.poll_ready(cx) {
            Poll::Pending => {
                let who = guard.disarm();
                if deadlines.poll_hard(cx) {
                    Next::Return(Self::timed_out(who))
                } else {
                    Next::Wait(Ready { who, source, slot })
                }
            }
            Poll::Ready(Err(error)) => Next::Return(Self::failed(guard, error, slot, rules)),
            Poll::Ready(Ok(())) => {
                let judge = rules.judge(source.request(guard.who().key()));
                guard.begin();
                let future = source.call(guard.who().key());
                let who = guard.disarm();
                Next::State(State::Load { future, load: Some(Loading { who, judge, slot }) })
            }
        }
    }
}

const POLLED: &str = "not polled after it has ended or panicked";

enum Next<K, V, C, F, E, J> {
    State(State<K, V, C, F, E, J>),
    /// What it calls is not ready yet.
    Wait(Ready<K, V, C, E>),
    Return(Answer<V, E>),
}

type NextOf<K, V, C, P> = Next<
    K,
    V,
    C,
    <C as Source<K>>::Future,
    <C as Source<K>>::Error,
    <P as Terms<<C as Source<K>>::Request, K, V, <C as Source<K>>::Error>>::Judge,
>;
