//! Runs the `degraded` example and reads what it prints.

mod support;

use std::process::Command;

#[test]
fn what_is_known_is_answered_as_stale_and_what_is_not_is_refused() {
    let output = Command::new(support::built("degraded")).output().expect("the example runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let (up, printed) = printed.split_once("all connections are taken").expect("it was up first");
    let (taken, printed) = printed.split_once("one is back").expect("they are back");
    let (back, printed) = printed.split_once("the server is gone").expect("the server goes");
    let (gone, again) = printed.split_once("the server is back").expect("the server comes back");

    for (part, known) in
        [(up, "tea: all about tea"), (back, "tea: all about tea"), (again, "tea: all about tea")]
    {
        assert!(part.lines().any(|line| line.trim() == known), "{part}");
    }
    for (part, refused) in [(taken, "timed out"), (gone, "unavailable")] {
        assert!(part.contains("tea: all about tea, stale"), "{part}");
        assert!(part.contains("milk: pool `server` refused the call: ") && part.contains(refused), "{part}");
    }
    assert!(gone.contains("the pool knows why: "), "{gone}");
    assert!(again.contains("milk: all about milk"), "{again}");
}
