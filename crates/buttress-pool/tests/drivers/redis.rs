use super::{Asked, MAX, PATIENCE, config, leave, survives};
use bb8_redis::RedisConnectionManager;
use buttress_pool::redis::Redis;
use buttress_pool::{Bb8, Close, Config, Error, Lease, Pool, Size};
use buttress_testkit::servers::{self, Server};
use redis::aio::ConnectionLike;
use redis::{AsyncCommands, Client, cmd};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::timeout;

type Program = servers::RedisProgram;

const EIGHT: NonZeroU32 = NonZeroU32::new(8).unwrap();

fn client(server: &Server<Program>) -> Client {
    Client::open(server.url()).unwrap()
}

/// A pool of so many.
fn exclusive(max: u32, manager: Redis) -> Pool<Redis> {
    let config = Config::default().size(Size::new(0, max).unwrap()).acquire_timeout(PATIENCE);
    Pool::new("redis", config, manager)
}

/// Whom the server knows, without the one who asks.
async fn connections(server: &Server<Program>) -> usize {
    let mut observer = client(server).get_multiplexed_async_connection().await.unwrap();
    let clients: String = cmd("CLIENT").arg("LIST").query_async(&mut observer).await.unwrap();
    // Observers that have just left are among them for a moment.
    clients.lines().filter(|line| !line.contains("cmd=client|list")).count()
}

async fn ask_connection(connection: &mut impl ConnectionLike, number: u64) -> bool {
    if number % 50 == 0 {
        leave(cmd("ECHO").arg("of another").query_async::<String>(connection)).await;
    }
    match cmd("ECHO").arg(number).query_async::<u64>(connection).await {
        Ok(answer) => answer == number || panic!("the answer of another"),
        Err(_) => false,
    }
}

fn ask(mut lease: Lease<Redis>, number: u64) -> Asked {
    Box::pin(async move { ask_connection(&mut *lease, number).await })
}

fn ask_bb8(mut lease: Lease<Bb8<RedisConnectionManager>>, number: u64) -> Asked {
    Box::pin(async move { ask_connection(&mut *lease, number).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let pool = Pool::new("redis", config(), Redis::new(client(&server)));
    survives(pool, &mut server, ask, connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_several_users_of_each_connection_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let config = config().size(Size::new(2, 4).unwrap());
    let pool = Pool::shared("redis", config, Redis::new(client(&server)), EIGHT);
    survives(pool, &mut server, ask, connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_of_bb8_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let manager = RedisConnectionManager::new(server.url()).unwrap();
    // It does not say which of its connections are dead.
    let config = config().check_after(Duration::ZERO);
    survives(Pool::new("redis", config, Bb8(manager)), &mut server, ask_bb8, connections).await;
}

#[tokio::test]
async fn many_users_share_few_connections() {
    let server = Server::start().await;
    let config = Config::default().size(Size::new(2, 2).unwrap()).acquire_timeout(PATIENCE);
    let pool = Pool::shared("redis", config, Redis::new(client(&server)), EIGHT);
    let mut leases = Vec::new();
    for number in 0..16_u64 {
        let mut lease = pool.get().await.unwrap();
        () = lease.set(number, number).await.unwrap();
        leases.push(lease);
    }
    assert!(pool.try_get().is_none());
    for (number, lease) in (0..).zip(&mut leases) {
        assert_eq!(lease.get::<_, u64>(number).await, Ok(number));
    }
    assert_eq!(connections(&server).await, 2);
    assert_eq!((pool.stats().size, pool.stats().in_use), (2, 16));
}

#[tokio::test]
async fn what_one_of_several_users_finds_dead_is_given_to_nobody_else() {
    let mut server = Server::start().await;
    let config = Config::default().size(Size::new(0, 1).unwrap()).acquire_timeout(PATIENCE);
    let pool = Pool::shared("redis", config, Redis::new(client(&server)), EIGHT);
    let (mut one, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    server.restart().await;
    assert!(!ask_connection(&mut *one, 7).await);
    drop(other);
    assert_eq!((pool.stats().size, pool.stats().idle), (1, 0), "the other has seen it, too");
    drop(one);
    assert_eq!(pool.stats().closed(Close::Broken), 1);
    assert!(ask_connection(&mut *pool.get().await.unwrap(), 7).await);
}

#[tokio::test]
async fn a_command_that_is_not_answered_in_time_costs_its_connection() {
    let mut server = Server::start().await;
    let manager = Redis::new(client(&server)).response_timeout(Duration::from_millis(50));
    let pool = exclusive(1, manager);
    let mut lease = pool.get().await.unwrap();
    server.stop();
    assert!(lease.get::<_, Option<u64>>("key").await.unwrap_err().is_timeout());
    drop(lease);
    assert_eq!(pool.stats().closed(Close::Broken), 1);
    server.cont();
    assert!(ask_connection(&mut *pool.get().await.unwrap(), 7).await);

    let forever = exclusive(1, Redis::new(client(&server)).response_timeout(Duration::MAX));
    let mut lease = forever.get().await.unwrap();
    let blocked =
        cmd("BLPOP").arg("nothing").arg(1).query_async::<Option<(String, String)>>(&mut *lease).await;
    assert_eq!(blocked, Ok(None));
}

#[tokio::test]
async fn a_server_that_answers_nothing_costs_no_get_more_than_its_time() {
    let mut server = Server::start().await;
    let config = config().connect_timeout(Duration::from_millis(100));
    let pool = Pool::new("redis", config, Redis::new(client(&server)));
    drop(pool.get().await.unwrap());
    server.stop();
    pool.resize(Size::new(MAX, MAX).unwrap());
    let mut leases = Vec::new();
    let limit = Duration::from_millis(200);
    let error = loop {
        match timeout(10 * limit, pool.get_within(limit)).await.expect("no get takes longer than its limit") {
            Ok(lease) => leases.push(lease),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Timeout { .. } | Error::Down { .. }), "{error:?}");
    server.cont();
    drop(leases);
    let back = async { while pool.get().await.is_err() {} };
    timeout(PATIENCE, back).await.expect("it is found again");
}
