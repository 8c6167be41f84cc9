use super::*;
use buttress_testkit::laws;
use http_body_util::{Empty, Full};
use std::num::NonZeroUsize;
use std::rc::Rc;
use tower::limit::ConcurrencyLimitLayer;
use tower::service_fn;

static_assertions::assert_impl_all!(HttpCache: Send, Sync, Clone, std::fmt::Debug);
static_assertions::assert_impl_all!(HttpCacheLayer: Send, Sync, Clone, std::fmt::Debug);
static_assertions::assert_impl_all!(Site: Send, Sync, Clone);
static_assertions::assert_impl_all!(Body<Full<Bytes>>: Send, Sync, http_body::Body);
static_assertions::assert_impl_all!(<Site as Service<Request<()>>>::Future: Send);

fn layer() -> HttpCacheLayer {
    let config = Config::default().max_entries(NonZeroUsize::new(1 << 16).unwrap());
    HttpCacheLayer::new(&HttpCache::new("laws", config, HttpOptions::default()))
}

fn of(n: u64) -> Request<()> {
    request(&format!("/{n}"))
}

fn answer(_: Request<()>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.headers_mut() = fields(FRESH);
    response
}

#[test]
fn a_cache_keeps_the_laws_of_deferring_layers() {
    laws::deferring!(layer(), request: of, respond: answer, allocations: 7);
    laws::deferring!(layer().background(), request: of, respond: answer, allocations: 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_send_can_be_cached() {
    let calls = Rc::new(std::cell::Cell::new(0));
    let seen = Rc::clone(&calls);
    let inner = service_fn(move |_: Request<Rc<()>>| {
        let calls = Rc::clone(&seen);
        async move {
            calls.set(calls.get() + 1);
            let mut response = Response::new(Full::<Bytes>::from("page"));
            *response.headers_mut() = fields(FRESH);
            Ok::<_, TestError>(response)
        }
    });
    let mut site = HttpCacheLayer::new(&cache()).layer(inner);
    for _ in 0..2 {
        let response = site.ready().await.unwrap().call(request("/").map(|()| Rc::new(()))).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "page");
    }
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_never_blocks_a_cache() {
    let gate = Gate::new();
    let origin = Origin::always(Reply::new(FRESH).gate(&gate).data("page"));
    let limited = ConcurrencyLimitLayer::new(1).layer(origin.clone());
    let site = HttpCacheLayer::new(&cache()).layer(limited);
    let clients: Vec<_> = ["/1", "/2", "/1", "/2", "/3", "/1"].map(|path| spawn(&site, path)).into();
    settle().await;
    gate.open_for_all();
    for client in clients {
        assert_eq!(client.await.unwrap().body(), "page");
    }
    assert_eq!(origin.calls(), 3);
}
