//! Promises of the types: auto traits, small futures, and `Debug` without what is in them.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_batcher::{
    Apart, Batch, BatchLayer, Config, Event, Flush, Handle, Refuse, Sizes, Stats, Unfinished, Whole,
    batch_fn, future,
};
use buttress_core::Error;
use static_assertions::assert_impl_all;
use std::cell::Cell;
use std::convert::Infallible;
use std::panic::{RefUnwindSafe, UnwindSafe};
use tower::{Layer, Service, ServiceExt};

/// Requests and responses can be sent, and no more.
type Cells = Batch<Cell<u64>, Cell<u64>, Error<Cell<()>>>;
type Future = future::ResponseFuture<Cell<u64>, Cell<u64>, Error<Cell<()>>>;

assert_impl_all!(Cells: Clone, Send, Sync, Unpin);
assert_impl_all!(Future: Send, Unpin);
assert_impl_all!(BatchLayer<Cell<u64>>: Clone, Send, Sync, Unpin);
assert_impl_all!(Handle: Clone, Send, Sync, Unpin);
assert_impl_all!(Config: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Event: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Flush: Copy, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Stats: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Sizes: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Unfinished: Copy, Send, Sync, Unpin, std::error::Error);
assert_impl_all!(Whole: Copy, Send, Sync, Unpin);
assert_impl_all!(Apart: Copy, Send, Sync, Unpin);
assert_impl_all!(Refuse: Copy, Send, Sync, Unpin);

#[test]
fn the_future_is_no_larger_than_a_call_needs() {
    assert!(size_of::<Future>() <= 24, "{}", size_of::<Future>());
    assert!(size_of::<Cells>() <= 16, "{}", size_of::<Cells>());
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_not_printed() {
    let layer = BatchLayer::new("vault", Config::default())
        .partition_by(|secret: &u64| *secret)
        .dedup_by(|secret: &u64| Some(*secret))
        .each_error(|_: &Infallible| unreachable!("it cannot be"));
    let mut service: Batch<u64, u64, Error<Infallible>> =
        layer.layer(batch_fn(|secrets: Vec<u64>| async move {
            Ok::<_, Infallible>(secrets.into_iter().map(Ok).collect::<Vec<_>>())
        }));
    let call = service.ready().await.unwrap().call(271_828);
    let printed = format!("{call:?} {service:?} {layer:?} {:?}", layer.handle());
    assert_eq!(call.await, Ok(271_828));
    let printed = format!("{printed} {:?}", layer.handle().stats());
    assert!(printed.contains("vault") && !printed.contains("271"), "{printed}");
}
