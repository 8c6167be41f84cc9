//! Bodies on their way to a client and into the store.

use super::*;

async fn frame(body: &mut Body<Script1>) -> Option<Bytes> {
    body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_client_sees_the_first_chunk_before_the_last() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).data("first").wait(&gate).data("last"));
    let cache = cache();
    let site = site(&cache, &origin);
    let mut body = head(&site, "/").await.unwrap().into_body();
    assert_eq!(frame(&mut body).await.unwrap(), "first");
    assert_eq!((cache.stats().entries, cache.stats().loading), (0, 1));
    gate.open();
    assert_eq!(frame(&mut body).await.unwrap(), "last");
    assert!(http_body::Body::is_end_stream(&body));
    assert_eq!(
        (cache.stats().entries, cache.stats().loading),
        (1, 0),
        "before anybody has asked for the end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_half_way_is_not_stored_and_one_follows() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).data("pa").wait(&gate).data("ge"));
    let cache = cache();
    let site = site(&cache, &origin);
    let mut body = head(&site, "/").await.unwrap().into_body();
    frame(&mut body).await.unwrap();
    let others: Vec<_> = (0..5).map(|_| spawn(&site, "/")).collect();
    settle().await;
    assert_eq!(origin.calls(), 1);
    drop(body);
    settle().await;
    assert_eq!((origin.calls(), cache.stats().entries), (2, 0));
    gate.open_for_all();
    for other in others {
        assert_eq!(other.await.unwrap().body(), "page");
    }
    assert_eq!((origin.calls(), cache.stats().entries), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_torn_short_or_long_body_is_not_stored_and_all_ask_for_themselves() {
    let gate = Gate::new();
    let long = "Cache-Control: max-age=60 | Content-Length: 4";
    let rows = [
        Reply::new(FRESH).data("pa").wait(&gate).step(Step::Fail),
        Reply::new(long).data("pa").wait(&gate).data("g"),
        Reply::new(long).data("pa").wait(&gate).data("ges"),
    ];
    for (index, reply) in rows.into_iter().enumerate() {
        let origin = Origin::always(reply);
        let cache = cache();
        let site = site(&cache, &origin);
        let leader = spawn(&site, "/");
        settle().await;
        let others: Vec<_> = (0..5).map(|_| spawn(&site, "/")).collect();
        settle().await;
        assert_eq!(origin.calls(), 1);
        gate.open();
        settle().await;
        assert_eq!((origin.calls(), cache.stats().entries), (6, 0), "{index}");
        for _ in 0..5 {
            gate.open();
        }
        assert_eq!(leader.await.unwrap().body.is_err(), index == 0);
        for other in others {
            assert_eq!(other.await.unwrap().body.is_err(), index == 0);
        }
        assert_eq!(cache.stats().loading, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_goes_through_and_frees_those_who_wait() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).wait(&gate).data("1234").data("5678").data("9"));
    let cache = HttpCache::new("edge", Config::default(), HttpOptions::default().max_body(8));
    let site = site(&cache, &origin);
    let leader = spawn(&site, "/");
    settle().await;
    let other = spawn(&site, "/");
    settle().await;
    gate.open_for_all();
    assert_eq!(leader.await.unwrap().body(), "123456789");
    assert_eq!(other.await.unwrap().body(), "123456789");
    assert_eq!((origin.calls(), cache.stats().entries), (2, 0));
    origin.now(Reply::new("Cache-Control: max-age=60 | Content-Length: 9").data("123456789"));
    assert_eq!(get(&site, "/").await.cache(), "edge; fwd=uri-miss; detail=too-big");
    origin.now(Reply::new(FRESH).data("12345678"));
    get(&site, "/").await;
    assert!(get(&site, "/").await.is_hit());
}

#[tokio::test(start_paused = true)]
async fn as_much_as_the_head_says_is_enough() {
    let gate = Gate::new();
    let long = "Cache-Control: max-age=60 | Content-Length: 4";
    let origin = Origin::always(Reply::new(long).data("page").wait(&gate));
    let cache = cache();
    let site = site(&cache, &origin);
    let mut body = head(&site, "/").await.unwrap().into_body();
    frame(&mut body).await.unwrap();
    drop(body);
    assert_eq!(get(&site, "/").await.body(), "page");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn entries_weigh_as_much_as_they_take() {
    let origin = Origin::always(Reply::new(FRESH).data(&"x".repeat(10_000)));
    let config = Config::default().max_weight(std::num::NonZeroU64::new(1 << 20).unwrap());
    let cache = HttpCache::new("edge", config, HttpOptions::default());
    let site = site(&cache, &origin);
    for n in 0..200 {
        get(&site, &format!("/{n}")).await;
    }
    let stats = cache.stats();
    assert!(stats.weight <= 1 << 20 && stats.entries < 105 && stats.entries > 50, "{stats:?}");
}

/// A part of a buffer, as a connection gives it, that is known to be held as long as its count is above one.
fn part_of(buffer: &Arc<Vec<u8>>, range: std::ops::Range<usize>) -> Bytes {
    struct Held(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(Arc::clone(buffer))).slice(range)
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_holds_none_of_what_it_was_read_with() {
    let buffer = Arc::new(b"max-age=60; \"strong\"; page; more".to_vec());
    let held = Arc::clone(&buffer);
    let origin = Origin::new(move |request, number| {
        let mut reply = Reply::new("").status(if number == 2 { 304 } else { 200 });
        let mut trailers = HeaderMap::new();
        let value = |range| HeaderValue::from_maybe_shared(part_of(&held, range)).unwrap();
        reply.headers.insert("cache-control", value(0..10));
        reply.headers.insert("etag", value(12..20));
        trailers.insert("x", value(22..26));
        let body = if let Some(range) = request.headers().get("range") {
            let (first, last) = if range == "bytes=0-4" { (0, 4) } else { (4, 6) };
            reply.headers.insert("content-range", format!("bytes {first}-{last}/9").parse().unwrap());
            reply.status = StatusCode::PARTIAL_CONTENT;
            part_of(&held, first..last + 1)
        } else {
            part_of(&held, 22..26)
        };
        match (reply.status.as_u16(), number) {
            (304, _) => reply,
            (206, _) => reply.step(Step::Data(body)),
            _ => reply.step(Step::Data(body)).step(Step::Trailers(trailers)),
        }
    });
    let cache = cache();
    let site = site(&cache, &origin);
    get(&site, "/").await;
    advance(SECOND * 61).await;
    assert_eq!(get(&site, "/").await.cache(), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
    for range in ["0-4", "4-6"] {
        get(&site, &format!("/part | Range: bytes={range}")).await;
    }
    assert!(get(&site, "/part | Range: bytes=0-6").await.is_hit());
    assert_eq!(cache.stats().entries, 2);
    assert_eq!(Arc::strong_count(&buffer), 2, "besides the test's own, only its origin has it");
}
