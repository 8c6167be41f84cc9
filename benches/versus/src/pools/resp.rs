//! Redis without a client library: one question, one answer, in order. What a pool hands out too early answers the
//! question of another.

use buttress_pool::Manager;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes connections, and counts the connects that failed.
#[derive(Clone, Debug)]
pub struct Resp {
    server: SocketAddr,
    failed: Arc<AtomicU64>,
}

impl Resp {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, failed: Arc::default() }
    }

    pub fn failed(&self) -> u64 {
        // Relaxed, as below: a count.
        self.failed.load(Ordering::Relaxed)
    }
}

impl Manager for Resp {
    type Connection = Connection;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Connection> {
        let connected = TcpStream::connect(self.server).await.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(Connection { stream, is_broken: false })
        });
        connected.inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn check(&self, connection: &mut Connection) -> io::Result<()> {
        connection.ask(b"PING\r\n", b"+PONG\r\n").await
    }

    fn is_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Failed, or nobody has read its last answer.
    is_broken: bool,
}

impl Connection {
    /// Has the server repeat a number, and finds out whether it was this one.
    pub async fn echo(&mut self, number: u64) -> io::Result<()> {
        let question = format!("ECHO {number:020}\r\n");
        self.ask(question.as_bytes(), format!("$20\r\n{number:020}\r\n").as_bytes()).await
    }

    async fn ask(&mut self, question: &[u8], answer: &[u8]) -> io::Result<()> {
        self.is_broken = true;
        self.stream.write_all(question).await?;
        let mut found = vec![0; answer.len()];
        self.stream.read_exact(&mut found).await?;
        if found != answer {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another question"));
        }
        self.is_broken = false;
        Ok(())
    }
}
