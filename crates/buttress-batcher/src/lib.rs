//! Many requests, one call: makes a service over single requests of one over batches.
//!
//! Put [`BatchLayer`] before what does many things for little more than the price of one: a database (`WHERE id =
//! ANY($1)`, an `INSERT` of many rows), a cache server (`MGET`), a bulk endpoint, a model. It adds no wait: a lone caller
//! is sent at once, and under load batches grow by themselves, as far as the service is slow.
//!
//! Do not use it where a batch costs as much as its requests one by one, or where the slowest request of a batch makes
//! all others wait.
//!
//! - **At once, or full.** While fewer batches run than may, what waits goes at once, or after a
//!   [linger](Config::linger) if you ask for one. While all run, requests gather. There is no timer to tune.
//! - **Caps that hold.** A batch is formed when it is sent, so none is larger or heavier than was said, and a request whose
//!   caller has left by then is not in it.
//! - **One batch is one failure.** An error, a panic or a wrong number of results reaches the callers of that batch, and
//!   the next one goes on. The service may be pending or fail; nothing is closed for good.
//! - **Partitions.** Requests with different keys never share a batch, and a key whose batches hang holds no other, as
//!   long as there are [places](Config::queue), which are common to all.
//! - **Back-pressure that is true**: a place is held from `poll_ready` until the request is answered.
//!
//! # Kind
//!
//! Deferring. The service below goes into one task, the *driver*, which the first call spawns on the runtime that it is
//! made in, and which ends with the last clone of the service: so `S: Send + 'static` with `Send` futures, and no `Clone`.
//! Readiness is a place in the queue, given in the order of asking. There is no other task, no lock that is held while
//! code runs that is not ours, and one allocation for each batch, whatever its size.
//!
//! Callers are answered with the items' error `E: From<Rejected>`; the service's own error, of a batch as a whole, may be
//! of another type: [`BatchLayer::each_error`] says what each caller gets of it. Refusals are
//! [`Failed`](buttress_core::Reason::Failed) (the batch failed),
//! [`TimedOut`](buttress_core::Reason::TimedOut) (the deadline passed before it was sent),
//! [`Overloaded`](buttress_core::Reason::Overloaded) (no place, or too heavy) and
//! [`Closed`](buttress_core::Reason::Closed). If the driver's runtime ends before it does, all that are on their way and
//! all that come get the last one.
//!
//! Key, weight and deadline functions run in `call`, before anything has changed. Isolation from panics needs
//! `panic = "unwind"`.
//!
//! # Cost
//!
//! A lone call is two changes of task and an allocation; of 129 in a row one also waits for a turn of other tasks, to see
//! whether there are more callers. `cargo xtask compare batcher` sets it beside other crates and a plain channel, which
//! does less, and answers 1.3 to 1.5 times as many requests where ten thousand callers ask on two threads for what costs
//! nothing.
//!
//! # Examples
//!
//! ```
//! use buttress_batcher::{BatchLayer, Config, Flush, batch_fn};
//! use buttress_core::Error;
//! use std::io;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error<io::Error>> {
//! let layer = BatchLayer::new("squares", Config::default());
//! let handle = layer.handle();
//! let squares = ServiceBuilder::new().layer(layer).service(
//!     batch_fn(|numbers: Vec<u64>| async move {
//!         // One round trip for all of them; as many results, in the same order.
//!         Ok::<_, io::Error>(numbers.into_iter().map(|n| Ok(n * n)).collect::<Vec<_>>())
//!     })
//!     .map_each_err(|error: io::Error| Error::Inner(error)),
//! );
//!
//! let calls = (1..=3).map(|n| squares.clone().oneshot(n));
//! assert_eq!(futures_util::future::try_join_all(calls).await?, [1, 4, 9]);
//! assert_eq!((handle.stats().sent, handle.stats().batches()), (3, 1));
//! # Ok(())
//! # }
//! ```
//!
//! Reads that share results, apart for each tenant, with deadlines; and what callers get of a failed batch:
//!
//! ```
//! use buttress_batcher::{BatchLayer, Config, batch_fn};
//! use buttress_core::Error;
//! use std::time::{Duration, Instant};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! #[derive(Clone)]
//! struct Read { tenant: u32, id: u64, until: Option<Instant> }
//!
//! #[derive(Clone, Debug)]
//! struct Down;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let layer = BatchLayer::new("rows", Config::default())
//!     .partition_by(|read: &Read| read.tenant)
//!     .dedup_by(|read: &Read| Some(read.id))
//!     .deadline(|read: &Read| read.until)
//!     .each_error(|error: &Down| Error::Inner(error.clone()));
//! let mut rows = ServiceBuilder::new().layer(layer).service(batch_fn(|reads: Vec<Read>| async move {
//!     if reads[0].tenant == 0 { Err(Down) } else { Ok(reads.iter().map(|read| Ok(read.id)).collect::<Vec<_>>()) }
//! }));
//!
//! let read = Read { tenant: 0, id: 7, until: None };
//! let failed = rows.ready().await.unwrap().call(read).await;
//! assert!(matches!(failed, Err(Error::Inner(Down))));
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bell;
mod book;
mod cells;
mod config;
mod driver;
mod each;
mod engine;
mod event;
pub mod future;
mod guard;
mod handle;
mod intake;
mod keys;
mod layer;
mod leaf;
mod line;
#[cfg(all(test, buttress_loom))]
mod loom;
#[cfg(all(test, not(buttress_loom)))]
mod model;
mod places;
mod primitive;
mod running;
mod service;
mod state;
mod stats;
mod timer;

pub use config::{AtEnd, Config, Oversize, WhenFull};
pub use each::{Each, EachError, Refuse};
pub use event::Event;
pub use handle::{Handle, Unfinished};
pub use keys::{Apart, By, Partition, Share, Shared, Whole};
pub use layer::BatchLayer;
pub use leaf::{BatchFn, MapEachErr, batch_fn};
pub use service::Batch;
pub use state::Flush;
pub use stats::{Sizes, Stats};

use buttress_core::{Name, Reason, Rejected};

/// The layer's kind, in refusals and metrics.
const KIND: &str = "batcher";

fn rejected(name: Name, reason: Reason) -> Rejected {
    Rejected::new(KIND, name, reason)
}
