//! Runs the `batching` example and reads what it prints.

mod support;

#[cfg(unix)]
use buttress_testkit::servers::{Postgres, Redis};
use std::process::Command;

/// Sixty-four notes go in a call, and fifty texts.
const ALONE: [&str; 5] = [
    "sqlite: 100 of 100 notes were new, in 2 calls",
    "sqlite: 50 of 100 notes were new, in 2 calls",
    "sqlite: 150 of 200 notes were read, in 4 calls",
    "endpoint: 99 of 100 texts were measured, in 2 calls",
    "endpoint: the endpoint refused: an empty text",
];

#[cfg(unix)]
const ON_SERVERS: [&str; 4] = [
    "postgres: 100 of 100 notes were new, in 2 calls",
    "postgres: 50 of 100 notes were new, in 2 calls",
    "postgres: 150 of 200 notes were read, in 4 calls",
    "redis: 100 of 200 keys were found, in 2 calls",
];

fn printed(example: &mut Command) -> String {
    let output = example.output().expect("the example runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

fn example() -> Command {
    let mut example = Command::new(support::built("batching"));
    example.env_remove("DATABASE_URL").env_remove("REDIS_URL");
    example
}

#[test]
fn a_hundred_callers_are_two_calls() {
    let printed = printed(&mut example());
    assert_eq!(printed.lines().collect::<Vec<_>>(), ALONE);
}

#[cfg(unix)]
#[tokio::test]
async fn a_hundred_callers_are_two_calls_on_real_servers() {
    let (postgres, redis) = (Postgres::start().await, Redis::start().await);
    let mut example = example();
    example.env("DATABASE_URL", postgres.url()).env("REDIS_URL", redis.url());
    // Twice: it leaves nothing behind that would be in its way.
    for _ in 0..2 {
        let printed = printed(&mut example);
        assert_eq!(printed.lines().collect::<Vec<_>>(), [&ALONE[..], &ON_SERVERS].concat());
    }
}
