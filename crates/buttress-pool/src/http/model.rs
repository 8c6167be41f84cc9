//! The table beside a naive one that shares no function with it: equal after every step.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::Config;
use super::table::{Table, Took, Waited};
use buttress_testkit::waker::CountingWaker;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Take(u8),
    /// Of the waiting and granted ones, counted from the oldest.
    Poll(usize, bool),
    Leave(usize),
    /// Of the leases.
    Put(usize),
    Limits(u32, u32),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8).prop_map(Step::Take),
        3 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(which, over)| Step::Poll(which, over)),
        2 => any::<usize>().prop_map(Step::Leave),
        4 => any::<usize>().prop_map(Step::Put),
        1 => (1..4_u32, 1..4_u32).prop_map(|(most, waiters)| Step::Limits(most, waiters)),
        1 => (1..1000_u64).prop_map(Step::Later),
    ]
}

/// One that has asked and has no answer that it knows of.
struct Asker {
    key: u8,
    id: u32,
    since: u64,
    waker: CountingWaker,
    is_granted: bool,
}

#[derive(Default)]
struct Naive {
    askers: Vec<Asker>,
    /// Key, and when it was taken.
    leases: Vec<(u8, u64)>,
    limits: (u32, u32),
    now: u64,
    /// Served, timed out, cancelled, refused.
    counts: [u64; 4],
    waited: Duration,
    used: Duration,
}

impl Naive {
    fn out(&self, key: u8) -> u32 {
        let granted = self.askers.iter().filter(|asker| asker.key == key && asker.is_granted).count();
        (self.leases.iter().filter(|lease| lease.0 == key).count() + granted) as u32
    }

    fn waiting(&self, key: u8) -> u32 {
        self.askers.iter().filter(|asker| asker.key == key && !asker.is_granted).count() as u32
    }

    /// Grants what can be, oldest first.
    fn settle(&mut self) {
        for index in 0..self.askers.len() {
            let Asker { key, is_granted, .. } = self.askers[index];
            if !is_granted && self.out(key) < self.limits.0 {
                self.askers[index].is_granted = true;
            }
        }
    }
}

struct Both {
    naive: Naive,
    table: Table<u8>,
}

impl Both {
    fn new() -> Self {
        let mut both = Self { naive: Naive::default(), table: Table::new(Config::default()) };
        both.apply(&Step::Limits(2, 2));
        both
    }

    fn apply(&mut self, step: &Step) {
        let (naive, table) = (&mut self.naive, &mut self.table);
        match *step {
            Step::Take(key) => {
                let waker = CountingWaker::new();
                let took = table.take(key, naive.now, waker.waker());
                if naive.out(key) < naive.limits.0 {
                    assert_eq!(took, Took::Leased);
                    naive.leases.push((key, naive.now));
                    naive.counts[0] += 1;
                } else if naive.waiting(key) >= naive.limits.1 {
                    assert_eq!(took, Took::Full);
                    naive.counts[3] += 1;
                } else {
                    let Took::Waits(id) = took else { panic!("{took:?}") };
                    naive.askers.push(Asker { key, id, since: naive.now, waker, is_granted: false });
                }
            }
            Step::Poll(which, is_over) if !naive.askers.is_empty() => {
                let which = which % naive.askers.len();
                let Asker { key, id, is_granted, since, .. } = naive.askers[which];
                let waker = naive.askers[which].waker.waker();
                let (waited, _) = table.poll(&key, id, naive.now, is_over, waker);
                if is_granted {
                    assert_eq!(waited, Waited::Leased);
                    naive.leases.push((key, naive.now));
                    naive.waited += Duration::from_nanos(naive.now - since);
                    naive.counts[0] += 1;
                } else if is_over {
                    assert_eq!(waited, Waited::TimedOut);
                    naive.counts[1] += 1;
                } else {
                    assert_eq!(waited, Waited::Still);
                    return;
                }
                naive.askers.remove(which);
            }
            Step::Leave(which) if !naive.askers.is_empty() => {
                let Asker { key, id, .. } = naive.askers.remove(which % naive.askers.len());
                let (next, _) = table.leave(&key, id);
                next.into_iter().for_each(std::task::Waker::wake);
                naive.counts[2] += 1;
            }
            Step::Put(which) if !naive.leases.is_empty() => {
                let (key, taken) = naive.leases.swap_remove(which % naive.leases.len());
                table.put(&key, taken, naive.now).into_iter().for_each(std::task::Waker::wake);
                naive.used += Duration::from_nanos(naive.now - taken);
            }
            Step::Limits(most, waiters) => {
                naive.limits = (most, waiters);
                let [most, waiters] = [most, waiters].map(|limit| NonZeroU32::new(limit).unwrap());
                let config = Config::default().max_connections(most).max_waiters(waiters);
                table.reconfigure(config).into_iter().for_each(std::task::Waker::wake);
            }
            Step::Later(by) => naive.now += by,
            Step::Poll(..) | Step::Leave(_) | Step::Put(_) => {}
        }
        naive.settle();
    }

    fn compare(&self) {
        let Self { naive, table } = self;
        let stats = table.stats(naive.now);
        let mut out = BTreeMap::<u8, u32>::new();
        (0..3).for_each(|key| *out.entry(key).or_default() += naive.out(key));
        assert_eq!(stats.in_use, out.values().map(|&leases| u64::from(leases)).sum::<u64>());
        assert_eq!(stats.authorities, out.values().filter(|&&leases| leases > 0).count());
        let waiting = || naive.askers.iter().filter(|asker| !asker.is_granted);
        assert_eq!(stats.waiters, waiting().count() as u64);
        let oldest = waiting().map(|asker| asker.since).min();
        assert_eq!(stats.oldest_wait, oldest.map(|since| Duration::from_nanos(naive.now - since)));
        assert_eq!([stats.served, stats.timeouts, stats.cancelled, stats.refused_full], naive.counts);
        let granted = naive.askers.len() as u64 - stats.waiters;
        assert_eq!(stats.gets, naive.counts.iter().sum::<u64>() + stats.waiters + granted);
        assert_eq!((stats.wait.sum(), stats.used.sum()), (naive.waited, naive.used));
        assert_eq!(stats.wait.count(), stats.served);
        for asker in &naive.askers {
            assert_eq!(asker.waker.wakes(), usize::from(asker.is_granted), "woken when it is granted, once");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_does_what_a_naive_one_does(steps in prop::collection::vec(step(), 0..80)) {
        let mut both = Both::new();
        for step in &steps {
            both.apply(step);
            both.compare();
        }
        while !both.naive.askers.is_empty() {
            both.apply(&Step::Leave(0));
        }
        while !both.naive.leases.is_empty() {
            both.apply(&Step::Put(0));
        }
        both.compare();
        let stats = both.table.stats(both.naive.now);
        prop_assert_eq!((stats.in_use, stats.waiters, stats.authorities), (0, 0, 0));
    }
}
