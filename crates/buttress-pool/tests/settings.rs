//! What variables of the environment say, and what is never printed.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::postgres::{self, Postgres};
use buttress_pool::redis::{self, Redis};
use buttress_pool::{Config, InvalidVar, Manager, Pool, Size};
use static_assertions::assert_impl_all;
use std::env::VarError::{self, NotPresent};
use std::time::Duration;

/// Variables of nobody's environment.
fn vars<const N: usize>(
    vars: [(&'static str, &'static str); N],
) -> impl Fn(&'static str) -> Result<String, VarError> {
    move |name| {
        let found = vars.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned()).ok_or(NotPresent)
    }
}

fn sizes(size: Size) -> (u32, u32) {
    (size.min(), size.max())
}

#[test]
fn the_size_of_a_pool_for_postgres_is_what_two_variables_say() {
    const MIN: &str = "POSTGRES_MIN_SIZE";
    const MAX: &str = "POSTGRES_MAX_SIZE";
    let says = |text: &str| Err(text.to_owned());
    assert_eq!(postgres::size(vars([])).map(sizes), Ok((5, 20)));
    for (min, max, expected) in [
        ("", "", Ok((5, 20))),
        ("0", "7", Ok((0, 7))),
        ("", "3", Ok((3, 3))),
        ("20", "", Ok((20, 20))),
        ("1000000", "1000000", Ok((1_000_000, 1_000_000))),
        (
            "21",
            "",
            says("POSTGRES_MIN_SIZE is \"21\" and must be no more than POSTGRES_MAX_SIZE, which is 20"),
        ),
        ("9", "8", says("POSTGRES_MIN_SIZE is \"9\" and must be no more than POSTGRES_MAX_SIZE, which is 8")),
        ("few", "8", says("POSTGRES_MIN_SIZE is \"few\" and must be a whole number from 0 to 1000000")),
        ("", "0", says("POSTGRES_MAX_SIZE is \"0\" and must be a whole number from 1 to 1000000")),
        (
            "",
            "1000001",
            says("POSTGRES_MAX_SIZE is \"1000001\" and must be a whole number from 1 to 1000000"),
        ),
        ("", "8.5", says("POSTGRES_MAX_SIZE is \"8.5\" and must be a whole number from 1 to 1000000")),
        ("", " 8", says("POSTGRES_MAX_SIZE is \" 8\" and must be a whole number from 1 to 1000000")),
    ] {
        let size = postgres::size(vars([(MIN, min), (MAX, max)]));
        assert_eq!(size.map(sizes).map_err(|error| error.to_string()), expected, "{min:?} {max:?}");
    }
}

#[test]
fn the_size_of_a_pool_for_redis_is_what_one_variable_says() {
    const NAME: &str = "REDIS_MAX_CONNECTIONS";
    for (value, expected) in [("", (5, 20)), ("100", (5, 100)), ("2", (2, 2))] {
        assert_eq!(redis::size(vars([(NAME, value)])).map(sizes), Ok(expected));
    }
    let error = redis::size(vars([(NAME, "-1")])).unwrap_err();
    assert_eq!(error.to_string(), format!("{NAME} is \"-1\" and must be a whole number from 1 to 1000000"));
}

#[test]
fn a_url_that_is_none_is_named_and_not_shown() {
    for url in [
        "",
        "postgres://",
        "mysql",
        "postgres://user:hunter2@host:port/db",
        "postgres://u:hun@ter2@host/db",
        "postgres://u:@hun?ter2=@host/db",
    ] {
        let Err(error) = Postgres::from_vars(vars([("DATABASE_URL", url)])) else { panic!("{url}") };
        assert_eq!(error.name(), "DATABASE_URL", "{url}");
        assert_eq!(
            error.to_string(),
            "DATABASE_URL must be like postgres://user:password@host:5432/database",
            "{url}"
        );
        assert!(!format!("{error:?}").contains("ter2"), "{error:?}");
    }
    assert_eq!(Postgres::from_vars(vars([])).map(|_| ()).unwrap_err().name(), "DATABASE_URL");
    for url in ["", "redis//host", "http://:hunter2@host", "redis://:hunter2@", "redis://:hunter2@host/none"]
    {
        let Err(error) = Redis::from_vars(vars([("REDIS_URL", url)])) else { panic!("{url}") };
        let says = "REDIS_URL must be like redis://user:password@host:6379/0, unless REDIS_HOST is a host";
        assert_eq!(error.to_string(), says, "{url}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn redis_is_where_its_variables_say() {
    let addr = |redis: Redis| format!("{redis:?}").split('"').collect::<String>();
    for (url, host, port, expected) in [
        ("redis://one:1/2", "two", "3", "one:1"),
        ("redis://one", "", "", "one:6379"),
        ("", "two", "", "two:6379"),
        ("", "two", "3", "two:3"),
    ] {
        let vars =
            vars([("REDIS_URL", url), ("REDIS_HOST", host), ("REDIS_PORT", port), ("REDIS_PASSWORD", "")]);
        let printed = addr(Redis::from_vars(vars).unwrap());
        assert!(printed.contains(&format!("addr: {expected},")), "{printed}");
    }
    for port in ["0", "65536", "six"] {
        let vars = vars([("REDIS_HOST", "host"), ("REDIS_PORT", port)]);
        let error = Redis::from_vars(vars).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("REDIS_PORT is \"{port}\" and must be a port, from 1 to 65535")
        );
    }
}

/// Nobody listens there: ports this low are not for everybody.
const NOBODY: &str = "127.0.0.1:1";

/// All that can be seen of a manager, its pool and its errors.
async fn seen<M: Manager + std::fmt::Debug>(manager: M) -> String {
    let printed = format!("{manager:?}");
    let pool = Pool::new("secret", Config::default().acquire_timeout(Duration::from_secs(60)), manager);
    let error = pool.get().await.unwrap_err();
    let (_, cause) = pool.last_error().unwrap();
    format!("{printed} {pool:?} {error} {error:?} {cause} {cause:?}")
}

#[tokio::test]
async fn passwords_are_not_printed() {
    let url: &'static str = format!("postgres://user:hunter2@{NOBODY}/db").leak();
    let postgres = Postgres::from_vars(vars([("DATABASE_URL", url)])).unwrap();
    let url: &'static str = format!("redis://user:hunter2@{NOBODY}").leak();
    let redis = Redis::from_vars(vars([("REDIS_URL", url)])).unwrap();
    let parts = vars([("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", "1"), ("REDIS_PASSWORD", "hunter2")]);
    let in_parts = Redis::from_vars(parts).unwrap();
    for seen in [seen(postgres).await, seen(redis).await, seen(in_parts).await] {
        assert!(seen.contains("127.0.0.1") && seen.contains("refused"), "{seen}");
        assert!(!seen.contains("hunter2"), "{seen}");
    }
}

assert_impl_all!(Postgres: Clone, Send, Sync, Unpin);
assert_impl_all!(postgres::Connection: Send, Sync, Unpin);
assert_impl_all!(Redis: Clone, Send, Sync, Unpin);
assert_impl_all!(redis::Connection: Clone, Send, Sync, Unpin);
assert_impl_all!(InvalidVar: Clone, Send, Sync, Unpin, std::error::Error);
