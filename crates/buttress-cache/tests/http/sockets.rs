//! Between two real servers: what is torn, left half-way or trailing there is what the other tests take it for.

use super::*;
use buttress_cache::http::Apart;
use futures_util::TryFutureExt;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::fmt::Debug;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tower::{BoxError, service_fn};

type Http = Client<HttpConnector, Empty<Bytes>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Http1,
    Http2,
}

/// The ways in which a body of four bytes goes over a wire.
const WIRES: [(Wire, &str); 3] = [
    (Wire::Http1, "Cache-Control: max-age=60 | Content-Length: 4"),
    // In chunks.
    (Wire::Http1, FRESH),
    (Wire::Http2, FRESH),
];

fn http(wire: Wire) -> Http {
    Client::builder(TokioExecutor::new()).http2_only(wire == Wire::Http2).build_http()
}

/// Takes requests from a wire to one origin.
#[derive(Clone)]
struct To<S>(SocketAddr, S);

impl<S, Q, B> Service<Request<Q>> for To<S>
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Debug,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.1.poll_ready(cx).map_err(|error| format!("{error:?}").into())
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut head, _) = request.into_parts();
        head.uri = format!("http://{}{}", self.0, head.uri.path()).parse().unwrap();
        // It is the client's word for the edge (RFC 9112 §3.2.2).
        head.headers.remove("host");
        let response = self.1.call(Request::from_parts(head, ()));
        Box::pin(response.map_err(|error| format!("{error:?}").into()))
    }
}

/// Serves on a port of its own for as long as the runtime lives.
async fn serve<S, B>(to: Option<SocketAddr>, service: S) -> SocketAddr
where
    S: Service<Request<()>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Debug,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(To(to.unwrap_or(address), service));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                // A connection that its client closes half-way ends with an error.
                let server = auto::Builder::new(TokioExecutor::new());
                _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// The origin on one port, and the cache before it on another.
async fn edge(cache: &HttpCache, apart: bool, origin: &Origin, wire: Wire) -> SocketAddr {
    let origin = serve(None, origin.clone()).await;
    let http = http(wire);
    let ask = service_fn(move |request: Request<()>| {
        http.request(request.map(|()| Empty::new())).map_err(BoxError::from)
    });
    let layer = HttpCacheLayer::new(cache);
    if apart {
        let site: HttpCached<_, Apart> = layer.background().layer(ask);
        serve(Some(origin), site).await
    } else {
        serve(Some(origin), layer.layer(ask)).await
    }
}

/// A client with a connection of its own.
struct Visitor(Http, SocketAddr);

impl Visitor {
    async fn head(&self) -> Response<impl http_body::Body<Data = Bytes, Error: Debug> + Unpin + use<>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = format!("http://{}/page", self.1).parse().unwrap();
        self.0.request(request).await.unwrap()
    }

    async fn get(&self) -> Got {
        let (head, body) = self.head().await.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        let body = Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap());
        Got { status: head.status.as_u16(), headers: head.headers, body, trailers }
    }
}

/// Lets the sockets have their turn until it is so.
async fn until(what: impl Fn() -> bool) {
    let so = async {
        while !what() {
            yield_now().await;
        }
    };
    // For a test that fails, and else would not end.
    timeout(SECOND * 30, so).await.unwrap();
}

/// A first client that has read half, and others who wait for it.
macro_rules! half_way {
    ($cache:expr, $edge:expr, $wire:expr) => {{
        let (cache, edge, wire) = ($cache, $edge, $wire);
        let first = Visitor(http(wire), edge);
        let mut body = first.head().await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "pa");
        let others: [_; 3] =
            std::array::from_fn(|_| tokio::spawn(async move { Visitor(http(wire), edge).get().await }));
        until(|| cache.stats().coalesced == 3).await;
        (first, body, others)
    }};
}

#[tokio::test]
async fn trailers_come_to_the_first_client_and_from_the_store() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let reply = Reply::new(FRESH).data("pa").data("ge").step(Step::Trailers(trailers.clone()));
    for apart in [false, true] {
        let (cache, origin) = (cache(), Origin::always(reply.clone()));
        let visitor = Visitor(http(Wire::Http2), edge(&cache, apart, &origin, Wire::Http2).await);
        for status in ["edge; fwd=uri-miss; stored", "edge; hit; ttl="] {
            let got = visitor.get().await;
            assert_eq!((got.body(), got.trailers.as_ref()), ("page", Some(&trailers)), "{status}");
            assert!(got.cache().starts_with(status), "{}", got.cache());
        }
        assert_eq!(origin.calls(), 1);
    }
}

#[tokio::test]
async fn a_client_that_is_gone_half_way_leaves_nothing_torn_behind() {
    for (wire, fields) in WIRES {
        for apart in [false, true] {
            let gates = [Gate::new(), Gate::new()];
            let waits = gates.clone();
            let origin =
                Origin::new(move |_, n| Reply::new(fields).data("pa").wait(&waits[n - 1]).data("ge"));
            let cache = cache();
            let edge = edge(&cache, apart, &origin, wire).await;
            let (first, body, others) = half_way!(&cache, edge, wire);
            drop((first, body));
            // A task reads on; else one of the others asks again.
            let calls = if apart { 1 } else { 2 };
            until(|| origin.calls() == calls).await;
            assert_eq!((cache.stats().entries, cache.stats().loading), (0, 1));
            gates[calls - 1].open();
            for other in others {
                assert_eq!(other.await.unwrap().body(), "page", "{wire:?} {fields} {apart}");
            }
            let got = Visitor(http(wire), edge).get().await;
            assert!(got.is_hit() && got.body() == "page", "{wire:?} {fields} {apart}");
            assert_eq!(origin.calls(), calls);
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_gone_half_way_leaves_nothing_torn_behind() {
    for (wire, fields) in WIRES {
        for apart in [false, true] {
            let gate = Gate::new();
            let tears = gate.clone();
            let origin = Origin::new(move |_, n| {
                let half = Reply::new(fields).data("pa");
                if n == 1 { half.wait(&tears).step(Step::Fail) } else { half.data("ge") }
            });
            let cache = cache();
            let edge = edge(&cache, apart, &origin, wire).await;
            let (_first, mut body, others) = half_way!(&cache, edge, wire);
            gate.open();
            assert!(body.frame().await.unwrap().is_err(), "{wire:?} {fields} {apart}");
            for other in others {
                assert_eq!(other.await.unwrap().body(), "page", "{wire:?} {fields} {apart}");
            }
            assert_eq!((origin.calls(), cache.stats().entries, cache.stats().loading), (4, 0, 0));
            for hit in [false, true] {
                let got = Visitor(http(wire), edge).get().await;
                assert!(got.is_hit() == hit && got.body() == "page", "{wire:?} {fields} {apart}");
            }
        }
    }
}
