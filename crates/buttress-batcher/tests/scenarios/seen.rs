//! What others see of a batcher, and change.

use super::*;
use buttress_batcher::{Flush, Handle};
use buttress_core::{Distribution, Inspect, Labels, Metric, Ratio, Sink};
use std::fmt::Display;
use std::task::Wake;

#[tokio::test(start_paused = true)]
async fn every_request_counts_once() {
    let start = Instant::now().into_std();
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one())
        .dedup_by(|number: &u64| Some(number / 10))
        .deadline(move |number: &u64| (*number == 50).then(|| start + MS));
    let service: Numbers = layer.layer(backend.clone());
    let mut waiting = calls(&service, [1]).await;
    waiting.extend(calls(&service, [10, 11, 20, 30, 40, 50, 60]).await);
    waiting[3].abort();
    sleep(MS).await;
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.sent, stats.cancelled, stats.timed_out), (8, 1, 1, 1));
    assert_eq!((stats.queued, stats.in_flight), (5, 1));
    backend.release(10);
    futures_util::future::join_all(waiting).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.sent, stats.shared, stats.queued, stats.in_flight), (5, 1, 0, 0));
    assert_eq!(stats.requests, stats.sent + stats.shared + stats.cancelled + stats.timed_out);
    assert_eq!((stats.sizes.count(), stats.sizes.sum(), stats.sizes.max()), (2, 5, Some(4)));
    assert_eq!((stats.batches(), stats.flushed(Flush::Size), stats.flushed(Flush::Idle)), (2, 1, 1));
    assert_eq!((stats.waits.count(), stats.waits.max()), (2, Some(MS)));
    assert_eq!(stats.sizes.quantile(Ratio::percent(50)), Some(1));
}

#[tokio::test(start_paused = true)]
async fn without_measuring_there_is_no_wait_to_see() {
    let backend = Backend::new(Plan::Answer);
    let layer = BatchLayer::new("numbers", Config::default().measure(false));
    let service: Numbers = layer.layer(backend);
    assert_eq!(answers(calls(&service, 0..3).await).await, tens(0..3));
    assert_eq!((layer.handle().stats().waits.count(), layer.handle().stats().sent), (0, 3));
}

/// Looks at what is counted when it wakes.
struct Look(Handle, Mutex<Vec<u64>>);

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        self.1.lock().push(self.0.stats().sent);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_answered_is_counted() {
    let layer = BatchLayer::new("numbers", one_by_one());
    let look = Arc::new(Look(layer.handle(), Mutex::default()));
    let mut service: Numbers = layer.layer(Backend::new(Plan::Answer));
    let mut call = service.ready().await.unwrap().call(1);
    assert!(Pin::new(&mut call).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&look)))).is_pending());
    settle().await;
    assert_eq!(*look.1.lock(), [1]);
    assert_eq!(call.await, Ok(10));
}

/// What was written, by name and labels.
#[derive(Default)]
struct Written(BTreeMap<String, f64>);

impl Written {
    fn put(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        assert!(!metric.help.is_empty());
        let labels: String = labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let before = self.0.insert(format!("{}{labels}", metric.name), value);
        assert_eq!(before, None, "{} is there twice", metric.name);
    }
}

impl Sink for Written {
    fn counter(&mut self, metric: &Metric, labels: Labels<'_>, total: u64) {
        assert!(metric.name.ends_with("_total"), "{}", metric.name);
        self.put(metric, labels, total as f64);
    }

    fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.put(metric, labels, value);
    }

    fn state(&mut self, _: &Metric, _: &[&'static str], _: usize) {}

    fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, durations: &Distribution) {
        self.put(metric, labels, durations.count() as f64);
    }

    fn note(&mut self, _: &'static str, _: &dyn Display) {}
}

#[tokio::test(start_paused = true)]
async fn metrics_show_all_that_is_counted() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(6))));
    let (handle, service) = (layer.handle(), layer.layer(backend.clone()));
    let mut waiting = calls(&service, [0]).await;
    waiting.extend(calls(&service, 1..8).await);
    let mut written = Written::default();
    handle.inspect(&mut written);
    assert_eq!((handle.kind(), handle.name().as_str()), ("batcher", "numbers"));
    for (name, value) in [
        ("in_flight", 1.0),
        ("queued", 5.0),
        ("waiting", 2.0),
        ("requests_total outcome=sent", 1.0),
        ("batches_total reason=idle", 1.0),
        ("batches_total reason=drain", 0.0),
        ("batch_failures_total how=panic", 0.0),
        ("batch_size_total at_most=1", 1.0),
        ("batch_size_total at_most=1048576", 1.0),
        ("wait_seconds", 1.0),
    ] {
        assert_eq!(written.0.get(name), Some(&value), "{name} in {:?}", written.0);
    }
    backend.release(10);
    answers(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn another_configuration_is_in_force_at_once() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().linger(Duration::MAX).queue(Some(most(3))));
    let (handle, service) = (layer.handle(), layer.layer(backend.clone()));
    // Who has a place may come yet, so that the linger goes on.
    let mut holder = service.clone();
    holder.ready().await.unwrap();
    let waiting = calls(&service, 0..5).await;
    assert_eq!((backend.batches().len(), handle.stats().waiting), (0, 3));
    handle.reconfigure(handle.config().max_size(most(2)).in_flight(most(2)).queue(Some(most(6))));
    settle().await;
    assert_eq!(
        backend.batches(),
        [[0, 1], [2, 3]],
        "smaller, more of them, and with room for those who waited"
    );
    handle.reconfigure(handle.config().linger(Duration::ZERO));
    backend.release(10);
    assert_eq!(answers(waiting).await, tens(0..5));
    let other: Numbers = layer.layer(backend.clone());
    assert_eq!(answers(calls(&other, 10..13).await).await, tens(10..13));
    assert_eq!(backend.sizes()[3..], [2, 1], "services to come go by it too");
}

#[tokio::test(start_paused = true)]
async fn fewer_places_are_taken_from_nobody_who_has_one() {
    let backend = Backend::new(Plan::Hold);
    let layer = BatchLayer::new("numbers", one_by_one().queue(Some(most(8))));
    let (handle, service) = (layer.handle(), layer.layer(backend.clone()));
    let mut waiting = calls(&service, [0]).await;
    waiting.extend(calls(&service, 1..8).await);
    handle.reconfigure(handle.config().queue(Some(most(2))));
    let later = calls(&service, [8]).await;
    backend.release(1);
    settle().await;
    assert_eq!((handle.stats().waiting, handle.stats().queued), (1, 3), "seven are there, and two may be");
    backend.release(10);
    assert_eq!((answers(waiting).await, answers(later).await), (tens(0..8), tens([8])));
}

#[test]
fn events_read_as_sentences() {
    for (event, text) in [
        (Event::Failed { callers: 3 }, "a batch of 3 failed"),
        (Event::Panicked { callers: 3 }, "the service panicked over a batch of 3"),
        (Event::Miscounted { sent: 3, results: 2 }, "the service gave 2 results for 3 requests"),
        (Event::Lost { callers: 3 }, "its runtime has ended, with 3 requests on their way"),
    ] {
        assert_eq!(event.to_string(), text);
    }
}
