//! What a batcher's services, futures and driver share.

use crate::bell::Bell;
use crate::book::{Book, Control};
use crate::cells::Cells;
use crate::config::{AtEnd, Config};
use crate::guard::{discard, wake_all};
use crate::intake::{Entered, Intake, Place, Reserve, Wakers};
use crate::keys::{Partition, Share};
use crate::places::Places;
use crate::primitive::Mutex;
use crate::state::{Arrival, NEVER, Nanos, nanos};
use buttress_core::{Lane, Lanes, Name, Reason};
use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// What a caller gets: the service's answer, or why there is none.
pub(crate) type Answer<Res, E> = Result<Result<Res, E>, Reason>;

/// So many cells a lane may keep to itself. One makes loom's histories use the same cell again.
const SPARES: usize = if cfg!(buttress_loom) { 1 } else { 32 };

/// Where callers and the driver meet.
pub(crate) type Door<A> = Padded<Mutex<Intake<A>>>;

/// A request as it comes to an engine.
pub(crate) type Arrived<Req, Res, E, P, D> =
    Arrival<Req, <P as Partition<Req>>::Key, <D as Share<Req, Result<Res, E>>>::Key>;

/// How a call reaches its engine: by its thread's own lane.
pub(crate) type Way<Req, Res, E> = Arc<Lane<Arc<dyn Batching<Req, Res, E>>>>;

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The side of a batcher that its services and futures see; how it batches is not in its type.
pub(crate) trait Batching<Req, Res, E>: Control {
    fn poll_ready(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Result<(), Reason>>;

    /// Takes a request in, and says under which number.
    fn call(&self, request: Req, place: &mut Place) -> Result<Called, Reason>;

    /// Sees to it that there is a driver; `false` if there is no runtime here that it could live on.
    fn start(&self) -> bool;

    fn poll(&self, id: u32, is_first: bool, cx: &mut Context<'_>) -> Poll<Answer<Res, E>>;

    /// The caller leaves without an answer.
    fn desert(&self, id: u32);

    /// A service does without what it holds.
    fn give_up(&self, place: &mut Place);
}

/// A call that was taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called {
    pub(crate) id: u32,
    /// There is a driver.
    pub(crate) is_driven: bool,
}

pub(crate) struct Engine<Req, Res, E, P, D>
where
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    pub(crate) intake: Door<Arrived<Req, Res, E, P, D>>,
    places: Arc<Places>,
    pub(crate) cells: Cells<Answer<Res, E>>,
    /// Cells that are free, until there are enough to be worth the intake's lock.
    spares: Lanes<Mutex<Vec<u32>>>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) book: Arc<Book>,
    terms: Terms<Req, P, D>,
    /// Somebody wants to know when requests come. Relaxed: a request goes by whichever it finds.
    is_timed: AtomicBool,
    /// A moment before the first request, so that zero is no time of any.
    base: Instant,
    idle: Mutex<Option<Start<Self>>>,
    me: Weak<Self>,
}

/// Makes the driver of an engine, with the inner service in it.
pub(crate) type Start<E> = Box<dyn FnOnce(Arc<E>) -> Task + Send>;

/// What is asked of a request, in its caller's thread.
pub(crate) struct Terms<Req, P, D> {
    pub(crate) partition: P,
    pub(crate) share: D,
    pub(crate) weigh: Option<Weigh<Req>>,
    pub(crate) deadline: Option<Deadline<Req>>,
}

pub(crate) type Weigh<Req> = Arc<dyn Fn(&Req) -> u64 + Send + Sync>;
pub(crate) type Deadline<Req> = Arc<dyn Fn(&Req) -> Option<Instant> + Send + Sync>;

/// On cache lines of its own (Intel fetches them in pairs, Apple's are that long).
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<Req, Res, E, P, D> Engine<Req, Res, E, P, D>
where
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    pub(crate) fn new(
        book: Arc<Book>,
        config: Config,
        terms: Terms<Req, P, D>,
        start: Start<Self>,
    ) -> Arc<Self> {
        let now = tokio::time::Instant::now().into_std();
        let is_timed = AtomicBool::new(is_timed(&config));
        let intake = Intake::new(config);
        Arc::new_cyclic(|me| Self {
            is_timed,
            places: Arc::clone(intake.places()),
            intake: Padded(Mutex::new(intake)),
            spares: Lanes::new(|_| Mutex::new(Vec::with_capacity(SPARES))),
            cells: Cells::new(),
            bell: Arc::new(Bell::new()),
            book,
            terms,
            base: now.checked_sub(Duration::from_nanos(1)).unwrap_or(now),
            idle: Mutex::new(Some(start)),
            me: Weak::clone(me),
        })
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        self.since_base(tokio::time::Instant::now().into_std())
    }

    #[inline]
    fn since_base(&self, at: Instant) -> Nanos {
        nanos(at.saturating_duration_since(self.base))
    }

    /// The moment, if it is near enough to be one.
    pub(crate) fn moment(&self, at: Nanos) -> Option<tokio::time::Instant> {
        if at == NEVER { None } else { self.base.checked_add(Duration::from_nanos(at)).map(Into::into) }
    }

    /// The driver, to whoever asks first.
    pub(crate) fn driver(&self) -> Option<Task> {
        if !self.intake.lock().drive() {
            return None;
        }
        let start = self.idle.lock().take()?;
        Some(start(self.me.upgrade()?))
    }

    /// Asks a request what there is to know. That is not our code, so it comes before anything has changed.
    #[inline]
    fn arrival(&self, request: Req) -> Arrived<Req, Res, E, P, D> {
        let Terms { partition, share, weigh, deadline } = &self.terms;
        let deadline = deadline.as_ref().and_then(|deadline| deadline(&request));
        Arrival {
            partition: partition.key(&request).0,
            group: share.key(&request).map(|key| key.0),
            weight: weigh.as_ref().map_or(0, |weigh| weigh(&request)),
            deadline: deadline.map_or(NEVER, |deadline| self.since_base(deadline)),
            at: if self.is_timed.load(Ordering::Relaxed) { self.now() } else { 0 },
            request,
        }
    }

    fn ring_if(&self, ring: bool) {
        if ring {
            self.bell.ring();
        }
    }
}

fn is_timed(config: &Config) -> bool {
    config.measure || !config.linger.is_zero()
}

impl<Req, Res, E, P, D> Batching<Req, Res, E> for Engine<Req, Res, E, P, D>
where
    Req: Send,
    Res: Send,
    E: Send,
    P: Partition<Req> + Send + Sync,
    D: Share<Req, Result<Res, E>> + Send + Sync,
{
    #[inline]
    fn poll_ready(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        if *place == Place::None && self.places.take_unguarded() {
            *place = Place::Held;
            return Poll::Ready(Ok(()));
        }
        let reserved = {
            let mut intake = self.intake.lock();
            let reserved = intake.reserve(place);
            if reserved == Reserve::Full && intake.wakes(place, cx.waker()) {
                return Poll::Pending;
            }
            reserved
        };
        match reserved {
            Reserve::Ready => Poll::Ready(Ok(())),
            Reserve::Closed => Poll::Ready(Err(Reason::Closed)),
            Reserve::Full => self.wait(place, cx.waker().clone()),
        }
    }

    #[inline]
    fn call(&self, request: Req, place: &mut Place) -> Result<Called, Reason> {
        let arrival = self.arrival(request);
        let (weight, is_late) = (arrival.weight, arrival.deadline != NEVER);
        let entered = self.intake.lock().enter(arrival, weight, is_late, place);
        match entered {
            Ok(Entered { id, ring, start }) => {
                self.ring_if(ring);
                Ok(Called { id, is_driven: !start || self.start() })
            }
            Err((arrival, reason)) => {
                self.give_up(place);
                if reason == Reason::Overloaded {
                    self.book.count(|counts| counts.refused += 1);
                }
                drop(arrival);
                Err(reason)
            }
        }
    }

    #[cold]
    fn start(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else { return self.intake.lock().is_driven() };
        if let Some(driver) = self.driver() {
            runtime.spawn(driver);
        }
        true
    }

    #[inline]
    fn poll(&self, id: u32, is_first: bool, cx: &mut Context<'_>) -> Poll<Answer<Res, E>> {
        let poll = self.cells.poll(id, is_first, cx);
        if poll.is_ready() {
            self.free(id);
        }
        poll
    }

    fn desert(&self, id: u32) {
        let mut ring = false;
        let answer = self.cells.desert(id, || ring = self.intake.lock().leave(id));
        self.ring_if(ring);
        if let Some(answer) = answer {
            self.free(id);
            drop(answer);
        }
    }

    fn give_up(&self, place: &mut Place) {
        let wakers = match take(place) {
            Place::None => return,
            Place::Held => {
                let is_guarded = self.places.add(1);
                if !is_guarded {
                    return;
                }
                Wakers { wake: self.intake.lock().hand_on(), stale: None }
            }
            Place::Waiting(ticket) => self.intake.lock().leave_line(ticket),
        };
        wake_all(wakers.wake);
        discard(wakers.stale);
    }
}

impl<Req, Res, E, P, D> Engine<Req, Res, E, P, D>
where
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    /// A caller has its answer.
    #[inline]
    fn free(&self, id: u32) {
        let mut spares = self.spares.here().lock();
        spares.push(id);
        if spares.len() >= SPARES {
            self.intake.lock().free(&mut spares);
        }
    }

    #[cold]
    fn wait(&self, place: &mut Place, waker: Waker) -> Poll<Result<(), Reason>> {
        let (reserved, spare) = self.intake.lock().wait(place, waker);
        drop(spare);
        match reserved {
            Reserve::Ready => Poll::Ready(Ok(())),
            Reserve::Closed => Poll::Ready(Err(Reason::Closed)),
            Reserve::Full => Poll::Pending,
        }
    }
}

impl<Req, Res, E, P, D> Control for Engine<Req, Res, E, P, D>
where
    Req: Send,
    Res: Send,
    E: Send,
    P: Partition<Req> + Send + Sync,
    D: Share<Req, Result<Res, E>> + Send + Sync,
{
    #[inline]
    fn name(&self) -> Name {
        self.book.name
    }

    fn close(&self, at_end: Option<AtEnd>) {
        let (ring, wakers) = self.intake.lock().close(at_end);
        self.ring_if(ring);
        wake_all(wakers);
        if self.is_dead() {
            // It was never started: the inner service goes now, and not with the last future.
            let idle = self.idle.lock().take();
            discard(idle);
        } else {
            // What was called outside of a runtime waits for somebody who is in one.
            self.start();
        }
    }

    fn flush(&self) {
        let ring = self.intake.lock().flush();
        self.ring_if(ring);
    }

    fn reconfigure(&self, config: &Config, version: u64) {
        let (ring, wakers) = {
            let mut intake = self.intake.lock();
            if !intake.is_news(version) {
                return;
            }
            self.is_timed.store(is_timed(config), Ordering::Relaxed);
            intake.reconfigure(config.clone())
        };
        self.ring_if(ring);
        wake_all(wakers);
    }

    fn is_dead(&self) -> bool {
        self.intake.lock().is_dead()
    }

    fn outside(&self) -> (usize, u32) {
        let intake = self.intake.lock();
        (intake.unseen(), intake.waiting())
    }
}
