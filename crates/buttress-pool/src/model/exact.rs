//! Exclusive leases without ages: after every step the core is what the naive one is.

use super::naive::{Naive, Reply};
use super::*;
use crate::config::{Config, Size};
use crate::core::{Close, End, Got, Granted, Job, Start, Ticket, View, Why};
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Op {
    Get { limit: u64, is_placed: bool },
    Place,
    LeavePlace,
    Poll(u8),
    Leave(u8),
    Prove { which: u8, passes: bool },
    Put { which: u8, end: Option<Close> },
    Driver,
    Jobs { most: u8 },
    Connect { which: u8, works: bool },
    Check { which: u8, result: Option<bool> },
    Advance(Nanos),
    Resize(u32, u32),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        12 => Just(None),
        2 => Just(Some(Close::Broken)),
        1 => Just(Some(Close::Dirty)),
        1 => Just(Some(Close::Unfit)),
        1 => Just(Some(Close::Detached)),
    ];
    let limit =
        prop_oneof![1 => Just(0), 2 => Just(1), 4 => 1..100u64, 8 => Just(200), 1 => Just(u64::MAX / MS)];
    prop_oneof![
        20 => (limit, any::<bool>()).prop_map(|(limit, is_placed)| Op::Get { limit, is_placed }),
        6 => Just(Op::Place),
        2 => Just(Op::LeavePlace),
        12 => any::<u8>().prop_map(Op::Poll),
        5 => any::<u8>().prop_map(Op::Leave),
        8 => (any::<u8>(), prop::bool::weighted(0.7)).prop_map(|(which, passes)| Op::Prove { which, passes }),
        14 => (any::<u8>(), end).prop_map(|(which, end)| Op::Put { which, end }),
        4 => Just(Op::Driver),
        10 => (1..5u8).prop_map(|most| Op::Jobs { most }),
        12 => (any::<u8>(), prop::bool::weighted(0.6)).prop_map(|(which, works)| Op::Connect { which, works }),
        8 => (any::<u8>(), prop::option::weighted(0.9, prop::bool::weighted(0.7)))
            .prop_map(|(which, result)| Op::Check { which, result }),
        10 => prop_oneof![0..3 * MS, 0..80 * MS, 0..900 * MS].prop_map(Op::Advance),
        2 => (0..4u32, 0..5u32).prop_map(|(min, more)| Op::Resize(min, (min + more).max(1))),
        1 => prop::bool::weighted(0.1).prop_map(|yes| if yes { Op::Close } else { Op::Driver }),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let check_after = prop_oneof![3 => Just(Duration::MAX), 1 => Just(Duration::ZERO), 2 => (1..100u64).prop_map(Duration::from_millis)];
    (0..4u32, 0..5u32, check_after, 1..4u32, 1..8u32).prop_map(
        |(min, more, check_after, connects, waiters)| {
            Config::default()
                .size(Size::new(min, (min + more).max(1)).unwrap())
                .check_after(check_after)
                .max_lifetime(Duration::MAX)
                .idle_timeout(Duration::MAX)
                .keepalive(Duration::MAX)
                .connects(NonZeroU32::new(connects).unwrap())
                .max_waiters(NonZeroU32::new(waiters).unwrap())
        },
    )
}

struct Proving {
    granted: Granted<Conn>,
    began: Nanos,
    id: u64,
}

struct Pair {
    core: Core<Conn, Cause>,
    naive: Naive,
    driver: Driver,
    now: Nanos,
    asking: Vec<Asking>,
    proving: Vec<Proving>,
    leases: Vec<(u32, Conn)>,
    starts: Vec<(Start, u64)>,
    checks: Vec<(u32, Conn, Nanos)>,
    dropped: Vec<u64>,
    made: u64,
    causes: Cause,
}

fn pick<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(usize::from(which) % from.len())) }
}

fn reply<T: std::borrow::Borrow<Granted<Conn>>>(got: Result<T, Why<Cause>>) -> Reply {
    match got {
        Ok(granted) => {
            let Granted { handle, check, .. } = granted.borrow();
            Reply::Granted { conn: handle.as_ref().expect("it has one").id, check: *check }
        }
        Err(why) => Reply::Refused(why),
    }
}

impl Pair {
    fn new(config: &Config) -> Self {
        Self {
            core: Core::new(config, 1, 7),
            naive: Naive::new(config.clone()),
            driver: Driver::new(),
            now: 0,
            asking: vec![],
            proving: vec![],
            leases: vec![],
            starts: vec![],
            checks: vec![],
            dropped: vec![],
            made: 0,
            causes: 0,
        }
    }

    fn perform(&mut self, mut fx: Effects) {
        let news: Vec<_> = std::mem::take(&mut fx.news).into_iter().collect();
        assert_eq!(news, std::mem::take(&mut self.naive.news));
        self.dropped.extend(perform(fx, &mut self.driver));
    }

    fn keep(&mut self, granted: Granted<Conn>) {
        let Granted { slot, check, ticket, .. } = granted;
        if check {
            let id = granted.handle.as_ref().expect("it has one").id;
            self.proving.push(Proving { granted, began: self.now, id });
        } else {
            let Ticket { number, .. } = ticket;
            assert!(number > 0);
            self.leases.push((slot, granted.handle.expect("it has one")));
        }
    }

    fn wait(&mut self, number: u64, id: u32, waker: CountingWaker) {
        self.asking.push(Asking { number, id, waker });
    }

    fn cause(&mut self) -> Cause {
        self.causes += 1;
        self.causes
    }

    fn step(&mut self, op: Op) {
        let (mut fx, now) = (Fx::default(), self.now);
        match op {
            Op::Place => {
                let is_free = self.core.take_place();
                assert_eq!(is_free, self.naive.take_place());
                if !is_free {
                    assert_eq!(self.core.turn_away(), self.naive.turn_away());
                }
            }
            Op::LeavePlace => {
                if self.naive.places > 0 {
                    self.core.leave_place();
                    self.naive.places -= 1;
                }
            }
            Op::Get { limit, is_placed } => {
                let until = now.saturating_add(limit.saturating_mul(MS));
                let is_placed = is_placed && self.naive.places > 0;
                let waker = CountingWaker::new();
                let expected = self.naive.get(is_placed, now, until);
                match self.core.get(is_placed, now, until, here(), waker.waker(), &mut fx) {
                    Got::Granted(granted) => {
                        assert_eq!(reply(Ok(&granted)), expected);
                        self.keep(granted);
                    }
                    Got::Waiting(id) => {
                        assert_eq!(expected, Reply::Wait);
                        self.wait(self.naive.counts.gets, id, waker);
                    }
                    Got::Refused(why) => assert_eq!(Reply::Refused(why), expected),
                }
            }
            Op::Poll(which) => {
                let Some(asking) = pick(&mut self.asking, which) else { return };
                let expected = self.naive.poll(asking.number, now);
                match self.core.poll(asking.id, now, here(), asking.waker.waker(), &mut fx) {
                    None => {
                        assert_eq!(expected, Reply::Wait);
                        self.asking.push(asking);
                    }
                    Some(got) => {
                        assert_eq!(reply(got.as_ref().map_err(Clone::clone)), expected);
                        if let Ok(granted) = got {
                            assert_eq!(granted.ticket.number, asking.number);
                            self.keep(granted);
                        }
                    }
                }
            }
            Op::Leave(which) => {
                if which % 4 == 0 {
                    let Some(proving) = pick(&mut self.proving, which / 4) else { return };
                    self.core.abandoned(proving.granted.slot, &mut fx);
                    self.naive.leave(proving.granted.ticket.number);
                } else {
                    let Some(asking) = pick(&mut self.asking, which) else { return };
                    self.core.leave(asking.id, &mut fx);
                    self.naive.leave(asking.number);
                }
            }
            Op::Prove { which, passes } => {
                let Some(Proving { granted, began, id }) = pick(&mut self.proving, which) else { return };
                let Granted { slot, handle, ticket, .. } = granted;
                // The shell ends a check with its wait.
                if passes && now < ticket.until {
                    self.core.passed(slot, ticket, began, now);
                    self.naive.passed(ticket.number, now);
                    self.leases.push((slot, handle.expect("it has one")));
                } else {
                    let (waker, cause) = (CountingWaker::new(), self.cause());
                    let expected = self.naive.failed(ticket.number, cause, began, now);
                    let times = (began, now);
                    let got = self.core.failed(slot, ticket, cause, times, here(), waker.waker(), &mut fx);
                    assert!(!self.naive.busy.iter().any(|conn| conn.id == id), "it is closed");
                    match got {
                        Got::Granted(granted) => {
                            assert_eq!(reply(Ok(&granted)), expected);
                            self.keep(granted);
                        }
                        Got::Waiting(id) => {
                            assert_eq!(expected, Reply::Wait);
                            self.wait(ticket.number, id, waker);
                        }
                        Got::Refused(why) => assert_eq!(Reply::Refused(why), expected),
                    }
                }
            }
            Op::Put { which, end } => {
                let Some((slot, conn)) = pick(&mut self.leases, which) else { return };
                let (id, cause) = (conn.id, self.cause());
                let core = &mut self.core;
                match end {
                    None => {
                        if let Err(conn) = core.put_fast(slot, Some(conn), now, now) {
                            core.put(slot, conn, End::Whole, now, now, &mut fx);
                        }
                    }
                    Some(Close::Broken) => core.put(slot, None, End::Broken, now, now, &mut fx),
                    Some(Close::Dirty) => core.put(slot, None, End::Dirty, now, now, &mut fx),
                    Some(Close::Unfit) => {
                        core.unfit(slot, cause, now, now, &mut fx);
                        self.naive.last_error = Some((now, cause));
                    }
                    Some(_) => core.put(slot, None, End::Detached, now, now, &mut fx),
                }
                self.naive.put(id, end, now);
            }
            Op::Driver => {
                self.driver.run(&mut self.core, now, &mut fx);
                self.naive.tick(now);
            }
            Op::Jobs { most } => {
                for _ in 0..most {
                    match self.core.next_job() {
                        Some(Job::Connect(start)) => {
                            let number = self.naive.take_start().expect("it was not decided");
                            self.starts.push((start, number));
                        }
                        Some(Job::Check { slot, handle }) => {
                            assert_eq!(self.naive.take_start(), None, "a connect is first");
                            let conn = handle.expect("it has one");
                            self.naive.take_check(conn.id);
                            self.checks.push((slot, conn, now));
                        }
                        None => assert_eq!(self.naive.take_start(), None),
                    }
                }
            }
            Op::Connect { which, works } => {
                let Some((start, number)) = pick(&mut self.starts, which) else { return };
                if works {
                    self.made += 1;
                    let conn = Conn { id: self.made, shared: false };
                    self.core.connected(start, conn, now, now, &mut fx);
                    self.naive.connected(number, self.made, now);
                } else {
                    let cause = self.cause();
                    self.core.connect_failed(start, cause, now, &mut fx);
                    let chosen = self.core.view(now).down.map(|(_, until)| until);
                    self.naive.connect_failed(number, cause, now, chosen);
                }
            }
            Op::Check { which, result } => {
                let Some((slot, conn, began)) = pick(&mut self.checks, which) else { return };
                let id = conn.id;
                match result {
                    Some(true) => {
                        self.core.checked(slot, Some(conn), Ok(()), (began, now), &mut fx);
                        self.naive.checked(id, Ok(()), began, now);
                    }
                    Some(false) => {
                        let cause = self.cause();
                        self.core.checked(slot, None, Err(cause), (began, now), &mut fx);
                        self.naive.checked(id, Err(cause), began, now);
                    }
                    None => {
                        self.core.check_dropped(slot, now, &mut fx);
                        self.naive.check_dropped(id);
                    }
                }
            }
            Op::Advance(time) => {
                self.now += time;
                self.driver.run(&mut self.core, self.now, &mut fx);
                self.naive.tick(self.now);
            }
            Op::Resize(min, max) => {
                let size = Size::new(min, max).unwrap();
                self.core.resize(size, &mut fx);
                self.naive.resize(size);
            }
            Op::Close => {
                self.core.shut_down(&mut fx);
                self.naive.close();
            }
        }
        self.perform(fx);
        self.compare();
    }

    fn compare(&mut self) {
        self.core.audit();
        assert_eq!(self.core.last_error(), self.naive.last_error);
        let (view, naive) = (self.core.view(self.now), &mut self.naive);
        let expected = View {
            limits: naive.size(),
            idle: naive.idle.len() as u32,
            leased: naive.busy.len() as u64,
            connecting: naive.connecting(),
            checking: (naive.to_check.len() + naive.in_check.len()) as u32,
            live: naive.live(),
            doomed: naive.doomed(),
            waiters: naive.waiters(),
            granted: naive.granted(),
            proving: naive.proving(),
            places: naive.places,
            oldest: naive.oldest(self.now),
            down: naive.down(),
            counts: naive.counts,
        };
        assert_eq!(view, expected);
        for number in naive.woken.drain(..) {
            if let Some(asking) = self.asking.iter().find(|asking| asking.number == number) {
                assert_eq!(asking.waker.wakes(), 1, "once for each that is decided");
            }
        }
        let decided = self.asking.iter().filter(|asking| asking.waker.wakes() == 1).count();
        assert_eq!(decided + naive.waiters() as usize, self.asking.len());
        self.dropped.sort_unstable();
        naive.dropped.sort_unstable();
        assert_eq!(self.dropped, naive.dropped);
        self.dropped.clear();
        naive.dropped.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_core_equals_the_naive_model(config in config(), ops in prop::collection::vec(op(), 0..200)) {
        let mut pair = Pair::new(&config);
        for op in ops {
            pair.step(op);
        }
    }
}
