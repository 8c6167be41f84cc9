//! Counts what is allocated, by this thread or by the whole process.
//!
//! The allocator is installed by this crate: a test that names anything of it counts. A `realloc` is one
//! allocation of the new size, as far as work is concerned; live bytes follow its difference.
//!
//! # Examples
//!
//! ```
//! use buttress_testkit::alloc;
//!
//! let (text, counted) = alloc::count(|| String::with_capacity(100));
//! assert_eq!((counted.allocations, counted.bytes), (1, 100));
//! drop(text);
//!
//! let mark = alloc::Mark::here();
//! let _ = Box::new([0u8; 64]);
//! assert_eq!(mark.since().allocations, 1);
//! ```
#![allow(unsafe_code, reason = "an allocator can only be written with it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The system's allocator, with counts.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Const and without a destructor: reading them neither allocates nor registers anything, at any time
    // in the life of a thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
    static UNCOUNTED: Cell<u32> = const { Cell::new(0) };
}

// Relaxed, all three: sums that publish nothing. Live bytes may dip below zero for a moment, when one
// thread frees what another has not yet counted.
static ALL_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALL_BYTES: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

fn record(bytes: usize) {
    // `try_with` fails only where a platform has torn the thread's storage down: then nobody counts.
    if UNCOUNTED.try_with(Cell::get).unwrap_or(1) > 0 {
        return;
    }
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes as u64));
    ALL_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    ALL_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

fn live(by: i64) {
    LIVE.fetch_add(by, Ordering::Relaxed);
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what it answers; the counting
// beside it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        live(layout.size() as i64);
        // SAFETY: the caller's promises are `System`'s demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        live(layout.size() as i64);
        // SAFETY: the caller's promises are `System`'s demands.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        record(size);
        live(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are `System`'s demands, and `old` came from `System`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        live(-(layout.size() as i64));
        // SAFETY: the caller's promises are `System`'s demands, and `old` came from `System`.
        unsafe { System.dealloc(old, layout) }
    }
}

/// What was allocated in some stretch of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counted {
    /// How often memory was asked for; growing a block is once more.
    pub allocations: u64,
    /// How much was asked for, whether or not it was given back since.
    pub bytes: u64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} allocations, {} bytes", self.allocations, self.bytes)
    }
}

impl std::ops::Sub for Counted {
    type Output = Counted;

    fn sub(self, earlier: Counted) -> Counted {
        Counted { allocations: self.allocations - earlier.allocations, bytes: self.bytes - earlier.bytes }
    }
}

/// A moment on this thread, from which it counts.
///
/// It may be held across an await where the task stays on its thread, and is not `Send`, so that nothing
/// else compiles.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    start: Counted,
    here: PhantomData<*const ()>,
}

impl Mark {
    /// Now, on this thread.
    #[must_use]
    pub fn here() -> Self {
        Self { start: thread(), here: PhantomData }
    }

    /// What this thread has allocated since.
    #[must_use]
    pub fn since(&self) -> Counted {
        thread() - self.start
    }
}

/// Runs `work` and counts what this thread allocates in it.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, Counted) {
    let mark = Mark::here();
    let value = work();
    (value, mark.since())
}

/// Runs `work` without counting what this thread allocates in it, live bytes excepted: for the parts of a
/// test that are not the subject.
pub fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    struct Until;
    impl Drop for Until {
        fn drop(&mut self) {
            UNCOUNTED.with(|depth| depth.set(depth.get() - 1));
        }
    }
    UNCOUNTED.with(|depth| depth.set(depth.get() + 1));
    let _until = Until;
    work()
}

/// What this thread has allocated since it began.
#[must_use]
pub fn thread() -> Counted {
    Counted { allocations: ALLOCATIONS.with(Cell::get), bytes: BYTES.with(Cell::get) }
}

/// What all threads have allocated since the process began.
#[must_use]
pub fn process() -> Counted {
    Counted { allocations: ALL_ALLOCATIONS.load(Ordering::Relaxed), bytes: ALL_BYTES.load(Ordering::Relaxed) }
}

/// How many bytes the process holds now.
#[must_use]
pub fn live_bytes() -> u64 {
    u64::try_from(LIVE.load(Ordering::Relaxed)).unwrap_or(0)
}
