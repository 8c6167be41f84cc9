//! What a body takes of memory that is far too long to be stored. In a process of its own, as all of it is measured.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_cache::Config;
use buttress_cache::http::{Body, HttpCache, HttpCacheLayer, HttpOptions};
use buttress_core::Error;
use buttress_testkit::alloc::live_bytes;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tower::{Layer, ServiceExt, service_fn};

const CHUNK: usize = 64 << 10;
const LENGTH: u64 = 10 << 30;
const MAX_BODY: u64 = 1 << 20;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// A chunk, counted for as long as anybody holds it.
struct Chunk(Arc<AtomicU64>);

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &ZEROS
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Long {
    left: u64,
    held: Arc<AtomicU64>,
}

impl http_body::Body for Long {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(CHUNK as u64) else { return Poll::Ready(None) };
        self.left = left;
        self.held.fetch_add(1, Ordering::Relaxed);
        let chunk = Chunk(Arc::clone(&self.held));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(chunk)))))
    }
}

/// Reads it all, and checks that what it was to be stored by stays small.
async fn flows_through<F>(cache: &HttpCache, held: &AtomicU64, response: F)
where
    F: Future<Output = Result<Response<Body<Long>>, Error<Infallible>>>,
{
    let before = live_bytes();
    let mut body = response.await.unwrap().into_body();
    let (mut read, mut most_held, mut most_bytes) = (0, 0, 0);
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len() as u64;
        most_held = most_held.max(held.load(Ordering::Relaxed));
        most_bytes = most_bytes.max(live_bytes().saturating_sub(before));
    }
    assert_eq!(read, LENGTH);
    assert!(most_held <= MAX_BODY / CHUNK as u64 + 1, "{most_held} chunks were held at once");
    // What may yet be stored is copied as it comes, up to the limit.
    assert!(most_bytes < MAX_BODY + (64 << 10), "{most_bytes} bytes beside them");
    assert_eq!((held.load(Ordering::Relaxed), cache.stats().entries, cache.stats().loading), (0, 0, 0));
}

#[tokio::test]
async fn ten_gibibytes_go_through_a_limit_of_one_mebibyte_in_flat_memory() {
    let held = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&held);
    let origin = service_fn(move |_: Request<()>| {
        let held = Arc::clone(&made);
        async move {
            let response = Response::builder().header("cache-control", "max-age=60");
            Ok::<_, Error<Infallible>>(response.body(Long { left: LENGTH, held }).unwrap())
        }
    });
    let cache = HttpCache::new("edge", Config::default(), HttpOptions::default().max_body(MAX_BODY));
    let layer = HttpCacheLayer::new(&cache);
    let request = || Request::get("http://a.test/").body(()).unwrap();
    flows_through(&cache, &held, layer.layer(origin.clone()).oneshot(request())).await;
    flows_through(&cache, &held, layer.background().layer(origin).oneshot(request())).await;
}
