//! Single flight and invalidations, under loom: every interleaving of two threads or three, up to the number of preemptions
//! that is set.
//!
//! `cargo xtask loom` runs these. Futures are polled by hand. One that was not done in its thread is polled again
//! after both have ended if it was woken, and never else, so that a wake-up that is lost is a caller that hangs.

use crate::{Cache, Config, Fate, Found, Loader, Policy, Served};
use buttress_core::Error;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const KEY: u8 = 7;
const TAG: &str = "seven";

/// Who has loaded it, and when that began: [before](BEFORE) an invalidation, [about](DURING) it or [after](AFTER) it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    by: u8,
    since: u64,
}

const BEFORE: u64 = 0;
const DURING: u64 = 1;
const AFTER: u64 = 2;

type Answer = Result<Found<Value>, Error<()>>;

/// Not an atomic of loom's: threads need not change here.
#[derive(Debug, Default)]
pub(crate) struct Woken(pub(crate) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Caller {
    future: Pin<Box<dyn Future<Output = Answer> + Send>>,
    woken: Arc<Woken>,
    answer: Option<Answer>,
}

impl Caller {
    fn poll(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        if self.answer.is_none() {
            if let Poll::Ready(answer) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.answer = Some(answer);
            }
        }
    }

    fn since(&self) -> u64 {
        match &self.answer {
            Some(Ok(found)) => found.since,
            other => panic!("no value but {other:?}"),
        }
    }
}

/// What a load waits for.
#[derive(Clone, Copy)]
enum Ends {
    Now,
    Told,
    Never,
}

#[derive(Clone)]
struct Model {
    cache: Cache<u8, Value>,
    told: Arc<AtomicBool>,
    since: Arc<AtomicU64>,
    loads: Arc<AtomicUsize>,
    rule: fn(&Value) -> Fate,
}

impl Model {
    fn new() -> Self {
        let config = Config::default().max_entries(NonZeroUsize::MIN).ttl(Duration::MAX);
        Self {
            // Without a sample of the traffic: its lock is none of loom's.
            cache: Cache::new("loom", config).policy(Policy::Lru),
            told: Arc::default(),
            since: Arc::new(AtomicU64::new(BEFORE)),
            loads: Arc::default(),
            rule: |_| Fate::store().tag(TAG).into(),
        }
    }

    fn caller(&self, by: u8, ends: Ends) -> Caller {
        let model = self.clone();
        let loader: Loader<u8, Value> = self.cache.loader();
        let loader = loader.rule(self.rule);
        let future = Box::pin(async move {
            let load = |_: &u8| {
                model.loads.fetch_add(1, Ordering::SeqCst);
                let value = Value { by, since: model.since.load(Ordering::SeqCst) };
                poll_fn(move |_| match ends {
                    Ends::Told if !model.told.load(Ordering::SeqCst) => Poll::Pending,
                    Ends::Never => Poll::Pending,
                    // Who goes by nobody's number fails.
                    _ if value.by == 0 => Poll::Ready(Err(())),
                    _ => Poll::Ready(Ok(value)),
                })
            };
            loader.get_or_load(KEY, load).await
        });
        let mut caller = Caller { future, woken: Arc::default(), answer: None };
        caller.poll();
        caller
    }

    /// Lets the load end that `leader` has begun, in a thread of its own.
    fn tells(&self, mut leader: Caller) -> thread::JoinHandle<Caller> {
        let told = Arc::clone(&self.told);
        thread::spawn(move || {
            told.store(true, Ordering::SeqCst);
            leader.poll();
            leader
        })
    }

    /// Invalidates, and answers one who asks after that.
    fn invalidate(&self, invalidate: Invalidate) -> Caller {
        self.since.store(DURING, Ordering::SeqCst);
        invalidate(&self.cache);
        self.since.store(AFTER, Ordering::SeqCst);
        self.caller(9, Ends::Now)
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn stored(&self) -> Option<Value> {
        self.cache.get(&KEY).map(Found::into_value)
    }

    /// Polls whoever was woken, until all are done.
    fn settle<const N: usize>(&self, mut callers: [&mut Caller; N]) {
        while callers.iter().any(|caller| caller.answer.is_none()) {
            let woken = |caller: &&mut &mut Caller| {
                caller.answer.is_none() && caller.woken.0.swap(false, Ordering::SeqCst)
            };
            callers.iter_mut().find(woken).expect("somebody waits, and nobody was woken").poll();
        }
        assert_eq!(self.cache.stats().loading, 0);
    }
}

/// Has `leader` leave and `heir` take over, in a thread of their own.
fn takes_over(mut heir: Caller, leader: Caller) -> thread::JoinHandle<Caller> {
    thread::spawn(move || {
        drop(leader);
        heir.poll();
        heir
    })
}

/// Runs a model, and says how much that was.
pub(crate) fn model(name: &str, run: impl Fn() + Send + Sync + 'static) {
    let (executions, start) = (Arc::new(AtomicUsize::new(0)), crate::cache::now());
    let counted = Arc::clone(&executions);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    println!(
        "{name}: {} executions in {:.1?}",
        executions.load(Ordering::Relaxed),
        crate::cache::now() - start
    );
}

type Invalidate = fn(&Cache<u8, Value>);

const INVALIDATIONS: [(&str, Invalidate); 4] = [
    ("key", |cache| _ = cache.invalidate(&KEY)),
    ("tag", |cache| _ = cache.invalidate_tag(TAG)),
    ("all", |cache| _ = cache.invalidate_all()),
    ("insert", |cache| _ = cache.insert(KEY, Value { by: 8, since: AFTER })),
];

#[test]
fn loom_who_waits_takes_over_from_one_who_leaves_while_another_asks() {
    model("a leader leaves, another asks", || {
        let model = Model::new();
        let (leader, mut waiter) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
        let thread = thread::spawn(move || drop(leader));
        let mut other = model.caller(3, Ends::Now);
        thread.join().unwrap();
        model.settle([&mut waiter, &mut other]);
        assert_eq!(waiter.answer, Some(Ok(loaded(2, Served::Loaded))));
        assert!(
            other.answer.unwrap().unwrap().by == 2 && model.loads() == 2,
            "it loads once more, and not twice"
        );
    });
}

fn loaded(by: u8, served: Served) -> Found<Value> {
    Found { value: Value { by, since: BEFORE }, served }
}

#[test]
fn loom_the_last_who_waits_takes_over_from_two_who_leave() {
    model("two leave", || {
        let model = Model::new();
        let (leader, waiter) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
        let mut last = model.caller(3, Ends::Now);
        let thread = thread::spawn(move || drop(leader));
        drop(waiter);
        thread.join().unwrap();
        model.settle([&mut last]);
        assert_eq!(last.answer, Some(Ok(loaded(3, Served::Loaded))));
    });
}

#[test]
fn loom_nothing_is_left_when_two_leave_and_another_may_have_asked() {
    model("two leave, another asks", || {
        let model = Model::new();
        let (leader, waiter) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
        let leaves = thread::spawn(move || drop(leader));
        let too = thread::spawn(move || drop(waiter));
        let mut other = model.caller(3, Ends::Now);
        leaves.join().unwrap();
        too.join().unwrap();
        model.settle([&mut other]);
        assert_eq!(other.answer, Some(Ok(loaded(3, Served::Loaded))));
    });
}

#[test]
fn loom_an_heir_that_leaves_passes_on_to_whoever_waits_or_asks() {
    for waits in [true, false] {
        model("an heir leaves, another asks", move || {
            let model = Model::new();
            let (leader, heir) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
            let mut waiter = waits.then(|| model.caller(3, Ends::Now));
            drop(leader);
            let thread = thread::spawn(move || drop(heir));
            let mut other = model.caller(4, Ends::Now);
            thread.join().unwrap();
            match &mut waiter {
                Some(waiter) => model.settle([waiter, &mut other]),
                None => model.settle([&mut other]),
            }
            assert_eq!(model.loads(), 2);
        });
    }
}

#[test]
fn loom_an_heir_takes_over_while_the_next_one_leaves() {
    model("an heir takes over, a waiter leaves", || {
        let model = Model::new();
        let (leader, mut heir) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
        let waiter = model.caller(3, Ends::Now);
        drop(leader);
        let thread = thread::spawn(move || drop(waiter));
        heir.poll();
        thread.join().unwrap();
        model.settle([&mut heir]);
        assert_eq!(heir.answer, Some(Ok(loaded(2, Served::Loaded))));
    });
}

#[test]
fn loom_what_ends_while_it_is_invalidated_is_for_those_who_asked_before() {
    for (name, invalidate) in INVALIDATIONS {
        model(&format!("a load ends, {name} is invalidated, two others ask"), move || {
            let model = Model::new();
            let (leader, mut waiter) = (model.caller(1, Ends::Told), model.caller(2, Ends::Now));
            let thread = model.tells(leader);
            let of = model.clone();
            let asks = thread::spawn(move || of.caller(3, Ends::Now));
            let mut later = model.invalidate(invalidate);
            let (mut leader, mut other) = (thread.join().unwrap(), asks.join().unwrap());
            model.settle([&mut leader, &mut waiter, &mut other, &mut later]);
            assert_eq!(leader.since(), BEFORE, "its own");
            assert_ne!(later.since(), BEFORE, "it has asked after that");
            assert!(model.stored().is_some_and(|value| value.since != BEFORE));
        });
    }
}

#[test]
fn loom_who_asks_between_two_invalidations_of_a_tag_gets_nothing_from_before() {
    model("a load ends, another asks between two invalidations", || {
        let model = Model::new();
        let leader = model.caller(1, Ends::Told);
        let thread = model.tells(leader);
        let mut between = model.invalidate(|cache| _ = cache.invalidate_tag(TAG));
        let mut later = model.invalidate(|cache| _ = cache.invalidate_tag(TAG));
        let mut leader = thread.join().unwrap();
        model.settle([&mut leader, &mut between, &mut later]);
        assert_ne!(between.since(), BEFORE, "it has asked after one of them");
        assert_ne!(later.since(), BEFORE, "it has asked after both");
    });
}

#[test]
fn loom_who_takes_over_while_it_is_invalidated_stores_only_what_is_newer() {
    for (name, invalidate) in INVALIDATIONS {
        model(&format!("an heir takes over, {name} is invalidated, another asks"), move || {
            let model = Model::new();
            let (leader, heir) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
            let thread = takes_over(heir, leader);
            let mut later = model.invalidate(invalidate);
            let mut heir = thread.join().unwrap();
            model.settle([&mut heir, &mut later]);
            assert_ne!(later.since(), BEFORE, "it has asked after that");
            assert!(model.stored().is_some_and(|value| value.since != BEFORE));
        });
    }
}

#[test]
fn loom_who_takes_over_after_an_invalidation_loads_for_all_who_ask() {
    for (name, invalidate) in INVALIDATIONS {
        model(&format!("{name} is invalidated, an heir takes over, another asks"), move || {
            let model = Model::new();
            let (leader, heir) = (model.caller(1, Ends::Never), model.caller(2, Ends::Now));
            invalidate(&model.cache);
            model.since.store(AFTER, Ordering::SeqCst);
            let thread = takes_over(heir, leader);
            let mut other = model.caller(3, Ends::Now);
            let mut heir = thread.join().unwrap();
            model.settle([&mut heir, &mut other]);
            assert_eq!((heir.since(), other.since()), (AFTER, AFTER));
            assert_eq!(model.stored().map(|value| value.since), Some(AFTER));
            assert_eq!(model.loads(), if name == "insert" { 1 } else { 2 }, "none is thrown away");
        });
    }
}

#[test]
fn loom_an_answer_that_is_for_one_alone_is_for_no_one_who_asks_meanwhile() {
    model("a load is refused, another asks", || {
        let mut model = Model::new();
        model.rule = |value| if value.by == 1 { Fate::Refuse } else { Fate::Share };
        let (leader, mut waiter) = (model.caller(1, Ends::Told), model.caller(2, Ends::Now));
        let thread = model.tells(leader);
        let mut other = model.caller(3, Ends::Now);
        let mut leader = thread.join().unwrap();
        model.settle([&mut leader, &mut waiter, &mut other]);
        assert_eq!(leader.answer, Some(Ok(loaded(1, Served::Loaded))));
        assert_eq!(waiter.answer, Some(Ok(loaded(2, Served::Loaded))));
        assert_eq!(other.answer, Some(Ok(loaded(3, Served::Loaded))));
        assert_eq!(model.stored(), None);
    });
}

#[test]
fn loom_a_failure_is_for_those_who_waited_for_it() {
    model("a load fails, another asks", || {
        let model = Model::new();
        let leader = model.caller(0, Ends::Told);
        let thread = model.tells(leader);
        let mut other = model.caller(3, Ends::Now);
        let mut leader = thread.join().unwrap();
        model.settle([&mut leader, &mut other]);
        assert_eq!(leader.answer, Some(Err(Error::Inner(()))));
        let refused = matches!(other.answer, Some(Err(Error::Rejected(_))));
        assert!(refused != (model.loads() == 2), "it has waited, or has loaded itself");
        assert_eq!(model.stored().is_some(), !refused);
    });
}
