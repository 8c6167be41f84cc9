//! The embedded upstream, through the gateway.

use super::Gateway;
use http::Method;
use serde_json::json;

#[tokio::test]
async fn memories_are_kept_found_changed_and_forgotten() {
    let gateway = Gateway::start(&[]).await;
    use_memories(&gateway).await;
    gateway.stop().await;
}

/// Does with memories what can be done, where there were none.
pub(super) async fn use_memories(gateway: &Gateway) {
    let made = gateway.post("/memories", json!({ "content": "the First 100%", "tags": ["a", "b"] })).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.headers["location"], "/memories/1");
    assert_eq!(made.body["tags"], json!(["a", "b"]));
    assert_eq!(gateway.get("/memories/1").await.body, made.body);
    for content in ["the second", "a third 1000"] {
        assert_eq!(gateway.post("/memories", json!({ "content": content })).await.status, 201);
    }

    for (query, ids) in [
        ("", vec![1, 2, 3]),
        ("?limit=2", vec![1, 2]),
        ("?limit=2&after=2", vec![3]),
        ("?q=THE", vec![1, 2]),
        ("?q=100%25", vec![1]), // no wildcard
        ("?q=_", vec![]),
        ("?q='--", vec![]),
    ] {
        let page = gateway.get(&format!("/memories{query}")).await;
        let memories = page.body["memories"].as_array().expect("a page");
        let found: Vec<_> = memories.iter().filter_map(|memory| memory["id"].as_i64()).collect();
        assert_eq!(found, ids, "{query}");
        assert_eq!(page.body["next"].as_i64(), (query == "?limit=2").then_some(2), "{query}");
    }

    let at = |id: &str| format!("{}/memories/{id}", gateway.url);
    let put = gateway.client.ask(Method::PUT, &at("2"), Some(json!({ "content": "changed" }))).await;
    assert_eq!((put.status.as_u16(), &put.body["content"]), (200, &json!("changed")));
    assert_eq!(gateway.client.ask(Method::DELETE, &at("2"), None).await.status, 204);
    gateway.client.ask(Method::DELETE, &at("2"), None).await.assert_problem(404);
    gateway.get("/memories/2").await.assert_problem(404);

    assert_eq!(gateway.status().await.breaker(), "closed");
}

#[tokio::test]
async fn what_makes_no_sense_is_a_problem_and_not_a_failure() {
    let gateway = Gateway::start(&["--failures", "1"]).await;
    for (path, body, status) in [
        ("/memories", json!({}), 422),
        ("/memories", json!({ "content": " " }), 422),
        ("/memories", json!({ "content": "x".repeat(65_537) }), 422),
        ("/memories", json!({ "content": "x".repeat(200_000) }), 413),
        ("/memories", json!({ "content": "x", "tags": vec!["t"; 17] }), 422),
        ("/memories", json!({ "content": "x", "tags": ["t".repeat(65)] }), 422),
        ("/memories", json!({ "content": "x", "colour": "red" }), 422),
        ("/memories", json!({ "content": "x\0y" }), 422),
        ("/memories", json!({ "content": "x", "tags": ["\0"] }), 422),
        ("/chaos", json!({ "mode": "dance" }), 422),
        ("/chaos", json!({ "mode": "fail", "status": 200 }), 422),
        ("/memories/1", json!({}), 405),
        ("/nothing", json!({}), 404),
    ] {
        gateway.post(path, body).await.assert_problem(status);
    }
    for (path, status) in [
        ("/memories/x", 400),
        ("/memories?limit=0", 422),
        ("/memories?limit=101", 422),
        ("/memories?page=1", 400),
        ("/memories?q=%00", 422),
    ] {
        gateway.get(path).await.assert_problem(status);
    }
    assert_eq!(gateway.status().await.calls("failure"), 0);
    gateway.stop().await;
}
