//! HTTP requests, from their heads to the ends of their bodies.

use crate::rows::{Rows, Value};
use buttress_core::{Error, Reason, Rejected};
use buttress_metrics::expose::Format;
use buttress_metrics::http::{Config, HttpMetricsLayer, Scheme};
use buttress_metrics::{RegisterError, Registry, TraceId};
use buttress_testkit::waker::CountingWaker;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<fmt::Error>;

const DURATION: &str = "http_server_request_duration_seconds";

/// What one step of a body is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Wait,
    Chunk(&'static str),
    Fail,
    Panic,
}

/// A body that does what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) steps: Vec<Step>,
    pub(crate) at: usize,
    /// Whether it says how long it is, and when it ends.
    pub(crate) tells: bool,
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = fmt::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, fmt::Error>>> {
        let step = self.steps.get(self.at).copied();
        self.at += 1;
        match step {
            None => Poll::Ready(None),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Chunk(chunk)) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
            }
            Some(Step::Fail) => Poll::Ready(Some(Err(fmt::Error))),
            Some(Step::Panic) => resume_unwind(Box::new("as scripted")),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.tells && self.at >= self.steps.len()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.tells {
            return SizeHint::default();
        }
        let left = self.steps.iter().skip(self.at);
        let bytes = left.map(|step| if let Step::Chunk(chunk) = step { chunk.len() as u64 } else { 0 });
        SizeHint::with_exact(bytes.sum())
    }
}

fn server(registry: &Registry) -> HttpMetricsLayer {
    HttpMetricsLayer::server(Config::default(), registry).unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// The counts of a histogram by labels.
fn counts(registry: &Registry, name: &str) -> Vec<(String, u64)> {
    let rows = Rows::of(registry);
    let counts = rows.series(name).map(|row| match &row.value {
        Value::Histogram(snapshot) => (row.labels.clone(), snapshot.count()),
        other => panic!("{other:?}"),
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The outcomes of all requests, each as often as there was one.
fn outcomes(registry: &Registry) -> Vec<String> {
    let all = counts(registry, DURATION);
    let each = all.iter().flat_map(|(labels, count)| {
        let outcome = labels.split(',').find_map(|label| label.strip_prefix("outcome="));
        std::iter::repeat_n(outcome.unwrap().to_owned(), *count as usize)
    });
    each.collect()
}

pub(crate) fn active(registry: &Registry) -> f64 {
    let rows = Rows::of(registry);
    let active = rows.series("http_server_active_requests").map(|row| match row.value {
        Value::Gauge(active) => active,
        ref other => panic!("{other:?}"),
    });
    active.sum()
}

async fn answer(status: u16) -> Result<Response<Full<Bytes>>, TestError> {
    Ok(Response::builder().status(status).body(Full::from("body")).unwrap())
}

#[tokio::test]
async fn each_end_has_its_outcome_and_its_error_type() {
    const GET: &str = "http_request_method=GET,url_scheme=http";
    let refused = |reason| Err(Rejected::new("pool", "db".into(), reason).into());
    for (result, labels) in [
        (Ok(200), "http_response_status_code=200,outcome=ok"),
        (Ok(304), "http_response_status_code=304,outcome=ok"),
        (Ok(404), "http_response_status_code=404,outcome=client_error"),
        (Ok(429), "http_response_status_code=429,outcome=client_error"),
        (Ok(503), "http_response_status_code=503,outcome=server_error,error_type=503"),
        (Ok(598), "http_response_status_code=5xx,outcome=server_error,error_type=5xx"),
        (Err(Error::Inner(fmt::Error)), "outcome=error,error_type=_OTHER"),
        (refused(Reason::Unavailable), "outcome=rejected,error_type=rejected"),
        (refused(Reason::TimedOut), "outcome=timeout,error_type=timeout"),
    ] {
        let registry = Registry::new();
        let service = server(&registry)
            .layer(service_fn(move |_: Request<Empty<Bytes>>| async move { answer(result?).await }));
        if let Ok(response) = service.oneshot(get("/")).await {
            response.into_body().collect().await.unwrap();
        }
        assert_eq!(counts(&registry, DURATION), [(format!("{GET},{labels}"), 1)]);
        assert_eq!(active(&registry), 0.0);
    }
}

#[tokio::test]
async fn ten_thousand_paths_that_no_route_matches_are_one_series() {
    let registry = Registry::new();
    let layer = server(&registry).route(|request: &Request<Empty<Bytes>>| {
        request.uri().path().starts_with("/items/").then_some("/items/{id}")
    });
    let service = layer.layer(service_fn(|_| answer(404)));
    let mut length = 0;
    for n in 0..10_000 {
        let response = service.clone().oneshot(get(&format!("/scan/{n}"))).await.unwrap();
        response.into_body().collect().await.unwrap();
        if n == 0 {
            length = registry.encode(Format::Text).len();
        }
    }
    let response = service.oneshot(get("/items/7")).await.unwrap();
    response.into_body().collect().await.unwrap();
    let labels: Vec<_> = counts(&registry, DURATION).into_iter().collect();
    assert_eq!((labels.len(), labels[0].1), (2, 10_000), "{labels:?}");
    assert!(!labels[0].0.contains("http_route") && labels[1].0.starts_with("http_route=/items/{id},"));
    // As much, with a few digits more and one series beside it.
    assert!(registry.encode(Format::Text).len() < 3 * length);
}

#[tokio::test]
async fn a_request_that_is_dropped_at_any_poll_of_its_future_or_its_body_is_cancelled_once() {
    const STEPS: [Step; 5] = [Step::Wait, Step::Chunk("some"), Step::Wait, Step::Chunk("more"), Step::Wait];
    // Two polls to the head, then one for each step, and one to the end.
    let whole = 2 + STEPS.len() + 1;
    for polls in 0..=whole {
        let registry = Registry::new();
        let mut service = server(&registry).layer(service_fn(|_: Request<Empty<Bytes>>| {
            let mut waited = false;
            poll_fn(move |cx| {
                if std::mem::replace(&mut waited, true) {
                    let body = Scripted { steps: STEPS.to_vec(), at: 0, tells: false };
                    return Poll::Ready(Ok::<_, TestError>(Response::new(body)));
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }));
        let waker = CountingWaker::new();
        let mut cx = waker.context();
        {
            let mut call = pin!(service.call(get("/")));
            let head = (0..polls.min(2)).find_map(|_| match call.as_mut().poll(&mut cx) {
                Poll::Ready(response) => Some(response.unwrap()),
                Poll::Pending => None,
            });
            assert_eq!((head.is_some(), active(&registry)), (polls >= 2, 1.0));
            if let Some(response) = head {
                let mut body = pin!(response.into_body());
                for _ in 2..polls {
                    assert_eq!(active(&registry), 1.0);
                    let _ = body.as_mut().poll_frame(&mut cx);
                }
            }
        }
        let outcome = if polls == whole { "ok" } else { "cancelled" };
        assert_eq!(outcomes(&registry), [outcome], "after {polls} polls");
        assert_eq!(active(&registry), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn seven_that_leave_before_the_head_and_three_in_the_body_are_ten_cancelled() {
    let registry = Registry::new();
    let service = server(&registry).layer(service_fn(|request: Request<Empty<Bytes>>| async move {
        if request.uri().path() == "/slow" {
            sleep(Duration::from_secs(3600)).await;
        }
        let steps = vec![Step::Chunk("first"), Step::Chunk("second")];
        Ok::<_, TestError>(Response::new(Scripted { steps, at: 0, tells: false }))
    }));
    let mut leaving = Vec::new();
    for _ in 0..7 {
        let mut service = service.clone();
        leaving.push(Box::pin(async move { service.call(get("/slow")).await }));
    }
    let waker = CountingWaker::new();
    for call in &mut leaving {
        assert!(call.as_mut().poll(&mut waker.context()).is_pending());
    }
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let mut body = service.clone().oneshot(get("/fast")).await.unwrap().into_body();
        assert!(body.frame().await.is_some());
        bodies.push(body);
    }
    assert_eq!(active(&registry), 10.0);
    tokio::time::advance(Duration::from_secs(2)).await;
    drop((leaving, bodies));
    assert_eq!((active(&registry), outcomes(&registry)), (0.0, vec!["cancelled".to_owned(); 10]));
    let rows = Rows::of(&registry);
    let sums = rows.series(DURATION).map(|row| match &row.value {
        Value::Histogram(took) => took.sum(),
        other => panic!("{other:?}"),
    });
    assert_eq!(sums.sum::<f64>(), 20.0, "each took the two seconds, once");
}

#[tokio::test]
async fn a_panic_of_the_handler_or_of_the_body_is_counted_and_one_that_is_caught_is_a_500() {
    let waker = CountingWaker::new();
    let registry = Registry::new();
    let mut in_call = server(&registry).layer(service_fn(
        |_: Request<Empty<Bytes>>| -> std::future::Ready<Result<Response<Scripted>, TestError>> {
            resume_unwind(Box::new("as scripted"))
        },
    ));
    catch_unwind(AssertUnwindSafe(|| drop(in_call.call(get("/"))))).unwrap_err();

    let mut in_poll = server(&registry).layer(service_fn(|_: Request<Empty<Bytes>>| {
        poll_fn(|_| -> Poll<Result<Response<Scripted>, TestError>> { resume_unwind(Box::new("as scripted")) })
    }));
    let poll = || pin!(in_poll.call(get("/"))).poll(&mut waker.context());
    catch_unwind(AssertUnwindSafe(poll)).unwrap_err();

    let steps = vec![Step::Chunk("some"), Step::Panic];
    let body = Scripted { steps, at: 0, tells: false };
    let in_body = server(&registry).layer(service_fn(move |_: Request<Empty<Bytes>>| {
        let body = body.clone();
        async move { Ok::<_, TestError>(Response::new(body)) }
    }));
    let mut body = in_body.oneshot(get("/")).await.unwrap().into_body();
    assert!(body.frame().await.is_some());
    let poll = || pin!(body).poll_frame(&mut waker.context());
    catch_unwind(AssertUnwindSafe(poll)).unwrap_err();
    assert_eq!((outcomes(&registry), active(&registry)), (vec!["panicked".to_owned(); 3], 0.0));

    let caught = Registry::new();
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        // What a layer that catches panics answers.
        let panicked = catch_unwind(|| resume_unwind(Box::new("as scripted")));
        answer(if panicked.is_err() { 500 } else { 200 }).await
    });
    let response = server(&caught).layer(inner).oneshot(get("/")).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!((outcomes(&caught), active(&caught)), (vec!["server_error".to_owned()], 0.0));
}

#[tokio::test]
async fn a_body_that_fails_is_an_error_whatever_its_status() {
    let registry = Registry::new();
    let steps = vec![Step::Chunk("some"), Step::Fail];
    let body = Scripted { steps, at: 0, tells: false };
    let service = server(&registry).layer(service_fn(move |_: Request<Empty<Bytes>>| {
        let body = body.clone();
        async move { Ok::<_, TestError>(Response::new(body)) }
    }));
    assert!(service.oneshot(get("/")).await.unwrap().into_body().collect().await.is_err());
    let labels = &counts(&registry, DURATION)[0].0;
    assert!(labels.ends_with("http_response_status_code=200,outcome=error,error_type=_OTHER"), "{labels}");
    assert_eq!(active(&registry), 0.0);
}

#[tokio::test]
async fn a_body_that_nobody_reads_to_its_end_is_whole_if_there_is_nothing_left_of_it() {
    let chunks = vec![Step::Chunk("some"), Step::Chunk("more")];
    for (method, status, tells, frames, outcome) in [
        (Method::GET, 200, true, 2, "ok"), // a server stops when it has sent what was promised
        (Method::GET, 200, true, 1, "cancelled"),
        (Method::GET, 200, false, 2, "cancelled"), // for all that it knows there is more
        (Method::HEAD, 200, true, 0, "ok"),
        (Method::HEAD, 404, false, 0, "client_error"),
        (Method::GET, 204, false, 0, "ok"),
        (Method::GET, 304, false, 0, "ok"),
        (Method::GET, 101, false, 0, "ok"),
        (Method::GET, 200, false, 0, "cancelled"),
    ] {
        let registry = Registry::new();
        let body = Scripted { steps: chunks.clone(), at: 0, tells };
        let service = server(&registry).layer(service_fn(move |_: Request<Empty<Bytes>>| {
            let response = Response::builder().status(status).body(body.clone()).unwrap();
            async move { Ok::<_, TestError>(response) }
        }));
        let request = Request::builder().method(method.clone()).body(Empty::new()).unwrap();
        let mut body = service.oneshot(request).await.unwrap().into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(outcomes(&registry), [outcome], "{method} {status}, {frames} frames");
        assert_eq!(active(&registry), 0.0);
    }
    // An empty one has ended with its head: no server asks it for more.
    let registry = Registry::new();
    let service = server(&registry).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, TestError>(Response::new(Empty::<Bytes>::new()))
    }));
    drop(service.oneshot(get("/")).await.unwrap());
    assert_eq!(outcomes(&registry), ["ok"]);
}

#[tokio::test]
async fn a_body_is_measured_once_however_many_pieces_it_comes_in() {
    const RESPONSE: &str = "http_server_response_body_size_bytes";
    const REQUEST: &str = "http_server_request_body_size_bytes";
    let registry = Registry::new();
    let layer = HttpMetricsLayer::server(Config::default().body_sizes(true), &registry).unwrap();
    let body = Scripted { steps: vec![Step::Chunk("12345"); 100], at: 0, tells: false };
    let answer = Response::new(body);
    let sizes = |name: &str| match Rows::of(&registry).series(name).next().map(|row| row.value.clone()) {
        Some(Value::Histogram(sizes)) => (sizes.count(), sizes.sum()),
        _ => (0, 0.0),
    };
    let service = |answer: Response<Scripted>| {
        layer.layer(service_fn(move |_: Request<Scripted>| {
            let answer = answer.clone();
            async move { Ok::<_, TestError>(answer) }
        }))
    };
    let sent = Scripted { steps: vec![Step::Chunk("question")], at: 0, tells: true };
    let response = service(answer.clone()).oneshot(Request::new(sent)).await.unwrap();
    assert_eq!((sizes(RESPONSE), sizes(REQUEST)), ((0, 0.0), (0, 0.0)), "not before it ends");
    response.into_body().collect().await.unwrap();
    assert_eq!((sizes(RESPONSE), sizes(REQUEST)), ((1, 500.0), (1, 8.0)));

    // Of a request that does not say how long it is nothing is known; of a response that is broken off, what was sent.
    let mut body = service(answer).oneshot(Request::new(Scripted::default())).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let cancelled = Rows::of(&registry);
    let cancelled = cancelled.series(RESPONSE).find(|row| row.labels.contains("cancelled")).unwrap();
    let Value::Histogram(size) = &cancelled.value else { panic!("{cancelled:?}") };
    assert_eq!((size.count(), size.sum(), sizes(REQUEST)), (1, 5.0, (1, 8.0)));

    let plain = Registry::new();
    let without = server(&plain).layer(service_fn(|_: Request<Empty<Bytes>>| self::answer(200)));
    without.oneshot(get("/")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(Rows::of(&plain).series(RESPONSE).count(), 0, "only if they are wanted");
}

#[tokio::test]
async fn methods_schemes_and_traces_are_read_from_the_request() {
    let registry = Registry::new();
    let traced = |request: &Request<Empty<Bytes>>| {
        TraceId::from_traceparent(request.headers().get("traceparent")?.to_str().ok()?)
    };
    let layer = HttpMetricsLayer::server(Config::default().scheme(Scheme::Https), &registry).unwrap();
    let service = layer.exemplars(traced).layer(service_fn(|_| answer(200)));
    for (method, uri) in [("PROPFIND", "/"), ("get", "http://a.test/"), ("GET", "/")] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .body(Empty::new())
            .unwrap();
        service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    }
    let labels: Vec<_> = counts(&registry, DURATION).into_iter().map(|(labels, _)| labels).collect();
    let expected = ["GET,url_scheme=https", "_OTHER,url_scheme=http", "_OTHER,url_scheme=https"];
    let expected = expected
        .map(|labels| format!("http_request_method={labels},http_response_status_code=200,outcome=ok"));
    assert_eq!(labels, expected);
    let text = registry.encode(Format::OpenMetrics);
    assert!(text.contains(" # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} "), "{text}");
}

#[tokio::test]
async fn a_client_s_requests_are_told_apart_by_address() {
    let registry = Registry::new();
    let layer = HttpMetricsLayer::client(Config::default().cap(2), &registry).unwrap();
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| answer(404)));
    for uri in ["http://a.test/1", "http://user:pw@a.test:8080/2", "https://a.test/3", "/4"] {
        service.clone().oneshot(get(uri)).await.unwrap().into_body().collect().await.unwrap();
    }
    let labels: Vec<_> = counts(&registry, "http_client_request_duration_seconds");
    let rest = "http_request_method=GET";
    let ended = "http_response_status_code=404,outcome=client_error,error_type=404";
    let expected = [
        (format!("server_address=a.test,server_port=80,{rest},url_scheme=http,{ended}"), 1),
        (format!("server_address=a.test,server_port=8080,{rest},url_scheme=http,{ended}"), 1),
        (format!("server_address=_overflow,server_port=_overflow,{rest},url_scheme=http,{ended}"), 1),
        (format!("server_address=_overflow,server_port=_overflow,{rest},url_scheme=https,{ended}"), 1),
    ];
    assert_eq!(labels, expected);
    let rows = Rows::of(&registry);
    assert!(rows.series("http_client_active_requests").all(|row| row.value == Value::Gauge(0.0)));
}

#[tokio::test]
async fn servers_of_one_registry_are_counted_as_one() {
    let registry = Registry::new();
    for body_sizes in [false, true, true] {
        let layer = HttpMetricsLayer::server(Config::default().body_sizes(body_sizes), &registry).unwrap();
        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| answer(200)));
        service.oneshot(get("/")).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(counts(&registry, DURATION)[0].1, 3);
    assert_eq!(counts(&registry, "http_server_response_body_size_bytes")[0].1, 2);
    let taken = HttpMetricsLayer::server(Config::default().cap(7), &registry).unwrap_err();
    assert_eq!(taken, RegisterError::Taken { name: DURATION.into(), by: DURATION.into() });
    let active = HttpMetricsLayer::client(Config::default(), &registry);
    assert!(active.is_ok(), "a client is another thing");
}

#[tokio::test]
async fn a_given_function_may_say_otherwise() {
    let registry = Registry::new();
    let layer = server(&registry).judge(|result: Result<&Response<Full<Bytes>>, &TestError>| match result {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => buttress_metrics::Outcome::Ok,
        _ => buttress_metrics::Outcome::Error,
    });
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| answer(404)));
    service.oneshot(get("/")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(outcomes(&registry), ["ok"]);
}
