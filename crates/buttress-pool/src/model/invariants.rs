//! Whatever the configuration: shared leases, ages, checks, deadlines. What must hold after every step, and that in the
//! end everybody is served.

use super::*;
use crate::config::{Config, Size};
use crate::core::{Close, End, Got, Granted, Job, News, Start, Ticket, Why, nanos};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Op {
    Get { limit: u64 },
    Poll(u8),
    Leave(u8),
    Prove { which: u8, passes: bool },
    Put { which: u8, end: End },
    Jobs,
    Connect { which: u8, works: bool },
    Check { which: u8, result: Option<bool> },
    Advance(Nanos),
    Resize(u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![16 => Just(End::Whole), 2 => Just(End::Broken), 1 => Just(End::Dirty)];
    let limit = prop_oneof![1 => 0..3u64, 3 => 1..100u64, 6 => Just(300)];
    let size = (0..4u32, 0..6u32);
    prop_oneof![
        20 => limit.prop_map(|limit| Op::Get { limit }),
        14 => any::<u8>().prop_map(Op::Poll),
        4 => any::<u8>().prop_map(Op::Leave),
        8 => (any::<u8>(), prop::bool::weighted(0.7)).prop_map(|(which, passes)| Op::Prove { which, passes }),
        16 => (any::<u8>(), end).prop_map(|(which, end)| Op::Put { which, end }),
        12 => Just(Op::Jobs),
        12 => (any::<u8>(), prop::bool::weighted(0.7)).prop_map(|(which, works)| Op::Connect { which, works }),
        8 => (any::<u8>(), prop::option::weighted(0.9, prop::bool::weighted(0.8)))
            .prop_map(|(which, result)| Op::Check { which, result }),
        12 => prop_oneof![0..3 * MS, 0..40 * MS, 0..400 * MS].prop_map(Op::Advance),
        1 => size.prop_map(|(min, more)| Op::Resize(min, (min + more).max(1))),
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![2 => Just(Duration::MAX), 3 => (1..600u64).prop_map(Duration::from_millis)]
}

fn config() -> impl Strategy<Value = Config> {
    let check_after = prop_oneof![1 => Just(Duration::ZERO), 4 => time()];
    // A life so short that renewing never ends would never come to rest.
    let life = time().prop_map(|life| life.max(Duration::from_millis(300)));
    let times = (check_after, life, time(), time(), time());
    ((0..4u32, 0..6u32), times, 1..4u32).prop_map(|((min, more), times, connects)| {
        Config::default()
            .size(Size::new(min, (min + more).max(1)).unwrap())
            .check_after(times.0)
            .max_lifetime(times.1)
            .idle_timeout(times.2)
            .keepalive(times.3)
            .leak_after(times.4)
            .connects(NonZeroU32::new(connects).unwrap())
    })
}

/// What is known of a connection from outside.
#[derive(Debug, Default)]
struct Life {
    born: Nanos,
    proved: Nanos,
    used: Nanos,
    leases: u32,
    in_check: bool,
}

struct Proving {
    granted: Granted<Conn>,
    began: Nanos,
}

struct World {
    core: Core<Conn, Cause>,
    config: Config,
    each: u32,
    driver: Driver,
    now: Nanos,
    asking: Vec<Asking>,
    /// By number, of those who ask.
    until: BTreeMap<u64, Nanos>,
    proving: Vec<Proving>,
    leases: Vec<(u32, Conn, Nanos)>,
    starts: Vec<(Start, Nanos)>,
    checks: Vec<(u32, Conn, Nanos)>,
    lives: BTreeMap<u64, Life>,
    suspect_before: Nanos,
    /// The largest the pool was ever allowed to be.
    largest: u32,
    made: u64,
    gets: u64,
    leaks: u64,
}

fn pick<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(usize::from(which) % from.len())) }
}

impl World {
    fn new(config: Config, each: u32) -> Self {
        Self {
            core: Core::new(&config, each, 7),
            each,
            driver: Driver::new(),
            now: 0,
            asking: vec![],
            until: BTreeMap::new(),
            proving: vec![],
            leases: vec![],
            starts: vec![],
            checks: vec![],
            lives: BTreeMap::new(),
            suspect_before: 0,
            largest: config.size.max(),
            config,
            made: 0,
            gets: 0,
            leaks: 0,
        }
    }

    fn life(&mut self, conn: &Conn) -> &mut Life {
        self.lives.get_mut(&conn.id).expect("it was made")
    }

    fn accuse(&mut self, before: Nanos) {
        self.suspect_before = self.suspect_before.max(before);
    }

    /// Who has an exclusive connection drops it, and the pool never sees it again.
    fn gone(&mut self, conn: &Conn) {
        if self.each == 1 {
            self.lives.remove(&conn.id).expect("it was there");
        }
    }

    /// What an exclusive lease brings back, a shared one does not need to.
    fn handle(&self, conn: Conn) -> Option<Conn> {
        (self.each == 1).then_some(conn)
    }

    /// A grant is of a connection with a place left, that is young enough, and is checked if and only if it must be.
    fn granted(&mut self, granted: Granted<Conn>) {
        let conn = granted.handle.as_ref().expect("it has one");
        let (now, suspect_before, each) = (self.now, self.suspect_before, self.each);
        let check_after = nanos(self.config.check_after);
        let life = self.life(conn);
        life.leases += 1;
        assert!(life.leases <= each, "more leases than places");
        assert!(each > 1 || !life.in_check, "somebody else has it");
        let is_stale = now - life.used.max(life.proved) >= check_after && now < granted.ticket.until;
        let must = life.proved < suspect_before || is_stale;
        assert_eq!(granted.check, must);
        if granted.check {
            self.proving.push(Proving { granted, began: now });
        } else {
            let Granted { slot, handle, .. } = granted;
            self.leases.push((slot, handle.expect("it has one"), now));
        }
    }

    fn refused(&self, ticket: Option<(u64, Nanos)>, why: &Why<Cause>) {
        match why {
            Why::Timeout { .. } => {
                let (_, until) = ticket.expect("who did not wait has no time to be over");
                assert!(until <= self.now, "ended before its time");
            }
            Why::Down { since, .. } => assert!(*since <= self.now),
            Why::QueueFull { .. } | Why::Closed => {
                panic!("{why:?}: no queue is that long, and nobody closed it")
            }
        }
    }

    /// The driver does what it has to, if it was told to come.
    fn drive(&mut self, fx: &mut Effects) {
        let now = self.now;
        let is_here = self.driver.run(&mut self.core, now, fx);
        while let Some(job) = if is_here { self.core.next_job() } else { None } {
            match job {
                Job::Connect(start) => self.starts.push((start, now)),
                Job::Check { slot, handle } => {
                    let conn = handle.expect("it has one");
                    let exclusive = self.each == 1;
                    let life = self.life(&conn);
                    assert!(!life.in_check && (life.leases == 0 || !exclusive), "somebody has it");
                    life.in_check = true;
                    self.checks.push((slot, conn, now));
                }
            }
        }
    }

    fn step(&mut self, op: Op) {
        let before = self.core.view(self.now);
        let oldest_before: Vec<u64> = self.waiting();
        let (mut fx, now) = (Fx::default(), self.now);
        let mut over = None;
        match op {
            Op::Get { limit } => {
                let until = now + limit * MS;
                self.gets += 1;
                let waker = CountingWaker::new();
                match self.core.get(false, now, until, here(), waker.waker(), &mut fx) {
                    Got::Granted(granted) => {
                        assert_eq!(before.waiters, 0, "overtook somebody");
                        self.granted(granted);
                    }
                    Got::Waiting(id) => {
                        self.until.insert(self.gets, until);
                        self.asking.push(Asking { number: self.gets, id, waker });
                    }
                    Got::Refused(why) => self.refused(Some((self.gets, until)), &why),
                }
            }
            Op::Poll(which) => {
                let Some(asking) = pick(&mut self.asking, which) else { return };
                match self.core.poll(asking.id, now, here(), asking.waker.waker(), &mut fx) {
                    None => self.asking.push(asking),
                    Some(Ok(granted)) => self.granted(granted),
                    Some(Err(why)) => self.refused(Some((asking.number, self.until[&asking.number])), &why),
                }
            }
            Op::Leave(which) => {
                if which % 4 == 0 {
                    let Some(Proving { granted, .. }) = pick(&mut self.proving, which / 4) else { return };
                    let conn = granted.handle.expect("it has one");
                    self.life(&conn).leases -= 1;
                    self.gone(&conn);
                    self.core.abandoned(granted.slot, &mut fx);
                } else {
                    let Some(asking) = pick(&mut self.asking, which) else { return };
                    self.core.leave(asking.id, &mut fx);
                }
            }
            Op::Prove { which, passes } => {
                let Some(Proving { granted, began }) = pick(&mut self.proving, which) else { return };
                let Granted { slot, handle, ticket, .. } = granted;
                let conn = handle.expect("it has one");
                if passes {
                    self.core.passed(slot, ticket, began, now);
                    self.life(&conn).proved = now;
                    self.leases.push((slot, conn, now));
                } else {
                    let Ticket { number, until, .. } = ticket;
                    self.life(&conn).leases -= 1;
                    self.gone(&conn);
                    self.accuse(began);
                    let (waker, times) = (CountingWaker::new(), (began, now));
                    over = Some(number);
                    match self.core.failed(slot, ticket, 0, times, here(), waker.waker(), &mut fx) {
                        Got::Granted(granted) => self.granted(granted),
                        Got::Waiting(id) => {
                            self.until.insert(number, until);
                            self.asking.push(Asking { number, id, waker });
                        }
                        Got::Refused(why) => self.refused(Some((number, until)), &why),
                    }
                }
            }
            Op::Put { which, end } => {
                let Some((slot, conn, taken)) = pick(&mut self.leases, which) else { return };
                let life = self.life(&conn);
                (life.leases, life.used) = (life.leases - 1, now);
                if end == End::Broken {
                    self.accuse(now);
                }
                if end == End::Whole {
                    let conn = self.handle(conn);
                    if let Err(conn) = self.core.put_fast(slot, conn, taken, now) {
                        self.core.put(slot, conn, end, taken, now, &mut fx);
                    }
                } else {
                    self.gone(&conn);
                    self.core.put(slot, None, end, taken, now, &mut fx);
                }
            }
            Op::Jobs => {
                self.drive(&mut fx);
            }
            Op::Connect { which, works } => {
                let Some((start, began)) = pick(&mut self.starts, which) else { return };
                if works {
                    self.made += 1;
                    let conn = Conn { id: self.made, shared: self.each > 1 };
                    let life = Life { born: now, proved: now, used: now, ..Life::default() };
                    self.lives.insert(self.made, life);
                    self.core.connected(start, conn, began, now, &mut fx);
                } else {
                    self.core.connect_failed(start, 0, now, &mut fx);
                }
            }
            Op::Check { which, result } => {
                let Some((slot, conn, began)) = pick(&mut self.checks, which) else { return };
                self.life(&conn).in_check = false;
                match result {
                    Some(true) => {
                        self.life(&conn).proved = now;
                        let handle = self.handle(conn);
                        self.core.checked(slot, handle, Ok(()), (began, now), &mut fx);
                    }
                    Some(false) => {
                        self.accuse(began);
                        self.gone(&conn);
                        self.core.checked(slot, None, Err(0), (began, now), &mut fx);
                    }
                    None => {
                        self.gone(&conn);
                        self.core.check_dropped(slot, now, &mut fx);
                    }
                }
            }
            Op::Advance(time) => {
                self.now += time;
                self.drive(&mut fx);
            }
            Op::Resize(min, max) => {
                self.config = self.config.clone().size(Size::new(min, max).unwrap());
                self.largest = self.largest.max(max);
                self.core.resize(self.config.size, &mut fx);
            }
        }
        let news = std::mem::take(&mut fx.news).into_iter();
        self.leaks += news.filter(|news| matches!(news, News::Leaked(_))).count() as u64;
        for id in perform(fx, &mut self.driver) {
            let life = self.lives.remove(&id).expect("it is closed once");
            assert!(life.leases == 0 && !life.in_check, "closed under somebody");
        }
        self.check(&before, &oldest_before, over);
    }

    /// The numbers of those who wait, oldest first.
    fn waiting(&self) -> Vec<u64> {
        let waiting = self.asking.iter().filter(|asking| asking.waker.wakes() == 0);
        let mut waiting: Vec<_> = waiting.map(|asking| asking.number).collect();
        waiting.sort_unstable();
        waiting
    }

    fn check(&mut self, before: &crate::core::View, waited: &[u64], queued_again: Option<u64>) {
        self.core.audit();
        let view = self.core.view(self.now);
        let waiting = self.waiting();
        assert_eq!(waiting.len(), view.waiters as usize, "woken once, when it is decided");
        assert_eq!(view.counts.leaks, self.leaks);
        assert!(view.live + view.connecting <= self.largest, "over the cap");
        if view.connecting > before.connecting {
            assert!(view.live + view.connecting <= self.config.size.max(), "connects over the cap");
        }
        let idle_closed = |view: &crate::core::View| view.counts.closed[Close::Idle as usize];
        if idle_closed(&view) > idle_closed(before) {
            let alive = view.live - view.doomed + view.connecting;
            assert!(alive >= self.config.size.min(), "reaped under the minimum");
        }
        // Grants go to the oldest.
        let granted = view.granted.saturating_sub(before.granted) as usize;
        let timed_out = (view.counts.timeouts - before.counts.timeouts) as usize;
        let left = (view.counts.cancelled - before.counts.cancelled) as usize;
        if granted > 0 && timed_out == 0 && left == 0 {
            let mut expected = waited.to_vec();
            expected.drain(..granted.min(expected.len()));
            expected.extend(queued_again.filter(|number| waiting.contains(number)));
            expected.sort_unstable();
            assert_eq!(waiting, expected, "not in order");
        }
        if !self.driver.kicked && self.driver.due > self.now {
            assert!(!self.core.has_jobs(), "nobody told the driver");
            for asking in self.asking.iter().filter(|asking| asking.waker.wakes() == 0) {
                assert!(self.until[&asking.number] > self.now, "waits beyond its time");
            }
            let life = nanos(self.config.max_lifetime);
            for (id, conn) in &self.lives {
                let is_held = conn.leases > 0 || conn.in_check;
                let in_hand = is_held || self.core_has_promised(*id);
                // As long as upkeep is not done more often than that.
                assert!(in_hand || self.now - conn.born < life.saturating_add(MS), "{id} is too old");
            }
        }
    }

    /// Granted and not taken, or on its way to a check.
    fn core_has_promised(&self, _: u64) -> bool {
        let view = self.core.view(self.now);
        view.granted > 0 || view.checking > 0
    }

    /// Everything works from now on, and everybody gives back what they have.
    fn calm(mut self) {
        for _ in 0..2000 {
            self.step(Op::Jobs);
            self.step(Op::Connect { which: 0, works: true });
            self.step(Op::Check { which: 0, result: Some(true) });
            self.step(Op::Prove { which: 0, passes: true });
            self.step(Op::Put { which: 0, end: End::Whole });
            for which in 0..4 {
                self.step(Op::Poll(which));
            }
            let is_calm = self.asking.is_empty() && self.proving.is_empty() && self.leases.is_empty();
            let view = self.core.view(self.now);
            // Nobody finds out that the server is back while there are enough, and nobody asks.
            let is_up = view.down.is_none() || view.live >= self.config.size.min();
            if is_calm && is_up && view.connecting == 0 && view.checking == 0 {
                assert!(view.live >= self.config.size.min() && view.idle == view.live);
                return;
            }
            self.step(Op::Advance(self.driver.due.saturating_sub(self.now).min(20 * MS)));
        }
        panic!("it does not come to rest: {:?}", self.core.view(self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds(
        config in config(),
        each in prop_oneof![1 => Just(1u32), 2 => 2..5u32],
        ops in prop::collection::vec(op(), 0..250),
    ) {
        let mut world = World::new(config, each);
        for op in ops {
            world.step(op);
        }
        world.calm();
    }
}
