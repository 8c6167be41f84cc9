//! Where callers and the driver meet: places, and what has come and left since the driver last looked.
//!
//! Pure. The shell keeps it under one lock and holds that for one method, so what is not ours (wakers, requests,
//! errors) is only moved in and out. A place is held from `poll_ready` until the request is answered; a cell, which is
//! where the answer goes, until its caller has taken that.

use crate::config::{AtEnd, Config, Oversize, WhenFull};
use crate::line::{Line, Worth};
use crate::places::Places;
use buttress_core::Reason;
use std::sync::Arc;
use std::task::Waker;

/// What a service holds between `poll_ready` and `call`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    None,
    /// Its ticket in the line.
    Waiting(u32),
    Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    Ready,
    Full,
    Closed,
}

/// A request that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The cell of its answer.
    pub(crate) id: u32,
    /// The driver is to be woken.
    pub(crate) ring: bool,
    /// There is no driver yet.
    pub(crate) start: bool,
}

/// Wakers that an operation hands out.
#[derive(Debug, Default)]
#[must_use = "they are to be woken and dropped after the lock"]
pub(crate) struct Wakers {
    pub(crate) wake: Option<Waker>,
    pub(crate) stale: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nobody comes in any more.
    Closing,
    /// Nobody is in any more, or there is no driver who would answer.
    Dead,
}

/// What the driver is told to do.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) flush: bool,
    pub(crate) close: Option<AtEnd>,
    pub(crate) config: Option<Config>,
}

impl Orders {
    pub(crate) fn is_empty(&self) -> bool {
        !self.flush && self.close.is_none() && self.config.is_none()
    }
}

/// What the driver brings and takes at a look.
#[derive(Debug)]
pub(crate) struct Exchange<A> {
    /// Places of requests that were answered, or were not sent since their callers left.
    pub(crate) places: u32,
    /// Cells that nobody looks at any more.
    pub(crate) cells: Vec<u32>,
    /// Nothing can be sent at the moment, whatever comes.
    pub(crate) quiet: bool,
    pub(crate) wake: Vec<Waker>,
    pub(crate) arrivals: Vec<(u32, A)>,
    pub(crate) leavers: Vec<u32>,
    pub(crate) orders: Orders,
    /// There is one place taken, and nobody waits for another.
    pub(crate) is_alone: bool,
    /// Nothing had come or left, and nothing was ordered: whoever comes from now on wakes the driver.
    pub(crate) is_empty: bool,
}

impl<A> Exchange<A> {
    /// Nothing is to be brought or told.
    pub(crate) fn is_settled(&self) -> bool {
        self.places == 0 && self.cells.is_empty() && self.wake.is_empty()
    }
}

impl<A> Default for Exchange<A> {
    fn default() -> Self {
        Self {
            places: 0,
            cells: vec![],
            quiet: false,
            wake: vec![],
            arrivals: vec![],
            leavers: vec![],
            orders: Orders::default(),
            is_alone: false,
            is_empty: true,
        }
    }
}

/// What each call changes comes first, and so is on the cache line of the lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Intake<A> {
    arrivals: Vec<(u32, A)>,
    /// Cells that are free, and the first that was never used.
    cells: Vec<u32>,
    fresh: u32,
    /// The driver will look.
    is_awake: bool,
    /// It need not look for the sake of a request.
    quiet: bool,
    is_driven: bool,
    phase: Phase,
    config: Config,
    /// Not guarded while it is open, and who finds no place waits, and nobody does.
    places: Arc<Places>,
    line: Line,
    leavers: Vec<u32>,
    orders: Orders,
    /// Which configuration of its layer's that is.
    version: u64,
}

impl<A> Intake<A> {
    pub(crate) fn new(config: Config) -> Self {
        let is_guarded = config.when_full == WhenFull::Refuse;
        Self {
            places: Arc::new(Places::new(config.places().get(), is_guarded)),
            config,
            version: 0,
            line: Line::new(),
            arrivals: Vec::new(),
            leavers: Vec::new(),
            cells: Vec::new(),
            fresh: 0,
            orders: Orders::default(),
            is_awake: false,
            quiet: false,
            is_driven: false,
            phase: Phase::Open,
        }
    }

    /// What can be taken and given back without the lock.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Takes a place, if one is free that nobody waits for.
    #[inline]
    pub(crate) fn reserve(&mut self, place: &mut Place) -> Reserve {
        if self.phase != Phase::Open {
            return Reserve::Closed;
        }
        if let Place::Waiting(ticket) = *place {
            match self.line.take(ticket) {
                Worth::Nothing => return Reserve::Full,
                Worth::Place => *place = Place::Held,
                Worth::Void => *place = Place::None,
            }
        }
        match *place {
            Place::Held => Reserve::Ready,
            _ if self.config.when_full == WhenFull::Refuse => Reserve::Ready,
            _ if self.take_place() => {
                *place = Place::Held;
                Reserve::Ready
            }
            _ => Reserve::Full,
        }
    }

    #[inline]
    fn take_place(&self) -> bool {
        self.line.is_empty() && self.places.take()
    }

    /// Guards the places if they are to be.
    fn guard(&self) {
        let is_plain = self.phase == Phase::Open && self.config.when_full == WhenFull::Wait;
        self.places.guard(!is_plain || !self.line.is_empty());
    }

    /// Whether it is in line already and would be woken by this waker.
    pub(crate) fn wakes(&self, place: &Place, waker: &Waker) -> bool {
        matches!(place, Place::Waiting(ticket) if self.line.wakes(*ticket, waker))
    }

    /// Gets in line, unless there is a place after all. Hands out the waker that is not needed.
    pub(crate) fn wait(&mut self, place: &mut Place, waker: Waker) -> (Reserve, Option<Waker>) {
        self.places.guard(true);
        let reserved = self.reserve(place);
        let spare = match (reserved, &*place) {
            (Reserve::Full, Place::Waiting(ticket)) => self.line.rewake(*ticket, waker),
            (Reserve::Full, _) => {
                *place = Place::Waiting(self.line.join(waker));
                None
            }
            _ => Some(waker),
        };
        self.guard();
        (reserved, spare)
    }

    /// A service does without its ticket.
    pub(crate) fn leave_line(&mut self, ticket: u32) -> Wakers {
        let (has_place, stale) = self.line.leave(ticket);
        if has_place {
            self.places.add(1);
        }
        Wakers { wake: self.hand_on(), stale }
    }

    /// A place has come free, and they are guarded.
    pub(crate) fn hand_on(&mut self) -> Option<Waker> {
        let waker = self.grant();
        self.guard();
        waker
    }

    fn grant(&mut self) -> Option<Waker> {
        if self.line.is_empty() || !self.places.take() {
            return None;
        }
        self.line.grant()
    }

    /// Gives the places that have come free to those who wait.
    fn grant_all(&mut self, wake: &mut Vec<Waker>) {
        if !self.line.is_empty() {
            wake.extend(std::iter::from_fn(|| self.grant()));
            self.guard();
        }
    }

    /// Takes a request in, into the place that is held or one that is free; or hands it back.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        arrival: A,
        weight: u64,
        is_timed: bool,
        place: &mut Place,
    ) -> Result<Entered, (A, Reason)> {
        if self.phase != Phase::Open {
            return Err((arrival, Reason::Closed));
        }
        let is_oversize = self.config.max_weight.is_some_and(|most| weight > most.get());
        if is_oversize && self.config.oversize == Oversize::Refuse {
            return Err((arrival, Reason::Overloaded));
        }
        match place {
            Place::Held => *place = Place::None,
            Place::None if self.take_place() => {}
            _ => return Err((arrival, Reason::Overloaded)),
        }
        let id = self.cells.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        });
        self.arrivals.push((id, arrival));
        let ring = (!self.quiet || is_timed) && self.wake_driver();
        Ok(Entered { id, ring, start: !self.is_driven })
    }

    /// Whether somebody has to, since it is asleep.
    fn wake_driver(&mut self) -> bool {
        !std::mem::replace(&mut self.is_awake, true)
    }

    /// The driver begins; whether it is the first.
    pub(crate) fn drive(&mut self) -> bool {
        !std::mem::replace(&mut self.is_driven, true)
    }

    /// A caller has left without its answer. Called while the cell is locked: so its notice is here before anybody
    /// can find the cell deserted and give it to another.
    pub(crate) fn leave(&mut self, id: u32) -> bool {
        self.leavers.push(id);
        self.wake_driver()
    }

    /// Callers have their answers.
    pub(crate) fn free(&mut self, ids: &mut Vec<u32>) {
        self.cells.append(ids);
    }

    pub(crate) fn flush(&mut self) -> bool {
        self.orders.flush = true;
        self.wake_driver()
    }

    /// Lets nobody in any more. Whether the driver has to be woken, and wakers of those who need not wait any longer.
    pub(crate) fn close(&mut self, at_end: Option<AtEnd>) -> (bool, Vec<Waker>) {
        // That the last service goes says nothing about what a shutdown has told to do.
        if self.phase == Phase::Dead || (self.phase == Phase::Closing && at_end.is_none()) {
            return (false, vec![]);
        }
        self.phase = Phase::Closing;
        if !self.is_driven && self.arrivals.is_empty() {
            self.phase = Phase::Dead;
        }
        // What is to be refused is not sent after all, though the driver has not heard of it yet.
        if self.orders.close != Some(AtEnd::Fail) {
            self.orders.close = Some(at_end.unwrap_or(self.config.at_end));
        }
        (self.wake_driver(), self.dismiss())
    }

    /// Wakes all who wait for a place, since there is no line any more; their next look says what there is instead.
    fn dismiss(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::with_capacity(self.line.len() as usize);
        wakers.extend(std::iter::from_fn(|| self.line.dismiss()));
        self.guard();
        wakers
    }

    /// Whether this configuration is later than the one in force, which it is to be from now on.
    pub(crate) fn is_news(&mut self, version: u64) -> bool {
        let is_news = version > self.version;
        self.version = self.version.max(version);
        is_news
    }

    /// Puts another configuration in force.
    pub(crate) fn reconfigure(&mut self, config: Config) -> (bool, Vec<Waker>) {
        self.places.add(i64::from(config.places().get()) - i64::from(self.config.places().get()));
        self.config = config.clone();
        self.orders.config = Some(config);
        let mut wakers = Vec::new();
        self.grant_all(&mut wakers);
        if self.config.when_full == WhenFull::Refuse {
            wakers.append(&mut self.dismiss());
        }
        self.guard();
        (self.wake_driver(), wakers)
    }

    /// What has come or left since the driver last looked changes hands, and what it has freed comes back.
    #[inline]
    pub(crate) fn exchange(&mut self, with: &mut Exchange<A>) {
        if with.places > 0 {
            self.places.add(i64::from(std::mem::take(&mut with.places)));
        }
        self.cells.append(&mut with.cells);
        self.grant_all(&mut with.wake);
        with.is_empty = self.arrivals.is_empty() && self.leavers.is_empty() && self.orders.is_empty();
        std::mem::swap(&mut self.arrivals, &mut with.arrivals);
        std::mem::swap(&mut self.leavers, &mut with.leavers);
        with.orders = std::mem::take(&mut self.orders);
        with.is_alone = self.used() <= 1 && self.line.is_empty();
        self.quiet = with.quiet;
        self.is_awake = !with.is_empty;
    }

    /// The driver ends, and with it everything: what has not been looked at changes hands for the last time.
    pub(crate) fn die(&mut self, with: &mut Exchange<A>) {
        self.exchange(with);
        self.phase = Phase::Dead;
        with.wake.append(&mut self.dismiss());
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.is_driven
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }

    /// Requests that the driver has not looked at.
    pub(crate) fn unseen(&self) -> usize {
        self.arrivals.len()
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.line.len()
    }

    /// Places that are taken.
    #[inline]
    pub(crate) fn used(&self) -> i64 {
        i64::from(self.config.places().get()) - self.places.free()
    }
}
