//! The real core and a naive one, driven through the same history; and what must hold whatever the configuration.
//!
//! The driver of these histories ticks when it was asked to, or when it said that it would, and never else: a kick that is
//! missing shows as a difference.

mod ages;
mod exact;
mod invariants;
mod naive;

use crate::core::{Core, Fx, Lend, NEVER, Nanos};
use buttress_testkit::waker::CountingWaker;
use std::panic::Location;

const MS: Nanos = 1_000_000;

/// A connection, by its number. If it is shared, a lease gets a twin of it.
#[derive(Debug, PartialEq, Eq)]
struct Conn {
    id: u64,
    shared: bool,
}

impl Lend for Conn {
    fn lend(kept: &mut Option<Self>) -> Option<Self> {
        match kept {
            Some(Conn { id, shared: true }) => Some(Conn { id: *id, shared: true }),
            kept => kept.take(),
        }
    }
}

type Cause = u32;
type Effects = Fx<Conn, Cause>;

fn here() -> &'static Location<'static> {
    Location::caller()
}

/// When the driver was asked to come, or said that it would.
struct Driver {
    kicked: bool,
    due: Nanos,
}

impl Driver {
    /// The driver of a pool that is new: it begins with a tick.
    fn new() -> Self {
        Self { kicked: true, due: NEVER }
    }

    /// Does what it is for, if anything told it to; then it takes what there is to do.
    fn run(&mut self, core: &mut Core<Conn, Cause>, now: Nanos, fx: &mut Effects) -> bool {
        let is_called = self.kicked || self.due <= now;
        if is_called {
            self.kicked = false;
            self.due = core.tick(now, fx);
        }
        is_called
    }
}

/// Wakes whom it is to wake, and gives the numbers of the connections to be closed.
fn perform(fx: Effects, driver: &mut Driver) -> Vec<u64> {
    driver.kicked |= fx.kick;
    fx.wake.into_iter().for_each(std::task::Waker::wake);
    fx.handles.into_iter().map(|conn| conn.id).collect()
}

/// One that asked and has not been answered.
struct Asking {
    /// Its place among all gets.
    number: u64,
    /// Its number in the core.
    id: u32,
    waker: CountingWaker,
}
