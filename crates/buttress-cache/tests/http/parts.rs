//! Parts of responses, stored and served (RFC 9111 §3.3).

use super::*;

const DIGITS: &str = "0123456789";

/// An origin that knows ranges, and adds these fields.
fn ranging(added: &'static str) -> Origin {
    Origin::new(move |request, _| {
        let range = request.headers().get("range").map(|range| range.to_str().unwrap());
        match range.and_then(|range| slice(range.strip_prefix("bytes=").unwrap())) {
            Some((first, last)) => {
                let range = format!("{added} | Content-Range: bytes {first}-{last}/10");
                // In two chunks, one of them empty at times.
                let (one, two) = DIGITS[first..=last].split_at((last - first).min(2));
                Reply::new(&range).status(206).data(one).data(two)
            }
            None => Reply::new(added).data(DIGITS),
        }
    })
}

/// The first and last of the ten bytes that a range names.
fn slice(range: &str) -> Option<(usize, usize)> {
    let (first, last) = range.split_once('-')?;
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => Some((first, last.min(9))),
        (Ok(first), Err(_)) => Some((first, 9)),
        (Err(_), Ok(count)) => Some((10 - count.min(10), 9)),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_serves_the_ranges_within_it() {
    let origin = ranging("Cache-Control: max-age=60 | ETag: \"a\" | A: 1");
    let site = site(&cache(), &origin);
    let first = get(&site, "/ | Range: bytes=-6").await;
    assert_eq!((first.status, first.body(), first.cache()), (206, "456789", "edge; fwd=uri-miss; stored"));
    advance(SECOND * 7).await;
    for (asked, body, range) in [
        ("/ | Range: bytes=-6", "456789", "bytes 4-9/10"),
        ("/ | Range: bytes=6-8", "678", "bytes 6-8/10"),
        ("/ | Range: bytes=6-", "6789", "bytes 6-9/10"),
        ("/ | Range: bytes=-1", "9", "bytes 9-9/10"),
        ("/ | Range: bytes=4-99", "456789", "bytes 4-9/10"),
        ("/ | Range: bytes=5-5 | If-Range: \"a\"", "5", "bytes 5-5/10"),
    ] {
        let got = get(&site, asked).await;
        assert_eq!((got.status, got.body(), got.header("content-range")), (206, body, range), "{asked}");
        assert_eq!((got.header("content-length"), got.header("a")), (&*body.len().to_string(), "1"));
        assert_eq!((got.header("age"), got.cache()), ("7", "edge; hit; ttl=53"), "{asked}");
    }
    let got = get(&site, "/ | Range: bytes=5-5 | If-None-Match: \"a\"").await;
    assert_eq!((got.status, got.body(), got.is_hit()), (304, "", true));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_part_has_not_comes_from_the_origin() {
    for asked in [
        "/",
        "HEAD /",
        "/ | Range: bytes=3-5",
        "/ | Range: bytes=0-",
        "/ | Range: bytes=-7",
        "/ | Range: bytes=5-6 | If-Range: \"b\"",
        "/ | Range: bytes=5-6, 8-9",
        "/ | Range: pages=5-6",
    ] {
        let origin = ranging("Cache-Control: max-age=60 | ETag: \"a\"");
        let site = site(&cache(), &origin);
        get(&site, "/ | Range: bytes=4-9").await;
        origin.now(Reply::new("Cache-Control: max-age=60 | ETag: \"c\"").data("other"));
        let got = get(&site, asked).await;
        assert_eq!((got.body(), origin.calls()), ("other", 2), "{asked}");
        let told = if asked.contains("Range") { "edge; fwd=partial" } else { "edge; fwd=uri-miss" };
        assert!(got.cache().starts_with(told), "{asked}: {}", got.cache());
    }
}

#[tokio::test(start_paused = true)]
async fn every_range_of_every_part_is_what_the_origin_would_send() {
    for first in 0..10 {
        for last in first..10 {
            let origin = ranging(FRESH);
            let site = site(&cache(), &origin);
            get(&site, &format!("/ | Range: bytes={first}-{last}")).await;
            let ranges = (0..10).flat_map(|first| (first..12).map(move |last| format!("{first}-{last}")));
            let open = (0..10).flat_map(|at| [format!("{at}-"), format!("-{}", at + 1)]);
            for range in ranges.chain(open) {
                let (from, to) = slice(&range).unwrap();
                let only = format!("/ | Range: bytes={range} | Cache-Control: only-if-cached");
                let got = get(&site, &only).await;
                if first <= from && to <= last {
                    let told = (got.status, got.body(), got.header("content-range"));
                    assert_eq!(told, (206, &DIGITS[from..=to], &*format!("bytes {from}-{to}/10")), "{range}");
                } else {
                    assert_eq!(got.status, 504, "{range} of {first}-{last}");
                }
            }
            assert_eq!(origin.calls(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_replaces_a_part_and_no_part_replaces_the_whole() {
    let gate = Gate::new();
    let origin = ranging(FRESH);
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/ | Range: bytes=2-3").await;
    origin.now(Reply::new("Cache-Control: max-age=5").data("abcdefghij"));
    assert_eq!(get(&site, "/").await.cache(), "edge; fwd=uri-miss; stored");
    assert_eq!(cache.stats().entries, 1);
    assert_eq!(get(&site, "/ | Range: bytes=2-3").await.body(), "cd");
    advance(SECOND * 6).await;
    // What is older than what was seen since is not served, though it would be fresh.
    let part = Reply::new("Cache-Control: max-age=60 | Content-Range: bytes 2-3/10").status(206);
    origin.now(part.clone().gate(&gate).data("CD"));
    let ranged = spawn(&site, "/ | Range: bytes=2-3");
    settle().await;
    assert_eq!(origin.calls(), 3);
    origin.now(Reply::new(FRESH).data("ABCDEFGHIJ"));
    get(&site, "/").await;
    gate.open();
    assert_eq!(ranged.await.unwrap().body(), "CD");
    assert_eq!((get(&site, "/").await.body(), cache.stats().entries), ("ABCDEFGHIJ", 1));
    assert_eq!(origin.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_newer_part_replaces_an_older_one_and_so_does_word_that_it_is_gone() {
    let origin = ranging(FRESH);
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/ | Range: bytes=2-3").await;
    assert_eq!(get(&site, "/ | Range: bytes=6-7").await.cache(), "edge; fwd=partial; stored");
    assert!(get(&site, "/ | Range: bytes=7-7").await.is_hit());
    origin.now(Reply::new("Content-Range: bytes */10").status(416));
    assert_eq!(get(&site, "/ | Range: bytes=99-").await.status, 416);
    origin.now(Reply::new("").status(503));
    assert_eq!(get(&site, "/ | Range: bytes=2-3").await.status, 503);
    assert!(get(&site, "/ | Range: bytes=7-7").await.is_hit(), "neither says anything of what is stored");
    origin.now(Reply::new("Cache-Control: no-store").status(404));
    assert_eq!(get(&site, "/ | Range: bytes=2-3").await.status, 404);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_single_part_is_not_stored() {
    let part = "Cache-Control: max-age=60 | Content-Range: bytes 4-9/10";
    let sized = "Cache-Control: max-age=60 | Content-Range: bytes 4-9/10 | Content-Length: 6";
    let many = "Cache-Control: max-age=60 | Content-Type: multipart/byteranges; boundary=b";
    let rows = [
        ("two parts", Reply::new(many).data("--b--")),
        ("more than it says", Reply::new(part).data("4567890")),
        ("less than its length", Reply::new(sized).data("45678")),
        ("torn", Reply::new(part).data("4567").step(Step::Fail)),
        ("nothing", Reply::new(part)),
        (
            "a range that is none",
            Reply::new("Cache-Control: max-age=60 | Content-Range: bytes 9-4/10").data("4"),
        ),
        ("private", Reply::new("Cache-Control: private | Content-Range: bytes 4-9/10").data("456789")),
    ];
    for (name, reply) in rows {
        let origin = Origin::always(reply.status(206));
        let cache = cache();
        let site = site(&cache, &origin);
        get(&site, "/ | Range: bytes=-6").await;
        assert_eq!((cache.stats().entries, cache.stats().loading), (0, 0), "{name}");
    }
    let origin = ranging(FRESH);
    let cache = HttpCache::new("edge", Config::default(), HttpOptions::default().partial(false));
    get(&site(&cache, &origin), "/ | Range: bytes=-6").await;
    assert_eq!(cache.stats().entries, 0);
    // Nobody has asked for a part.
    origin.now(Reply::new(part).status(206).data("456789"));
    let cache = super::cache();
    assert_eq!(get(&site(&cache, &origin), "/").await.status, 206);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn of_a_part_that_is_shorter_than_it_says_there_is_what_has_come() {
    // The row `partial-store-partial-reuse-partial-byterange` of the public suite: its body has five bytes of six.
    let reply = Reply::new("Cache-Control: max-age=60 | Content-Range: bytes 4-9/10 | Content-Length: 5");
    let origin = Origin::always(reply.status(206).data("01234"));
    let site = site(&cache(), &origin);
    get(&site, "/ | Range: bytes=-5").await;
    let got = get(&site, "/ | Range: bytes=6-8").await;
    assert_eq!((got.status, got.body(), got.is_hit()), (206, "234", true));
    for asked in ["/ | Range: bytes=6-", "/ | Range: bytes=-5", "/ | Range: bytes=-1"] {
        assert!(!get(&site, asked).await.is_hit(), "nobody knows byte 9: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_range_at_the_same_time_gets_its_own() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::new(move |request, _| {
        let range = request.headers()["range"].to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (first, last) = slice(range).unwrap();
        let fields = format!("{FRESH} | Content-Range: bytes {first}-{last}/10");
        Reply::new(&fields).status(206).gate(&opened).data(&DIGITS[first..=last])
    });
    let cache = cache();
    let site = site(&cache, &origin);
    let asked =
        ["/ | Range: bytes=0-3", "/ | Range: bytes=2-5", "/ | Range: bytes=0-3", "/ | Range: bytes=-2"];
    let clients = asked.map(|asked| spawn(&site, asked));
    settle().await;
    assert_eq!(origin.calls(), 4, "nobody waits for another part");
    gate.open_for_all();
    for (client, body) in clients.into_iter().zip(["0123", "2345", "0123", "89"]) {
        assert_eq!(client.await.unwrap().body(), body);
    }
    assert_eq!((cache.stats().entries, cache.stats().loading), (1, 0));
    assert_eq!(get(&site, "/ | Range: bytes=1-2").await.cache(), "edge; hit; ttl=60");
}

#[tokio::test(start_paused = true)]
async fn parts_vary_too() {
    let origin = Origin::new(|request, _| {
        let fields = "Cache-Control: max-age=60 | Vary: A | Content-Range: bytes 0-1/4";
        Reply::new(fields).status(206).data(request.headers()["a"].to_str().unwrap())
    });
    let cache = cache();
    let site = site(&cache, &origin);
    for _ in 0..2 {
        for a in ["11", "22"] {
            assert_eq!(get(&site, &format!("/ | Range: bytes=0-1 | A: {a}")).await.body(), a);
        }
    }
    assert_eq!((origin.calls(), cache.stats().entries), (2, 3));
    assert_eq!(cache.purge("http://a.test/"), 3);
}

#[tokio::test(start_paused = true)]
async fn parts_are_purged_with_the_rest() {
    type Purge = fn(&HttpCache) -> u64;
    let rows: [Purge; 4] = [
        |cache| cache.purge("http://a.test/"),
        |cache| cache.purge_tag("all"),
        |cache| cache.purge_prefix("http://a.test/"),
        HttpCache::purge_all,
    ];
    let reply =
        Reply::new("Cache-Control: max-age=60 | Cache-Tag: all | Content-Range: bytes 0-1/4").status(206);
    for (index, purge) in rows.into_iter().enumerate() {
        let gate = Gate::new();
        let origin = Origin::always(reply.clone().data("01"));
        let cache = cache();
        let site = site(&cache, &origin);
        get(&site, "/ | Range: bytes=0-1").await;
        assert_eq!((purge(&cache), cache.stats().entries), (1, 0), "{index}");
        origin.now(reply.clone().gate(&gate).data("01"));
        let client = spawn(&site, "/ | Range: bytes=0-1");
        settle().await;
        purge(&cache);
        origin.now(reply.clone().gate(&gate).data("ab"));
        let late = spawn(&site, "/ | Range: bytes=0-1");
        settle().await;
        gate.open_for_all();
        assert_eq!((client.await.unwrap().body(), late.await.unwrap().body()), ("01", "ab"));
        assert_eq!(cache.stats().loading, 0);
        // Whether what was on its way has the tag, nobody knew: who came after the purge went beside it.
        let got = get(&site, "/ | Range: bytes=0-0 | Cache-Control: only-if-cached").await;
        assert_eq!(got.body(), if index == 1 { "" } else { "a" }, "{index}");
    }
    let origin = Origin::always(reply.data("01"));
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/ | Range: bytes=0-1").await;
    origin.now(Reply::new("").status(204));
    get(&site, "PUT /").await;
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_part_is_served_where_the_origin_fails_and_only_then() {
    let origin = ranging("Cache-Control: max-age=60, stale-if-error=60, stale-while-revalidate=60");
    let site = site(&cache(), &origin);
    get(&site, "/ | Range: bytes=0-3").await;
    advance(SECOND * 61).await;
    let got = get(&site, "/ | Range: bytes=0-3").await;
    assert_eq!((got.cache(), origin.calls()), ("edge; fwd=stale; stored", 2));
    advance(SECOND * 61).await;
    origin.now(Reply::failed());
    let got = get(&site, "/ | Range: bytes=1-2").await;
    assert_eq!((got.status, got.body()), (206, "12"));
    assert_eq!(got.cache(), "edge; fwd=stale; ttl=-1; detail=stale-if-error");
    assert!(head(&site, "/ | Range: bytes=1-5").await.is_err(), "of this it has not all");
}

/// The first and last of each range of six bytes.
fn ranges() -> impl Iterator<Item = (usize, usize)> {
    (0..6).flat_map(|first| (first..6).map(move |last| (first, last)))
}

#[tokio::test(start_paused = true)]
async fn parts_of_the_same_that_touch_become_one() {
    for (old, new) in ranges().flat_map(|old| ranges().map(move |new| (old, new))) {
        let origin = ranging("Cache-Control: max-age=60 | ETag: \"a\"");
        let cache = cache();
        let site = site(&cache, &origin);
        for (first, last) in [old, new] {
            get(&site, &format!("/ | Range: bytes={first}-{last}")).await;
        }
        let touch = new.0 <= old.1 + 1 && old.0 <= new.1 + 1;
        let there = if touch { (old.0.min(new.0), old.1.max(new.1)) } else { new };
        for (first, last) in ranges() {
            let only = format!("/ | Range: bytes={first}-{last} | Cache-Control: only-if-cached");
            let got = get(&site, &only).await;
            let told = (got.status, got.body(), got.header("content-range"));
            if there.0 <= first && last <= there.1 {
                let range = format!("bytes {first}-{last}/10");
                assert_eq!(told, (206, &DIGITS[first..=last], &*range), "{old:?} {new:?}");
            } else {
                assert_eq!(told.0, 504, "{first}-{last} of {old:?} and {new:?}");
            }
        }
        assert_eq!(cache.stats().entries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_may_be_of_two_are_not_combined() {
    let part = |fields: &str| Reply::new(&format!("{FRESH} | {fields}")).status(206);
    let first = |tag: &str| part(&format!("Content-Range: bytes 0-1/10 | ETag: {tag} | A: 1")).data("01");
    let rows = [
        (first("\"a\""), part("Content-Range: bytes 2-3/10 | ETag: \"b\" | A: 1"), "another tag"),
        (first("W/\"a\""), part("Content-Range: bytes 2-3/10 | ETag: W/\"a\" | A: 1"), "weak tags"),
        (first("\"a\""), part("Content-Range: bytes 2-3/10 | A: 1"), "no tag"),
        (first("\"a\""), part("Content-Range: bytes 2-3/11 | ETag: \"a\" | A: 1"), "another length"),
        (first("\"a\""), part("Content-Range: bytes 2-3/10 | ETag: \"a\""), "a field less"),
    ];
    for (first, second, name) in rows {
        let origin = Origin::always(first);
        let site = site(&cache(), &origin);
        get(&site, "/ | Range: bytes=0-1").await;
        origin.now(second.data("23"));
        get(&site, "/ | Range: bytes=2-3").await;
        assert!(get(&site, "/ | Range: bytes=2-3").await.is_hit());
        let got = get(&site, "/ | Range: bytes=1-2 | Cache-Control: only-if-cached").await;
        assert_eq!(got.status, 504, "{name}");
    }
    let long = HttpCache::new("edge", Config::default(), HttpOptions::default().max_body(3));
    let site = site(&long, &ranging("Cache-Control: max-age=60 | ETag: \"a\""));
    for (range, told) in [("0-1", "uri-miss"), ("2-3", "partial"), ("1-1", "partial"), ("0-0", "partial")] {
        let got = get(&site, &format!("/ | Range: bytes={range}")).await;
        assert!(got.cache().starts_with(&format!("edge; fwd={told}")), "{range}: {}", got.cache());
    }
}
