//! Promises of the types: auto traits, small futures, and `Debug` without what is in them.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::future::ResponseFuture;
use buttress_pool::{
    Acquire, Config, DbClient, Error, Event, Lease, Manager, Pool, PoolLayer, Pooled, Size, Stats, Unreturned,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Ready;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use tower::Layer;

/// Its connections can be sent, and no more.
struct Secrets;

impl Manager for Secrets {
    type Connection = Cell<u64>;
    type Error = Infallible;

    async fn connect(&self) -> Result<Cell<u64>, Infallible> {
        Ok(Cell::new(271_828))
    }

    async fn check(&self, _: &mut Cell<u64>) -> Result<(), Infallible> {
        Ok(())
    }
}

assert_impl_all!(Pool<Secrets>: Clone, Send, Sync, Unpin);
assert_impl_all!(Acquire<Secrets>: Send, Sync, Unpin);
assert_impl_all!(Lease<Secrets>: Send, Unpin);
assert_impl_all!(DbClient<Secrets>: Clone, Send, Sync, Unpin);
assert_impl_all!(PoolLayer<Secrets>: Clone, Send, Sync, Unpin);
assert_impl_all!(Pooled<(), Secrets>: Clone, Send, Sync, Unpin);
assert_impl_all!(ResponseFuture<(), Secrets, (), Ready<()>>: Send, Unpin);
assert_not_impl_any!(Pooled<Rc<()>, Secrets>: Send);
assert_impl_all!(Error: Clone, Send, Sync, Unpin, std::error::Error);
assert_impl_all!(Unreturned: Clone, Send, Sync, Unpin, std::error::Error);
assert_impl_all!(Config: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Size: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Event: Clone, Send, Sync, Unpin);
assert_impl_all!(Stats: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);

#[test]
fn what_is_held_for_a_get_is_small() {
    assert!(size_of::<Acquire<Secrets>>() <= 112, "{}", size_of::<Acquire<Secrets>>());
    assert!(size_of::<Lease<Secrets>>() <= 40, "{}", size_of::<Lease<Secrets>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_pooled_is_not_printed() {
    let pool = Pool::new("vault", Config::default(), Secrets);
    let get = pool.get();
    let asked = format!("{get:?}");
    let lease = get.await.unwrap();
    assert_eq!(lease.get(), 271_828);
    let layer = PoolLayer::new(&pool);
    let printed = format!("{asked} {lease:?} {pool:?} {layer:?} {:?}", layer.layer("inner"));
    assert!(printed.contains("vault") && !printed.contains("271"), "{printed}");
}
