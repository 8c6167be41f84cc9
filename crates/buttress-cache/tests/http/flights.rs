//! One call to the origin for all who ask at the same time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hundred_clients_are_one_call() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).gate(&gate).data("pa").wait(&gate).data("ge"));
    let cache = cache();
    let site = site(&cache, &origin);
    let clients: Vec<_> = (0..100).map(|_| spawn(&site, "/")).collect();
    settle().await;
    gate.open();
    settle().await;
    gate.open();
    let mut told = Vec::new();
    for client in clients {
        let got = client.await.unwrap();
        assert_eq!(got.body(), "page");
        told.push(got.cache().to_owned());
    }
    assert_eq!((origin.calls(), cache.stats().coalesced), (1, 99));
    assert_eq!(told.iter().filter(|told| **told == "edge; fwd=uri-miss; ttl=60; collapsed").count(), 99);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_answered_each_by_its_own_conditions() {
    let gate = Gate::new();
    let origin =
        Origin::always(Reply::new("Cache-Control: max-age=60 | ETag: \"a\"").gate(&gate).data("page"));
    let site = site(&cache(), &origin);
    let leader = spawn(&site, "/ | If-None-Match: \"a\"");
    settle().await;
    let same = spawn(&site, "/ | If-None-Match: \"a\"");
    let other = spawn(&site, "/ | If-None-Match: \"b\"");
    settle().await;
    gate.open();
    assert_eq!(leader.await.unwrap().status, 200, "it carries the body that the others wait for");
    assert_eq!(same.await.unwrap().status, 304);
    assert_eq!(other.await.unwrap().body(), "page");
    assert!(!origin.last().contains_key("if-none-match"));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_sends_all_to_the_origin_side_by_side() {
    let (head, body) = (Gate::new(), Gate::new());
    let origin = Origin::always(Reply::new("Cache-Control: no-store").gate(&head).wait(&body).data("mine"));
    let cache = cache();
    let site = site(&cache, &origin);
    let clients: Vec<_> = (0..10).map(|_| spawn(&site, "/")).collect();
    settle().await;
    assert_eq!(origin.calls(), 1);
    head.open();
    settle().await;
    assert_eq!((origin.calls(), cache.stats().loading), (10, 0), "as soon as the head is there");
    head.open_for_all();
    body.open_for_all();
    for client in clients {
        assert_eq!(client.await.unwrap().body(), "mine");
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_be_asked_for_each_time_is_asked_for_by_all_who_waited() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::new(move |request, _| {
        let reply = Reply::new("Cache-Control: no-cache | ETag: \"a\"");
        if request.headers().contains_key("if-none-match") {
            return reply.status(304);
        }
        reply.gate(&opened).data("page")
    });
    let site = site(&cache(), &origin);
    let clients: Vec<_> = (0..3).map(|_| spawn(&site, "/")).collect();
    settle().await;
    gate.open();
    for client in clients {
        assert_eq!(client.await.unwrap().body(), "page");
    }
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_before_the_head_is_followed() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).gate(&gate).data("page"));
    let site = site(&cache(), &origin);
    let leader = spawn(&site, "/");
    settle().await;
    let others: Vec<_> = (0..5).map(|_| spawn(&site, "/")).collect();
    settle().await;
    leader.abort();
    settle().await;
    assert_eq!(origin.calls(), 2);
    gate.open();
    for other in others {
        assert_eq!(other.await.unwrap().body(), "page");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_one_call_and_refuses_those_who_waited() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::failed().gate(&gate));
    let site = site(&cache(), &origin);
    let ask = || {
        let site = site.clone();
        tokio::spawn(async move { head(&site, "/").await.map(|_| ()) })
    };
    let clients = [ask(), ask(), ask()];
    settle().await;
    gate.open_for_all();
    let mut own = 0;
    for client in clients {
        match client.await.unwrap() {
            Err(Error::Inner(_)) => own += 1,
            Err(Error::Rejected(rejected)) => assert_eq!(rejected.reason(), buttress_core::Reason::Failed),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((own, origin.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_asks_for_itself() {
    let gate = Gate::new();
    let stalled = gate.clone();
    let origin = Origin::new(move |_, n| {
        if n == 1 {
            Reply::new(FRESH).data("a").wait(&stalled).data("b")
        } else {
            Reply::new(FRESH).data("own")
        }
    });
    let config = Config::default().hard_timeout(SECOND * 3);
    let cache = HttpCache::new("edge", config, HttpOptions::default());
    let site = site(&cache, &origin);
    let leader = spawn(&site, "/");
    settle().await;
    let follower = spawn(&site, "/");
    settle().await;
    advance(SECOND * 2).await;
    settle().await;
    assert_eq!(origin.calls(), 1);
    advance(SECOND * 2).await;
    assert_eq!(follower.await.unwrap().body(), "own");
    let next = get(&site, "/").await;
    assert_eq!((next.body(), origin.calls()), ("own", 3), "it need not wait too");
    gate.open_for_all();
    assert_eq!(leader.await.unwrap().body(), "ab");
    assert_eq!(get(&site, "/").await.body(), "own", "what was given up is not stored");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_origin_is_its_callers_own_and_the_next_one_follows() {
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = Origin::new(move |_, n| {
        assert!(n > 1, "as told");
        Reply::new(FRESH).gate(&opened).data("page")
    });
    let cache = cache();
    let site = site(&cache, &origin);
    assert!(spawn(&site, "/").await.unwrap_err().is_panic());
    assert_eq!(cache.stats().loading, 0);
    let clients = [spawn(&site, "/"), spawn(&site, "/")];
    settle().await;
    gate.open();
    for client in clients {
        assert_eq!(client.await.unwrap().body(), "page");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn surrogates_say_so_where_that_is_enabled() {
    let options = HttpOptions::default().surrogate_control(true);
    let cache = HttpCache::new("edge", Config::default(), options);
    let origin = Origin::always(Reply::new("Surrogate-Control: max-age=60").data("page"));
    let site = site(&cache, &origin);
    get(&site, "/").await;
    assert_eq!(origin.last()["surrogate-capability"], "buttress=\"Surrogate/1.0\"");
    assert!(get(&site, "/").await.is_hit());
}
