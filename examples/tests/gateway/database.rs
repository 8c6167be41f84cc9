//! Where the embedded upstream keeps its memories: a file, or a PostgreSQL server that is killed.

use super::{Gateway, command, service};
use buttress_testkit::servers::Postgres;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn memories_in_a_file_outlive_the_process() {
    let directory = std::env::temp_dir().join(format!("buttress-gateway-{}", std::process::id()));
    fs::create_dir(&directory).expect("nobody else has made it");
    let file = directory.join("memories.sqlite");
    let flags = ["--database", file.to_str().expect("a temporary path is text")];
    let gateway = Gateway::start(&flags).await;
    assert_eq!(gateway.post("/memories", json!({ "content": "kept" })).await.status, 201);
    gateway.stop().await;

    let gateway = Gateway::start(&flags).await;
    assert_eq!(gateway.get("/memories/1").await.body["content"], "kept");
    gateway.stop().await;
    fs::remove_dir_all(directory).expect("it was made above");
}

/// A gateway with at most four connections to this server.
async fn gateway(postgres: &Postgres, flags: &[&str]) -> Result<Gateway, String> {
    let mut command = command(&[&["--listen", "127.0.0.1:0"], flags].concat());
    command.env("DATABASE_URL", postgres.url()).env("POSTGRES_MIN_SIZE", "1").env("POSTGRES_MAX_SIZE", "4");
    Gateway::run(command).await
}

fn gauge(gateway: &super::Status, name: &str) -> f64 {
    gateway.part("database")["gauges"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {:#}", gateway.0))
}

#[tokio::test]
async fn memories_on_postgresql_are_the_same_and_outlive_both() {
    let mut postgres = Postgres::start().await;
    let first = gateway(&postgres, &[]).await.expect("the server is there");
    service::use_memories(&first).await;
    let status = first.status().await;
    assert!((1.0..=4.0).contains(&gauge(&status, "connections")), "{:#}", status.0);
    first.stop().await;

    postgres.restart().await;
    let second = gateway(&postgres, &[]).await.expect("the server is there");
    assert_eq!(second.get("/memories/1").await.body["tags"], json!(["a", "b"]));
    second.stop().await;
}

#[tokio::test]
async fn batches_that_change_the_same_memories_at_the_same_time_do_not_wait_for_each_other_for_ever() {
    let postgres = Postgres::start().await;
    let gateway = gateway(&postgres, &["--max-batch", "4"]).await.expect("the server is there");
    for content in ["one", "two"] {
        assert_eq!(gateway.post("/memories", json!({ "content": content })).await.status, 201);
    }
    for round in 0..8 {
        // 1, 2, 2, 1, so that batches begin with either.
        let puts = (0..64).map(|n| {
            let url = format!("{}/memories/{}", gateway.upstream, [1, 2, 2, 1][n % 4]);
            let client = gateway.client.clone();
            async move { client.ask(Method::PUT, &url, Some(json!({ "content": format!("{n}") }))).await }
        });
        for put in join_all(puts).await {
            assert_eq!(put.status, 200, "round {round}: {put:?}");
        }
    }
    let status = gateway.status().await;
    let counters = status.part("writes")["counters"].as_object().expect("they are an object");
    let batches = counters.iter().filter(|(name, _)| name.starts_with("batches_total"));
    let batches: f64 = batches.filter_map(|(_, value)| value.as_f64()).sum();
    assert!((1.0..2.0 + 512.0).contains(&batches), "none shared a batch, of 514: {counters:#?}");
    gateway.stop().await;
}

#[tokio::test]
async fn when_postgresql_is_killed_what_is_known_is_served_and_when_it_is_back_so_is_the_rest() {
    let mut postgres = Postgres::start().await;
    // The breaker stays closed, so that it is the pool that is seen.
    let gateway = gateway(&postgres, &["--failures", "1000000"]).await.expect("the server is there");
    for content in ["known", "unknown"] {
        assert_eq!(gateway.post("/memories", json!({ "content": content })).await.status, 201);
    }
    assert_eq!(gateway.get("/memories/1").await.body["content"], "known");

    postgres.kill();
    // Somebody finds out, and it depends on the moment whether by a query or by a connect that fails.
    assert!(gateway.get("/memories/2").await.status.is_server_error());
    gateway.until("noticed", |status| status.part("database")["states"]["state"] == "down").await;
    let refused = gateway.get("/memories/2").await;
    refused.assert_problem(503);
    assert!(refused.retry_after() >= 1, "{refused:?}");
    gateway.post("/memories", json!({ "content": "lost" })).await.assert_problem(503);
    assert_eq!(gateway.get("/memories/1").await.body["content"], "known");

    postgres.restart().await;
    gateway.until("found again", |status| status.part("database")["states"]["state"] == "up").await;
    let found = gateway.get("/memories/2").await;
    assert_eq!((found.status.as_u16(), &found.body["content"]), (200, &json!("unknown")), "{found:?}");
    assert_eq!(gateway.get("/memories?q=lost").await.body["memories"], Value::Array(vec![]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_is_said_without_its_password() {
    let mut command = command(&["--listen", "127.0.0.1:0"]);
    command.env("DATABASE_URL", "postgres://user:secret@127.0.0.1:1/none");
    let error = Gateway::run(command).await.err().expect("there is no server");
    assert!(error.contains("database") && error.contains("refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}
