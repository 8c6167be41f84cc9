//! An inner service that fails: one batch is one failure.

use super::*;

/// Makes a batch of three of which the inner service does what it does; then all is well again.
async fn fails(layer: &BatchLayer<u64>, backend: &Backend) -> Vec<Answer> {
    let service: Numbers = layer.layer(backend.clone());
    let failed = answers(calls(&service, 0..3).await).await;
    backend.plan(Plan::Answer);
    assert_eq!(answers(calls(&service, 3..6).await).await, tens(3..6), "the next one goes on");
    assert_eq!(backend.sizes().iter().sum::<usize>(), 6);
    failed
}

fn layer() -> BatchLayer<u64> {
    BatchLayer::new("numbers", one_by_one().max_size(most(3)).linger(Duration::from_secs(1)))
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_reaches_its_callers_and_nobody_else() {
    for (plan, event) in [
        (Plan::Fail, Event::Failed { callers: 3 }),
        (Plan::PanicInCall, Event::Panicked { callers: 3 }),
        (Plan::PanicInPoll, Event::Panicked { callers: 3 }),
        (Plan::Miss(-1), Event::Miscounted { sent: 3, results: 2 }),
        (Plan::Miss(-3), Event::Miscounted { sent: 3, results: 0 }),
        (Plan::Miss(1), Event::Miscounted { sent: 3, results: 4 }),
    ] {
        let (backend, told) = (Backend::new(plan), Told::default());
        let layer = layer().observe(told.observer());
        let failed = fails(&layer, &backend).await;
        for answer in &failed {
            assert_eq!(reason(answer), Some(Reason::Failed), "{plan:?}");
        }
        assert_eq!(told.events(), [event], "{plan:?}");
        let stats = layer.handle().stats();
        assert_eq!((stats.failed + stats.panicked + stats.miscounted, stats.in_flight), (1, 0), "{plan:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_request_is_its_own() {
    let backend = Backend::new(Plan::Answer);
    let service: Numbers = layer().layer(backend);
    let answers = answers(calls(&service, [1, UNLUCKY, 2]).await).await;
    assert_eq!(answers, [Ok(10), Err(Error::Inner("unlucky")), Ok(20)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_error_can_be_given_to_each_of_its_callers() {
    let backend = Backend::new(Plan::Fail);
    let times = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&times);
    let layer = layer().each_error(move |error: &&'static str| {
        *counted.lock() += 1;
        Error::Inner(*error)
    });
    let service = layer.layer(backend);
    assert_eq!(answers(calls(&service, 0..3).await).await, [const { Err(Error::Inner("failed")) }; 3]);
    assert_eq!(*times.lock(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_readiness_fails_fails_one_batch_and_is_asked_again() {
    for readiness in [Readiness::FailOnce, Readiness::PanicOnce] {
        let backend = Backend::new(Plan::Answer);
        let layer = layer();
        let service: Numbers = layer.layer(backend.clone());
        backend.readiness(readiness);
        let failed = answers(calls(&service, 0..3).await).await;
        assert!(failed.iter().all(|answer| reason(answer) == Some(Reason::Failed)), "{failed:?}");
        assert_eq!(answers(calls(&service, 3..6).await).await, tens(3..6));
        assert_eq!(backend.batches(), [[3, 4, 5]], "{readiness:?}");
        assert_eq!(layer.handle().stats().failed + layer.handle().stats().panicked, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dead_for_good_fails_each_batch_and_nobody_hangs() {
    let backend = Backend::new(Plan::Fail);
    let service: Numbers = layer().layer(backend.clone());
    for round in 0..50 {
        let answers = answers(calls(&service, 0..3).await).await;
        assert!(answers.iter().all(Result::is_err), "{round}");
    }
    assert_eq!(backend.batches().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn one_batch_of_several_that_run_fails_alone() {
    let backend = Backend::new(Plan::After(10 * MS));
    backend.special(5, Plan::PanicInPoll);
    backend.special(9, Plan::Fail);
    let service: Numbers = numbers(one_by_one().in_flight(most(4)), &backend);
    let answers = answers(calls(&service, 0..16).await).await;
    let failed: Vec<_> =
        (0..).zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(number, _)| number).collect();
    assert_eq!(failed, [4, 5, 6, 7, 8, 9, 10, 11]);
}
