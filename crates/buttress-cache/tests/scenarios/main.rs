//! What a cache promises, through the tower shell and in paused time. The tests named `c..` are those of the
//! scenarios in which other caches were seen to fail; what is proved elsewhere has its place in this table.
//!
//! | scenario | where |
//! | --- | --- |
//! | 1 stampede | `load.rs`: the table of 1000 callers, by calls and polls; here through the layer, in tasks |
//! | 2 to 5 leaders that leave or panic, idle followers | `load.rs`: the same table; here through the layer, and apart |
//! | 6 errors with 1000 waiters, 7 what is not stored | here |
//! | 8 readiness | `laws.rs`; here over limits, strict and `!Send` services |
//! | 9, 10, 12, 13 freshness | `times.rs` of the store: the formulas; here from end to end |
//! | 14 invalidation during a load | `load.rs`: key, predicate and all; `history.rs`: any history; here tags, globs and writes |
//! | 15 invalidation under threads | `load.rs`: one key; here globs, with four writers |
//! | 22, 24 limits and sweeper | `store.rs`; here while reconfigured |
//! | 23 exact counts | `store.rs`: without loads; here with loads, tags and time |
//! | 25 ageing | here |
//! | 27 globs | `glob.rs`: the patterns; here that nothing else goes |
//! | 31 keys | here |
//! | 32 clones and tasks | here |
//! | 33 allocations | `laws.rs` and `shard.rs`; here with all that can be configured |
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod early;
mod errors;
mod fresh;
mod invalidation;
mod keys;
mod layers;
mod limits;
mod loads;
mod panics;
mod patience;
mod stats;
mod warm;

use buttress_cache::{Apart, By, Cache, CacheLayer, Config, Owned, Rules, Served};
use buttress_core::{Error, Reason};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::future::{Future, pending};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep};
use tower::util::Either;
use tower::{Service, ServiceExt};

type TestError = Error<&'static str>;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Requests from here on write.
const WRITE: u64 = 1_000_000;

/// What an origin does with a request.
#[derive(Clone, Copy, Debug)]
enum How {
    Answer,
    Fail,
    After(Duration),
    FailAfter(Duration),
    Hang,
    Panic,
    /// Panics now, and answers after a millisecond from then on.
    PanicOnce,
    PanicInCall,
}
use How::*;

/// Where values come from. A read gives the version of the moment at which it began; a write ends with a new one.
#[derive(Clone, Debug)]
struct Origin(Arc<State>);

#[derive(Debug)]
struct State {
    how: Mutex<How>,
    version: AtomicU64,
    calls: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

/// Counts a call for as long as its future is there.
struct Running(Arc<State>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Origin {
    fn new(how: How) -> Self {
        let (calls, running, most) = Default::default();
        Self(Arc::new(State { how: Mutex::new(how), version: AtomicU64::new(1), calls, running, most }))
    }

    fn now(&self, how: How) {
        *self.0.how.lock() = how;
    }

    /// Has another version from now on.
    fn say(&self, version: u64) {
        self.0.version.store(version, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    /// The most calls that ran at one time.
    fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    fn ask(&self, request: u64) -> impl Future<Output = Result<u64, &'static str>> + Send + use<> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let how = *self.0.how.lock();
        assert!(!matches!(how, PanicInCall), "as told, in call");
        let state = Arc::clone(&self.0);
        let running = state.running.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(running, Ordering::SeqCst);
        let version = state.version.load(Ordering::SeqCst);
        let running = Running(Arc::clone(&state));
        async move {
            let _running = running;
            match how {
                Answer | PanicInCall => {}
                Fail => return Err("failed"),
                After(time) => sleep(time).await,
                FailAfter(time) => {
                    sleep(time).await;
                    return Err("failed late");
                }
                Hang => pending().await,
                Panic => panic!("as told, in poll"),
                PanicOnce => {
                    *state.how.lock() = After(MS);
                    panic!("as told, once")
                }
            }
            if request >= WRITE {
                return Ok(state.version.fetch_add(1, Ordering::SeqCst) + 1);
            }
            Ok(version)
        }
    }

    fn service(&self) -> Strict {
        Strict { origin: self.clone(), is_ready: false }
    }
}

/// An origin as a service that panics if it is called without having been readied.
#[derive(Debug)]
struct Strict {
    origin: Origin,
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.origin.service()
    }
}

impl Service<u64> for Strict {
    type Response = Page;
    type Error = TestError;
    type Future = BoxFuture<'static, Result<Page, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without having been readied");
        let asked = self.origin.ask(request);
        Box::pin(async move {
            let version = asked.await.map_err(Error::Inner)?;
            Ok(Page { version, served: None })
        })
    }
}

/// What a layer answers. It is marked with where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    version: u64,
    served: Option<Served>,
}

type Pages = Cache<u64, Page>;
type Answered = Result<(u64, Served), TestError>;

fn pages(config: Config) -> Pages {
    Cache::new("pages", config)
}

fn numbers(config: Config) -> Cache<u64, u64> {
    Cache::new("numbers", config)
}

type Marking = Rules<(), (), (), (), By<fn(&mut Page, Served)>>;
type Marked = CacheLayer<u64, Page, Owned<fn(&u64) -> Option<u64>>, Marking>;

/// A layer of which each request is its own key, and that marks its answers.
fn layer(cache: &Pages) -> Marked {
    let mark: fn(&mut Page, Served) = |page, served| page.served = Some(served);
    let key: fn(&u64) -> Option<u64> = |request| Some(*request);
    CacheLayer::new(cache, key).mark(mark)
}

type LayerOr<F, P> = Either<CacheLayer<u64, Page, F, P, Apart>, CacheLayer<u64, Page, F, P>>;

/// The layer as it is, or with each load in a task of its own.
fn apart_if<F, P>(apart: bool, layer: CacheLayer<u64, Page, F, P>) -> LayerOr<F, P> {
    if apart { Either::Left(layer.background()) } else { Either::Right(layer) }
}

/// Calls a clone of the service.
fn call<S>(service: &S, request: u64) -> impl Future<Output = Answered> + use<S>
where
    S: Service<u64, Response = Page, Error = TestError> + Clone,
{
    let service = service.clone();
    async move {
        let Page { version, served } = service.oneshot(request).await?;
        Ok((version, served.expect("every answer is marked")))
    }
}

/// Stores version 1 and lets it be stale for a second; the next call is to bring version 2.
async fn outdate<S>(service: &S, origin: &Origin, next: How)
where
    S: Service<u64, Response = Page, Error = TestError> + Clone,
{
    assert_eq!(call(service, 7).await, Ok((1, Served::Loaded)));
    advance(2 * SECOND).await;
    origin.say(2);
    origin.now(next);
}

/// Why a call was refused.
fn reason<T>(answer: &Result<T, TestError>) -> Option<Reason> {
    answer.as_ref().err().and_then(Error::rejected).map(buttress_core::Rejected::reason)
}

/// Lets all tasks go as far as they come.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Goes to so many milliseconds after `start`.
async fn until(start: Instant, at: u64) {
    advance((start + Duration::from_millis(at)).saturating_duration_since(Instant::now())).await;
}

/// How many tasks there are on this runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn entries(most: usize) -> NonZeroUsize {
    NonZeroUsize::new(most).unwrap()
}

fn weight(most: u64) -> NonZeroU64 {
    NonZeroU64::new(most).unwrap()
}

/// Runs what deadlocks if it fails, so that it fails instead.
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    is_done.recv_timeout(60 * SECOND).expect("it ends, without a panic");
}
