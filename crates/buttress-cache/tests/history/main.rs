//! Any history of callers, loads and invalidations, against what must be true of it. A caller is polled when it has
//! been woken, and never else, so that a wake-up that is lost is a caller that hangs.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod cases;
mod world;

use self::world::{
    Answer, Failure, How, KEYS, Key, REMEMBERED, RETRY_AFTER, Scope, Setup, TAGS, TTL, Value, World,
};
use buttress_cache::{Cache, Config, Fate, Glob, Keep, Rules};
use buttress_core::Error;
use buttress_testkit::waker::CountingWaker;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::future::{Future, poll_fn, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::advance;

type Caller = Pin<Box<dyn Future<Output = Answer>>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call {
        key: usize,
        /// Its loader panics before there is a future.
        panics: bool,
    },
    /// Drops a caller, whatever it does.
    Leave {
        which: usize,
    },
    /// Lets a load end.
    End {
        which: usize,
        how: How,
        tags: u8,
    },
    Insert {
        key: usize,
        tags: u8,
    },
    Invalidate {
        key: usize,
    },
    InvalidateKeys {
        key: usize,
    },
    InvalidateGlob,
    InvalidateIf {
        tag: usize,
    },
    InvalidateTag {
        tag: usize,
    },
    InvalidateAll,
    Get {
        key: usize,
    },
    Advance {
        by: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    // Most is about one key.
    let key = || prop_oneof![3 => Just(0_usize), 1 => 1_usize..3];
    let (which, tag) = (any::<u8>().prop_map(usize::from), 0_usize..2);
    // One tag or two, or more often none.
    let tags = || prop_oneof![3 => Just(0_u8), 3 => 1_u8..4];
    let how = prop_oneof![
        8 => Just(How::Store),
        1 => Just(How::Share),
        2 => Just(How::Refuse),
        2 => Just(How::FailedAnswer),
        3 => Just(How::Error),
        3 => Just(How::Panic),
    ];
    let panics = prop_oneof![9 => Just(false), 1 => Just(true)];
    prop_oneof![
        12 => (key(), panics).prop_map(|(key, panics)| Step::Call { key, panics }),
        3 => which.clone().prop_map(|which| Step::Leave { which }),
        9 => (which, how, tags()).prop_map(|(which, how, tags)| Step::End { which, how, tags }),
        1 => (key(), tags()).prop_map(|(key, tags)| Step::Insert { key, tags }),
        2 => key().prop_map(|key| Step::Invalidate { key }),
        1 => key().prop_map(|key| Step::InvalidateKeys { key }),
        1 => Just(Step::InvalidateGlob),
        1 => tag.clone().prop_map(|tag| Step::InvalidateIf { tag }),
        3 => tag.prop_map(|tag| Step::InvalidateTag { tag }),
        1 => Just(Step::InvalidateAll),
        2 => key().prop_map(|key| Step::Get { key }),
        3 => (1_u64..6).prop_map(|by| Step::Advance { by }),
    ]
}

fn setup(apart: bool) -> impl Strategy<Value = Setup> {
    let stale = || prop_oneof![Just(0_u64), 1_u64..6];
    (any::<[bool; 4]>(), prop_oneof![3 => Just(true), 1 => Just(false)], stale(), stale()).prop_map(
        move |(flags, timed, while_revalidate, if_error)| {
            let [one_shard, share_errors, remember_errors, lazy] = flags;
            Setup { timed, one_shard, share_errors, remember_errors, while_revalidate, if_error, lazy, apart }
        },
    )
}

/// The history of one cache.
struct History {
    cache: Cache<Key, Value>,
    ask: Box<dyn Fn(usize, usize, bool) -> Caller>,
    world: Arc<Mutex<World>>,
    callers: Vec<Running>,
    last_caller: usize,
}

struct Running {
    id: usize,
    key: usize,
    asked: usize,
    caller: Caller,
    waker: CountingWaker,
    seen: usize,
}

/// Ends its load when it is dropped, if it has not ended.
struct Listed(Arc<Mutex<World>>, usize);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.lock().leave(self.1);
    }
}

fn load(
    world: &Arc<Mutex<World>>,
    key: usize,
    caller: usize,
    panics: bool,
) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
    let id = world.lock().begin(key, caller);
    let listed = Listed(Arc::clone(world), id);
    if panics {
        world.lock().end(id, How::Panic);
        resume_unwind(Box::new("as told"));
    }
    poll_fn(move |cx| {
        let mut world = listed.0.lock();
        let load = &mut world.origins[id];
        load.waker.clone_from(cx.waker());
        let (how, tags) = (load.told, load.tags);
        let Some(how) = how else { return Poll::Pending };
        world.end(id, how);
        drop(world);
        match how {
            How::Error => Poll::Ready(Err(Failure(id))),
            How::Panic => resume_unwind(Box::new("as told")),
            how => Poll::Ready(Ok(Value { id, how, tags })),
        }
    })
}

fn keep(tags: u8) -> Keep {
    (0..2).filter(|tag| tags >> tag & 1 == 1).fold(Keep::default(), |keep, tag| keep.tag(TAGS[tag]))
}

fn rule(value: &Value) -> Fate {
    match value.how {
        How::Store => keep(value.tags).into(),
        How::Share => Fate::Share,
        How::Refuse => Fate::Refuse,
        _ => Fate::Failed,
    }
}

impl History {
    fn new(setup: Setup) -> Self {
        let ms = Duration::from_millis;
        let config = Config::default()
            .max_entries(NonZeroUsize::new(if setup.one_shard { 100 } else { 10_000 }).unwrap())
            .ttl(if setup.timed { ms(TTL) } else { Duration::MAX })
            .stale_while_revalidate(ms(setup.while_revalidate))
            .stale_if_error(ms(setup.if_error))
            .retry_after(ms(RETRY_AFTER))
            .sweep_every(ms(7));
        let cache: Cache<Key, Value> = Cache::new("history", config);
        let world = Arc::new(Mutex::new(World::new(setup)));
        let remember = move |_: &Failure| setup.remember_errors.then_some(ms(REMEMBERED));
        let rules = Rules::new().rule(rule).remember_errors(remember);
        let (plain, sharing) = (cache.loader().rules(rules), cache.loader().rules(rules.share_errors()));
        macro_rules! ask {
            ($loader:expr) => {{
                let (loader, world) = ($loader, Arc::clone(&world));
                Box::new(move |caller, key: usize, panics| {
                    let (loader, world) = (loader.clone(), Arc::clone(&world));
                    let load = move |_: &Key| load(&world, key, caller, panics);
                    Box::pin(async move { loader.get_or_load(KEYS[key], load).await })
                })
            }};
        }
        let ask: Box<dyn Fn(usize, usize, bool) -> Caller> = match (setup.apart, setup.share_errors) {
            (false, false) => ask!(plain),
            (false, true) => ask!(sharing),
            (true, false) => ask!(plain.background()),
            (true, true) => ask!(sharing.background()),
        };
        Self { cache, ask, world, callers: Vec::new(), last_caller: 0 }
    }

    async fn step(&mut self, step: Step) {
        let setup = self.world.lock().setup;
        match step {
            Step::Call { key, panics } => {
                self.last_caller += 1;
                let id = self.last_caller;
                let asked = self.world.lock().next();
                let caller = (self.ask)(id, key, panics);
                self.callers.push(Running { id, key, asked, caller, waker: CountingWaker::new(), seen: 0 });
                let (plan, loads) = {
                    let world = self.world.lock();
                    (world.plan(key), world.origins.len())
                };
                let answer = self.poll(self.callers.len() - 1).await;
                self.world.lock().check_first(id, plan, loads, answer.as_ref());
            }
            Step::Leave { which } if !self.callers.is_empty() => {
                drop(self.callers.swap_remove(which % self.callers.len()));
            }
            Step::Leave { .. } => {}
            // Who is to load alone is told by the step in which that was said.
            Step::End { which, how: How::Refuse, tags } if setup.lazy => {
                _ = self.end(which, How::Share, tags);
            }
            Step::End { which, how, tags } => _ = self.end(which, how, tags),
            Step::Insert { key, tags } => {
                let value = self.world.lock().insert(key, tags);
                assert!(self.cache.insert_with(KEYS[key], value, &keep(tags)));
            }
            Step::Invalidate { key } => {
                let there = self.cache.invalidate(KEYS[key]);
                self.world.lock().invalidate(Scope::Keys(std::array::from_fn(|other| other == key)));
                assert!(there.is_none_or(|value| self.world.lock().origins[value.id].key == key));
            }
            Step::InvalidateKeys { key } => {
                self.cache.invalidate_keys(|other| *other == KEYS[key]);
                self.world.lock().invalidate(Scope::Keys(std::array::from_fn(|other| other == key)));
            }
            Step::InvalidateGlob => {
                self.cache.invalidate_glob(&Glob::new("a:*").unwrap());
                self.world.lock().invalidate(Scope::Keys([true, true, false]));
            }
            Step::InvalidateIf { tag } => {
                self.cache.invalidate_if(|_, value| value.tags >> tag & 1 == 1);
                self.world.lock().invalidate(Scope::Values(1 << tag));
            }
            Step::InvalidateTag { tag } => {
                self.cache.invalidate_tag(TAGS[tag]);
                self.world.lock().invalidate(Scope::Tag(1 << tag));
            }
            Step::InvalidateAll => {
                self.cache.invalidate_all();
                self.world.lock().invalidate(Scope::Keys([true; 3]));
            }
            Step::Get { key } => {
                let found = self.cache.get(KEYS[key]);
                self.world.lock().check_get(key, found);
            }
            Step::Advance { by } => {
                self.world.lock().time += by;
                advance(Duration::from_millis(by)).await;
            }
        }
        yield_now().await;
    }

    /// Lets one of the loads end, if there is one.
    fn end(&self, which: usize, how: How, tags: u8) -> bool {
        let waker = {
            let mut world = self.world.lock();
            let open: Vec<_> =
                world.origins.iter_mut().filter(|load| !load.over && load.told.is_none()).collect();
            let count = open.len().max(1);
            open.into_iter().nth(which % count).map(|load| {
                // Only what is stored has tags.
                (load.told, load.tags) = (Some(how), if how == How::Store { tags } else { 0 });
                load.waker.clone()
            })
        };
        let is_there = waker.is_some();
        waker.into_iter().for_each(Waker::wake);
        is_there
    }

    /// Polls so many of those who have been woken, and what they woke, beginning somewhere.
    async fn settle(&mut self, from: usize, most: usize) {
        for _ in 0..most {
            let count = self.callers.len();
            let woken = |index: &usize| self.callers[*index].waker.wakes() != self.callers[*index].seen;
            let Some(index) = (0..count).map(|index| (index + from) % count).find(woken) else { return };
            self.poll(index).await;
        }
    }

    async fn poll(&mut self, index: usize) -> Option<Answer> {
        let running = &mut self.callers[index];
        running.seen = running.waker.wakes();
        let polled =
            catch_unwind(AssertUnwindSafe(|| running.caller.as_mut().poll(&mut running.waker.context())));
        let answer = match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(answer)) => {
                self.world.lock().check(running.id, running.key, running.asked, &answer);
                Some(answer)
            }
            Err(_) => {
                self.callers.swap_remove(index);
                return self.idle(None).await;
            }
        };
        if answer.is_some() {
            self.callers.swap_remove(index);
        }
        self.idle(answer).await
    }

    /// Lets the tasks run until there is nothing left to do for them.
    async fn idle<T>(&self, then: T) -> T {
        yield_now().await;
        yield_now().await;
        then
    }

    fn check(&self) {
        let world = self.world.lock();
        assert!(world.wrong.is_empty(), "{:#?}", world.wrong);
    }

    async fn run(mut self, steps: Vec<(Step, u8)>) {
        let lazy = self.world.lock().setup.lazy;
        for (step, hurry) in steps {
            self.world.lock().step += 1;
            self.step(step).await;
            let most = if lazy { usize::from(hurry % 4) } else { usize::MAX };
            self.settle(usize::from(hurry), most).await;
            self.check();
        }
        // Nobody hangs: as long as every load ends, every caller does.
        loop {
            self.world.lock().step += 1;
            self.settle(0, usize::MAX).await;
            self.check();
            if self.world.lock().origins.iter().all(|load| load.over) {
                break;
            }
            assert!(self.end(0, How::Store, 0), "a load that has been woken is not polled");
            yield_now().await;
        }
        let waiting: Vec<_> = self.callers.iter().map(|caller| caller.id).collect();
        assert!(waiting.is_empty(), "nobody loads, and {waiting:?} wait");
        let (stats, world) = (self.cache.stats(), self.world.lock());
        let counts = &world.counts;
        assert_eq!(stats.loading, 0);
        assert_eq!(stats.hits + stats.misses, counts.asked);
        assert!(stats.coalesced <= stats.misses);
        assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total());
        let seen = (stats.inserted, stats.loads, stats.load_failures, stats.stale);
        assert_eq!(seen, (counts.inserted, counts.loads, counts.failures, counts.stale), "{stats:?}");
        if !lazy {
            let seen = (stats.hits, stats.coalesced, stats.remembered);
            assert_eq!(seen, (counts.hits, counts.waits, counts.remembered), "{stats:?}");
        }
        drop(world);
        // And nothing is left behind that would keep a later caller waiting.
        self.cache.invalidate_all();
        for key in KEYS {
            let last = Value { id: 0, how: How::Store, tags: 0 };
            let mut caller = Box::pin(self.cache.get_or_load(key, |_| ready(Ok::<_, Error<()>>(last))));
            assert!(caller.as_mut().poll(&mut CountingWaker::new().context()).is_ready());
        }
    }
}

fn run(setup: Setup, steps: Vec<(Step, u8)>) {
    let runtime = buttress_testkit::time::paused();
    runtime.block_on(History::new(setup).run(steps));
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    prop::collection::vec((step(), any::<u8>()), 0..60)
}

fn cases() -> ProptestConfig {
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked_for { ProptestConfig::default().cases } else { 2000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_invalidation_is_final_and_nobody_hangs_or_loads_twice(setup in setup(false), steps in steps()) {
        run(setup, steps);
    }

    #[test]
    fn so_it_is_where_loads_run_in_tasks(setup in setup(true), steps in steps()) {
        run(setup, steps);
    }
}
