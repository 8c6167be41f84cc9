//! The real state and a naive one, driven through the same history: what callers, services, the inner service and time
//! do, in any order.
//!
//! The driver of these histories looks when it was woken, when a batch of its own ends, or when it said that it would, and
//! never else; the naive one looks every time. So a wake-up or a timer that is lost shows as a difference.

mod naive;
mod ops;

use crate::config::Config;
use crate::intake::{Entered, Exchange, Intake, Place, Reserve};
use crate::state::{Arrival, Keyed, NEVER, Nanos, Out, Rules, State, Taken, Tally};
use buttress_testkit::waker::CountingWaker;
use naive::{Batch, Naive, Reply};
use ops::{Op, config, op};
use proptest::prelude::*;
use std::collections::BTreeMap;

const MS: Nanos = 1_000_000;
/// Time goes in steps of this: some are shorter than what is kept free before a deadline.
const STEP: Nanos = MS / 4;
const SERVICES: usize = 7;

/// One request, known by its caller.
#[derive(Clone, Debug)]
struct Request {
    caller: u64,
    partition: u8,
    group: Option<u8>,
    weight: u64,
    deadline: Nanos,
}

/// Where an answer goes.
#[derive(Debug)]
struct Cell {
    caller: u64,
    is_deserted: bool,
    reply: Option<Reply>,
}

struct Service {
    place: Place,
    waker: CountingWaker,
    /// How often it had been woken when it was last told to wait.
    seen: usize,
}

/// A batch that runs: whose requests are in it, and under which number the naive one knows it.
struct Run {
    callers: Vec<u64>,
    naive: u64,
}

struct World {
    intake: Intake<Arrival<u64, u8, u8>>,
    state: State<u64, u8, u8>,
    exchange: Exchange<Arrival<u64, u8, u8>>,
    out: Out<u64, u8, u8>,
    naive: Naive,
    is_partitioned: bool,
    services: Vec<Service>,
    cells: BTreeMap<u32, Cell>,
    callers: BTreeMap<u64, u32>,
    runs: BTreeMap<u32, Run>,
    ended: Vec<u32>,
    /// What the driver is woken by.
    is_rung: bool,
    is_blocked: bool,
    is_inner_ready: bool,
    is_dead: bool,
    now: Nanos,
    tally: Tally,
    last_caller: u64,
}

impl World {
    fn new(config: &Config, is_partitioned: bool) -> Self {
        let service = |_| Service { place: Place::None, waker: CountingWaker::new(), seen: 0 };
        Self {
            intake: Intake::new(config.clone()),
            state: State::new(Rules::new(config, is_partitioned)),
            exchange: Exchange::default(),
            out: Out::default(),
            naive: Naive::new(config.clone(), is_partitioned),
            is_partitioned,
            services: (0..SERVICES).map(service).collect(),
            cells: BTreeMap::new(),
            callers: BTreeMap::new(),
            runs: BTreeMap::new(),
            ended: vec![],
            is_rung: true,
            is_blocked: false,
            is_inner_ready: true,
            is_dead: false,
            now: 1,
            tally: Tally::default(),
            last_caller: 0,
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Poll(service) => self.poll(service),
            Op::Call { service, partition, group, weight, deadline } => {
                let deadline = deadline.map_or(NEVER, |steps| self.now + steps * STEP);
                self.call(service, partition, group, weight, deadline);
            }
            Op::Drop(service) => self.give_up(service),
            Op::Desert(which) => self.desert(which),
            Op::Collect(which) => self.collect(which),
            Op::End(which) => {
                let running: Vec<_> =
                    self.runs.keys().copied().filter(|run| !self.ended.contains(run)).collect();
                if let Some(&run) = running.get(usize::from(which) % running.len().max(1)) {
                    self.ended.push(run);
                    self.naive.end_run(self.runs[&run].naive);
                }
            }
            Op::Drive => self.drive(),
            Op::Advance(steps) => self.now += steps * STEP,
            Op::InnerReady(is_ready) => self.is_inner_ready = is_ready,
            Op::Flush => {
                self.is_rung |= self.intake.flush();
                self.naive.flush();
            }
            Op::Reconfigure(config) => {
                let (ring, wakers) = self.intake.reconfigure((*config).clone());
                self.is_rung |= ring;
                wakers.into_iter().for_each(std::task::Waker::wake);
                self.naive.reconfigure(*config);
            }
            Op::Close(at_end) => {
                self.intake.drive();
                let (ring, wakers) = self.intake.close(at_end);
                self.is_rung |= ring;
                wakers.into_iter().for_each(std::task::Waker::wake);
                if !self.is_dead {
                    self.naive.close(at_end);
                }
            }
            Op::Kill => self.kill(),
        }
        self.audit();
    }

    fn poll(&mut self, service: usize) {
        let expected = self.naive.reserve(service);
        let Service { place, waker, seen } = &mut self.services[service];
        // As the engine does it.
        let reserved = if *place == Place::None && self.intake.places().take_unguarded() {
            *place = Place::Held;
            Reserve::Ready
        } else {
            self.intake.reserve(place)
        };
        assert_eq!(reserved, expected);
        if reserved == Reserve::Full {
            *seen = waker.wakes();
            if !self.intake.wakes(place, waker.waker()) {
                assert!(matches!(self.intake.wait(place, waker.waker().clone()), (Reserve::Full, None)));
            }
        }
    }

    fn call(&mut self, service: usize, partition: u8, group: Option<u8>, weight: u64, deadline: Nanos) {
        self.last_caller += 1;
        let request = Request { caller: self.last_caller, partition, group, weight, deadline };
        let key = if self.is_partitioned { partition } else { 0 };
        let arrival = Arrival {
            request: request.caller,
            // Few hashes, so that they collide.
            partition: Keyed { hash: u64::from(key % 2), key },
            group: group.map(|key| Keyed { hash: u64::from(key % 2), key }),
            weight,
            deadline,
            at: self.now,
        };
        let place = &mut self.services[service].place;
        let expected = self.naive.enter(service, *place == Place::Held, &request, self.now);
        match self.intake.enter(arrival, weight, deadline != NEVER, place) {
            Ok(Entered { id, ring, .. }) => {
                assert_eq!(expected, Ok(()));
                self.is_rung |= ring;
                let cell = Cell { caller: request.caller, is_deserted: false, reply: None };
                assert!(self.cells.insert(id, cell).is_none(), "the cell of another");
                self.callers.insert(request.caller, id);
            }
            Err((_, reason)) => {
                assert_eq!(Err(reason), expected);
                self.give_up(service);
            }
        }
    }

    /// As the engine does it.
    fn give_up(&mut self, service: usize) {
        let wake = match std::mem::take(&mut self.services[service].place) {
            Place::None => None,
            Place::Held => {
                let is_guarded = self.intake.places().add(1);
                is_guarded.then(|| self.intake.hand_on()).flatten()
            }
            Place::Waiting(ticket) => self.intake.leave_line(ticket).wake,
        };
        wake.into_iter().for_each(std::task::Waker::wake);
        self.naive.give_up(service);
    }

    fn pick(&self, which: u8) -> Option<(u64, u32)> {
        let callers: Vec<_> = self.callers.iter().collect();
        callers.get(usize::from(which) % callers.len().max(1)).map(|&(&caller, &id)| (caller, id))
    }

    fn desert(&mut self, which: u8) {
        let Some((caller, id)) = self.pick(which) else { return };
        self.callers.remove(&caller);
        let cell = self.cells.get_mut(&id).expect("it is the caller's");
        if cell.reply.is_some() {
            self.cells.remove(&id);
            self.intake.free(&mut vec![id]);
            return;
        }
        cell.is_deserted = true;
        self.is_rung |= self.intake.leave(id);
        self.naive.leave(caller);
    }

    fn collect(&mut self, which: u8) {
        let Some((caller, id)) = self.pick(which) else { return };
        if self.cells[&id].reply.is_some() {
            self.callers.remove(&caller);
            self.cells.remove(&id);
            self.intake.free(&mut vec![id]);
        }
    }

    /// The driver looks if it is to, and does all it can.
    fn drive(&mut self) {
        if self.is_dead {
            return;
        }
        self.naive.look(self.now);
        let is_unblocked = self.is_blocked && self.is_inner_ready;
        if self.is_rung || is_unblocked || !self.ended.is_empty() || self.state.due() <= self.now {
            self.is_rung = false;
            while !self.look() {}
        }
        if self.is_inner_ready {
            let may_go = self.naive.may_go();
            assert!(may_go.is_empty(), "it sleeps, and {may_go:?} may go");
        }
        if self.state.has_ended() {
            self.intake.die(&mut self.exchange);
            self.is_dead = true;
        }
        self.compare();
    }

    /// As the driver does it. Whether there was nothing to do.
    fn look(&mut self) -> bool {
        let mut targets = vec![];
        for run in std::mem::take(&mut self.ended) {
            let Run { callers, .. } = self.runs.remove(&run).expect("it ran");
            let sent = self.state.end(run, &mut targets, &mut self.out);
            assert_eq!(sent as usize, callers.len());
            for target in targets.drain(..) {
                self.deliver(target.id, Ok(callers[target.result as usize]));
            }
        }
        self.exchange.quiet = self.is_blocked || self.state.is_saturated();
        self.intake.exchange(&mut self.exchange);
        self.exchange.wake.drain(..).for_each(std::task::Waker::wake);
        self.state.take_in(&mut self.exchange, &mut self.out);
        self.state.tick(self.now, &mut self.out);
        self.clear_out();
        let mut is_idle = self.exchange.is_empty && self.exchange.is_settled();
        self.is_blocked = false;
        if self.state.wants(&mut self.out).is_some() {
            if self.is_inner_ready {
                self.send();
                is_idle = false;
            } else {
                self.is_blocked = true;
            }
        }
        self.clear_out();
        is_idle && self.exchange.quiet == (self.is_blocked || self.state.is_saturated())
    }

    fn send(&mut self) {
        let Taken { run, requests, why, waited } = self.state.take(&mut self.out).expect("it wants to");
        let partition = *self.partition_of(&requests);
        let may_go = self.naive.may_go();
        assert!(may_go.contains(&partition), "{partition} goes, but only {may_go:?} may");
        let (expected, naive) = self.naive.send(partition);
        let waited = waited.expect("times are known").as_nanos() as Nanos;
        assert_eq!(Batch { partition, callers: requests.clone(), why, waited }, expected);
        assert!(self.runs.insert(run, Run { callers: requests, naive }).is_none(), "a place of another's");
        let most = self.runs.keys().max().expect("one runs");
        assert!(*most < 32, "places are not used again");
    }

    /// The one partition in which the naive one has them waiting.
    fn partition_of(&self, requests: &[u64]) -> &u8 {
        self.naive.partition_of(requests[0])
    }

    fn deliver(&mut self, id: u32, reply: Reply) {
        self.exchange.places += 1;
        let cell = self.cells.get_mut(&id).expect("an answer for nobody");
        assert_eq!(self.naive.replies.get(&cell.caller), Some(&reply), "caller {}", cell.caller);
        assert!(cell.reply.replace(reply).is_none(), "answered twice");
        if cell.is_deserted {
            self.cells.remove(&id);
            self.exchange.cells.push(id);
        }
    }

    fn clear_out(&mut self) {
        for (id, reason) in std::mem::take(&mut self.out.refused) {
            self.deliver(id, Err(reason));
        }
        for id in std::mem::take(&mut self.out.left) {
            let cell = self.cells.remove(&id).expect("the cell of one who left");
            assert!(cell.is_deserted && cell.reply.is_none());
            self.exchange.places += 1;
            self.exchange.cells.push(id);
        }
        self.out = Out::default();
    }

    fn kill(&mut self) {
        if self.is_dead {
            return;
        }
        self.naive.kill(self.now);
        self.is_dead = true;
        self.ended.clear();
        self.runs.clear();
        self.intake.die(&mut self.exchange);
        self.state.abandon(&mut self.exchange, &mut self.out);
        self.clear_out();
        self.exchange.wake.drain(..).for_each(std::task::Waker::wake);
        // Nobody looks again; here somebody does, to compare.
        self.intake.die(&mut self.exchange);
        self.compare();
    }

    /// After a look both are in the same place.
    fn compare(&mut self) {
        self.tally += std::mem::take(&mut self.state.tally);
        let unseen = self.intake.unseen() as u64;
        let tally = Tally { requests: self.tally.requests + unseen, ..self.tally };
        assert_eq!(tally, self.naive.tally);
        let queued = u64::from(self.state.queued()) + unseen;
        assert_eq!((queued, self.state.running()), (self.naive.queued().into(), self.naive.running()));
        let Tally { requests, sent, shared, cancelled, timed_out, closed, broken } = tally;
        assert_eq!(requests, sent + shared + cancelled + timed_out + closed + broken + queued);
        // One is kept for the next request; one that has emptied while nothing may go is passed over later.
        if !self.is_dead && self.is_inner_ready && self.naive.has_slot() {
            assert!(self.state.partitions() <= self.naive.partitions() + 1, "a partition is kept for nobody");
        }
        let (listed, leaders) = self.state.leaders();
        assert_eq!(listed, leaders, "a group is kept for nobody");
        let answered = self.naive.replies.keys().filter(|caller| self.callers.contains_key(caller));
        let replies = self.cells.values().filter(|cell| cell.reply.is_some()).count();
        assert_eq!(answered.count(), replies, "somebody waits for an answer that was given");
    }

    /// What holds at any time.
    fn audit(&self) {
        if !self.is_dead {
            assert_eq!(self.intake.used(), i64::from(self.naive.places_taken()));
        }
        assert_eq!(self.intake.waiting(), self.naive.waiting());
        for (number, service) in self.services.iter().enumerate() {
            let is_asleep = self.naive.is_waiting(number);
            let woken = service.waker.wakes() - service.seen;
            let ticket = matches!(service.place, Place::Waiting(_));
            assert!(is_asleep || !ticket || woken == 1, "service {number} has its place and was not told");
            assert!(!is_asleep || woken == 0, "service {number} was woken for nothing");
        }
    }

    /// Lets everything end: nobody may be left without an answer, and nothing may be left over.
    fn finish(&mut self) {
        self.step(Op::InnerReady(true));
        for service in 0..SERVICES {
            self.step(Op::Drop(service));
        }
        for _ in 0..200 {
            self.step(Op::Flush);
            self.step(Op::Drive);
            (0..16).for_each(|which| self.step(Op::End(which)));
        }
        self.step(Op::Drive);
        assert_eq!((self.state.queued(), self.state.running()), (0, 0));
        for id in self.callers.values() {
            assert!(self.cells[id].reply.is_some(), "{:?} was never answered", self.cells[id]);
        }
        assert_eq!(self.cells.len(), self.callers.len(), "a cell was never given back");
        assert!(self.is_dead || self.intake.used() == 0, "places are held for nobody");
        assert!(!self.state.needs_time() || self.state.due() == NEVER, "a timer is left");
    }
}

fn cases() -> ProptestConfig {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked_for { ProptestConfig::default().cases } else { 1000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_state_equals_the_naive_model(
        config in config(),
        is_partitioned in any::<bool>(),
        ops in prop::collection::vec(op(), 0..250),
    ) {
        let mut world = World::new(&config, is_partitioned);
        for op in ops {
            world.step(op);
        }
        world.finish();
    }
}
