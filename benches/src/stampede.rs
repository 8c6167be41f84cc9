//! A thousand callers at once, without a runtime's own cost for each.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Places for a thousand futures. They are used again, so that what is allocated is not the harness's.
pub struct Stampede<F> {
    callers: Vec<Caller<F>>,
}

struct Caller<F> {
    future: Pin<Box<Option<F>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Whether it is to be polled. Release and Acquire, as a runtime's would be: what was done before the wake is
/// seen by the poll.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl<F: Future> Stampede<F> {
    /// How many there are.
    pub const CALLERS: u64 = 1000;

    /// Makes the places.
    #[must_use]
    pub fn new() -> Self {
        let caller = |_| {
            let woken = Arc::new(Woken(AtomicBool::new(false)));
            Caller { future: Box::pin(None), waker: Waker::from(Arc::clone(&woken)), woken }
        };
        Self { callers: (0..Self::CALLERS).map(caller).collect() }
    }

    /// Lets each caller make its future, and polls those that have been woken, in rounds, until all are done.
    /// Answers how many polls that took.
    pub fn run(&mut self, call: impl Fn() -> F) -> u64 {
        for caller in &mut self.callers {
            caller.future.set(Some(call()));
            caller.woken.0.store(true, Ordering::Relaxed);
        }
        let (mut left, mut polls) = (self.callers.len(), 0);
        ROUND.set(0);
        while left > 0 {
            let before = polls;
            ROUND.set(ROUND.get() + 1);
            if ROUND.get() == ROUNDS {
                LATE.take().into_iter().for_each(Waker::wake);
            }
            for caller in &mut self.callers {
                if !caller.woken.0.load(Ordering::Relaxed) || !caller.woken.0.swap(false, Ordering::Acquire) {
                    continue;
                }
                let Some(future) = caller.future.as_mut().as_pin_mut() else { continue };
                polls += 1;
                if future.poll(&mut Context::from_waker(&caller.waker)).is_ready() {
                    caller.future.set(None);
                    left -= 1;
                }
            }
            if polls == before && LATE.with_borrow(Vec::is_empty) {
                // Another thread is to wake somebody.
                std::thread::yield_now();
            }
        }
        polls
    }
}

impl<F: Future> Default for Stampede<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for Stampede<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stampede").finish_non_exhaustive()
    }
}

/// Answers when it is polled again, and asks for that at once: all others are there by then.
pub async fn soon<T>(value: T) -> T {
    let mut is_second = false;
    poll_fn(|cx| {
        if is_second {
            return Poll::Ready(());
        }
        is_second = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    value
}

/// Runs a future that has nothing to wait for.
pub fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            return answer;
        }
    }
}

thread_local! {
    /// In which round a stampede on this thread is, and whom a load that waits for a later one is to wake.
    static ROUND: Cell<u64> = const { Cell::new(0) };
    static LATE: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// How many rounds a load takes that is [`later`].
const ROUNDS: u64 = 100;

/// Answers in a stampede's hundredth round: those who ask to be polled again at once are polled a hundred times.
pub async fn later<T>(value: T) -> T {
    poll_fn(|cx| {
        if ROUND.get() >= ROUNDS {
            return Poll::Ready(());
        }
        LATE.with_borrow_mut(|late| late.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_polled_when_it_is_woken_and_only_then() {
        assert_eq!(Stampede::new().run(|| std::future::ready(1)), 1000);
        let mut stampede = Stampede::new();
        assert_eq!((stampede.run(|| soon(1)), stampede.run(|| soon(1))), (2000, 2000));
        assert_eq!(Stampede::new().run(|| later(1)), 2000);
    }

    #[test]
    fn who_does_not_wait_to_be_woken_is_polled_in_each_round() {
        let busy = || {
            let mut answer = Box::pin(later(1));
            poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                answer.as_mut().poll(cx)
            })
        };
        let mut stampede = Stampede::new();
        assert_eq!((stampede.run(busy), stampede.run(busy)), (100_000, 100_000));
    }
}
