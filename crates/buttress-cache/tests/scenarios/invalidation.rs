//! Invalidations and writes: after them there is no old value, whoever was loading.

use super::*;
use buttress_cache::{Fate, Found, Glob, Touch};
use futures_util::FutureExt;
use std::sync::atomic::AtomicBool;
use tower::Layer;

#[tokio::test(start_paused = true)]
async fn c14_a_load_that_was_invalidated_by_tag_or_glob_is_for_those_who_asked_before() {
    type How = (&'static str, fn(&Cache<String, u64>) -> u64);
    let ways: [How; 2] = [
        ("tag", |cache| cache.invalidate_tag("team:1")),
        ("glob", |cache| cache.invalidate_glob(&Glob::new("user:?").unwrap())),
    ];
    for (how, invalidate) in ways {
        for apart in [false, true] {
            let (cache, origin) =
                (Cache::<String, u64>::new("users", Config::default()), Origin::new(After(MS)));
            let loader = cache.loader().rule(|_: &u64| Fate::store().tag("team:1").into());
            let there = loader.clone().background();
            let ask = || {
                let (origin, loader, there) = (origin.clone(), loader.clone(), there.clone());
                async move {
                    let load = move |_: &String| origin.ask(7);
                    if apart {
                        there.get_or_load("user:7".into(), load).await
                    } else {
                        loader.get_or_load("user:7".into(), load).await
                    }
                }
            };
            let (mut first, mut second) = (Box::pin(ask()), Box::pin(ask()));
            assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
            settle().await;
            origin.say(2);
            assert_eq!(invalidate(&cache), 0, "there is nothing yet");
            let mut third = Box::pin(ask());
            assert!((&mut third).now_or_never().is_none());
            let (first, second, third) = tokio::join!(first, second, third);
            assert_eq!((first.unwrap().value, second.unwrap().value), (1, 1), "{how}, apart: {apart}");
            assert_eq!(third.unwrap().value, 2, "{how}, apart: {apart}");
            assert_eq!(cache.get("user:7").map(Found::into_value), Some(2), "{how}, apart: {apart}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c14_an_unrelated_tag_costs_a_load_nothing() {
    let cache: Cache<u64, u64> = numbers(Config::default());
    let loader = cache.loader().rule_by(|key: &u64| {
        let tag = format!("team:{key}");
        move |_: &u64| Fate::store().tag(tag).into()
    });
    let load = |key: &u64| {
        let key = *key;
        async move {
            sleep(MS).await;
            Ok::<_, &str>(key)
        }
    };
    let mut one = Box::pin(loader.get_or_load(1, load));
    let mut two = Box::pin(loader.get_or_load(2, load));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    cache.invalidate_tag("team:1");
    let _ = tokio::join!(one, two);
    assert_eq!((cache.get(&1).is_some(), cache.get(&2).is_some()), (false, true));
    assert_eq!(cache.invalidate_tag("team:2"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tag_goes_with_the_value_that_had_it() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
    let rule = |page: &Page| Fate::store().tag(format!("version:{}", page.version)).tag("all").into();
    let service = layer(&cache).rule(rule).layer(origin.service());
    call(&service, 7).await.unwrap();
    cache.invalidate(&7);
    origin.say(2);
    call(&service, 7).await.unwrap();
    call(&service, 8).await.unwrap();
    assert_eq!(cache.invalidate_tag("version:1"), 0, "nothing has it any more");
    assert_eq!((cache.invalidate_tag("version:2"), cache.invalidate_tag("all")), (2, 0));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.weight, stats.left.explicit), (0, 0, 3));
}

/// Writes of each kind for the key `request - WRITE`, which has a tag `key:..`.
fn written(how: usize) -> impl Fn(&u64) -> Vec<Touch<u64>> + Clone {
    move |request| {
        let Some(key) = request.checked_sub(WRITE) else { return Vec::new() };
        match how {
            0 => vec![Touch::Key(key)],
            1 => vec![Touch::Tag(format!("key:{key}").into())],
            2 => vec![Touch::All],
            _ => vec![Touch::Key(key), Touch::Tag("none".into())],
        }
    }
}

fn tagged(request: &u64) -> impl FnOnce(&Page) -> Fate + Clone + Send + use<> {
    let tag = format!("key:{request}");
    move |_| Fate::store().tag(tag).into()
}

#[tokio::test(start_paused = true)]
async fn after_the_answer_to_a_write_there_is_no_old_value() {
    for how in 0..4 {
        for apart in [false, true] {
            let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
            let layer = layer(&cache).rule_by(tagged).invalidate_on(written(how));
            let service = apart_if(apart, layer).layer(origin.service());
            let call = |key| call(&service, key);
            call(7).await.unwrap();
            call(8).await.unwrap();
            // A write that is under way takes nothing away yet.
            origin.now(After(50 * MS));
            let mut write = Box::pin(call(WRITE + 7));
            assert!((&mut write).now_or_never().is_none());
            assert_eq!(call(7).await, Ok((1, Served::Hit)));
            assert_eq!(write.await, Ok((2, Served::Loaded)));
            assert_eq!(cache.get(&7), None, "{how}, apart: {apart}");
            assert_eq!(cache.get(&8).is_some(), how != 2, "{how}: others stay unless all go");
            assert!(cache.get(&(WRITE + 7)).is_none(), "what a write answers is not stored");
            assert_eq!(call(7).await, Ok((2, Served::Loaded)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_outruns_a_load_that_began_before_it_ended() {
    for how in 0..4 {
        for apart in [false, true] {
            let start = Instant::now();
            let (cache, origin) = (pages(Config::default()), Origin::new(After(100 * MS)));
            let layer = layer(&cache).rule_by(tagged).invalidate_on(written(how));
            let service = apart_if(apart, layer).layer(origin.service());
            let call = |key| call(&service, key);
            let load = tokio::spawn(call(7));
            settle().await;
            origin.now(After(50 * MS));
            assert_eq!(call(WRITE + 7).await, Ok((2, Served::Loaded)));
            until(start, 60).await;
            let after = tokio::spawn(call(7));
            assert_eq!(load.await.unwrap(), Ok((1, Served::Loaded)), "it asked before");
            let after = after.await.unwrap().unwrap();
            assert_eq!(after.0, 2, "{how}, apart: {apart}: who asked after the write");
            assert_eq!(cache.get(&7).map(|page| page.version), Some(2), "{how}, apart: {apart}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_dropped_or_panics_may_have_written_all_the_same() {
    for how in [FailAfter(MS), Hang, Panic, PanicInCall] {
        let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
        let service = layer(&cache).invalidate_on(written(0)).layer(origin.service());
        call(&service, 7).await.unwrap();
        origin.now(how);
        let mut write = Box::pin(std::panic::AssertUnwindSafe(call(&service, WRITE + 7)).catch_unwind());
        match (&mut write).now_or_never() {
            None if matches!(how, FailAfter(_)) => {
                assert!(cache.get(&7).is_some(), "not yet");
                assert_eq!(write.await.unwrap(), Err(Error::Inner("failed late")));
            }
            None => drop(write),
            Some(ended) => assert!(ended.is_err()),
        }
        assert!(cache.get(&7).is_none(), "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_began_takes_nothing_away() {
    let (cache, origin) = (pages(Config::default()), Origin::new(Answer));
    let service = layer(&cache).invalidate_on(written(0)).layer(origin.service());
    call(&service, 7).await.unwrap();
    drop(call(&service, WRITE + 7));
    assert_eq!((cache.get(&7).is_some(), origin.calls()), (true, 1));
}

#[tokio::test(start_paused = true)]
async fn each_write_is_a_call_of_its_own_whatever_its_key() {
    let (cache, origin) = (pages(Config::default()), Origin::new(After(MS)));
    let service = layer(&cache).invalidate_on(written(0)).layer(origin.service());
    let writes = futures_util::future::join_all((0..10).map(|_| call(&service, WRITE + 7))).await;
    assert!(writes.iter().all(|write| matches!(write, Ok((_, Served::Loaded)))), "{writes:?}");
    let stats = cache.stats();
    assert_eq!((origin.calls(), stats.hits, stats.misses, stats.entries), (10, 0, 0, 0));
}

#[test]
fn c15_no_value_is_older_than_the_last_invalidation_that_returned() {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 150;
    let cache: Cache<String, u64> = Cache::new("users", Config::default());
    cache.insert("user2:1".into(), 0);
    let glob = Glob::new("user:*").unwrap();
    // What is true, and what was true when the last invalidation that has returned began.
    let (truth, floor, done) = (AtomicU64::new(1), AtomicU64::new(0), AtomicBool::new(false));
    let (loads, asked) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = |future: &mut dyn FnMut(&tokio::runtime::Runtime)| {
        future(&tokio::runtime::Builder::new_current_thread().build().unwrap());
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (cache, glob, truth, floor, asked) = (&cache, &glob, &truth, &floor, &asked);
                scope.spawn(move || {
                    for round in 0.. {
                        // On a busy machine every load may meet an invalidation: goes on until some have not.
                        let stats = cache.stats();
                        if round >= ROUNDS && stats.left.explicit > 0 && stats.hits > 0 {
                            break;
                        }
                        let version = truth.fetch_add(1, Ordering::SeqCst) + 1;
                        match (writer + round) % 4 {
                            0 => cache.invalidate_keys(|key| key.starts_with("user:")),
                            1 => cache.invalidate_tag("users"),
                            _ => cache.invalidate_glob(glob),
                        };
                        floor.fetch_max(version, Ordering::SeqCst);
                        // Bounded by what the others have done, not by time.
                        let seen = asked.load(Ordering::SeqCst);
                        let apart = if round % 10 == 0 { 40 } else { 4 };
                        while asked.load(Ordering::SeqCst) < seen + apart {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..4 {
            scope.spawn(|| {
                let loader = cache.loader().rule(|_: &u64| Fate::store().tag("users").into());
                run(&mut |runtime| {
                    runtime.block_on(async {
                        for round in 0.. {
                            if done.load(Ordering::SeqCst) {
                                break;
                            }
                            let key = format!("user:{}", round % 3);
                            let least = floor.load(Ordering::SeqCst);
                            let found = if round % 2 == 0 {
                                cache.get(&key).map(Found::into_value)
                            } else {
                                let load = |_: &String| async {
                                    let version = truth.load(Ordering::SeqCst);
                                    loads.fetch_add(1, Ordering::Relaxed);
                                    yield_now().await;
                                    std::thread::yield_now();
                                    Ok::<_, &str>(version)
                                };
                                Some(loader.get_or_load(key, load).await.unwrap().value)
                            };
                            asked.fetch_add(1, Ordering::SeqCst);
                            assert!(
                                found.is_none_or(|found| found >= least),
                                "{found:?} is older than {least}"
                            );
                        }
                    });
                });
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(cache.get("user2:1").is_some(), "c27: what only looks alike stays");
    let stats = cache.stats();
    assert_eq!(stats.loading, 0);
    assert_eq!(stats.loads, loads.load(Ordering::Relaxed));
    assert!(stats.left.explicit > 0 && stats.hits > 0, "{stats:?}");
}

#[test]
fn c27_a_glob_takes_what_it_matches_and_nothing_else() {
    let keys =
        ["user:1", "user:", "user2:1", "xuser:1", "user:*", "user:ab", "üser:1", "USER:1", "user:1\n2"];
    for (pattern, taken) in [
        ("user:*", &["user:1", "user:", "user:*", "user:ab", "user:1\n2"][..]),
        ("user:?", &["user:1", "user:*"]),
        ("user:\\*", &["user:*"]),
        ("?ser:1", &["user:1", "üser:1"]),
        ("*", &keys),
        ("", &[]),
    ] {
        let cache: Cache<String, ()> = Cache::new("users", Config::default().ttl(Duration::MAX));
        for key in keys {
            cache.insert(key.into(), ());
        }
        assert_eq!(cache.invalidate_glob(&Glob::new(pattern).unwrap()), taken.len() as u64, "{pattern}");
        let left: Vec<_> = keys.iter().filter(|key| cache.get(**key).is_none()).copied().collect();
        let taken: Vec<_> = keys.iter().filter(|key| taken.contains(key)).copied().collect();
        assert_eq!(left, taken, "{pattern}");
    }
}
