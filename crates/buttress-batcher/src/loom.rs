//! Callers and the driver, under loom: every interleaving of two threads or three, up to the number of preemptions that is
//! set.
//!
//! `cargo xtask loom` runs these. Futures are polled by hand, the driver among them. One that is not done is polled again
//! if it was woken, and never else, so that a wake-up that is lost is a caller that hangs.

use crate::book::Book;
use crate::driver::Driver;
use crate::each::Refuse;
use crate::engine::{Batching, Engine, Task, Terms};
use crate::keys::{Apart, Whole};
use crate::{Batch, Config, primitive};
use buttress_core::{Error, Reason};
use loom::thread;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tower_service::Service;

type Answer = Result<u8, Error<Infallible>>;
type Echoes = Batch<u8, u8, Error<Infallible>>;

/// Not an atomic of loom's: threads need not change here.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Something that is polled when it was woken: a caller, or the driver.
struct Polled<T> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    woken: Arc<Woken>,
    output: Option<T>,
}

impl<T> Polled<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { future: Some(Box::pin(future)), woken, output: None }
    }

    /// Polls it as long as it is woken.
    fn run(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.output.is_none() && self.woken.0.swap(false, Ordering::SeqCst) {
            let Some(future) = &mut self.future else { return };
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.output = Some(output);
                self.future = None;
            }
        }
    }
}

/// What ends a batch.
#[derive(Clone, Copy)]
enum Ends {
    Now,
    /// At the second poll; at the first it wakes itself.
    Again,
    Told,
}

/// An inner service that echoes, and says what it saw.
#[derive(Clone, Default)]
struct Echo {
    seen: Arc<Mutex<Vec<u8>>>,
    told: Arc<Told>,
}

/// Of loom's, since it is told in another thread.
struct Told(primitive::Mutex<(bool, Option<Waker>)>);

impl Default for Told {
    fn default() -> Self {
        Self(primitive::Mutex::new((false, None)))
    }
}

impl Echo {
    /// Ends the batches that wait for it.
    fn tell(&self) {
        let waker = {
            let mut told = self.told.0.lock();
            told.0 = true;
            told.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    async fn answer(self, numbers: Vec<u8>, ends: Ends) -> Result<Vec<Answer>, Infallible> {
        let mut is_first = true;
        poll_fn(|cx| match ends {
            Ends::Again if std::mem::take(&mut is_first) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ends::Told => {
                let mut told = self.told.0.lock();
                told.1 = Some(cx.waker().clone());
                if told.0 { Poll::Ready(()) } else { Poll::Pending }
            }
            Ends::Now | Ends::Again => Poll::Ready(()),
        })
        .await;
        Ok(numbers.into_iter().map(Ok).collect())
    }
}

struct Model {
    service: Echoes,
    driver: Polled<()>,
    echo: Echo,
}

impl Model {
    fn new(ends: Ends, places: u32) -> Self {
        let config =
            Config::default().measure(false).in_flight(NonZeroU32::MIN).queue(NonZeroU32::new(places));
        let echo = Echo::default();
        let inner = crate::batch_fn({
            let echo = echo.clone();
            move |numbers: Vec<u8>| {
                echo.seen.lock().extend(&numbers);
                echo.clone().answer(numbers, ends)
            }
        });
        let book = Arc::new(Book::new("loom".into(), config.clone()));
        let terms = Terms { partition: Whole, share: Apart, weigh: None, deadline: None };
        let start = Box::new(move |engine| Box::pin(Driver::new(engine, inner, Refuse, None)) as Task);
        let engine = Engine::new(book, config, terms, start);
        let driver = Polled::new(engine.driver().expect("nobody else has it"));
        let service = Batch::new(&(engine as Arc<dyn Batching<u8, u8, Error<Infallible>>>));
        Self { service, driver, echo }
    }

    /// One that asks for a place, calls, and waits for the answer.
    fn caller(&self, number: u8) -> Polled<Answer> {
        let mut service = self.service.clone();
        Polled::new(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(number).await
        })
    }

    /// Polls whoever was woken, until all are answered.
    fn settle<const N: usize>(&mut self, mut callers: [&mut Polled<Answer>; N]) {
        while callers.iter().any(|caller| caller.output.is_none()) {
            let woken = callers.iter().any(|caller| caller.woken.0.load(Ordering::SeqCst));
            assert!(
                woken || self.driver.woken.0.load(Ordering::SeqCst),
                "somebody waits, and nobody is woken"
            );
            self.driver.run();
            callers.iter_mut().for_each(|caller| caller.run());
        }
    }
}

/// Runs it in a thread of its own.
fn apart<T: Send + 'static>(mut polled: Polled<T>) -> thread::JoinHandle<Polled<T>> {
    thread::spawn(move || {
        polled.run();
        polled
    })
}

/// Runs a model, and says how much that was.
fn model(name: &str, run: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    println!("{name}: {} executions", executions.load(Ordering::Relaxed));
}

#[test]
fn loom_who_comes_while_the_driver_goes_to_sleep_is_served() {
    for (name, ends) in [("at once", Ends::Now), ("at the second poll", Ends::Again)] {
        model(name, move || {
            let mut model = Model::new(ends, 4);
            let caller = apart(model.caller(1));
            model.driver.run();
            let mut caller = caller.join().unwrap();
            model.settle([&mut caller]);
            assert_eq!(caller.output, Some(Ok(1)));
        });
    }
}

#[test]
fn loom_two_who_come_together_are_both_served() {
    model("two callers", || {
        let mut model = Model::new(Ends::Now, 4);
        let (first, mut second) = (apart(model.caller(1)), model.caller(2));
        second.run();
        model.driver.run();
        let mut first = first.join().unwrap();
        model.settle([&mut first, &mut second]);
        assert_eq!((first.output, second.output), (Some(Ok(1)), Some(Ok(2))));
    });
}

#[test]
fn loom_a_batch_that_ends_elsewhere_wakes_the_driver() {
    model("told", || {
        let mut model = Model::new(Ends::Told, 4);
        let mut caller = model.caller(1);
        caller.run();
        let echo = model.echo.clone();
        let teller = thread::spawn(move || echo.tell());
        model.driver.run();
        teller.join().unwrap();
        model.settle([&mut caller]);
        assert_eq!(caller.output, Some(Ok(1)));
    });
}

#[test]
fn loom_who_leaves_gives_cell_and_place_back_once() {
    model("leaving", || {
        let mut model = Model::new(Ends::Now, 1);
        let mut first = model.caller(1);
        first.run();
        let leaver = thread::spawn(move || drop(first));
        model.driver.run();
        // They need its one place, and get the one cell; the notice that it has left is not for them.
        let (mut second, mut third) = (model.caller(2), model.caller(3));
        second.run();
        leaver.join().unwrap();
        model.settle([&mut second]);
        model.settle([&mut third]);
        assert_eq!((second.output, third.output), (Some(Ok(2)), Some(Ok(3))));
        let seen = model.echo.seen.lock();
        assert!(*seen == [1, 2, 3] || *seen == [2, 3], "{seen:?}");
    });
}

#[test]
fn loom_a_place_that_comes_free_is_not_lost_on_one_who_leaves() {
    model("line", || {
        let mut model = Model::new(Ends::Now, 1);
        let (mut first, mut second, mut third) = (model.caller(1), model.caller(2), model.caller(3));
        first.run();
        second.run();
        third.run();
        let leaver = thread::spawn(move || drop(second));
        model.driver.run();
        leaver.join().unwrap();
        model.settle([&mut first, &mut third]);
        assert_eq!((first.output, third.output), (Some(Ok(1)), Some(Ok(3))));
    });
}

#[test]
fn loom_a_place_that_is_given_back_is_not_lost_on_one_who_gets_in_line() {
    for (name, others) in [("nobody else", 0), ("one before it", 1)] {
        model(name, move || {
            let model = Model::new(Ends::Now, 1);
            let [mut holder, mut before, mut service] = [(); 3].map(|()| model.service.clone());
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let cx = &mut Context::from_waker(&waker);
            assert!(holder.poll_ready(cx).is_ready());
            if others > 0 {
                assert!(before.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            let giver = thread::spawn(move || drop((holder, before)));
            let is_ready = service.poll_ready(cx).is_ready();
            giver.join().unwrap();
            assert!(is_ready || woken.0.load(Ordering::SeqCst), "nobody tells it");
            assert!(service.poll_ready(cx).is_ready());
        });
    }
}

#[test]
fn loom_what_waits_when_the_last_service_goes_is_sent() {
    model("the last service", || {
        let Model { mut service, mut driver, echo } = Model::new(Ends::Now, 4);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(service.poll_ready(cx).is_ready());
        let mut caller = Polled::new(service.call(1));
        caller.run();
        let end = thread::spawn(move || drop(service));
        driver.run();
        end.join().unwrap();
        driver.run();
        caller.run();
        assert_eq!((caller.output, &*echo.seen.lock()), (Some(Ok(1)), &vec![1]));
        assert_eq!(driver.output, Some(()), "the driver has ended");
    });
}

#[test]
fn loom_who_comes_while_the_driver_is_dropped_is_refused() {
    model("no driver", || {
        let model = Model::new(Ends::Now, 4);
        let caller = apart(model.caller(1));
        drop(model.driver);
        let mut caller = caller.join().unwrap();
        caller.run();
        let Some(Err(Error::Rejected(refused))) = caller.output else { panic!("it waits for nobody") };
        assert_eq!(refused.reason(), Reason::Closed);
        assert!(model.echo.seen.lock().is_empty());
    });
}
