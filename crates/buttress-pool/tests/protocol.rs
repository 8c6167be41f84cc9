//! A protocol in which an answer belongs to the question before it, and nothing says so: who finds an answer that was not
//! read takes it for its own. Over TCP, on two threads, with callers that leave at any moment.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::{Close, Config, Manager, Pool, Size};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says what it is told, on each connection one thing after the other.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while let Ok(said) = stream.read_u64().await {
                    if stream.write_u64(said).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

struct Line {
    stream: TcpStream,
    /// Asked, and not answered yet.
    is_asked: bool,
}

impl Line {
    async fn ask(&mut self, what: u64) -> io::Result<u64> {
        self.is_asked = true;
        self.stream.write_u64(what).await?;
        let answer = self.stream.read_u64().await?;
        self.is_asked = false;
        Ok(answer)
    }
}

struct Lines {
    server: SocketAddr,
    /// Whether it looks for answers that were not read.
    is_careful: bool,
}

impl Manager for Lines {
    type Connection = Line;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Line> {
        Ok(Line { stream: TcpStream::connect(self.server).await?, is_asked: false })
    }

    async fn check(&self, line: &mut Line) -> io::Result<()> {
        line.ask(u64::MAX).await.map(drop)
    }

    fn recycle(&self, line: &mut Line) -> io::Result<()> {
        if self.is_careful && line.is_asked {
            return Err(io::Error::other("its answer was not read"));
        }
        Ok(())
    }
}

/// Polls it so many times, and then leaves.
async fn polled<F: Future>(times: u32, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

async fn ask(pool: &Pool<Lines>, what: u64) -> u64 {
    pool.get().await.unwrap().ask(what).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_reaches_another_than_who_asked_though_one_in_four_leaves() {
    // Each is checked before it is lent, so that some leave in the midst of a check.
    let config = Config::default()
        .size(Size::new(2, 4).unwrap())
        .check_after(Duration::ZERO)
        .check_timeout(Duration::from_secs(60))
        .acquire_timeout(Duration::from_secs(60));
    let pool = Pool::new("lines", config, Lines { server: echo().await, is_careful: true });
    let callers: Vec<_> = (0..32)
        .map(|caller| {
            let (pool, mut random) = (pool.clone(), fastrand::Rng::with_seed(caller));
            tokio::spawn(async move {
                let (mut answered, mut left) = (0, 0);
                for n in 0..200 {
                    let what = caller << 32 | n;
                    let polls = if random.u32(0..4) == 0 { random.u32(1..5) } else { u32::MAX };
                    match polled(polls, ask(&pool, what)).await {
                        Some(answer) => {
                            assert_eq!(answer, what, "somebody else's answer");
                            answered += 1;
                        }
                        None => left += 1,
                    }
                }
                (answered, left)
            })
        })
        .collect();
    let (mut answered, mut left) = (0, 0);
    for caller in callers {
        let (more_answered, more_left) = caller.await.unwrap();
        (answered, left) = (answered + more_answered, left + more_left);
    }
    assert_eq!(answered + left, 32 * 200);
    let stats = pool.stats();
    assert!(left > 100 && stats.cancelled > 0, "{left} left, {stats:?}");
    assert!(stats.closed(Close::Cancelled) > 0, "in the midst of a check: {stats:?}");
    assert!(stats.closed(Close::Unfit) > 0, "in the midst of a question: {stats:?}");
    assert_eq!(
        stats.closed(Close::Cancelled) + stats.closed(Close::Unfit) + u64::from(stats.size),
        stats.created
    );
    assert!(stats.size <= 4 && stats.in_use == 0, "{stats:?}");
}

#[tokio::test]
async fn where_nobody_looks_for_answers_that_were_not_read_the_next_one_gets_them() {
    let config = Config::default().size(Size::new(0, 1).unwrap());
    for is_careful in [false, true] {
        let server = echo().await;
        let pool = Pool::new("lines", config.clone(), Lines { server, is_careful });
        assert_eq!(ask(&pool, 1).await, 1);
        assert_eq!(polled(1, ask(&pool, 2)).await, None);
        assert_eq!(ask(&pool, 3).await, if is_careful { 3 } else { 2 });
    }
}
