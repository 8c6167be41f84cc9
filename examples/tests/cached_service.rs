//! Runs the `cached_service` example and reads what it prints.

mod support;

use std::process::Command;

#[test]
fn it_prints_what_its_caches_did() {
    let output = Command::new(support::built("cached_service")).output().expect("the example runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
    for line in [
        "warmed, 8 at a time: 32 of 32",
        "read after a write: [\"Hello\"]",
        "read while the store is down: [\"Hello\"], stale: true",
        "and it has invalidated what it may have touched: the backend is down",
        "100 who ask at once: 1 call of the model",
        "a task has asked again: 1 call of the model",
        "everything of user 1 invalidated: 1",
        "the same arguments in another order: 1 call",
        "dice, three at once: 3 calls",
        "and that was 1 call",
        "calls of the backends: 37 of the store, 2 of the model, 5 of the tools",
        "left_total reason=explicit 2",
    ] {
        assert!(printed.lines().any(|printed| printed.trim() == line), "no line `{line}` in\n{printed}");
    }
    for count in ["coalesced_total", "stale_total", "remembered_total"] {
        assert!(printed.contains(count), "no {count} in\n{printed}");
    }
}
