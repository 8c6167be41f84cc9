use crate::fact::Fact;
use crate::stampede::Stampede;
use std::fmt;
use std::future::poll_fn;
use std::hint::black_box;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tower::Service;

/// Makes calls, one after the other, through one thread's clone of a service or a thing that threads share.
pub struct Runner {
    /// Where a caller of a tower service would be: a tokio runtime that has timers. Each thread has its own.
    runtime: Runtime,
    calls: Calls,
}

type Calls = Box<dyn FnMut(u64, &Runtime) + Send>;

/// Contenders that do the same work and are shown in one table.
#[derive(Debug)]
pub struct Suite {
    /// What `cargo xtask compare` is asked for: the crate without `buttress-`.
    pub name: &'static str,
    /// In the order of the table.
    pub contenders: Vec<Contender>,
    /// What else is to be said, under the table.
    pub facts: Vec<Fact>,
}

/// One row of a comparison: a service or an operation, and what it is compared with.
pub struct Contender {
    name: &'static str,
    against: Option<&'static str>,
    burst: u64,
    weight: u64,
    is_gated: bool,
    make: Box<dyn Fn(usize) -> Vec<Runner> + Send + Sync>,
}

impl Contender {
    /// Names a service to measure. `make` gives a fresh one; its clones share whatever they share, and each
    /// thread calls its own clone.
    pub fn new<S>(name: &'static str, make: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Service<u64> + Clone + Send + 'static,
    {
        let make = move |threads| {
            let service = make();
            (0..threads).map(|_| Runner::new(service.clone())).collect()
        };
        Self::making(name, make)
    }

    /// Names an operation to measure, on a thing that all threads share. It is told a number that no other
    /// call has. There is no service round it, and no future.
    pub fn operation<S>(
        name: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
        operation: impl Fn(&S, u64) + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
    {
        Self::sharing(name, make, move |shared, thread| {
            let mut numbers = numbers(thread);
            Box::new(move |calls, _| {
                numbers.by_ref().take(calls as usize).for_each(|n| operation(&shared, n));
            })
        })
    }

    /// An [`operation`](Self::operation) with a future, which is on the stack.
    pub fn future<S>(
        name: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
        operation: impl AsyncFn(&S, u64) + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
    {
        Self::sharing(name, make, move |shared, thread| {
            let mut numbers = numbers(thread);
            Box::new(move |calls, runtime| {
                let mut cx = Context::from_waker(Waker::noop());
                for number in numbers.by_ref().take(calls as usize) {
                    let mut future = pin!(operation(&shared, number));
                    if future.as_mut().poll(&mut cx).is_pending() {
                        wait(runtime, |cx| future.as_mut().poll(cx));
                    }
                }
            })
        })
    }

    /// An [`operation`](Self::operation) with a future, for one that leaves something to other tasks: the calls of
    /// a burst are one task, and the others run where it waits.
    pub fn task<S>(
        name: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
        operation: impl AsyncFn(&S, u64) + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
    {
        Self::sharing(name, make, move |shared, thread| {
            let mut numbers = numbers(thread);
            Box::new(move |calls, runtime| {
                runtime.block_on(async {
                    for number in numbers.by_ref().take(calls as usize) {
                        operation(&shared, number).await;
                    }
                });
            })
        })
    }

    /// So many tasks on the runtime of one thread, which call at the same time, on a thing that is that thread's alone and is
    /// made on its runtime: it may leave something to tasks of its own. `task` is what one of them does, which makes a call
    /// for each of these numbers.
    pub fn tasks<S, F>(
        name: &'static str,
        tasks: u64,
        make: impl Fn() -> S + Clone + Send + Sync + 'static,
        task: impl Fn(S, Range<u64>) -> F + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runner = move |_| {
            let (make, mut made, mut first) = (make.clone(), None, 0);
            Runner::with(Box::new(move |calls, runtime| {
                runtime.block_on(async {
                    let made = made.get_or_insert_with(&make);
                    let number = |number| first + number * calls / tasks;
                    let spawn = |n| tokio::spawn(task(made.clone(), number(n)..number(n + 1)));
                    for task in (0..tasks).map(spawn).collect::<Vec<_>>() {
                        task.await.expect("no task panics");
                    }
                });
                first += calls;
            }))
        };
        Self::making(name, move |threads| (0..threads).map(&runner).collect())
    }

    /// An [`operation`](Self::operation) that a thousand callers ask for at once, with the same number: one
    /// call is all of them. Each is polled when it has been woken, and only then.
    pub fn stampede<S, F>(
        name: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
        operation: impl Fn(&S, u64) -> F + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
        F: Future + Send + 'static,
    {
        let contender = Self::sharing(name, make, move |shared, thread| {
            let (mut numbers, mut stampede) = (numbers(thread), Stampede::new());
            Box::new(move |calls, _| {
                for number in numbers.by_ref().take(calls as usize) {
                    stampede.run(|| operation(&shared, number));
                }
            })
        });
        contender.weight(Stampede::<F>::CALLERS)
    }

    fn sharing<S>(
        name: &'static str,
        make: impl Fn() -> S + Send + Sync + 'static,
        calls: impl Fn(Arc<S>, u64) -> Calls + Send + Sync + 'static,
    ) -> Self
    where
        S: 'static,
    {
        Self::making(name, move |threads| {
            let shared = Arc::new(make());
            (0..threads).map(|thread| Runner::with(calls(Arc::clone(&shared), thread as u64))).collect()
        })
    }

    fn making(name: &'static str, make: impl Fn(usize) -> Vec<Runner> + Send + Sync + 'static) -> Self {
        Self { name, against: None, burst: 5000, weight: 1, is_gated: true, make: Box::new(make) }
    }

    /// Names the row that this one is an alternative to; the table shows how much slower it is.
    #[must_use]
    pub fn against(mut self, ours: &'static str) -> Self {
        self.against = Some(ours);
        self
    }

    /// Sets the number of calls in a burst: fewer where many would change what is measured.
    #[must_use]
    pub fn burst(mut self, calls: u64) -> Self {
        self.burst = calls;
        self
    }

    /// Says that a call does the work of so many: there are fewer of them, everywhere.
    #[must_use]
    pub fn weight(mut self, calls: u64) -> Self {
        self.weight = calls;
        self
    }

    /// Leaves it out of the gate: what it costs differs from run to run, or depends on the machine.
    #[must_use]
    pub fn ungated(mut self) -> Self {
        self.is_gated = false;
        self
    }

    /// Whether it costs the same on every run.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.is_gated
    }

    /// What the row is called; unique in its suite.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The row that this one is an alternative to.
    #[must_use]
    pub fn counterpart(&self) -> Option<&'static str> {
        self.against
    }

    /// Calls per burst.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.weighed(self.burst)
    }

    /// How many calls do as much as `calls` of a contender whose call is one call.
    #[must_use]
    pub fn weighed(&self, calls: u64) -> u64 {
        (calls / self.weight).max(1)
    }

    /// Runners over fresh state that they share, one for each thread. They are still cold.
    #[must_use]
    pub fn runners(&self, threads: usize) -> Vec<Runner> {
        (self.make)(threads)
    }

    /// A runner over fresh state, warmed up.
    #[must_use]
    pub fn warm(&self) -> Runner {
        let mut runner = self.runners(1).remove(0);
        self.warm_up(&mut runner);
        runner
    }

    /// Calls until windows are full and the breakers that shall be open are open. To be done on the thread
    /// that is measured.
    pub(crate) fn warm_up(&self, runner: &mut Runner) {
        runner.run(self.weighed(10_000));
    }
}

impl Runner {
    fn new<S>(mut service: S) -> Self
    where
        S: Service<u64> + Send + 'static,
    {
        let mut request = 0_u64;
        // What a caller does for a service that is ready: asks for readiness, calls, polls the future, which
        // is on the stack.
        let calls = move |calls, runtime: &Runtime| {
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..calls {
                request += 1;
                match service.poll_ready(&mut cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => panic!("a contender does not fail to be ready"),
                    Poll::Pending => wait(runtime, |cx| service.poll_ready(cx).map(drop)),
                }
                let mut future = pin!(service.call(black_box(request)));
                if black_box(&future.as_mut().poll(&mut cx)).is_pending() {
                    wait(runtime, |cx| future.as_mut().poll(cx).map(drop));
                }
            }
        };
        Self::with(Box::new(calls))
    }

    fn with(calls: Calls) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O needs nothing from the system");
        Self { runtime, calls }
    }

    /// Makes that many calls.
    pub fn run(&mut self, calls: u64) {
        let _inside = self.runtime.enter();
        (self.calls)(calls, &self.runtime);
    }
}

/// Numbers that no other thread has.
fn numbers(thread: u64) -> impl Iterator<Item = u64> {
    ((thread << 40) + 1..).map(black_box)
}

/// Some opponents wait for a lock that the other thread holds: asks again a few times, which is kinder to
/// them than to sleep at once, and then sleeps until it is woken.
#[cold]
#[inline(never)]
fn wait(runtime: &Runtime, mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        if poll(&mut cx).is_ready() {
            return;
        }
        std::hint::spin_loop();
    }
    runtime.block_on(poll_fn(poll));
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}
