//! The tower contract, kept by every kind of batcher.

use buttress_batcher::{BatchLayer, Config, WhenFull};
use buttress_testkit::laws;
use buttress_testkit::scripted::Fault;
use std::time::Duration;

fn echo(batch: Vec<u64>) -> Vec<Result<u64, Fault>> {
    batch.into_iter().map(Ok).collect()
}

#[test]
fn a_batcher_keeps_the_laws() {
    laws::deferring!(
        BatchLayer::new("laws", Config::default()).each_error(Fault::clone),
        respond: echo,
        allocations: 1, // the batch
    );
}

#[test]
fn a_batcher_with_everything_keeps_the_laws() {
    laws::deferring!(
        BatchLayer::new("laws", Config::default().linger(Duration::ZERO).when_full(WhenFull::Refuse))
            .partition_by(|n: &u64| n % 3)
            .dedup_by(|n: &u64| Some(*n))
            .weigh(|n: &u64| *n)
            .deadline(|_: &u64| None)
            .each_error(Fault::clone)
            .observe(drop),
        respond: echo,
        allocations: 1,
    );
}
