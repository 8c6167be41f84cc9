//! Real threads on a few pages. What must hold whatever they do to each other is checked; nothing is timed.

use super::*;
use buttress_cache::http::{Apart, Drive, Here};
use futures_util::FutureExt;
use futures_util::stream::unfold;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::atomic::{AtomicU64, Ordering};

type Page = UnsyncBoxBody<Bytes, &'static str>;

const THREADS: u64 = 4;
const CLIENTS: u64 = 8;
const REQUESTS: u64 = 150;
const PAGES: usize = 3;
const CHUNKS: u64 = 4;

/// Its pages say in each of their chunks which call they are of.
#[derive(Clone, Default)]
struct Versions(Arc<Counts>);

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    /// The last call that was begun before a purge of the page that has returned.
    purged: [AtomicU64; PAGES],
    whole: AtomicU64,
    hits: AtomicU64,
    torn: AtomicU64,
}

impl Service<Request<()>> for Versions {
    type Response = Response<Page>;
    type Error = TestError;
    type Future = BoxFuture<'static, Result<Response<Page>, TestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        // Before and after a purge in the order of all: whoever asks after it sees a later number.
        let version = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut random = fastrand::Rng::with_seed(version);
        let (fails, torn, long, kept) =
            (random.u8(..) < 8, random.u8(..) < 16, random.u8(..) < 8, random.u8(..) >= 16);
        let chunks = if long { 100 } else { CHUNKS };
        Box::pin(async move {
            yield_now().await;
            if fails {
                return Err(Error::Inner("down"));
            }
            let body = unfold(0, move |sent| async move {
                yield_now().await;
                let data = || Frame::data(Bytes::from(format!("{version:08}")));
                match sent {
                    2 if torn => Some((Err("torn"), chunks)),
                    sent => (sent < chunks).then(|| (Ok(data()), sent + 1)),
                }
            });
            let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(body)));
            *response.headers_mut() = fields(if kept {
                "Cache-Control: max-age=3600 | Cache-Tag: all | Vary: Variant"
            } else {
                "Cache-Control: no-store"
            });
            Ok(response)
        })
    }
}

/// One that asks for pages, leaves some, and purges some.
async fn client<M>(site: HttpCached<Versions, M>, counts: Arc<Counts>, seed: u64)
where
    M: Drive<Versions, (), Page>,
{
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..REQUESTS {
        let page = random.usize(..PAGES);
        if random.u8(..) < 24 {
            purge(site.cache(), &counts, page, random.u8(..4));
        }
        let asked = format!("/{page} | Variant: {}", random.u8(..2));
        let since = counts.purged[page].load(Ordering::SeqCst);
        let leaves = (random.u8(..) < 64).then(|| random.usize(..4));
        if leaves == Some(0) {
            // After one poll.
            _ = head(&site, &asked).now_or_never();
            continue;
        }
        let response = match head(&site, &asked).await {
            Ok(response) => response,
            Err(Error::Inner(error)) => {
                assert_eq!(error, "down");
                continue;
            }
            Err(Error::Rejected(rejected)) => {
                assert_eq!(rejected.reason(), buttress_core::Reason::Failed);
                continue;
            }
        };
        let is_hit = response.headers()["cache-status"].to_str().unwrap().starts_with("edge; hit");
        let mut body = response.into_body();
        let (mut version, mut chunks) = (None, 0);
        let ended = loop {
            if leaves == Some(chunks) {
                break None;
            }
            match body.frame().await {
                None => break Some(Ok(())),
                Some(Err(error)) => break Some(Err(error)),
                Some(Ok(frame)) => {
                    let text = frame.into_data().unwrap();
                    let of: u64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
                    assert_eq!(*version.get_or_insert(of), of, "of two responses");
                    chunks += 1;
                }
            }
        };
        if let Some(version) = version {
            assert!(version > since, "{version} was purged at {since}");
        }
        match ended {
            None => {}
            Some(Ok(())) => {
                let chunks = chunks as u64;
                assert!(chunks == CHUNKS || chunks == 100 && !is_hit, "{chunks} are not whole");
                counts.whole.fetch_add(1, Ordering::Relaxed);
                counts.hits.fetch_add(u64::from(is_hit), Ordering::Relaxed);
            }
            Some(Err(error)) => {
                assert_eq!(error, "torn");
                assert!(!is_hit, "what is torn is not stored");
                counts.torn.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn purge(cache: &HttpCache, counts: &Counts, page: usize, how: u8) {
    let before = counts.calls.load(Ordering::SeqCst);
    let pages = match how {
        0 => page..page + 1,
        _ => 0..PAGES,
    };
    match how {
        0 => cache.purge(&format!("http://a.test/{page}")),
        1 => cache.purge_tag("all"),
        2 => cache.purge_prefix("http://a.test/"),
        _ => cache.purge_all(),
    };
    for page in pages {
        counts.purged[page].fetch_max(before, Ordering::SeqCst);
    }
}

fn run<M>(layer: impl Fn(&HttpCache) -> HttpCacheLayer<M>)
where
    M: Drive<Versions, (), Page> + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS as usize)
        .enable_all()
        .build()
        .unwrap();
    let options = HttpOptions::default().max_body(CHUNKS * 8);
    let cache = HttpCache::new("edge", Config::default(), options);
    let origin = Versions::default();
    let counts = Arc::clone(&origin.0);
    let site = layer(&cache).layer(origin);
    runtime.block_on(async {
        let clients: Vec<_> = (0..THREADS * CLIENTS)
            .map(|seed| tokio::spawn(client(site.clone(), Arc::clone(&counts), seed)))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        // Bodies that tasks read end by themselves.
        while cache.stats().loading > 0 {
            yield_now().await;
        }
        cache.purge_all();
        // And a later request works. The origin may fail it some times.
        for page in 0..PAGES {
            let asked = format!("/{page}");
            loop {
                if let Ok(response) = head(&site, &asked).await {
                    if read(response).await.is_hit() {
                        break;
                    }
                }
            }
        }
    });
    let asked = THREADS * CLIENTS * REQUESTS;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (calls, whole, hits, torn) =
        (count(&counts.calls), count(&counts.whole), count(&counts.hits), count(&counts.torn));
    let stats = cache.stats();
    println!("{asked} asked, {calls} calls, {whole} whole, {hits} hits, {torn} torn, {stats:?}");
    assert!(hits > 0 && torn > 0 && stats.coalesced > 0 && calls < asked, "it was to see all of it");
}

#[test]
fn four_threads_get_each_response_whole_and_none_from_before_a_purge() {
    run::<Here>(HttpCacheLayer::new);
}

#[test]
fn so_they_do_where_tasks_read_the_bodies() {
    run::<Apart>(|cache| HttpCacheLayer::new(cache).background());
}
