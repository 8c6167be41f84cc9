//! Where answers are put for callers to take: one cell each, reused, so that a call allocates nothing.

use crate::primitive::Mutex;
use std::array;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

/// Cells in the first chunk; each further one has twice as many as the one before.
const FIRST_LOG: u32 = if cfg!(buttress_loom) { 0 } else { 6 };

/// Grown on need and never moved, so that nobody who has a cell has to lock anything but that.
pub(crate) struct Cells<T> {
    chunks: [OnceLock<Box<[Cell<T>]>>; (u32::BITS - FIRST_LOG) as usize],
}

/// On a cache line of its own: its neighbours belong to callers on other threads.
#[repr(align(64))]
struct Cell<T>(Mutex<Hold<T>>);

/// In this order, so that all of it is on the lock's cache line if the answer is small.
#[repr(C)]
struct Hold<T> {
    /// Its caller has left without the answer.
    is_deserted: bool,
    waker: Option<Waker>,
    answer: Option<T>,
}

/// What has become of an answer.
#[must_use = "a waker is to be woken, and what nobody takes dropped where that may panic"]
pub(crate) enum Delivered<T> {
    /// Its caller will take it, and is to be woken if it waits.
    Kept(Option<Waker>),
    /// Nobody will. The cell is as good as new.
    Deserted(T),
}

impl<T> Cells<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: array::from_fn(|_| OnceLock::new()) }
    }

    #[inline]
    fn at(&self, id: u32) -> &Mutex<Hold<T>> {
        let place = u64::from(id) + (1 << FIRST_LOG);
        let chunk = place.ilog2();
        let cells = self.chunks[(chunk - FIRST_LOG) as usize].get_or_init(|| Self::chunk(chunk));
        &cells[(place - (1 << chunk)) as usize].0
    }

    #[cold]
    fn chunk(log: u32) -> Box<[Cell<T>]> {
        let empty = || Hold { answer: None, waker: None, is_deserted: false };
        (0..1_u64 << log).map(|_| Cell(Mutex::new(empty()))).collect()
    }

    /// The answer, or its caller's waker is left. After an answer the cell is as good as new.
    #[inline]
    pub(crate) fn poll(&self, id: u32, is_first: bool, cx: &mut Context<'_>) -> Poll<T> {
        let cell = self.at(id);
        // At first there is mostly no answer yet, and never a waker.
        if !is_first {
            let mut hold = cell.lock();
            if let Some(answer) = hold.answer.take() {
                return Poll::Ready(answer);
            }
            if hold.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
        }
        // Cloned and dropped without the lock: neither is ours.
        let waker = cx.waker().clone();
        let mut hold = cell.lock();
        if let Some(answer) = hold.answer.take() {
            drop(hold);
            return Poll::Ready(answer);
        }
        let stale = hold.waker.replace(waker);
        drop(hold);
        drop(stale);
        Poll::Pending
    }

    /// Puts the answer where its caller finds it.
    #[inline]
    pub(crate) fn deliver(&self, id: u32, answer: T) -> Delivered<T> {
        let mut hold = self.at(id).lock();
        if std::mem::take(&mut hold.is_deserted) {
            return Delivered::Deserted(answer);
        }
        hold.answer = Some(answer);
        Delivered::Kept(hold.waker.take())
    }

    /// The caller leaves: with its answer, if that is there, or `notice` is given that there is nobody any more.
    pub(crate) fn desert(&self, id: u32, notice: impl FnOnce()) -> Option<T> {
        let mut hold = self.at(id).lock();
        let (answer, waker) = (hold.answer.take(), hold.waker.take());
        if answer.is_none() {
            hold.is_deserted = true;
            notice();
        }
        drop(hold);
        drop(waker);
        answer
    }

    /// Nothing will be put into a cell that its caller has left.
    pub(crate) fn reclaim(&self, id: u32) {
        self.at(id).lock().is_deserted = false;
    }
}
