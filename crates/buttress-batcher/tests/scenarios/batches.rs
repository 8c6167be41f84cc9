//! When batches go, and what is in them.

use super::*;
use buttress_batcher::{Flush, Oversize};

#[tokio::test(start_paused = true)]
async fn a_lone_caller_is_sent_at_once() {
    let (start, backend) = (Instant::now(), Backend::new(Plan::Answer));
    let layer = BatchLayer::new("numbers", Config::default());
    let mut service: Numbers = layer.layer(backend.clone());
    for number in 1..=5 {
        assert_eq!(service.ready().await.unwrap().call(number).await, Ok(number * 10));
    }
    assert_eq!((start.elapsed(), backend.sizes()), (Duration::ZERO, vec![1; 5]));
    let stats = layer.handle().stats();
    assert_eq!((stats.flushed(Flush::Idle), stats.waits.max()), (5, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn nothing_exceeds_the_maximum_however_much_comes_at_once() {
    let backend = Backend::new(Plan::After(MS));
    let service = numbers(Config::default(), &backend);
    let calls = calls(&service, 0..1000).await;
    assert_eq!(answers(calls).await.len(), 1000);
    assert!(backend.sizes().iter().all(|&size| size <= 64), "{:?}", backend.sizes());
    assert_eq!(backend.saw(), (0..1000).collect::<Vec<_>>());
    assert!(backend.most_running() <= 4);
}

#[tokio::test(start_paused = true)]
async fn batches_grow_by_themselves_while_all_slots_are_busy() {
    let start = Instant::now();
    let backend = Backend::new(Plan::After(50 * MS));
    let layer = BatchLayer::new("numbers", Config::default());
    let service = layer.layer(backend.clone());
    // Ten batches, four at a time: three rounds.
    assert_eq!(answers(calls(&service, 1000..1640).await).await, tens(1000..1640));
    assert_eq!((start.elapsed(), backend.sizes(), backend.most_running()), (150 * MS, vec![64; 10], 4));
    assert_eq!(layer.handle().stats().flushed(Flush::Size), 10);
}

#[tokio::test(start_paused = true)]
async fn a_backend_with_a_price_per_call_does_twice_as_much_in_batches_or_more() {
    let per_second = |size, callers| async move {
        let start = Instant::now();
        let backend = Backend::new(Plan::Cost(MS, MS / 100));
        let service = numbers(Config::default().max_size(most(size)), &backend);
        let mut callers: JoinSet<()> = (0..callers)
            .map(|caller| {
                let mut service = service.clone();
                async move {
                    for _ in 0..10 {
                        service.ready().await.unwrap().call(100 + caller).await.unwrap();
                    }
                }
            })
            .collect();
        while callers.join_next().await.is_some() {}
        callers.len() as f64 + 10.0 * 256.0 / start.elapsed().as_secs_f64()
    };
    let (batched, unbatched) = (per_second(64, 256).await, per_second(1, 256).await);
    assert!(batched > 10.0 * unbatched, "{batched} against {unbatched}");
}

/// What a task has woken last runs next: here each caller would find the driver before the others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_callers_on_one_worker_are_not_served_one_by_one() {
    let backend = Backend::new(Plan::Answer);
    let service = numbers(Config::default(), &backend);
    let start = Arc::new(Barrier::new(1000));
    let mut callers: JoinSet<()> = (0..1000)
        .map(|_| {
            let (mut service, start) = (service.clone(), Arc::clone(&start));
            async move {
                start.wait().await;
                for _ in 0..20 {
                    service.ready().await.unwrap().call(1).await.unwrap();
                }
            }
        })
        .collect();
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let batches = backend.sizes().len();
    assert!(batches <= 20_000 / 8, "{batches} batches");
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_partition_keep_their_order() {
    let backend = Backend::new(Plan::Hold);
    let service = numbers(one_by_one(), &backend);
    let calls = calls(&service, 0..50).await;
    backend.release(100);
    answers(calls).await;
    assert_eq!(backend.batches().concat(), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_heavier_than_was_said() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().max_size(most(64)).max_weight(weight(64)));
    let service = layer.clone().weigh(|_: &u64| 10).layer(backend.clone());
    let calls = calls(&service, 100..129).await;
    backend.release(100);
    assert_eq!(answers(calls).await, tens(100..129));
    assert_eq!(backend.sizes(), [6, 6, 6, 6, 5]);
    let stats = layer.handle().stats();
    assert_eq!((stats.flushed(Flush::Weight), stats.flushed(Flush::Idle)), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_heavy_goes_alone_or_is_refused() {
    let backend = Backend::new(Plan::Hold);
    let config = one_by_one().max_weight(weight(5));
    let layer = BatchLayer::new("numbers", config.clone()).weigh(|number: &u64| *number);
    let service = layer.layer(backend.clone());
    let running = calls(&service, [1, 2, 6, 3, u64::MAX / 10]).await;
    backend.release(100);
    assert!(answers(running).await.iter().all(Result::is_ok));
    assert_eq!(backend.batches(), [vec![1, 2], vec![6], vec![3], vec![u64::MAX / 10]]);

    layer.handle().reconfigure(config.oversize(Oversize::Refuse));
    let answers = answers(calls(&service, [6, 5]).await).await;
    assert_eq!((reason(&answers[0]), &answers[1]), (Some(Reason::Overloaded), &Ok(50)));
    assert_eq!(layer.handle().stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn who_lingers_waits_no_longer_than_was_said_whoever_comes_after() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default().linger(5 * MS));
    let service = layer.layer(backend.clone());
    let first = call(&service, 100);
    let others = tokio::spawn({
        let service = service.clone();
        async move {
            // One arrives every 2 ms, so that a timer which each of them pushes on would never fire.
            for number in 101..120 {
                sleep(2 * MS).await;
                drop(call(&service, number));
            }
        }
    });
    assert_eq!(first.await.unwrap(), Ok(1000));
    assert_eq!((start.elapsed(), backend.sizes()), (5 * MS, vec![3]));
    others.await.unwrap();
    sleep(5 * MS).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.sent, stats.flushed(Flush::Linger)), (20, stats.batches()));
    assert_eq!(stats.waits.max(), Some(5 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_linger() {
    let start = Instant::now();
    let backend = Backend::new(Plan::Answer);
    let config = one_by_one().linger(Duration::MAX).max_weight(weight(1000));
    let service = BatchLayer::new("numbers", config).weigh(|number: &u64| *number).layer(backend.clone());
    let four = calls(&service, 0..4).await;
    assert_eq!(answers(four).await, tens(0..4));
    let heavy = calls(&service, [400, 600]).await;
    assert_eq!(answers(heavy).await, tens([400, 600]));
    assert_eq!(
        (start.elapsed(), backend.batches()),
        (Duration::ZERO, vec![vec![0, 1, 2, 3], vec![400, 600]])
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_lingers_for_others_who_cannot_come() {
    let backend = Backend::new(Plan::Hold);
    let config = Config::default().linger(Duration::MAX).queue(Some(most(3)));
    let layer = BatchLayer::new("numbers", config).partition_by(|number: &u64| number / 10);
    let service: Numbers = layer.layer(backend.clone());
    let mut waiting = calls(&service, [1, 10]).await;
    let mut third = service.clone();
    third.ready().await.unwrap();
    settle().await;
    assert_eq!(backend.batches().len(), 0, "the third has a place, and may come");
    waiting.push(tokio::spawn(third.call(2)));
    settle().await;
    assert_eq!(backend.batches(), [[1, 2].as_slice(), &[10]]);
    backend.release(2);
    assert_eq!(answers(waiting).await, tens([1, 10, 2]));
    assert_eq!(layer.handle().stats().flushed(Flush::Size), 2);
}

#[tokio::test(start_paused = true)]
async fn what_has_lingered_goes_as_soon_as_a_slot_is_free() {
    let start = Instant::now();
    let backend = Backend::new(Plan::After(20 * MS));
    let service = numbers(one_by_one().linger(5 * MS), &backend);
    let first = calls(&service, [1]).await;
    sleep(6 * MS).await;
    let second = calls(&service, [2]).await;
    assert_eq!(answers(first).await, tens([1]));
    assert_eq!(start.elapsed(), 25 * MS);
    settle().await;
    assert_eq!(backend.batches(), [[1], [2]], "it had waited for 19 ms");
    assert_eq!(answers(second).await, tens([2]));
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_wakes_itself_is_polled_again() {
    for times in [1, 2, 10] {
        let backend = Backend::new(Plan::Wake(times));
        let service = numbers(one_by_one(), &backend);
        assert_eq!(answers(calls(&service, 0..9).await).await, tens(0..9));
        let mut alone = numbers(one_by_one(), &backend);
        assert_eq!(alone.ready().await.unwrap().call(7).await, Ok(70));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_the_wait_of_those_who_wait_now() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default().linger(Duration::MAX));
    let service = layer.layer(backend.clone());
    let waiting = calls(&service, 0..3).await;
    assert_eq!(backend.batches().len(), 0);
    layer.handle().flush();
    assert_eq!(answers(waiting).await, tens(0..3));
    let later = calls(&service, 3..5).await;
    assert_eq!(backend.batches(), [[0, 1, 2]]);
    layer.handle().flush();
    assert_eq!(answers(later).await, tens(3..5));
    assert_eq!(layer.handle().stats().flushed(Flush::Drain), 2);
}
