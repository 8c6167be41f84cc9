//! What an HTTP cache does as a layer, in paused time. What the rules come to for each response is in tables beside
//! them, in `src/http/tests`; here is what takes a store, an origin and a body.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod background;
mod bodies;
mod flights;
mod fresh;
mod heads;
mod history;
mod laws;
mod parts;
mod purging;
mod sockets;
mod stale;
mod streams;
mod threads;
mod users;
mod variants;

use buttress_cache::Config;
use buttress_cache::http::{Body, HttpCache, HttpCacheLayer, HttpCached, HttpOptions};
use buttress_core::Error;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt};

type TestError = Error<&'static str>;
type Site = HttpCached<Origin>;

const SECOND: Duration = Duration::from_secs(1);
const FRESH: &str = "Cache-Control: max-age=60";

/// Opened once for each that is to pass.
#[derive(Clone, Debug)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn open(&self) {
        self.0.add_permits(1);
    }

    fn open_for_all(&self) {
        self.0.add_permits(1_000_000);
    }

    fn pass(&self) -> BoxFuture<'static, ()> {
        let permits = Arc::clone(&self.0);
        Box::pin(async move { permits.acquire_owned().await.unwrap().forget() })
    }
}

/// What an origin answers.
#[derive(Clone, Debug, Default)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    gate: Option<Gate>,
    steps: VecDeque<Step>,
    fails: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Wait(Gate),
    Fail,
}

impl Reply {
    fn new(headers: &str) -> Self {
        Self { headers: fields(headers), ..Self::default() }
    }

    fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    /// Waits before the head.
    fn gate(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    fn data(self, data: &str) -> Self {
        self.step(Step::Data(Bytes::copy_from_slice(data.as_bytes())))
    }

    fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    fn failed() -> Self {
        Self { fails: true, ..Self::default() }
    }
}

/// Fields, divided by ` | `.
fn fields(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in text.split(" | ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.trim().as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    headers
}

type Script = dyn Fn(&Request<()>, usize) -> Reply + Send + Sync;

/// A strict origin: whoever calls it unreadied fails the test.
struct Origin {
    state: Arc<State>,
    is_ready: bool,
}

struct State {
    script: Mutex<Arc<Script>>,
    seen: Mutex<Vec<(Method, HeaderMap)>>,
}

impl Origin {
    fn new(script: impl Fn(&Request<()>, usize) -> Reply + Send + Sync + 'static) -> Self {
        let state = State { script: Mutex::new(Arc::new(script)), seen: Mutex::default() };
        Self { state: Arc::new(state), is_ready: false }
    }

    fn always(reply: Reply) -> Self {
        Self::new(move |_, _| reply.clone())
    }

    fn now(&self, reply: Reply) {
        *self.state.script.lock() = Arc::new(move |_, _| reply.clone());
    }

    fn calls(&self) -> usize {
        self.state.seen.lock().len()
    }

    fn last(&self) -> HeaderMap {
        self.state.seen.lock().last().unwrap().1.clone()
    }
}

impl Clone for Origin {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), is_ready: false }
    }
}

impl Service<Request<()>> for Origin {
    type Response = Response<Script1>;
    type Error = TestError;
    type Future = BoxFuture<'static, Result<Response<Script1>, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called unreadied");
        let number = {
            let mut seen = self.state.seen.lock();
            seen.push((request.method().clone(), request.headers().clone()));
            seen.len()
        };
        let script = Arc::clone(&self.state.script.lock());
        let reply = script(&request, number);
        Box::pin(async move {
            if let Some(gate) = &reply.gate {
                gate.pass().await;
            }
            if reply.fails {
                return Err(Error::Inner("down"));
            }
            let mut response = Response::new(Script1 { steps: reply.steps, waiting: None });
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            Ok(response)
        })
    }
}

/// A body that does what its steps say.
struct Script1 {
    steps: VecDeque<Step>,
    waiting: Option<BoxFuture<'static, ()>>,
}

impl http_body::Body for Script1 {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => None,
                Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Step::Fail) => Some(Err("torn")),
                Some(Step::Wait(gate)) => {
                    self.waiting = Some(gate.pass());
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none()
    }
}

fn cache() -> HttpCache {
    HttpCache::new("edge", Config::default(), HttpOptions::default())
}

fn site(cache: &HttpCache, origin: &Origin) -> Site {
    HttpCacheLayer::new(cache).layer(origin.clone())
}

/// `GET /path | Name: value`; the method may be left out.
fn request(text: &str) -> Request<()> {
    let (line, rest) = text.split_once(" | ").unwrap_or((text, ""));
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let mut request = Request::new(());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = format!("http://a.test{path}").parse().unwrap();
    *request.headers_mut() = fields(rest);
    request
}

/// What a client got.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Result<String, &'static str>,
    trailers: Option<HeaderMap>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn cache(&self) -> &str {
        self.header("cache-status")
    }

    fn is_hit(&self) -> bool {
        self.cache().starts_with("edge; hit")
    }

    fn body(&self) -> &str {
        self.body.as_ref().unwrap()
    }
}

async fn head<S, B>(site: &S, text: &str) -> Result<Response<Body<B>>, TestError>
where
    S: Service<Request<()>, Response = Response<Body<B>>, Error = TestError> + Clone,
    B: http_body::Body,
{
    site.clone().ready().await?.call(request(text)).await
}

async fn read<B>(response: Response<Body<B>>) -> Got
where
    B: http_body::Body<Data = Bytes, Error = &'static str>,
{
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status.as_u16(), parts.headers);
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            let body = Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap());
            Got { status, headers, body, trailers }
        }
        Err(error) => Got { status, headers, body: Err(error), trailers: None },
    }
}

async fn get<S, B>(site: &S, text: &str) -> Got
where
    S: Service<Request<()>, Response = Response<Body<B>>, Error = TestError> + Clone,
    B: http_body::Body<Data = Bytes, Error = &'static str>,
{
    read(head(site, text).await.unwrap()).await
}

fn spawn<S, B>(site: &S, text: &'static str) -> JoinHandle<Got>
where
    S: Service<Request<()>, Response = Response<Body<B>>, Error = TestError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error = &'static str> + Send + 'static,
{
    let site = site.clone();
    tokio::spawn(async move { get(&site, text).await })
}

/// Lets everything else have its turn.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}
