//! Criterion round the workloads of `buttress-benches`.

use buttress_benches::{Contender, measure, reference};
use criterion::Criterion;

/// Measures the bare service and `contenders`, one thread.
pub(crate) fn run(group: &str, contenders: Vec<Contender>) {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group(group);
    for contender in [reference::bare()].into_iter().chain(contenders) {
        group.bench_function(contender.name(), |bencher| {
            let mut runner = contender.warm();
            bencher.iter_custom(|calls| measure::time(&mut runner, calls));
        });
    }
    group.finish();
    criterion.final_summary();
}
