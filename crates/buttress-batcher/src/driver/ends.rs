//! How answers reach callers, and how the driver ends.

use super::Driver;
use crate::book::Counts;
use crate::cells::Delivered;
use crate::each::EachError;
use crate::engine::Answer;
use crate::event::Event;
use crate::guard::{discard, discard_all, guarded, wake_all};
use crate::keys::{Partition, Share};
use crate::running::Ended;
use crate::state::{Tally, Target};
use buttress_core::Reason;
use std::mem::take;
use tower_service::Service;

impl<S, Req, Res, E, P, D, X> Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
    X: EachError<S::Error, E>,
{
    /// A batch has ended: each caller gets what there is for it.
    pub(super) fn end(&mut self, run: u32, ended: Ended<Result<S::Response, S::Error>>) {
        let mut targets = take(&mut self.targets);
        let sent = self.state.end(run, &mut targets, &mut self.out) as usize;
        let callers = targets.len();
        match ended {
            Ended::With(Ok(results)) if results.len() == sent => self.hand_out(&targets, results),
            Ended::With(Ok(mut results)) => {
                self.refuse(&targets, Reason::Failed);
                let event = Event::Miscounted { sent, results: results.len() };
                discard_all(&mut results);
                self.observe(event, |counts| counts.miscounted += 1);
            }
            Ended::With(Err(error)) => {
                for target in &targets {
                    let each = guarded(|| self.each.each(&error)).flatten();
                    self.deliver(target.id, each.map(Err).ok_or(Reason::Failed));
                }
                discard(error);
                self.observe(Event::Failed { callers }, |counts| counts.failed += 1);
            }
            Ended::Panicked => {
                self.refuse(&targets, Reason::Failed);
                self.observe(Event::Panicked { callers }, |counts| counts.panicked += 1);
            }
        }
        targets.clear();
        self.targets = targets;
    }

    /// As many results as requests. Those who share one get clones of it, and the last of them itself.
    fn hand_out(&mut self, targets: &[Target], results: Vec<Result<Res, E>>) {
        let mut results = results.into_iter();
        let mut present = None;
        for (at, Target { id, result }) in targets.iter().enumerate() {
            let shared = present.take().or_else(|| results.next());
            let is_last = targets.get(at + 1).is_none_or(|next| next.result != *result);
            let own = if is_last {
                shared
            } else {
                let own = D::TWIN.zip(shared.as_ref()).and_then(|(twin, shared)| guarded(|| twin(shared)));
                present = shared;
                own
            };
            self.deliver(*id, own.ok_or(Reason::Failed));
        }
    }
}

impl<S, Req, Res, E, P, D, X> Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    fn refuse(&mut self, targets: &[Target], reason: Reason) {
        targets.iter().for_each(|target| self.deliver(target.id, Err(reason)));
    }

    #[inline]
    fn deliver(&mut self, id: u32, answer: Answer<Res, E>) {
        self.exchange.places += 1;
        match self.engine.cells.deliver(id, answer) {
            Delivered::Kept(waker) => self.exchange.wake.extend(waker),
            Delivered::Deserted(answer) => {
                self.exchange.cells.push(id);
                discard(answer);
            }
        }
    }

    /// Does what a step of the state has left to do.
    pub(super) fn clear_out(&mut self) {
        if !self.out.refused.is_empty() {
            let mut refused = take(&mut self.out.refused);
            for (id, reason) in refused.drain(..) {
                self.deliver(id, Err(reason));
            }
            self.out.refused = refused;
        }
        for id in self.out.left.drain(..) {
            self.engine.cells.reclaim(id);
            self.exchange.places += 1;
            self.exchange.cells.push(id);
        }
        discard_all(&mut self.out.requests);
        discard_all(&mut self.out.keys);
        discard_all(&mut self.out.groups);
    }

    /// Publishes what has happened, and then wakes those who wait for it.
    pub(super) fn tell(&mut self) {
        self.publish();
        wake_all(self.exchange.wake.drain(..));
    }

    fn publish(&mut self) {
        let now = (u64::from(self.state.queued()), u64::from(self.state.running()));
        let tally = take(&mut self.state.tally);
        if tally == Tally::default() && now == (self.queued, self.in_flight) && self.sent.is_empty() {
            return;
        }
        self.engine.book.count(|counts| {
            counts.tally += tally;
            counts.queued = counts.queued + now.0 - self.queued;
            counts.in_flight = counts.in_flight + now.1 - self.in_flight;
            self.sent.drain(..).for_each(|(size, why, waited)| counts.sent(size, why, waited));
        });
        (self.queued, self.in_flight) = now;
    }

    fn observe(&self, event: Event, count: impl FnOnce(&mut Counts)) {
        self.engine.book.count(count);
        if let Some(observe) = &self.observe {
            let _ = guarded(|| observe.observe(event));
        }
    }

    /// Everybody is answered, and nobody will come.
    pub(super) fn finish(&mut self) {
        self.has_ended = true;
        self.engine.intake.lock().die(&mut self.exchange);
        self.tell();
    }

    /// Its task is dropped before its end: nobody will be served, so all are told.
    fn abandon(&mut self) {
        self.has_ended = true;
        self.engine.intake.lock().die(&mut self.exchange);
        self.state.abandon(&mut self.exchange, &mut self.out);
        let callers = self.out.refused.len();
        self.clear_out();
        self.tell();
        self.observe(Event::Lost { callers }, |_| {});
    }
}

impl<S, Req, Res, E, P, D, X> Drop for Driver<S, Req, Res, E, P, D, X>
where
    S: Service<Vec<Req>, Response = Vec<Result<Res, E>>>,
    P: Partition<Req>,
    D: Share<Req, Result<Res, E>>,
{
    fn drop(&mut self) {
        if !self.has_ended {
            self.abandon();
        }
        self.running.clear_all();
        discard(self.inner.take());
        self.engine.book.ended.notify_waiters();
    }
}
