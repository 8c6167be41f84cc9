//! Replays a trace of keys through the store's own shards, to see how often a policy hits. No part of the API.

use crate::adaptor::Adaptor;
use crate::policy::{Mode, Policy};
use crate::shard::Shard;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// How often a cache of `capacity` entries hits, and how often it was asked: every key is looked up, and
/// inserted if it is missing.
pub fn simulate(
    policy: Policy,
    capacity: usize,
    shards: usize,
    keys: impl IntoIterator<Item = u64>,
) -> (u64, u64) {
    let adaptor = (policy == Policy::Drf).then(|| Adaptor::new(capacity as u64, capacity, false));
    replay(shards_of(policy, capacity, shards), adaptor.as_ref(), keys)
}

/// [`Policy::Drf`] without its adaptor, and a window that stays as it is.
pub fn simulate_fixed_window(
    per_mille: u16,
    capacity: usize,
    shards: usize,
    keys: impl IntoIterator<Item = u64>,
) -> (u64, u64) {
    let mut shards = shards_of(Policy::Drf, capacity, shards);
    for shard in &mut shards {
        shard.steer(Mode::window(per_mille));
    }
    replay(shards, None, keys)
}

fn shards_of(policy: Policy, capacity: usize, shards: usize) -> Vec<Shard<u64, ()>> {
    let share = |shard| capacity / shards + usize::from(shard < capacity % shards);
    (0..shards).map(|shard| Shard::new(policy, share(shard) as u64, share(shard))).collect()
}

fn replay(
    mut shards: Vec<Shard<u64, ()>>,
    adaptor: Option<&Adaptor>,
    keys: impl IntoIterator<Item = u64>,
) -> (u64, u64) {
    let hasher = FixedState::with_seed(0);
    let (mut hits, mut total) = (0, 0);
    for key in keys {
        total += 1;
        let hash = hasher.hash_one(key);
        // The bits in the middle of a product: of no use to table, ghost or sample.
        let at = ((hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * shards.len() as u64) >> 32;
        let shard = &mut shards[at as usize];
        let sample = adaptor.filter(|adaptor| adaptor.sampled(hash));
        let hit = shard.get(hash, |&present| present == key).is_some();
        hits += u64::from(hit);
        if let Some(adaptor) = sample {
            adaptor.on_get(hash, hit.then_some(1));
        }
        if !hit {
            if let Some(adaptor) = adaptor {
                shard.steer(adaptor.mode());
            }
            let _ = shard.insert(hash, key, (), 1);
            if let Some(adaptor) = sample {
                adaptor.on_insert(hash, 1);
            }
        }
    }
    (hits, total)
}

/// Regressions of hit ratios, over traces made here: what they were on real ones is in the documentation.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Config};
    use std::num::{NonZeroU64, NonZeroUsize};
    use std::time::Duration;

    fn percent((hits, total): (u64, u64)) -> f64 {
        100.0 * hits as f64 / total as f64
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Keys by Zipf's law, the more frequent the smaller.
    fn zipf(keys: usize, exponent: f64, len: usize) -> Vec<u64> {
        let mut sums = Vec::with_capacity(keys);
        let mut sum = 0.0;
        for key in 1..=keys {
            sum += (key as f64).powf(-exponent);
            sums.push(sum);
        }
        let mut state = 0x1234_5678_9abc_def1;
        let mut draw = || sum * (random(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
        (0..len).map(|_| draw()).map(|drawn| sums.partition_point(|&sum| sum < drawn) as u64).collect()
    }

    /// Zipf's law with a scan of keys that never return after every thousand.
    fn scans(keys: usize, len: usize) -> Vec<u64> {
        let mut fresh = 1 << 40;
        let mut trace = Vec::new();
        for part in zipf(keys, 0.9, len).chunks(1000) {
            trace.extend(part);
            trace.extend(fresh..fresh + 1000);
            fresh += 1000;
        }
        trace
    }

    fn looping(keys: u64, len: usize) -> Vec<u64> {
        (0..keys).cycle().take(len).collect()
    }

    /// There and back again: the keys that were just seen are the next ones.
    fn zigzag(keys: u64, len: usize) -> Vec<u64> {
        (0..keys).chain((0..keys).rev()).cycle().take(len).collect()
    }

    #[test]
    fn hit_ratios_stay_what_they_were() {
        let (zipf, scans) = (zipf(10_000, 0.9, 200_000), scans(10_000, 100_000));
        let (looping, zigzag) = (looping(1010, 60_000), zigzag(2000, 100_000));
        // Half a point below what was measured, except where a bound says what matters.
        let cases = [
            ("zipf", &zipf, 1000, [64.2, 62.6, 63.5, 54.9, 50.2]),
            ("zipf, tiny cache", &zipf, 100, [37.6, 37.8, 37.5, 25.4, 21.8]),
            ("scans", &scans, 1000, [30.7, 29.6, 28.5, 18.3, 18.3]),
            ("loop", &looping, 404, [38.7, 0.0, 38.8, 0.0, 0.0]),
            ("zigzag", &zigzag, 800, [35.0, 4.8, 22.0, 38.7, 38.7]),
        ];
        let policies = [Policy::Drf, Policy::S3Fifo, Policy::Lfu, Policy::Lru, Policy::Fifo];
        for (name, trace, capacity, floors) in cases {
            for (policy, floor) in policies.into_iter().zip(floors) {
                let hits = percent(simulate(policy, capacity, 1, trace.iter().copied()));
                assert!(
                    hits >= floor && hits < floor + 5.0,
                    "{policy:?}, {name}: {hits:.2}, {floor} at least"
                );
            }
            let sharded = percent(simulate(Policy::Drf, capacity, 4, trace.iter().copied()));
            assert!(sharded >= floors[0] - 0.5, "{name}, four shards: {sharded:.2}");
        }
    }

    /// What a real cache of so many entries hits.
    fn real(config: Config, policy: Policy, keys: &[u64]) -> f64 {
        let config = config.ttl(Duration::MAX);
        let cache: Cache<u64, u64> = Cache::new("real", config).policy(policy).weigh(|key, _| key % 7 + 1);
        let mut hits = 0;
        for &key in keys {
            match cache.get(&key) {
                Some(_) => hits += 1,
                None => _ = cache.insert(key, key),
            }
            assert!(cache.stats().entries <= cache.config().max_entries.get());
        }
        percent((hits, keys.len() as u64))
    }

    #[test]
    fn whichever_limit_binds_it_is_the_policy_that_chooses() {
        let capacity = 400;
        let entries = Config::default().max_entries(NonZeroUsize::new(capacity).unwrap());
        // So much weight that it never binds.
        let both = entries.clone().max_weight(NonZeroU64::new(1 << 40));
        for (name, trace) in [("zipf", zipf(4000, 0.9, 40_000)), ("scans", scans(4000, 20_000))] {
            for policy in [Policy::Drf, Policy::S3Fifo, Policy::Lfu, Policy::Lru, Policy::Fifo] {
                let alone = percent(simulate(policy, capacity, 1, trace.iter().copied()));
                // Entries of several weights are not told apart where only their number is limited: DRF lets them in
                // and out in parts.
                for (config, apart) in [(&entries, 1.0), (&both, 4.5)] {
                    // Each has a seed of its own, by which keys are sampled and spread.
                    let hits = (0..3).map(|_| real(config.clone(), policy, &trace)).sum::<f64>() / 3.0;
                    assert!((hits - alone).abs() < apart, "{name}, {policy:?}: {hits:.2}, alone {alone:.2}");
                }
            }
        }
    }

    #[test]
    fn a_fixed_window_holds_its_ground_in_a_loop_and_the_clock_is_what_serves_a_zigzag() {
        let looping = looping(1010, 60_000);
        for (per_mille, least) in [(50, 37.0), (100, 35.0)] {
            let hits = percent(simulate_fixed_window(per_mille, 404, 1, looping.iter().copied()));
            assert!(hits >= least, "{per_mille}: {hits:.2}");
        }
        let hits = percent(simulate_fixed_window(100, 800, 1, zigzag(2000, 100_000)));
        assert!(hits < 20.0, "{hits:.2}");
    }
}
