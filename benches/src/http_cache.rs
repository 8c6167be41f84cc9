//! `buttress-cache`, feature `http`.

use crate::{Contender, Fact};
use buttress_cache::Config;
use buttress_cache::http::{Here, HttpCache, HttpCacheLayer, HttpCached, HttpOptions};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, SERVER};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::{Empty, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::future::{Future, Ready, poll_fn, ready};
use std::hint::black_box;
use std::io;
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready as done};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tower::{BoxError, Layer, Service};

/// The origin by itself, whose page has a kilobyte.
pub const BARE: &str = "bare service, 1 kB";
/// A hit of a kilobyte.
pub const HIT: &str = "buttress: hit, 1 kB";
/// A hit of a megabyte.
pub const HIT_LARGE: &str = "buttress: hit, 1 MB";
/// What may not be stored.
pub const PASS: &str = "buttress: no-store, 1 kB";
/// A hit of a kilobyte over loopback, in HTTP/1.1.
pub const LOOPBACK: &str = "buttress: loopback, hit, 1 kB";
/// The column of a fact: how many bytes of a body that is a hit are not those that are stored.
pub const COPIED: &str = "bytes copied per hit";

/// A kilobyte ..
pub const SMALL: usize = 1 << 10;
/// .. and a megabyte.
pub const LARGE: usize = 1 << 20;
/// There are fewer calls for the latter: some copy it.
pub const LARGE_WEIGHT: u64 = 100;
/// What a page says that may be stored ..
pub const STORED: &str = "max-age=3600";
/// .. and one that may not.
pub const NOT_STORED: &str = "no-store";

/// How many pages are asked for. The caches have room for all.
const PAGES: u64 = 64;

/// What is asked for.
pub type Asked = Request<Empty<Bytes>>;

/// Our layer, and the origin without one.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    // What a key costs in the store is up to the seed of its hash.
    vec![
        Contender::new(BARE, || Reader::new(Origin::new(SMALL, STORED))).ungated(),
        Contender::new(HIT, || Reader::new(cached(SMALL, STORED))).ungated(),
        Contender::new("buttress: hit, 1 kB, background", || {
            Reader::new(HttpCacheLayer::new(&pages()).background().layer(Origin::new(SMALL, STORED)))
        })
        .ungated(),
        Contender::new("buttress: hit, 304", || {
            let mut reader = Reader::new(cached(SMALL, STORED));
            reader.header = Some((IF_NONE_MATCH, HeaderValue::from_static("\"1\"")));
            reader
        })
        .ungated(),
        Contender::new(HIT_LARGE, || Reader::new(cached(LARGE, STORED))).weight(LARGE_WEIGHT).ungated(),
        Contender::new(PASS, || Reader::new(cached(SMALL, NOT_STORED))).ungated(),
        loopback("bare service, loopback, 1 kB", || Origin::new(SMALL, STORED)),
        loopback(LOOPBACK, || cached(SMALL, STORED)),
    ]
}

/// What our hits copy.
#[must_use]
pub fn facts() -> Vec<Fact> {
    let ours = |origin: &Origin| HttpCacheLayer::new(&pages()).layer(origin.clone());
    vec![copied(HIT, SMALL, ours), copied(HIT_LARGE, LARGE, ours)]
}

fn cached(length: usize, directives: &'static str) -> HttpCached<Origin, Here> {
    HttpCacheLayer::new(&pages()).layer(Origin::new(length, directives))
}

fn pages() -> HttpCache {
    HttpCache::new("bench", Config::default(), HttpOptions::default())
}

/// How much of a body that `make` has stored is copied when it is a hit: what is elsewhere in memory than in the hit before,
/// which is still held.
pub fn copied<S, B>(row: &'static str, length: usize, make: impl Fn(&Origin) -> S + 'static) -> Fact
where
    S: Service<Asked, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    Fact::new(row, COPIED, move || {
        let mut service = make(&Origin::new(length, STORED));
        let runtime = Builder::new_current_thread().enable_time().build().ok()?;
        runtime.block_on(async {
            let (mut copied, mut before) = (0, Vec::<Bytes>::new());
            // The first is stored.
            for _ in 0..3 {
                poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
                let mut body = pin!(service.call(asked(&page(0), None)).await.ok()?.into_body());
                let mut chunks = Vec::new();
                while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                    chunks.extend(frame.ok()?.into_data());
                }
                let is_shared =
                    |chunk: &&Bytes| before.iter().any(|old| old.as_ptr_range() == chunk.as_ptr_range());
                copied = chunks.iter().filter(|chunk| !is_shared(chunk)).map(Bytes::len).sum();
                before = chunks;
            }
            Some(copied as f64)
        })
    })
}

/// A service behind hyper, asked on one connection that is kept. Client and server take turns on one thread, so that
/// what is counted is all of both.
pub fn loopback<S, B>(name: &'static str, make: impl Fn() -> S + Send + Sync + 'static) -> Contender
where
    S: Service<Asked, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let make = move || {
        let service = make();
        let lines = [service.clone(), service].map(|service| Mutex::new(Line::open(service)));
        lines.map(|line| line).into_iter().collect::<Vec<_>>()
    };
    // A thread's numbers begin with its own.
    let ask = |lines: &Vec<Mutex<io::Result<Line>>>, number: u64| {
        let mut line = lines[(number >> 40) as usize % lines.len()].lock();
        let line = line.as_mut().expect("loopback has ports");
        black_box(line.ask(number).expect("the server answers"));
    };
    Contender::operation(name, make, ask).weight(10).ungated()
}

/// One connection, and the runtime that both of its ends are on.
struct Line {
    runtime: Runtime,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    fn open<S, B>(service: S) -> io::Result<Self>
    where
        S: Service<Asked, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let stream = TcpStream::connect(listener.local_addr()?).await?;
            let (accepted, _) = listener.accept().await?;
            for end in [&stream, &accepted] {
                end.set_nodelay(true)?;
            }
            // A server is told a path; some opponents want to know the whole URI. There is no body to read.
            let service = tower::util::MapRequest::new(service, |request: Request<hyper::body::Incoming>| {
                let mut request = request.map(|_| Empty::new());
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(Scheme::HTTP);
                parts.authority = Some(Authority::from_static("bench.example"));
                *request.uri_mut() = Uri::from_parts(parts).expect("a path with these is a URI");
                request
            });
            let serve = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(accepted), TowerToHyperService::new(service));
            tokio::spawn(serve);
            io::Result::Ok(stream)
        })?;
        Ok(Self { runtime, stream, buffer: vec![0; 4 * SMALL] })
    }

    /// Asks for a page, and reads what is answered to its end.
    fn ask(&mut self, number: u64) -> io::Result<usize> {
        let Self { runtime, stream, buffer } = self;
        let request = format!("GET /pages/{} HTTP/1.1\r\nHost: bench.example\r\n\r\n", number % PAGES);
        runtime.block_on(async {
            stream.write_all(request.as_bytes()).await?;
            let mut read = 0;
            loop {
                let some = stream.read(&mut buffer[read..]).await?;
                if some == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                read += some;
                let answer = &buffer[..read];
                let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
                // In chunks if the service does not say how long it is.
                if end.is_some_and(|end| read == end + 4 + SMALL) || answer.ends_with(b"\r\n0\r\n\r\n") {
                    return Ok(read);
                }
            }
        })
    }
}

/// Asks for a page by its number, and reads it to its end.
#[derive(Clone, Debug)]
pub struct Reader<S> {
    service: S,
    pages: Arc<[Uri]>,
    /// Sent with each request.
    header: Option<(HeaderName, HeaderValue)>,
}

impl<S> Reader<S> {
    /// Asks `service`.
    pub fn new(service: S) -> Self {
        Self { service, pages: (0..PAGES).map(page).collect(), header: None }
    }

    /// Asks `service` for the same page each time.
    pub fn of(service: S, page: Uri) -> Self {
        Self { service, pages: [page].into(), header: None }
    }
}

pub(crate) fn page(number: u64) -> Uri {
    Uri::try_from(format!("http://bench.example/pages/{number}")).expect("it is a URI")
}

pub(crate) fn asked(uri: &Uri, header: Option<&(HeaderName, HeaderValue)>) -> Asked {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    request.headers_mut().extend(header.cloned());
    request
}

impl<S, B> Service<u64> for Reader<S>
where
    S: Service<Asked, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = usize;
    type Error = S::Error;
    type Future = Reading<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, number: u64) -> Self::Future {
        let page = &self.pages[number as usize % self.pages.len()];
        Reading { response: self.service.call(asked(page, self.header.as_ref())), body: None, length: 0 }
    }
}

pin_project! {
    /// How long the page is.
    pub struct Reading<F, B> {
        #[pin]
        response: F,
        #[pin]
        body: Option<B>,
        length: usize,
    }
}

impl<F, B, E> Future for Reading<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<usize, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(body) = this.body.as_mut().as_pin_mut() {
                match done!(body.poll_frame(cx)) {
                    Some(Ok(frame)) => *this.length += black_box(frame).data_ref().map_or(0, Bytes::len),
                    _ => return Poll::Ready(Ok(*this.length)),
                }
            } else {
                match done!(this.response.as_mut().poll(cx)) {
                    Ok(response) => this.body.set(Some(black_box(response).into_body())),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
    }
}

impl<F, B> std::fmt::Debug for Reading<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// Answers each request with the same page at once.
#[derive(Clone, Debug)]
pub struct Origin {
    body: Bytes,
    directives: &'static str,
}

impl Origin {
    /// A page so long that says how it may be stored.
    #[must_use]
    pub fn new(length: usize, directives: &'static str) -> Self {
        Self { body: vec![b'x'; length].into(), directives }
    }
}

impl Service<Asked> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Asked) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        let said = [
            (CACHE_CONTROL, self.directives),
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (ETAG, "\"1\""),
            (SERVER, "origin"),
        ];
        response.headers_mut().extend(said.map(|(name, value)| (name, HeaderValue::from_static(value))));
        ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<S: Service<u64, Response = usize, Error = BoxError>>(mut service: S) -> usize {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { service.call(1).await.unwrap() })
    }

    #[test]
    fn a_page_is_read_to_its_end_however_it_comes() {
        assert_eq!(read(Reader::new(Origin::new(SMALL, STORED))), SMALL);
        let reader = Reader::new(cached(LARGE, STORED));
        assert_eq!((read(reader.clone()), read(reader.clone())), (LARGE, LARGE));
        let known = Some((IF_NONE_MATCH, HeaderValue::from_static("\"1\"")));
        assert_eq!(read(Reader { header: known, ..reader }), 0);
    }

    #[test]
    fn a_hit_copies_nothing_and_a_copy_is_seen() {
        assert!(facts().iter().all(|fact| fact.to_line().ends_with("\t0.000\n")), "{:?}", facts());
        let copies = |origin: &Origin| {
            let body = origin.body.clone();
            tower::service_fn(move |_: Asked| {
                ready(Ok::<_, BoxError>(Response::new(Full::new(Bytes::copy_from_slice(&body)))))
            })
        };
        assert!(copied("row", SMALL, copies).to_line().ends_with("\t1024\n"));
    }

    #[test]
    fn one_connection_carries_every_page() {
        let mut line = Line::open(cached(SMALL, STORED)).unwrap();
        for number in 0..2 * PAGES {
            assert!(line.ask(number).unwrap() > SMALL);
        }
    }
}
