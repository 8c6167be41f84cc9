//! What is for one user, and what is for all (RFC 9111 §3.5, §7.3).

use super::*;
use buttress_cache::http::Mode;

const TAGGED: &str = "Cache-Control: max-age=60 | ETag: \"a\"";

/// Answers each user with its name.
fn greeting(fields: &'static str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::new(move |request, _| {
        let user = request.headers().get("authorization").map_or("nobody", |user| user.to_str().unwrap());
        Reply::new(fields).gate(&gate).data(user)
    })
}

#[tokio::test(start_paused = true)]
async fn what_a_user_is_told_is_told_to_nobody_else_who_waits() {
    let gate = Gate::new();
    let origin = greeting(FRESH, &gate);
    let cache = cache();
    let site = site(&cache, &origin);
    let asked = ["/ | Authorization: ann", "/ | Authorization: bob", "/", "/ | Authorization: ann"];
    let clients = asked.map(|asked| spawn(&site, asked));
    settle().await;
    assert_eq!(origin.calls(), 1);
    gate.open_for_all();
    for (client, body) in clients.into_iter().zip(["ann", "bob", "nobody", "ann"]) {
        assert_eq!(client.await.unwrap().body(), body);
    }
    assert_eq!((origin.calls(), cache.stats().entries), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_for_all_is_for_users_too_and_what_says_so_comes_from_them() {
    let gate = Gate::new();
    gate.open_for_all();
    for fields in [FRESH, "Cache-Control: public, max-age=60"] {
        let origin = greeting(fields, &gate);
        let site = site(&cache(), &origin);
        let first = if fields == FRESH { "/" } else { "/ | Authorization: ann" };
        let said = get(&site, first).await.body().to_owned();
        for asked in ["/ | Authorization: bob", "/"] {
            let got = get(&site, asked).await;
            assert!(got.is_hit() && got.body() == said, "{fields} {asked}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_user_is_told_leaves_what_is_for_all_as_it_was() {
    let told = [
        Reply::new(TAGGED).status(304),
        Reply::new(TAGGED).data("hello ann"),
        Reply::new("Cache-Control: max-age=60").status(404),
    ];
    for reply in told {
        let origin = Origin::always(Reply::new(TAGGED).data("hello"));
        let cache = cache();
        let site = site(&cache, &origin);
        get(&site, "/").await;
        advance(SECOND * 61).await;
        origin.now(reply.clone());
        let got = get(&site, "/ | Authorization: ann").await;
        let own = reply.status != StatusCode::NOT_MODIFIED;
        assert_eq!(got.body() == "hello", !own);
        assert_eq!((cache.stats().entries, cache.stats().loading), (1, 0));
        origin.now(Reply::new(TAGGED).status(304));
        let got = get(&site, "/").await;
        assert_eq!((got.body(), got.cache()), ("hello", "edge; fwd=stale; fwd-status=304; ttl=60; stored"));
        assert_eq!(origin.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cookie_of_one_is_not_given_to_another() {
    let origin = Origin::always(Reply::new(TAGGED).data("page"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    origin.now(Reply::new("Cache-Control: max-age=60 | Set-Cookie: session=1").status(304));
    let own = get(&site, "/").await;
    assert_eq!((own.body(), own.header("set-cookie")), ("page", "session=1"));
    let got = get(&site, "/").await;
    assert!(got.is_hit() && got.header("set-cookie").is_empty(), "{got:?}");
    let part = "Cache-Control: max-age=60 | Content-Range: bytes 0-1/4 | Set-Cookie: session=1";
    origin.now(Reply::new(part).status(206).data("ab"));
    for _ in 0..2 {
        assert_eq!(get(&site, "/part | Range: bytes=0-1").await.header("set-cookie"), "session=1");
    }
    assert_eq!((origin.calls(), cache.stats().entries), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_private_cache_keeps_what_is_for_its_user() {
    let gate = Gate::new();
    gate.open_for_all();
    let origin = greeting("Cache-Control: private, max-age=60 | Set-Cookie: session=1", &gate);
    let options = HttpOptions::default().mode(Mode::Private);
    let site = site(&HttpCache::new("edge", Config::default(), options), &origin);
    for hit in [false, true] {
        let got = get(&site, "/ | Authorization: ann").await;
        assert_eq!((got.is_hit(), got.body(), got.header("set-cookie")), (hit, "ann", "session=1"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_says_of_the_host_is_not_answered_to_another() {
    // As many servers do, it makes links of what the request says.
    let origin = Origin::new(|request, _| {
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let host = request.headers().get("host").map_or(authority, |host| host.to_str().unwrap());
        Reply::new(FRESH).data(host)
    });
    let cache = cache();
    let site = site(&cache, &origin);
    for (uri, host, other, others) in [
        ("/", "Host: a.test:99999", "/", "Host: a.test"),
        ("/", "Host: a.test:x", "/", "Host: a.test"),
        ("http://a.test/", "Host: evil", "http://a.test/", "Host: a.test"),
        ("http://evil:x@a.test/", "", "http://a.test/", ""),
    ] {
        cache.purge_all();
        let mut bodies = Vec::new();
        for (uri, headers) in [(uri, host), (other, others)] {
            let mut request = Request::new(());
            (*request.uri_mut(), *request.headers_mut()) = (uri.parse().unwrap(), fields(headers));
            let got = read(site.clone().ready().await.unwrap().call(request).await.unwrap()).await;
            bodies.push((got.body().to_owned(), got.cache().to_owned()));
        }
        assert_eq!(bodies[0].1, "edge; fwd=bypass", "{uri} {host}");
        assert_eq!(bodies[1], ("a.test".to_owned(), "edge; fwd=uri-miss; stored".to_owned()), "{uri} {host}");
    }
}
