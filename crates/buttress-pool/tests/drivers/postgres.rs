use super::{Asked, PATIENCE, config, leave, survives};
use bb8_postgres::PostgresConnectionManager;
use buttress_pool::postgres::Postgres;
use buttress_pool::{Bb8, Close, Config, Error, Lease, Manager, Pool, Size};
use buttress_testkit::servers::{self, Server};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

type Program = servers::PostgresProgram;

fn settings(server: &Server<Program>, name: &str) -> tokio_postgres::Config {
    let mut settings: tokio_postgres::Config = server.url().parse().unwrap();
    settings.application_name(name);
    settings
}

fn postgres(server: &Server<Program>) -> Postgres {
    Postgres::new(settings(server, "pooled"))
}

/// A pool of so many.
fn pool(max: u32, manager: Postgres) -> Pool<Postgres> {
    let config = Config::default().size(Size::new(0, max).unwrap()).acquire_timeout(PATIENCE);
    Pool::new("postgres", config, manager)
}

/// One who looks on.
async fn observer(server: &Server<Program>) -> Client {
    let (client, connection) = settings(server, "observer").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn pooled(client: &Client) -> usize {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pooled'";
    usize::try_from(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)).unwrap()
}

async fn connections(server: &Server<Program>) -> usize {
    pooled(&observer(server).await).await
}

async fn ask_client(client: &Client, number: u64) -> bool {
    let number = i64::try_from(number).unwrap();
    if number % 50 == 0 {
        leave(client.query_one("SELECT -$1::int8", &[&number])).await;
    }
    match client.query_one("SELECT $1::int8", &[&number]).await {
        Ok(row) => row.get::<_, i64>(0) == number || panic!("the answer of another"),
        Err(_) => false,
    }
}

fn ask(lease: Lease<Postgres>, number: u64) -> Asked {
    Box::pin(async move { ask_client(&lease, number).await })
}

fn ask_bb8(lease: Lease<Bb8<PostgresConnectionManager<NoTls>>>, number: u64) -> Asked {
    Box::pin(async move { ask_client(&lease, number).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let pool = Pool::new("postgres", config(), postgres(&server));
    survives(pool, &mut server, ask, connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_of_bb8_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let manager = PostgresConnectionManager::new(settings(&server, "pooled"), NoTls);
    survives(Pool::new("postgres", config(), Bb8(manager)), &mut server, ask_bb8, connections).await;
}

#[tokio::test]
async fn a_statement_ends_with_its_time_and_its_connection_lives_on() {
    let server = Server::start().await;
    let mut settings = settings(&server, "pooled");
    settings.options("-c work_mem=1234kB");
    let limited = pool(1, Postgres::new(settings).statement_timeout(Duration::from_millis(50)));
    let lease = limited.get().await.unwrap();
    let error = lease.query("SELECT pg_sleep(3600)", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    lease.batch_execute("SET statement_timeout = 0").await.unwrap();
    lease.batch_execute("DISCARD ALL").await.unwrap();
    for (setting, expected) in [("statement_timeout", "50ms"), ("work_mem", "1234kB")] {
        let shown: String = lease.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(shown, expected);
    }
    drop(lease);
    assert_eq!((limited.stats().created, limited.stats().idle), (1, 1));

    for (limit, expected) in [
        (Duration::MAX, "0"),
        (Duration::from_secs(u64::MAX), "2147483647ms"),
        (Duration::from_nanos(1), "1ms"),
    ] {
        let lease = pool(1, postgres(&server).statement_timeout(limit)).get().await.unwrap();
        let shown: String = lease.query_one("SHOW statement_timeout", &[]).await.unwrap().get(0);
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn the_answer_to_one_who_left_is_for_nobody() {
    let server = Server::start().await;
    let pool = pool(1, postgres(&server));
    for number in 0..100_i64 {
        let lease = pool.get().await.unwrap();
        leave(lease.query_one("SELECT pg_sleep(0.001), -1", &[])).await;
        drop(lease);
        let row = pool.get().await.unwrap().query_one("SELECT $1::int8", &[&number]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), number);
    }
    assert_eq!(pool.stats().created, 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() {
    let server = Server::start().await;
    let pool = pool(1, postgres(&server));
    let mut lease = pool.get().await.unwrap();
    lease.batch_execute("CREATE TABLE numbers (n int)").await.unwrap();
    let transaction = lease.transaction().await.unwrap();
    transaction.execute("INSERT INTO numbers VALUES (1)", &[]).await.unwrap();
    drop(transaction);
    drop(lease);
    let lease = pool.get().await.unwrap();
    let count: i64 = lease.query_one("SELECT count(*) FROM numbers", &[]).await.unwrap().get(0);
    assert_eq!((count, pool.stats().created), (0, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_has_ended_is_not_taken_back() {
    let server = Server::start().await;
    let (pool, observer) = (pool(1, postgres(&server)), observer(&server).await);
    let lease = pool.get().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pooled'";
    observer.query_one(end, &[]).await.unwrap();
    // The farewell comes before the end.
    let ended = async { while lease.query_one("SELECT 1", &[]).await.is_ok() || !lease.is_closed() {} };
    timeout(PATIENCE, ended).await.expect("it was ended");
    drop(lease);
    assert_eq!(pool.stats().closed(Close::Broken), 1);
    assert!(ask_client(&pool.get().await.unwrap(), 7).await);
}

#[tokio::test]
async fn a_query_that_runs_on_is_not_waited_for_where_the_lease_was_marked_dirty() {
    let server = Server::start().await;
    let (pool, observer) = (pool(1, postgres(&server)), observer(&server).await);
    let mut lease = pool.get().await.unwrap();
    leave(lease.query("SELECT pg_sleep(3600)", &[])).await;
    lease.mark_dirty();
    drop(lease);
    assert!(ask_client(&pool.get().await.unwrap(), 7).await);
    assert!(pooled(&observer).await <= 2);
}

#[tokio::test]
async fn one_whom_the_server_refuses_is_told_why() {
    let server = Server::start().await;
    let mut settings = settings(&server, "pooled");
    settings.dbname("none").password("hunter2");
    let error = pool(1, Postgres::new(settings)).get().await.unwrap_err();
    let Error::Down { cause, .. } = error else { panic!("{error:?}") };
    let cause = cause.downcast_ref::<tokio_postgres::Error>().unwrap();
    assert_eq!(cause.code(), Some(&SqlState::UNDEFINED_DATABASE));
    assert!(!format!("{cause} {cause:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_task_of_a_connection_ends_with_it() {
    let server = Server::start().await;
    let connection = postgres(&server).connect().await.unwrap();
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    leave(connection.query("SELECT pg_sleep(3600)", &[])).await;
    drop(connection);
    let ended = async {
        while tasks.num_alive_tasks() == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("it does not wait for the query");
}
