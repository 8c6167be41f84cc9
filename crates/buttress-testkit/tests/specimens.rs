//! Each law is broken by the specimens made for it, and by no other.

use buttress_testkit::laws::{self, Report, Table};
use buttress_testkit::specimens::{DeferringFlaw, DeferringLayer, InPlaceFlaw, InPlaceLayer};
use std::fmt::Debug;

/// Asserts that `flaw` breaks exactly `law`.
fn breaks_only(law: &str, flaw: impl Debug, report: Report) {
    let broken = report.broken();
    assert_eq!(broken, [law], "{flaw:?}\n{}", Table::new().row("specimen", report));
}

#[test]
fn a_flaw_in_place_breaks_its_law_and_no_other() {
    for flaw in InPlaceFlaw::ALL {
        breaks_only(flaw.law(), flaw, laws::report_in_place!(InPlaceLayer::with(flaw)));
    }
}

#[test]
fn a_deferring_flaw_breaks_its_law_and_no_other() {
    for flaw in DeferringFlaw::ALL {
        breaks_only(flaw.law(), flaw, laws::report_deferring!(DeferringLayer::with(flaw)));
    }
}

#[test]
fn every_law_is_broken_by_some_specimen() {
    for law in laws::IN_PLACE {
        assert!(InPlaceFlaw::ALL.iter().any(|flaw| flaw.law() == law), "{law} was never seen to fail");
    }
    for law in laws::DEFERRING {
        assert!(DeferringFlaw::ALL.iter().any(|flaw| flaw.law() == law), "{law} was never seen to fail");
    }
}

#[test]
fn without_a_flaw_no_law_is_broken() {
    let in_place = laws::in_place!(InPlaceLayer::sound());
    let deferring = laws::deferring!(DeferringLayer::sound());
    assert_eq!(names(&in_place), laws::IN_PLACE);
    assert_eq!(names(&deferring), laws::DEFERRING);
    println!("{}", Table::new().row("in place", in_place).row("deferring", deferring));
}

fn names(report: &Report) -> Vec<&str> {
    report.cells.iter().map(|cell| cell.law).collect()
}

#[test]
#[should_panic(expected = "errors_pass_untouched")]
fn the_macro_panics_with_the_law_that_is_broken() {
    laws::in_place!(InPlaceLayer::with(InPlaceFlaw::RewritesErrors));
}
