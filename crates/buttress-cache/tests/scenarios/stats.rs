//! The counts agree with each other and with what was seen, whatever happens.

use super::*;
use buttress_cache::{Beta, Fate, Policy};
use futures_util::FutureExt;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    Get {
        key: u64,
    },
    Insert {
        key: u64,
        weight: u64,
    },
    /// Begins a load that ends when it is told to.
    Ask {
        key: u64,
        apart: bool,
    },
    /// The oldest load goes on: with a value of this weight, or a failure.
    End {
        weight: Option<u64>,
    },
    Leave,
    Invalidate {
        key: u64,
    },
    Tag {
        tag: u64,
    },
    InvalidateAll,
    Advance {
        ms: u64,
    },
    Shrink {
        weight: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (key, size) = (0..12_u64, 0..40_u64);
    prop_oneof![
        4 => key.clone().prop_map(|key| Step::Get { key }),
        3 => (key.clone(), size.clone()).prop_map(|(key, weight)| Step::Insert { key, weight }),
        8 => (key.clone(), any::<bool>()).prop_map(|(key, apart)| Step::Ask { key, apart }),
        6 => prop::option::weighted(0.7, size).prop_map(|weight| Step::End { weight }),
        1 => Just(Step::Leave),
        2 => key.prop_map(|key| Step::Invalidate { key }),
        2 => (0..3_u64).prop_map(|tag| Step::Tag { tag }),
        1 => Just(Step::InvalidateAll),
        5 => (1..1500_u64).prop_map(|ms| Step::Advance { ms }),
        1 => (20..100_u64).prop_map(|weight| Step::Shrink { weight }),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Failed;

/// Loads that wait to be told how they end, oldest first.
type Open = Arc<Mutex<VecDeque<tokio::sync::oneshot::Sender<Result<u64, Failed>>>>>;

fn config() -> Config {
    Config::default()
        .max_entries(entries(8))
        .max_weight(weight(100))
        .ttl(2 * SECOND)
        .idle_ttl(5 * SECOND)
        .stale_while_revalidate(SECOND)
        .stale_if_error(2 * SECOND)
        .soft_timeout(300 * MS)
        .hard_timeout(1200 * MS)
        .early_refresh(Beta::ONE)
}

async fn run(policy: Policy, seed: u64, steps: Vec<Step>) {
    let cache = numbers(config()).policy(policy).weigh(|_, value| *value).seed(seed);
    let loader = cache
        .loader()
        .rule_by(|key: &u64| {
            let tag = format!("tag:{}", key % 3);
            move |_: &u64| Fate::store().tag(tag).into()
        })
        .remember_errors(|_: &Failed| Some(500 * MS));
    let background = loader.clone().background();
    let open = Open::default();
    let began = Arc::new(AtomicU64::new(0));
    let (mut asked, mut stale, mut most) = (0, 0, 100);
    let seen_stale = Arc::new(AtomicU64::new(0));
    let mut callers = VecDeque::new();
    for step in steps {
        match step {
            Step::Get { key } => {
                asked += 1;
                stale += u64::from(cache.get(&key).is_some_and(|found| found.served.is_stale()));
            }
            Step::Insert { key, weight } => {
                cache.insert(key, weight);
            }
            Step::Ask { key, apart } => {
                asked += 1;
                let (loader, background, seen) =
                    (loader.clone(), background.clone(), Arc::clone(&seen_stale));
                let (open, began) = (Arc::clone(&open), Arc::clone(&began));
                let load = move |_: &u64| {
                    let (tell, told) = tokio::sync::oneshot::channel();
                    open.lock().push_back(tell);
                    began.fetch_add(1, Ordering::SeqCst);
                    async move { told.await.unwrap_or(Err(Failed)) }
                };
                callers.push_back(tokio::spawn(async move {
                    let found = if apart {
                        background.get_or_load(key, load).await
                    } else {
                        loader.get_or_load(key, load).await
                    };
                    seen.fetch_add(
                        u64::from(found.is_ok_and(|found| found.served.is_stale())),
                        Ordering::SeqCst,
                    );
                }));
            }
            Step::End { weight } => {
                let oldest = open.lock().pop_front();
                if let Some(oldest) = oldest {
                    let _ = oldest.send(weight.ok_or(Failed));
                }
            }
            Step::Leave => {
                if let Some(caller) = callers.pop_back() {
                    caller.abort();
                }
            }
            Step::Invalidate { key } => {
                cache.invalidate(&key);
            }
            Step::Tag { tag } => {
                cache.invalidate_tag(&format!("tag:{tag}"));
            }
            Step::InvalidateAll => {
                cache.invalidate_all();
                assert_eq!((cache.stats().weight, cache.stats().entries), (0, 0));
            }
            Step::Advance { ms } => advance(Duration::from_millis(ms)).await,
            Step::Shrink { weight: limit } => {
                most = limit;
                cache.reconfigure(config().max_weight(weight(limit))).unwrap();
            }
        }
        settle().await;
        let stats = cache.stats();
        assert!(stats.weight <= most && stats.entries <= 8, "{stats:?}, limit {most}");
        assert_eq!(stats.inserted, stats.entries as u64 + stats.left.total(), "{stats:?}");
        assert_eq!(stats.hits + stats.misses, asked, "{stats:?}");
        assert_eq!(stats.stale, stale + seen_stale.load(Ordering::SeqCst), "{stats:?}");
        assert_eq!(stats.loads, began.load(Ordering::SeqCst), "{stats:?}");
        assert!(stats.load_failures <= stats.loads && stats.coalesced <= stats.misses, "{stats:?}");
    }
    open.lock().clear();
    for caller in callers {
        caller.await.unwrap();
    }
    // Loads apart have nobody who tells them, and end too.
    while cache.stats().loading > 0 {
        open.lock().clear();
        advance(SECOND).await;
        settle().await;
    }
    cache.invalidate_all();
    assert_eq!((cache.stats().weight, cache.stats().entries), (0, 0));
    assert!(
        (&mut Box::pin(loader.get_or_load(1, |_| async { Ok::<_, Failed>(1) }))).now_or_never().is_some()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn c23_the_counts_agree_whatever_happens(
        policy in prop::sample::select(vec![Policy::Drf, Policy::Lru, Policy::S3Fifo]),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let runtime =
            buttress_testkit::time::paused();
        runtime.block_on(run(policy, seed, steps));
    }
}
