//! Every layer of this crate keeps the tower contract.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_metrics::{Config, MetricsLayer, Outcome, Registry, TraceId};
use buttress_testkit::laws;

fn layer() -> MetricsLayer {
    MetricsLayer::new("laws", Config::default(), &Registry::new()).unwrap()
}

#[test]
fn the_metrics_layer_keeps_the_laws() {
    laws::in_place!(layer());
    laws::in_place!(
        layer()
            .operation(|n: &u64| Some(if n % 2 == 0 { "even" } else { "odd" }))
            .exemplars(|n: &u64| TraceId::new(u128::from(*n)))
            .judge(|result: Result<&u64, &_>| if result.is_ok() { Outcome::Ok } else { Outcome::Error })
    );
}

#[test]
fn the_metrics_layer_keeps_the_laws_when_its_cap_is_used_up() {
    laws::in_place!({
        let registry = Registry::new();
        let config = Config::default().cap(1);
        MetricsLayer::new("first", config.clone(), &registry).unwrap();
        MetricsLayer::new("laws", config, &registry).unwrap().operation(|_: &u64| Some("any"))
    });
}

#[cfg(feature = "http")]
mod http {
    use super::*;
    use ::http::{Request, Response};
    use buttress_metrics::http::{Config, HttpMetricsLayer, RequestBody};
    use http_body_util::Full;

    type Body = Full<&'static [u8]>;

    fn request(n: u64) -> Request<Body> {
        Request::get(format!("http://localhost/{n}")).body(Body::from(&b"question"[..])).unwrap()
    }

    fn respond<B>(_: Request<B>) -> Response<Body> {
        Response::new(Body::from(&b"answer"[..]))
    }

    #[test]
    fn the_server_s_layer_keeps_the_laws() {
        laws::in_place!(
            HttpMetricsLayer::server(Config::default(), &Registry::new()).unwrap(),
            request: request,
            respond: respond,
        );
        laws::in_place!(
            HttpMetricsLayer::server(Config::default().body_sizes(true), &Registry::new())
                .unwrap()
                .route(|_: &Request<Body>| Some("/{n}"))
                .exemplars(|_: &Request<Body>| TraceId::new(7)),
            request: request,
            respond: respond,
        );
    }

    #[test]
    fn the_client_s_layer_keeps_the_laws() {
        laws::in_place!(
            HttpMetricsLayer::client(Config::default().body_sizes(true), &Registry::new()).unwrap(),
            request: request,
            respond: respond,
        );
    }

    #[test]
    fn a_layer_that_counts_bodies_keeps_the_laws() {
        laws::in_place!(
            HttpMetricsLayer::server(Config::default().body_sizes(true), &Registry::new())
                .unwrap()
                .count_request_bodies(),
            request: request,
            respond: respond::<RequestBody<Body>>,
        );
    }
}
