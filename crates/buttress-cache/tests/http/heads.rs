//! HEAD and ranges that find something stale: they validate it for all.

use super::*;

const TAGGED: &str = "Cache-Control: max-age=60 | ETag: \"a\"";

/// A site that has a stale response to `/`, with its origin and its cache.
async fn stale(fields: &str) -> (Site, Origin, HttpCache) {
    let origin = Origin::always(Reply::new(fields).data("0123456789"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    (site, origin, cache)
}

#[tokio::test(start_paused = true)]
async fn a_head_or_a_range_validates_what_is_stale_for_all() {
    for (asked, status, body) in [("HEAD /", 200, ""), ("/ | Range: bytes=2-4", 206, "234")] {
        let gate = Gate::new();
        let (site, origin, _) = stale(TAGGED).await;
        origin.now(Reply::new(TAGGED).status(304).gate(&gate));
        let first = spawn(&site, asked);
        settle().await;
        let others = ["/", asked, "/ | Range: bytes=9-"].map(|asked| spawn(&site, asked));
        settle().await;
        assert_eq!(origin.last()["if-none-match"], "\"a\"");
        assert_eq!(origin.last().contains_key("range"), body == "234");
        gate.open();
        let first = first.await.unwrap();
        assert_eq!((first.status, first.body()), (status, body), "{asked}");
        assert_eq!(first.cache(), "edge; fwd=stale; fwd-status=304; ttl=60; stored", "{asked}");
        for (other, body) in others.into_iter().zip(["0123456789", body, "9"]) {
            let other = other.await.unwrap();
            assert_eq!((other.body(), other.cache()), (body, "edge; fwd=stale; ttl=60; collapsed"));
        }
        assert!(get(&site, "/").await.is_hit());
        assert_eq!(origin.calls(), 2, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_head_freshens_what_it_is_about() {
    for fields in [TAGGED, "Cache-Control: max-age=60, stale-if-error=60"] {
        let (site, origin, _) = stale(&format!("{fields} | A: 1 | B: 1")).await;
        origin.now(Reply::new("Cache-Control: max-age=600 | Content-Length: 10 | A: 2"));
        let got = get(&site, "HEAD / | If-None-Match: \"mine\"").await;
        assert_eq!((got.status, got.cache()), (200, "edge; fwd=stale; fwd-status=200; ttl=600; stored"));
        assert_eq!(origin.last().get("if-none-match").is_some(), fields == TAGGED, "{fields}");
        let got = get(&site, "/").await;
        assert_eq!((got.body(), got.header("a"), got.header("b")), ("0123456789", "2", "1"), "§4.3.5");
        assert_eq!((got.cache(), origin.calls()), ("edge; hit; ttl=600", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_or_a_part_of_another_response_ends_the_stored_one_and_the_next_asks_for_all() {
    let rows = [
        ("HEAD /", Reply::new("ETag: \"b\"")),
        ("HEAD /", Reply::new("").status(410)),
        (
            "/ | Range: bytes=2-4",
            Reply::new("Content-Range: bytes 2-4/5 | ETag: \"b\"").status(206).data("cde"),
        ),
        ("/ | Range: bytes=7-", Reply::new("Content-Range: bytes */5").status(416)),
    ];
    for (asked, reply) in rows {
        let gate = Gate::new();
        let (site, origin, cache) = stale(TAGGED).await;
        origin.now(reply.clone().gate(&gate));
        let first = spawn(&site, asked);
        settle().await;
        let alike: Vec<_> = (0..3).map(|_| spawn(&site, asked)).collect();
        let others: Vec<_> = (0..3).map(|_| spawn(&site, "/")).collect();
        settle().await;
        assert_eq!(origin.calls(), 2);
        let whole = Reply::new("Cache-Control: max-age=60 | ETag: \"b\"").gate(&gate).data("abcde");
        let part = reply.clone().gate(&gate);
        *origin.state.script.lock() = Arc::new(move |request, _| {
            let alone = request.method() == Method::HEAD || request.headers().contains_key("range");
            if alone { part.clone() } else { whole.clone() }
        });
        gate.open();
        settle().await;
        assert_eq!(origin.calls(), 6, "three beside each other, and one for three: {asked}");
        gate.open_for_all();
        for client in alike.into_iter().chain([first]) {
            assert_eq!(client.await.unwrap().status, reply.status.as_u16(), "{asked}");
        }
        for other in others {
            assert_eq!(other.await.unwrap().body(), "abcde", "{asked}");
        }
        assert_eq!((origin.calls(), cache.stats().loading), (6, 0));
        assert!(get(&site, "/").await.is_hit());
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_answered_by_a_new_whole_stores_it() {
    let (site, origin, _) = stale(TAGGED).await;
    origin.now(Reply::new("Cache-Control: max-age=60 | ETag: \"b\"").data("abcde"));
    let got = get(&site, "/ | Range: bytes=2-4").await;
    assert_eq!((got.status, got.body(), got.cache()), (200, "abcde", "edge; fwd=stale; stored"));
    assert_eq!(get(&site, "/ | Range: bytes=2-3").await.body(), "cd");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nothing_to_validate_a_range_goes_alone() {
    let gate = Gate::new();
    let (site, origin, cache) = stale("Cache-Control: max-age=60, stale-if-error=60").await;
    let part = Reply::new("Cache-Control: max-age=60 | Content-Range: bytes 2-4/10").status(206);
    origin.now(part.gate(&gate).data("234"));
    let clients = [0, 1].map(|_| spawn(&site, "/ | Range: bytes=2-4 | If-None-Match: \"mine\""));
    settle().await;
    assert_eq!((origin.calls(), cache.stats().loading), (3, 0));
    assert_eq!(origin.last()["if-none-match"], "\"mine\"");
    gate.open_for_all();
    for client in clients {
        assert_eq!(client.await.unwrap().body(), "234");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_fails_sends_all_to_the_origin_side_by_side() {
    let gate = Gate::new();
    let (site, origin, _) = stale(TAGGED).await;
    origin.now(Reply::new("").status(503).gate(&gate));
    let clients: Vec<_> = (0..5).map(|_| spawn(&site, "HEAD /")).collect();
    settle().await;
    assert_eq!(origin.calls(), 2);
    gate.open();
    settle().await;
    assert_eq!(origin.calls(), 6);
    gate.open_for_all();
    for client in clients {
        assert_eq!(client.await.unwrap().status, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_part_is_validated() {
    let part = Reply::new(&format!("{TAGGED} | Content-Range: bytes 2-5/10")).status(206);
    let origin = Origin::always(part.data("2345"));
    let site = site(&cache(), &origin);
    get(&site, "/ | Range: bytes=2-5").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new(TAGGED).status(304));
    let got = get(&site, "/ | Range: bytes=3-4 | If-None-Match: \"mine\"").await;
    assert_eq!((got.status, got.body(), got.header("content-range")), (206, "34", "bytes 3-4/10"));
    assert_eq!(got.cache(), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
    let asked = origin.last();
    assert_eq!(
        (&asked["range"], &asked["if-none-match"]),
        (&fields("a: bytes=3-4")["a"], &fields("a: \"a\"")["a"])
    );
    assert!(get(&site, "/ | Range: bytes=2-5").await.is_hit());
}
