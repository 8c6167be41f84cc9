//! The embedded upstream: a small memory service on SQLite or PostgreSQL, with a listener of its own, so that what is
//! carried to it crosses real sockets. It stands for whatever you put the gateway before.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /memories` `{"content": "..", "tags": [".."]}` | 201, `Location`, the memory |
//! | `GET /memories?limit=20&after=0` | a page in the order they were made, and `next` |
//! | `GET /memories?q=text` | the same, only those that contain the text |
//! | `GET /memories/{id}` | the memory; with its `ETag` in `If-None-Match` 304. It may be cached: fresh for 5 s, served while it is asked for anew for 30 s, and for 10 min if that fails |
//! | `PUT`, `DELETE /memories/{id}` | 200, 204 |
//! | `POST /chaos` `{"mode": "fail"}`, `"stall"` or `"ok"` | the mode; see [`crate::chaos`] |

mod postgres;
mod sqlite;
mod store;

use crate::chaos::{self, Chaos};
use crate::problem::{self, Problem};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRef, Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use buttress::pool::Size;
use buttress::pool::postgres::Postgres;
use buttress::{Inspect, Metric, Name, Sink};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Memory, Range, Store, Text, Write};
use tokio::net::TcpListener;

const MAX_CONTENT: usize = 64 * 1024;
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;
const MAX_PAGE: u32 = 100;

/// Where memories are kept.
#[derive(Debug)]
pub(crate) enum Database {
    /// SQLite, and they end with the process.
    Memory,
    /// SQLite.
    File(PathBuf),
    /// So many connections to this server.
    Postgres(Box<Postgres>, Size),
}

/// The running service; it ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Memories {
    address: SocketAddr,
    service: Service,
}

impl Memories {
    /// Opens the database and serves on a loopback port of its own. Spawns tasks.
    pub(crate) async fn start(database: Database, max_batch: NonZeroU32) -> Result<Self, String> {
        let store = match database {
            Database::Postgres(server, size) => Store::postgres(*server, size, max_batch).await,
            Database::File(path) => Store::sqlite(Some(&path), max_batch).await,
            Database::Memory => Store::sqlite(None, max_batch).await,
        };
        let store = store.map_err(|error| format!("cannot open the database: {}", problem::chain(&error)))?;
        let service = Service { store, chaos: Chaos::default(), requests: Arc::default() };
        let serve = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            tokio::spawn(axum::serve(crate::without_delay(listener), service.router()).into_future());
            Ok(address)
        };
        let address =
            serve.await.map_err(|error: std::io::Error| format!("cannot serve memories: {error}"))?;
        Ok(Self { address, service })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is between it and its database.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Arc<dyn Inspect>> {
        self.service.store.parts()
    }

    /// Ends all chaos, so that nothing waits for it any longer.
    pub(crate) fn recover(&self) {
        self.service.chaos.recover();
    }
}

/// Whatever you write yourself can be seen beside the layers.
impl Inspect for Memories {
    fn kind(&self) -> &'static str {
        "upstream"
    }

    fn name(&self) -> Name {
        "memories".into()
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        const REQUESTS: Metric =
            Metric { name: "requests_total", unit: "", help: "requests for memories that arrived" };
        const STALLED: Metric = Metric { name: "stalled", unit: "", help: "requests kept by chaos" };
        const CHAOS: Metric = Metric { name: "chaos", unit: "", help: "what it was told to do" };
        sink.counter(&REQUESTS, &[], self.service.requests.load(Ordering::Relaxed));
        sink.gauge(&STALLED, &[], self.service.chaos.stalled() as f64);
        sink.state(&CHAOS, &Chaos::MODES, self.service.chaos.mode());
    }
}

#[derive(Clone, Debug)]
struct Service {
    store: Store,
    chaos: Chaos,
    /// Relaxed: a count, which publishes nothing.
    requests: Arc<AtomicU64>,
}

impl Service {
    fn router(&self) -> Router {
        Router::new()
            .route("/memories", get(list).post(create))
            .route("/memories/{id}", get(read).put(replace).delete(delete))
            .route_layer(middleware::from_fn_with_state(self.chaos.clone(), chaos::meddle))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&self.requests), count))
            .route("/chaos", post(chaos::set))
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here"))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here")
            })
            .layer(DefaultBodyLimit::max(2 * MAX_CONTENT))
            .with_state(self.clone())
    }
}

impl FromRef<Service> for Store {
    fn from_ref(service: &Service) -> Self {
        service.store.clone()
    }
}

impl FromRef<Service> for Chaos {
    fn from_ref(service: &Service) -> Self {
        service.chaos.clone()
    }
}

async fn count(State(requests): State<Arc<AtomicU64>>, request: Request, next: Next) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    content: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl Draft {
    fn check(self) -> Result<Text, Problem> {
        let refuse = |detail: String| Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        if self.tags.iter().chain([&self.content]).any(|text| text.contains('\0')) {
            refuse("no text may contain U+0000: PostgreSQL has no place for it".to_owned())
        } else if self.content.trim().is_empty() || self.content.len() > MAX_CONTENT {
            refuse(format!("`content` must be some text, of at most {MAX_CONTENT} bytes"))
        } else if self.tags.len() > MAX_TAGS {
            refuse(format!("there must be at most {MAX_TAGS} `tags`"))
        } else if self.tags.iter().any(|tag| tag.trim().is_empty() || tag.len() > MAX_TAG) {
            refuse(format!("each of the `tags` must be some text, of at most {MAX_TAG} bytes"))
        } else {
            Ok(Text { content: self.content, tags: self.tags })
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "Page::limit")]
    limit: u32,
    #[serde(default)]
    after: i64,
    q: Option<String>,
}

impl Page {
    fn limit() -> u32 {
        20
    }
}

async fn create(
    State(store): State<Store>,
    draft: Result<Json<Draft>, JsonRejection>,
) -> Result<Response, Problem> {
    let text = draft?.0.check()?;
    let Some(memory) = store.write(Write::Create(text)).await? else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the database made nothing"));
    };
    let location = format!("/memories/{}", memory.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(memory)).into_response())
}

async fn list(
    State(store): State<Store>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Page { limit, after, q }) = page?;
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("`limit` must be from 1 to {MAX_PAGE}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    if q.as_ref().is_some_and(|q| q.contains('\0')) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "`q` must be text without U+0000"));
    }
    let memories = store.list(Range { after, limit, containing: q }).await?;
    let full = memories.len() == limit as usize;
    let next = memories.last().filter(|_| full).map(|memory| memory.id);
    Ok(Json(json!({ "memories": memories, "next": next })))
}

async fn read(
    State(store): State<Store>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    let memory = store.read(id).await?.ok_or_else(|| unknown(id))?;
    let body = json!(memory).to_string();
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let about = [
        (CACHE_CONTROL, "max-age=5, stale-while-revalidate=30, stale-if-error=600".to_owned()),
        (ETAG, etag),
        (HeaderName::from_static("cache-tag"), "memories".to_owned()),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    Ok((about, [(CONTENT_TYPE, "application/json")], body).into_response())
}

async fn replace(
    State(store): State<Store>,
    id: Result<Path<i64>, PathRejection>,
    draft: Result<Json<Draft>, JsonRejection>,
) -> Result<Json<Memory>, Problem> {
    let Path(id) = id?;
    let text = draft?.0.check()?;
    store.write(Write::Replace(id, text)).await?.map(Json).ok_or_else(|| unknown(id))
}

async fn delete(
    State(store): State<Store>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    store.write(Write::Delete(id)).await?.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| unknown(id))
}

fn unknown(id: i64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no memory {id}"))
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::new(rejection.status(), rejection.body_text())
    }
}
