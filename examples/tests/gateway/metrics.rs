//! What `/metrics` says, through the real program.

use super::proxying::request;
use super::{Gateway, Http, PATIENCE};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use std::collections::HashMap;
use tokio::time::{Instant, timeout};

/// A scrape, by series.
#[derive(Debug)]
pub(super) struct Page(HashMap<String, f64>);

impl Page {
    /// Reads one as Prometheus does, and fails if a series is there twice, which Prometheus would not tell.
    pub(super) async fn of(gateway: &Gateway) -> Self {
        let (content_type, text) = text(&gateway.client, &format!("{}/metrics", gateway.admin)).await;
        assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let mut series = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let line = line.split(" # ").next().unwrap_or(line);
            let (name, value) = line.rsplit_once(' ').expect("a series has a value");
            let value = value.parse().expect("a value is a number");
            assert_eq!(series.insert(name.to_owned(), value), None, "twice: {name}");
        }
        Self(series)
    }

    pub(super) fn series(&self) -> usize {
        self.0.len()
    }

    /// Reads it until nothing is in flight; what has ended is counted by then. A client may have all of a response before
    /// the gateway is done with it.
    async fn at_rest(gateway: &Gateway) -> Self {
        let begin = Instant::now();
        loop {
            let page = Self::of(gateway).await;
            if page.active("server") == 0.0 && page.active("client") == 0.0 {
                return page;
            }
            assert!(begin.elapsed() < PATIENCE, "it never rests: {page:#?}");
        }
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series}, but {:#?}", self.0.keys()))
    }

    /// How many requests there were whose labels contain all of these.
    fn requests(&self, side: &str, labels: &[&str]) -> f64 {
        let name = format!("http_{side}_request_duration_seconds_count");
        let counts = self.0.iter().filter(|(series, _)| {
            series.starts_with(&name) && labels.iter().all(|label| series.contains(label))
        });
        counts.map(|(_, count)| count).sum()
    }

    fn active(&self, side: &str) -> f64 {
        let name = format!("http_{side}_active_requests");
        let active = self.0.iter().filter(|(series, _)| series.starts_with(&name));
        active.map(|(_, active)| active).sum()
    }
}

/// What is there for one that takes what Prometheus takes: its type, and itself.
async fn text(client: &Http, url: &str) -> (String, String) {
    let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                  text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let asking = Request::get(url).header("accept", accept).body(Body::empty()).expect("it makes sense");
    let response = timeout(PATIENCE, client.0.request(asking)).await.expect("no request hangs");
    let (head, body) = response.expect("the gateway is there").into_parts();
    let body = timeout(PATIENCE, body.collect()).await.expect("no body hangs").expect("a body is whole");
    let content_type = head.headers["content-type"].to_str().expect("it is text").to_owned();
    (content_type, String::from_utf8(body.to_bytes().into()).expect("it is UTF-8"))
}

#[tokio::test]
async fn every_part_and_every_end_of_a_request_is_on_the_page() {
    let gateway = Gateway::start(&["--failures", "1", "--open-for", "1h", "--open-max", "1h"]).await;
    assert_eq!(gateway.post("/memories", json!({ "content": "known" })).await.status, 201);
    for _ in 0..3 {
        assert_eq!(gateway.get("/memories/1").await.status, 200); // one miss and two hits
    }
    for path in ["/memories/7", "/memories/1/none", "/wp-admin", "/%00?x=1"] {
        assert_eq!(gateway.get(path).await.status, 404);
    }
    gateway.chaos(json!({ "mode": "fail", "status": 500 })).await;
    gateway.get("/memories").await.assert_problem(500);
    gateway.get("/memories").await.assert_refused();

    let page = Page::at_rest(&gateway).await;
    let duration = |labels: &[&str]| page.requests("server", labels);
    for (labels, count) in [
        (&["http_route=\"/memories/{id}\"", "status_code=\"200\"", "outcome=\"ok\""][..], 3.0),
        (&["http_route=\"/memories/{id}\"", "status_code=\"404\"", "outcome=\"client_error\""], 1.0),
        (&["http_route=\"/memories\"", "method=\"POST\"", "status_code=\"201\"", "outcome=\"ok\""], 1.0),
        (&["http_route=\"/memories\"", "status_code=\"500\"", "outcome=\"server_error\""], 1.0),
        (&["http_route=\"/memories\"", "status_code=\"503\"", "outcome=\"rejected\""], 1.0),
        (&["http_route="], 7.0), // what is no path of ours has none
        (&[], 10.0),
    ] {
        assert_eq!(duration(labels), count, "{labels:?}");
    }
    let upstream = gateway.upstream.rsplit(':').next().expect("it has a port");
    let asked = [&*format!("server_address=\"127.0.0.1\",server_port=\"{upstream}\"")];
    assert_eq!(page.requests("client", &asked), 7.0, "neither the hits nor the refusal");

    for (series, value) in [
        ("timeout_limit_seconds{name=\"deadline\"}", 10.0),
        ("timeout_limit_seconds{name=\"attempt\"}", 2.0),
        ("cache_requests_total{name=\"gateway\",outcome=\"hit\"}", 2.0),
        ("breaker_state{name=\"upstream\",state=\"open\"}", 1.0),
        ("breaker_state{name=\"upstream\",state=\"closed\"}", 0.0),
        ("breaker_calls_total{name=\"upstream\",outcome=\"refused\"}", 1.0),
        ("upstream_chaos{name=\"memories\",chaos=\"fail\"}", 1.0),
        ("batcher_requests_total{name=\"writes\",outcome=\"sent\"}", 1.0),
        ("pool_gets_total{name=\"database\",outcome=\"served\"}", 4.0), // one made the table
        ("pool_state{name=\"database\",state=\"up\"}", 1.0),
    ] {
        assert_eq!(page.value(series), value, "{series}");
    }
    let dropped = page.0.iter().find(|(series, _)| series.starts_with("buttress_metrics_dropped"));
    assert_eq!(dropped, None);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_cancelled_and_no_longer_in_flight() {
    let gateway = Gateway::start(&["--attempt-timeout", "50s", "--deadline", "55s"]).await;
    gateway.chaos(json!({ "mode": "stall" })).await;
    let mut leaving = Vec::new();
    for _ in 0..7 {
        leaving.push(request(&gateway, "GET /memories HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    gateway.until("stalled", |status| status.stalled() == 7.0).await;
    assert_eq!(Page::of(&gateway).await.active("server"), 7.0);
    drop(leaving);
    let page = Page::at_rest(&gateway).await;
    for side in ["server", "client"] {
        let cancelled = page.requests(side, &["outcome=\"cancelled\""]);
        assert_eq!((cancelled, page.requests(side, &[])), (7.0, 7.0), "{side}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_for_operators_has_the_metrics_and_the_other_has_them_not() {
    let gateway = Gateway::start(&["--admin", "127.0.0.1:0"]).await;
    assert_ne!(gateway.admin, gateway.url);
    assert_eq!(gateway.get("/metrics").await.status, 404, "it went to the upstream");
    let page = Page::at_rest(&gateway).await;
    assert_eq!(page.requests("server", &["status_code=\"404\""]), 1.0);
    gateway.stop().await;
}
