use crate::core::End;
use crate::error::{Cause, Failure};
use crate::manager::Manager;
use crate::shared::{Held, Shared, discard};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// A connection for as long as this lives; dropped, from any thread, it goes to the one that has waited longest.
///
/// A connection is not given to others if the manager finds it [broken](Manager::is_broken) or cannot
/// [recycle](Manager::recycle) it, if it was [marked](Self::mark_dirty) dirty, or if its lease is dropped by a panic, which
/// may have left it in the midst of anything. What is shared is given back unless it is broken or marked.
pub struct Lease<M: Manager> {
    shared: Arc<Shared<M>>,
    /// There until this is dropped or detached.
    connection: Option<M::Connection>,
    slot: u32,
    is_dirty: bool,
    taken: u64,
}

impl<M: Manager> Lease<M> {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared<M>>, connection: M::Connection, slot: u32, taken: u64) -> Self {
        Self { shared, connection: Some(connection), slot, is_dirty: false, taken }
    }

    /// Nobody else shall have this connection: it is closed when the lease ends. For one with an answer that was not read
    /// to its end, or a transaction that was left open.
    ///
    /// A future can be dropped at any await. Marked before a request and [clean](Self::mark_clean) again after its answer, a
    /// connection whose answer is still to come is closed, and nobody reads it for their own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use buttress_pool::{Lease, Manager};
    /// # use std::io;
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use tokio::net::TcpStream;
    /// async fn ask<M: Manager<Connection = TcpStream>>(server: &mut Lease<M>) -> io::Result<u8> {
    ///     server.mark_dirty();
    ///     server.write_u8(1).await?;
    ///     let answer = server.read_u8().await?;
    ///     server.mark_clean();
    ///     Ok(answer)
    /// }
    /// ```
    pub fn mark_dirty(&mut self) {
        self.is_dirty = true;
    }

    /// Takes back [`mark_dirty`](Self::mark_dirty): what was begun has ended well.
    pub fn mark_clean(&mut self) {
        self.is_dirty = false;
    }

    /// Takes the connection out of the pool, which may make another in its place. One that is shared stays, unless it is
    /// broken or marked, and this is a clone of it.
    #[must_use]
    pub fn detach(mut self) -> M::Connection {
        let mut connection = self.connection.take().expect("there until it is dropped or detached");
        let end = if self.shared.is_shared() { self.end(&mut connection) } else { End::Detached };
        self.give_back(end);
        connection
    }

    #[inline]
    fn end(&self, connection: &mut M::Connection) -> End {
        let is_broken = AssertUnwindSafe(|| self.shared.manager.is_broken(connection));
        if catch_unwind(is_broken).unwrap_or(true) {
            End::Broken
        } else if self.is_dirty || (thread::panicking() && !self.shared.is_shared()) {
            End::Dirty
        } else {
            End::Whole
        }
    }

    #[inline]
    fn recycle(&self, connection: &mut M::Connection) -> Result<(), Cause> {
        match catch_unwind(AssertUnwindSafe(|| self.shared.manager.recycle(connection))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Arc::new(error)),
            Err(_) => Err(Arc::new(Failure::Panicked { what: "recycle" })),
        }
    }

    /// Gives it back whole.
    #[inline]
    fn put(&self, held: Option<Held<M::Connection>>) {
        let shared = &self.shared;
        let now = shared.now_if_timed().unwrap_or(0);
        let mut core = shared.lock();
        if let Err(held) = core.put_fast(self.slot, held, self.taken, now) {
            let mut fx = Default::default();
            core.put(self.slot, held, End::Whole, self.taken, now, &mut fx);
            drop(core);
            shared.perform(fx);
        }
    }

    fn give_back(&self, end: End) {
        let now = self.shared.now();
        self.shared.step(|core, fx| core.put(self.slot, None, end, self.taken, now, fx));
    }
}

impl<M: Manager> Drop for Lease<M> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let end = self.end(&mut connection);
        if end != End::Whole {
            discard(connection);
            self.give_back(end);
            return;
        }
        let shared = &self.shared;
        // A twin has served its turn; the slot has the connection.
        if shared.is_shared() {
            discard(connection);
            self.put(None);
        } else if let Err(cause) = self.recycle(&mut connection) {
            discard(connection);
            let now = shared.now();
            shared.step(|core, fx| core.unfit(self.slot, cause, self.taken, now, fx));
        } else {
            self.put(Some(Held::Own(connection)));
        }
    }
}

impl<M: Manager> Deref for Lease<M> {
    type Target = M::Connection;

    #[inline]
    fn deref(&self) -> &M::Connection {
        self.connection.as_ref().expect("there until it is dropped or detached")
    }
}

impl<M: Manager> DerefMut for Lease<M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut M::Connection {
        self.connection.as_mut().expect("there until it is dropped or detached")
    }
}

impl<M: Manager> fmt::Debug for Lease<M> {
    /// The connection may know secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("pool", &self.shared.name)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
