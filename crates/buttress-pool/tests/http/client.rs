//! Before hyper's client, which keeps the sockets.

use super::{limits, request};
use buttress_core::Error;
use buttress_pool::http::{Handle, HttpPool, HttpPoolLayer};
use bytes::Bytes;
use http::{Method, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::util::MapErr;
use tower::{Layer, Service, ServiceExt};

/// Answers each request as its path says.
async fn serve(mut stream: TcpStream) {
    let (mut heads, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        heads.extend_from_slice(&buffer[..length]);
        while let Some(end) = heads.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<_> = heads.drain(..end + 4).collect();
            let path = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
            let answer = match path.as_str() {
                "/length" => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
                // To a `HEAD`.
                "/head" => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                "/none" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/chunks" => {
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nend: yes\r\n\r\n"
                }
                "/upgrade" => {
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: it\r\nconnection: upgrade\r\n\r\n"
                }
                path => panic!("{path}"),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

type Hyper = Client<HttpConnector, Empty<Bytes>>;
type Inner = MapErr<Hyper, fn(legacy::Error) -> Error<legacy::Error>>;

async fn client() -> (HttpPool<Inner>, Handle, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let layer = HttpPoolLayer::new("upstream", limits(1, 1));
    let hyper: Hyper = Client::builder(TokioExecutor::new()).build_http();
    let inner = hyper.map_err(Error::Inner as fn(_) -> _);
    (layer.layer(inner), layer.handle(), addr)
}

async fn ask(
    service: &mut HttpPool<Inner>,
    method: Method,
    uri: String,
) -> Response<impl Body<Data = Bytes, Error: std::fmt::Debug> + use<>> {
    let mut request = request(&uri, Empty::new());
    *request.method_mut() = method;
    *request.version_mut() = Version::HTTP_11;
    service.ready().await.unwrap().call(request).await.unwrap()
}

#[tokio::test]
async fn what_hyper_says_of_its_bodies_is_right_for_leases() {
    let (mut service, handle, addr) = client().await;
    for (method, path, is_empty) in [
        (Method::GET, "length", false),
        (Method::HEAD, "head", true),
        (Method::GET, "none", true),
        (Method::GET, "chunks", false),
        (Method::GET, "upgrade", true),
    ] {
        let response = ask(&mut service, method, format!("http://{addr}/{path}")).await;
        assert_eq!(response.status() == StatusCode::SWITCHING_PROTOCOLS, path == "upgrade");
        assert_eq!(handle.stats().in_use, u64::from(!is_empty), "{path}");
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().is_some(), path == "chunks");
        assert_eq!(collected.to_bytes(), if is_empty { "" } else { "hello" }, "{path}");
        assert_eq!(handle.stats().in_use, 0, "{path}");
    }
}
