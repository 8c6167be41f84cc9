//! The one task of a pool, and those it starts: whatever takes time happens here, and outlives whoever asked for it.

use crate::core::{Core, Job, Start};
use crate::error::{Cause, Failure};
use crate::manager::Manager;
use crate::shared::{Shared, discard, guarded};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Starts the driver, if it is not there yet and there is a runtime to live on.
pub(crate) fn start<M: Manager>(shared: &Arc<Shared<M>>) {
    if shared.is_driven.get().is_none() {
        if let Ok(runtime) = Handle::try_current() {
            shared.is_driven.get_or_init(|| {
                runtime.spawn(drive(Closing(Arc::downgrade(shared)), Arc::clone(&shared.driver)));
            });
        }
    }
}

/// Closes the pool if its driver ends before it: without one nobody would ever be served or refused.
struct Closing<M: Manager>(Weak<Shared<M>>);

impl<M: Manager> Drop for Closing<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.step(Core::shut_down);
        }
    }
}

async fn drive<M: Manager>(pool: Closing<M>, notify: Arc<Notify>) {
    loop {
        let Some(due) = pool.0.upgrade().map(|shared| round(&shared)) else { return };
        match due {
            None => notify.notified().await,
            Some(due) => {
                let _ = timeout_at(due, notify.notified()).await;
            }
        }
    }
}

/// Does what is due, starts what was decided, and says when to come back.
fn round<M: Manager>(shared: &Arc<Shared<M>>) -> Option<Instant> {
    let now = shared.now();
    let due = shared.step(|core, fx| core.tick(now, fx));
    loop {
        let job = shared.lock().next_job();
        match job {
            None => return shared.moment(due),
            Some(Job::Connect(start)) => {
                let ending = Connecting { pool: Arc::downgrade(shared), start: Some(start), began: now };
                tokio::spawn(connect(ending, Arc::clone(&shared.manager), shared.config.connect_timeout));
            }
            Some(Job::Check { slot, handle }) => {
                let ending = Checking { pool: Arc::downgrade(shared), slot, began: now, ended: false };
                // A clone that panics is as bad as a check that fails.
                if let Some(connection) = handle.and_then(|held| shared.open(held)) {
                    tokio::spawn(check(
                        ending,
                        connection,
                        Arc::clone(&shared.manager),
                        shared.config.check_timeout,
                    ));
                }
            }
        }
    }
}

async fn connect<M: Manager>(mut ending: Connecting<M>, manager: Arc<M>, limit: Duration) {
    let result = guarded("connect", limit, || manager.connect()).await;
    ending.end(result);
}

async fn check<M: Manager>(
    mut ending: Checking<M>,
    mut connection: M::Connection,
    manager: Arc<M>,
    limit: Duration,
) {
    let result = guarded("check", limit, || manager.check(&mut connection)).await;
    ending.end(connection, result);
}

/// A connect that runs. Dropped, as when its runtime ends, it has failed.
struct Connecting<M: Manager> {
    pool: Weak<Shared<M>>,
    start: Option<Start>,
    began: u64,
}

impl<M: Manager> Connecting<M> {
    fn end(&mut self, result: Result<M::Connection, Cause>) {
        let Some(start) = self.start.take() else { return };
        let Some(shared) = self.pool.upgrade() else { return };
        let now = shared.now();
        match result {
            Ok(connection) => {
                let held = shared.hold(connection);
                shared.step(|core, fx| core.connected(start, held, self.began, now, fx));
            }
            Err(cause) => shared.step(|core, fx| core.connect_failed(start, cause, now, fx)),
        }
    }
}

impl<M: Manager> Drop for Connecting<M> {
    fn drop(&mut self) {
        if self.start.is_some() {
            self.end(Err(Arc::new(Failure::Dropped { what: "connect" })));
        }
    }
}

/// A check that runs. Dropped, nobody knows what the connection would have answered.
struct Checking<M: Manager> {
    pool: Weak<Shared<M>>,
    slot: u32,
    began: u64,
    ended: bool,
}

impl<M: Manager> Checking<M> {
    fn end(&mut self, connection: M::Connection, result: Result<(), Cause>) {
        self.ended = true;
        let Some(shared) = self.pool.upgrade() else { return };
        let mut handle = None;
        if result.is_ok() && !shared.is_shared() {
            handle = Some(shared.hold(connection));
        } else {
            discard(connection);
        }
        let now = shared.now();
        shared.step(|core, fx| core.checked(self.slot, handle, result, (self.began, now), fx));
    }
}

impl<M: Manager> Drop for Checking<M> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(shared) = self.pool.upgrade() {
            let now = shared.now();
            shared.step(|core, fx| core.check_dropped(self.slot, now, fx));
        }
    }
}
