//! Rows that say what things cost that every layer is made of.

use crate::{Contender, Failed, Fails, Inner};
use buttress_core::{Error, Histogram};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tower::{Service, service_fn};

/// The inner service by itself: what the loop costs.
pub const BARE: &str = "bare service";

/// [`BARE`], and that with one thing more: an error that has room for a refusal, a boxed future, a clock read, a shared counter, a shared
/// histogram, and one `Arc` held by every future, which is what `Lanes` avoids.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        bare(),
        Contender::new("bare, Error<E>", || Inner::<Error<Failed>>::new(Fails::Never)),
        Contender::new("boxed future", || {
            let mut inner = inner();
            service_fn(move |request| Box::pin(inner.call(request)))
        }),
        Contender::new("clock", || {
            let mut inner = inner();
            service_fn(move |request| {
                black_box(Instant::now());
                inner.call(request)
            })
        }),
        Contender::new("fetch_add", || {
            let (mut inner, count) = (inner(), Arc::new(AtomicU64::new(0)));
            service_fn(move |request| {
                count.fetch_add(1, Ordering::Relaxed);
                inner.call(request)
            })
        }),
        histogram(),
        Contender::new("one shared Arc", || {
            let (mut inner, shared) = (inner(), Arc::new([0_u64; 32]));
            service_fn(move |request| {
                let (answer, shared) = (inner.call(request), Arc::clone(&shared));
                async move {
                    let answer = answer.await;
                    drop(black_box(shared));
                    answer
                }
            })
        }),
    ]
}

/// The inner service by itself.
#[must_use]
pub fn bare() -> Contender {
    Contender::new(BARE, inner)
}

/// [`BARE`], and a duration recorded, of any length up to an hour.
#[must_use]
pub fn histogram() -> Contender {
    Contender::new("histogram: record", || {
        let (mut inner, histogram) = (inner(), Arc::new(Histogram::new()));
        service_fn(move |request: u64| {
            // Odd, so that it turns over all bits; the low digits of the request choose the octave.
            let any = request.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            histogram.record(Duration::from_nanos(any >> (22 + request % 32)));
            inner.call(request)
        })
    })
}

fn inner() -> Inner<Failed> {
    Inner::new(Fails::Never)
}
