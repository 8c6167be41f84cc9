//! The futures of the batches that run.

use crate::bell::{Bell, run_waker};
use crate::guard::guarded;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Places that batches run in, one after the other: each has one allocation and one waker for all of them.
pub(crate) struct Running<F> {
    places: Vec<Place<F>>,
    bell: Arc<Bell>,
}

struct Place<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

impl<F> Running<F> {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { places: Vec::new(), bell }
    }

    pub(crate) fn put(&mut self, run: u32, future: F) {
        while self.places.len() <= run as usize {
            let waker = run_waker(&self.bell, self.places.len() as u32);
            self.places.push(Place { future: Box::pin(None), waker });
        }
        self.places[run as usize].future.set(Some(future));
    }

    /// Polls what runs in a place, with the place's own waker. What has ended is dropped. `None` if nothing runs there.
    pub(crate) fn poll(&mut self, run: u32) -> Option<Poll<Ended<F::Output>>>
    where
        F: Future,
    {
        let Place { future, waker } = self.places.get_mut(run as usize)?;
        let running = future.as_mut().as_pin_mut()?;
        let ended = match guarded(|| running.poll(&mut Context::from_waker(waker))) {
            Some(Poll::Pending) => return Some(Poll::Pending),
            Some(Poll::Ready(output)) => Ended::With(output),
            None => Ended::Panicked,
        };
        Self::clear(future);
        Some(Poll::Ready(ended))
    }

    /// Drops all that runs.
    pub(crate) fn clear_all(&mut self) {
        self.places.iter_mut().for_each(|place| Self::clear(&mut place.future));
    }

    fn clear(future: &mut Pin<Box<Option<F>>>) {
        // The place is empty afterwards even if the drop panics.
        let _ = guarded(|| future.set(None));
    }
}

/// How a batch has ended.
pub(crate) enum Ended<T> {
    With(T),
    Panicked,
}
