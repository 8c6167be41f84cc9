use super::{Format, negotiate};
use crate::registry::Registry;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// What is shorter than a packet is not compressed.
const COMPRESSED_FROM: usize = 1400;

/// Answers scrapes: a tower service to mount at `/metrics`.
///
/// It answers `GET` and `HEAD` in the format that `Accept` asks for, compressed where `Accept-Encoding` takes gzip. The
/// text is made while it is asked for, on the caller's thread: about 5 ms for a thousand series.
///
/// Whoever may reach it can read all numbers. Mount it on a port of its own, or behind a layer that knows who asks.
///
/// # Examples
///
/// With axum: `Router::new().route_service("/metrics", Scrape::new(&registry))`. By itself:
///
/// ```
/// use buttress_metrics::{Registry, expose::Scrape};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::new();
/// let request = http::Request::get("/metrics").header("accept", "application/openmetrics-text").body(())?;
/// let response = Scrape::new(&registry).oneshot(request).await?;
/// assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Scrape {
    registry: Registry,
}

impl Scrape {
    /// Shows this registry.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone() }
    }

    fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = Response::new(Body(None));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let format = Format::accepted(texts(headers, header::ACCEPT));
        let text = self.registry.encode(format);
        let codings = negotiate::codings(texts(headers, header::ACCEPT_ENCODING));
        let is_worth_it = text.len() >= COMPRESSED_FROM || !codings.identity;
        let gzipped = (codings.gzip && is_worth_it).then(|| gzip(text.as_bytes()));
        let (body, is_gzip) = match gzipped {
            Some(Ok(gzipped)) => (Bytes::from(gzipped), true),
            // Writing to memory does not fail; if it did, the text would do.
            Some(Err(_)) | None => (Bytes::from(text), false),
        };
        let mut response = Response::new(Body(None));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if is_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if method == Method::GET {
            response.body_mut().0 = Some(body);
        }
        response
    }
}

/// The values of a header that are texts.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

impl<B> Service<Request<B>> for Scrape {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.headers())))
    }
}

/// The body of an answer to a scrape: one piece, or none.
#[derive(Debug)]
pub struct Body(Option<Bytes>);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
