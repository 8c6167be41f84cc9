//! Tasks that refresh, and that read bodies.

use super::*;
use buttress_cache::http::Apart;

fn apart(cache: &HttpCache, origin: &Origin) -> HttpCached<Origin, Apart> {
    HttpCacheLayer::new(cache).background().layer(origin.clone())
}

#[tokio::test(start_paused = true)]
async fn all_are_served_stale_while_one_task_refreshes() {
    let gate = Gate::new();
    let fields = "Cache-Control: max-age=60, stale-while-revalidate=30 | ETag: \"a\"";
    let origin = Origin::always(Reply::new(fields).data("old"));
    let site = apart(&cache(), &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new(fields).gate(&gate).data("new"));
    for asked in ["/ | Range: bytes=0-1 | Connection: close", "/", "HEAD /", "/"] {
        assert_eq!(
            get(&site, asked).await.cache(),
            "edge; hit; ttl=-1; detail=stale-while-revalidate",
            "{asked}"
        );
    }
    settle().await;
    assert_eq!(origin.calls(), 2);
    let asked = origin.last();
    assert_eq!(asked["if-none-match"], "\"a\"");
    assert!(!asked.contains_key("range") && !asked.contains_key("connection"));
    gate.open();
    settle().await;
    let got = get(&site, "/").await;
    assert_eq!((got.body(), got.cache(), origin.calls()), ("new", "edge; hit; ttl=60", 2));
    advance(SECOND * 91).await;
    gate.open();
    assert_eq!(get(&site, "/").await.cache(), "edge; fwd=stale; stored", "no longer than it says");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_at_the_origins_pace_and_to_its_end() {
    let origin = Origin::always(Reply::new(FRESH).data("pa").data("ge"));
    let cache = cache();
    let site = apart(&cache, &origin);
    let slow = head(&site, "/").await.unwrap();
    assert_eq!(get(&site, "/").await.body(), "page", "while the first client has read nothing");
    assert_eq!(read(slow).await.body(), "page");
    cache.purge_all();
    drop(head(&site, "/").await.unwrap());
    settle().await;
    assert!(get(&site, "/").await.is_hit(), "though its client has left");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn errors_trailers_and_the_rest_of_what_is_too_long_reach_the_client() {
    let gate = Gate::new();
    let options = HttpOptions::default().max_body(8);
    let cache = HttpCache::new("edge", Config::default(), options);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let origin = Origin::always(Reply::new(FRESH).data("pa").step(Step::Trailers(trailers.clone())));
    let site = apart(&cache, &origin);
    assert_eq!(get(&site, "/").await.trailers, Some(trailers));
    origin.now(Reply::new(FRESH).data("pa").step(Step::Fail));
    assert_eq!(get(&site, "/torn").await.body, Err("torn"));
    origin.now(Reply::new(FRESH).data("12345").data("6789").wait(&gate).data("0"));
    let long = spawn(&site, "/long");
    settle().await;
    gate.open();
    assert_eq!(long.await.unwrap().body(), "1234567890");
    assert_eq!((cache.stats().entries, cache.stats().loading), (1, 0));
}

#[test]
fn without_the_runtime_of_its_task_a_client_reads_on() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).data("pa").wait(&gate).data("ge"));
    let cache = cache();
    let site = apart(&cache, &origin);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let response = first.block_on(async {
        let response = head(&site, "/").await.unwrap();
        settle().await;
        response
    });
    drop(first);
    gate.open();
    let got = runtime().block_on(read(response));
    assert_eq!((got.body(), cache.stats().loading), ("page", 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_has_failed_is_not_followed_by_the_next_at_once() {
    let fields = "Cache-Control: max-age=60, stale-while-revalidate=60";
    for failure in [Reply::failed(), Reply::new("").status(500)] {
        let origin = Origin::always(Reply::new(fields).data("page"));
        let site = apart(&cache(), &origin);
        get(&site, "/").await;
        advance(SECOND * 61).await;
        origin.now(failure);
        for (wait, calls) in [(0, 2), (0, 2), (500, 2), (500, 3), (0, 3)] {
            advance(Duration::from_millis(wait)).await;
            assert!(get(&site, "/").await.is_hit());
            settle().await;
            assert_eq!(origin.calls(), calls);
        }
    }
}
