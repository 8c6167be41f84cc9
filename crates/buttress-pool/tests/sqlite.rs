//! SQLite, on real threads.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::sqlite::{Connection, Error, Sqlite};
use buttress_pool::{Close, Config, Lease, Manager, Pool, Size};
use rusqlite::functions::FunctionFlags;
use rusqlite::{ErrorCode, OpenFlags};
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::task::yield_now;

/// Runs until it is interrupted.
const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0";

fn pool(min: u32, max: u32, manager: Sqlite) -> Pool<Sqlite> {
    Pool::new("sqlite", Config::default().size(Size::new(min, max).unwrap()), manager)
}

/// A database file, gone with this.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let file = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.db")));
        file.remove();
        file
    }

    fn remove(&self) {
        for more in ["", "-wal", "-shm", "-journal"] {
            let mut path = self.0.clone().into_os_string();
            path.push(more);
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}

async fn run(lease: &mut Lease<Sqlite>, sql: &'static str) {
    lease.with(move |sqlite| sqlite.execute_batch(sql)).await.unwrap();
}

async fn number(lease: &mut Lease<Sqlite>, sql: &'static str) -> i64 {
    lease.with(move |sqlite| sqlite.query_row(sql, [], |row| row.get(0))).await.unwrap()
}

/// Polls a call until the closure says that it runs, and leaves it.
async fn leave_once_it_runs<T>(call: impl Future<Output = T>, runs: &Receiver<()>) {
    let mut call = pin!(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    runs.recv().unwrap();
}

#[tokio::test]
async fn all_connections_see_one_database_in_memory_which_outlives_them() {
    let manager = Sqlite::memory();
    let first = pool(0, 2, manager.clone());
    let (mut one, mut other) = (first.get().await.unwrap(), first.get().await.unwrap());
    run(&mut one, "CREATE TABLE numbers (n); INSERT INTO numbers VALUES (7)").await;
    assert_eq!(number(&mut other, "SELECT n FROM numbers").await, 7);
    drop((one, other));
    first.close(Duration::MAX).await.unwrap();
    let second = pool(0, 1, manager);
    assert_eq!(number(&mut second.get().await.unwrap(), "SELECT n FROM numbers").await, 7);
    let apart = pool(0, 1, Sqlite::memory());
    let tables = number(&mut apart.get().await.unwrap(), "SELECT count(*) FROM sqlite_schema").await;
    assert_eq!(tables, 0, "another memory is another database");
}

#[tokio::test]
async fn a_writer_in_memory_waits_for_another_one() {
    let pool = pool(0, 2, Sqlite::memory());
    let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    run(&mut one, "CREATE TABLE numbers (n); BEGIN IMMEDIATE; INSERT INTO numbers VALUES (1)").await;
    let (begins, has_begun) = channel();
    let waits = tokio::spawn(async move {
        let insert = move |sqlite: &mut rusqlite::Connection| {
            begins.send(()).unwrap();
            sqlite.execute("INSERT INTO numbers VALUES (2)", [])
        };
        other.with(insert).await.unwrap();
    });
    yield_now().await;
    has_begun.recv().unwrap();
    run(&mut one, "COMMIT").await;
    waits.await.unwrap();
    assert_eq!(number(&mut one, "SELECT sum(n) FROM numbers").await, 3);
}

#[tokio::test]
async fn connections_that_open_a_new_file_at_the_same_time_all_succeed() {
    for round in 0..60 {
        let file = File::new(&format!("opened-{round}"));
        let pool = pool(4, 4, Sqlite::file(&file.0).pragma("journal_mode", "wal"));
        let mut leases = Vec::new();
        for _ in 0..4 {
            leases.push(pool.get().await.unwrap());
        }
        assert_eq!((pool.stats().connects, pool.stats().connects_failed), (4, 0));
        for lease in &mut leases {
            let mode = |sqlite: &mut rusqlite::Connection| {
                sqlite.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
            };
            assert_eq!(lease.with(mode).await.unwrap(), "wal");
            assert_eq!(number(lease, "PRAGMA foreign_keys").await, 1);
            assert_eq!(number(lease, "PRAGMA busy_timeout").await, 5000);
        }
        drop(leases);
        pool.close(Duration::MAX).await.unwrap();
    }
}

#[tokio::test]
async fn flags_and_times_arrive() {
    let file = File::new("flags");
    let manager = Sqlite::file(&file.0).flags(OpenFlags::SQLITE_OPEN_READ_ONLY).busy_timeout(Duration::MAX);
    let Err(Error::Sqlite(error)) = manager.connect().await.map(|_| ()) else { panic!("there is no file") };
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen));

    let written = pool(0, 1, Sqlite::file(&file.0).pragma("foreign_keys", "off"));
    let mut lease = written.get().await.unwrap();
    run(&mut lease, "CREATE TABLE numbers (n)").await;
    assert_eq!(number(&mut lease, "PRAGMA foreign_keys").await, 0);

    let read = pool(0, 1, manager);
    let mut lease = read.get().await.unwrap();
    assert_eq!(number(&mut lease, "PRAGMA busy_timeout").await, i64::from(i32::MAX));
    let write = lease.with(|sqlite| sqlite.execute("INSERT INTO numbers VALUES (1)", [])).await;
    assert!(
        matches!(&write, Err(Error::Sqlite(error)) if error.to_string().contains("readonly")),
        "{write:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_is_interrupted_and_its_connection_is_for_nobody_else() {
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = pool.get().await.unwrap();
    run(&mut lease, "CREATE TABLE numbers (n)").await;
    let ((begins, has_begun), (ends, has_ended)) = (channel(), channel());
    let endless = lease.with(move |sqlite| {
        let transaction = sqlite.transaction()?;
        transaction.execute("INSERT INTO numbers VALUES (1)", [])?;
        begins.send(()).unwrap();
        let result = transaction.query_row(ENDLESS, [], |_| Ok(()));
        ends.send(result.as_ref().unwrap_err().sqlite_error_code()).unwrap();
        result
    });
    leave_once_it_runs(endless, &has_begun).await;
    assert!(matches!(lease.with(|_| Ok(())).await, Err(Error::Gone)));
    drop(lease);
    assert_eq!(pool.stats().closed(Close::Unfit), 1);
    let mut lease = pool.get().await.unwrap();
    assert_eq!(has_ended.recv(), Ok(Some(ErrorCode::OperationInterrupted)));
    assert_eq!(number(&mut lease, "SELECT count(*) FROM numbers").await, 0);
}

#[tokio::test]
async fn what_a_dropped_call_does_from_then_on_is_not_committed() {
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = pool.get().await.unwrap();
    run(&mut lease, "CREATE TABLE numbers (n)").await;
    let ((begins, has_begun), (drops, is_dropped), (ends, has_ended)) = (channel(), channel(), channel());
    let call = lease.with(move |sqlite| {
        begins.send(()).unwrap();
        is_dropped.recv().unwrap();
        // So short that it is done before it is asked whether to go on.
        let result = sqlite.execute("INSERT INTO numbers VALUES (1)", []);
        ends.send(result.as_ref().unwrap_err().sqlite_error_code()).unwrap();
        result
    });
    leave_once_it_runs(call, &has_begun).await;
    drops.send(()).unwrap();
    assert_eq!(has_ended.recv(), Ok(Some(ErrorCode::ConstraintViolation)));
    drop(lease);
    assert_eq!(number(&mut pool.get().await.unwrap(), "SELECT count(*) FROM numbers").await, 0);
}

#[test]
fn a_call_that_is_dropped_before_it_began_never_does() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    let (has_run, seen) = (Arc::new(AtomicBool::new(false)), channel());
    runtime.block_on(async {
        let pool = pool(0, 2, Sqlite::memory());
        let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let (begins, has_begun) = seen;
        let (release, released) = channel::<()>();
        let holds_the_thread = tokio::spawn(async move {
            one.with(move |_| {
                begins.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            })
            .await
            .unwrap();
        });
        yield_now().await;
        has_begun.recv().unwrap();
        {
            let has_run = Arc::clone(&has_run);
            let mut call = pin!(other.with(move |_| {
                has_run.store(true, Ordering::SeqCst);
                Ok(())
            }));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        drop(other);
        assert_eq!(pool.stats().closed(Close::Unfit), 1);
        release.send(()).unwrap();
        holds_the_thread.await.unwrap();
        pool.get().await.unwrap().with(|_| Ok(())).await.unwrap();
    });
    drop(runtime);
    assert!(!has_run.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_panic_is_an_error_and_costs_its_connection() {
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = pool.get().await.unwrap();
    let result = lease.with(|_| -> rusqlite::Result<()> { panic!("as it happens") }).await;
    assert!(matches!(result, Err(Error::Panicked)), "{result:?}");
    drop(lease);
    assert_eq!(pool.stats().closed(Close::Unfit), 1);
    assert_eq!(number(&mut pool.get().await.unwrap(), "SELECT 7").await, 7);
}

#[tokio::test]
async fn a_transaction_goes_on_in_the_next_call_but_not_in_the_next_lease() {
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = pool.get().await.unwrap();
    run(&mut lease, "CREATE TABLE numbers (n); BEGIN; INSERT INTO numbers VALUES (1)").await;
    run(&mut lease, "COMMIT; BEGIN; INSERT INTO numbers VALUES (2)").await;
    assert_eq!(number(&mut lease, "SELECT sum(n) FROM numbers").await, 3);
    drop(lease);
    assert_eq!((pool.stats().closed(Close::Unfit), pool.stats().idle), (1, 0));
    let mut lease = pool.get().await.unwrap();
    run(&mut lease, "INSERT INTO numbers VALUES (4)").await;
    assert_eq!(number(&mut lease, "SELECT sum(n) FROM numbers").await, 5);
    drop(lease);
    assert_eq!((pool.stats().closed(Close::Unfit), pool.stats().idle), (1, 1));
}

#[tokio::test]
async fn what_one_call_left_behind_makes_no_other_connection_suspect() {
    let pool = pool(0, 3, Sqlite::memory());
    let mut leases = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    run(&mut leases[0], "BEGIN").await;
    let call = leases[1].with(|sqlite| sqlite.query_row(ENDLESS, [], |_| Ok(())));
    assert!(pin!(call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let [open, left, whole] = leases;
    drop(whole);
    for (lease, why) in [(open, "a transaction was left open"), (left, "lost by an earlier call")] {
        drop(lease);
        assert!(pool.try_get().is_some(), "the whole one can be had at once");
        let (_, cause) = pool.last_error().unwrap();
        assert!(cause.to_string().contains(why), "{cause}");
    }
    assert_eq!((pool.stats().closed(Close::Unfit), pool.stats().checks), (2, 0));
}

/// Tells, when it is dropped, on which thread that was.
struct Closed(std::sync::mpsc::Sender<ThreadId>);

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

/// Where the connection is closed.
async fn closing(connection: &mut Connection) -> Receiver<ThreadId> {
    let (tell, told) = channel();
    let closed = Arc::new(Closed(tell));
    connection
        .with(move |sqlite| {
            sqlite.create_scalar_function("closed", 0, FunctionFlags::SQLITE_UTF8, move |_| {
                let _ = &closed;
                Ok(0)
            })
        })
        .await
        .unwrap();
    told
}

#[tokio::test]
async fn a_connection_is_closed_on_a_blocking_thread() {
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = pool.get().await.unwrap();
    let closed = closing(&mut lease).await;
    lease.mark_dirty();
    drop(lease);
    assert_ne!(closed.recv().unwrap(), thread::current().id());
}

#[test]
fn a_connection_that_outlives_its_runtime_is_closed_where_it_is_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pool = pool(0, 1, Sqlite::memory());
    let mut lease = runtime.block_on(pool.get()).unwrap();
    let closed = runtime.block_on(closing(&mut lease));
    drop(runtime);
    drop(lease);
    assert_eq!(closed.try_recv(), Ok(thread::current().id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_meets_a_busy_connection_however_many_are_dropped() {
    const TASKS: i64 = 16;
    const CALLS: i64 = 40;
    let pool = pool(0, 4, Sqlite::memory());
    run(&mut pool.get().await.unwrap(), "CREATE TABLE numbers (n)").await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for call in 0..CALLS {
                    let mut lease = pool.get().await.unwrap();
                    let insert = lease.with(|sqlite| sqlite.execute("INSERT INTO numbers VALUES (1)", []));
                    if (task + call) % 5 == 0 {
                        tokio::select! {
                            biased;
                            result = insert => assert_eq!(result.unwrap(), 1),
                            () = yield_now() => {}
                        }
                    } else {
                        assert_eq!(insert.await.unwrap(), 1);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let inserted = number(&mut pool.get().await.unwrap(), "SELECT count(*) FROM numbers").await;
    assert!((TASKS * CALLS * 4 / 5..=TASKS * CALLS).contains(&inserted), "{inserted}");
    assert!(pool.stats().closed(Close::Unfit) > 0, "some were dropped while they ran");
    assert_eq!((pool.stats().gets, pool.stats().in_use), (pool.stats().served, 0));
}

#[tokio::test]
async fn the_values_of_pragmas_are_not_printed() {
    let manager = Sqlite::memory().pragma("key", "hunter2").pragma("no such", "hunter3");
    let printed = format!("{manager:?}");
    assert!(printed.contains("key") && !printed.contains("hunter"), "{printed}");
    let error = manager.connect().await.unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("hunter"), "{printed}");
}
