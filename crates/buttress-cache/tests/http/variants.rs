use super::*;

fn by_language() -> Origin {
    Origin::new(|request, _| {
        let language =
            request.headers().get("accept-language").map_or("none", |value| value.to_str().unwrap());
        Reply::new("Cache-Control: max-age=60 | Vary: Accept-Language | Cache-Tag: all").data(language)
    })
}

#[tokio::test(start_paused = true)]
async fn variants_are_stored_side_by_side() {
    let (origin, cache) = (by_language(), cache());
    let site = site(&cache, &origin);
    let rows = [
        ("/ | Accept-Language: de", "de", "edge; fwd=uri-miss; stored"),
        ("/ | Accept-Language: en", "en", "edge; fwd=vary-miss; stored"),
        ("/", "none", "edge; fwd=vary-miss; stored"),
        ("/ | Accept-Language: de", "de", "edge; hit; ttl=60"),
        ("/ | Accept-Language: EN", "en", "edge; hit; ttl=60"),
        ("/", "none", "edge; hit; ttl=60"),
    ];
    for (asked, body, status) in rows {
        let got = get(&site, asked).await;
        assert_eq!((got.body(), got.cache()), (body, status), "{asked}");
    }
    assert_eq!((origin.calls(), cache.stats().entries), (3, 4));
    assert_eq!(cache.purge("http://a.test/"), 4);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_response_varies_on_may_change() {
    let origin = Origin::always(Reply::new("Cache-Control: max-age=60 | Vary: A").data("by a"));
    let cache = cache();
    let site = site(&cache, &origin);
    let asked = "/ | A: 1 | B: 1";
    for (vary, n) in [("Vary: A", 1), ("Vary: B", 2), ("", 3), ("Vary: A, B", 4), ("Vary: A", 5)] {
        advance(SECOND * 61).await;
        let vary = if vary.is_empty() { "X: y" } else { vary };
        origin.now(Reply::new(&format!("{FRESH} | {vary}")).data(&n.to_string()));
        let got = get(&site, asked).await;
        assert_eq!(got.body(), n.to_string(), "{vary}");
        for _ in 0..2 {
            let got = get(&site, asked).await;
            assert!(got.is_hit() && got.body() == n.to_string(), "{vary}: {}", got.cache());
        }
        assert_eq!(cache.stats().loading, 0);
    }
    assert_eq!(origin.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_variant_asks_for_its_own() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::new(move |request, _| {
        let language = request.headers()["accept-language"].to_str().unwrap();
        Reply::new("Cache-Control: max-age=60 | Vary: Accept-Language").data(language).wait(&opened)
    });
    let site = site(&cache(), &origin);
    let asked = ["/ | Accept-Language: de", "/ | Accept-Language: en"];
    let clients: Vec<_> = (0..10).map(|n| spawn(&site, asked[n % 2])).collect();
    settle().await;
    assert_eq!(origin.calls(), 1, "nobody knows yet that it varies");
    gate.open_for_all();
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.await.unwrap().body(), ["de", "en"][n % 2]);
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_or_an_origin_makes_long_weighs_so_much() {
    let long = "x".repeat(8000);
    let tags = "a,b,c,".repeat(100);
    for (asked, fields, least) in [
        (format!("/ | Cookie: {long}"), "Vary: Cookie".to_owned(), 8000),
        (format!("/?{long}"), String::from("X: y"), 8000),
        (
            "/".to_owned(),
            format!("Vary: {}", ["A"; 100].map(|name| format!("{name}{long}")).join(",")),
            800_000,
        ),
        ("/".to_owned(), format!("Cache-Tag: {tags}"), 300 * 32),
    ] {
        let origin = Origin::always(Reply::new(&format!("{FRESH} | {fields}")).data("page"));
        let config = Config::default().max_weight(std::num::NonZeroU64::new(64 << 20).unwrap());
        let cache = HttpCache::new("edge", config, HttpOptions::default());
        get(&site(&cache, &origin), &asked).await;
        assert!(cache.stats().weight >= least, "{} of {fields:.20}", cache.stats().weight);
    }
}
