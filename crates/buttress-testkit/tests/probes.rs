//! The probes measure what they say: allocations, wakes, and what is done to a scripted service.

use buttress_testkit::alloc;
use buttress_testkit::guarded::{Guarded, locked};
use buttress_testkit::scripted::{Calls, Fault, Local, Script, Scripted, ScriptedPanic};
use buttress_testkit::waker::CountingWaker;
use std::future::Future;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tower::Service;

type Echo = fn(u64) -> u64;

/// A script and a service that answers its request.
fn echo() -> (Script, Scripted<Echo>) {
    let script = Script::new();
    let service = script.service((|n| n) as Echo);
    (script, service)
}

fn poll_ready<S: Service<u64>>(service: &mut S, waker: &Waker) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(waker))
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Readies and calls.
fn begin<S: Service<u64, Error = Fault>>(service: &mut S) -> S::Future {
    assert_eq!(poll_ready(service, Waker::noop()), Poll::Ready(Ok(())));
    service.call(1)
}

#[test]
fn allocations_are_counted_by_thread_and_by_process() {
    let before = (alloc::process(), alloc::live_bytes());
    let (kept, counted) = alloc::count(|| {
        let mut bytes = Vec::<u8>::with_capacity(1000);
        bytes.reserve_exact(3000); // a realloc is one more
        black_box(bytes)
    });
    assert_eq!((counted.allocations, counted.bytes), (2, 4000));
    assert!(alloc::process().allocations >= before.0.allocations + 2);

    let mark = alloc::Mark::here();
    std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| alloc::count(|| black_box(Box::new([1u8; 4096]))).1);
        assert_eq!(elsewhere.join().expect("it only allocates").bytes, 4096);
    });
    let spawning = mark.since(); // the thread's own allocations are not in it
    assert!(spawning.bytes < 4096, "{spawning}");
    drop(kept);
}

#[test]
fn live_bytes_follow_what_is_held() {
    const MUCH: u64 = 64 << 20; // more than all other tests of this file hold together
    let before = alloc::live_bytes();
    let much = black_box(vec![0u8; MUCH as usize]);
    assert!(alloc::live_bytes() >= before + MUCH / 2);
    drop(much);
    assert!(alloc::live_bytes() < before + MUCH / 2);
}

#[test]
fn what_is_uncounted_is_not_counted_and_ends_with_a_panic_too() {
    let ((), counted) = alloc::count(|| {
        drop(alloc::uncounted(|| black_box(Box::new(1))));
        let _ = catch_unwind(|| alloc::uncounted(|| std::panic::resume_unwind(Box::new(()))));
        drop(black_box(Box::new(1u64)));
    });
    assert_eq!(counted.bytes, 8, "{counted}");
}

#[test]
fn a_mark_holds_across_awaits() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counted = runtime.block_on(async {
        let mark = alloc::Mark::here();
        tokio::task::yield_now().await;
        drop(black_box(Box::new([0u8; 777])));
        mark.since()
    });
    assert!(counted.bytes >= 777, "{counted}");
}

#[test]
fn cloning_a_counting_waker_allocates_nothing() {
    let counting = CountingWaker::new();
    let (clone, counted) = alloc::count(|| counting.waker().clone());
    assert_eq!(counted.allocations, 0);
    clone.wake_by_ref();
    clone.wake();
    assert_eq!(counting.wakes(), 2);
}

#[test]
fn a_permit_is_taken_by_readiness_spent_by_a_call_and_given_back_by_a_drop() {
    let (script, mut service) = echo();
    for _ in 0..2 {
        assert!(poll_ready(&mut service, Waker::noop()).is_ready());
        assert_eq!(script.seen().permits, 1, "an instance holds one at most");
    }
    let clone = service.clone();
    assert_eq!(script.seen().permits, 1, "a clone has none");
    drop(clone);
    let future = service.call(1);
    assert_eq!((script.seen().permits, script.seen().futures), (0, 1));
    drop(future);
    assert_eq!(script.seen().futures, 0);
    assert!(poll_ready(&mut service, Waker::noop()).is_ready());
    drop(service);
    assert_eq!(script.seen().permits, 0);
}

#[test]
fn a_call_without_readiness_is_counted_and_served() {
    let (script, mut service) = echo();
    let mut future = pin!(service.call(3));
    assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(3)));
    let seen = script.seen();
    assert_eq!((seen.calls, seen.unreadied, seen.completed, seen.polls), (1, 1, 1, 1));
}

#[test]
fn held_readiness_wakes_the_last_waker_when_it_is_released_and_not_before() {
    let (script, mut service) = echo();
    script.hold_readiness();
    let (first, last) = (CountingWaker::new(), CountingWaker::new());
    assert!(poll_ready(&mut service, first.waker()).is_pending());
    assert!(poll_ready(&mut service, last.waker()).is_pending());
    assert_eq!((first.wakes(), last.wakes()), (0, 0));
    script.release_readiness();
    assert_eq!((first.wakes(), last.wakes()), (0, 1));
    assert!(poll_ready(&mut service, last.waker()).is_ready());
}

#[test]
fn a_readiness_error_is_told_once_and_ends_the_wait() {
    let (script, mut service) = echo();
    script.hold_readiness();
    let waker = CountingWaker::new();
    assert!(poll_ready(&mut service, waker.waker()).is_pending());
    script.fail_readiness_once(Fault::Inner(9));
    assert_eq!(waker.wakes(), 1);
    assert_eq!(poll_ready(&mut service, waker.waker()), Poll::Ready(Err(Fault::Inner(9))));
    assert!(poll_ready(&mut service, waker.waker()).is_pending());
    assert_eq!(script.seen().readiness_errors, 1);
}

#[test]
fn who_left_is_not_woken() {
    let (script, mut service) = echo();
    script.calls(Calls::Held);
    let waker = CountingWaker::new();
    let mut future = Box::pin(begin(&mut service));
    assert!(poll(future.as_mut(), waker.waker()).is_pending());
    drop(future);
    script.hold_readiness();
    assert!(poll_ready(&mut service, waker.waker()).is_pending());
    drop(service);
    script.release_calls();
    script.release_readiness();
    assert_eq!(waker.wakes(), 0);
}

#[test]
fn a_call_does_what_the_script_says() {
    let (script, mut service) = echo();
    for (calls, pendings, result) in [
        (Calls::Ready, 0, Ok(1)),
        (Calls::PendingPolls(2), 2, Ok(1)),
        (Calls::Fail(Fault::Inner(7)), 0, Err(Fault::Inner(7))),
    ] {
        script.calls(calls);
        let waker = CountingWaker::new();
        let mut future = pin!(begin(&mut service));
        for _ in 0..pendings {
            assert!(poll(future.as_mut(), waker.waker()).is_pending(), "{calls:?}");
        }
        assert_eq!(poll(future.as_mut(), waker.waker()), Poll::Ready(result), "{calls:?}");
        assert_eq!(waker.wakes(), pendings, "{calls:?}");
    }
    script.calls(Calls::Held);
    let waker = CountingWaker::new();
    let mut future = pin!(begin(&mut service));
    assert!(poll(future.as_mut(), waker.waker()).is_pending());
    script.release_calls();
    assert_eq!(waker.wakes(), 1);
    assert_eq!(poll(future.as_mut(), waker.waker()), Poll::Ready(Ok(1)));
}

#[test]
fn a_scripted_panic_leaves_the_counts_right() {
    let (script, mut service) = echo();
    script.calls(Calls::PanicInCall);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(begin(&mut service)))).unwrap_err();
    assert!(panic.is::<ScriptedPanic>());
    script.calls(Calls::PanicInPoll);
    let mut future = Box::pin(begin(&mut service));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(future.as_mut(), Waker::noop()))).is_err());
    drop(future);
    let seen = script.seen();
    assert_eq!((seen.permits, seen.futures, seen.completed, seen.calls), (0, 0, 0, 2));
}

#[test]
fn a_scripted_call_allocates_nothing() {
    let (script, mut service) = echo();
    let waker = CountingWaker::new();
    for calls in [Calls::Ready, Calls::PendingPolls(1), Calls::Held] {
        script.calls(calls);
        let ((), counted) = alloc::count(|| {
            let mut clone = service.clone();
            let mut future = pin!(begin(&mut clone));
            let _ = poll(future.as_mut(), waker.waker());
        });
        assert_eq!(counted.allocations, 0, "{calls:?}");
    }
    // Nor does what the answer needs count.
    let mut boxing = script.service(|n: u64| Box::new(n));
    script.calls(Calls::Ready);
    let ((), counted) = alloc::count(|| {
        let mut future = pin!(begin(&mut boxing));
        assert!(poll(future.as_mut(), waker.waker()).is_ready());
    });
    assert_eq!(counted.allocations, 0);
    drop(begin(&mut service));
}

#[test]
fn a_waker_that_owns_a_scripted_service_can_be_dropped_by_it() {
    struct Owner(#[allow(dead_code, reason = "held to be dropped")] Scripted<Echo>);
    impl std::task::Wake for Owner {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let (script, mut service) = echo();
    script.hold_readiness();
    let waker = Waker::from(std::sync::Arc::new(Owner(service.clone())));
    assert!(poll_ready(&mut service, &waker).is_pending());
    drop(waker);
    drop(service); // drops the waker, and with it another service of the same script
}

#[test]
fn a_script_crosses_threads_where_its_service_may() {
    fn send_and_clone<T: Send + Sync + Clone>(_: &T) {}
    let (script, service) = echo();
    send_and_clone(&script);
    send_and_clone(&service);
    let mut local: Local<Scripted<Echo>> = script.local(|n| n);
    drop(begin(&mut local));
    assert_eq!(script.seen().calls, 1);
}

#[test]
fn a_drop_under_the_lock_is_seen_and_none_after_it() {
    let dropped = catch_unwind(|| locked(|| drop([Guarded(1), Guarded(2)])));
    assert_eq!(dropped.unwrap_err().downcast_ref(), Some(&"dropped under the lock"));
    assert_eq!(locked(|| Guarded(3)), Guarded(3));
}
