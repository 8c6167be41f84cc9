//! Bodies that end late, or do not end, and clients that do not read them.

use super::*;
use buttress_cache::http::Apart;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One chunk again and again; it ends when it is told to, and then knows that it has before it is polled.
#[derive(Clone, Default)]
struct Endless {
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

static CHUNK: [u8; 1024] = [b'x'; 1024];

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Once(Endless);

impl Service<Request<()>> for Once {
    type Response = Response<Endless>;
    type Error = TestError;
    type Future = std::future::Ready<Result<Response<Endless>, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(self.0.clone());
        *response.headers_mut() = fields(FRESH);
        std::future::ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_a_body_has_ended_has_had_it_stored() {
    let (cache, body) = (cache(), Endless::default());
    let site = HttpCacheLayer::new(&cache).layer(Once(body.clone()));
    let mut first = head(&site, "/").await.unwrap().into_body();
    first.frame().await.unwrap().unwrap();
    // It was not known yet when the last frame came.
    body.ended.store(true, Ordering::Relaxed);
    while !http_body::Body::is_end_stream(&first) {
        assert!(first.frame().await.is_none());
    }
    drop(first);
    assert_eq!((cache.stats().entries, cache.stats().loading), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_reads_no_further_ahead_of_its_client_than_what_may_be_stored() {
    let options = HttpOptions::default().max_body(10 * 1024);
    let cache = HttpCache::new("edge", Config::default(), options);
    let body = Endless::default();
    let site: HttpCached<Once, Apart> = HttpCacheLayer::new(&cache).background().layer(Once(body.clone()));
    let mut slow = head(&site, "/").await.unwrap().into_body();
    settle().await;
    assert_eq!(body.sent.load(Ordering::Relaxed), 11, "with the one that is too much");
    assert_eq!(cache.stats().loading, 0, "nobody waits for what is not stored");
    for read in 1..100 {
        slow.frame().await.unwrap().unwrap();
        settle().await;
        assert_eq!(
            body.sent.load(Ordering::Relaxed),
            read.max(11),
            "from there on it is the client who reads"
        );
    }
}
