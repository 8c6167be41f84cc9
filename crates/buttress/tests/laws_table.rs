//! The laws on every layer of the house and on every specimen, as one table:
//! `cargo test -p buttress --all-features --test laws_table -- --nocapture`.
#![cfg(all(feature = "breaker", feature = "limit"))]

use buttress::Ratio;
use buttress::breaker::{BreakerLayer, Breakers, Config, KeyedBreakerLayer};
use buttress::limit::TimeoutLayer;
use buttress_testkit::laws::{self, Table};
use buttress_testkit::specimens::{DeferringFlaw, DeferringLayer, InPlaceFlaw, InPlaceLayer};
use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

/// One row per layer; each has to keep all laws.
fn layers() -> Table {
    let limit = Duration::from_secs(1);
    Table::new()
        .row("Timeout", laws::report_in_place!(TimeoutLayer::new("laws", limit)))
        .row(
            "Timeout, deadline",
            laws::report_in_place!(TimeoutLayer::new("laws", limit).deadline(|_: &u64| None)),
        )
        .row("Timeout, no limit", laws::report_in_place!(TimeoutLayer::new("laws", Duration::MAX)))
        .row("Breaker", laws::report_in_place!(BreakerLayer::new("laws", Config::default())))
        .row("Breaker, half-open", laws::report_in_place!(half_open(BreakerLayer::new("laws", probing()))))
        .row("Breaker, gate", laws::report_in_place!(half_open(BreakerLayer::new("laws", probing()).gate())))
        .row(
            "KeyedBreaker",
            laws::report_in_place!(KeyedBreakerLayer::new(
                &Breakers::new("laws", Config::default()),
                |request: &u64| Some(*request % 2)
            )),
        )
        .row("sound, in place", laws::report_in_place!(InPlaceLayer::sound()))
        .row("sound, deferring", laws::report_deferring!(DeferringLayer::sound()))
}

/// So many probes at a time, and so many results before anything is decided, that the laws stay half-open.
fn probing() -> Config {
    Config::default().probes(NonZeroU8::MAX).probe_results(NonZeroU16::MAX).probe_ratio(Ratio::percent(50))
}

fn half_open(layer: BreakerLayer) -> BreakerLayer {
    layer.handle().force_open();
    layer.handle().auto();
    layer
}

/// One row per layer that is broken on purpose, and the laws they are to break, in the same order.
fn specimens() -> (Table, Vec<&'static str>) {
    let (mut table, mut laws) = (Table::new(), Vec::new());
    for flaw in InPlaceFlaw::ALL {
        table = table.row(format!("{flaw:?}, in place"), laws::report_in_place!(InPlaceLayer::with(flaw)));
        laws.push(flaw.law());
    }
    for flaw in DeferringFlaw::ALL {
        table =
            table.row(format!("{flaw:?}, deferring"), laws::report_deferring!(DeferringLayer::with(flaw)));
        laws.push(flaw.law());
    }
    (table, laws)
}

#[test]
fn laws_table() {
    let layers = layers();
    let (specimens, expected) = specimens();
    println!("layers\n\n{layers}\nspecimens\n\n{specimens}\n{layers:#}\n{specimens:#}");
    for (layer, report) in layers.rows() {
        report.assert_kept(layer);
    }
    for ((specimen, report), law) in specimens.rows().iter().zip(expected) {
        assert_eq!(report.broken(), [law], "{specimen}");
    }
}
