//! A router, and a server on the loopback interface that clients leave when they like.

use crate::http::active;
use crate::rows::{Rows, Value};
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::routing::{get, post};
use axum::{Router, serve};
use buttress_metrics::expose::Scrape;
use buttress_metrics::http::{Config, HttpMetricsLayer};
use buttress_metrics::{Outcome, Registry};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower::ServiceExt;

const DURATION: &str = "http_server_request_duration_seconds";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn route(request: &Request<Body>) -> Option<&str> {
    request.extensions().get().map(MatchedPath::as_str)
}

/// How many requests there were, by the part of their labels that is asked for.
fn ended(registry: &Registry, labels: &str) -> u64 {
    let rows = Rows::of(registry);
    let counts =
        rows.series(DURATION).filter(|row| row.labels.contains(labels)).map(|row| match &row.value {
            Value::Histogram(took) => took.count(),
            other => panic!("{other:?}"),
        });
    counts.sum()
}

#[tokio::test]
async fn routes_are_the_templates_of_the_router_and_nothing_else() {
    let registry = Registry::new();
    let metrics = HttpMetricsLayer::server(Config::default(), &registry).unwrap().route(route);
    let users = Router::new().route("/{user}/posts/{post}", get(|| async { "a post" }));
    let app = Router::new()
        .route("/items/{id}", get(|| async { "an item" }))
        .nest("/users", users)
        .layer(metrics)
        .route_service("/metrics", Scrape::new(&registry));
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };
    for n in 0..50 {
        ask(Method::GET, &format!("/items/{n}")).await;
        ask(Method::GET, &format!("/users/{n}/posts/{n}")).await;
        ask(Method::GET, &format!("/wp-admin/{n}")).await;
        ask(Method::POST, &format!("/items/{n}")).await;
    }
    let (status, text) = ask(Method::GET, "/metrics").await;
    assert_eq!((status, &*text), (StatusCode::OK, registry.encode(Default::default()).as_bytes()));
    for (labels, count) in [
        ("http_route=/items/{id},http_request_method=GET", 50),
        ("http_route=/items/{id},http_request_method=POST", 50),
        ("http_route=/users/{user}/posts/{post},", 50),
        ("http_route=", 150),
        ("http_response_status_code=405,outcome=client_error", 50),
        ("http_response_status_code=404,outcome=client_error", 50),
        ("", 200),
    ] {
        assert_eq!(ended(&registry, labels), count, "{labels}");
    }
    assert_eq!((Rows::of(&registry).series(DURATION).count(), active(&registry)), (4, 0.0));
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A body of these chunks, after which it ends or nothing comes any more.
struct Chunks {
    left: VecDeque<&'static str>,
    ends: bool,
    _dropped: Dropped,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.left.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk))))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// A server that answers paths of these names, and where it tells that it has dropped what it was at.
async fn server(registry: &Registry) -> (String, mpsc::UnboundedReceiver<()>) {
    let (dropped, dropping) = mpsc::unbounded_channel();
    let chunks = {
        let dropped = dropped.clone();
        move |ends: bool| {
            let left = ["first ", "second"].into();
            Body::new(Chunks { left, ends, _dropped: Dropped(dropped.clone()) })
        }
    };
    let (whole, endless) = (chunks.clone(), chunks);
    let never = move || {
        let dropped = Dropped(dropped.clone());
        async move {
            let _dropped = dropped;
            pending::<()>().await;
        }
    };
    let app = Router::new()
        .route("/text", get(|| async { "a text of known length" }))
        .route("/none", get(|| async { StatusCode::NO_CONTENT }))
        .route("/chunks", get(move || std::future::ready(whole(true))))
        .route("/endless", get(move || std::future::ready(endless(false))))
        .route("/never", get(never))
        .layer(HttpMetricsLayer::server(Config::default(), registry).unwrap().route(route));
    (listen(app).await, dropping)
}

async fn listen(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { serve(listener, app).await });
    address
}

/// Sends a request and reads until all of `expected` has come.
async fn ask(client: &mut TcpStream, request: &str, expected: &str) {
    send(client, &format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n"), expected).await;
}

async fn send(client: &mut TcpStream, request: &str, expected: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    while !read.contains(expected) {
        let mut buffer = [0; 4096];
        let length = soon(client.read(&mut buffer)).await.unwrap();
        assert!(length > 0, "it was closed after {read:?}");
        read += std::str::from_utf8(&buffer[..length]).unwrap();
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it comes soon")
}

// One thread: when somebody hears of a drop, all that was dropped with it is dropped.
#[tokio::test]
async fn what_a_server_sends_to_its_end_is_ok_however_it_ends() {
    let registry = Registry::new();
    let (address, mut dropping) = server(&registry).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    // Each answer is begun after the one before it was done with.
    ask(&mut client, "GET /text", "a text of known length").await;
    ask(&mut client, "HEAD /text", "\r\n\r\n").await;
    ask(&mut client, "GET /none", "\r\n\r\n").await;
    ask(&mut client, "GET /chunks", "second\r\n0\r\n\r\n").await;
    soon(dropping.recv()).await.unwrap();
    ask(&mut client, "HEAD /chunks", "\r\n\r\n").await;
    soon(dropping.recv()).await.unwrap();
    ask(&mut client, "GET /nowhere", "\r\n\r\n").await;
    ask(&mut client, "GET /text", "a text of known length").await;
    assert_eq!((ended(&registry, "outcome=ok"), ended(&registry, "outcome=client_error")), (6, 1));
    assert_eq!((ended(&registry, ""), active(&registry)), (7, 0.0));
}

#[tokio::test]
async fn a_client_that_leaves_at_any_moment_leaves_nothing_in_flight() {
    let registry = Registry::new();
    let (address, mut dropping) = server(&registry).await;
    for (path, expected) in [("GET /never", ""), ("GET /endless", "first "), ("GET /endless", "second")] {
        let before = ended(&registry, &format!("outcome={}", Outcome::Cancelled));
        let mut client = TcpStream::connect(&address).await.unwrap();
        ask(&mut client, path, expected).await;
        let arrived = async {
            while active(&registry) < 1.0 {
                tokio::task::yield_now().await;
            }
        };
        soon(arrived).await;
        drop(client);
        soon(dropping.recv()).await.unwrap();
        assert_eq!(active(&registry), 0.0, "{path}");
        assert_eq!(ended(&registry, &format!("outcome={}", Outcome::Cancelled)), before + 1, "{path}");
    }
    assert_eq!(ended(&registry, ""), 3);
}

#[tokio::test]
async fn each_body_that_a_server_receives_has_a_size_also_in_chunks() {
    let registry = Registry::new();
    let config = Config::default().body_sizes(true);
    let metrics = HttpMetricsLayer::server(config, &registry).unwrap().count_request_bodies();
    let upload = post(async |body: Bytes| format!("{} came", body.len()));
    let address = listen(Router::new().route("/upload", upload).layer(metrics.route(route))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST /upload HTTP/1.1\r\nhost: localhost\r\n";
    let chunks = "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n3\r\n678\r\n0\r\n\r\n";
    for (request, expected, total) in [
        (format!("{head}{chunks}"), "8 came", (1, 8.0)),
        (format!("{head}content-length: 4\r\n\r\n1234"), "4 came", (2, 12.0)),
        (format!("{head}\r\n"), "0 came", (3, 12.0)),
    ] {
        send(&mut client, &request, expected).await;
        let rows = Rows::of(&registry);
        let sizes = rows.series("http_server_request_body_size_bytes").map(|row| match &row.value {
            Value::Histogram(sizes) => (sizes.count(), sizes.sum()),
            other => panic!("{other:?}"),
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [total], "{request}");
    }
}
