//! How connections are renewed, step by step.

use super::*;
use crate::config::{Config, Size};
use crate::core::{Close, End, Job, Start};
use std::time::Duration;

const LIFE: Nanos = 1_000 * MS;

struct Pool {
    core: Core<Conn, Cause>,
    made: u64,
}

impl Pool {
    /// A pool of its minimum, all made at the start.
    fn new(min: u32, max: u32) -> Self {
        let config = Config::default()
            .size(Size::new(min, max).unwrap())
            .max_lifetime(Duration::from_nanos(LIFE))
            .keepalive(Duration::MAX);
        let mut pool = Self { core: Core::new(&config, 1, 7), made: 0 };
        loop {
            let starts = pool.starts(0);
            if starts.is_empty() {
                return pool;
            }
            starts.into_iter().for_each(|start| pool.connect(start, 0));
        }
    }

    fn starts(&mut self, now: Nanos) -> Vec<Start> {
        self.core.tick(now, &mut Fx::default());
        let jobs = std::iter::from_fn(|| self.core.next_job());
        jobs.map(|job| match job {
            Job::Connect(start) => start,
            Job::Check { .. } => panic!("nothing is to be checked"),
        })
        .collect()
    }

    fn connect(&mut self, start: Start, now: Nanos) {
        self.made += 1;
        self.core.connected(start, Conn { id: self.made, shared: false }, now, now, &mut Fx::default());
        self.core.audit();
    }

    fn live(&self) -> u32 {
        self.core.view(0).live
    }

    fn aged(&self) -> u64 {
        self.core.view(0).counts.closed[Close::Aged as usize]
    }
}

#[test]
fn below_the_maximum_each_successor_lets_one_go() {
    let mut pool = Pool::new(3, 6);
    let now = LIFE - LIFE / 50; // all are overdue by then, and none is too old
    let starts = pool.starts(now);
    assert_eq!((starts.len(), pool.live(), pool.aged()), (3, 3, 0));
    assert_eq!(pool.starts(now).len(), 0);
    for (start, aged) in starts.into_iter().zip(1..) {
        pool.connect(start, now);
        assert_eq!((pool.live(), pool.aged()), (3, aged));
    }
    assert_eq!(pool.starts(LIFE).len(), 0, "nothing was left to grow too old");
}

#[test]
fn at_the_maximum_no_more_go_than_are_on_their_way() {
    let mut pool = Pool::new(8, 8);
    let now = LIFE - LIFE / 50;
    let mut starts = pool.starts(now);
    assert_eq!((starts.len(), pool.live(), pool.aged()), (4, 4, 4));
    while let Some(start) = starts.pop() {
        pool.connect(start, now);
        starts.extend(pool.starts(now));
        assert_eq!(pool.live() + starts.len() as u32, 8);
        assert!(pool.live() >= 4);
    }
    assert_eq!((pool.live(), pool.aged()), (8, 8));
}

#[test]
fn the_last_one_that_can_be_had_stays_until_it_is_too_old() {
    let mut pool = Pool::new(1, 1);
    assert_eq!((pool.starts(LIFE - 2 * MS).len(), pool.live()), (0, 1));
    assert_eq!((pool.starts(LIFE).len(), pool.live()), (1, 0));
}

#[test]
fn a_failed_successor_lets_nobody_go() {
    let mut pool = Pool::new(2, 4);
    let now = LIFE - LIFE / 50;
    let mut starts = pool.starts(now);
    assert_eq!(starts.len(), 2);
    let (first, second) = (starts.remove(0), starts.remove(0));
    pool.core.connect_failed(first, 0, now, &mut Fx::default());
    assert_eq!((pool.live(), pool.aged()), (2, 0));
    pool.connect(second, now);
    assert_eq!((pool.live(), pool.aged()), (2, 1));
}

#[test]
fn a_connect_that_ended_before_something_died_is_checked_before_anybody_has_it() {
    let mut pool = Pool::new(2, 2);
    let Some(granted) = pool.core.get_fast(0, NEVER, here()) else { panic!("it is idle") };
    let start = {
        pool.core.put(granted.slot, None, End::Dirty, 0, 0, &mut Fx::default());
        pool.starts(0).pop().unwrap()
    };
    let Some(granted) = pool.core.get_fast(0, NEVER, here()) else { panic!("it is idle") };
    // Both look at the clock before they take the lock, and the later one takes it first.
    pool.core.put(granted.slot, None, End::Broken, 0, 2 * MS, &mut Fx::default());
    pool.connect(start, MS);
    assert_eq!((pool.core.view(0).idle, pool.core.view(0).checking), (0, 1));
}
