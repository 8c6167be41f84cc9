//! A signal lets requests in flight end, for a while.

use super::proxying::{Upstream, request};
use super::{Gateway, PATIENCE};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Longer than a test may take: nothing ends because its time is over.
const SLOW: [&str; 4] = ["--attempt-timeout", "50s", "--deadline", "55s"];

/// Waits until the gateway takes no more connections.
async fn closed(gateway: &Gateway) {
    let begin = Instant::now();
    while TcpStream::connect(gateway.url.trim_start_matches("http://")).await.is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it still listens");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_in_flight_ends_and_no_other_begins() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::bind().await;
        let gateway = Gateway::start(&[&SLOW[..], &["--upstream", &upstream.url()]].concat()).await;
        let mut client = request(&gateway, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (mut exchange, _) = upstream.accept().await;

        gateway.signal(signal);
        closed(&gateway).await;

        exchange.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole").await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("it ends").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("whole"), "{answer}");
        let (status, written) = gateway.end().await;
        assert_eq!(status.code(), Some(0), "{written}");
        assert!(written.contains("drained"), "{written}");
    }
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    for (drain, signals, says) in [("50ms", 1, "in flight"), ("50s", 2, "at once")] {
        let upstream = Upstream::bind().await;
        let flags = ["--upstream", &upstream.url(), "--drain", drain];
        let gateway = Gateway::start(&[&SLOW[..], &flags].concat()).await;
        let _client = request(&gateway, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (_exchange, _) = upstream.accept().await;
        for _ in 0..signals {
            gateway.signal("TERM");
            closed(&gateway).await;
        }
        let (status, written) = gateway.end().await; // in less than the 50 s that the request may take
        assert_eq!(status.code(), Some(0), "{written}");
        assert!(written.contains(says), "{written}");
    }
}

#[tokio::test]
async fn stalled_requests_are_let_go_before_the_end() {
    let gateway = Gateway::start(&[&SLOW[..], &["--drain", "50s"]].concat()).await;
    gateway.chaos(json!({ "mode": "stall" })).await;
    let mut client = request(&gateway, "GET /memories HTTP/1.1\r\nhost: x\r\n\r\n").await;
    gateway.until("stalled", |status| status.stalled() == 1.0).await;
    gateway.signal("TERM");
    let mut answer = String::new();
    timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("it ends").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(gateway.end().await.0.code(), Some(0));
}
