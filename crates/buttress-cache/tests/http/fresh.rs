//! Misses, hits, and how a stored response is sent.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_fresh_response_is_served_with_its_exact_age() {
    let origin = Origin::always(Reply::new(FRESH).data("he").data("llo"));
    let cache = cache();
    let site = site(&cache, &origin);
    let first = get(&site, "/").await;
    assert_eq!((first.status, first.body(), first.cache()), (200, "hello", "edge; fwd=uri-miss; stored"));
    for age in [0, 1, 59] {
        let got = get(&site, "/").await;
        assert_eq!((got.status, got.body(), got.header("age")), (200, "hello", &*age.to_string()));
        assert_eq!(got.cache(), format!("edge; hit; ttl={}", 60 - age));
        advance(SECOND * [1, 58, 0][usize::min(age, 2)]).await;
    }
    assert_eq!(origin.calls(), 1);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads, stats.entries), (3, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_stored_is_not() {
    let rows = [
        ("Cache-Control: no-store", "/", "edge; fwd=uri-miss; detail=no-store"),
        ("Cache-Control: private, max-age=9", "/", "edge; fwd=uri-miss; detail=private"),
        (FRESH, "/ | Authorization: me", "edge; fwd=uri-miss; detail=authorization"),
        ("Cache-Control: max-age=60 | Vary: *", "/", "edge; fwd=uri-miss; detail=vary-star"),
        ("Cache-Control: max-age=60 | Set-Cookie: a=b", "/", "edge; fwd=uri-miss; detail=set-cookie"),
        (FRESH, "/ | Cache-Control: no-store", "edge; fwd=bypass"),
        (FRESH, "POST /", "edge; fwd=method"),
        (FRESH, "/ | If-Match: a", "edge; fwd=bypass"),
        (FRESH, "HEAD /", "edge; fwd=uri-miss"),
        (FRESH, "/ | Range: bytes=0-1", "edge; fwd=uri-miss"),
    ];
    for (reply, asked, status) in rows {
        let origin = Origin::always(Reply::new(reply).data("page"));
        let cache = cache();
        let site = site(&cache, &origin);
        for _ in 0..2 {
            assert_eq!(get(&site, asked).await.cache(), status, "{reply} {asked}");
        }
        assert_eq!(
            (origin.calls(), cache.stats().entries, cache.stats().loading),
            (2, 0, 0),
            "{reply} {asked}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn clients_conditions_ranges_and_heads_are_answered_from_the_store() {
    let fields = "Cache-Control: max-age=60 | ETag: \"a\" | Content-Length: 10 | Content-Type: text/plain";
    let origin = Origin::always(Reply::new(fields).data("01234").data("56789"));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    let rows = [
        ("/ | If-None-Match: \"a\"", 304, "", ""),
        ("/ | If-None-Match: \"b\"", 200, "0123456789", ""),
        ("HEAD /", 200, "", ""),
        ("/ | Range: bytes=3-6", 206, "3456", "bytes 3-6/10"),
        ("/ | Range: bytes=5-", 206, "56789", "bytes 5-9/10"),
        ("/ | Range: bytes=-2", 206, "89", "bytes 8-9/10"),
        ("/ | Range: bytes=10-", 416, "", "bytes */10"),
        ("/ | Range: bytes=0-1, 3-4", 200, "0123456789", ""),
        ("/ | Range: bytes=0-1 | If-Range: \"b\"", 200, "0123456789", ""),
        ("/ | Range: bytes=0-1 | If-Range: \"a\"", 206, "01", "bytes 0-1/10"),
    ];
    for (asked, status, body, range) in rows {
        let got = get(&site, asked).await;
        assert_eq!((got.status, got.body(), got.header("content-range")), (status, body, range), "{asked}");
        assert!(got.is_hit() && got.header("age") == "0", "{asked}: {}", got.cache());
        let length = match status {
            304 => "".to_owned(),
            206 | 416 => body.len().to_string(),
            _ => "10".to_owned(),
        };
        assert_eq!(got.header("content-length"), length, "{asked}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_asks_the_origin() {
    let origin = Origin::always(Reply::new(FRESH).data("page"));
    let site = site(&cache(), &origin);
    let got = get(&site, "/ | Cache-Control: only-if-cached").await;
    assert_eq!((got.status, got.cache(), origin.calls()), (504, "edge; fwd=uri-miss", 0));
    get(&site, "/").await;
    assert_eq!(get(&site, "/ | Cache-Control: only-if-cached").await.status, 200);
    advance(SECOND * 61).await;
    assert_eq!(get(&site, "/ | Cache-Control: only-if-cached").await.status, 504);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_asks_the_origin_although_it_is_fresh() {
    let origin =
        Origin::new(|_, n| Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").data(&n.to_string()));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    for (n, asked) in [(2, "/ | Cache-Control: no-cache"), (3, "/ | Cache-Control: max-age=0")] {
        advance(SECOND).await;
        let got = get(&site, asked).await;
        assert_eq!((got.body(), got.cache()), (&*n.to_string(), "edge; fwd=request; stored"));
        assert_eq!(origin.last()["if-none-match"], "\"a\"");
        assert_eq!(get(&site, "/").await.body(), n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_stored_and_statuses_and_caches_further_in_told() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let reply = Reply::new("Cache-Control: max-age=60 | Cache-Status: far; hit").status(404);
    let origin = Origin::always(reply.data("none").step(Step::Trailers(trailers.clone())));
    let site = site(&cache(), &origin);
    for _ in 0..2 {
        let got = get(&site, "/").await;
        assert_eq!((got.status, got.body(), &got.trailers), (404, "none", &Some(trailers.clone())));
        assert_eq!(got.headers.get_all("cache-status").iter().count(), 2);
        assert_eq!(got.cache(), "far; hit");
    }
    let part = get(&site, "HEAD /").await;
    assert_eq!((part.status, part.trailers, origin.calls()), (404, None, 1));
}

#[tokio::test(start_paused = true)]
async fn the_origins_error_arrives_as_it_is() {
    let origin = Origin::always(Reply::failed());
    let cache = cache();
    let site = site(&cache, &origin);
    assert_eq!(head(&site, "/").await.err(), Some(Error::Inner("down")));
    assert_eq!(cache.stats().loading, 0);
    origin.now(Reply::new(FRESH).data("page"));
    assert_eq!(get(&site, "/").await.body(), "page");
}
