//! How large the bodies of requests are, also of those that do not say it.

use crate::http::{Scripted, Step};
use crate::http_edges::Untold;
use crate::rows::{Rows, Value};
use buttress_metrics::http::{Config, Counted, HttpMetricsLayer, RequestBody, Statuses};
use buttress_metrics::{Registry, TraceId};
use buttress_testkit::alloc;
use buttress_testkit::waker::CountingWaker;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

const REQUEST: &str = "http_server_request_body_size_bytes";
const STEPS: [Step; 4] = [Step::Chunk("12345"), Step::Wait, Step::Chunk("678"), Step::Wait];

type Asked = Request<RequestBody<Scripted>>;
type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn counting(registry: &Registry) -> HttpMetricsLayer<(), Statuses, (), Counted> {
    let config = Config::default().body_sizes(true);
    HttpMetricsLayer::server(config, registry).unwrap().count_request_bodies()
}

fn scripted(steps: &[Step], tells: bool) -> Scripted {
    Scripted { steps: steps.to_vec(), at: 0, tells }
}

/// An answer without a body: the exchange ends with its head.
fn done() -> Answer {
    Ok(Response::builder().status(204).body(Full::default()).unwrap())
}

/// The size of each request's body, with the labels that it is counted under.
fn sizes(registry: &Registry) -> Vec<(String, f64)> {
    let rows = Rows::of(registry);
    let sizes = rows.series(REQUEST).flat_map(|row| match &row.value {
        Value::Histogram(sizes) => {
            assert!(sizes.count() <= 1, "{row:?}");
            (sizes.count() > 0).then(|| (row.labels.clone(), sizes.sum()))
        }
        other => panic!("{other:?}"),
    });
    sizes.collect()
}

/// The only one.
fn size(registry: &Registry) -> f64 {
    match &sizes(registry)[..] {
        [(_, size)] => *size,
        other => panic!("there is one size for each body: {other:?}"),
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_its_length_is_as_large_as_what_was_read_of_it() {
    const FAILS: [Step; 3] = [Step::Chunk("12345"), Step::Fail, Step::Chunk("678")];
    for (steps, tells, frames, expected) in [
        (&STEPS[..], false, 5, 8.0),
        (&STEPS, false, 1, 5.0),
        (&STEPS, false, 0, 0.0),
        (&FAILS, false, 2, 5.0),
        (&[], false, 1, 0.0),
        // Who says it is believed, as without the count.
        (&STEPS, true, 5, 8.0),
        (&STEPS, true, 1, 8.0),
        (&STEPS, true, 0, 8.0),
        (&[], true, 1, 0.0),
    ] {
        let registry = Registry::new();
        let service = counting(&registry).layer(service_fn(move |request: Asked| async move {
            let mut body = request.into_body();
            for _ in 0..frames {
                let _ = body.frame().await;
            }
            done()
        }));
        service
            .oneshot(Request::new(scripted(steps, tells)))
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(size(&registry), expected, "{frames} frames of {steps:?}, which tells: {tells}");
    }
}

#[tokio::test]
async fn what_is_counted_has_the_labels_of_the_exchange() {
    let registry = Registry::new();
    let layer = counting(&registry).route(|_: &Request<Scripted>| Some("/upload")).boxed_errors();
    let service = layer.layer(service_fn(|request: Asked| async {
        request.into_body().collect().await?;
        Ok::<_, BoxError>(Response::builder().status(413).body(Full::<Bytes>::default()).unwrap())
    }));
    let request = Request::post("/upload").body(scripted(&STEPS, false)).unwrap();
    let response = service.oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let labels = "http_route=/upload,http_request_method=POST,url_scheme=http,\
                  http_response_status_code=413,outcome=client_error";
    assert_eq!(sizes(&registry), [(labels.to_owned(), 8.0)]);
}

#[test]
fn a_request_that_is_dropped_at_any_poll_has_a_size_once() {
    // The body's steps and its end, and then the answer.
    let read = [0.0, 5.0, 8.0, 8.0];
    for (polls, expected) in read.into_iter().enumerate() {
        let registry = Registry::new();
        let mut service = counting(&registry).layer(service_fn(|request: Asked| async {
            request.into_body().collect().await.unwrap();
            done()
        }));
        let waker = CountingWaker::new();
        {
            let mut call = pin!(service.call(Request::new(scripted(&STEPS, false))));
            for _ in 0..polls {
                let _ = call.as_mut().poll(&mut waker.context());
            }
        }
        assert_eq!(size(&registry), expected, "after {polls} polls");
    }
}

#[test]
fn a_request_that_panics_has_a_size_once() {
    let registries = [Registry::new(), Registry::new(), Registry::new()];
    let mut in_body = counting(&registries[0]).layer(service_fn(|request: Asked| async {
        request.into_body().collect().await.unwrap();
        done()
    }));
    let mut in_call = counting(&registries[1])
        .layer(service_fn(|_: Asked| -> Ready<Answer> { resume_unwind(Box::new("as scripted")) }));
    let mut before = counting(&registries[2])
        .exemplars(|_: &Request<Scripted>| -> Option<TraceId> { resume_unwind(Box::new("as scripted")) })
        .layer(service_fn(|_: Asked| ready(done())));
    let waker = CountingWaker::new();
    let request = || Request::new(scripted(&[Step::Chunk("12345"), Step::Panic], false));
    let poll = || drop(pin!(in_body.call(request())).poll(&mut waker.context()));
    catch_unwind(AssertUnwindSafe(poll)).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(in_call.call(request())))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(before.call(request())))).unwrap_err();
    assert_eq!(registries.each_ref().map(size), [5.0, 0.0, 0.0]);
}

#[tokio::test]
async fn what_is_read_after_the_exchange_has_ended_is_not_counted() {
    let registry = Registry::new();
    let kept = Arc::new(Mutex::new(None));
    let keeping = Arc::clone(&kept);
    let service = counting(&registry).layer(service_fn(move |request: Asked| {
        let keeping = Arc::clone(&keeping);
        async move {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            *keeping.lock() = Some(body);
            done()
        }
    }));
    let response = service.oneshot(Request::new(scripted(&STEPS, false))).await.unwrap();
    assert_eq!(sizes(&registry), [], "not before it ends");
    drop(response);
    assert_eq!(size(&registry), 5.0);
    let rest = kept.lock().take().unwrap();
    let rest = rest.collect().await.unwrap();
    assert_eq!((rest.to_bytes().len(), size(&registry)), (3, 5.0));
}

/// Reads a body beside one that is as it was before, and says of each frame what it was.
async fn beside<B>(mut counted: RequestBody<B>, mut bare: B) -> Vec<String>
where
    B: http_body::Body<Data = Bytes, Error: fmt::Debug> + Unpin,
{
    let mut frames = Vec::new();
    loop {
        assert_eq!(counted.is_end_stream(), bare.is_end_stream());
        assert_eq!(counted.size_hint().exact(), bare.size_hint().exact());
        let frame = counted.frame().await;
        assert_eq!(format!("{frame:?}"), format!("{:?}", bare.frame().await));
        frames.extend(frame.iter().map(|frame| format!("{frame:?}")));
        if frame.is_none() {
            return frames;
        }
    }
}

#[tokio::test]
async fn the_inner_service_sees_the_body_as_it_is() {
    let layer = counting(&Registry::new());
    for tells in [true, false] {
        let steps = [Step::Chunk("12345"), Step::Wait, Step::Chunk("678"), Step::Fail];
        let bare = scripted(&steps, tells);
        let request = Request::new(bare.clone());
        let service = layer.layer(service_fn(move |request: Asked| {
            let bare = bare.clone();
            async move {
                assert_eq!(beside(request.into_body(), bare).await.len(), 3);
                done()
            }
        }));
        service.oneshot(request).await.unwrap();
    }
    let service = layer.layer(service_fn(|request: Request<RequestBody<Untold>>| async {
        let frames = beside(request.into_body(), Untold::default()).await;
        assert!(frames.len() == 3 && frames[2].contains("Trailers"), "{frames:?}");
        done()
    }));
    service.oneshot(Request::new(Untold::default())).await.unwrap();
}

#[test]
fn the_count_is_one_allocation_where_it_is_needed_and_wanted() {
    fn allocations<B: http_body::Body + Default>(sizes: bool) -> u64 {
        let config = Config::default().body_sizes(sizes);
        let layer = HttpMetricsLayer::server(config, &Registry::new()).unwrap().count_request_bodies();
        let mut service = layer.layer(service_fn(|_: Request<RequestBody<B>>| ready(done())));
        let waker = CountingWaker::new();
        let mut ask = || drop(pin!(service.call(Request::new(B::default()))).poll(&mut waker.context()));
        ask(); // its series are made
        alloc::count(ask).1.allocations
    }
    assert_eq!(allocations::<Untold>(true), 1);
    assert_eq!(allocations::<Untold>(false), 0);
    assert_eq!(allocations::<Full<Bytes>>(true), 0);
}
