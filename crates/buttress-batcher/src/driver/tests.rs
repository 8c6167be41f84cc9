//! How often the driver is woken and polled, by hand.

use super::Driver;
use crate::book::Book;
use crate::each::Refuse;
use crate::engine::{Batching, Engine, Task, Terms};
use crate::keys::{Apart, Whole};
use crate::{Batch, Config};
use buttress_testkit::scripted::{Calls, Fault, Script};
use buttress_testkit::waker::CountingWaker;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;
use tower_service::Service;

type Answer = Result<u64, Fault>;
type Call = crate::future::ResponseFuture<u64, u64, Fault>;

/// Requests from here on have deadlines, an hour from now.
const DATED: u64 = 1000;

struct Bench {
    service: Batch<u64, u64, Fault>,
    driver: Task,
    waker: CountingWaker,
    polls: usize,
    script: Script,
}

impl Bench {
    fn new(config: Config) -> Self {
        let script = Script::new();
        let echo: fn(Vec<u64>) -> Vec<Answer> = |numbers| numbers.into_iter().map(Ok).collect();
        let inner = script.service(echo);
        let hour = (Instant::now() + Duration::from_secs(3600)).into_std();
        let deadline = move |&number: &u64| (number >= DATED).then_some(hour);
        let terms = Terms { partition: Whole, share: Apart, weigh: None, deadline: Some(Arc::new(deadline)) };
        let book = Arc::new(Book::new("bench".into(), config.clone()));
        let start = Box::new(move |engine| Box::pin(Driver::new(engine, inner, Refuse, None)) as Task);
        let engine = Engine::new(book, config, terms, start);
        let driver = engine.driver().expect("nobody else has it");
        let service = Batch::new(&(engine as Arc<dyn Batching<u64, u64, Fault>>));
        Self { service, driver, waker: CountingWaker::new(), polls: 0, script }
    }

    fn call(&mut self, number: u64) -> Call {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(cx).is_ready());
        let mut call = self.service.call(number);
        assert!(Pin::new(&mut call).poll(cx).is_pending());
        call
    }

    /// Polls the driver as often as it is woken.
    fn run(&mut self) {
        let mut wakes = usize::MAX;
        while wakes != self.waker.wakes() {
            wakes = self.waker.wakes();
            self.polls += 1;
            assert!(self.driver.as_mut().poll(&mut self.waker.context()).is_pending());
        }
    }
}

fn answer(mut call: Call) -> Option<Answer> {
    match Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn one_at_a_time() -> Config {
    Config::default().in_flight(NonZeroU32::MIN)
}

#[tokio::test(start_paused = true)]
async fn nobody_wakes_the_driver_while_all_slots_are_busy() {
    let mut bench = Bench::new(one_at_a_time());
    bench.script.calls(Calls::Held);
    let first = bench.call(0);
    bench.run();
    let (wakes, polls) = (bench.waker.wakes(), bench.polls);
    let mut rest: Vec<_> = (1..100).map(|number| bench.call(number)).collect();
    assert_eq!(bench.waker.wakes(), wakes, "there is nothing that it could do");
    bench.script.release_calls();
    assert_eq!(bench.waker.wakes(), wakes + 1);
    bench.run();
    assert_eq!((answer(first), bench.script.seen().calls), (Some(Ok(0)), 2));

    // Unless somebody leaves, whose place others may want, or may be late.
    let wakes = bench.waker.wakes();
    drop(rest.pop());
    assert_eq!(bench.waker.wakes(), wakes + 1);
    bench.run();
    let wakes = bench.waker.wakes();
    rest.push(bench.call(DATED));
    assert_eq!(bench.waker.wakes(), wakes + 1);
    bench.run();
    bench.script.calls(Calls::Ready);
    bench.script.release_calls();
    bench.run();
    assert!(rest.into_iter().all(|call| matches!(answer(call), Some(Ok(_)))));
    assert!(bench.polls - polls <= 2 * bench.script.seen().calls + 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_wakes_the_driver_while_the_inner_service_is_not_ready() {
    let mut bench = Bench::new(Config::default());
    bench.script.hold_readiness();
    let first = bench.call(0);
    bench.run();
    let wakes = bench.waker.wakes();
    let rest: Vec<_> = (1..10).map(|number| bench.call(number)).collect();
    assert_eq!(bench.waker.wakes(), wakes);
    bench.script.release_readiness();
    bench.run();
    assert!(rest.into_iter().chain([first]).all(|call| matches!(answer(call), Some(Ok(_)))));
    assert_eq!(bench.script.seen().calls, 1, "all in one");
}

#[tokio::test(start_paused = true)]
async fn many_who_come_at_once_wake_the_driver_once() {
    let mut bench = Bench::new(one_at_a_time());
    bench.run();
    let wakes = bench.waker.wakes();
    let calls: Vec<_> = (0..64).map(|number| bench.call(number)).collect();
    assert_eq!(bench.waker.wakes(), wakes + 1);
    let polls = bench.polls;
    bench.run();
    assert_eq!((bench.polls - polls, bench.script.seen().calls), (1, 1), "a full batch waits for nobody");
    assert!(calls.into_iter().all(|call| matches!(answer(call), Some(Ok(_)))));
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_is_sent_at_the_first_poll_and_others_wait_for_one_turn() {
    let mut bench = Bench::new(one_at_a_time());
    bench.run();
    let alone = bench.call(0);
    assert!(bench.driver.as_mut().poll(&mut bench.waker.context()).is_pending());
    assert_eq!(answer(alone), Some(Ok(0)));

    let calls = [bench.call(1), bench.call(2)];
    assert!(bench.driver.as_mut().poll(&mut bench.waker.context()).is_pending());
    assert_eq!(bench.script.seen().calls, 1, "others may come");
    let third = bench.call(3);
    assert!(bench.driver.as_mut().poll(&mut bench.waker.context()).is_pending());
    assert_eq!(bench.script.seen().calls, 2);
    assert!(calls.into_iter().chain([third]).all(|call| matches!(answer(call), Some(Ok(_)))));
}

#[tokio::test(start_paused = true)]
async fn of_many_in_a_row_who_are_alone_one_waits_for_a_turn() {
    let mut bench = Bench::new(one_at_a_time());
    bench.run();
    let poll = |bench: &mut Bench| {
        assert!(bench.driver.as_mut().poll(&mut bench.waker.context()).is_pending());
    };
    // Polls until the answer.
    let alone = |bench: &mut Bench| {
        let mut call = Some(bench.call(0));
        (1..10).find(|_| {
            poll(bench);
            match Pin::new(call.as_mut().expect("there")).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(_) => call.take().is_some(),
                Poll::Pending => false,
            }
        })
    };
    for _ in 0..3 {
        let row: Vec<_> = (0..=super::ALONE_AT_A_TIME).map(|_| alone(&mut bench)).collect();
        let (last, others) = row.split_last().expect("there is one");
        assert!(others.iter().all(|polls| *polls == Some(1)), "{others:?}");
        assert_eq!(*last, Some(2), "nobody came, so the next are sent at once");
    }

    let _row: Vec<_> = (0..super::ALONE_AT_A_TIME).map(|_| alone(&mut bench)).collect();
    for _ in 0..3 {
        let calls = bench.script.seen().calls;
        let first = bench.call(1);
        poll(&mut bench);
        let second = bench.call(2);
        poll(&mut bench);
        assert_eq!(bench.script.seen().calls, calls + 1, "somebody came, so the next one waits, too");
        assert_eq!((answer(first), answer(second)), (Some(Ok(1)), Some(Ok(2))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_batches_leave_room_for_other_tasks() {
    let config = Config::default().max_size(NonZeroU32::MIN).queue(NonZeroU32::new(1000));
    let mut bench = Bench::new(config);
    let calls: Vec<_> = (0..1000).map(|number| bench.call(number)).collect();
    let polls = bench.polls;
    bench.run();
    assert!(bench.polls - polls >= 1000 / super::AT_A_TIME as usize, "{} polls", bench.polls - polls);
    assert!(calls.into_iter().all(|call| matches!(answer(call), Some(Ok(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_wakes_itself_while_it_is_polled_is_polled_again() {
    for pending in [1, 2, 5] {
        let mut bench = Bench::new(one_at_a_time());
        bench.script.calls(Calls::PendingPolls(pending));
        let call = bench.call(7);
        bench.run();
        assert_eq!(answer(call), Some(Ok(7)), "{pending}");
        assert_eq!(bench.polls, 1, "{pending}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_keeps_waking_itself_leaves_room_for_other_tasks() {
    let mut bench = Bench::new(one_at_a_time());
    bench.script.calls(Calls::PendingPolls(1000));
    let call = bench.call(7);
    bench.run();
    assert_eq!(answer(call), Some(Ok(7)));
    assert!(bench.polls >= 1000 / super::AT_A_TIME as usize, "{} polls", bench.polls);
}
