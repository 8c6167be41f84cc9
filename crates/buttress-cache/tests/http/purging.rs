//! Invalidations, and that they are final.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_write_invalidates_its_uri_and_what_it_names_of_the_same_origin() {
    let origin = Origin::new(|request, _| match request.method().as_str() {
        "POST" if request.uri().path() == "/fails" => Reply::new("").status(500),
        "POST" => Reply::new("Location: /made | Content-Location: http://b.test/other"),
        _ => Reply::new("Cache-Control: max-age=60 | Vary: A").data("page"),
    });
    let cache = cache();
    let site = site(&cache, &origin);
    let paths = ["/", "/ | A: 1", "/made", "/other", "/fails"];
    for path in paths {
        get(&site, path).await;
    }
    assert_eq!(get(&site, "POST /fails").await.status, 500);
    assert_eq!(get(&site, "POST /").await.cache(), "edge; fwd=method");
    let mut hits = Vec::new();
    for path in paths {
        hits.push(get(&site, path).await.is_hit());
    }
    assert_eq!(hits, [false, false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_or_fails_invalidates_its_uri() {
    let gate = Gate::new();
    for reply in [Reply::new("").gate(&gate), Reply::failed()] {
        let origin = Origin::always(Reply::new(FRESH).data("page"));
        let site = site(&cache(), &origin);
        get(&site, "/").await;
        origin.now(reply);
        let write = tokio::time::timeout(SECOND, head(&site, "DELETE /")).await;
        assert!(!matches!(write, Ok(Ok(_))));
        origin.now(Reply::new(FRESH).data("new"));
        assert_eq!(get(&site, "/").await.body(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn responses_are_purged_by_uri_tag_prefix_and_all_together() {
    let origin = Origin::new(|request, _| {
        let tag = request.uri().path().trim_start_matches('/').replace('/', "-");
        Reply::new(&format!("{FRESH} | Cache-Tag: all, t-{tag} | Vary: A")).data("page")
    });
    type Purge = fn(&HttpCache);
    let rows: [(Purge, [bool; 3]); 7] = [
        (|cache| _ = cache.purge("http://a.test/a"), [false, true, true]),
        (|cache| _ = cache.purge("HTTP://A.test:80/a"), [false, true, true]),
        (|cache| _ = cache.purge("http://b.test/a"), [true, true, true]),
        (|cache| _ = cache.purge_tag("t-a-b"), [true, false, true]),
        (|cache| _ = cache.purge_tag("all"), [false, false, false]),
        (|cache| _ = cache.purge_prefix("http://a.test/a"), [false, false, true]),
        (|cache| _ = cache.purge_all(), [false, false, false]),
    ];
    // Whether it is there, or still on its way.
    for stored in [true, false] {
        for (index, (purge, hits)) in rows.into_iter().enumerate() {
            let cache = cache();
            let site = site(&cache, &origin);
            let paths = ["/a", "/a/b", "/c"];
            let mut bodies = Vec::new();
            for path in paths {
                let response = head(&site, path).await.unwrap();
                if stored { drop(read(response).await) } else { bodies.push(response) }
            }
            purge(&cache);
            for body in bodies {
                assert_eq!(read(body).await.body(), "page");
            }
            for (path, hit) in paths.into_iter().zip(hits) {
                // What is on its way cannot be asked for its tag's sake alone: it is asked when it has come.
                assert_eq!(get(&site, path).await.is_hit(), hit, "{path} after {index}, stored {stored}");
            }
            assert_eq!(cache.stats().loading, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_uri_is_one_however_it_was_asked_for() {
    type Change = fn(&HttpCache);
    // As a server hears of it by HTTP/1, by HTTP/1 with the port, and by HTTP/2.
    let asked = [("/x", "Host: a.test"), ("/x", "Host: a.test:80"), ("http://a.test/x", "")];
    let ask = |method: &str, (uri, headers): (&str, &str)| {
        let mut request = Request::new(());
        (*request.uri_mut(), *request.headers_mut()) = (uri.parse().unwrap(), fields(headers));
        *request.method_mut() = method.parse().unwrap();
        request
    };
    let purges: [Change; 4] = [
        |cache| assert_eq!(cache.purge("//a.test/x"), 3),
        |cache| assert_eq!(cache.purge("http://a.test/x"), 3),
        |cache| assert_eq!(cache.purge("https://a.test/x"), 3),
        |cache| assert_eq!(cache.purge_prefix("//a.test"), 3),
    ];
    for change in asked.map(Ok).into_iter().chain(purges.map(Err)) {
        let origin = Origin::always(Reply::new(FRESH).data("page"));
        let cache = cache();
        let site = site(&cache, &origin);
        let send =
            async |request| read(site.clone().ready().await.unwrap().call(request).await.unwrap()).await;
        for asked in asked {
            send(ask("GET", asked)).await;
        }
        match change {
            Ok(written) => drop(send(ask("PUT", written)).await),
            Err(purge) => purge(&cache),
        }
        for asked in asked {
            assert!(!send(ask("GET", asked)).await.is_hit(), "{asked:?} after {change:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_alone_is_purged_by_host() {
    let origin = Origin::always(Reply::new(FRESH).data("page"));
    let cache = cache();
    let mut site = site(&cache, &origin);
    for purge in ["https://a.test/x", "//a.test/x"] {
        let mut request = request("/x | Host: a.test");
        *request.uri_mut() = "/x".parse().unwrap();
        read(site.ready().await.unwrap().call(request).await.unwrap()).await;
        assert_eq!(cache.purge(purge), 1, "{purge}");
    }
    assert_eq!(cache.purge("no uri at all"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_304_stores_nothing_that_was_purged_meanwhile() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").data("page"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").status(304).gate(&gate));
    let client = spawn(&site, "/");
    settle().await;
    cache.purge("http://a.test/");
    gate.open_for_all();
    let got = client.await.unwrap();
    assert_eq!((got.body(), got.cache()), ("page", "edge; fwd=stale; fwd-status=304; ttl=60"));
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_before_the_head_of_what_varies_is_final() {
    type Purge = fn(&HttpCache) -> u64;
    let rows: [Purge; 4] = [
        |cache| cache.purge("http://a.test/"),
        |cache| cache.purge_tag("all"),
        |cache| cache.purge_prefix("http://a.test/"),
        HttpCache::purge_all,
    ];
    for (index, purge) in rows.into_iter().enumerate() {
        let (gate, body) = (Gate::new(), Gate::new());
        let reply = Reply::new("Cache-Control: max-age=60 | Vary: A | Cache-Tag: all");
        let origin = Origin::always(reply.gate(&gate).data("old").wait(&body));
        let cache = cache();
        let site = site(&cache, &origin);
        let client = spawn(&site, "/");
        settle().await;
        purge(&cache);
        gate.open();
        settle().await;
        let late = spawn(&site, "/");
        settle().await;
        // Whether it has the tag, nobody knows before it has come.
        assert_eq!(origin.calls(), if index == 1 { 1 } else { 2 }, "{index}");
        body.open_for_all();
        assert_eq!(client.await.unwrap().body(), "old");
        assert_eq!(cache.stats().entries, 0, "{index}");
        gate.open_for_all();
        assert_eq!(late.await.unwrap().body(), "old");
        assert_eq!(
            origin.calls(),
            2,
            "who comes after the purge is not answered by what came before: {index}"
        );
        assert!(get(&site, "/").await.is_hit());
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_after_a_purge_does_not_validate_what_is_gone() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").data("old"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new(FRESH).gate(&gate).data("new"));
    let leader = spawn(&site, "/");
    settle().await;
    let other = spawn(&site, "/");
    settle().await;
    cache.purge("http://a.test/");
    leader.abort();
    settle().await;
    assert!(!origin.last().contains_key("if-none-match"));
    gate.open();
    let other = other.await.unwrap();
    assert_eq!((other.body(), other.cache()), ("new", "edge; fwd=miss; stored"));
    assert!(get(&site, "/").await.is_hit(), "its load began after the purge");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_variant_that_was_purged_before_its_head_is_one_more_call() {
    let (gate, body) = (Gate::new(), Gate::new());
    let (opened, waits) = (gate.clone(), body.clone());
    let origin = Origin::new(move |_, n| {
        let reply = Reply::new("Cache-Control: max-age=60 | Vary: A").data(&n.to_string());
        if n == 1 { reply.gate(&opened).wait(&waits) } else { reply }
    });
    let cache = cache();
    let site = site(&cache, &origin);
    let old = spawn(&site, "/ | A: 1");
    settle().await;
    cache.purge("http://a.test/");
    gate.open();
    settle().await;
    get(&site, "/ | A: 2").await;
    let others: [_; 5] = std::array::from_fn(|_| spawn(&site, "/ | A: 1"));
    settle().await;
    assert_eq!(origin.calls(), 2, "they know on what it varies, and that it is on its way");
    body.open();
    assert_eq!(old.await.unwrap().body(), "1");
    for other in others {
        assert_eq!(other.await.unwrap().body(), "3");
    }
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_what_was_purged_ends_nothing_that_was_asked_for_since() {
    let (late, newer) = (Gate::new(), Gate::new());
    let waits = [late.clone(), newer.clone()];
    let origin = Origin::new(move |_, n| match n {
        1 => Reply::new("Cache-Control: max-age=60, stale-if-error=99").data("1"),
        2 => Reply::new("Cache-Control: no-store").gate(&waits[0]).data("2"),
        _ => Reply::new(FRESH).gate(&waits[1]).data(&n.to_string()),
    });
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    let old = spawn(&site, "/");
    settle().await;
    cache.purge("http://a.test/");
    let new = spawn(&site, "/");
    settle().await;
    late.open();
    assert_eq!(old.await.unwrap().body(), "2");
    let other = spawn(&site, "/");
    settle().await;
    assert_eq!((origin.calls(), cache.stats().loading), (3, 1));
    newer.open_for_all();
    assert_eq!((new.await.unwrap().body(), other.await.unwrap().body()), ("3", "3"));
    assert!(get(&site, "/").await.is_hit());
}
