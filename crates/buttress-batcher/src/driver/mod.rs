//! The one task of a batcher. It owns the inner service and whatever runs, and meets callers only at the intake, for a
//! moment, and at the cell of each.

mod ends;
#[cfg(all(test, not(buttress_loom)))]
mod tests;

use crate::each::EachError;
use crate::engine::Engine;
use crate::event::Event;
use crate::guard::{discard_all, guarded};
use crate::intake::Exchange;
use crate::keys::{Partition, Share};
use crate::running::{Ended, Running};
use crate::state::{Arrival, Flush, Out, Ready, Rules, State, Taken, Target};
use crate::timer::Timer;
use buttress_core::Observe;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// So many batches are sent in one go, or so many looks made that find nothing to send, before other tasks get their
/// turn.
const AT_A_TIME: u32 = 8;

/// So many in a row who are alone are sent at once; the next one waits for a turn of the others, to see whether there are
/// any. Where tasks run one after the other and what was woken last runs first, each of many callers is alone when the
/// driver looks.
const ALONE_AT_A_TIME: u32 = 128;

pub(crate) type Observer = Arc<dyn Observe<Event> + Send + Sync>;

pub(crate) struct Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    engine: Arc<Engine<Req, Res, E, P, D>>,
    /// There until the end.
    inner: Option<S>,
    each: X,
    observe: Option<Observer>,
    state: State<Req, P::Key, D::Key>,
    running: Running<S::Future>,
    exchange: Exchange<Arrival<Req, P::Key, D::Key>>,
    timer: Timer,
    measures: bool,
    /// The inner service is not ready.
    is_blocked: bool,
    /// Others had their turn since a batch was found that has room.
    has_yielded: bool,
    /// How many in a row were alone and did not wait for others, since the last one who did and still was alone.
    alone: u32,
    has_ended: bool,
    /// What was published last of what there is.
    queued: u64,
    in_flight: u64,
    // Scratch, so that a batch of any size costs no allocation but that of its requests.
    out: Out<Req, P::Key, D::Key>,
    woken: Vec<u64>,
    targets: Vec<Target>,
    sent: Vec<(usize, Flush, Option<Duration>)>,
}

/// Nothing in it is pinned: what runs is boxed.
impl<S, Req, Res, E, P, D, X> Unpin for Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
}

/// What came of the look for something to send.
enum Sent {
    Batch,
    Nothing,
    /// There is room in what could go, and there may be others to fill it.
    Wait,
}

impl<S, Req, Res, E, P, D, X> Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
    X: EachError<S::Error, E>,
{
    pub(crate) fn new(
        engine: Arc<Engine<Req, Res, E, P, D>>,
        inner: S,
        each: X,
        observe: Option<Observer>,
    ) -> Self {
        let config = engine.intake.lock().config().clone();
        Self {
            inner: Some(inner),
            each,
            observe,
            state: State::new(Rules::new(&config, P::IS_PARTITIONED)),
            running: Running::new(Arc::clone(&engine.bell)),
            exchange: Exchange::default(),
            timer: Timer::default(),
            measures: config.measure,
            is_blocked: false,
            has_yielded: false,
            alone: 0,
            has_ended: false,
            queued: 0,
            in_flight: 0,
            out: Out::default(),
            woken: Vec::new(),
            targets: Vec::new(),
            sent: Vec::new(),
            engine,
        }
    }

    /// Brings what has ended, and takes in what has come, left and become due since the last look. Whether nobody had come
    /// or left, and nothing is left to bring.
    fn look(&mut self) -> bool {
        self.exchange.quiet = self.is_quiet();
        self.engine.intake.lock().exchange(&mut self.exchange);
        self.tell();
        if let Some(config) = &self.exchange.orders.config {
            self.measures = config.measure;
        }
        self.state.take_in(&mut self.exchange, &mut self.out);
        if self.state.queued() > 0 && (self.measures || self.state.needs_time()) {
            self.state.tick(self.engine.now(), &mut self.out);
        }
        self.clear_out();
        self.exchange.is_empty && self.exchange.is_settled()
    }

    /// Nothing can be sent at the moment, whoever comes.
    fn is_quiet(&self) -> bool {
        self.is_blocked || self.state.is_saturated()
    }

    fn poll_woken(&mut self) {
        self.engine.bell.answer(&mut self.woken);
        for word in 0..self.woken.len() {
            let mut bits = std::mem::take(&mut self.woken[word]);
            while bits != 0 {
                self.poll_run(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }

    fn poll_run(&mut self, run: u32) {
        if let Some(Poll::Ready(ended)) = self.running.poll(run) {
            self.end(run, ended);
        }
    }

    /// Sends one batch, if one can go.
    fn send(&mut self, cx: &mut Context<'_>) -> Sent {
        self.is_blocked = false;
        let Some(ready) = self.state.wants(&mut self.out) else { return Sent::Nothing };
        // Who is alone has nobody to wait for, and a turn of others costs microseconds.
        let goes_alone = self.exchange.is_alone && self.alone < ALONE_AT_A_TIME;
        if ready == Ready::Partial && !self.has_yielded && !goes_alone {
            return Sent::Wait;
        }
        let Some(inner) = &mut self.inner else { return Sent::Nothing };
        let readied = match guarded(|| inner.poll_ready(cx)) {
            Some(Poll::Pending) => {
                self.is_blocked = true;
                return Sent::Nothing;
            }
            Some(Poll::Ready(readied)) => Some(readied),
            None => None,
        };
        let Some(Taken { run, mut requests, why, waited }) = self.state.take(&mut self.out) else {
            return Sent::Nothing;
        };
        self.sent.push((requests.len(), why, waited));
        if ready == Ready::Partial && self.exchange.is_alone {
            self.alone = if self.has_yielded { 0 } else { self.alone + 1 };
        }
        // The others that could go at that turn are in other partitions.
        self.has_yielded &= P::IS_PARTITIONED || ready == Ready::Full;
        match readied {
            None => {
                discard_all(&mut requests);
                self.end(run, Ended::Panicked);
            }
            Some(Err(error)) => {
                discard_all(&mut requests);
                self.end(run, Ended::With(Err(error)));
            }
            Some(Ok(())) => match guarded(|| inner.call(requests)) {
                None => self.end(run, Ended::Panicked),
                Some(future) => {
                    self.running.put(run, future);
                    self.poll_run(run);
                }
            },
        }
        self.clear_out();
        Sent::Batch
    }

    /// Whether it is woken when there is something to do.
    fn sleeps(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(due) = self.engine.moment(self.state.due()) {
            if self.timer.poll(due, cx).is_ready() {
                return false;
            }
        }
        self.engine.bell.sleep(cx.waker())
    }

    /// Lets others have their turn, and comes back.
    fn pause(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.has_yielded = true;
        self.tell();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S, Req, Res, E, P, D, X> Future for Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
    X: EachError<S::Error, E>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (mut batches, mut looks) = (0, 0);
        this.poll_woken();
        loop {
            let is_idle = this.look();
            match this.send(cx) {
                Sent::Wait => return this.pause(cx),
                Sent::Batch => {
                    batches += 1;
                    if batches == AT_A_TIME {
                        return this.pause(cx);
                    }
                    continue;
                }
                Sent::Nothing => this.has_yielded = false,
            }
            // A batch that keeps waking itself, or callers who keep coming and leaving, would hold it here.
            looks += 1;
            if looks == AT_A_TIME {
                return this.pause(cx);
            }
            if !is_idle || this.is_quiet() != this.exchange.quiet {
                continue;
            }
            if this.state.has_ended() {
                this.finish();
                return Poll::Ready(());
            }
            if this.sleeps(cx) {
                return Poll::Pending;
            }
            this.poll_woken();
        }
    }
}
