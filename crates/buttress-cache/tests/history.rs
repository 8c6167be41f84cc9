//! Any history of callers, loads and invalidations, against what must be true of it. A caller is polled when it has
//! been woken, and never else, so that a wake-up that is lost is a caller that hangs.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_cache::{Cache, Config, Found};
use buttress_core::Error;
use buttress_testkit::waker::CountingWaker;
use proptest::prelude::*;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A value knows when it came about: when its load began, or when it was put in. Times count steps.
type Value = usize;
type Caller = Pin<Box<dyn Future<Output = Result<Value, Error<()>>>>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call {
        key: u8,
    },
    /// Drops a caller, whatever it does.
    Leave {
        which: u8,
    },
    /// Lets a load end.
    End {
        which: u8,
        how: How,
    },
    Insert {
        key: u8,
    },
    Invalidate {
        key: u8,
    },
    InvalidateIf {
        key: u8,
    },
    InvalidateAll,
    Get {
        key: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Succeed,
    Fail,
    Panic,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, which) = (0_u8..3, any::<u8>());
    prop_oneof![
        6 => key.clone().prop_map(|key| Step::Call { key }),
        2 => which.prop_map(|which| Step::Leave { which }),
        4 => (which, prop_oneof![4 => Just(How::Succeed), 1 => Just(How::Fail), 1 => Just(How::Panic)])
            .prop_map(|(which, how)| Step::End { which, how }),
        1 => key.clone().prop_map(|key| Step::Insert { key }),
        2 => key.clone().prop_map(|key| Step::Invalidate { key }),
        1 => key.clone().prop_map(|key| Step::InvalidateIf { key }),
        1 => Just(Step::InvalidateAll),
        2 => key.prop_map(|key| Step::Get { key }),
    ]
}

/// A load that is under way.
struct Load {
    id: usize,
    key: u8,
    began: usize,
    end: Option<How>,
    waker: Waker,
}

#[derive(Default)]
struct World {
    now: usize,
    loads: Vec<Load>,
    last_id: usize,
    /// When each key was last invalidated, or put in.
    invalidated: [usize; 3],
    /// When something was last invalidated by a predicate: what was being loaded then is not known, so no load that
    /// began before it is waited for any more.
    by_predicate: usize,
    /// A load began although another was under way. Kept, since a panic in a load is part of the history.
    twice: bool,
}

struct Running {
    key: u8,
    began: usize,
    caller: Caller,
    waker: CountingWaker,
    seen: usize,
}

/// Leaves the list of loads when it is dropped, as when it ends.
struct Listed(Rc<RefCell<World>>, usize);

impl Drop for Listed {
    fn drop(&mut self) {
        let id = self.1;
        self.0.borrow_mut().loads.retain(|load| load.id != id);
    }
}

fn load(world: &Rc<RefCell<World>>, key: u8) -> impl Future<Output = Result<Value, ()>> + use<> {
    let (listed, began) = {
        let mut this = world.borrow_mut();
        let since = this.invalidated[usize::from(key)].max(this.by_predicate);
        this.twice |=
            this.loads.iter().any(|load| load.key == key && load.began > since && load.end.is_none());
        this.last_id += 1;
        let (id, began) = (this.last_id, this.now);
        this.loads.push(Load { id, key, began, end: None, waker: Waker::noop().clone() });
        (Listed(Rc::clone(world), id), began)
    };
    poll_fn(move |cx| {
        let mut world = listed.0.borrow_mut();
        let load = world.loads.iter_mut().find(|load| load.id == listed.1).unwrap();
        load.waker.clone_from(cx.waker());
        match load.end {
            None => Poll::Pending,
            Some(How::Succeed) => Poll::Ready(Ok(began)),
            Some(How::Fail) => Poll::Ready(Err(())),
            Some(How::Panic) => {
                drop(world);
                std::panic::resume_unwind(Box::new("as told"))
            }
        }
    })
}

/// Polls whoever has been woken until nobody is, and checks what they get.
fn settle(world: &Rc<RefCell<World>>, callers: &mut Vec<Running>) {
    loop {
        let Some(index) = callers.iter().position(|caller| caller.waker.wakes() != caller.seen) else {
            return;
        };
        let caller = &mut callers[index];
        caller.seen = caller.waker.wakes();
        poll_one(world, callers, index);
    }
}

fn poll_one(world: &Rc<RefCell<World>>, callers: &mut Vec<Running>, index: usize) {
    let running = &mut callers[index];
    let polled =
        catch_unwind(AssertUnwindSafe(|| running.caller.as_mut().poll(&mut running.waker.context())));
    let Ok(Poll::Pending) = polled else {
        let Running { key, began, .. } = callers.swap_remove(index);
        if let Ok(Poll::Ready(Ok(value))) = polled {
            let since = world.borrow().invalidated[usize::from(key)];
            assert!(
                value > since || began <= since,
                "a caller of {began} got a value of {value}, invalidated {since}"
            );
        }
        return;
    };
}

fn run(steps: Vec<Step>) {
    let cache: Cache<u8, Value> = Cache::new("history", Config::default().ttl(Duration::MAX));
    let world = Rc::new(RefCell::new(World::default()));
    let mut callers = Vec::new();
    for step in steps {
        world.borrow_mut().now += 1;
        let now = world.borrow().now;
        match step {
            Step::Call { key } => {
                let (cache, of) = (cache.clone(), Rc::clone(&world));
                let caller = Box::pin(async move {
                    cache.get_or_load(key, |&key| load(&of, key)).await.map(Found::into_value)
                });
                let waker = CountingWaker::new();
                callers.push(Running { key, began: now, caller, waker, seen: 0 });
                let last = callers.len() - 1;
                poll_one(&world, &mut callers, last);
            }
            Step::Leave { which } if !callers.is_empty() => {
                drop(callers.swap_remove(usize::from(which) % callers.len()));
            }
            Step::End { which, how } => {
                let waker = {
                    let mut world = world.borrow_mut();
                    let open: Vec<_> = world.loads.iter_mut().filter(|load| load.end.is_none()).collect();
                    let count = open.len();
                    open.into_iter().nth(usize::from(which) % count.max(1)).map(|load| {
                        load.end = Some(how);
                        load.waker.clone()
                    })
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Step::Insert { key } => {
                cache.insert(key, now);
                // What was before is as good as invalidated; this itself is newer.
                world.borrow_mut().invalidated[usize::from(key)] = now - 1;
            }
            Step::Invalidate { key } => {
                cache.invalidate(&key);
                world.borrow_mut().invalidated[usize::from(key)] = now;
            }
            Step::InvalidateIf { key } => {
                cache.invalidate_if(|other, _| *other == key);
                let mut world = world.borrow_mut();
                (world.invalidated[usize::from(key)], world.by_predicate) = (now, now);
            }
            Step::InvalidateAll => {
                cache.invalidate_all();
                world.borrow_mut().invalidated = [now; 3];
            }
            Step::Get { key } => {
                let since = world.borrow().invalidated[usize::from(key)];
                assert!(
                    cache.get(&key).map(Found::into_value).is_none_or(|value| value > since),
                    "an old value came back"
                );
            }
            Step::Leave { .. } => {}
        }
        settle(&world, &mut callers);
        assert!(!world.borrow().twice, "two loads of one key at once, and nothing between them");
    }
    // Nobody hangs: as long as every load ends, every caller does.
    while !callers.is_empty() {
        let waker = {
            let mut world = world.borrow_mut();
            let load =
                world.loads.iter_mut().find(|load| load.end.is_none()).expect("nobody loads, and some wait");
            load.end = Some(How::Succeed);
            load.waker.clone()
        };
        waker.wake();
        settle(&world, &mut callers);
    }
    assert!(world.borrow().loads.is_empty());
    // And nothing is left behind that would keep a later caller waiting.
    for key in 0..3 {
        let mut caller = Box::pin(cache.get_or_load(key, |_| std::future::ready(Ok::<_, ()>(0))));
        assert!(caller.as_mut().poll(&mut CountingWaker::new().context()).is_ready());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn an_invalidation_is_final_and_nobody_hangs_or_loads_twice(steps in prop::collection::vec(step(), 0..60)) {
        run(steps);
    }
}
