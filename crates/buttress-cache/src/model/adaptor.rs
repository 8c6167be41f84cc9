//! The adaptor against one that keeps the whole account, weighted anew at each comparison.

use super::{Entry, Naive as _, drf, hash};
use crate::adaptor::Adaptor;
use crate::policy::Mode;
use proptest::prelude::*;

const MODES: [u16; 4] = [10, 100, 300, 0];

struct Naive {
    rate: u64,
    capacity: u64,
    shadows: Vec<drf::Naive>,
    /// What each shadow said, sample by sample.
    samples: Vec<[bool; 4]>,
    current: usize,
    /// The last comparison was so close that rounding decides it.
    is_close: bool,
}

impl Naive {
    fn new(capacity: u64, entries: usize) -> Self {
        let rate = [64, 32, 16].into_iter().find(|rate| entries / rate >= 64).unwrap_or(8);
        let share = u64::max(capacity / rate as u64, 1);
        let shadow = |mode| {
            let mut shadow = drf::Naive::new(share, usize::max(entries / rate, 1));
            shadow.steer(Mode::from_bits(mode));
            shadow
        };
        let shadows = MODES.map(shadow).into();
        Self { rate: rate as u64, capacity: share, shadows, samples: Vec::new(), current: 1, is_close: false }
    }

    fn insert(&mut self, hash: u64, weight: u64) {
        for shadow in &mut self.shadows {
            if weight <= self.capacity && !shadow.has(hash) {
                shadow.insert(Entry { key: hash, hash, weight, hits: 0, score: 0 });
            }
        }
    }

    fn get(&mut self, hash: u64, weight: Option<u64>, entries: usize) {
        let mut sample = [false; 4];
        for (hit, shadow) in sample.iter_mut().zip(&mut self.shadows) {
            *hit = shadow.has(hash);
            if *hit {
                shadow.hit(hash);
            }
        }
        self.samples.push(sample);
        if let Some(weight) = weight {
            self.insert(hash, weight);
        }
        if self.samples.len() % 64 == 0 {
            self.compare(usize::max(entries / self.rate as usize, 1));
        }
    }

    fn compare(&mut self, shadow_entries: usize) {
        let sum = |what: &dyn Fn(&[bool; 4]) -> bool| {
            let newest_first = self.samples.rchunks(64).enumerate();
            let parts = newest_first.map(|(age, samples)| {
                let fade = 0.5f64.powf(64.0 * age as f64 / (8 * shadow_entries) as f64);
                samples.iter().filter(|&sample| what(sample)).count() as f64 * fade
            });
            parts.sum::<f64>()
        };
        let mut values: Vec<f64> = (0..4).map(|mode| sum(&|sample| sample[mode])).collect();
        values[3] -= 0.04 * sum(&|_| true);
        let best = (0..4).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        let lead_of = |mode: usize| {
            let differ = sum(&|sample| sample[mode] != sample[self.current]);
            values[mode] - values[self.current] - differ.sqrt()
        };
        let lead = lead_of(best);
        let rivals: Vec<usize> = (0..4).filter(|&mode| values[best] - values[mode] < 1e-2).collect();
        let may_lead = rivals.iter().any(|&mode| lead_of(mode) > -1e-2);
        self.is_close = lead.abs() < 1e-2 || rivals.len() > 1 && may_lead;
        if lead > 0.0 {
            self.current = best;
        }
    }
}

/// What the traffic is like for a while.
#[derive(Clone, Debug)]
enum Phase {
    Loop(u64),
    Zigzag(u64),
    Random(u64),
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        (2..300u64).prop_map(Phase::Loop),
        (2..300u64).prop_map(Phase::Zigzag),
        (2..300u64).prop_map(Phase::Random),
    ]
}

/// Drives both with sampled keys only, and answers which modes there were.
fn run(capacity: u64, entries: usize, weights: u64, phases: &[Phase]) -> Vec<u16> {
    let adaptor = Adaptor::new(capacity, entries, false);
    let mut naive = Naive::new(capacity, entries);
    let mut modes = vec![adaptor.mode().to_bits()];
    for phase in phases {
        for step in 0..1500u64 {
            let key = match *phase {
                Phase::Loop(keys) => step % keys,
                Phase::Zigzag(keys) => u64::min(step % (2 * keys), 2 * keys - 1 - step % (2 * keys)),
                Phase::Random(keys) => hash(step, u64::MAX) % keys % (1 + hash(step, 1000) % keys),
            };
            let hash = hash(key, u64::MAX) & !(63 << 33);
            assert!(adaptor.sampled(hash));
            let weight = 1 + key % weights;
            let live = (step % 3 > 0).then_some(weight);
            adaptor.on_get(hash, live);
            naive.get(hash, live, entries);
            if live.is_none() {
                adaptor.on_insert(hash, weight);
                naive.insert(hash, weight);
            }
            if std::mem::take(&mut naive.is_close) {
                naive.current = MODES.iter().position(|mode| *mode == adaptor.mode().to_bits()).unwrap();
            }
            assert_eq!(adaptor.mode().to_bits(), MODES[naive.current], "{phase:?} {step}");
            if modes.last() != Some(&MODES[naive.current]) {
                modes.push(MODES[naive.current]);
            }
        }
    }
    modes
}

#[test]
fn of_two_that_are_as_good_one_may_lead_and_the_other_not() {
    run(168, 0, 5, &[Phase::Random(140), Phase::Random(283)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn it_chooses_what_the_naive_one_does(
        (capacity, entries) in (1..3000u64, 0..3000usize),
        weights in prop_oneof![Just(1u64), Just(5)],
        phases in prop::collection::vec(phase(), 1..4),
    ) {
        run(capacity, entries, weights, &phases);
    }
}

#[test]
fn it_finds_the_clock_for_a_zigzag_and_leaves_it_for_a_loop() {
    let modes =
        run(800, 800, 1, &[Phase::Zigzag(250), Phase::Zigzag(250), Phase::Loop(150), Phase::Loop(150)]);
    assert_eq!(
        (modes.first(), modes.contains(&0), modes.last() != Some(&0)),
        (Some(&100), true, true),
        "{modes:?}"
    );
}
