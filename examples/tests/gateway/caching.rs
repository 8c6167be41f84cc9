//! What the gateway keeps: who is answered from it, and who is not any longer.

use super::proxying::{Upstream, request};
use super::{Answer, Gateway};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

impl Answer {
    /// What the gateway says of itself: `hit; ttl=5`.
    fn cache(&self) -> &str {
        let status = self.headers.get("cache-status").unwrap_or_else(|| panic!("not said: {self:?}"));
        status.to_str().ok().and_then(|status| status.strip_prefix("gateway; ")).expect("it is the gateway's")
    }
}

impl Gateway {
    async fn remember(&self, content: &str) -> String {
        let made = self.post("/memories", json!({ "content": content })).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.headers["location"].to_str().expect("it is a path").to_owned()
    }

    async fn purge(&self, what: Value) -> Answer {
        self.client.ask(Method::POST, &format!("{}/cache/purge", self.admin), Some(what)).await
    }

    async fn gauge(&self, name: &str) -> f64 {
        self.status().await.part("gateway")["gauges"][name].as_f64().unwrap_or_else(|| panic!("no {name}"))
    }
}

#[tokio::test]
async fn what_was_read_is_answered_without_asking_until_it_is_written() {
    let gateway = Gateway::start(&[]).await;
    let memory = gateway.remember("the first").await;
    let arrived = gateway.status().await.arrived();

    let first = gateway.get(&memory).await;
    assert_eq!((first.status.as_u16(), first.cache()), (200, "fwd=uri-miss; stored"));
    let second = gateway.get(&memory).await;
    assert_eq!(second.body["content"], "the first");
    assert!(second.cache().starts_with("hit; ttl="), "{second:?}");
    let same = gateway.client.ask(Method::HEAD, &format!("{}{memory}", gateway.url), None).await;
    assert!(same.cache().starts_with("hit; ttl="), "{same:?}");
    assert_eq!(gateway.status().await.arrived(), arrived + 1);
    assert!(gateway.gauge("entries").await >= 1.0);

    let url = format!("{}{memory}", gateway.url);
    let written = gateway.client.ask(Method::PUT, &url, Some(json!({ "content": "changed" }))).await;
    assert_eq!((written.status.as_u16(), written.cache()), (200, "fwd=method"));
    assert_eq!(gateway.get(&memory).await.body["content"], "changed");
    assert_eq!(gateway.status().await.arrived(), arrived + 3);

    // What does not say how long it is fresh is not kept.
    assert_eq!(gateway.get("/memories").await.cache(), "fwd=uri-miss; detail=stale-without-validator");
    gateway.stop().await;
}

#[tokio::test]
async fn a_purge_forgets_by_uri_tag_prefix_and_all() {
    let gateway = Gateway::start(&[]).await;
    let memory = gateway.remember("the first").await;
    let url = format!("{}{memory}", gateway.url);
    for (what, purged) in [
        (json!({ "uri": url }), 1),
        (json!({ "uri": memory }), 1),
        (json!({ "uri": "/memories/0" }), 0),
        (json!({ "prefix": "/memo" }), 1),
        (json!({ "prefix": format!("{}/m", gateway.url) }), 1),
        (json!({ "prefix": "/other" }), 0),
        (json!({ "tag": "memories" }), 1),
        (json!({ "tag": "memory" }), 0),
        (json!({ "all": true }), 1),
    ] {
        gateway.get(&memory).await;
        let hit = gateway.get(&memory).await;
        assert!(hit.cache().starts_with("hit"), "before {what}: {hit:?}");
        let answer = gateway.purge(what.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({ "purged": purged })), "{what}");
        let next = gateway.get(&memory).await;
        assert_eq!(next.cache().starts_with("hit"), purged == 0, "after {what}: {next:?}");
    }
    for nonsense in [json!({ "all": false }), json!({}), json!({ "url": "/" }), json!({ "uri": "a b" })] {
        let answer = gateway.purge(nonsense.clone()).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{nonsense}: {answer:?}");
        answer.assert_problem(answer.status.as_u16());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_may_be_served_stale_is_while_the_upstream_fails() {
    let upstream = Upstream::bind().await;
    let url = upstream.url();
    let gateway = Gateway::start(&["--upstream", &url, "--failures", "2", "--open-for", "1m"]).await;
    let asked = tokio::spawn({
        let (client, url) = (gateway.client.clone(), gateway.url.clone());
        async move {
            let mut answers = Vec::new();
            for path in ["/mine", "/strict"] {
                answers.push(client.ask(Method::GET, &format!("{url}{path}"), None).await);
            }
            answers
        }
    });
    // Stale at once. The second must not be served so.
    for directives in ["max-age=0, stale-if-error=60", "max-age=0, must-revalidate"] {
        let (mut exchange, _) = upstream.accept().await;
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: {directives}\r\nETag: \"1\"\r\n");
        let response = format!("{head}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        exchange.write_all(response.as_bytes()).await.expect("it reads");
    }
    let answers = asked.await.expect("they are answered");
    assert!(answers.iter().all(|answer| answer.cache() == "fwd=uri-miss; stored"), "{answers:?}");

    drop(upstream);
    // At first the upstream is asked and is not there; soon the breaker is open, and nobody is asked.
    for _ in 0..10 {
        let stale = gateway.get("/mine").await;
        assert_eq!(stale.status, 200);
        assert!(stale.cache().ends_with("; detail=stale-if-error"), "{stale:?}");
        assert!(stale.headers.contains_key("age"), "{stale:?}");
    }
    let strict = gateway.get("/strict").await;
    assert!([502, 503].contains(&strict.status.as_u16()), "{strict:?}");

    // What is purged is not served, not even now.
    gateway.purge(json!({ "uri": "/mine" })).await;
    let gone = gateway.get("/mine").await;
    assert!(gone.status.is_server_error(), "{gone:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_request_to_the_upstream() {
    let gateway = Gateway::start(&["--attempt-timeout", "20s", "--deadline", "60s"]).await;
    let memory = gateway.remember("asked for by many").await;
    let arrived = gateway.status().await.arrived();
    gateway.chaos(json!({ "mode": "stall" })).await;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (client, url) = (gateway.client.clone(), format!("{}{memory}", gateway.url));
        callers.spawn(async move { client.ask(Method::GET, &url, None).await });
    }
    let all = |status: &super::Status| status.part("deadline")["gauges"]["in_flight"] == 50.0;
    gateway.until("all asked", |status| all(status) && status.stalled() == 1.0).await;
    gateway.chaos(json!({ "mode": "ok" })).await;
    for answer in callers.join_all().await {
        assert_eq!(answer.body["content"], "asked for by many");
    }
    assert_eq!(gateway.status().await.arrived(), arrived + 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_half_way_spoils_nothing() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(&["--upstream", &upstream.url()]).await;
    let mut client = request(&gateway, "GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut exchange, _) = upstream.accept().await;
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nabc";
    exchange.write_all(head.as_bytes()).await.expect("it reads");
    client.read_u8().await.expect("its response has begun");
    drop(client);
    exchange.write_all(b"def").await.expect("it is read to its end all the same");

    // Another waits for that, or comes after it; the upstream is not asked again.
    let mut other = request(&gateway, "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.expect("it is text");
    assert!(answer.ends_with("\r\n\r\nabcdef"), "{answer}");
    assert!(answer.contains("cache-status: gateway; hit") || answer.contains("; collapsed"), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_cache_can_be_switched_off_and_its_controls_moved() {
    let flags = ["--cache-mib", "0", "--admin", "127.0.0.1:0"];
    let gateway = Gateway::start(&flags).await;
    assert_ne!(gateway.admin, gateway.url);
    let memory = gateway.remember("never kept").await;
    for arrived in 2..4 {
        let answer = gateway.get(&memory).await;
        assert!(!answer.headers.contains_key("cache-status"), "{answer:?}");
        assert_eq!(gateway.status().await.arrived(), arrived);
    }
    gateway.purge(json!({ "all": true })).await.assert_problem(404);
    // Clients are not told, and cannot purge.
    gateway.get("/status").await.assert_problem(404);
    gateway.post("/cache/purge", json!({ "all": true })).await.assert_problem(404);
    gateway.stop().await;
}

#[tokio::test]
async fn the_length_of_what_is_kept_is_told_as_it_is() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(&["--upstream", &upstream.url()]).await;
    let mut client = request(&gateway, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (mut exchange, _) = upstream.accept().await;
    let head =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n";
    exchange.write_all(head.as_bytes()).await.expect("it reads");
    exchange.write_all(b"3\r\nabc\r\n0\r\n\r\n").await.expect("it reads");
    client.read_to_string(&mut String::new()).await.expect("it is text");
    for (asked, status, length) in [
        ("GET /a HTTP/1.1\r\n", "200", Some("3")),
        ("HEAD /a HTTP/1.1\r\n", "200", Some("3")),
        ("GET /a HTTP/1.1\r\nIf-None-Match: \"1\"\r\n", "304", None),
        ("GET /a HTTP/1.1\r\nRange: bytes=1-\r\n", "206", Some("2")),
        ("GET /a HTTP/1.1\r\nRange: bytes=5-\r\n", "416", Some("0")),
    ] {
        let mut client = request(&gateway, &format!("{asked}Host: a\r\nConnection: close\r\n\r\n")).await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("it is text");
        let said = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("cache-status: gateway; hit"), "{answer}");
        assert_eq!(said, length, "RFC 9110 §8.6 {asked}: {answer}");
    }
    gateway.stop().await;
}
