//! Leases on authorities, in paused time; they live in bodies.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod client;

use buttress_core::{Error, Inspect, Reason, Rejected};
use buttress_pool::http::{Config, Handle, HttpPool, HttpPoolLayer, Leased, Stats};
use buttress_testkit::laws;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt, service_fn};

type TestError = Error<Infallible>;

const SECOND: Duration = Duration::from_secs(1);

fn limits(most: u32, waiters: u32) -> Config {
    let [most, waiters] = [most, waiters].map(|limit| NonZeroU32::new(limit).unwrap());
    Config::default().max_connections(most).max_waiters(waiters).acquire_timeout(SECOND)
}

/// A request of which the inner service makes its response.
fn request<T>(uri: &str, response: T) -> Request<T> {
    Request::get(uri).body(response).unwrap()
}

/// Answers what it is asked to.
#[derive(Clone, Debug)]
struct Echo;

impl<T> Service<Request<Response<T>>> for Echo {
    type Response = Response<T>;
    type Error = TestError;
    type Future = Ready<Result<Response<T>, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Response<T>>) -> Self::Future {
        ready(Ok(request.into_body()))
    }
}

fn echo(config: Config) -> (HttpPool<Echo>, Handle) {
    let layer = HttpPoolLayer::new("upstream", config);
    (layer.layer(Echo), layer.handle())
}

fn hello() -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

/// A call of a clone that is ready.
fn call<T, B>(
    service: &HttpPool<T>,
    uri: &str,
    response: Response<B>,
) -> impl Future<Output = Result<Response<Leased<B>>, TestError>> + use<T, B>
where
    T: Service<Request<Response<B>>, Response = Response<B>, Error = TestError> + Clone,
    B: Body,
{
    service.clone().oneshot(request(uri, response))
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn refusal<T>(result: &Result<T, TestError>) -> Rejected {
    match result {
        Err(Error::Rejected(refused)) => *refused,
        Err(Error::Inner(never)) => match *never {},
        Ok(_) => panic!("it was to be refused"),
    }
}

fn reason<T>(result: &Result<T, TestError>) -> Reason {
    refusal(result).reason()
}

#[test]
fn the_layer_keeps_the_laws() {
    laws::deferring!(
        HttpPoolLayer::new("laws", Config::default()),
        request: |n: u64| request("http://laws.example/", n),
        respond: |_: Request<u64>| hello(),
    );
    laws::deferring!(
        HttpPoolLayer::new("laws", Config::default()),
        request: |n: u64| request("/without", n),
        respond: |_: Request<u64>| Response::new(Full::<Bytes>::default()),
    );
}

/// A body of these frames.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
    /// It says so when it has ended, before it is asked.
    tells: bool,
}

impl Frames {
    fn new<const N: usize>(tells: bool, frames: [Result<Frame<Bytes>, &'static str>; N]) -> Response<Self> {
        Response::new(Self { frames: frames.into(), tells })
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.tells && self.frames.is_empty()
    }
}

fn data() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(b"some")))
}

fn trailers() -> Result<Frame<Bytes>, &'static str> {
    let trailers = [(header::ETAG, HeaderValue::from_static("\"1\""))];
    Ok(Frame::trailers(HeaderMap::from_iter(trailers)))
}

#[tokio::test]
async fn a_lease_ends_with_its_body() {
    let upgrade = |mut response: Response<Frames>| {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
    };
    // The body, after how many frames its lease is given back, and how many there are.
    for (what, response, after, frames) in [
        ("ended", Frames::new(false, [data(), data()]), 3, 3),
        ("ended, and says so", Frames::new(true, [data(), data()]), 2, 3),
        ("with trailers", Frames::new(false, [data(), trailers()]), 3, 3),
        ("with trailers, and says so", Frames::new(true, [data(), trailers()]), 2, 3),
        ("failed", Frames::new(false, [data(), Err("reset"), data()]), 2, 4),
        ("empty, as of a HEAD", Frames::new(true, []), 0, 1),
        ("empty, and does not say so", Frames::new(false, []), 1, 1),
        ("upgraded", upgrade(Frames::new(true, [])), 0, 1),
    ] {
        let (service, handle) = echo(limits(1, 1));
        let mut body = call(&service, "http://a/", response).await.unwrap().into_body();
        for frame in 0..frames {
            assert_eq!(handle.stats().in_use, u64::from(frame < after), "{what}, after {frame} frames");
            let ends = body.frame().await.is_none();
            assert_eq!(ends, frame + 1 == frames, "{what}: all frames pass");
        }
        assert_eq!((handle.stats().in_use, handle.stats().used.count()), (0, 1), "{what}");
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_gives_its_lease_back_and_so_does_one_that_is_unwrapped() {
    let (service, handle) = echo(limits(1, 1));
    let mut response = call(&service, "http://a/", Frames::new(true, [data(), data()])).await.unwrap();
    assert_eq!(response.body().size_hint().lower(), 0);
    assert!(response.body_mut().frame().await.is_some());
    assert_eq!(handle.stats().in_use, 1);
    drop(response);
    assert_eq!(handle.stats().in_use, 0);
    let response = call(&service, "http://a/", hello()).await.unwrap();
    assert_eq!((handle.stats().in_use, response.body().size_hint().exact()), (1, Some(5)));
    let inner: Full<Bytes> = response.into_body().into_inner();
    assert_eq!(handle.stats().in_use, 0);
    assert_eq!(inner.collect().await.unwrap().to_bytes(), "hello");
    assert!(Leased::<Full<Bytes>>::default().is_end_stream());
}

#[tokio::test]
async fn a_call_that_fails_gives_its_lease_back() {
    let layer = HttpPoolLayer::new("upstream", limits(1, 1));
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, TestError>(Rejected::new("other", "it".into(), Reason::Stale).into())
    }));
    assert_eq!(reason(&service.oneshot(request("http://a/", ())).await), Reason::Stale);
    let stats = layer.handle().stats();
    assert_eq!((stats.in_use, stats.served, stats.used.count()), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first_and_one_too_many_is_refused_at_once() {
    let (service, handle) = echo(limits(1, 2));
    let lease = call(&service, "http://a/", hello()).await.unwrap();
    let mut first = pin!(call(&service, "http://a/", hello()));
    let mut second = pin!(call(&service, "http://a/", hello()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(reason(&call(&service, "http://a/", hello()).await), Reason::Overloaded);
    advance(SECOND / 2).await;
    let stats = handle.stats();
    assert_eq!((stats.in_use, stats.waiters, stats.oldest_wait), (1, 2, Some(SECOND / 2)));
    drop(lease);
    assert!(poll(second.as_mut()).is_pending());
    let Poll::Ready(Ok(lease)) = poll(first.as_mut()) else { panic!("it was granted") };
    assert!(poll(second.as_mut()).is_pending());
    drop(lease);
    assert!(poll(second.as_mut()).is_ready());
    let stats = handle.stats();
    assert_eq!((stats.gets, stats.served, stats.refused_full), (4, 3, 1));
    assert_eq!((stats.wait.count(), stats.wait.max()), (3, Some(SECOND / 2)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_time_and_a_lease_of_the_same_moment_is_taken() {
    let (service, handle) = echo(limits(1, 2));
    let lease = call(&service, "http://a/", hello()).await.unwrap();
    let start = Instant::now();
    let refused = call(&service, "http://a/", hello()).await;
    assert_eq!(start.elapsed(), SECOND);
    let refused = refusal(&refused);
    assert_eq!((refused.layer(), refused.name()), ("http_pool", "upstream".into()));
    assert_eq!(refused.reason(), Reason::TimedOut);

    let mut waits = pin!(call(&service, "http://a/", hello()));
    assert!(poll(waits.as_mut()).is_pending());
    advance(SECOND).await;
    drop(lease);
    let Poll::Ready(Ok(lease)) = poll(waits.as_mut()) else { panic!("it was granted before it was refused") };

    handle.reconfigure(limits(1, 2).acquire_timeout(Duration::ZERO));
    assert_eq!(reason(&call(&service, "http://a/", hello()).await), Reason::TimedOut);
    handle.reconfigure(limits(1, 2).acquire_timeout(Duration::MAX));
    let mut waits = pin!(call(&service, "http://a/", hello()));
    assert!(tokio::time::timeout(SECOND * 1_000_000, waits.as_mut()).await.is_err());
    drop(lease);
    assert!(poll(waits.as_mut()).is_ready());
    assert_eq!((handle.stats().timeouts, handle.stats().in_use), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_passed_over_whether_it_was_granted_or_not() {
    let (service, handle) = echo(limits(1, 3));
    let lease = call(&service, "http://a/", hello()).await.unwrap();
    let [mut granted, mut waiting, mut last] = [0; 3].map(|_| Box::pin(call(&service, "http://a/", hello())));
    for call in [&mut granted, &mut waiting, &mut last] {
        assert!(poll(call.as_mut()).is_pending());
    }
    drop(lease);
    drop(waiting);
    assert!(poll(last.as_mut()).is_pending());
    drop(granted);
    assert!(poll(last.as_mut()).is_ready());
    let stats = handle.stats();
    assert_eq!((stats.served, stats.cancelled, stats.in_use, stats.waiters), (2, 2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_the_leases_of_the_authority_that_it_names() {
    for (one, other, is_same) in [
        ("http://a/", "http://a/other?q", true),
        ("http://a/", "http://A/", true),
        ("http://a/", "http://user:secret@a/", true),
        ("http://a:81/", "http://a:82/", false),
        ("http://[::1]:81/", "http://user:secret@[::1]:81/", true),
        ("http://[::1]:81/", "http://[::1]:82/", false),
        ("http://a/", "http://b/", false),
        ("/with-host", "http://host.example/", true),
        ("/with-host", "/", false),
        ("/", "/other", true),
    ] {
        let (service, handle) = echo(limits(1, 1).acquire_timeout(Duration::ZERO));
        let named = |uri: &str| {
            let mut request = request(uri, hello());
            if uri == "/with-host" {
                request.headers_mut().insert(header::HOST, HeaderValue::from_static("host.example"));
            }
            service.clone().oneshot(request)
        };
        let _lease = named(one).await.unwrap();
        assert_eq!(named(other).await.is_err(), is_same, "{one} and {other}");
        assert!(!format!("{service:?} {handle:?} {:?}", handle.stats()).contains("secret"));
    }
}

#[tokio::test]
async fn nothing_is_kept_of_authorities_that_are_idle() {
    let (service, handle) = echo(limits(1, 1));
    let mut leases = Vec::new();
    for n in 0..1000 {
        leases.push(call(&service, &format!("http://host-{n}/"), hello()).await.unwrap());
        assert_eq!(handle.stats().authorities, leases.len());
        if leases.len() == 10 {
            leases.clear();
            assert_eq!((handle.stats().authorities, handle.stats().in_use), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_limits_are_in_force_at_once() {
    let (service, handle) = echo(limits(1, 2));
    let lease = call(&service, "http://a/", hello()).await.unwrap();
    let mut first = pin!(call(&service, "http://a/", hello()));
    let mut second = pin!(call(&service, "http://a/", hello()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    handle.reconfigure(limits(3, 2));
    assert_eq!((handle.config(), handle.stats().waiters), (limits(3, 2), 0));
    let (Poll::Ready(first), Poll::Ready(second)) = (poll(first.as_mut()), poll(second.as_mut())) else {
        panic!("both were let in")
    };
    handle.reconfigure(limits(1, 2));
    drop((lease, first));
    let mut third = pin!(call(&service, "http://a/", hello()));
    assert!(poll(third.as_mut()).is_pending(), "one of three still runs");
    drop(second);
    assert!(poll(third.as_mut()).is_ready());
}

/// A body that counts itself as running until it has ended or is dropped.
struct Running(Option<Arc<AtomicU32>>);

impl Running {
    fn end(&mut self) -> bool {
        self.0.take().inspect(|running| _ = running.fetch_sub(1, Ordering::SeqCst)).is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body for Running {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.end().then(|| Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_limit_run_and_every_count_is_exact_whoever_leaves() {
    const LIMIT: u32 = 3;
    const TASKS: usize = 24;
    const CALLS: usize = 200;
    let layer = HttpPoolLayer::new("upstream", limits(LIMIT, 8).acquire_timeout(Duration::from_secs(60)));
    let running: [Arc<AtomicU32>; 2] = Default::default();
    let inner = service_fn(move |request: Request<usize>| {
        let running = Arc::clone(&running[*request.body()]);
        async move {
            assert!(running.fetch_add(1, Ordering::SeqCst) < LIMIT, "more than may");
            let body = Running(Some(running));
            yield_now().await;
            Ok::<_, TestError>(Response::new(body))
        }
    });
    let service = layer.layer(inner);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let service = service.clone();
            tokio::spawn(async move {
                for n in 0..CALLS {
                    let host = (task + n) % 2;
                    let call = service.clone().oneshot(request(&format!("http://{host}/"), host));
                    let response = if n % 3 == 0 {
                        let mut call = pin!(call);
                        tokio::select! {
                            biased;
                            response = &mut call => response,
                            () = async { for _ in 0..n % 7 { yield_now().await } } => continue,
                        }
                    } else {
                        call.await
                    };
                    match response {
                        Ok(response) if n % 2 == 0 => _ = response.into_body().collect().await,
                        Ok(response) => drop(response),
                        refused => assert_eq!(reason(&refused), Reason::Overloaded),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.in_use, stats.waiters, stats.authorities, stats.timeouts), (0, 0, 0, 0));
    assert_eq!(stats.gets, stats.served + stats.cancelled + stats.refused_full);
    assert_eq!((stats.wait.count(), stats.used.count()), (stats.served, stats.served));
    assert!(stats.cancelled > 0 && stats.refused_full > 0, "{stats:?}");
}

#[test]
fn a_variable_of_the_environment_sets_the_limit() {
    use std::env::VarError::{self, NotPresent, NotUnicode};
    let read = |value: Result<String, VarError>| {
        Config::from_vars(|name| if name == "HTTP_MAX_CONNECTIONS" { value.clone() } else { Err(NotPresent) })
    };
    assert_eq!(read(Err(NotPresent)), Ok(Config::default()));
    assert_eq!(read(Ok(String::new())), Ok(Config::default()));
    assert_eq!(read(Ok("7".into())), Ok(Config::default().max_connections(NonZeroU32::new(7).unwrap())));
    for value in ["0", "-1", "many", "4294967296"] {
        let error = read(Ok(value.into())).unwrap_err();
        assert_eq!(error.name(), "HTTP_MAX_CONNECTIONS");
        let says =
            format!("HTTP_MAX_CONNECTIONS is {value:?} and must be a whole number from 1 to 4294967295");
        assert_eq!(error.to_string(), says);
    }
    let error = read(Err(NotUnicode("x".into()))).unwrap_err();
    assert_eq!(error.to_string(), "HTTP_MAX_CONNECTIONS must be Unicode");
}

#[test]
fn the_promised_auto_traits_hold_and_the_handle_shows_itself() {
    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use std::panic::{RefUnwindSafe, UnwindSafe};
    use std::rc::Rc;

    assert_impl_all!(HttpPoolLayer: Clone, Send, Sync, Unpin);
    assert_impl_all!(Handle: Clone, Send, Sync, Unpin);
    assert_impl_all!(HttpPool<Echo>: Clone, Send, Sync, Unpin);
    assert_impl_all!(Leased<()>: Send, Sync, Unpin);
    assert_impl_all!(Config: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Stats: Clone, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    assert_not_impl_any!(HttpPool<Rc<()>>: Send); // the service is as much as its inner one, no more, no less
    let handle = HttpPoolLayer::new("upstream", Config::default()).handle();
    assert_eq!((handle.kind(), handle.name()), ("http_pool", "upstream".into()));
}

#[cfg(feature = "serde")]
#[test]
fn limits_from_a_file_are_numbers_and_a_text() {
    let text = r#"{"max_connections": 7, "acquire_timeout": "never"}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    let expected = Config::default().max_connections(NonZeroU32::new(7).unwrap());
    assert_eq!(config, expected.acquire_timeout(Duration::MAX));
    assert!(serde_json::from_str::<Config>(r#"{"max_connections": 0}"#).is_err());
    assert!(serde_json::from_str::<Config>(r#"{"max_connection": 1}"#).is_err());
}
