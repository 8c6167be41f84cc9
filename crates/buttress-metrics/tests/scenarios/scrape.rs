//! The service that answers scrapes.

use buttress_core::Metric;
use buttress_metrics::expose::{Format, Scrape};
use buttress_metrics::{Counter, Open, OpenFamily, Registry};
use flate2::read::GzDecoder;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::io::Read;
use tower::ServiceExt;

const LOGINS: Metric = Metric { name: "logins_total", unit: "", help: "of a test" };

fn registry(series: usize) -> Registry {
    let registry = Registry::new();
    let logins: OpenFamily<Counter, 1> =
        registry.open_counters(&LOGINS, Open::new(["user"]).cap(1000)).unwrap();
    (0..series).for_each(|user| logins.get([&user.to_string()]).inc());
    registry
}

async fn answer(registry: &Registry, method: Method, headers: &[(&str, &str)]) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder().method(method).uri("/metrics");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = Scrape::new(registry).oneshot(request.body(()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), body.to_vec())
}

#[tokio::test]
async fn each_scraper_gets_the_format_that_it_reads() {
    let registry = registry(3);
    for (accept, format) in [
        ("text/plain", Format::Text),
        ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
        ("image/png", Format::Text),
        ("application/openmetrics-text;q=0", Format::Text),
    ] {
        let (head, body) = answer(&registry, Method::GET, &[("accept", accept)]).await;
        assert_eq!(head.status(), StatusCode::OK, "{accept}");
        assert_eq!(head.headers()["content-type"], format.content_type());
        assert_eq!(head.headers()["content-length"], body.len().to_string());
        assert_eq!(head.headers()["cache-control"], "no-store");
        assert_eq!(body, registry.encode(format).as_bytes());
    }
}

#[tokio::test]
async fn what_is_long_is_compressed_for_those_who_take_it() {
    let registry = registry(1000);
    let (head, body) = answer(&registry, Method::GET, &[("accept-encoding", "deflate, gzip")]).await;
    assert_eq!(head.headers()["content-encoding"], "gzip");
    assert_eq!(head.headers()["content-length"], body.len().to_string());
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    assert_eq!(text, registry.encode(Format::Text));
    assert!(body.len() * 5 < text.len(), "{} of {}", body.len(), text.len());

    for headers in [&[("accept-encoding", "gzip;q=0")][..], &[]] {
        let (head, body) = answer(&registry, Method::GET, headers).await;
        assert_eq!((head.headers().get("content-encoding"), body), (None, text.clone().into_bytes()));
        assert_eq!(head.headers()["vary"], "accept, accept-encoding");
    }
    let (head, _) = answer(&self::registry(1), Method::GET, &[("accept-encoding", "gzip")]).await;
    assert_eq!(head.headers().get("content-encoding"), None, "a line is not worth it");
}

#[tokio::test]
async fn head_gets_the_head_and_other_methods_are_told_which_ones_there_are() {
    let registry = registry(3);
    let (head, body) = answer(&registry, Method::HEAD, &[]).await;
    let length = registry.encode(Format::Text).len().to_string();
    assert_eq!((head.status(), body.len()), (StatusCode::OK, 0));
    assert_eq!(head.headers()["content-length"], length);
    let (head, body) = answer(&registry, Method::POST, &[]).await;
    assert_eq!((head.status(), body.len()), (StatusCode::METHOD_NOT_ALLOWED, 0));
    assert_eq!(head.headers()["allow"], "GET, HEAD");
}
