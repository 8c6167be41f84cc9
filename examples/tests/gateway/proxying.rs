//! What goes through, byte by byte, with an upstream that the test plays itself.

use super::{Gateway, PATIENCE, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A listener that answers nothing by itself.
pub(super) struct Upstream(TcpListener);

impl Upstream {
    pub(super) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("it is bound"))
    }

    /// The next request: its connection, and everything up to the end of its head, in lower case.
    pub(super) async fn accept(&self) -> (TcpStream, String) {
        let (mut stream, _) =
            timeout(PATIENCE, self.0.accept()).await.expect("a request arrives").expect("it can accept");
        let head = read_until(&mut stream, "\r\n\r\n").await;
        (stream, head.to_lowercase())
    }
}

/// Sends bytes to the gateway on a connection of their own.
pub(super) async fn request(gateway: &Gateway, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.expect("it listens");
    stream.write_all(bytes.as_bytes()).await.expect("it reads");
    stream
}

/// Reads byte by byte up to and including `end`, and nothing of what follows.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("more arrives");
        read.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&read))));
    }
    String::from_utf8(read).expect("it is text")
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(&["--upstream", &upstream.url()]).await;
    let mut client = request(
        &gateway,
        "GET /a%20b?c=d HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\
         X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Proto: https\r\n\r\n",
    )
    .await;

    let (mut exchange, head) = upstream.accept().await;
    assert!(head.starts_with("get /a%20b?c=d http/1.1\r\n"), "{head}");
    for there in [
        &format!("\r\nhost: {}\r\n", upstream.0.local_addr().unwrap()),
        "\r\nx-kept: 2\r\n",
        "\r\nvia: 1.1 gateway\r\n",
        "\r\nx-forwarded-for: 10.0.0.1\r\n",
        "\r\nx-forwarded-for: 127.0.0.1\r\n",
        "\r\nx-forwarded-host: shop.example\r\n",
        "\r\nx-forwarded-proto: http\r\n",
    ] {
        assert!(head.contains(there), "{there} is not in {head}");
    }
    for gone in ["x-mine", "connection", "keep-alive", "\r\nte:", "upgrade", "forged", "https"] {
        assert!(!head.contains(gone), "{gone} is in {head}");
    }

    let response = "HTTP/1.1 418 I'm a teapot\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
                    X-Kept: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntea\r\n0\r\n\r\n";
    exchange.write_all(response.as_bytes()).await.unwrap();
    let head = read_until(&mut client, "\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 418") && head.contains("x-kept: 2"), "{head}");
    assert!(!head.contains("secret") && !head.contains("keep-alive"), "{head}");
    assert_eq!(read_until(&mut client, "0\r\n\r\n").await, "3\r\ntea\r\n0\r\n\r\n");
    gateway.stop().await;
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(&["--upstream", &upstream.url()]).await;
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = request(&gateway, head).await;
    client.write_all(b"4\r\nhalf\r\n").await.unwrap();
    let (mut exchange, _) = upstream.accept().await;
    // Each half arrives before the other is sent.
    assert_eq!(read_until(&mut exchange, "half\r\n").await, "4\r\nhalf\r\n");
    client.write_all(b"5\r\nwhole\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(read_until(&mut exchange, "0\r\n\r\n").await, "5\r\nwhole\r\n0\r\n\r\n");

    exchange.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    assert_eq!(read_until(&mut client, "half").await, "half");
    exchange.write_all(b"whole").await.unwrap();
    assert_eq!(read_until(&mut client, "whole").await, "whole");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_says_nothing_about_the_upstream() {
    // Long times, so that it is the client that ends them.
    let gateway = Gateway::start(&["--failures", "1", "--attempt-timeout", "50s", "--deadline", "55s"]).await;
    let head = "POST /memories HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = request(&gateway, &format!("{head}3\r\n{{\"c\r\nnot a length\r\n")).await;
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let status = gateway.until("idle", |status| status.calls("ignored") == 1 && status.idle()).await;
    assert_eq!((status.breaker(), status.calls("failure")), ("closed", 0));

    // One that goes away in the midst of its body, or of the answer it waits for, leaves nothing behind.
    let client = request(&gateway, &format!("{head}3\r\n{{\"c\r\n")).await;
    gateway.until("in flight", |status| !status.idle()).await;
    drop(client);
    gateway.until("idle", Status::idle).await;
    gateway.chaos(serde_json::json!({ "mode": "stall" })).await;
    let client = request(&gateway, "GET /memories HTTP/1.1\r\nhost: x\r\n\r\n").await;
    gateway.until("stalled", |status| status.stalled() == 1.0).await;
    drop(client);
    let status = gateway.until("let go", |status| status.stalled() == 0.0 && status.idle()).await;
    assert_eq!((status.breaker(), status.calls("failure")), ("closed", 0));
    gateway.stop().await;
}

#[tokio::test]
async fn clients_that_trickle_say_nothing_about_the_upstream() {
    let gateway = Gateway::start(&[
        "--failures",
        "1",
        "--attempt-timeout",
        "50s",
        "--deadline",
        "55s",
        "--upload-timeout",
        "50ms",
    ])
    .await;
    let head =
        "POST /memories HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    for _ in 0..3 {
        let mut client = request(&gateway, head).await;
        assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 408"));
    }
    let status = gateway.until("idle", |status| status.calls("ignored") == 3 && status.idle()).await;
    assert_eq!((status.breaker(), status.calls("failure")), ("closed", 0));
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_a_bad_gateway() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(&["--upstream", &upstream.url()]).await;
    for answer in ["", "HTTP/1.1 200", "not http at all\r\n\r\n"] {
        let mut client = request(&gateway, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (mut exchange, _) = upstream.accept().await;
        exchange.write_all(answer.as_bytes()).await.unwrap();
        drop(exchange);
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 502") && head.contains("application/problem+json"), "{head}");
    }
    assert_eq!(gateway.status().await.calls("failure"), 3);
    gateway.stop().await;
}
