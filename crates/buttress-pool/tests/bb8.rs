//! Managers of `bb8`, unchanged.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use bb8::ManageConnection;
use buttress_pool::{Bb8, Bb8Error, Close, Config, Error, Pool, Size};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// All that `bb8` asks of an error.
#[derive(Debug)]
struct Refused {
    #[expect(dead_code, reason = "it is printed")]
    attempt: Cell<u32>,
}

assert_not_impl_any!(Refused: Sync, std::error::Error);
assert_impl_all!(Bb8Error: Send, Sync, std::error::Error);

#[derive(Clone, Default)]
struct Server {
    is_down: Arc<AtomicBool>,
}

impl Server {
    fn answer<T>(&self, answer: T) -> Result<T, Refused> {
        if self.is_down.load(Ordering::SeqCst) { Err(Refused { attempt: Cell::new(7) }) } else { Ok(answer) }
    }
}

struct Conn {
    has_broken: bool,
}

impl ManageConnection for Server {
    type Connection = Conn;
    type Error = Refused;

    async fn connect(&self) -> Result<Conn, Refused> {
        self.answer(Conn { has_broken: false })
    }

    async fn is_valid(&self, _: &mut Conn) -> Result<(), Refused> {
        self.answer(())
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.has_broken
    }
}

fn pool(server: &Server) -> Pool<Bb8<Server>> {
    let config = Config::default().size(Size::new(0, 1).unwrap()).check_after(Duration::ZERO);
    Pool::new("bb8", config, Bb8(server.clone()))
}

#[tokio::test(start_paused = true)]
async fn what_has_broken_is_not_taken_back() {
    let pool = pool(&Server::default());
    pool.get().await.unwrap().has_broken = true;
    assert_eq!((pool.stats().closed(Close::Broken), pool.stats().size), (1, 0));
    assert!(!pool.get().await.unwrap().has_broken);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_valid_is_closed_and_the_error_arrives_as_its_debug_text() {
    let server = Server::default();
    let pool = pool(&server);
    drop(pool.get().await.unwrap());
    server.is_down.store(true, Ordering::SeqCst);
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error:?}");
    assert_eq!(pool.stats().closed(Close::Unfit), 1);
    let (_, cause) = pool.last_error().unwrap();
    assert!(cause.downcast_ref::<Bb8Error>().is_some());
    assert_eq!(cause.to_string(), "Refused { attempt: Cell { value: 7 } }");
    assert_eq!(format!("{cause:?}"), cause.to_string());
}

#[test]
fn a_manager_is_not_printed() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "it must not be printed")]
    struct Knows(&'static str);
    let printed = format!("{:?}", Bb8(Knows("hunter2")));
    assert!(!printed.contains("hunter2"), "{printed}");
}
