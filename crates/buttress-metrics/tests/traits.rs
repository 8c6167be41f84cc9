//! Promises of the types: auto traits, and that everything can be printed.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_metrics::future::ResponseFuture;
use buttress_metrics::{
    Bucket, Buckets, Collector, Config, Counter, Description, Dropped, Errors, Event, Exemplar, Family,
    Gauge, Held, Histogram, Measured, MetricsLayer, Open, OpenFamily, Outcome, RegisterError, Registry,
    Snapshot, Timer, TraceId,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe};
use std::future::Ready;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::Duration;

assert_impl_all!(Registry: Send, Sync, Unpin, Clone);
assert_impl_all!(Counter: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Gauge: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Histogram: Send, Sync, Unpin, Clone);
assert_impl_all!(Histogram<u64>: Send, Sync, Unpin, Clone);
assert_impl_all!(Histogram<f64>: Send, Sync, Unpin, Clone);
assert_impl_all!(Family<Counter, Outcome>: Send, Sync, Unpin, Clone);
assert_impl_all!(OpenFamily<Histogram, 2, Outcome>: Send, Sync, Unpin, Clone);
assert_impl_all!(Held: Send, Sync, Unpin);
assert_impl_all!(Timer: Send, Sync, Unpin);
assert_impl_all!(MetricsLayer: Send, Sync, Unpin, Clone);
assert_impl_all!(Measured<()>: Send, Sync, Unpin, Clone);
assert_impl_all!(ResponseFuture<Ready<()>, Errors>: Send, Sync, Unpin);
assert_not_impl_any!(Measured<Rc<()>>: Send);
assert_not_impl_any!(ResponseFuture<Ready<Rc<()>>, Errors>: Send);
assert_impl_all!(Config: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Buckets<Duration>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Open<1>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Outcome: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Dropped: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(TraceId: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Event: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Snapshot: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(Bucket: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Exemplar: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Copy);
assert_impl_all!(Description: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
assert_impl_all!(RegisterError: Send, Sync, Unpin, Clone, std::error::Error);
assert_obj_safe!(Collector);

#[test]
fn the_future_is_no_larger_than_a_call_needs() {
    // A lane, a place, a start and a trace beside the inner future.
    let own = size_of::<ResponseFuture<[u64; 16], Errors>>() - 128;
    assert!(own <= 48, "{own}");
}

#[test]
fn everything_can_be_printed() {
    let registry = Registry::new();
    let layer = MetricsLayer::new("printed", Config::default(), &registry).unwrap();
    let printed = format!("{registry:?} {layer:?}");
    assert!(printed.contains("service_request_duration_seconds") && printed.contains("printed"), "{printed}");
}

#[cfg(feature = "http")]
mod http {
    use super::*;
    use buttress_metrics::expose::{self, Scrape};
    use buttress_metrics::http::{self, Counted, HttpMeasured, HttpMetricsLayer, RequestBody, Statuses};

    assert_impl_all!(HttpMetricsLayer: Send, Sync, Unpin, Clone);
    assert_impl_all!(HttpMeasured<()>: Send, Sync, Unpin, Clone);
    assert_impl_all!(http::future::ResponseFuture<Ready<()>, Statuses>: Send, Sync, Unpin);
    assert_impl_all!(http::Body<Vec<u8>>: Send, Sync, Unpin);
    assert_impl_all!(HttpMetricsLayer<(), Statuses, (), Counted>: Send, Sync, Unpin, Clone);
    assert_impl_all!(http::future::ResponseFuture<Ready<()>, Statuses, Counted>: Send, Sync, Unpin);
    assert_impl_all!(http::Body<Vec<u8>, Counted>: Send, Sync, Unpin);
    assert_impl_all!(RequestBody<Vec<u8>>: Send, Sync, Unpin);
    assert_not_impl_any!(RequestBody<Rc<()>>: Send);
    assert_impl_all!(http::Config: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone);
    assert_impl_all!(Scrape: Send, Sync, Unpin, Clone);
    assert_impl_all!(expose::Body: Send, Sync, Unpin);
    assert_not_impl_any!(HttpMeasured<Rc<()>>: Send);

    #[test]
    fn what_goes_along_with_a_request_is_small() {
        let future = size_of::<http::future::ResponseFuture<[u64; 16], Statuses>>() - 128;
        assert!(future <= 80, "{future}");
        let body = size_of::<http::Body<[u64; 16]>>() - 128;
        assert!(body <= 80, "{body}");
        let counted = size_of::<http::Body<[u64; 16], Counted>>() - 128;
        assert!(counted <= 96, "{counted}");
    }
}
