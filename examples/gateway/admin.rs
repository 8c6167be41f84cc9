//! What operators ask of the gateway itself.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /status` | every part, live; see [`crate::status`] |
//! | `GET /metrics` | the same and all requests, for Prometheus |
//! | `POST /cache/purge` `{"uri": ".."}`, `{"prefix": ".."}`, `{"tag": ".."}` or `{"all": true}` | `{"purged": 1}`, in entries |
//!
//! A URI or a prefix that is only a path is one of the host that the request itself is sent to.

use crate::parts::Parts;
use crate::problem::Problem;
use crate::status;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::routing::{get, post};
use axum::{Json, Router};
use buttress::metrics::expose::Scrape;
use http::header::HOST;
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn router(parts: Parts) -> Router {
    Router::new()
        .route("/status", get(async |State(parts): State<Arc<Parts>>| Json(status::of(&parts.shown))))
        .route_service("/metrics", Scrape::new(&parts.registry))
        .route("/cache/purge", post(purge))
        .with_state(Arc::new(parts))
}

/// What is no longer to be served, not even stale.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Purge {
    Uri(String),
    Prefix(String),
    /// As the upstream has named it in `Cache-Tag` or `Surrogate-Key`.
    Tag(String),
    All(bool),
}

async fn purge(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    purge: Result<Json<Purge>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(purge) = purge?;
    let Some(cache) = &parts.cache else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the cache is off"));
    };
    if let Purge::Uri(uri) = &purge {
        if let Err(error) = uri.parse::<Uri>() {
            let detail = format!("`uri` is not one: {error}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    }
    let purged = match purge {
        Purge::Uri(uri) => cache.purge(&with_host(uri, &headers)),
        Purge::Prefix(prefix) => cache.purge_prefix(&with_host(prefix, &headers)),
        Purge::Tag(tag) => cache.purge_tag(&tag),
        Purge::All(true) => cache.purge_all(),
        Purge::All(false) => {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "`all` must be true"));
        }
    };
    Ok(Json(json!({ "purged": purged })))
}

fn with_host(uri: String, headers: &HeaderMap) -> String {
    let is_path = uri.starts_with('/') && !uri.starts_with("//");
    match headers.get(HOST).and_then(|host| host.to_str().ok()) {
        Some(host) if is_path => format!("//{host}{uri}"),
        _ => uri,
    }
}
