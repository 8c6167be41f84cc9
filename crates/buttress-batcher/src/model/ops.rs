//! What may happen to a batcher, and how it may be configured.

use super::{SERVICES, STEP};
use crate::config::{AtEnd, Config, Oversize, WhenFull};
use proptest::prelude::*;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Poll(usize),
    Call {
        service: usize,
        partition: u8,
        group: Option<u8>,
        weight: u64,
        deadline: Option<u64>,
    },
    /// A service that has been polled, or not, is dropped.
    Drop(usize),
    /// A caller leaves.
    Desert(u8),
    /// A caller takes its answer.
    Collect(u8),
    End(u8),
    Drive,
    Advance(u64),
    InnerReady(bool),
    Flush,
    Reconfigure(Box<Config>),
    Close(Option<AtEnd>),
    Kill,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let deadline = prop_oneof![6 => Just(None), 4 => (0..40_u64).prop_map(Some)];
    let group = prop_oneof![1 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    let call = (0..SERVICES, 0..3_u8, group, 0..6_u64, deadline).prop_map(
        |(service, partition, group, weight, deadline)| Op::Call {
            service,
            partition,
            group,
            weight,
            deadline,
        },
    );
    prop_oneof![
        220 => call,
        120 => (0..SERVICES).prop_map(Op::Poll),
        30 => (0..SERVICES).prop_map(Op::Drop),
        60 => any::<u8>().prop_map(Op::Desert),
        80 => any::<u8>().prop_map(Op::Collect),
        120 => any::<u8>().prop_map(Op::End),
        260 => Just(Op::Drive),
        80 => prop_oneof![3 => 1..8_u64, 1 => 1..80_u64].prop_map(Op::Advance),
        30 => any::<bool>().prop_map(Op::InnerReady),
        25 => Just(Op::Flush),
        8 => config().prop_map(|config| Op::Reconfigure(Box::new(config))),
        2 => prop_oneof![Just(None), Just(Some(AtEnd::Flush)), Just(Some(AtEnd::Fail))].prop_map(Op::Close),
        1 => Just(Op::Kill),
    ]
}

pub(super) fn config() -> impl Strategy<Value = Config> {
    let linger = prop_oneof![
        4 => Just(Duration::ZERO),
        4 => (1..30_u64).prop_map(|steps| Duration::from_nanos(steps * STEP)),
        1 => Just(Duration::MAX),
    ];
    let maybe = |most: u32| prop_oneof![1 => Just(None), 1 => (1..most).prop_map(Some)];
    let flags = (any::<bool>(), prop::bool::weighted(0.8), any::<bool>());
    (1..6_u32, maybe(12), 1..4_u32, maybe(4), linger, maybe(9), flags).prop_map(
        |(size, weight, in_flight, total, linger, queue, (alone, wait, fail))| {
            Config::default()
                .max_size(NonZeroU32::new(size).expect("not zero"))
                .max_weight(weight.and_then(|weight| NonZeroU64::new(weight.into())))
                .oversize(if alone { Oversize::Alone } else { Oversize::Refuse })
                .in_flight(NonZeroU32::new(in_flight).expect("not zero"))
                .total_in_flight(total.and_then(NonZeroU32::new))
                .linger(linger)
                .queue(queue.and_then(NonZeroU32::new))
                .when_full(if wait { WhenFull::Wait } else { WhenFull::Refuse })
                .at_end(if fail { AtEnd::Fail } else { AtEnd::Flush })
        },
    )
}
