//! Requests and bodies that end as few do.

use crate::rows::{Rows, Value};
use buttress_core::{Error, Metric, Name};
use buttress_metrics::expose::Scrape;
use buttress_metrics::http::{Config, HttpMetricsLayer};
use buttress_metrics::{MetricsLayer, Registry, TraceId};
use buttress_testkit::alloc;
use buttress_testkit::waker::CountingWaker;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tower::{Layer, Service, ServiceExt, service_fn};

const DURATION: &str = "http_server_request_duration_seconds";

/// A body that does not say when it ends: a piece, another, and trailers.
#[derive(Clone, Default)]
pub(crate) struct Untold(u8);

impl http_body::Body for Untold {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 | 2 => Some(Ok(Frame::data(Bytes::from_static(b"piece")))),
            3 => Some(Ok(Frame::trailers(HeaderMap::new()))),
            _ => None,
        })
    }
}

/// The outcomes of all calls that a family has counted, and how many run by its gauge.
fn ended(registry: &Registry, family: &str, gauge: &str) -> (Vec<String>, f64) {
    let rows = Rows::of(registry);
    let outcomes = rows.series(family).flat_map(|row| {
        let Value::Histogram(took) = &row.value else { panic!("{row:?}") };
        let outcome = row.labels.split(',').find_map(|label| label.strip_prefix("outcome=")).unwrap();
        std::iter::repeat_n(outcome.to_owned(), took.count() as usize)
    });
    let running = rows.series(gauge).map(|row| match row.value {
        Value::Gauge(running) => running,
        ref other => panic!("{other:?}"),
    });
    (outcomes.collect(), running.sum())
}

async fn outcome(method: Method, status: u16, frames: usize) -> String {
    let registry = Registry::new();
    let layer = HttpMetricsLayer::server(Config::default(), &registry).unwrap();
    let service = layer.layer(service_fn(move |_: Request<Empty<Bytes>>| async move {
        Ok::<_, Infallible>(Response::builder().status(status).body(Untold::default()).unwrap())
    }));
    let request = Request::builder().method(method).uri("a.test:80").body(Empty::new()).unwrap();
    let mut body = service.oneshot(request).await.unwrap().into_body();
    for _ in 0..frames {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    let (outcomes, running) = ended(&registry, DURATION, "http_server_active_requests");
    assert_eq!((outcomes.len(), running), (1, 0.0));
    outcomes.concat()
}

#[tokio::test]
async fn a_body_ends_with_its_trailers() {
    assert_eq!(outcome(Method::GET, 200, 2).await, "cancelled");
    assert_eq!(outcome(Method::GET, 200, 3).await, "ok", "a server asks for nothing after them");
}

#[tokio::test]
async fn a_body_that_is_not_to_be_sent_is_not_missed_if_some_of_it_was_read() {
    assert_eq!(outcome(Method::HEAD, 200, 1).await, "ok");
    assert_eq!(outcome(Method::GET, 304, 1).await, "ok");
}

#[tokio::test]
async fn a_tunnel_that_is_opened_has_no_body() {
    assert_eq!(outcome(Method::CONNECT, 200, 0).await, "ok");
    assert_eq!(outcome(Method::CONNECT, 502, 0).await, "cancelled", "one that is refused has");
}

#[test]
fn a_closure_that_panics_is_counted_as_a_call_that_has() {
    let panicking = || -> Option<TraceId> { resume_unwind(Box::new("as scripted")) };
    let registry = Registry::new();
    let layer = || HttpMetricsLayer::server(Config::default(), &registry).unwrap();
    let handler = service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let get = || Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let mut routed = layer()
        .route(|_: &Request<Empty<Bytes>>| -> Option<&str> { resume_unwind(Box::new("as scripted")) })
        .layer(handler);
    let mut traced = layer().exemplars(move |_: &Request<Empty<Bytes>>| panicking()).layer(handler);
    catch_unwind(AssertUnwindSafe(|| drop(routed.call(get())))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(traced.call(get())))).unwrap_err();
    let ended_now = ended(&registry, DURATION, "http_server_active_requests");
    assert_eq!(ended_now, (vec!["panicked".to_owned(); 2], 0.0));

    let layer = || MetricsLayer::new("store", buttress_metrics::Config::default(), &registry).unwrap();
    let inner = service_fn(|(): ()| async { Ok::<_, Error<std::fmt::Error>>(()) });
    let mut named =
        layer().operation(|(): &()| -> Option<&str> { resume_unwind(Box::new("as scripted")) }).layer(inner);
    let mut traced = layer().exemplars(move |(): &()| panicking()).layer(inner);
    catch_unwind(AssertUnwindSafe(|| drop(named.call(())))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(traced.call(())))).unwrap_err();
    let ended_now = ended(&registry, "service_request_duration_seconds", "service_requests_in_flight");
    assert_eq!(ended_now, (vec!["panicked".to_owned(); 2], 0.0));
}

#[tokio::test]
async fn a_client_s_address_is_one_however_it_is_written() {
    let registry = Registry::new();
    let layer = HttpMetricsLayer::client(Config::default(), &registry).unwrap();
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    for uri in [
        "http://a.test/",
        "http://A.Test/",
        "http://user:PW@A.TEST:8080/",
        "http://[::1]/",
        "http://[FE80::1]:8080/",
        "http://[fe80::1]:8080/",
        "http://127.0.0.1/",
        "/",
    ] {
        let request = Request::get(uri).body(Empty::new()).unwrap();
        drop(service.clone().oneshot(request).await.unwrap());
    }
    let rows = Rows::of(&registry);
    for family in ["http_client_request_duration_seconds", "http_client_active_requests"] {
        let addresses = rows.series(family).map(|row| row.labels.split(",http_").next().unwrap());
        let expected = [
            "server_port=80",
            "server_address=127.0.0.1,server_port=80",
            "server_address=::1,server_port=80",
            "server_address=a.test,server_port=80",
            "server_address=a.test,server_port=8080",
            "server_address=fe80::1,server_port=8080",
        ];
        assert_eq!(addresses.collect::<Vec<_>>(), expected, "{family}");
    }
}

#[test]
fn an_address_that_is_lower_case_takes_no_allocation() {
    let layer = HttpMetricsLayer::client(Config::default(), &Registry::new()).unwrap();
    let mut service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    let waker = CountingWaker::new();
    for uri in ["http://a.test:8080/", "http://[fe80::1]/"] {
        let mut allocations = || {
            let request = Request::get(uri).body(Empty::new()).unwrap();
            let ask = || drop(pin!(service.call(request)).poll(&mut waker.context()));
            alloc::count(ask).1.allocations
        };
        allocations(); // its series are made
        assert_eq!(allocations(), 0, "{uri}");
    }
}

#[tokio::test]
async fn whoever_refuses_plain_text_gets_gzip_however_short_it_is() {
    for (accept, is_gzip) in [
        ("gzip, identity;q=0", true),
        ("gzip, *;q=0", true),
        ("gzip, *;q=0, identity;q=0.1", false),
        ("gzip", false),
        ("identity;q=0", false), // there is nothing that it takes
    ] {
        let request = Request::get("/metrics").header("accept-encoding", accept).body(()).unwrap();
        let response = Scrape::new(&Registry::new()).oneshot(request).await.unwrap();
        assert_eq!(response.headers().contains_key("content-encoding"), is_gzip, "{accept}");
    }
}

#[test]
fn a_layer_that_could_not_be_made_has_kept_no_name_of_http() {
    for (taken, body_sizes) in [("active_requests", false), ("response_body_size_bytes", true)] {
        let registry = Registry::new();
        let metric =
            |name| Metric { name: Name::new(&format!("http_server_{name}")).as_str(), unit: "", help: "" };
        registry.gauge(&metric(taken)).unwrap();
        let layer =
            |body_sizes| HttpMetricsLayer::server(Config::default().body_sizes(body_sizes), &registry);
        layer(body_sizes).unwrap_err();
        if body_sizes {
            layer(false).unwrap();
            layer(true).unwrap_err();
        } else {
            registry.gauge(&metric("request_duration_seconds")).unwrap();
        }
        registry.gauge(&metric("request_body_size_bytes")).unwrap();
    }
}
