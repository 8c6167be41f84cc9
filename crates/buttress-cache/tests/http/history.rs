//! Any history of clients, one page's origin, purges and time, against what must be true of it. A client is polled when
//! it has been woken or wants to read on, and never else, so that a wake-up that is lost is a client that hangs.

mod client;
mod origin;
mod world;

use self::client::{Asking, Client, Stage};
use self::origin::Site;
use self::world::{CHUNK, Call, Head, Kind, MOST, PATIENCE, Piece, Plan, Setup, World};
use super::{fields, settle};
use buttress_cache::Config;
use buttress_cache::http::{HttpCache, HttpCacheLayer, HttpOptions};
use buttress_testkit::waker::CountingWaker;
use http::Request;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::advance;
use tower::{Layer, Service};

/// An error of the call with this number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failure(usize);

pub(crate) type Shared = Arc<Mutex<World>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive {
        variant: bool,
        /// Reads until it is told the end, though the body says before that there is no more.
        to_end: bool,
        /// Reads all that comes, as it comes.
        reads: bool,
    },
    /// Reads one frame more, or all.
    Read {
        which: usize,
        all: bool,
    },
    /// Drops a client, wherever it is.
    Leave {
        which: usize,
    },
    /// Lets the origin answer.
    Answer {
        which: usize,
        head: Head,
    },
    /// Lets the origin send more.
    Send {
        which: usize,
        piece: Piece,
    },
    Purge {
        how: usize,
    },
    Advance {
        by: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<u8>().prop_map(usize::from);
    let kind = prop_oneof![
        12 => Just(Kind::Page),
        2 => Just(Kind::Unstorable),
        1 => Just(Kind::Unavailable),
        1 => Just(Kind::Error),
        1 => Just(Kind::Panic),
    ];
    let chunks = prop_oneof![1 => Just(None), 1 => (0..=MOST / CHUNK + 1).prop_map(Some)];
    let head =
        (kind, chunks, any::<bool>()).prop_map(|(kind, chunks, knows_end)| Head { kind, chunks, knows_end });
    let piece = prop_oneof![
        8 => Just(Piece::Chunk),
        4 => Just(Piece::End),
        1 => Just(Piece::Torn),
        1 => Just(Piece::Panic),
    ];
    let arrives = (any::<bool>(), any::<bool>(), any::<bool>());
    prop_oneof![
        6 => arrives.prop_map(|(variant, to_end, reads)| Step::Arrive { variant, to_end, reads }),
        5 => (which.clone(), any::<bool>()).prop_map(|(which, all)| Step::Read { which, all }),
        2 => which.clone().prop_map(|which| Step::Leave { which }),
        5 => (which.clone(), head).prop_map(|(which, head)| Step::Answer { which, head }),
        9 => (which, piece).prop_map(|(which, piece)| Step::Send { which, piece }),
        2 => prop_oneof![2 => Just(0_usize), 1 => 1_usize..4].prop_map(|how| Step::Purge { how }),
        1 => (1_u64..=PATIENCE).prop_map(|by| Step::Advance { by }),
    ]
}

fn setup(apart: bool) -> impl Strategy<Value = Setup> {
    any::<[bool; 4]>().prop_map(move |[varies, brief, lazy, stalls]| Setup {
        varies,
        brief,
        lazy,
        stalls,
        apart,
    })
}

struct History {
    cache: HttpCache,
    ask: Box<dyn Fn(Request<()>) -> Asking>,
    world: Shared,
    clients: Vec<Client>,
}

const URI: &str = "http://a.test/page";
const CLIENTS: usize = 5;

impl History {
    fn new(setup: Setup) -> Self {
        let config = Config::default().hard_timeout(Duration::from_secs(PATIENCE));
        let cache = HttpCache::new("edge", config, HttpOptions::default().max_body(MOST));
        let world = Arc::new(Mutex::new(World::new(setup)));
        let site = Site(Arc::clone(&world));
        macro_rules! ask {
            ($layer:expr) => {{
                let site = $layer.layer(site);
                Box::new(move |request| Box::pin(site.clone().call(request)) as Asking)
            }};
        }
        let layer = HttpCacheLayer::new(&cache);
        let ask: Box<dyn Fn(Request<()>) -> Asking> =
            if setup.apart { ask!(layer.background()) } else { ask!(layer) };
        Self { cache, ask, world, clients: Vec::new() }
    }

    async fn arrive(&mut self, variant: bool, to_end: bool, wants: usize) {
        let (id, plan) = self.world.lock().arrive(variant);
        let calls = self.world.lock().calls.len();
        let mut request = Request::new(());
        *request.uri_mut() = URI.parse().unwrap();
        *request.headers_mut() =
            fields(&format!("Client: {id} | Variant: {}", if variant { "b" } else { "a" }));
        let stage = Stage::Asking((self.ask)(request));
        let (waker, pending, seen) = (CountingWaker::new(), false, 0);
        self.clients.push(Client { id, stage, to_end, wants: 0, pending, waker, seen });
        let index = self.clients.len() - 1;
        self.poll(index).await;
        self.world.lock().arrived(id, plan, calls);
        if let Some(client) = self.clients.get_mut(index).filter(|client| client.id == id) {
            client.wants = wants;
        }
    }

    async fn step(&mut self, step: Step) {
        let count = self.clients.len();
        match step {
            Step::Arrive { .. } if count == CLIENTS => {}
            Step::Arrive { variant, to_end, reads } => {
                self.arrive(variant, to_end, if reads { usize::MAX } else { 0 }).await;
            }
            Step::Read { which, all } if count > 0 => {
                let client = &mut self.clients[which % count];
                client.wants = if all { usize::MAX } else { client.wants.saturating_add(1) };
            }
            Step::Leave { which } if count > 0 => self.leave(which % count),
            Step::Read { .. } | Step::Leave { .. } => {}
            Step::Answer { which, head } => _ = self.answer(which, head),
            Step::Send { which, piece } => _ = self.send(which, piece),
            Step::Purge { how } => {
                _ = match how {
                    0 => self.cache.purge(URI),
                    1 => self.cache.purge_tag("tag"),
                    2 => self.cache.purge_prefix("http://a.test/"),
                    _ => self.cache.purge_all(),
                };
                self.world.lock().purge(how == 1);
            }
            Step::Advance { by } => {
                self.world.lock().advance(by);
                advance(Duration::from_secs(by)).await;
            }
        }
        settle().await;
    }

    fn leave(&mut self, index: usize) {
        let client = self.clients.swap_remove(index);
        self.world.lock().clients[client.id].waits = false;
        drop(client);
    }

    /// Lets one of the calls that have no head yet have one.
    fn answer(&self, which: usize, head: Head) -> bool {
        self.tell(which, Call::wants_head, |call| call.head = Some(head))
    }

    /// Lets one of the bodies that have not ended go on.
    fn send(&self, which: usize, piece: Piece) -> bool {
        self.tell(which, Call::wants_pieces, |call| call.pieces.push_back(piece))
    }

    fn tell(&self, which: usize, is_one: impl Fn(&Call) -> bool, tell: impl FnOnce(&mut Call)) -> bool {
        let waker = {
            let mut world = self.world.lock();
            let mut open: Vec<_> = world.calls.iter_mut().filter(|call| is_one(call)).collect();
            let count = open.len().max(1);
            open.get_mut(which % count).map(|call| {
                tell(call);
                call.waker.clone()
            })
        };
        let is_there = waker.is_some();
        waker.into_iter().for_each(Waker::wake);
        is_there
    }

    /// Polls so many of those who are due, and what they woke, beginning somewhere.
    async fn settle(&mut self, from: usize, most: usize) {
        settle().await;
        for _ in 0..most {
            let count = self.clients.len();
            let mut order = (0..count).map(|index| (index + from) % count);
            let Some(index) = order.find(|index| self.clients[*index].is_due()) else { return };
            self.poll(index).await;
        }
    }

    async fn poll(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.seen = client.waker.wakes();
        let world = &self.world;
        let polled = catch_unwind(AssertUnwindSafe(|| client.poll(world)));
        let is_over = polled.unwrap_or_else(|_| {
            world.lock().check_panic(client.id);
            true
        });
        if is_over {
            self.leave(index);
        }
        settle().await;
    }

    fn check(&self) {
        let world = self.world.lock();
        assert!(world.wrong.is_empty(), "{:#?}\n{:#?}", world.wrong, world.calls);
    }

    async fn run(mut self, steps: Vec<(Step, u8)>) {
        let setup = self.world.lock().setup;
        for (step, hurry) in steps {
            self.world.lock().begin_step();
            self.step(step).await;
            let most = if setup.lazy { usize::from(hurry % 4) } else { usize::MAX };
            self.settle(usize::from(hurry), most).await;
            self.world.lock().end_step();
            self.check();
        }
        // Nobody hangs: as long as every call is answered and who wants to read does, every client gets to its end.
        self.end(setup.stalls).await;
        let waiting: Vec<_> =
            self.clients.iter().filter(|client| !client.has_stalled()).map(|client| client.id).collect();
        assert!(waiting.is_empty(), "all is answered, and {waiting:?} wait: {:#?}", self.world.lock());
        self.end(false).await;
        assert!(self.clients.is_empty());
        assert_eq!(self.cache.stats().loading, 0, "{:#?}", self.world.lock());
        assert!(self.world.lock().calls.iter().all(|call| call.gone), "a body is kept by nobody");
        self.world.lock().setup.lazy = false;
        // And nothing is left behind that would keep a later client waiting.
        for purges in [false, true] {
            if purges {
                self.cache.purge_all();
                self.world.lock().purge(false);
            }
            for variant in [false, true] {
                self.arrive(variant, true, usize::MAX).await;
                self.end(false).await;
                assert!(self.clients.is_empty() && self.cache.stats().loading == 0);
            }
        }
        for variant in [false, true] {
            assert_ne!(self.world.lock().plan(variant), Plan::Anything, "it is stored now");
            self.arrive(variant, true, usize::MAX).await;
            self.settle(0, usize::MAX).await;
            self.check();
        }
    }

    /// Answers and lets read until nothing happens any more.
    async fn end(&mut self, stalls: bool) {
        self.world.lock().begin_step();
        for _ in 0..30 {
            for client in self.clients.iter_mut().filter(|client| !(stalls && client.has_stalled())) {
                client.wants = usize::MAX;
            }
            self.settle(0, usize::MAX).await;
            let head = Head { kind: Kind::Page, chunks: None, knows_end: false };
            while self.answer(0, head) || self.send(0, Piece::End) {
                self.settle(0, usize::MAX).await;
            }
            self.world.lock().end_step();
            self.check();
            if self.clients.iter().all(|client| stalls && client.has_stalled()) {
                return;
            }
            self.world.lock().begin_step();
            self.world.lock().advance(PATIENCE);
            advance(Duration::from_secs(PATIENCE)).await;
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
    let cases = if asked_for { ProptestConfig::default().cases } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_client_gets_one_response_whole_or_its_own(setup in setup(false), steps in steps()) {
        run(setup, steps);
    }

    #[test]
    fn so_it_does_where_tasks_read_the_bodies(setup in setup(true), steps in steps()) {
        run(setup, steps);
    }
}
