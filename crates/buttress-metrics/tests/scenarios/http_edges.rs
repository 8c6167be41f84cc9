//! Requests and bodies that end as few do.

use buttress_core::{Metric, Name};
use buttress_metrics::Registry;
use buttress_metrics::http::{Config, HttpMetricsLayer};

#[test]
fn a_layer_that_could_not_be_made_has_kept_no_name_of_http() {
    for (taken, body_sizes) in [("active_requests", false), ("response_body_size_bytes", true)] {
        let registry = Registry::new();
        let metric =
            |name| Metric { name: Name::new(&format!("http_server_{name}")).as_str(), unit: "", help: "" };
        registry.gauge(&metric(taken)).unwrap();
        let layer =
            |body_sizes| HttpMetricsLayer::server(Config::default().body_sizes(body_sizes), &registry);
        layer(body_sizes).unwrap_err();
        if body_sizes {
            layer(false).unwrap();
            layer(true).unwrap_err();
        } else {
            registry.gauge(&metric("request_duration_seconds")).unwrap();
        }
        registry.gauge(&metric("request_body_size_bytes")).unwrap();
    }
}
