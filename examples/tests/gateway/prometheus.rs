//! A real Prometheus server scrapes the gateway while it is under load.

use super::metrics::Page;
use super::{Gateway, PATIENCE};
use axum::body::Body;
use buttress_testkit::servers::Prometheus;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const COUNT: &str = "http_server_request_duration_seconds_count";

/// What is asked for, and under which labels it is counted.
const KINDS: [(&str, u16, &str); 3] = [
    ("/memories/1", 200, r#"http_route="/memories/{id}",outcome="ok""#),
    ("/memories/7", 404, r#"http_route="/memories/{id}",outcome="client_error""#),
    ("/nothing", 404, r#"http_route="",outcome="client_error""#),
];

/// How many scrapes the load goes on for.
const SCRAPES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_as_many_requests_as_were_sent() {
    let gateway = Gateway::start(&[]).await;
    let prometheus = Prometheus::start().await;
    prometheus.scrape(gateway.url.trim_start_matches("http://").parse().expect("an address"));
    assert_eq!(gateway.post("/memories", json!({ "content": "known" })).await.status, 201);

    // A counter that is new has no increase yet.
    for (path, status, _) in KINDS {
        assert_eq!(traced(&gateway, path).await, status);
    }
    let warm = until(&prometheus, "the first requests", |seen| seen.totals() == Some([1.0; 3])).await;
    let load = Load::start(&gateway);
    until(&prometheus, "the load", |seen| seen.times.len() >= warm.times.len() + SCRAPES).await;
    let sent = load.stop().await.map(|sent| sent as f64);
    let all = sent.map(|sent| sent + 1.0);
    let end = until(&prometheus, "all that was sent", |seen| seen.totals() == Some(all)).await;

    let (from, to) = (end.last_with([1.0; 3]), end.first_with(all));
    for ((_, _, labels), sent) in KINDS.into_iter().zip(sent) {
        // A millisecond more: newer versions leave out what is at the beginning.
        let range = to - from + 1;
        let increase = value(&prometheus, &format!("increase({COUNT}{{{labels}}}[{range}ms])"), to).await;
        assert!((increase / sent - 1.0).abs() < 0.01, "{labels}: {increase} of {sent}");
        let rate = value(&prometheus, &format!("rate({COUNT}{{{labels}}}[{range}ms])"), to).await;
        let truth = sent / ((to - from) as f64 / 1e3);
        println!("{labels}: {sent} sent, {truth:.1} per second, found {increase:.1}, {rate:.1} per second");
        assert!((rate / truth - 1.0).abs() < 0.01, "{labels}: {rate} per second, not {truth}");
        assert_eq!(value(&prometheus, &format!("resets({COUNT}{{{labels}}}[1h])"), to).await, 0.0);
    }
    let median =
        format!("histogram_quantile(0.5, sum by (le) (rate({}[1h])))", COUNT.replace("count", "bucket"));
    let median = value(&prometheus, &median, to).await;
    assert!(median > 0.0 && median < PATIENCE.as_secs_f64(), "{median} s");

    assert_the_guide_is_right(&prometheus, to).await;
    assert_target_is_well(&prometheus).await;
    assert_the_trace_is_there(&prometheus).await;
    assert_nothing_is_there_twice(&prometheus, &gateway).await;
    gateway.stop().await;
}

/// What the guide asks has an answer.
async fn assert_the_guide_is_right(prometheus: &Prometheus, time: i64) {
    let guide = include_str!("../../../crates/buttress/docs/metrics.md");
    let (_, queries) = guide.split_once("```promql\n").expect("it asks");
    let (queries, _) = queries.split_once("\n```").expect("it ends");
    for promql in queries.lines() {
        let result = query(prometheus, promql, Some(time)).await;
        let found = result.as_array().expect("a list");
        assert!(!found.is_empty(), "{promql}");
        assert!(found.iter().all(|found| number(&found["value"][1]).is_finite()), "{promql}: {result:#}");
    }
}

async fn assert_target_is_well(prometheus: &Prometheus) {
    let begin = Instant::now();
    let mut pause = interval(Duration::from_millis(50));
    loop {
        let targets = api(prometheus, "targets").await;
        let [target] = targets["activeTargets"].as_array().expect("a list").as_slice() else {
            panic!("not one: {targets:#}");
        };
        // One scrape may have taken too long on a machine that is busy.
        if target["health"] == "up" && target["lastError"] == "" {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{targets:#}");
        pause.tick().await;
    }
    // It has asked for OpenMetrics: the other format has no units.
    let metadata = api(prometheus, "metadata?metric=http_server_request_duration_seconds").await;
    let metadata = &metadata["http_server_request_duration_seconds"][0];
    assert_eq!((&metadata["type"], &metadata["unit"]), (&json!("histogram"), &json!("seconds")));
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Asks for it as a part of this trace, and says what the status was.
async fn traced(gateway: &Gateway, path: &str) -> StatusCode {
    let request = Request::get(format!("{}{path}", gateway.url));
    let request = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let request = request.body(Body::empty()).expect("it makes sense");
    let response = timeout(PATIENCE, gateway.client.0.request(request)).await.expect("no request hangs");
    let response = response.expect("the gateway is there");
    let status = response.status();
    timeout(PATIENCE, response.into_body().collect()).await.expect("no body hangs").expect("a body is whole");
    status
}

async fn assert_the_trace_is_there(prometheus: &Prometheus) {
    let of = "http_server_request_duration_seconds_bucket";
    let series = api(prometheus, &format!("query_exemplars?query={of}&start=0&end=4000000000")).await;
    let series = series.as_array().expect("a list");
    let traces = series.iter().flat_map(|series| series["exemplars"].as_array().into_iter().flatten());
    let traces: Vec<_> = traces.map(|exemplar| exemplar["labels"]["trace_id"].as_str()).collect();
    // Of each kind one, whichever bucket it is in.
    assert_eq!(traces, [Some(TRACE); KINDS.len()]);
}

/// The server itself takes what is there twice, and only counts it.
async fn assert_nothing_is_there_twice(prometheus: &Prometheus, gateway: &Gateway) {
    let page = Page::of(gateway).await;
    let now = latest(prometheus).await.times.last_key_value().map_or(0, |(time, _)| *time);
    let kept = value(prometheus, r#"count({job="test",__name__!~"up|scrape_.*"})"#, now).await;
    assert_eq!(kept, page.series() as f64);
    let own = prometheus.get("/metrics").await.expect("it answers");
    let counted = own
        .lines()
        .find_map(|line| line.strip_prefix("prometheus_target_scrapes_sample_duplicate_timestamp_total "));
    assert_eq!(counted, Some("0"));
}

/// What was scraped so far: the counts of each kind by the time in milliseconds.
struct Seen {
    times: BTreeMap<i64, [f64; 3]>,
}

impl Seen {
    fn totals(&self) -> Option<[f64; 3]> {
        self.times.last_key_value().map(|(_, totals)| *totals)
    }

    fn last_with(&self, totals: [f64; 3]) -> i64 {
        let mut found = self.times.iter().rev().filter(|(_, seen)| **seen == totals);
        found.next().map(|(time, _)| *time).expect("it was seen")
    }

    fn first_with(&self, totals: [f64; 3]) -> i64 {
        let mut found = self.times.iter().filter(|(_, seen)| **seen == totals);
        found.next().map(|(time, _)| *time).expect("it was seen")
    }
}

async fn latest(prometheus: &Prometheus) -> Seen {
    let mut times = BTreeMap::new();
    for (kind, (_, _, labels)) in KINDS.into_iter().enumerate() {
        let series = query(prometheus, &format!("{COUNT}{{{labels}}}[1h]"), None).await;
        for sample in series[0]["values"].as_array().into_iter().flatten() {
            let time = (sample[0].as_f64().expect("a time") * 1e3).round() as i64;
            times.entry(time).or_insert([f64::NAN; 3])[kind] = number(&sample[1]);
        }
    }
    // Asked for one after the other: the last of a later one may not be there of an earlier one.
    times.retain(|_, totals| totals.iter().all(|total| !total.is_nan()));
    Seen { times }
}

/// Waits until what was scraped shows what is wanted.
async fn until(prometheus: &Prometheus, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
    let begin = Instant::now();
    let mut pause = interval(Duration::from_millis(50));
    loop {
        let seen = latest(prometheus).await;
        if wanted(&seen) {
            return seen;
        }
        assert!(begin.elapsed() < PATIENCE, "it never saw {what}: {:#?}", seen.times);
        pause.tick().await;
    }
}

/// The one number that a query gives at a time.
async fn value(prometheus: &Prometheus, promql: &str, time: i64) -> f64 {
    let result = query(prometheus, promql, Some(time)).await;
    assert_eq!(result.as_array().map(Vec::len), Some(1), "{promql}: {result:#}");
    number(&result[0]["value"][1])
}

fn number(text: &Value) -> f64 {
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not a number: {text}"))
}

async fn query(prometheus: &Prometheus, promql: &str, time: Option<i64>) -> Value {
    let encoded: String = promql.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let time = time.map(|time| format!("&time={}", time as f64 / 1e3)).unwrap_or_default();
    api(prometheus, &format!("query?query={encoded}{time}")).await["result"].take()
}

async fn api(prometheus: &Prometheus, what: &str) -> Value {
    let answer = prometheus.get(&format!("/api/v1/{what}")).await.unwrap_or_else(|error| panic!("{error}"));
    let mut answer: Value = serde_json::from_str(&answer).expect("it answers in JSON");
    answer["data"].take()
}

/// Clients that ask until they are told to stop, and count what they have asked for.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<[u64; 3]>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let mut load = Self { stop: Arc::default(), clients: JoinSet::new() };
        for _ in 0..4 {
            let (client, url, stop) = (gateway.client.clone(), gateway.url.clone(), Arc::clone(&load.stop));
            load.clients.spawn(async move {
                let mut sent = [0; 3];
                // Relaxed: nothing but the flag is told.
                while !stop.load(Ordering::Relaxed) {
                    for (sent, (path, status, _)) in sent.iter_mut().zip(KINDS) {
                        let answer = client.ask(Method::GET, &format!("{url}{path}"), None).await;
                        assert_eq!(answer.status, status, "{answer:?}");
                        *sent += 1;
                    }
                }
                sent
            });
        }
        load
    }

    async fn stop(self) -> [u64; 3] {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.clients.join_all().await;
        std::array::from_fn(|kind| all.iter().map(|sent| sent[kind]).sum())
    }
}
