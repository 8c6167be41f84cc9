//! Validation, and what is served stale.

use super::*;

const TAGGED: &str = "Cache-Control: max-age=60 | ETag: \"a\" | X: 1";

#[tokio::test(start_paused = true)]
async fn a_304_freshens_what_is_stored() {
    let origin = Origin::always(Reply::new(TAGGED).data("page"));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: max-age=60 | ETag: \"a\" | X: 2").status(304));
    let got = get(&site, "/ | If-None-Match: \"other\"").await;
    assert_eq!((got.status, got.body(), got.header("x")), (200, "page", "2"));
    assert_eq!(got.cache(), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
    assert_eq!((&origin.last()["if-none-match"], origin.calls()), (&HeaderValue::from_static("\"a\""), 2));
    let again = get(&site, "/").await;
    assert!(again.is_hit() && again.header("x") == "2");
    advance(SECOND * 61).await;
    let got = get(&site, "/ | If-None-Match: \"a\"").await;
    assert_eq!((got.status, got.body()), (304, ""));
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_changed_response_takes_the_place_of_the_stored_one() {
    let origin = Origin::new(|_, n| Reply::new(TAGGED).data(&n.to_string()));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    let got = get(&site, "/").await;
    assert_eq!((got.body(), got.cache()), ("2", "edge; fwd=stale; stored"));
    assert_eq!(get(&site, "/").await.body(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_is_served_in_place_of_an_error_and_no_longer_than_it_says() {
    for (failure, told) in [
        (Reply::failed(), "edge; fwd=stale; ttl=-1; detail=stale-if-error"),
        (Reply::new("").status(503), "edge; fwd=stale; fwd-status=503; ttl=-1; detail=stale-if-error"),
    ] {
        let origin = Origin::always(Reply::new("Cache-Control: max-age=60, stale-if-error=10").data("page"));
        let config = Config::default().retry_after(Duration::ZERO);
        let site = site(&HttpCache::new("edge", config, HttpOptions::default()), &origin);
        get(&site, "/").await;
        origin.now(failure.clone());
        advance(SECOND * 61).await;
        for asked in ["/", "HEAD /", "/ | Range: bytes=0-1"] {
            let got = get(&site, asked).await;
            assert_eq!(got.cache(), told, "{asked}");
            assert!(got.status == 200 || got.status == 206);
        }
        advance(SECOND * 10).await;
        match head(&site, "/").await {
            Ok(response) => assert_eq!(response.status(), 503),
            Err(error) => assert_eq!(error, Error::Inner("down")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn must_revalidate_lets_nothing_stale_out() {
    let fields = "Cache-Control: max-age=60, must-revalidate, stale-if-error=99, stale-while-revalidate=99 | ETag: \"a\"";
    let origin = Origin::always(Reply::new(fields).data("page"));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    origin.now(Reply::new("").status(500));
    advance(SECOND * 61).await;
    assert_eq!(get(&site, "/ | Cache-Control: max-stale").await.status, 500);
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_is_served_that_was_invalidated_meanwhile() {
    let gate = Gate::new();
    let origin =
        Origin::always(Reply::new("Cache-Control: max-age=60, stale-if-error=99 | ETag: \"a\"").data("old"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("").status(503).gate(&gate));
    let clients = [spawn(&site, "/"), spawn(&site, "/")];
    settle().await;
    cache.purge("http://a.test/");
    gate.open_for_all();
    for client in clients {
        assert_eq!(client.await.unwrap().status, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn one_revalidates_here_while_the_others_are_served_stale() {
    let gate = Gate::new();
    let fields = "Cache-Control: max-age=60, stale-while-revalidate=30";
    let origin = Origin::always(Reply::new(fields).data("old"));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new(fields).gate(&gate).data("new"));
    let first = spawn(&site, "/");
    settle().await;
    for asked in ["/", "/", "HEAD /"] {
        let got = get(&site, asked).await;
        assert_eq!(got.cache(), "edge; hit; ttl=-1; detail=stale-while-revalidate", "{asked}");
    }
    gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.body(), first.cache()), ("new", "edge; fwd=stale; stored"));
    assert_eq!(get(&site, "/").await.body(), "new");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_newer_and_not_stored_ends_what_was() {
    let origin = Origin::always(Reply::new("Cache-Control: max-age=60, stale-if-error=999").data("old"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: no-store").status(404));
    assert_eq!(get(&site, "/").await.status, 404);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_tells_of_another_response_ends_the_stored_one() {
    let origin = Origin::always(Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").data("old"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    get(&site, "HEAD /").await;
    assert_eq!(cache.stats().entries, 1);
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: max-age=60 | ETag: \"b\""));
    get(&site, "HEAD /").await;
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_304_that_forbids_to_store_is_the_last_answer_from_it() {
    let origin = Origin::always(Reply::new(TAGGED).data("page"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: no-store | ETag: \"a\"").status(304));
    let got = get(&site, "/").await;
    assert_eq!((got.status, got.body()), (200, "page"));
    assert_eq!(got.cache(), "edge; fwd=stale; fwd-status=304; ttl=0");
    assert_eq!((cache.stats().entries, cache.stats().loading), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_revalidation_that_is_dropped_is_followed_and_not_answered_by_what_is_stale() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(TAGGED).data("old"));
    let site = site(&cache(), &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new(TAGGED).gate(&gate).data("new"));
    let leader = spawn(&site, "/");
    settle().await;
    let others = [spawn(&site, "/"), spawn(&site, "/")];
    settle().await;
    leader.abort();
    settle().await;
    assert_eq!(origin.calls(), 3);
    gate.open();
    for other in others {
        assert_eq!(other.await.unwrap().body(), "new");
    }
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_it_fails_and_there_is_something_stale_the_origin_is_asked_once_in_a_while() {
    let fields = "Cache-Control: max-age=60, stale-if-error=600 | ETag: \"a\"";
    for failure in [Reply::failed(), Reply::new("").status(502)] {
        let origin = Origin::always(Reply::new(fields).data("page"));
        let config = Config::default().retry_after(SECOND * 5);
        let cache = HttpCache::new("edge", config, HttpOptions::default());
        let site = site(&cache, &origin);
        get(&site, "/").await;
        origin.now(failure.clone());
        advance(SECOND * 61).await;
        for round in 1..4 {
            assert!(get(&site, "/").await.cache().starts_with("edge; fwd=stale; "));
            for asked in
                ["/", "HEAD /", "/ | Range: bytes=0-1", "/ | Cache-Control: max-age=5, stale-if-error=900"]
            {
                let got = get(&site, asked).await;
                let ttl = -1 - 5 * (round - 1);
                assert_eq!(got.cache(), format!("edge; hit; ttl={ttl}; detail=stale-if-error"), "{asked}");
            }
            assert_eq!(origin.calls() as i32, 1 + round, "once in five seconds");
            advance(SECOND * 5).await;
        }
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.stale), (12, 15), "in place of a failure it is no hit");
        for asked in ["/ | Cache-Control: no-cache", "/new"] {
            let calls = origin.calls();
            assert!(!matches!(head(&site, asked).await, Ok(response) if response.status() == 200));
            assert_eq!(origin.calls(), calls + 1, "in whose place there is nothing: {asked}");
        }
        origin.now(Reply::new(fields).status(304));
        advance(SECOND * 5).await;
        assert_eq!(get(&site, "/").await.cache(), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
        advance(SECOND * 61).await;
        assert!(get(&site, "/").await.cache().ends_with("; ttl=60; stored"), "nothing is left of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_ends_the_wait_after_a_failure() {
    let fields = "Cache-Control: max-age=60, stale-if-error=600";
    let origin = Origin::always(Reply::new(fields).data("old"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::failed());
    get(&site, "/").await;
    cache.purge("http://a.test/");
    origin.now(Reply::new(fields).data("new"));
    assert_eq!(get(&site, "/").await.body(), "new");
}
