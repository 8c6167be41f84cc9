//! Layers that are **broken on purpose**, so that every law is seen to fail.
//!
//! [`InPlaceLayer`] and [`DeferringLayer`] are sound layers, into which one [`InPlaceFlaw`] or
//! [`DeferringFlaw`] can be built. A flaw breaks exactly the law it names, and the sound layer breaks none;
//! so it is the flaw that the law sees.
//!
//! One law holds before anything runs: a layer that works in place asks for nothing beyond `Service`. One
//! that does ask is not compiled.
//!
//! ```compile_fail,E0277
//! use buttress_testkit::laws;
//! use tower_layer::Layer;
//!
//! struct NeedsSend;
//!
//! impl<S: Send> Layer<S> for NeedsSend {
//!     type Service = S;
//!     fn layer(&self, inner: S) -> S {
//!         inner
//!     }
//! }
//!
//! laws::in_place!(NeedsSend);
//! ```

mod deferring;
mod in_place;

pub use deferring::{DeferringFlaw, DeferringFuture, DeferringLayer, DeferringService};
pub use in_place::{InPlaceFlaw, InPlaceFuture, InPlaceLayer, InPlaceService};

use crate::scripted::Fault;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Wake, Waker};

/// As many calls may be dropped by a layer that never gets over it.
const GRUDGES: usize = 4;
/// As many places has the queue of a layer that does not give them back.
const PLACES: usize = 8;

/// What the services of one broken layer share. All atomics are `SeqCst`: nothing here has to be fast.
#[derive(Debug, Default)]
struct Shared {
    /// Calls that were dropped before they ended.
    abandoned: AtomicUsize,
    /// The inner service is being called at this moment.
    busy: AtomicBool,
    /// Readied instances.
    places: AtomicUsize,
    /// Inner calls that are running.
    running: AtomicUsize,
    /// The readiness error of before.
    fault: Mutex<Option<Fault>>,
    /// Answers of before.
    memo: Mutex<BTreeMap<u64, u64>>,
    /// The one waker of all callers.
    relay: Arc<Relay>,
}

/// Wakes whoever gave its waker last.
#[derive(Debug, Default)]
struct Relay(Mutex<Option<Waker>>);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let last = self.0.lock().take();
        last.into_iter().for_each(Waker::wake);
    }
}

/// What a future does with the waker it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waking {
    /// Hands it on.
    Sound,
    /// Hands nothing on.
    Forgets,
    /// Hands the first one on, for ever.
    KeepsTheFirst,
    /// Hands on one that wakes the last caller only.
    Shares,
    /// Wakes it at once.
    Spins,
}

impl Waking {
    /// Polls `future` in this manner.
    fn poll<F: Future>(
        self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
        first: &mut Option<Waker>,
        shared: &Shared,
    ) -> Poll<F::Output> {
        match self {
            Self::Sound => future.poll(cx),
            Self::Forgets => future.poll(&mut Context::from_waker(Waker::noop())),
            Self::KeepsTheFirst => {
                let first = first.get_or_insert_with(|| cx.waker().clone());
                future.poll(&mut Context::from_waker(first))
            }
            Self::Shares => {
                let displaced = shared.relay.0.lock().replace(cx.waker().clone());
                drop(displaced); // after the lock: it may be the last of a task
                future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&shared.relay))))
            }
            Self::Spins => {
                let poll = future.poll(cx);
                if poll.is_pending() {
                    cx.waker().wake_by_ref();
                }
                poll
            }
        }
    }
}

/// Does what an allocation on the hot path does.
fn allocate() {
    drop(std::hint::black_box(Box::new(0u64)));
}
