//! What the services of a layer, their calls and their bodies have in common.

use super::table::{Table, Took, Waited};
use super::{Config, KIND, Stats};
use crate::core::Nanos;
use buttress_core::{Name, Reason, Rejected};
use http::Request;
use http::header::HOST;
use http::uri::Authority;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// `None` has leases of its own, too.
type Key = Option<Authority>;

pub(super) struct Shared {
    pub(super) name: Name,
    base: Instant,
    table: Mutex<Table<Key>>,
}

impl Shared {
    pub(super) fn new(name: Name, config: Config) -> Self {
        let base = tokio::time::Instant::now().into_std();
        Self { name, base, table: Mutex::new(Table::new(config)) }
    }

    fn now(&self) -> Nanos {
        // 584 years fit.
        tokio::time::Instant::now().into_std().saturating_duration_since(self.base).as_nanos() as u64
    }

    pub(super) fn config(&self) -> Config {
        self.table.lock().config.clone()
    }

    pub(super) fn stats(&self) -> Stats {
        let now = self.now();
        self.table.lock().stats(now)
    }

    pub(super) fn reconfigure(&self, config: Config) {
        let wake = self.table.lock().reconfigure(config);
        wake.into_iter().for_each(Waker::wake);
    }

    pub(super) fn refuse(&self, reason: Reason) -> Rejected {
        Rejected::new(KIND, self.name, reason)
    }
}

/// Whose leases a request takes.
fn key<B>(request: &Request<B>) -> Key {
    let host = || request.headers().get(HOST)?.as_bytes().try_into().ok();
    let authority = request.uri().authority().cloned().or_else(host)?;
    match authority.as_str().rsplit_once('@') {
        None => Some(authority),
        // The host is the same, whoever asks; and a password is not to be kept.
        Some((_, host)) => host.parse().ok(),
    }
}

/// What becomes of a request at once.
pub(super) enum Asked {
    Leased(Lease),
    /// With how long at most.
    Waits(Turn, Duration),
}

/// Asks for a lease of the authority that a request names.
pub(super) fn ask<B>(shared: &Arc<Shared>, request: &Request<B>, waker: &Waker) -> Result<Asked, Rejected> {
    let (key, now) = (key(request), shared.now());
    let mut table = shared.table.lock();
    match table.take(key.clone(), now, waker) {
        Took::Leased => Ok(Asked::Leased(Lease { shared: Arc::clone(shared), key, taken: now })),
        Took::Waits(id) => {
            let limit = table.config.acquire_timeout;
            Ok(Asked::Waits(Turn { shared: Arc::clone(shared), key, id: Some(id) }, limit))
        }
        Took::Full => Err(shared.refuse(Reason::Overloaded)),
        Took::TimedOut => Err(shared.refuse(Reason::TimedOut)),
    }
}

/// A place among those who wait; dropped, it is left.
pub(super) struct Turn {
    shared: Arc<Shared>,
    key: Key,
    /// There until it is known what became of it.
    id: Option<u32>,
}

impl Turn {
    pub(super) fn poll(&mut self, is_over: bool, cx: &mut Context<'_>) -> Poll<Result<Lease, Rejected>> {
        let id = self.id.expect("polled after it was ready");
        let now = self.shared.now();
        let (waited, stale) = self.shared.table.lock().poll(&self.key, id, now, is_over, cx.waker());
        drop(stale); // after the lock: its drop may run anything
        let end = match waited {
            Waited::Still => return Poll::Pending,
            Waited::Leased => {
                Ok(Lease { shared: Arc::clone(&self.shared), key: self.key.take(), taken: now })
            }
            Waited::TimedOut => Err(self.shared.refuse(Reason::TimedOut)),
        };
        self.id = None;
        Poll::Ready(end)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let (next, stale) = self.shared.table.lock().leave(&self.key, id);
        drop(stale);
        if let Some(next) = next {
            next.wake();
        }
    }
}

/// The right to have one request run; given back when it is dropped.
pub(super) struct Lease {
    shared: Arc<Shared>,
    key: Key,
    taken: Nanos,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = self.shared.now();
        let next = self.shared.table.lock().put(&self.key, self.taken, now);
        if let Some(next) = next {
            next.wake();
        }
    }
}
