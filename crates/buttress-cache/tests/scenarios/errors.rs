//! What is not stored, what is remembered, and for how long.

use super::*;
use buttress_cache::Fate;
use futures_util::FutureExt;
use tower::Layer;

#[tokio::test(start_paused = true)]
async fn c7_an_error_is_not_stored() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(Fail));
        let service = apart_if(apart, layer(&cache)).layer(origin.service());
        let call = || call(&service, 7);
        for calls in 1..4 {
            assert_eq!(call().await, Err(Error::Inner("failed")));
            assert_eq!(origin.calls(), calls, "apart: {apart}");
        }
        origin.now(Answer);
        assert_eq!(call().await, Ok((1, Served::Loaded)), "apart: {apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn c7_an_error_is_remembered_for_exactly_as_long_as_was_said() {
    let start = Instant::now();
    let (cache, origin) = (pages(Config::default()), Origin::new(Fail));
    let service = layer(&cache).remember_errors(|_: &TestError| Some(5 * SECOND)).layer(origin.service());
    assert_eq!(call(&service, 7).await, Err(Error::Inner("failed")));
    for at in [0, 1, 4999] {
        until(start, at).await;
        let refused = call(&service, 7).now_or_never().expect("at once").unwrap_err();
        let refused = *refused.rejected().expect("a refusal");
        let left = Duration::from_millis(5000 - at);
        assert_eq!((refused.reason(), refused.retry_after()), (Reason::Failed, Some(left)), "{at}");
    }
    assert_eq!((origin.calls(), cache.stats().remembered), (1, 3));
    assert_eq!(call(&service, 8).await, Err(Error::Inner("failed")), "another key is another");
    until(start, 5000).await;
    origin.now(Answer);
    assert_eq!(call(&service, 7).await, Ok((1, Served::Loaded)));
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn c7_a_shared_error_is_remembered_as_itself() {
    for apart in [false, true] {
        let (cache, origin) = (pages(Config::default()), Origin::new(Fail));
        let layer = layer(&cache).share_errors().remember_errors(|error: &TestError| match error {
            Error::Inner("failed") => Some(SECOND),
            _ => None,
        });
        let service = apart_if(apart, layer).layer(origin.service());
        let call = || call(&service, 7);
        for _ in 0..5 {
            assert_eq!(call().await, Err(Error::Inner("failed")), "apart: {apart}");
        }
        assert_eq!((origin.calls(), cache.stats().remembered), (1, 4));
        advance(SECOND).await;
        origin.now(FailAfter(MS));
        for _ in 0..2 {
            assert_eq!(call().await, Err(Error::Inner("failed late")), "one that nobody wants remembered");
        }
        assert_eq!(origin.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_goes_with_an_invalidation_and_with_a_value() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Fail));
    let service = layer(&cache).remember_errors(|_: &TestError| Some(Duration::MAX)).layer(origin.service());
    let forgets: [fn(&Pages); 5] = [
        |cache| {
            cache.invalidate(&7);
        },
        |cache| {
            cache.invalidate_all();
        },
        |cache| {
            cache.invalidate_keys(|key| *key == 7);
        },
        |cache| {
            cache.invalidate_if(|key, _| *key == 7);
        },
        |cache| {
            cache.insert_for(7, Page { version: 9, served: None }, Duration::ZERO);
        },
    ];
    for (calls, forget) in forgets.into_iter().enumerate() {
        assert_eq!(call(&service, 7).await, Err(Error::Inner("failed")));
        assert_eq!(reason(&call(&service, 7).await), Some(Reason::Failed));
        assert_eq!(origin.calls(), calls + 1);
        forget(&cache);
    }
    cache.insert(7, Page { version: 9, served: None });
    assert_eq!(call(&service, 7).await, Ok((9, Served::Hit)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_better_than_an_error_that_is_remembered() {
    let config = Config::default().ttl(SECOND).stale_if_error(10 * SECOND).retry_after(Duration::ZERO);
    let (cache, origin) = (pages(config), Origin::new(Answer));
    let service = layer(&cache).remember_errors(|_: &TestError| Some(5 * SECOND)).layer(origin.service());
    call(&service, 7).await.unwrap();
    advance(2 * SECOND).await;
    origin.now(Fail);
    assert_eq!(call(&service, 7).await, Ok((1, Served::Stale(SECOND))));
    advance(SECOND).await;
    assert_eq!(call(&service, 7).await, Ok((1, Served::Stale(2 * SECOND))));
    assert_eq!(origin.calls(), 2, "it is remembered that it failed");
}

#[tokio::test(start_paused = true)]
async fn c7_an_answer_with_a_status_is_stored_shared_or_for_a_short_time_as_the_rule_says() {
    let start = Instant::now();
    let (cache, origin) = (pages(Config::default()), Origin::new(After(MS)));
    let rule = |page: &Page| match page.version {
        404 => Fate::store().ttl(5 * SECOND).into(),
        500 => Fate::Share,
        503 => Fate::Failed,
        _ => Fate::store().into(),
    };
    let service = layer(&cache).rule(rule).layer(origin.service());
    for (status, again) in
        [(200, Served::Hit), (404, Served::Hit), (500, Served::Loaded), (503, Served::Loaded)]
    {
        origin.say(status);
        let answers = tokio::join!(call(&service, status), call(&service, status));
        assert_eq!(answers, (Ok((status, Served::Loaded)), Ok((status, Served::Waited))));
        assert_eq!(call(&service, status).await, Ok((status, again)));
    }
    assert_eq!((cache.stats().entries, cache.stats().load_failures), (2, 2));
    until(start, 6000).await;
    assert!(cache.get(&200).is_some() && cache.get(&404).is_none());
}

#[tokio::test(start_paused = true)]
async fn no_more_errors_are_remembered_than_a_sixteenth_of_the_entries() {
    let (cache, origin) = (pages(Config::default().max_entries(entries(160))), Origin::new(Fail));
    let service = layer(&cache).remember_errors(|_: &TestError| Some(SECOND)).layer(origin.service());
    for key in 0..100 {
        call(&service, key).await.unwrap_err();
    }
    assert_eq!(origin.calls(), 100);
    for key in (0..100).rev() {
        call(&service, key).await.unwrap_err();
    }
    // The ten last ones were, until the eleventh was asked for again.
    assert_eq!((cache.stats().remembered, origin.calls()), (10, 190));
}
