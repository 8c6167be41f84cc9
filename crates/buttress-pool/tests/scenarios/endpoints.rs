//! Two servers, each with a pool of its own, behind a balancer.

use super::*;
use buttress_breaker::BreakerLayer;
use buttress_pool::PoolLayer;
use std::num::NonZeroU32;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::pending_requests::Count;
use tower::load::{CompleteOnResponse, Load, PendingRequests};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

/// What became of one request.
struct Answer {
    at: Duration,
    took: Duration,
    /// Which server answered.
    by: Option<usize>,
}

/// A server's pool behind a breaker that keeps the balancer away while it fails.
fn endpoint(
    number: usize,
    server: &Server,
) -> impl Service<(), Response = usize, Error = BoxError, Future: Send> + Load<Metric = Count> + Send + use<>
{
    let (server, config) = (server.clone(), buttress_breaker::Config::default());
    let config = config.consecutive_failures(NonZeroU32::new(5)).open_for(ms(500));
    let pool = Pool::new("test", size(4, 8), server.clone());
    let stack = ServiceBuilder::new()
        .layer(BreakerLayer::new("endpoint", config).gate())
        .layer(PoolLayer::new(&pool))
        .service(service_fn(move |(mut lease, ()): (Lease<Server>, ())| {
            let server = server.clone();
            async move {
                sleep(ms(1)).await;
                lease.is_broken = server.see(|world| world.connect) != Does::Works;
                if lease.is_broken { Err(BoxError::from("connection reset")) } else { Ok(number) }
            }
        }));
    PendingRequests::new(stack, CompleteOnResponse::default())
}

#[tokio::test(start_paused = true)]
async fn of_two_endpoints_one_dies_and_the_other_serves_as_before_until_a_probe_finds_it_back() {
    let servers = [Server::new(), Server::new()];
    let endpoints: Vec<_> = (0..2).map(|number| endpoint(number, &servers[number])).collect();
    let balance = Balance::<_, ()>::new(ServiceList::new::<()>(endpoints));
    let (balance, began) = (Arc::new(tokio::sync::Mutex::new(balance)), Instant::now());
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let balance = Arc::clone(&balance);
            tokio::spawn(async move {
                let mut answers = vec![];
                while began.elapsed() < ms(4_000) {
                    let asked = Instant::now();
                    let answer = {
                        let mut balance = balance.lock().await;
                        balance.ready().await.unwrap().call(())
                    };
                    let by = answer.await.ok();
                    answers.push(Answer { at: asked - began, took: asked.elapsed(), by });
                }
                answers
            })
        })
        .collect();
    sleep(ms(1_000)).await;
    servers[0].set(|world| (world.connect, world.check) = (Does::Fails, Does::Fails));
    sleep(ms(1_000)).await;
    servers[0].set(|world| (world.connect, world.check) = (Does::Works, Does::Works));
    let mut answers = vec![];
    for client in clients {
        answers.extend(client.await.unwrap());
    }

    let between = |from, to| answers.iter().filter(move |answer| answer.at >= ms(from) && answer.at < ms(to));
    let share = |from, to| {
        let served = between(from, to).filter(|answer| answer.by == Some(0)).count();
        100 * served / between(from, to).count()
    };
    let p99 = |from, to| {
        let mut took: Vec<_> = between(from, to).map(|answer| answer.took).collect();
        took.sort();
        took[took.len() * 99 / 100]
    };
    let failed = |from, to| between(from, to).filter(|answer| answer.by.is_none()).count();
    assert_eq!(failed(0, 990), 0);
    assert!((30..=70).contains(&share(100, 990)), "{} %", share(100, 990));
    // The breaker opens at the fifth failure; what was sent by then fails as well, and after that a probe at a time.
    assert!((5..=5 + 6).contains(&failed(990, 1_100)), "{}", failed(990, 1_100));
    assert!(failed(1_100, 2_000) <= 2, "{}", failed(1_100, 2_000));
    assert_eq!((share(1_100, 2_000), p99(1_100, 2_000)), (0, p99(100, 990)));
    // The next probe is a second and a tenth of that later at most.
    assert!((30..=70).contains(&share(3_200, 4_000)), "{} %", share(3_200, 4_000));
    assert_eq!(failed(3_200, 4_000), 0);
}
