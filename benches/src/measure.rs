//! Times, allocations, and what two threads do to each other.

use crate::{Contender, Runner};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bursts of one thread, unless they take too long together.
const BURSTS: usize = 150;
/// Bursts of two threads: more, for many are no good where other programs run too.
const BURSTS_OF_TWO: usize = 1500;
/// After this time no further burst is begun.
const ENOUGH: Duration = Duration::from_secs(2);
/// A burst of two threads counts if they ran side by side for this share of it ..
const OVERLAP: f64 = 0.90;
/// .. and each of them was on a processor for this share of its own time.
const ON_CPU: f64 = 0.95;

/// How long `runner` takes for that many calls.
#[must_use]
pub fn time(runner: &mut Runner, calls: u64) -> Duration {
    let start = now();
    runner.run(calls);
    now() - start
}

#[expect(clippy::disallowed_methods, reason = "here the time of this machine is what is asked for")]
fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds per call: of the fastest burst, since whatever disturbs a burst makes it slower.
#[must_use]
pub fn nanoseconds(contender: &Contender) -> f64 {
    let (mut runner, begin) = (contender.warm(), now());
    let fastest = (0..BURSTS)
        .take_while(|done| *done == 0 || begin.elapsed() < ENOUGH)
        .map(|_| time(&mut runner, contender.calls()))
        .min();
    per_call(fastest.expect("there is a first burst"), contender)
}

/// Heap allocations per call.
#[cfg(feature = "allocations")]
#[must_use]
pub fn allocations(contender: &Contender) -> f64 {
    let mut runner = contender.warm();
    let ((), counted) = buttress_testkit::alloc::count(|| runner.run(contender.calls()));
    counted.allocations as f64 / contender.calls() as f64
}

/// Bytes on the heap for what `make` makes, and that; `None` where nobody counts.
#[must_use]
pub fn held<T>(make: impl FnOnce() -> T) -> (T, Option<u64>) {
    #[cfg(feature = "allocations")]
    {
        let before = buttress_testkit::alloc::live_bytes();
        let made = make();
        (made, Some(buttress_testkit::alloc::live_bytes().saturating_sub(before)))
    }
    #[cfg(not(feature = "allocations"))]
    (make(), None)
}

/// How often all threads have asked for memory so far; `None` where nobody counts.
#[must_use]
pub fn process_allocations() -> Option<u64> {
    #[cfg(feature = "allocations")]
    {
        Some(buttress_testkit::alloc::process().allocations)
    }
    #[cfg(not(feature = "allocations"))]
    None
}

/// What two threads need per call while both run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoThreads {
    /// The lower quartile of the clean bursts, if there was one.
    pub nanoseconds: Option<f64>,
    /// In how many bursts both threads really ran side by side.
    pub clean: usize,
    /// How many bursts were made.
    pub bursts: usize,
}

/// Lets two threads start each burst together and drops the bursts in which they did not stay together.
#[must_use]
pub fn two_threads(contender: &Contender) -> TwoThreads {
    let (runners, start) = (contender.runners(2), Meeting::new());
    let threads = std::thread::scope(|scope| {
        let run = |runner| scope.spawn(|| bursts(runner, &start, contender));
        let threads: Vec<_> = runners.into_iter().map(run).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no contender panics");
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let bursts: Vec<_> = threads[0].iter().zip(&threads[1]).collect();
    let mut clean: Vec<_> =
        bursts.iter().filter(|(a, b)| is_clean(a, b)).map(|(a, b)| (a.wall() + b.wall()) / 2).collect();
    clean.sort_unstable();
    TwoThreads {
        nanoseconds: clean.get(clean.len() / 4).map(|quartile| per_call(*quartile, contender)),
        clean: clean.len(),
        bursts: bursts.len(),
    }
}

/// One burst of one thread.
#[derive(Clone, Copy, Debug)]
struct Burst {
    start: Instant,
    end: Instant,
    cpu: Duration,
}

impl Burst {
    fn wall(&self) -> Duration {
        self.end - self.start
    }

    fn was_on_cpu(&self) -> bool {
        self.cpu.as_secs_f64() >= ON_CPU * self.wall().as_secs_f64()
    }
}

fn is_clean(a: &Burst, b: &Burst) -> bool {
    let both = a.end.min(b.end).saturating_duration_since(a.start.max(b.start));
    let any = a.end.max(b.end) - a.start.min(b.start);
    both.as_secs_f64() >= OVERLAP * any.as_secs_f64() && a.was_on_cpu() && b.was_on_cpu()
}

fn bursts(mut runner: Runner, start: &Meeting, contender: &Contender) -> Vec<Burst> {
    let _left = Left(start);
    contender.warm_up(&mut runner);
    let begin = now();
    let mut bursts = Vec::with_capacity(BURSTS_OF_TWO);
    while start.go_on(bursts.len(), bursts.len() < BURSTS_OF_TWO && begin.elapsed() < 2 * ENOUGH) {
        let (cpu, start) = (cpu_time(), now());
        runner.run(contender.calls());
        let end = now();
        bursts.push(Burst { start, end, cpu: cpu_time() - cpu });
    }
    bursts
}

/// Where two threads wait for each other without sleeping: to be woken takes longer than a burst.
#[derive(Debug)]
struct Meeting {
    arrived: AtomicUsize,
    /// The first meeting after which they part.
    last: AtomicUsize,
}

impl Meeting {
    fn new() -> Self {
        Self { arrived: AtomicUsize::new(0), last: AtomicUsize::new(usize::MAX) }
    }

    /// Waits for the other thread to come to meeting `number`, counted from 0. Both get the same answer:
    /// true if both want to go on.
    fn go_on(&self, number: usize, wanted: bool) -> bool {
        if !wanted {
            // Relaxed: published by the count below.
            self.last.fetch_min(number, Ordering::Relaxed);
        }
        // Release and Acquire: `last` of both threads is seen by both.
        self.arrived.fetch_add(1, Ordering::Release);
        let mut spins = 0_u32;
        while self.arrived.load(Ordering::Acquire) < 2 * (number + 1) {
            spins = spins.wrapping_add(1);
            // On one processor the other thread needs this one to go away.
            if spins % 65_536 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        // If the other thread is at the next meeting already, it can only have put that number there.
        self.last.load(Ordering::Relaxed) > number
    }
}

/// Lets nobody wait for a thread that has gone, also by a panic.
struct Left<'a>(&'a Meeting);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        // Release, after Relaxed: whoever sees the count sees that it was the last meeting.
        self.0.last.fetch_min(0, Ordering::Relaxed);
        self.0.arrived.fetch_add(usize::MAX / 4, Ordering::Release);
    }
}

/// How long this thread has been on a processor.
#[cfg(unix)]
fn cpu_time() -> Duration {
    clock(rustix::time::ClockId::ThreadCPUTime)
}

/// Not known here: no burst is clean.
#[cfg(not(unix))]
fn cpu_time() -> Duration {
    Duration::ZERO
}

/// How long the threads of this process have been on processors, all together; zero where that is not known.
#[must_use]
pub fn process_cpu_time() -> Duration {
    #[cfg(unix)]
    {
        clock(rustix::time::ClockId::ProcessCPUTime)
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

#[cfg(unix)]
fn clock(id: rustix::time::ClockId) -> Duration {
    Duration::try_from(rustix::time::clock_gettime(id)).unwrap_or_default()
}

fn per_call(burst: Duration, contender: &Contender) -> f64 {
    burst.as_secs_f64() * 1e9 / contender.calls() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_clean_if_both_ran_side_by_side() {
        let zero = now();
        let at = |millis| zero + Duration::from_millis(millis);
        let burst = |start, end, cpu| Burst { start, end, cpu: Duration::from_millis(cpu) };
        let (t0, t5, t9, t100, t105) = (at(0), at(5), at(9), at(100), at(105));
        let table = [
            (burst(t0, t100, 100), burst(t0, t100, 100), true),
            (burst(t0, t100, 100), burst(t5, t105, 96), true),
            (burst(t0, t100, 100), burst(t0, t100, 94), false),
            (burst(t0, t100, 100), burst(t9, t105, 100), false),
            (burst(t0, t5, 5), burst(t9, t100, 91), false),
        ];
        for (a, b, clean) in table {
            assert_eq!((is_clean(&a, &b), is_clean(&b, &a)), (clean, clean), "{a:?} {b:?}");
        }
    }

    #[test]
    fn both_threads_leave_at_the_same_meeting() {
        let meeting = Meeting::new();
        let stay = |bursts| {
            let mut number = 0;
            while meeting.go_on(number, number < bursts) {
                number += 1;
            }
            number
        };
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| stay(1000));
            (stay(300), other.join().expect("no panic inside"))
        });
        assert_eq!(both, (300, 300));
    }
}
