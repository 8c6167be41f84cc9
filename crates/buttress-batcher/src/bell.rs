//! How the driver is woken, and by which of its batches.

use crate::primitive::Mutex;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// The driver looks at it before it sleeps, and leaves its waker in the same step: what rings after that wakes it, what
/// rang before keeps it awake.
#[derive(Debug)]
pub(crate) struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    is_rung: bool,
    /// Batches that have been woken, a bit for each place that they run in.
    runs: Vec<u64>,
    driver: Option<Waker>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Rung::default()))
    }

    pub(crate) fn ring(&self) {
        let driver = {
            let mut rung = self.0.lock();
            rung.is_rung = true;
            rung.driver.take()
        };
        driver.into_iter().for_each(Waker::wake);
    }

    fn ring_run(&self, run: u32) {
        let (word, bit) = (run as usize / 64, 1 << (run % 64));
        let driver = {
            let mut rung = self.0.lock();
            rung.is_rung = true;
            if rung.runs.len() <= word {
                rung.runs.resize(word + 1, 0);
            }
            rung.runs[word] |= bit;
            rung.driver.take()
        };
        driver.into_iter().for_each(Waker::wake);
    }

    /// The driver looks: which batches have been woken since it last did. `woken` is all zero before.
    pub(crate) fn answer(&self, woken: &mut Vec<u64>) {
        let mut rung = self.0.lock();
        if std::mem::take(&mut rung.is_rung) {
            std::mem::swap(&mut rung.runs, woken);
        }
    }

    /// Leaves the driver's waker, unless it has rung since the driver looked.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        // Mostly needed: what wakes the driver takes the one that was left.
        let waker = waker.clone();
        let (is_rung, stale) = {
            let mut rung = self.0.lock();
            if rung.is_rung { (true, Some(waker)) } else { (false, rung.driver.replace(waker)) }
        };
        drop(stale);
        !is_rung
    }
}

/// What wakes one batch, in whatever place it runs.
#[derive(Debug)]
struct RunBell {
    bell: Arc<Bell>,
    run: u32,
}

impl Wake for RunBell {
    fn wake(self: Arc<Self>) {
        self.bell.ring_run(self.run);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.ring_run(self.run);
    }
}

/// The waker of all batches that ever run in this place, so that none needs one of its own.
pub(crate) fn run_waker(bell: &Arc<Bell>, run: u32) -> Waker {
    Waker::from(Arc::new(RunBell { bell: Arc::clone(bell), run }))
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use buttress_testkit::waker::CountingWaker;

    #[test]
    fn what_rings_before_the_driver_sleeps_keeps_it_awake() {
        let (bell, driver) = (Arc::new(Bell::new()), CountingWaker::new());
        run_waker(&bell, 70).wake();
        assert!(!bell.sleep(driver.waker()));
        let mut woken = vec![];
        bell.answer(&mut woken);
        assert_eq!((woken, driver.wakes()), (vec![0, 1 << 6], 0));
        assert!(bell.sleep(driver.waker()));
    }

    #[test]
    fn what_rings_while_the_driver_sleeps_wakes_it_once() {
        let (bell, driver) = (Arc::new(Bell::new()), CountingWaker::new());
        assert!(bell.sleep(driver.waker()));
        bell.ring();
        run_waker(&bell, 0).wake_by_ref();
        assert_eq!(driver.wakes(), 1);
        assert!(!bell.sleep(driver.waker()), "it has not looked yet");
    }
}
